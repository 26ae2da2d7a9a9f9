"""One host: namespaces kept by a holder process, with libvirtd and migrated inside."""

import os
import shutil
import signal
import socket
import subprocess
import uuid
from pathlib import Path

from . import certificates, network, processes
from .errors import LabError
from .linux_image import CacheLock

# What each host has of its own; the same folders exist under <lab>/<host>/.
OWN_FOLDERS = ("/run/libvirt", "/var/lib/libvirt", "/etc/libvirt", "/var/log/libvirt", "/var/cache/libvirt",
               "/run/vmigrate", "/var/lib/vmigrate", "/etc/vmigrate")
PORT = 16510
PATIENCE = 30
# libvirtd needs about 8 s to find out what QEMU can do. It keeps that in a folder, and checks by itself whether it is
# still true, so that a new lab can begin with what an earlier one found.
CAPABILITIES = Path("/var/cache/vmigrate-lab/capabilities")

# QEMU runs as the distribution's unprivileged user, as on a real host.
QEMU_CONFIGURATION = """\
user = "libvirt-qemu"
group = "libvirt-qemu"
dynamic_ownership = 1
remember_owner = 0
stdio_handler = "file"
security_driver = "none"
cgroup_controllers = []
namespaces = []
"""


class Host:
    def __init__(self, name, folder, namespace, state, build):
        self.name = name
        self.folder = folder
        self.namespace = namespace
        self.state = state
        self.build = build
        self.daemon_program = build / "src/daemon/migrated"
        self.client_program = build / "src/cli/vmigrate"
        self.address = network.MIGRATION_ADDRESSES[name]
        self.reconnect_window = "10s"  # less than usual: most tests that lose a link for good wait for it
        self.libvirt_uri = f"qemu+unix:///system?socket={self.inner('/run/libvirt/libvirt-sock')}"
        self.control_socket = self.inner("/run/vmigrate/migrated.sock")

    def inner(self, path):
        """Where the machine sees what is at `path` inside this host; only for the host's own folders."""
        return self.folder / path.lstrip("/")

    # -- namespaces

    def prepare(self, authority):
        """Makes the folders and configurations; without an authority there are no certificates."""
        for path in OWN_FOLDERS:
            self.inner(path).mkdir(parents=True, exist_ok=True)
        self.inner("/etc/libvirt/libvirtd.conf").write_text(
            f'host_uuid = "{uuid.uuid4()}"\nauth_unix_ro = "none"\nauth_unix_rw = "none"\n'
            'unix_sock_group = "libvirt"\nunix_sock_rw_perms = "0770"\n'
            'log_filters = "2:qemu 3:object 3:event 3:util"\nlog_level = 2\n'
            'log_outputs = "2:file:/var/log/libvirt/libvirtd.log"\n', encoding="utf-8")
        self.inner("/etc/libvirt/qemu.conf").write_text(QEMU_CONFIGURATION, encoding="utf-8")
        # QEMU's user passes through these on its way to its own folders.
        for path in ("/run/vmigrate", "/var/lib/libvirt"):
            self.inner(path).chmod(0o711)
        with CacheLock():
            if CAPABILITIES.is_dir():
                shutil.copytree(CAPABILITIES, self.inner("/var/cache/libvirt/qemu/capabilities"), dirs_exist_ok=True)
        settings = self.inner("/etc/vmigrate")
        configuration = (f'[host]\nname = "{self.name}"\n\n[listen]\naddress = "{self.address}"\nport = {PORT}\n\n'
                         '[log]\nlevel = "debug"\n\n'
                         f'[migration]\nreconnect_window = "{self.reconnect_window}"\n\n')
        # The lab's guests are spared what migrated does not know that they are: see domain.uneven_size.
        configuration += '[hypervisor]\nlossy_emulation = "yes"\n\n'
        if authority:
            certificates.make_certificate(authority, settings, self.name)
            configuration += self.configured_trust()
        (settings / "migrated.toml").write_text(configuration, encoding="utf-8")

    def configured_trust(self):
        peers = "".join(f'[peers.{name}]\naddress = "{address}:{PORT}"\n'
                        for name, address in network.MIGRATION_ADDRESSES.items() if name != self.name)
        return ('[tls]\ncertificate = "/etc/vmigrate/host.pem"\nkey = "/etc/vmigrate/host.key"\n'
                f'ca = "/etc/vmigrate/ca.pem"\n\n{peers}')

    def set_reconnect_window(self, window):
        """For the daemons that are started from now on."""
        settings = self.inner("/etc/vmigrate") / "migrated.toml"
        settings.write_text(settings.read_text(encoding="utf-8").replace(
            f'reconnect_window = "{self.reconnect_window}"', f'reconnect_window = "{window}"'), encoding="utf-8")
        self.reconnect_window = window

    def start_holder(self):
        """Starts the process that keeps the mount and host name namespaces."""
        # The kernel's own view of network devices belongs to the namespace that mounts it.
        steps = ["set -e", f"hostname {self.name}", "mount -t sysfs sysfs /sys"]
        steps += [f"mount --bind {self.inner(path)} {path}" for path in OWN_FOLDERS]
        if os.path.exists("/dev/kvm"):
            node = self.folder / "kvm"
            steps += [f"mknod -m 660 {node} c 10 232", f"chgrp kvm {node}", f"mount --bind {node} /dev/kvm"]
        steps += ["echo ready", "exec sleep infinity >/dev/null 2>&1"]
        holder = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.namespace}", "unshare", "--mount", "--uts", "--propagation", "private",
             "sh", "-c", "\n".join(steps)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        if holder.stdout.readline() != "ready\n":
            raise LabError(f"{self.name}'s namespaces cannot be made: {holder.stderr.read().strip()}")
        self.state.add_process(f"{self.name}.holder", processes.identity(holder.pid))

    @property
    def holder(self):
        holder = self.state.process(f"{self.name}.holder")
        if not processes.is_alive(holder):
            raise LabError(f"{self.name} is not up", "tools/lab up starts the hosts")
        return holder["pid"]

    def inside(self, *arguments):
        """The command line that runs `arguments` inside this host, in this process's working directory."""
        return ["nsenter", "-t", str(self.holder), "--mount", "--uts", "--net", f"--wdns={os.getcwd()}", "--",
                *(str(argument) for argument in arguments)]

    def run(self, *arguments, check=True, **options):
        return processes.run(*self.inside(*arguments), check=check, **options)

    # -- libvirt

    def virsh(self, *arguments, check=True):
        return processes.run("virsh", "-q", "-c", self.libvirt_uri, *arguments, check=check)

    def start_libvirtd(self, wait=True):
        # libvirt takes a QEMU for running until its parent has reaped it, and libvirt's QEMUs are nobody's children. An
        # init that looks for dead ones only now and then, as in some containers, made the end of a VM last 1 or 2 s.
        self.start("libvirtd", ["tini", "-s", "--", "libvirtd", "--pid-file", "/run/libvirt/libvirtd.pid"])
        reaper = self.state.process(f"{self.name}.libvirtd")["pid"]
        child = processes.wait_until(lambda: processes.children(reaper), PATIENCE, f"libvirtd on {self.name}")[0]
        self.state.add_process(f"{self.name}.libvirtd", processes.identity(child))
        if wait:
            self.wait_for_libvirtd()

    def wait_for_libvirtd(self):
        self.wait_for("libvirtd", lambda: self.virsh("version", check=False).returncode == 0)
        found = self.inner("/var/cache/libvirt/qemu/capabilities")
        if found.is_dir():
            with CacheLock():
                shutil.copytree(found, CAPABILITIES, dirs_exist_ok=True)

    def stop_libvirtd(self):
        self.stop("libvirtd", signal.SIGTERM)

    def kill_libvirtd(self):
        """QEMUs go on: libvirtd finds them again when it is started."""
        self.stop("libvirtd", signal.SIGKILL)

    def domains(self):
        """State by name, as virsh says it with the reason: {"web": "running (booted)"}."""
        names = self.virsh("list", "--all", "--name").stdout.split()
        answers = {name: self.virsh("domstate", name, "--reason", check=False) for name in names}
        # One may have gone between the questions.
        return {name: answer.stdout.strip() for name, answer in answers.items() if answer.returncode == 0}

    def qemus(self):
        """The running QEMUs, as identities by guest name."""
        found = {}
        for file in self.inner("/run/libvirt/qemu").glob("*.pid"):
            try:
                process = processes.identity(int(file.read_text(encoding="utf-8")))
            except (ValueError, FileNotFoundError):
                continue
            if process["start"] is not None and is_qemu(process["pid"]):
                found[file.stem] = process
        return found

    # -- migrated

    def has_daemon(self):
        return self.daemon_program.exists()

    def start_daemon(self, environment=None):
        """Returns when its control socket answers; `environment` is added to this process's own."""
        if not self.has_daemon():
            raise LabError(f"there is no {self.daemon_program}", "tools/dev build, or set VMIGRATE_BUILD")
        self.start("migrated", [self.daemon_program.resolve()], {**os.environ, **(environment or {})})
        self.wait_for("migrated", lambda: listens(self.control_socket))

    def use_daemon(self, program):
        """From now on; `program` is below the folder of what is built."""
        if self.build / program == self.daemon_program:
            return
        self.stop_daemon()
        before, self.daemon_program = self.daemon_program, self.build / program
        try:
            self.start_daemon()
        except LabError:
            self.daemon_program = before
            raise

    def stop_daemon(self):
        self.stop("migrated", signal.SIGTERM)

    def kill_daemon(self):
        self.stop("migrated", signal.SIGKILL)

    @property
    def daemon_log(self):
        return self.folder / "migrated.log"

    # -- processes of this host

    def start(self, name, arguments, environment=None):
        if processes.is_alive(self.state.process(f"{self.name}.{name}")):
            raise LabError(f"{name} runs on {self.name} already")
        _, identity = processes.start(self.inside(*arguments), self.folder / f"{name}.log", environment)
        self.state.add_process(f"{self.name}.{name}", identity)

    def stop(self, name, number):
        processes.end(self.state.process(f"{self.name}.{name}"), number, PATIENCE)
        self.state.remove_process(f"{self.name}.{name}")

    def is_running(self, name):
        return processes.is_alive(self.state.process(f"{self.name}.{name}"))

    def wait_for(self, name, ready):
        """Waits for a process to answer; if it ends instead, says what it last wrote."""
        log = self.folder / f"{name}.log"
        processes.wait_until(lambda: ready() or not self.is_running(name), PATIENCE,
                             f"{name} on {self.name}; see {log}")
        if not self.is_running(name):
            said = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])
            raise LabError(f"{name} on {self.name} ended at once:\n{said}")


def is_qemu(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").startswith("qemu-system")
    except (FileNotFoundError, ProcessLookupError):
        return False


def listens(path):
    """Whether somebody accepts connections at a unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True
