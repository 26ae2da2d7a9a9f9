"""The guest's disk on shared storage, written all the time: what was acknowledged is there after every hop."""

import json

import pytest
from labkit import processes

from moving import is_only_on, move

PATIENCE = 60
WRITES_A_SECOND = 400
HOPS = (("hosta", "hostb"), ("hostb", "hosta")) * 2


def writes_on(guest, before):
    processes.wait_until(lambda: guest.ask_disk("sequence")["sequence"] > before + WRITES_A_SECOND, PATIENCE,
                         "the guest to go on writing to its disk")


def check_image(guest):
    """What `qemu-img check` finds: for a raw disk there is nothing that it could look at."""
    if guest.settings["disk_format"] == "raw":
        return {}
    return json.loads(processes.run("qemu-img", "check", "--output", "json", guest.disk, check=False).stdout)


@pytest.mark.parametrize("disk_format", ["qcow2", "raw"])
def test_nothing_acknowledged_is_lost(lab, add_guest, disk_format):
    guest = add_guest("web1", disk_format=disk_format, vcpus=2)
    guest.ask_disk(f"rate {WRITES_A_SECOND}")
    seen = 0
    for source, destination in HOPS:
        writes_on(guest, seen)
        before = guest.ask_disk("sequence")["sequence"]
        move(lab, "web1", source, destination)
        is_only_on(lab, guest, destination)
        found = guest.ask_disk("scan")
        assert found["bad"] == 0, found
        assert found["sequence"] > before
        assert found["written"] > 0
        seen = found["sequence"]
    writes_on(guest, seen)
    guest.ask_disk("rate 0")
    assert guest.ask_disk("scan")["bad"] == 0
    assert guest.scan()["bad"] == 0
    # Both QEMUs have kept the image's own tables: closed in peace it is consistent and nothing in it is lost.
    lab.host("hosta").virsh("destroy", "web1", "--graceful")
    report = check_image(guest)
    assert not report.get("corruptions") and not report.get("leaks"), report


def test_a_write_that_is_lost_is_found(lab, add_guest):
    guest = add_guest("web1")
    assert guest.ask_disk("scan")["bad"] == 0
    guest.ask_disk("lose")
    found = guest.ask_disk("scan")
    assert found["bad"] == 1 and found["first"].startswith("0:"), found
