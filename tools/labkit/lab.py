"""The whole lab: starts, ends and finds the hosts."""

import os
import shutil
import signal
import zlib
from pathlib import Path

from . import certificates, guest, mount_points, network, processes
from .errors import LabError
from .host import OWN_FOLDERS, Host
from .link import MigrationLink
from .state import State

DEFAULT_FOLDER = Path("/var/lib/vmigrate-lab")
REPOSITORY = Path(__file__).resolve().parents[2]
HOSTS = ("hosta", "hostb")
# Kinds of guests, with the memory (MiB) that they have by default.
KINDS = {"linux": 256, "kvm": 32, "debian": 2048}
# All that is ever made in the lab's folder.
CONTENT = ("hosta", "hostb", "shared", "authority", "relay.log", "state.json", "state.new", "state.lock")


class Lab:
    def __init__(self, folder=None, build=None, certified=True, uneven_memory=True):
        """
        `certified`: the hosts have certificates of an authority, and know each other; else they know nobody.
        `uneven_memory`: emulated guests have memory of which QEMU loses nothing (domain.uneven_size).
        """
        self.folder = Path(folder or os.environ.get("VMIGRATE_LAB", DEFAULT_FOLDER)).absolute()
        build = Path(build or os.environ.get("VMIGRATE_BUILD", REPOSITORY / "build/release")).absolute()
        # Several labs in different folders can run at once: their namespaces are told apart by this.
        number = "" if self.folder == DEFAULT_FOLDER else f"{zlib.crc32(str(self.folder).encode()):08x}"
        self.tag = f"vmlab{number}"
        self.state = State(self.folder)
        self.client = f"{self.tag}-client"
        self.hosts = {name: Host(name, self.folder / name, f"{self.tag}-{name}", self.state, build) for name in HOSTS}
        self.shared = self.folder / "shared"
        self.link = MigrationLink(self)
        self.certified = certified
        self.uneven_memory = uneven_memory

    def host(self, name):
        if name not in self.hosts:
            raise LabError(f"there is no host {name}", f"the hosts are {' and '.join(self.hosts)}")
        return self.hosts[name]

    @property
    def namespaces(self):
        return [self.client, *(host.namespace for host in self.hosts.values())]

    # -- up

    def is_up(self):
        return all(host.is_running("holder") for host in self.hosts.values())

    def up(self):
        """Starts everything; what a crash left half-made is cleared first. False when the lab ran already."""
        require_root()
        if self.is_up():
            return False
        self.down()
        self.folder.mkdir(parents=True, exist_ok=True)
        # QEMU's user has to reach the shared folder.
        self.folder.chmod(0o755)
        self.shared.mkdir(mode=0o755)
        try:
            for name in self.namespaces:
                network.add_namespace(name)
            network.build(self.client, {name: host.namespace for name, host in self.hosts.items()})
            if self.certified:
                certificates.make_authority(self.folder / "authority")
            for host in self.hosts.values():
                host.prepare(self.folder / "authority" if self.certified else None)
            with mount_points.kept(OWN_FOLDERS):
                for host in self.hosts.values():
                    host.start_holder()
            for host in self.hosts.values():
                host.start_libvirtd(wait=False)
            for host in self.hosts.values():
                host.wait_for_libvirtd()
                if host.has_daemon():
                    host.start_daemon()
        except BaseException:
            self.down()
            raise
        return True

    # -- down

    def down(self):
        """Ends what the lab started and removes what it made, however far it had come. False when there was nothing."""
        require_root()
        existing = network.namespaces()
        if not self.folder.exists() and not existing & set(self.namespaces):
            return False
        self.refuse_strange_folder()
        self.end_processes(existing)
        for name in self.namespaces:
            network.delete_namespace(name)
        if self.folder.exists():
            mount_points.remove()
            self.remove_folder()
        return True

    def end_processes(self, existing):
        content = self.state.read()
        for name in sorted(content["processes"], key=lambda name: name.endswith("holder")):
            if not name.endswith("holder"):
                processes.end(content["processes"][name])
        for host in self.hosts.values():
            for qemu in host.qemus().values():
                processes.end(qemu, signal.SIGKILL)
        for name, process in content["processes"].items():
            if name.endswith("holder"):
                processes.end(process, signal.SIGKILL)
        # What was run with `exec`, or started and not yet written down. Only the lab's own run in its namespaces.
        for namespace in existing & set(self.namespaces):
            for pid in network.processes_in(namespace):
                processes.end(processes.identity(pid), signal.SIGKILL)

    def refuse_strange_folder(self):
        if not self.folder.exists():
            return
        strange = sorted(path.name for path in self.folder.iterdir() if path.name not in CONTENT)
        if strange:
            raise LabError(f"{self.folder} holds what no lab makes: {', '.join(strange[:5])}",
                           "choose a folder that is empty or does not exist, with --directory")

    def remove_folder(self):
        for name in CONTENT:
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink()
        self.folder.rmdir()

    # -- guests

    def add_guest(self, name, kind="linux", host="hosta", made=guest.Guest, **settings):
        """Starts a guest and returns it when it answers; `made` is the class to make it of.

        Settings: memory and checked (MiB), machine ("pc", "q35"), vcpus, nics (1, 2), transient, dirty_rate (pages/s).
        """
        if kind == "kvm" and not has_kvm():
            raise LabError("/dev/kvm cannot be opened here", "use a linux guest")
        memory = settings.get("memory", KINDS[kind])
        defaults = {"kind": kind, "memory": memory, "machine": "q35", "vcpus": 1, "nics": 1, "transient": False,
                    "dirty_rate": 1000, "checked": memory // 4, "disk_format": "qcow2" if kind == "linux" else "raw"}
        return guest.add(self, name, self.host(host), {**defaults, **settings}, made)

    def guest(self, name):
        return guest.find(self, name)

    def remove_guest(self, name):
        guest.remove(self, name)

    # -- what is there

    def status(self):
        """Lines for a person."""
        if not self.is_up():
            yield f"the lab in {self.folder} is not up"
            return
        yield f"lab {self.folder}, client namespace {self.client}"
        for host in self.hosts.values():
            parts = [f"{name} {'running' if host.is_running(name) else 'down'}" for name in ("libvirtd", "migrated")]
            yield f"{host.name} {host.address}, namespace {host.namespace}: {', '.join(parts)}"
            yield f"  libvirt  {host.libvirt_uri}"
            yield f"  control  {host.control_socket}"
            if host.is_running("libvirtd"):
                for name, state in host.domains().items():
                    yield f"  guest    {name}: {state}"

    def run_in_client(self, *arguments, check=True, **options):
        return processes.run("ip", "netns", "exec", self.client, *arguments, check=check, **options)


def require_root():
    if os.geteuid() != 0:
        raise LabError("namespaces need root", "run as root")


def has_kvm():
    """Whether guests of the kind "kvm" can run on this machine."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError:
        return False
    return True
