"""What a migration costs in the daemons' own memory: no more than a fixed amount, however large the VM is."""

from pathlib import Path

import pytest

from moving import is_only_on, move
from test_faults import daemon_of, restart

MOST = 128 << 10  # KiB: what `memory` in migrated.toml allows unless it is set
# 1 GiB in which only one page in sixteen or so is zeros.
SETTINGS = {"memory": 1280, "checked": 1024, "dirty_rate": 4000}


def memory_of(host, field):
    """In KiB, as the kernel counts it."""
    status = Path(f"/proc/{daemon_of(host)['pid']}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith(f"{field}:")).split()[1])


@pytest.fixture(scope="module")
def guest(lab):
    made = lab.add_guest("large", **SETTINGS)
    yield made
    lab.remove_guest("large")


@pytest.mark.parametrize("rate, source, destination", [(None, "hosta", "hostb"), ("1gbit", "hostb", "hosta")])
def test_large_guests_need_no_large_daemons(lab, guest, rate, source, destination):
    hosts = lab.hosts.values()
    for host in hosts:
        restart(host)
    before = {host.name: memory_of(host, "VmHWM") for host in hosts}
    lab.link.shape(rate)
    receipt = move(lab, "large", source, destination)
    lab.link.shape(None)
    growth = {host.name: memory_of(host, "VmHWM") - before[host.name] for host in hosts}
    assert receipt["guest_bytes"] > 900 << 20
    assert all(kibibytes <= MOST for kibibytes in growth.values()), growth
    is_only_on(lab, guest, destination)
    assert guest.scan()["bad"] == 0
