"""What test_faults.py does to VMs of libvirt, done to a VM of a VMM: daemons and VMMs die at each step, links are cut.
The VM must run where docs/protocol.md says, never twice, nothing may be left, and the next try works."""

import signal
import time

import pytest
from labkit import LabError, processes
from labkit.lab import has_kvm

from moving import move, vmigrate
from test_faults import (GUEST, PATIENCE, Move, await_no_folders, daemon_of, is_dead, is_stopped,
                         restart, wait_for_end, wait_for_phase)
from vmms import MicroVm, stand_by, started_processes, vms

pytestmark = pytest.mark.skipif(not has_kvm(), reason="/dev/kvm cannot be opened here")
SLOWLY = ("--bandwidth", "16Mbit")


@pytest.fixture(scope="module", autouse=True)
def standby(lab):
    stand_by(lab)


@pytest.fixture
def vm(lab):
    """On hosta, both daemons up."""
    made = MicroVm(lab, GUEST, "memory_checker", 2048, 200)
    made.await_line("filled")
    made.watch()
    yield made
    lab.link.heal()
    for host in lab.hosts.values():
        restart(host)
    made.remove()


def running_on(lab):
    """By what the daemons say, and by what runs."""
    return [host.name for host in lab.hosts.values()
            if host.is_running("migrated") and vms(host).get(GUEST) == "running"]


def nothing_left(lab, name):
    for host in lab.hosts.values():
        expected = 2 + (host.name == name)
        processes.wait_until(lambda: started_processes(host) == expected, PATIENCE,
                             f"{host.name} to have {expected} VMMs, of which one waits")
        await_no_folders(host)


def is_good_on(lab, vm, name):
    lab.link.heal()
    for host in lab.hosts.values():
        if not host.is_running("migrated"):
            host.start_daemon()
    processes.wait_until(lambda: vm.states == {name: "running"}, PATIENCE, f"{GUEST} to run on {name} alone")
    wait_for_end(lab)
    assert vm.scan()["bad"] == 0
    nothing_left(lab, name)
    hops = (("hostb", "hosta"),) if name == "hostb" else (("hosta", "hostb"), ("hostb", "hosta"))
    for source, destination in hops:
        move(lab, GUEST, source, destination)
    vm.is_only_on("hosta")
    assert vm.scan()["bad"] == 0
    assert not vm.forks()


def await_failpoint(started, reached):
    """A move that ends without coming there is told with what it said."""
    processes.wait_until(lambda: reached() or started.process.poll() is not None, PATIENCE, "the failpoint")
    try:
        processes.wait_until(reached, 5, "the failpoint")  # the client may see its daemon die first
    except LabError:
        pytest.fail(f"the failpoint was not reached: {started.wait()} {started.said}")


def counts_on(vm):
    """Whether the guest, and so some copy of it, runs: its count goes on."""
    before = len(vm.lines())
    time.sleep(0.5)
    return len(vm.lines()) > before


# -- A daemon dies at a promise, and comes back

AT_SOURCE = [("kill:before:preparing", "hosta"), ("kill:after:preparing", "hosta"), ("kill:before:relinquished", "hosta"),
             ("kill:after:relinquished", "hosta"), ("kill:before:confirmed", "hostb"), ("kill:after:confirmed", "hostb")]
AT_DESTINATION = [("kill:before:reserved", "hosta"), ("kill:after:reserved", "hosta"), ("kill:before:started", "hosta"),
                  ("kill:after:started", "hostb"), ("kill:before:running", "hostb"), ("kill:after:running", "hostb")]


@pytest.mark.parametrize("failpoint, runs_on", AT_SOURCE)
def test_the_source_daemon_dies(lab, vm, failpoint, runs_on):
    source = lab.host("hosta")
    restart(source, {"VMIGRATE_FAILPOINT": failpoint})
    started = Move(lab)
    await_failpoint(started, is_dead(source))
    assert started.wait() != 0
    source.start_daemon()
    is_good_on(lab, vm, runs_on)


@pytest.mark.parametrize("failpoint, runs_on", AT_DESTINATION)
def test_the_destination_daemon_dies(lab, vm, failpoint, runs_on):
    destination = lab.host("hostb")
    restart(destination, {"VMIGRATE_FAILPOINT": failpoint})
    started = Move(lab)
    await_failpoint(started, is_dead(destination))
    destination.start_daemon()
    assert (started.wait() == 0) == (runs_on == "hostb"), started.said
    is_good_on(lab, vm, runs_on)


@pytest.mark.parametrize("name", ["hosta", "hostb"])
def test_a_daemon_dies_while_memory_moves(lab, vm, name):
    started = Move(lab, "hosta", "hostb", *SLOWLY)
    wait_for_phase(lab.host("hosta"), "MEMORY")
    lab.host(name).kill_daemon()
    assert started.wait() != 0
    lab.host(name).start_daemon()
    is_good_on(lab, vm, "hosta")


def test_both_daemons_die_behind_the_promise(lab, vm):
    source, destination = lab.host("hosta"), lab.host("hostb")
    restart(source, {"VMIGRATE_FAILPOINT": "kill:after:relinquished"})
    started = Move(lab)
    await_failpoint(started, is_dead(source))
    started.wait()
    destination.kill_daemon()
    assert not counts_on(vm)
    source.start_daemon()
    wait_for_phase(source, "NEEDS_ATTENTION")
    assert not counts_on(vm)
    destination.start_daemon()
    is_good_on(lab, vm, "hosta")


# -- A VMM dies

def kill_vmm(vm, host):
    processes.end(vm.processes[host], signal.SIGKILL)


def is_lost(lab, vm):
    wait_for_end(lab)
    processes.wait_until(lambda: not vm.processes and not vm.states, PATIENCE, f"{GUEST} to be forgotten")
    nothing_left(lab, None)
    assert not vm.forks()


def test_the_sources_vmm_dies_while_memory_moves(lab, vm):
    started = Move(lab, "hosta", "hostb", *SLOWLY)
    wait_for_phase(lab.host("hosta"), "MEMORY")
    kill_vmm(vm, "hosta")
    assert started.wait() != 0
    assert "ended on hosta during the migration" in started.said
    is_lost(lab, vm)


def test_the_destinations_vmm_dies_while_memory_moves(lab, vm):
    started = Move(lab, "hosta", "hostb", *SLOWLY)
    wait_for_phase(lab.host("hosta"), "MEMORY")
    kill_vmm(vm, "hostb")
    assert started.wait() == 1, started.said
    is_good_on(lab, vm, "hosta")


def test_the_sources_vmm_dies_behind_the_promise(lab, vm):
    source = lab.host("hosta")
    restart(source, {"VMIGRATE_FAILPOINT": "stop:after:relinquished"})
    started = Move(lab)
    await_failpoint(started, is_stopped(source))
    kill_vmm(vm, "hosta")
    processes.send(daemon_of(source), signal.SIGCONT)
    assert started.wait() == 0, started.said
    is_good_on(lab, vm, "hostb")


# -- libvirtd, which has nothing to do with it

def test_libvirtd_is_not_needed_to_end_a_move(lab, vm):
    source = lab.host("hosta")
    started = Move(lab, "hosta", "hostb", *SLOWLY)
    wait_for_phase(source, "MEMORY")
    source.kill_libvirtd()
    try:
        assert started.wait() == 0, started.said
        processes.wait_until(lambda: list(vm.processes) == ["hostb"], PATIENCE, "the copy on hosta to go")
    finally:
        source.start_libvirtd()
    is_good_on(lab, vm, "hostb")


# -- The link

def test_a_short_cut_is_not_noticed(lab, vm):
    started = Move(lab, "hosta", "hostb", *SLOWLY)
    wait_for_phase(lab.host("hosta"), "MEMORY")
    lab.link.cut()
    time.sleep(1)  # how long the cut lasts
    lab.link.heal()
    assert started.wait() == 0, started.said
    is_good_on(lab, vm, "hostb")


def test_a_long_cut_leaves_the_vm_where_it_was(lab, vm):
    started = Move(lab, "hosta", "hostb", "--bandwidth", "1Mbit")  # never over before the cut
    wait_for_phase(lab.host("hosta"), "MEMORY")
    lab.link.cut()
    assert started.wait() == 1, started.said
    assert "runs on hosta" in started.said
    is_good_on(lab, vm, "hosta")


# -- In doubt: last, since the destination's books keep it

def test_the_destinations_vmm_dies_at_the_commit(lab, vm):
    """Nobody can know whether it has run: the source waits for a person."""
    source, destination = lab.host("hosta"), lab.host("hostb")
    restart(destination, {"VMIGRATE_FAILPOINT": "stop:after:started"})
    started = Move(lab)
    await_failpoint(started, is_stopped(destination))
    kill_vmm(vm, "hostb")
    processes.send(daemon_of(destination), signal.SIGCONT)
    wait_for_phase(source, "NEEDS_ATTENTION")
    assert not counts_on(vm)
    resolved = vmigrate(source, "resolve", GUEST, "--run-here", "--i-have-fenced", "hostb")
    assert resolved.returncode == 0, resolved.stderr
    assert started.wait() != 0
    restart(destination)
    # `show` there goes on telling of the migration that is in doubt, so only where the VM is counts.
    for here, there in (("hosta", "hostb"), ("hostb", "hosta")):
        moved = vmigrate(lab.host(here), "start", GUEST, there)
        assert moved.returncode == 0, moved.stderr
    vm.is_only_on("hosta")
    assert vm.scan()["bad"] == 0
    assert not vm.forks()
