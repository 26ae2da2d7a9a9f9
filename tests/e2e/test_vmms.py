"""VMs of a VMM that registers with migrated: listed, checked and moved as libvirt's are, beside them."""

import pytest
from labkit.lab import has_kvm

from moving import move, vmigrate
from vmms import MicroVm, forks, stand_by, vms

pytestmark = pytest.mark.skipif(not has_kvm(), reason="/dev/kvm cannot be opened here")


@pytest.fixture(scope="module", autouse=True)
def standby(lab):
    stand_by(lab)


@pytest.fixture
def add_vm(lab):
    made = []

    def add(*arguments, **settings):
        made.append(MicroVm(lab, *arguments, **settings))
        return made[-1]

    yield add
    for vm in made:
        vm.remove()


def test_it_is_listed_and_moves_there_and_back(lab, add_vm):
    vm = add_vm("tiny", "memory_checker", 2048, 2000)
    vm.await_line("filled")
    assert vms(lab.host("hosta")) == {"tiny": "running"}
    for source, destination in (("hosta", "hostb"), ("hostb", "hosta")) * 2:
        receipt = move(lab, "tiny", source, destination)
        assert receipt["memory_verified"]
        vm.is_only_on(destination)
        assert vm.scan()["bad"] == 0
