"""Those that move guests: each knows its command, how to call it off, and what it says of itself."""

import json
import re
import subprocess

from labkit import LabError

from .bare import BareMover
from .meters import LibvirtEvents


class Move:
    """A move under way. `process` is the command; `events` read the two hosts' QEMUs."""

    def __init__(self, mover, command, guest, source, destination):
        self.mover = mover
        self.guest = guest
        self.source = source
        self.destination = destination
        self.events = (LibvirtEvents(source), LibvirtEvents(destination))
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.stdout = self.stderr = ""

    def wait(self, limit):
        """Seconds; raises LabError when it failed or was called off."""
        try:
            self.stdout, self.stderr = self.process.communicate(timeout=limit)
        except subprocess.TimeoutExpired as error:
            self.mover.abort(self)
            self.process.communicate()
            raise LabError(f"did not finish within {limit} s and was called off") from error
        if self.process.returncode != 0:
            raise LabError(f"ended with {self.process.returncode}: {self.stderr.strip()[-500:]}")

    def read_events(self):
        return [events.read() for events in self.events]


class LibvirtMover:
    """Moves a guest that libvirt knows; its place is where libvirt runs it."""

    bare = False

    def begin(self, guest, source, destination, group):
        return Move(self, group.command(*self.command(guest, source, destination)), guest, source, destination)


class Virsh(LibvirtMover):
    """`virsh migrate`, spoken to both libvirtds over their local sockets: only the stream crosses the network."""

    def __init__(self, name, *options):
        self.name = name
        self.options = options
        self.title = " ".join(("virsh migrate", *options))

    def command(self, guest, source, destination):
        return ["virsh", "-c", source.libvirt_uri, "migrate", "--live", "--unsafe", "--persistent", "--undefinesource",
                *self.options, guest.name, destination.libvirt_uri, f"tcp://{destination.address}"]

    @staticmethod
    def abort(move):
        move.source.virsh("domjobabort", move.guest.name, check=False)

    @staticmethod
    def facts(move):
        """What libvirt says of the move that is over."""
        said = move.destination.virsh("domjobinfo", move.guest.name, "--completed", check=False).stdout
        fields = dict(re.findall(r"^(.+?):\s+(.*?)\s*$", said, re.MULTILINE))
        pause = re.match(r"\d+", fields.get("Total downtime", ""))
        return {"said": fields, **({"said_pause_ms": int(pause.group())} if pause else {})}


class Vmigrate(LibvirtMover):
    name = "vmigrate"
    title = "vmigrate start"

    @staticmethod
    def command(guest, source, destination):
        return source.inside(source.client_program, "start", guest.name, destination.name, "-o", "json")

    @staticmethod
    def abort(move):
        move.source.run(move.source.client_program, "cancel", move.guest.name, check=False)

    @staticmethod
    def facts(move):
        receipt = json.loads(move.stdout)["receipt"]
        return {"said": receipt, "said_pause_ms": receipt["pause_ms"]}


MOVERS = {mover.name: mover for mover in (
    Virsh("virsh"),
    Virsh("virsh-parallel", "--parallel", "--parallel-connections", "2"),
    Virsh("virsh-xbzrle", "--compressed", "--comp-methods", "xbzrle"),
    BareMover("qemu", "QEMU to QEMU, no libvirt"),
    BareMover("qemu-multifd-zstd", "QEMU to QEMU, no libvirt, multifd with two channels and zstd", ("multifd",),
              {"multifd-channels": 2, "multifd-compression": "zstd"}),
    Vmigrate(),
)}
