"""Cancel while the VM stands still: before the promise it runs on at the source at once, whatever the destination does;
after it the destination decides, and what the client says is what happened."""

import signal
import subprocess
from contextlib import contextmanager

import pytest
from labkit import processes
from labkit.clients import ForkMonitor

from test_faults import (GUEST, PATIENCE, Move, cancel, daemon_of, is_good_on, is_stopped, nothing_left, phase, restart,
                         runs_only_on, wait_for_phase)

DONE, REFUSED, CANCELLED = 0, 4, 6
# The guest changes 33 MB a second and the link takes 6: asked to finish in a second, the source stops the VM with some
# 60 MB still to send.
WRITER = 8000
SLOW = "50mbit"
STOP_SOON = ("--finish-by", "1s", "--on-stall", "pause")


@pytest.fixture(scope="module")
def guest(lab):
    made = lab.add_guest(GUEST, dirty_rate=WRITER)
    yield made
    lab.remove_guest(GUEST)


@pytest.fixture(autouse=True)
def never_two(lab, guest):
    with ForkMonitor(lab) as monitor:
        yield
        processes.wait_until(lambda: monitor.heard(guest.address) > 10, PATIENCE, "the guest's own count")
    lab.link.heal()
    lab.link.shape(None)
    for host in lab.hosts.values():
        restart(host)
    assert not monitor.found, "two copies ran"


def stands_still(lab):
    return lab.host("hosta").domains()[GUEST].startswith("paused")


@contextmanager
def daemon_stopped(lab):
    processes.send(daemon_of(lab.host("hostb")), signal.SIGSTOP)
    yield
    processes.send(daemon_of(lab.host("hostb")), signal.SIGCONT)


@contextmanager
def link_cut(lab):
    lab.link.cut()
    yield
    lab.link.heal()


@contextmanager
def nothing_wrong(_lab):
    yield


@pytest.mark.parametrize("trouble", [nothing_wrong, daemon_stopped, link_cut])
def test_while_the_last_pages_move(lab, guest, trouble):
    source = lab.host("hosta")
    before = source.daemon_log.stat().st_size
    lab.link.shape(SLOW)
    move = Move(lab, "hosta", "hostb", *STOP_SOON)
    wait_for_phase(source, "SWITCHOVER")
    assert stands_still(lab)
    # Where all is well, the destination itself closes the link as soon as it has done its part.
    lost = b"not a word" if trouble is nothing_wrong else b"the link to hostb is lost"
    with trouble(lab):
        answer = cancel(source)
        # It has returned, so the VM runs on: with no help of the destination, whose QEMU may still be there.
        # It has not even waited until the destination was taken for dead.
        assert b"VM is back" in source.daemon_log.read_bytes()[before:].partition(lost)[0]
        assert [host.name for host in guest.running_on] == ["hosta"]
        assert answer.returncode == DONE, answer.stderr
        assert f"{GUEST} runs on hosta" in answer.stdout
        assert move.wait() == CANCELLED, move.said
        assert f"{GUEST} runs on hosta" in move.said
    nothing_left(lab, guest, "hosta")
    is_good_on(lab, guest, "hosta")


def is_asked(host):
    """Whether a connection waits at the control socket of a stopped daemon."""
    def asked():
        said = host.run("ss", "--unix", "--listening", "--no-header", "src", "/run/vmigrate/migrated.sock").stdout
        return said.split()[2] != "0"
    return asked


def ask_for_cancel(host):
    command = host.inside(host.client_program, "cancel", GUEST)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def agree(lab, guest, move, asked):
    """Both clients have told the same, and that is where the VM is."""
    said = "".join(asked.communicate(timeout=PATIENCE))
    code = move.wait()
    if asked.returncode == DONE:
        assert code in (1, CANCELLED), move.said
        place = "hosta"
    else:
        assert asked.returncode == REFUSED and "over already" in said or "too late" in said, said
        assert code == DONE, move.said
        place = "hostb"
    assert f"{GUEST} runs on {place}" in said and f"{GUEST} runs on {place}" in move.said
    runs_only_on(lab, guest, place)
    is_good_on(lab, guest, place)
    return place


@pytest.mark.parametrize("failpoint", ["stop:before:relinquished", "stop:after:relinquished"])
def test_at_the_promise(lab, guest, failpoint):
    source = lab.host("hosta")
    restart(source, {"VMIGRATE_FAILPOINT": failpoint})
    move = Move(lab)
    processes.wait_until(is_stopped(source), PATIENCE, "the failpoint")
    assert stands_still(lab)
    asked = ask_for_cancel(source)
    processes.wait_until(is_asked(source), PATIENCE, "the request to arrive")
    processes.send(daemon_of(source), signal.SIGCONT)
    # Finish and the wish to cancel leave together: whichever the destination takes first decides.
    agree(lab, guest, move, asked)


@pytest.mark.parametrize("failpoint", ["stop:after:started", "stop:before:running", "stop:after:running"])
def test_once_it_is_started_it_is_too_late(lab, guest, failpoint):
    source, destination = lab.host("hosta"), lab.host("hostb")
    restart(destination, {"VMIGRATE_FAILPOINT": failpoint})
    log = source.daemon_log
    before = log.stat().st_size
    move = Move(lab)
    processes.wait_until(is_stopped(destination), PATIENCE, "the failpoint")
    asked = ask_for_cancel(source)
    processes.wait_until(lambda: b"cancel asked for in state relinquished" in log.read_bytes()[before:], PATIENCE,
                         "the source to pass the wish on")
    assert stands_still(lab)
    assert phase(source) in ("SWITCHOVER", "NEEDS_ATTENTION")
    processes.send(daemon_of(destination), signal.SIGCONT)
    assert agree(lab, guest, move, asked) == "hostb"
