"""`vmigrate` at a terminal: Ctrl-C, a closed window, and what is left on the screen."""

import signal

import pytest
from labkit import processes

from moving import is_only_on, move
from terminal import Terminal
from test_faults import GUEST, PATIENCE, daemon_of, nothing_left, phase, wait_for_end

DONE, CANCELLED, DETACHED = 0, 6, 130
# 60 MB or so to move at 6 MB/s: nothing that is done here in the memory phase takes as long.
SLOW = "20mbit"  # the checked pages become a good deal smaller on their way
MOVING = "memory, pass 1"


@pytest.fixture(autouse=True)
def slow_link(lab, guest):
    """And the guest back on hosta in the end, by a move that works as ever."""
    lab.link.shape(SLOW)
    yield
    lab.link.shape(None)
    wait_for_end(lab)
    if [host.name for host in guest.running_on] == ["hosta"]:
        move(lab, GUEST, "hosta", "hostb")
    move(lab, GUEST, "hostb", "hosta")
    is_only_on(lab, guest, "hosta")
    assert guest.scan()["bad"] == 0


def at_terminal(host, *arguments):
    return Terminal(*host.inside(host.client_program, *arguments))


def completes(lab, guest):
    """By itself: nobody waits for it any more."""
    lab.link.shape(None)
    processes.wait_until(lambda: phase(lab.host("hosta")) == "COMPLETED", PATIENCE, "the move to complete")
    is_only_on(lab, guest, "hostb")


def is_cleared(screen):
    """Nothing of the progress is left on it."""
    return not any(sign in screen for sign in ("█", "░", "converging", MOVING))


def test_nobody_presses_anything(lab, guest):
    with at_terminal(lab.host("hosta"), "start", GUEST, "hostb") as terminal:
        terminal.wait_until_shown(f"{GUEST} → hostb   {MOVING}", "░")
        lab.link.shape(None)
        assert terminal.wait() == DONE
    assert terminal.screen.startswith(f"{GUEST} runs on hostb: moved in ")
    assert is_cleared(terminal.screen)


def test_one_control_c_waits_until_the_vm_runs_as_before(lab, guest):
    with at_terminal(lab.host("hosta"), "start", GUEST, "hostb") as terminal:
        terminal.wait_for(MOVING)
        terminal.press_control_c()
        assert terminal.wait() == CANCELLED
        assert [host.name for host in guest.running_on] == ["hosta"]
    assert f"cancelling; waiting until {GUEST} runs on as before" in terminal.screen
    assert "cancelled on request" in terminal.screen
    assert f"now: {GUEST} runs on hosta" in terminal.screen
    assert is_cleared(terminal.screen)
    nothing_left(lab, guest, "hosta")


def test_two_leave_without_waiting_and_the_wish_stands(lab, guest):
    daemon = daemon_of(lab.host("hosta"))
    with at_terminal(lab.host("hosta"), "start", GUEST, "hostb") as terminal:
        terminal.wait_for(MOVING)
        # Otherwise it might be cancelled before the second one.
        processes.send(daemon, signal.SIGSTOP)
        terminal.press_control_c()
        terminal.wait_for("cancelling; ")
        terminal.press_control_c()
        code = terminal.wait()
        processes.send(daemon, signal.SIGCONT)
    assert code == DETACHED
    assert f"detached: the migration of {GUEST} goes on, and was asked to cancel" in terminal.screen
    assert f"vmigrate watch {GUEST}" in terminal.screen
    assert is_cleared(terminal.screen)
    processes.wait_until(lambda: phase(lab.host("hosta")) == "CANCELLED", PATIENCE, "the migration to be cancelled")
    nothing_left(lab, guest, "hosta")


def test_who_watches_leaves_with_one_and_the_move_goes_on(lab, guest):
    host = lab.host("hosta")
    host.run(host.client_program, "start", GUEST, "hostb", "--detach")
    with at_terminal(host, "watch", GUEST) as terminal:
        terminal.wait_for(MOVING)
        terminal.press_control_c()
        assert terminal.wait() == DETACHED
    assert f"detached: the migration of {GUEST} goes on\n" in terminal.screen
    assert is_cleared(terminal.screen)
    completes(lab, guest)


def test_a_closed_window_does_not_disturb_the_move(lab, guest):
    with at_terminal(lab.host("hosta"), "start", GUEST, "hostb") as terminal:
        terminal.wait_for(MOVING)
        terminal.close()
        assert terminal.process.wait(PATIENCE) == -signal.SIGHUP
    completes(lab, guest)
