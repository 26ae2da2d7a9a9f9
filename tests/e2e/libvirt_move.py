"""A move between two hosts of the lab, held in the test's hands at every step: tests/hypervisor/host_agent.cpp is
libvirt's side of one host, without the daemon around it."""

import os
import queue
import shutil
import subprocess
import threading
import time
import uuid
from xml.etree import ElementTree

from labkit import domain
from labkit.boot_block import make_boot_disk
from labkit.lab import REPOSITORY

PROGRAM = os.path.join(os.environ.get("VMIGRATE_BUILD", REPOSITORY / "build/release"),
                       "tests/hypervisor/hypervisor_host_agent")
# Each wait is for an event; this only ends a test that hangs.
PATIENCE = 60
MEMORY = 64  # MiB

GUEST_XML = """
<domain type='{kind}'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>{memory}</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='{machine}'>hvm</type></os><features><acpi/></features>{cpu}
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw' cache='{cache}'/>
<source file='{image}'/><target dev='sda' bus='sata'/></disk>
<interface type='bridge'><mac address='52:54:00:12:34:56'/><source bridge='{bridge}'/><model type='virtio'/></interface>
<serial type='null'/></devices></domain>
"""


class Agent:
    """tests/hypervisor/host_agent.cpp in a host: tell() writes a line, expect() waits for one."""

    def __init__(self, host, link):
        runtime = "/run/vmigrate/m"
        shutil.rmtree(host.inner(runtime), ignore_errors=True)
        host.inner(runtime).mkdir(mode=0o700)
        self.host = host
        self.log = open(link.parent / f"{host.name}.log", "a", encoding="utf-8")
        self.process = subprocess.Popen(host.inside(PROGRAM, "/run/libvirt/libvirt-sock", link, runtime),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.log.write(f"{time.monotonic():.3f} > {line}")
            self.log.flush()
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def tell(self, line):
        self.log.write(f"{time.monotonic():.3f} < {line}\n")
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def expect(self, start):
        """The first line that starts like this; those before it are passed over, except a failure."""
        while True:
            line = self.lines.get(timeout=PATIENCE)
            if line is None:
                self.process.wait()
                raise AssertionError(f"{self.host.name}'s agent ended ({self.process.returncode}) while {start!r} "
                                     "was waited for")
            if line.startswith(start):
                return line

    def ask(self, command, start):
        self.tell(command)
        return self.expect(start)

    def findings(self, command):
        self.tell(command)
        found = []
        while (line := self.expect(("finding", "checked"))) != "checked":
            found.append(line.removeprefix("finding "))
        return found

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            assert self.process.wait(timeout=PATIENCE) == 0


class Move:
    """A VM on hosta, and both agents joined."""

    def __init__(self, lab, folder):
        self.folder = folder
        self.source_host = lab.host("hosta")
        self.destination_host = lab.host("hostb")
        self.link = folder / "link"
        self.name = "web1"
        self.uuid = str(uuid.uuid4())
        self.image = lab.shared / "web1.img"
        make_boot_disk(self.image)
        self.source = Agent(self.source_host, self.link)
        self.destination = Agent(self.destination_host, self.link)

    def define(self, start=True, transient=False, **changes):
        settings = {"kind": "qemu", "memory": MEMORY, "machine": "q35", "cache": "none", "bridge": "br0", "cpu": "",
                    "image": self.image, "name": self.name, "uuid": self.uuid} | changes
        xml = self.folder / "guest.xml"
        described = ElementTree.fromstring(GUEST_XML.format(**settings))
        if settings["kind"] != "kvm":
            domain.add_uneven_memory(described, settings["memory"])
        xml.write_text(ElementTree.tostring(described, encoding="unicode"))
        if transient:
            self.source_host.virsh("create", str(xml))
            return
        self.source_host.virsh("define", str(xml))
        if start:
            self.source_host.virsh("start", self.name)

    def join(self):
        self.destination.ask("listen", "listening")
        self.source.ask("connect", "joined")
        self.destination.expect("joined")

    def offer(self):
        """Both checks; what the source found, and what the destination found."""
        outgoing = self.source.findings(f"check {self.name}")
        self.destination.expect("offered")
        return outgoing, self.destination.findings("check-incoming")

    def begin(self, command="outgoing"):
        self.join()
        assert self.offer() == ([], [])
        assert self.destination.ask("incoming", "begun") == "begun ok"
        assert self.source.ask(f"{command} {self.name}", "begun") == "begun ok"

    def to_finish(self, command="outgoing"):
        self.begin(command)
        self.destination.expect("prepared")
        assert self.source.expect("finish-requested") == "finish-requested"

    def finish_there(self):
        self.source.tell("send-finish")
        self.destination.expect("finish-received")
        return self.destination.ask("finish", "finished")

    def answer_here(self):
        self.destination.tell("send-answer")
        self.source.expect("answer-received")
        self.source.tell("answer")
        return self.source.expect("ended")

    def cancelled_finish(self):
        """The source's part failed: Finish with `cancelled` goes there and back."""
        assert self.source.expect("finish-requested") == "finish-requested cancelled"
        assert self.finish_there().startswith("finished failed")
        return self.answer_here()

    def states(self):
        return self.source_state(), self.destination_state()

    def source_state(self):
        return state(self.source_host, self.name)

    def destination_state(self):
        return state(self.destination_host, self.name)

    def stop(self):
        self.source.stop()
        self.destination.stop()
        for host in (self.source_host, self.destination_host):
            for name in host.domains():
                host.virsh("destroy", name, check=False)
                host.virsh("undefine", name, check=False)
        self.image.unlink()


def state(host, name):
    """As virsh says it, with the reason: "paused (migrating)"; "absent" when there is no such VM."""
    result = host.virsh("domstate", name, "--reason", check=False)
    return result.stdout.strip() if result.returncode == 0 else "absent"


def restart_libvirtd(host):
    """As after a crash of it: the VMs run on."""
    host.kill_libvirtd()
    host.start_libvirtd()
