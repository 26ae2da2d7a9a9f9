"""VMs of a VMM whose memory changes faster than the link takes it. They write as fast as a processor lets them: with less of
one they would be moved without more ado."""

import pytest
from labkit.lab import has_kvm

from moving import move, vmigrate
from vmms import stand_by

pytestmark = pytest.mark.skipif(not has_kvm(), reason="/dev/kvm cannot be opened here")
NOT_CONVERGING = 7
# 4 MB a second, and guests that write 16.
TOO_FAST = ("--bandwidth", "32Mbit", "--max-pause", "50ms")
PAGES_A_SECOND = 4000
# Of which pages are written in proportion to how long it runs.
LOSES_TIME = 0x80000000


@pytest.fixture(scope="module", autouse=True)
def standby(lab):
    stand_by(lab)


def test_a_guest_that_writes_faster_than_the_link_is_left_alone(lab, add_vm):
    vm = add_vm("web1", 1024, LOSES_TIME | PAGES_A_SECOND)
    answer = vmigrate(lab.host("hosta"), "start", "web1", "hostb", *TOO_FAST)
    assert answer.returncode == NOT_CONVERGING, answer.stderr
    assert "now: web1 runs on hosta" in answer.stderr
    vm.is_only_on("hosta")
    assert vm.scan()["bad"] == 0
    assert not vm.forks()


def test_or_it_is_paused_for_as_long_as_it_takes(lab, add_vm):
    vm = add_vm("web1", 1024, PAGES_A_SECOND)
    move(lab, "web1", "hosta", "hostb", *TOO_FAST, "--finish-by", "3s", "--on-stall", "pause")
    vm.is_only_on("hostb")
    assert vm.scan()["bad"] == 0
    assert not vm.forks()


def test_or_converges_where_it_may_be_slowed(lab, add_vm):
    vm = add_vm("web1", 1024, LOSES_TIME | PAGES_A_SECOND // 2)
    receipt = move(lab, "web1", "hosta", "hostb", *TOO_FAST, "--max-slowdown", "80%")
    assert 10 <= receipt["slowdown_percent"] <= 80
    vm.is_only_on("hostb")
    assert vm.scan()["bad"] == 0
    assert not vm.forks()
