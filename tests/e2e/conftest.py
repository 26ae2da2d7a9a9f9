"""A lab for the tests of this folder. They need root, as the lab does."""

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from labkit import Lab  # noqa: E402

from moving import GUEST  # noqa: E402


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
def add_guest(lab):
    """lab.add_guest, with the guest removed after the test."""
    names = []

    def add(name, *arguments, **settings):
        names.append(name)
        return lab.add_guest(name, *arguments, **settings)

    yield add
    for name in names:
        lab.remove_guest(name)
