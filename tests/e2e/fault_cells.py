"""Cells of docs/faults.md with real parts: a migration is held at a step, something happens to it, and everything is mended
again. tools/faults runs them and prints the table."""

import os

import pytest
from labkit import processes
from labkit.clients import ForkMonitor

from fault_matrix import DESTINATION, IN_DOUBT, LOST, Scene, answer_for, cells, make_anew, mend, where_it_is
from test_faults import PATIENCE, is_good_on, is_whole, restart

CHOSEN = cells(os.environ["VMIGRATE_FAULTS_SUITE"], int(os.environ["VMIGRATE_FAULTS_SEED"]))


@pytest.fixture
def home(lab, guest):
    """Both daemons without failpoints and the guest on hosta, whatever the cell has left."""
    yield
    mend(lab)
    for host in lab.hosts.values():
        restart(host)
    if [host.name for host in guest.running_on] != ["hosta"]:
        make_anew(lab)


def told_the_truth(scene, outcome):
    """The one who asked for it: "it runs there" is said only of what has arrived there."""
    if scene.move.wait() == 0:
        assert outcome in (DESTINATION, LOST), scene.move.said
    for asked in scene.asked:
        asked.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("fault, hold", CHOSEN, ids=lambda part: part.name)
def test_cell(lab, guest, home, record_property, fault, hold):
    record_property("fault", fault.name)
    record_property("step", hold.step)
    with ForkMonitor(lab) as monitor:
        scene = Scene(lab, hold)
        scene.begin()
        fault.inflict(scene)
        assert len(guest.running_on) <= 1
        mend(lab)
        outcome = where_it_is(lab, guest)
        record_property("outcome", outcome)
        if outcome == IN_DOUBT:
            answer_for(lab, guest)
        told_the_truth(scene, outcome)
        assert outcome in fault.outcomes[hold.name], scene.move.said
        if outcome not in (LOST, IN_DOUBT):
            is_whole(guest)
            processes.wait_until(lambda: monitor.heard(guest.address) > 10, PATIENCE, "the guest's own count")
    assert not monitor.found, "two copies ran"
    if outcome in (LOST, IN_DOUBT):
        make_anew(lab)
    name, = (host.name for host in guest.running_on)
    # And without the fault it works.
    for host in lab.hosts.values():
        restart(host)
    is_good_on(lab, guest, name)
