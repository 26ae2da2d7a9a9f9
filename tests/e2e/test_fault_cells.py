"""Cells of docs/faults.md with real parts: a migration is held at a step, something happens to it, and everything is mended
again. tools/test runs the quick suite, tools/faults either of them, and prints the table."""

import os

import pytest
from labkit import processes
from labkit.clients import ForkMonitor

from fault_matrix import (DESTINATION, ENDED, GOES_ON, IN_DOUBT, KILL_DESTINATION, KILL_SOURCE, LOST, SOURCE, Scene, cells, decide,
                          leave_nothing_running, make_anew, mend, where_it_is)
from moving import GUEST
from test_faults import PATIENCE, is_good_on, is_whole, restart

CHOSEN = cells(os.environ.get("VMIGRATE_FAULTS_SUITE", "quick"), int(os.environ.get("VMIGRATE_FAULTS_SEED", "1")))


@pytest.fixture
def home(lab, guest):
    """Both daemons without failpoints and the guest on hosta, whatever the cell has left."""
    yield
    mend(lab)
    for host in lab.hosts.values():
        restart(host)
    if [host.name for host in guest.running_on] != ["hosta"]:
        make_anew(lab)


DONE, FAILED, CANCELLED, UNREACHABLE, NEEDS_ATTENTION = 0, 1, 6, 8, 9


def told_the_truth(scene, fault, outcome):
    """The one who asked for it: "it runs there" is said only of what has arrived there, and "it runs here" of what has not,
    by a daemon that lives."""
    code = scene.move.wait()
    if code == DONE:
        assert outcome != SOURCE, scene.move.said
    if outcome == DESTINATION and fault.inflict is KILL_DESTINATION:
        assert code == DONE, scene.move.said
    if outcome == SOURCE and fault.inflict is not KILL_SOURCE:
        if scene.hold.name == "memory":
            assert code == (CANCELLED if fault.name == "it is cancelled" else FAILED), scene.move.said
        assert code in (FAILED, CANCELLED, UNREACHABLE, NEEDS_ATTENTION), scene.move.said
        assert "runs on hosta" in scene.move.said or code == NEEDS_ATTENTION, scene.move.said
    if outcome == DESTINATION and fault.name in GOES_ON:
        assert code == DONE, scene.move.said
    if outcome in (LOST, ENDED) and scene.hold.step in ("prepare", "memory"):
        assert code == FAILED and f"{GUEST} ended on hosta during the migration" in scene.move.said, scene.move.said
    for asked, works_if in scene.asked:
        said = "".join(asked.communicate(timeout=PATIENCE))
        assert (asked.returncode == 0) == (outcome in works_if), (asked.args, said)


@pytest.mark.parametrize("fault, hold", CHOSEN, ids=lambda part: part.name)
def test_cell(lab, guest, home, record_property, fault, hold):
    record_property("fault", fault.name)
    record_property("step", hold.step)
    with fault.around(lab):
        with ForkMonitor(lab) as monitor:
            outcome = inflict(Scene(lab, guest, hold), fault, monitor)
        record_property("outcome", outcome)
        assert not monitor.found, "two copies ran"
        if outcome in (LOST, ENDED, IN_DOUBT) or fault.is_booted_anew:
            make_anew(lab)
        name, = (host.name for host in guest.running_on)
        # And without the fault it works, with the daemons that have gone through it.
        is_good_on(lab, guest, name)
        leave_nothing_running(lab)


def inflict(scene, fault, monitor):
    """What becomes of the VM."""
    lab, guest, hold = scene.lab, scene.guest, scene.hold
    scene.begin()
    fault.inflict(scene)
    assert len(guest.running_on) <= 1
    mend(lab)
    outcome = where_it_is(lab, guest)
    if outcome == LOST and ENDED in fault.outcomes[hold.name]:
        outcome = ENDED
    if outcome == IN_DOUBT:
        decide(lab, guest, "hostb" if hold.name == "committed" else "hosta")
    told_the_truth(scene, fault, outcome)
    assert outcome in fault.outcomes[hold.name], scene.move.said
    if fault.is_booted_anew:
        guest.wait()
    elif outcome in (SOURCE, DESTINATION):
        is_whole(guest)
        processes.wait_until(lambda: monitor.heard(guest.address) > 10, PATIENCE, "the guest's own count")
    return outcome
