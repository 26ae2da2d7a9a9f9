"""A lab for the tests of this folder. They need root, as the lab does."""

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from labkit import Lab  # noqa: E402

from moving import GUEST  # noqa: E402
from vmms import MicroVm  # noqa: E402


# Below the lab's folder, and how many lines of their ends say what has happened.
LOGS = {"host?/migrated.log": 60, "host?/var/log/libvirt/libvirtd.log": 30, "host?/var/log/libvirt/qemu/*.log": 10,
        "shared/*.serial": 30, "shared/*.console": 10}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failure is told with the logs of the lab, which is gone before anybody could look at it."""
    outcome = yield
    report = outcome.get_result()
    lab = item.funcargs.get("lab")
    if not report.failed or lab is None:
        return
    for pattern, lines in LOGS.items():
        for path in sorted(lab.folder.glob(pattern)):
            said = path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
            report.sections.append((str(path.relative_to(lab.folder)), "\n".join(line[:300] for line in said)))


@pytest.fixture(scope="module")
def lab():
    """Both hosts up, in a folder of its own, so that a lab that somebody uses is left alone."""
    # Not below /tmp: QEMU's unprivileged user has to get there, and the disks need a file system with O_DIRECT.
    made = Lab(tempfile.mkdtemp(prefix="vmigrate-lab-", dir="/var/tmp"))
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="module")
def guest(lab):
    made = lab.add_guest(GUEST)
    yield made
    lab.remove_guest(GUEST)


@pytest.fixture
def add_vm(lab):
    """A VM of vmigrate-microvm that checks its memory."""
    made = []

    def add(name, *arguments, **settings):
        made.append(MicroVm(lab, name, "memory_checker", *arguments, **settings))
        made[-1].await_line("filled")
        made[-1].watch()
        return made[-1]

    yield add
    for vm in made:
        vm.remove()


@pytest.fixture
def add_guest(lab):
    """lab.add_guest, with the guest removed after the test."""
    names = []

    def add(name, *arguments, **settings):
        names.append(name)
        return lab.add_guest(name, *arguments, **settings)

    yield add
    for name in names:
        lab.remove_guest(name)
