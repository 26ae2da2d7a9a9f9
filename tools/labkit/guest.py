"""Guests: made, started, found, asked and removed."""

import shutil
import socket
import uuid

from . import domain, processes
from .boot_block import make_boot_disk, passes
from .debian_image import debian_image
from .errors import LabError
from .linux_image import boot_images
from .namespace import inside

PATIENCE = 120
ECHO_PORT = 7
CHECKER_PORT = 9000
WORKLOAD_PORT = 9002
DISK_CHECKER_PORT = 9003
INIT_PORT = 9004
# What a guest serves when it is up, by programs that start side by side; the memory checker's port comes when its
# memory is filled. The disk checker's disk takes longer to fill, and is waited for by whoever asks for it; the first
# process hears one connection at a time, and would take a question whether it is there for one.
COMMON_PORTS = (ECHO_PORT, CHECKER_PORT, WORKLOAD_PORT)
PORTS = {"linux": COMMON_PORTS, "debian": (*COMMON_PORTS, 80, 6379)}
FIRST_NUMBER = 11


class Guest:
    """A VM of the lab. `number` gives its addresses: 10.78.0.NUMBER, 52:54:00:78:00:NUMBER, and the same with 79."""

    def __init__(self, lab, name, settings):
        self.lab = lab
        self.name = name
        self.settings = settings
        self.number = settings["number"]
        self.address = f"10.78.0.{self.number}"
        self.macs = [f"52:54:00:{network}:00:{self.number:02x}" for network in (78, 79)[:settings["nics"]]]
        self.serial = lab.shared / f"{name}.serial"
        self.boot_files = (lab.shared / "vmlinuz", lab.shared / f"initramfs-{settings['kind']}")
        self.disk = lab.shared / f"{name}.{settings['disk_format']}"

    @property
    def hosts(self):
        """Those that know a domain of this name, running or not."""
        return [host for host in self.lab.hosts.values()
                if host.is_running("libvirtd") and self.name in host.domains()]

    @property
    def running_on(self):
        """The hosts on which it runs: one, or something went wrong."""
        return [host for host in self.lab.hosts.values()
                if host.is_running("libvirtd") and host.domains().get(self.name, "").startswith("running")]

    def start(self, host):
        description = self.lab.shared / f"{self.name}.xml"
        description.write_text(domain.describe(self), encoding="utf-8")
        if self.settings["transient"]:
            host.virsh("create", description)
        else:
            host.virsh("define", description)
            host.virsh("start", self.name)

    def wait(self):
        """Until it answers as its kind does."""
        try:
            if self.settings["kind"] == "kvm":
                processes.wait_until(lambda: self.passes()[0] > 0, PATIENCE, f"{self.name} to write")
                return
            processes.wait_until(self.pings, PATIENCE, f"{self.name} to answer pings")
            for port in PORTS[self.settings["kind"]]:
                processes.wait_until(lambda: self.answers(port), PATIENCE, f"{self.name}'s port {port}")
        except LabError as error:
            raise LabError(str(error), f"see {self.serial}") from error

    def pings(self):
        return self.lab.run_in_client("ping", "-c", "1", "-W", "1", "-q", self.address, check=False).returncode == 0

    def answers(self, port):
        try:
            self.connect(port, 1).close()
        except OSError:
            return False
        return True

    def ask(self, line, patience=60, port=CHECKER_PORT):
        """Asks the memory checker; gives its answer as {"pages": 4096, "bad": 0, …}."""
        with self.connect(port, patience) as connection, connection.makefile("rw", encoding="ascii") as file:
            file.write(line + "\n")
            file.flush()
            answer = file.readline()
        pairs = (pair.partition("=") for pair in answer.split())
        return {key: int(value) if value.isdigit() else value for key, _, value in pairs}

    def scan(self):
        """{"pages": N, "bad": B, "sequence": S}, and "first" when there is a bad one."""
        return self.ask("scan")

    def ask_disk(self, line):
        """Asks a linux guest's disk checker, likewise: {"blocks": N, "written": W, "bad": B, "sequence": S}."""
        processes.wait_until(lambda: self.answers(DISK_CHECKER_PORT), PATIENCE, f"{self.name}'s disk checker")
        return self.ask(line, port=DISK_CHECKER_PORT)

    def tell_init(self, word):
        """A linux guest's first process: "poweroff" or "reboot"."""
        with self.connect(INIT_PORT) as connection:
            connection.sendall(word.encode() + b"\n")

    def connect(self, port, patience=10):
        """A TCP connection from the client namespace."""
        return inside(self.lab.client, lambda: socket.create_connection((self.address, port), patience))

    def passes(self):
        """(rounds that a kvm guest has told on its serial port, those in which it found a wrong page)."""
        return passes(self.serial)

    def make_disk(self):
        if self.settings["kind"] == "linux":
            processes.run("qemu-img", "create", "-q", "-f", self.settings["disk_format"], self.disk, "64M")
        elif self.settings["kind"] == "debian":
            processes.run("cp", "--sparse=always", self.settings.get("image") or debian_image(), self.disk)
        else:
            make_boot_disk(self.disk)
        # Each host's libvirtd gives the file to its own QEMU and takes it back after a migration; the user is the same.
        self.disk.chmod(0o666)

    def remove(self):
        for host in self.hosts:
            if not host.domains()[self.name].startswith("shut off"):
                host.virsh("destroy", self.name, check=False)
            host.virsh("undefine", self.name, check=False)
        for path in (self.disk, self.serial, self.lab.shared / f"{self.name}.xml"):
            path.unlink(missing_ok=True)


def add(lab, name, host, settings, made=Guest):
    """Makes a guest of the class `made` and starts it; returns when it answers. `settings` as in Lab.add_guest."""
    with lab.state.change() as content:
        if name in content["guests"]:
            raise LabError(f"there is a guest {name} already", f"tools/lab guest --remove {name}")
        used = {guest["number"] for guest in content["guests"].values()}
        number = next(number for number in range(FIRST_NUMBER, 255) if number not in used)
        settings = {**settings, "number": number, "uuid": str(uuid.uuid4())}
        content["guests"][name] = settings
    guest = made(lab, name, settings)
    try:
        prepare_boot(guest)
        guest.make_disk()
        guest.start(host)
    except BaseException:
        remove(lab, name)
        raise
    guest.wait()
    return guest


def prepare_boot(guest):
    """Kernel and initramfs where both hosts' QEMUs can read them."""
    if guest.settings["kind"] == "kvm":
        return
    for source, target in zip(boot_images(f"{guest.settings['kind']}_init.sh"), guest.boot_files):
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            shutil.copyfile(source, target)
            target.chmod(0o644)


def find(lab, name):
    settings = lab.state.read()["guests"].get(name)
    if settings is None:
        raise LabError(f"the lab made no guest {name}")
    return Guest(lab, name, settings)


def remove(lab, name):
    find(lab, name).remove()
    with lab.state.change() as content:
        content["guests"].pop(name, None)
