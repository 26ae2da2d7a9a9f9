"""The lab itself: what the other tests rely on."""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from labkit import Lab, LabError, network, processes
from labkit.clients import ForkMonitor, HeldConnection, Pinger, RarpCapture
from labkit.lab import has_kvm
from labkit.mount_points import mounted_paths
from labkit.namespace import inside

PROGRAM = Path(__file__).resolve().parents[2] / "tools/lab"


def migrate(guest):
    """Moves a guest to the other host with libvirt's own means; gives the host it is on then."""
    source, = guest.running_on
    target, = (host for host in guest.lab.hosts.values() if host is not source)
    # libvirt cannot know that the folder is shared.
    source.virsh("migrate", "--live", "--unsafe", "--persistent", "--undefinesource", guest.name, target.libvirt_uri,
                 "--migrateuri", f"tcp://{target.address}")
    return target


class Traces:
    """What a running lab has on the machine; `left` is what of it there still is."""

    def __init__(self, lab):
        self.lab = lab
        self.processes = [processes.identity(pid) for name in network.namespaces() & set(lab.namespaces)
                          for pid in network.processes_in(name)]

    def left(self):
        found = [f"process {process['pid']}" for process in self.processes if processes.is_alive(process)]
        found += [f"namespace {name}" for name in network.namespaces() & set(self.lab.namespaces)]
        found += [f"mount {path}" for path in mounted_paths() if path.startswith(str(self.lab.folder))]
        return found + [str(path) for path in (self.lab.folder,) if path.exists()]


def test_guest_moves_and_its_users_do_not_notice(lab, add_guest):
    guest = add_guest("mover", memory=128)
    before = guest.scan()
    with (Pinger(lab, guest.address) as pinger, HeldConnection(lab, guest.address) as held,
          RarpCapture(lab, guest.macs[0]) as announced, ForkMonitor(lab) as forks):
        target = migrate(guest)
        after = guest.scan()
    assert guest.running_on == [target]
    assert before["bad"] == 0 and before["pages"] > 0
    assert after["bad"] == 0 and after["sequence"] > before["sequence"]
    assert pinger.answered
    assert held.exchanged > 0 and not held.broken
    assert {host for _, host, _ in announced.frames} == {target.name}
    assert forks.heard(guest.address) > 0 and not forks.found


def test_memory_checker_finds_a_wrong_page(add_guest):
    guest = add_guest("spoiled", memory=128, dirty_rate=0)
    assert guest.scan()["bad"] == 0
    guest.ask("spoil 100")
    found = guest.scan()
    assert (found["bad"], found["first"]) == (1, "100:checksum")


def test_two_running_copies_are_seen(lab, add_guest):
    """The same saved guest is set going on both hosts."""
    guest = add_guest("twin", memory=128, dirty_rate=0)
    image = lab.folder / "hosta/twin.state"
    second_disk = lab.shared / "twin-second.qcow2"
    hosta, hostb = lab.hosts.values()
    with ForkMonitor(lab) as forks:
        processes.wait_until(lambda: forks.heard(guest.address) > 10, 60, "the fork detector")
        hosta.virsh("save", guest.name, image)
        shutil.copy(guest.disk, second_disk)
        description = hosta.virsh("save-image-dumpxml", image).stdout.replace(str(guest.disk), str(second_disk))
        (lab.folder / "hostb/twin.xml").write_text(description)
        hosta.virsh("restore", image)
        assert not forks.found
        hostb.virsh("restore", image, "--xml", lab.folder / "hostb/twin.xml")
        processes.wait_until(lambda: forks.found, 60, "the fork monitor to see both")
    second_disk.unlink()
    assert forks.found[0][0] == guest.address


def redis(guest, command):
    """Sends a line to the guest's redis; gives the lines of the answer."""
    with guest.connect(6379) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(1000).decode().split("\r\n")


def test_debian_guest_moves_with_its_services(add_guest):
    guest = add_guest("services", "debian", memory=512)
    assert redis(guest, "set colour blue")[0] == "+OK"
    target = migrate(guest)
    assert guest.running_on == [target]
    assert redis(guest, "get colour")[1] == "blue"
    with guest.connect(80) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
    assert guest.scan()["bad"] == 0


@pytest.mark.skipif(not has_kvm(), reason="/dev/kvm cannot be opened")
def test_kvm_guest_moves(add_guest):
    guest = add_guest("writer", "kvm")
    target = migrate(guest)
    before, _ = guest.passes()
    processes.wait_until(lambda: guest.passes()[0] > before + 1, 60, "two passes after the migration")
    assert guest.running_on == [target]
    assert guest.passes()[1] == 0


def exchange(lab):
    """Sends a byte from hosta to hostb on the migration network."""
    source, target = lab.hosts.values()
    server = inside(target.namespace, lambda: socket.create_server((target.address, 0)))
    with server:
        with inside(source.namespace, lambda: socket.create_connection(server.getsockname(), 1)) as client:
            client.sendall(b"x")
            with server.accept()[0] as connection:
                return connection.recv(1)


@pytest.mark.parametrize("sender", [None, "hosta", "hostb"])
def test_link_is_cut_and_heals(lab, sender):
    lab.link.cut(sender)
    try:
        with pytest.raises(TimeoutError):
            exchange(lab)
    finally:
        lab.link.heal()
    assert exchange(lab) == b"x"


def test_link_is_far(lab):
    lab.link.delay(80)
    try:
        said = lab.host("hosta").run("ping", "-c", "2", "-q", "10.77.0.2").stdout
    finally:
        lab.link.delay(None)
    shortest = float(said.rpartition("=")[2].split("/")[0])
    assert shortest >= 80
    assert exchange(lab) == b"x"


def test_qemu_outlives_a_killed_libvirtd(lab, add_guest):
    guest = add_guest("survivor", memory=128)
    host, = guest.running_on
    host.kill_libvirtd()
    assert guest.scan()["bad"] == 0
    host.start_libvirtd()
    assert guest.running_on == [host]


def test_a_second_up_says_so(lab):
    said = subprocess.run([PROGRAM, "--directory", lab.folder, "up"], capture_output=True, text=True, check=True)
    assert "is up already" in said.stdout


def test_down_leaves_nothing():
    lab = Lab(tempfile.mkdtemp(prefix="vmigrate-lab-", dir="/var/tmp"))
    lab.up()
    lab.link.delay(10)
    started = subprocess.Popen([sys.executable, PROGRAM, "--directory", lab.folder, "exec", "hosta", "sleep", "1000"])
    processes.wait_until(lambda: runs_sleep(lab.host("hosta").namespace), 10, "the command to run")
    before = Traces(lab)
    assert len(before.processes) >= 5  # holders, libvirtds, sleep
    lab.down()
    assert started.wait(10) != 0
    assert before.left() == []


def runs_sleep(namespace):
    return any(Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\0001000\0"
               for pid in network.processes_in(namespace))


def test_down_clears_what_a_crash_left():
    """`up` that is killed half-way leaves namespaces, processes and no complete account of them."""
    lab = Lab(tempfile.mkdtemp(prefix="vmigrate-lab-", dir="/var/tmp"))
    starting = subprocess.Popen([PROGRAM, "--directory", lab.folder, "up"])
    processes.wait_until(lambda: lab.state.process("hosta.holder"), 60, "the first host")
    starting.send_signal(signal.SIGKILL)
    starting.wait()
    before = Traces(lab)
    lab.down()
    assert before.left() == []


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "letters").write_text("dear")
    for act in (Lab(tmp_path).up, Lab(tmp_path).down):
        with pytest.raises(LabError):
            act()
    assert (tmp_path / "letters").read_text() == "dear"
