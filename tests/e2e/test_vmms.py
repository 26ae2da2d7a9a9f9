"""VMs of a VMM that registers with migrated: listed, checked, moved, cancelled and refused as libvirt's are, beside
them."""

import json
import subprocess

import pytest
from labkit import processes
from labkit.lab import has_kvm

from moving import is_only_on, move, vmigrate
from test_faults import PATIENCE, Move, cancel, restart, status, wait_for_phase
from vmms import stand_by, started_processes, vms

pytestmark = pytest.mark.skipif(not has_kvm(), reason="/dev/kvm cannot be opened here")
DONE, FAILED, NOT_FOUND, REFUSED, CANCELLED = 0, 1, 3, 4, 6
THERE_AND_BACK = (("hosta", "hostb"), ("hostb", "hosta"))
# 8 MiB of guest memory, in about four seconds.
SLOWLY = ("--bandwidth", "16Mbit")


@pytest.fixture(scope="module", autouse=True)
def standby(lab):
    stand_by(lab)


# -- Moves

@pytest.mark.parametrize("vcpus", [1, 2])
def test_it_is_listed_and_moves_there_and_back(lab, add_vm, vcpus):
    vm = add_vm("tiny", 2048, 2000, vcpus=vcpus)
    assert vms(lab.host("hosta")) == {"tiny": "running"}
    for source, destination in THERE_AND_BACK * 3:
        receipt = move(lab, "tiny", source, destination)
        assert receipt["memory_verified"]
        assert not receipt.get("announcements")
        vm.is_only_on(destination)
        assert vm.scan()["bad"] == 0
    assert not vm.forks()
    assert [started_processes(lab.host(name)) for name in ("hosta", "hostb")] == [3, 2]


def test_it_is_checked_and_remembered(lab, add_vm):
    add_vm("tiny", 2048, 100)
    checked = vmigrate(lab.host("hosta"), "-o", "json", "check", "tiny", "hostb")
    assert checked.returncode == DONE, checked.stderr
    assert json.loads(checked.stdout)["hosts"][0]["possible"]
    move(lab, "tiny", "hosta", "hostb")
    past = status(lab.host("hosta"), "history")["migrations"][0]
    assert (past["vm"], past["phase"]) == ("tiny", "COMPLETED")


def test_beside_a_vm_of_libvirt(lab, add_vm, add_guest):
    guest = add_guest("web9", "kvm", host="hostb")
    vm = add_vm("tiny", 2048, 1000)
    assert vms(lab.host("hosta")) == {"tiny": "running"}
    for pairs in ((("tiny", "hosta", "hostb"), ("web9", "hostb", "hosta")),
                  (("tiny", "hostb", "hosta"), ("web9", "hosta", "hostb"))):
        moves = []
        for name, source, destination in pairs:
            host = lab.host(source)
            command = host.inside(host.client_program, "start", name, destination)
            moves.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        for one in moves:
            said = one.communicate(timeout=PATIENCE)
            assert one.returncode == DONE, said
    vm.is_only_on("hosta")
    is_only_on(lab, guest, "hostb")
    assert vms(lab.host("hostb"))["web9"] == "running"
    assert vm.scan()["bad"] == 0 and guest.passes()[1] == 0
    assert not vm.forks()


def test_the_daemons_come_and_go(lab, add_vm):
    vm = add_vm("tiny", 2048, 1000)
    for kill in (False, True):
        for host in lab.hosts.values():
            if kill:
                host.kill_daemon()
            restart(host)
        processes.wait_until(lambda: vm.states == {"hosta": "running"}, PATIENCE, "the VMM to come back")
        for source, destination in THERE_AND_BACK:
            move(lab, "tiny", source, destination)
    vm.is_only_on("hosta")
    assert vm.scan()["bad"] == 0
    assert not vm.forks()


# -- Cancel

def test_cancel_while_memory_moves_and_then_succeed(lab, add_vm):
    vm = add_vm("web1", 2048, 100)
    started = Move(lab, "hosta", "hostb", *SLOWLY)
    wait_for_phase(lab.host("hosta"), "MEMORY")
    answer = cancel(lab.host("hosta"))
    assert answer.returncode == DONE, answer.stderr
    assert started.wait() == CANCELLED, started.said
    vm.is_only_on("hosta")
    for source, destination in THERE_AND_BACK:
        move(lab, "web1", source, destination)
        vm.is_only_on(destination)
    assert vm.scan()["bad"] == 0
    assert not vm.forks()
    assert [started_processes(lab.host(name)) for name in ("hosta", "hostb")] == [3, 2]


# -- What is refused, before anything is stopped

def refused(lab, *words, code=REFUSED, name="web1", destination="hostb"):
    answer = vmigrate(lab.host("hosta"), "start", name, destination)
    assert answer.returncode == code, answer.stderr
    for word in words:
        assert word in answer.stderr, answer.stderr


def test_where_nobody_waits_for_a_vm(lab, add_vm):
    vm = add_vm("web1", 2048, 100)
    lab.host("hostb").stop("standby", 15)
    try:
        refused(lab, "no vmigrate-microvm waits for a VM on hostb", "vmigrate-microvm --standby",
                "now: web1 runs on hosta")
        checked = vmigrate(lab.host("hosta"), "-o", "json", "check", "web1", "hostb")
        assert not json.loads(checked.stdout)["hosts"][0]["possible"]
    finally:
        host = lab.host("hostb")
        host.start("standby", [host.build / "src/microvm/vmigrate-microvm", "--standby", "--console-folder", lab.shared])
    vm.is_only_on("hosta")
    move(lab, "web1", "hosta", "hostb")
    assert vm.scan()["bad"] == 0
    assert not vm.forks()


def test_where_another_vm_has_its_name(lab, add_vm):
    vm = add_vm("web1", 2048, 100)
    # In a folder of its own, since its console has the same name.
    host = lab.host("hostb")
    (lab.shared / "other").mkdir(exist_ok=True)
    host.start("vmm-other", [host.build / "src/microvm/vmigrate-microvm", "--name", "web1", "--memory", "16", "--image",
                             host.build / "tests/kvm/guests/page_writer", "--first", "1", "--second", "10",
                             "--console-folder", lab.shared / "other"])
    try:
        processes.wait_until(lambda: vms(host) == {"web1": "running"}, PATIENCE, "the other to register")
        refused(lab, "hostb has another VM that is called web1", "now: web1 runs on hosta")
    finally:
        host.stop("vmm-other", 9)
        processes.wait_until(lambda: not vms(host), PATIENCE, "the other to go")
    assert vm.scan()["bad"] == 0


def start_again(lab, vm, host):
    """As an old unit would: the same VM, from its image."""
    (lab.shared / "other").mkdir(exist_ok=True)
    return host.run(host.build / "src/microvm/vmigrate-microvm", "--name", vm.name, "--uuid", vm.id, "--image",
                    host.build / "tests/kvm/guests/page_writer", "--console-folder", lab.shared / "other", check=False)


def test_a_second_one_of_the_same_vm(lab, add_vm):
    """A VM that is started again while it is there does not get to run."""
    vm = add_vm("web1", 2048, 100)
    second = start_again(lab, vm, lab.host("hosta"))
    assert second.returncode == REFUSED
    assert "already" in second.stderr
    vm.is_only_on("hosta")


def test_one_that_was_moved_away_is_not_started_where_it_was(lab, add_vm):
    vm = add_vm("web1", 2048, 100)
    move(lab, "web1", "hosta", "hostb")
    stale = start_again(lab, vm, lab.host("hosta"))
    assert stale.returncode == REFUSED
    assert "was handed over to hostb" in stale.stderr
    vm.is_only_on("hostb")
    # And it comes back as ever.
    move(lab, "web1", "hostb", "hosta")
    vm.is_only_on("hosta")


def test_what_is_under_way_already(lab, add_vm):
    vm = add_vm("web1", 2048, 100)
    started = Move(lab, "hosta", "hostb", *SLOWLY)
    wait_for_phase(lab.host("hosta"), "MEMORY")
    refused(lab, "already under way")
    assert started.wait() == DONE, started.said
    vm.is_only_on("hostb")
    assert not vm.forks()


def test_a_vm_that_does_not_exist(lab):
    refused(lab, "there is no VM nothing on hosta", code=NOT_FOUND, name="nothing")
