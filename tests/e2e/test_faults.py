"""What becomes of a migration when something goes wrong that test_fault_cells.py has no cell for. Where the VM must run
afterwards follows from docs/protocol.md. In every case never two copies, nothing left, and the next try works.
"""

import json
import os
import subprocess
import time

import pytest
from labkit import processes
from labkit.clients import ForkMonitor

from moving import GUEST

# Slow enough that a step can be caught in the memory phase (some 130 MB on the wire), and that it comes to an end.
SLOW = "300mbit"
PATIENCE = 60


class Move:
    """A `vmigrate start` under way, in the host that the VM leaves."""

    def __init__(self, lab, source="hosta", destination="hostb", *options):
        self.lab, self.source, self.destination = lab, lab.host(source), lab.host(destination)
        command = self.source.inside(self.source.client_program, "start", GUEST, destination, *options)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait(self):
        """The exit code, once it has ended."""
        self.said = "".join(self.process.communicate(timeout=PATIENCE))
        return self.process.returncode


def status(host, *arguments):
    answer = host.run(host.client_program, "-o", "json", *arguments, check=False)
    return json.loads(answer.stdout) if answer.returncode == 0 else None


def phase(host):
    """Of the newest migration of the guest that the host knows."""
    return (status(host, "show", GUEST) or {}).get("phase")


def wait_for_phase(host, *phases):
    processes.wait_until(lambda: phase(host) in phases, PATIENCE, f"{host.name} to be in {' or '.join(phases)}")


def restart(host, environment=None):
    if host.is_running("migrated"):
        host.stop_daemon()
    host.start_daemon(environment)


def daemon_of(host):
    return host.state.process(f"{host.name}.migrated")


def is_dead(host):
    return lambda: not host.is_running("migrated")


def is_stopped(host):
    def stopped():
        with open(f"/proc/{daemon_of(host)['pid']}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] == "T"
    return stopped


def runs_only_on(lab, guest, name):
    processes.wait_until(lambda: [host.name for host in guest.running_on] == [name], PATIENCE,
                         f"{GUEST} to run on {name} alone")


def await_no_folders(host):
    """Those of migrations go when both sides have ended."""
    def left():
        return [entry for entry in os.listdir(host.inner("/run/vmigrate"))
                if not entry.startswith(("migrated.sock", "vmms"))]
    processes.wait_until(lambda: not left(), PATIENCE, f"{host.name}'s folders of migrations to be gone")


def nothing_left(lab, guest, name):
    """Besides the VM on the one host that has it, and an empty token file beside the disk where the source daemon was
    killed between making and removing it: a later daemon clears those that are an hour old."""
    for host in lab.hosts.values():
        processes.wait_until(lambda: len(host.qemus()) == (host.name == name), PATIENCE, f"{host.name}'s QEMUs to be gone")
        assert (GUEST in host.domains()) == (host.name == name), host.domains()
        await_no_folders(host)


@pytest.fixture
def fork_monitor(lab, guest):
    with ForkMonitor(lab) as monitor:
        yield monitor
        processes.wait_until(lambda: monitor.heard(guest.address) > 10, PATIENCE, "the guest's own count")
    assert not monitor.found, "two copies ran"


@pytest.fixture
def world(lab, guest, fork_monitor):
    """The guest on hosta, both daemons up; afterwards everything as before, wherever the test left it."""
    yield lab
    lab.link.heal()
    lab.link.shape(None)
    for host in lab.hosts.values():
        restart(host)


def is_whole(guest):
    """Its memory is what it has written, and its disk what it has been told was written."""
    memory, disk = guest.scan(), guest.ask_disk("scan")
    assert memory["bad"] == 0, memory
    assert disk["bad"] == 0, disk


def is_good_on(lab, guest, name):
    """The VM runs there and only there, it is whole, nothing is left, and it can be moved: home, or there and back."""
    lab.link.heal()
    lab.link.shape(None)
    runs_only_on(lab, guest, name)
    is_whole(guest)
    for host in lab.hosts.values():
        if not host.is_running("migrated"):
            host.start_daemon()
    wait_for_end(lab)
    nothing_left(lab, guest, name)
    hops = (("hostb", "hosta"),) if name == "hostb" else (("hosta", "hostb"), ("hostb", "hosta"))
    for source, destination in hops:
        move = Move(lab, source, destination)
        assert move.wait() == 0, move.said
    runs_only_on(lab, guest, "hosta")
    is_whole(guest)


def wait_for_end(lab):
    def ended():
        return all(not vm.get("migration") for host in lab.hosts.values() for vm in status(host, "list")["vms"])
    processes.wait_until(ended, PATIENCE, "every migration to end")


# -- Daemons die

def test_both_daemons_die_behind_the_promise(world, guest):
    source, destination = world.host("hosta"), world.host("hostb")
    restart(source, {"VMIGRATE_FAILPOINT": "kill:after:relinquished"})
    move = Move(world)
    processes.wait_until(is_dead(source), PATIENCE, "the failpoint")
    move.wait()
    destination.kill_daemon()
    assert not guest.running_on
    source.start_daemon()
    wait_for_phase(source, "NEEDS_ATTENTION")
    assert not guest.running_on
    destination.start_daemon()
    is_good_on(world, guest, "hosta")


# -- The link

LINK_LOST = "link lost, trying again"


@pytest.fixture
def patient(world):
    """Both daemons with the window that they have by default."""
    for host in world.hosts.values():
        usual = host.reconnect_window
        host.set_reconnect_window("60s")
        restart(host)
    yield world
    for host in world.hosts.values():
        host.set_reconnect_window(usual)


@pytest.mark.parametrize("seconds, one_way", [(10, None), (10, "hosta"), (10, "hostb"), (50, None)])
def test_a_cut_is_a_stall(patient, guest, seconds, one_way):
    patient.link.shape(SLOW)
    source = patient.host("hosta")
    move = Move(patient)
    wait_for_phase(source, "MEMORY")
    patient.link.cut(one_way)
    begun = time.monotonic()
    processes.wait_until(lambda: "link_outage" in status(source, "show", GUEST)["progress"], PATIENCE, "the stall to be seen")
    time.sleep(begun + seconds - time.monotonic())  # how long the cut lasts
    assert [host.name for host in guest.running_on] == ["hosta"]
    patient.link.heal()
    assert move.wait() == 0, move.said
    assert LINK_LOST in move.said
    receipt = status(source, "show", GUEST)["receipt"]
    assert receipt["link_stalls"] == 1 and receipt["link_stalled_ms"] >= (seconds - 6) * 1000, receipt
    is_good_on(patient, guest, "hostb")


@pytest.mark.parametrize("seconds", [1, None])
def test_a_cut_while_the_vm_stands_still(world, guest, seconds):
    """None: for good."""
    world.link.shape("50mbit")
    move = Move(world, "hosta", "hostb", "--finish-by", "1s", "--on-stall", "pause")
    wait_for_phase(world.host("hosta"), "SWITCHOVER")
    assert not guest.running_on
    world.link.cut()
    if seconds is None:
        # Noticed within 5 s, tried again for 3 s, and back within 10 s of that.
        processes.wait_until(lambda: [host.name for host in guest.running_on] == ["hosta"], 18, f"{GUEST} to run on")
        assert move.wait() == 1, move.said
        is_good_on(world, guest, "hosta")
        return
    time.sleep(seconds)  # how long the cut lasts
    world.link.heal()
    assert move.wait() == 0, move.said
    is_good_on(world, guest, "hostb")


# -- Cancel

def cancel(host):
    return host.run(host.client_program, "cancel", GUEST, check=False)


def test_cancel_while_the_destination_prepares(world, guest):
    destination = world.host("hostb")
    restart(destination, {"VMIGRATE_FAILPOINT": "stop:before:reserved"})
    move = Move(world)
    processes.wait_until(is_stopped(destination), PATIENCE, "the failpoint")
    assert cancel(world.host("hosta")).returncode in (0, 6)
    assert move.wait() == 6, move.said
    assert [host.name for host in guest.running_on] == ["hosta"]
    destination.kill_daemon()
    destination.start_daemon()
    is_good_on(world, guest, "hosta")
