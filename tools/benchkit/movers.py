"""Those that move guests: each knows its command, how to call it off, and what it says of itself."""

import json
import re
import subprocess

from labkit import LabError

from .bare import BareMover
from .meters import LibvirtEvents

NOT_CONVERGING = 7  # what vmigrate ends with then
TRACED = ("elapsed_ms", "memory_pass", "memory_remaining", "guest_rate", "wire_rate", "dirty_rate", "converging",
          "forecast_left_ms", "forecast_pause_ms", "slowdown_percent")


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
        self.mover.judge(self)

    def read_events(self):
        return [events.read() for events in self.events]


class LibvirtMover:
    """Moves a guest that libvirt knows; its place is where libvirt runs it."""

    bare = False

    def get_ready(self, hosts):
        """Before anything is measured."""

    def judge(self, move):
        """Raises LabError when the command says that it failed."""
        if move.process.returncode != 0:
            raise LabError(f"ended with {move.process.returncode}: {move.stderr.strip()[-500:]}")

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
    """`vmigrate start`. `daemon` is the program of both hosts' daemons, below the folder of what is built."""

    def __init__(self, name, *options, title=None, daemon="src/daemon/migrated", gives_up=False):
        self.name = name
        self.options = options
        self.title = title or " ".join(("vmigrate start", *options))
        self.daemon = daemon
        self.gives_up = gives_up  # it is asked to, where the guest is too busy to be moved

    def get_ready(self, hosts):
        for host in hosts:
            host.use_daemon(self.daemon)

    def command(self, guest, source, destination):
        return source.inside(source.client_program, "start", guest.name, destination.name, "-o", "ndjson", *self.options)

    def judge(self, move):
        """Giving up as asked is no failure (the guest runs on where it was); not giving up is one."""
        if not self.gives_up:
            return super().judge(move)
        if move.process.returncode != NOT_CONVERGING:
            raise LabError(f"did not give up as it was asked to, but ended with {move.process.returncode}")
        return None

    @staticmethod
    def abort(move):
        move.source.run(move.source.client_program, "cancel", move.guest.name, check=False)

    def facts(self, move):
        documents = [json.loads(line) for line in move.stdout.splitlines()]
        last = documents[-1]
        facts = {"gave_up": move.process.returncode == NOT_CONVERGING, "trace": trace(documents)}
        if "--on-stall" in self.options:
            facts["said_stall"] = told_of_stall(documents)
        if "receipt" in last:
            facts |= {"said": last["receipt"], "said_pause_ms": last["receipt"]["pause_ms"]}
        return facts


def trace(documents):
    """What the engine saw and said while memory moved: a line of TRACED for each look."""
    return [" ".join(str(int(one["progress"][name])) for name in TRACED) for one in documents
            if one["phase"] == "MEMORY"]


def told_of_stall(documents):
    """The share of the time that was gone when the progress first said that it does not converge; 1: never."""
    told = [one["progress"]["elapsed_ms"] for one in documents
            if one["phase"] == "MEMORY" and not one["progress"]["converging"]]
    whole = documents[-1]["ended_unix_ms"] - documents[-1]["started_unix_ms"]
    return told[0] / whole if told else 1.0


MOVERS = {mover.name: mover for mover in (
    Virsh("virsh"),
    Virsh("virsh-parallel", "--parallel", "--parallel-connections", "2"),
    Virsh("virsh-xbzrle", "--compressed", "--comp-methods", "xbzrle"),
    BareMover("qemu", "QEMU to QEMU, no libvirt"),
    BareMover("qemu-multifd-zstd", "QEMU to QEMU, no libvirt, multifd with two channels and zstd", ("multifd",),
              {"multifd-channels": 2, "multifd-compression": "zstd"}),
    Vmigrate("vmigrate"),
    Vmigrate("vmigrate-clear", title="vmigrate start, memory not encrypted (a test double)",
             daemon="tests/daemon/migrated_in_the_clear"),
    Vmigrate("vmigrate-abort", "--on-stall", "abort", gives_up=True),
    Vmigrate("vmigrate-pause", "--on-stall", "pause"),
)}
