"""Two libvirt hosts in namespaces of this machine, and a host_agent in each, for tests. Needs root."""

import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path

# No wait in a test is for a time: each is for an event, and this only ends a test that hangs.
PATIENCE = 60

GUEST_XML = """
<domain type='{kind}'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='{machine}'>hvm</type></os><features><acpi/></features>{cpu}
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw' cache='{cache}'/>
<source file='{image}'/><target dev='sda' bus='sata'/></disk>
<interface type='bridge'><mac address='52:54:00:12:34:56'/><source bridge='{bridge}'/><model type='virtio'/></interface>
<serial type='null'/></devices></domain>
"""

# Adds one to a word in each of 112 pages at 0x10000, 18 times a second, for ever: 16-bit code for a boot block.
#   xor ax,ax; mov ds,ax; again: sti; mov bx,0x1000; next: mov es,bx; inc word [es:0]; add bx,0x100; cmp bx,0x8000;
#   jb next; hlt; jmp again
GUEST_CODE = bytes.fromhex("31c08ed8" "fb" "bb0010" "8ec3" "26ff060000" "81c30001" "81fb0080" "72ef" "f4" "ebe8")


class Host:
    """A network, mount and UTS namespace with its own libvirtd; `folder` holds what it sees under /run/libvirt etc."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder
        self.keeper = None
        for part in ("run", "lib", "etc/qemu", "log", "runtime"):
            (folder / part).mkdir(parents=True)
        (folder / "runtime").chmod(0o711)
        (folder / "etc/libvirtd.conf").write_text(f'host_uuid = "{uuid.uuid4()}"\nauth_unix_rw = "none"\n')
        # QEMU runs as the unprivileged user of the distribution, as on a real host.
        (folder / "etc/qemu.conf").write_text(
            'stdio_handler = "file"\nsecurity_driver = "none"\ncgroup_controllers = []\n'
            "namespaces = []\nremember_owner = 0\n")

    def start(self):
        # /var/cache/libvirt stays the machine's own: what libvirt finds out about the installed QEMU, which can take it
        # a minute, is the same for all.
        for path in ("/run/libvirt", "/run/vmigrate"):
            os.makedirs(path, exist_ok=True)
        mounts = {"run": "/run/libvirt", "lib": "/var/lib/libvirt", "etc": "/etc/libvirt", "log": "/var/log/libvirt",
                  "runtime": "/run/vmigrate"}
        steps = ["set -e", "mount --make-rprivate /", "mount -t sysfs sysfs /sys", f"hostname {self.name}",
                 "ip link set lo up", "ip link add br0 type bridge", "ip link set br0 up"]
        steps += [f"mount --bind {self.folder / part} {path}" for part, path in mounts.items()]
        if os.path.exists("/dev/kvm"):
            # As udev makes it. Where QEMU's user cannot open it, but libvirt's probing as root can, libvirt takes
            # its knowledge of QEMU for outdated at every use, and finds out all of it again.
            node = self.folder / "kvm"
            device = os.stat("/dev/kvm").st_rdev
            steps += [f"mknod {node} c {os.major(device)} {os.minor(device)}", f"chown root:kvm {node}",
                      f"chmod 660 {node}", f"mount --bind {node} /dev/kvm"]
        steps += ["echo ready", "exec sleep infinity"]
        self.keeper = subprocess.Popen(["unshare", "-m", "-u", "-n", "bash", "-c", "\n".join(steps)],
                                       stdout=subprocess.PIPE, text=True)
        assert self.keeper.stdout.readline() == "ready\n"
        self.start_libvirtd()

    def start_libvirtd(self):
        log = open(self.folder / "libvirtd.log", "a", encoding="utf-8")
        self.libvirtd = subprocess.Popen(self.inside("libvirtd", "-p", "/run/libvirt/libvirtd.pid"), stdout=log, stderr=log)
        wait_until(lambda: self.virsh("version", check=False).returncode == 0)

    def restart_libvirtd(self):
        """As after a crash of it: the VMs run on."""
        kill(int((self.folder / "run/libvirtd.pid").read_text()))
        self.libvirtd.wait()
        self.start_libvirtd()

    def inside(self, *command):
        return ["nsenter", "-t", str(self.keeper.pid), "-m", "-u", "-n", *command]

    def virsh(self, *command, check=True):
        socket = f"qemu+unix:///system?socket={self.folder}/run/libvirt-sock"
        result = subprocess.run(["virsh", "-q", "-c", socket, *command], check=False, capture_output=True, text=True)
        assert not check or result.returncode == 0, result.stderr
        return result

    def state(self, name):
        """As virsh says it, with the reason: "paused (migrating)"; "absent" when there is no such VM."""
        result = self.virsh("domstate", name, "--reason", check=False)
        return result.stdout.strip() if result.returncode == 0 else "absent"

    def qemu_pid(self, name):
        return int((self.folder / "run/qemu" / f"{name}.pid").read_text())

    def clear(self):
        for name in self.virsh("list", "--all", "--name").stdout.split():
            self.virsh("destroy", name, check=False)
            self.virsh("undefine", name, check=False)

    def stop(self):
        for file in (self.folder / "run/qemu").glob("*.pid"):
            kill(int(file.read_text()))
        kill(int((self.folder / "run/libvirtd.pid").read_text()))
        self.libvirtd.wait()
        self.keeper.kill()
        self.keeper.wait()


class Agent:
    """tests/hypervisor/host_agent in a host: tell() writes a line, expect() waits for one."""

    def __init__(self, host, program, link, runtime="/run/vmigrate/m"):
        folder = host.folder / "runtime" / "m"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        self.host = host
        self.log = open(host.folder / "agent.log", "a", encoding="utf-8")
        self.process = subprocess.Popen(host.inside(program, "/run/libvirt/libvirt-sock", str(link), runtime),
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
            assert line is not None, f"{self.host.name}'s agent ended while {start!r} was waited for"
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
            self.process.wait(timeout=PATIENCE)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def wait_until(condition):
    """For what nothing tells: polls."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def make_image(path):
    block = GUEST_CODE.ljust(510, b"\0") + b"\x55\xaa"
    path.write_bytes(block.ljust(1 << 20, b"\0"))


def make_folder():
    # QEMU's user has to get through, and cache='none' needs a file system with O_DIRECT.
    folder = Path(tempfile.mkdtemp(prefix="vmigrate-hosts-", dir="/var/tmp"))
    folder.chmod(0o755)
    return folder
