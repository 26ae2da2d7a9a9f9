"""The hole in libvirt's own migration, and that it is closed: the reply to Finish is lost."""

import signal
import socket
import struct
import threading
from xml.etree import ElementTree

import pytest
from labkit import processes
from labkit.clients import ForkMonitor

from test_faults import (GUEST, PATIENCE, Move, daemon_of, is_good_on, is_stopped, phase, restart, runs_only_on, status,
                         wait_for_phase)

FINISH3_PARAMS = 306
REPLY = 1
RPC_HEADER = struct.Struct("!IIIIIII")  # length, program, version, procedure, type, serial, status


class FinishCutter:
    """Stands between virsh and the destination's libvirtd, and drops the connection at the reply to Finish."""

    def __init__(self, path, target):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.target = str(target)
        self.cut = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while not self.cut.is_set():
            client, _ = self.listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            threading.Thread(target=self.forward, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self.forward, args=(server, client, True), daemon=True).start()

    def forward(self, source, sink, are_replies):
        while message := self.read_message(source):
            _, _, _, procedure, kind, _, _ = RPC_HEADER.unpack_from(message)
            if are_replies and procedure == FINISH3_PARAMS and kind == REPLY:
                self.cut.set()
                break
            sink.sendall(message)
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other direction was first

    @staticmethod
    def read_message(source):
        data = b""
        size = 4
        while len(data) < size:
            piece = source.recv(size - len(data))
            if not piece:
                return b""
            data += piece
            if len(data) == 4:
                size = struct.unpack("!I", data)[0]
        return data


@pytest.fixture
def guest(add_guest):
    return add_guest(GUEST)


def without_disk(lab, guest):
    """The same guest, started anew without its disk: on a disk QEMU's image lock would stop the second copy."""
    host = lab.host("hosta")
    host.virsh("destroy", guest.name)
    description = lab.shared / f"{guest.name}.xml"
    domain = ElementTree.parse(description)
    devices = domain.find("devices")
    for disk in devices.findall("disk"):
        devices.remove(disk)
    domain.write(description)
    host.virsh("define", description)
    host.virsh("start", guest.name)
    guest.wait()


def test_with_virsh_both_copies_run(lab, guest, tmp_path):
    source, destination = lab.host("hosta"), lab.host("hostb")
    without_disk(lab, guest)
    # A Unix socket is reached through the file system, whatever namespace made it.
    path = tmp_path / "cutter.sock"
    cutter = FinishCutter(path, destination.inner("/run/libvirt/libvirt-sock"))
    with ForkMonitor(lab) as monitor:
        moved = processes.run("virsh", "-c", source.libvirt_uri, "migrate", "--live", "--unsafe", "--persistent", GUEST,
                              f"qemu+unix:///system?socket={path}", f"tcp://{destination.address}", check=False)
        assert moved.returncode != 0
        assert cutter.cut.is_set()
        processes.wait_until(lambda: [host.name for host in guest.running_on] == ["hosta", "hostb"], PATIENCE,
                             "both copies to run")
        processes.wait_until(lambda: monitor.found, PATIENCE, "the fork detector to see both copies")
    destination.virsh("destroy", GUEST)


@pytest.mark.parametrize("restarted", [None, "hosta", "hostb"])
def test_with_vmigrate_exactly_one_runs(lab, guest, restarted):
    source, destination = lab.host("hosta"), lab.host("hostb")
    # The destination has started the VM and its word about it, the reply to Finish included, does not get out.
    restart(destination, {"VMIGRATE_FAILPOINT": "stop:before:running"})
    with ForkMonitor(lab) as monitor:
        move = Move(lab)
        processes.wait_until(is_stopped(destination), PATIENCE, "the failpoint")
        lab.link.cut()
        processes.send(daemon_of(destination), signal.SIGCONT)
        wait_for_phase(source, "NEEDS_ATTENTION")
        runs_only_on(lab, guest, "hostb")
        state = next(vm["state"] for vm in status(source, "list")["vms"] if vm["name"] == GUEST)
        assert state == "needs attention"
        if restarted:
            lab.host(restarted).kill_daemon()
            lab.host(restarted).start_daemon()
            runs_only_on(lab, guest, "hostb")
        lab.link.heal()
        move.wait()
        processes.wait_until(lambda: phase(source) == "COMPLETED", PATIENCE, "the source to hear of it")
        runs_only_on(lab, guest, "hostb")
        processes.wait_until(lambda: monitor.heard(guest.address) > 10, PATIENCE, "the guest's own count")
        assert not monitor.found
    is_good_on(lab, guest, "hostb")
