"""QEMU to QEMU without libvirt: a guest of the same kind whose QEMUs are started and told to migrate by hand."""

import time
import xml.etree.ElementTree as ET

from labkit import LabError, domain, processes
from labkit.guest import Guest

from .qmp import Monitor

TAP = "bare0"
PORT = 49300
UNLIMITED = 1 << 50  # bytes a second; what libvirt sets as well is "no limit"


class BareGuest(Guest):
    """Its place is `place`; `qemus` are the QEMUs by host name."""

    def __init__(self, lab, name, settings, groups):
        super().__init__(lab, name, settings)
        self.groups = groups
        self.place = None
        self.qemus = {}

    @property
    def running_on(self):
        return [self.place] if self.place else []

    def start(self, host):
        for one in self.lab.hosts.values():
            one.run("ip", "tuntap", "add", TAP, "mode", "tap")
            one.run("ip", "link", "set", TAP, "master", "br0", "up")
        self.qemus[host.name] = Qemu(self, host)
        self.place = host

    def rest(self):
        self.qemus[self.place.name].monitor.run("stop")

    def wake(self):
        self.qemus[self.place.name].monitor.run("cont")

    def remove_all(self):
        for qemu in self.qemus.values():
            qemu.end()
        for host in self.lab.hosts.values():
            host.run("ip", "link", "delete", TAP, check=False)
        self.lab.remove_guest(self.name)


class Qemu:
    def __init__(self, guest, host, incoming=False):
        path = guest.lab.shared / f"{guest.name}.{host.name}.qmp"
        path.unlink(missing_ok=True)
        arguments = [*command_line(guest), "-qmp", f"unix:{path},server=on,wait=off"]
        if incoming:
            arguments += ["-incoming", "defer"]
        log = guest.lab.shared / f"{guest.name}.{host.name}.log"
        self.process, self.identity = processes.start(guest.groups[host.name].command(*host.inside(*arguments)), log)
        self.monitor = Monitor(path, lambda: self.process.poll() is None)

    def end(self):
        """At once: nothing that it still holds is wanted."""
        self.monitor.close()
        self.process.kill()
        self.process.wait()


def command_line(guest):
    """As libvirt would start it, but for devices that the guest does not use."""
    described = ET.fromstring(domain.describe(guest))
    kernel, initramfs = guest.boot_files
    return ["qemu-system-x86_64", "-name", guest.name, "-machine", f"{guest.settings['machine']},accel=tcg",
            "-cpu", "qemu64", "-m", str(guest.settings["memory"]), "-smp", str(guest.settings["vcpus"]),
            "-nodefaults", "-no-user-config", "-display", "none", "-kernel", str(kernel), "-initrd", str(initramfs),
            "-append", described.findtext("os/cmdline"),
            "-blockdev", f"file,node-name=file,filename={guest.disk},cache.direct=on",
            "-blockdev", f"{guest.settings['disk_format']},node-name=disk,file=file,cache.direct=on",
            "-device", "virtio-blk-pci,drive=disk",
            "-netdev", f"tap,id=net,ifname={TAP},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=net,mac={guest.macs[0]},romfile=",
            "-chardev", f"file,id=serial,path={guest.serial},append=on", "-device", "isa-serial,chardev=serial"]


class BareMover:
    """Capabilities and parameters go to both QEMUs before the move."""

    bare = True

    def __init__(self, name, title, capabilities=(), parameters=None):
        self.name = name
        self.title = title
        self.capabilities = [{"capability": capability, "state": True} for capability in ("events", *capabilities)]
        self.parameters = {"max-bandwidth": UNLIMITED, **(parameters or {})}

    def get_ready(self, hosts):
        """Nothing on the hosts has a part in it."""

    def begin(self, guest, source, destination, _):
        return BareMove(self, guest, source, destination)

    @staticmethod
    def facts(move):
        return {"said": move.told, **({"said_pause_ms": move.told["downtime"]} if "downtime" in move.told else {})}


class BareMove:
    def __init__(self, mover, guest, source, destination):
        self.mover = mover
        self.guest = guest
        self.destination = destination
        self.old = guest.qemus[source.name]
        self.old.monitor.forget()
        self.new = None
        self.asked = False
        self.told = {}

    def wait(self, limit):
        until = time.monotonic() + limit
        try:
            self.new = Qemu(self.guest, self.destination, incoming=True)
            self.migrate(until)
        except TimeoutError as error:
            self.call_off()
            raise LabError(f"did not finish within {limit} s and was called off") from error
        except LabError:
            self.call_off()
            raise
        self.told = self.old.monitor.run("query-migrate")
        self.old.end()
        del self.guest.qemus[self.guest.place.name]
        self.guest.qemus[self.destination.name] = self.new
        self.guest.place = self.destination

    def migrate(self, until):
        for qemu in (self.new, self.old):
            qemu.monitor.run("migrate-set-capabilities", capabilities=self.mover.capabilities)
            qemu.monitor.run("migrate-set-parameters", **self.mover.parameters)
        address = f"tcp:{self.destination.address}:{PORT}"
        self.new.monitor.run("migrate-incoming", uri=address)
        self.old.monitor.run("migrate", uri=address)
        self.asked = True
        over = [("MIGRATION", status) for status in ("completed", "failed", "cancelled")]
        if self.old.monitor.wait_for(until, *over) != over[0]:
            raise LabError(f"QEMU says: {self.old.monitor.run('query-migrate').get('error-desc', 'failed')}")
        self.new.monitor.wait_for(until, ("RESUME", None))

    def call_off(self):
        """The guest runs on at the source."""
        if self.asked:
            self.old.monitor.run("migrate_cancel")
            over = [("MIGRATION", status) for status in ("failed", "cancelled")]
            self.old.monitor.wait_for(time.monotonic() + 30, *over)
        if self.new:
            self.new.end()

    def read_events(self):
        return [self.old.monitor.events, self.new.monitor.events]
