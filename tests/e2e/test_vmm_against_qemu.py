"""The same guest, the boot block that writes pages for ever, on the same KVM and the same link in one run: moved with the
engine of src/kvm, moved by vmigrate as a VM of QEMU, and moved by libvirt alone."""

import statistics
import threading
import time

import pytest
from labkit import processes
from labkit.boot_block import make_flat_program
from labkit.lab import has_kvm

from moving import vmigrate
from vmms import MicroVm, stand_by

pytestmark = pytest.mark.skipif(not has_kvm(), reason="/dev/kvm cannot be opened here")
LINK = "1gbit"
ROUNDS = 5


class Gap(threading.Thread):
    """The longest time between two of a guest's signs of life, which are what a file grows by."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.ending = threading.Event()
        self.longest = 0.0

    def run(self):
        size, since = self.path.stat().st_size, time.monotonic()
        while not self.ending.wait(0.001):
            now = time.monotonic()
            if self.path.stat().st_size != size:
                size, since = self.path.stat().st_size, now
            self.longest = max(self.longest, now - since)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()


def by_vmigrate(lab, name, source, destination):
    answer = vmigrate(lab.host(source), "start", name, destination)
    assert answer.returncode == 0, answer.stderr


def by_libvirt(lab, name, source, destination):
    there = lab.host(destination)
    lab.host(source).virsh("migrate", "--live", "--unsafe", "--persistent", "--undefinesource", name, there.libvirt_uri,
                           f"tcp://{there.address}")


def measure(lab, move, name, path, source, destination):
    """(seconds of the command, seconds without a sign of life)"""
    with Gap(path) as gap:
        began = time.monotonic()
        move(lab, name, source, destination)
        total = time.monotonic() - began
        size = path.stat().st_size
        processes.wait_until(lambda: path.stat().st_size > size, 60, f"{name} to go on")
    return total, gap.longest


def test_total_and_pause_are_not_longer(lab, add_guest):
    stand_by(lab)
    qemus = add_guest("web1", "kvm")
    program = lab.shared / "writer"
    make_flat_program(program)
    vm = MicroVm(lab, "tiny", program, memory=32)
    vm.await_line(".")
    lab.link.shape(LINK)
    cases = {"the engine": (by_vmigrate, "tiny", vm.console), "vmigrate with QEMU": (by_vmigrate, "web1", qemus.serial),
             "libvirt with QEMU": (by_libvirt, "web1", qemus.serial)}
    found = {name: [] for name in cases}
    places = {"tiny": "hosta", "web1": "hosta"}
    for _ in range(ROUNDS):
        for name, (move, guest, path) in cases.items():
            source = places[guest]
            places[guest] = "hostb" if source == "hosta" else "hosta"
            found[name].append(measure(lab, move, guest, path, source, places[guest]))
    lab.link.shape(None)
    middle = {name: tuple(statistics.median(values) for values in zip(*runs)) for name, runs in found.items()}
    for name, (total, gap) in middle.items():
        print(f"{name:20} total {total * 1000:6.0f} ms  longest gap {gap * 1000:6.0f} ms")
    assert "!" not in vm.lines() and qemus.passes()[1] == 0
    for number in (0, 1):
        assert middle["the engine"][number] <= middle["vmigrate with QEMU"][number]
        assert middle["the engine"][number] <= middle["libvirt with QEMU"][number]
    vm.remove()
