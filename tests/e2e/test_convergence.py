"""Guests that change their memory faster than the link takes it."""

import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from labkit import processes

PAGE = 4096
PAGES_A_SECOND = 8000  # 33 MB/s, and the link takes 12


@pytest.fixture
def busy(lab, add_guest):
    guest = add_guest("web1", dirty_rate=PAGES_A_SECOND)
    lab.link.shape("100mbit")
    yield guest
    lab.link.shape(None)


def start(host, *options):
    return host.run(host.client_program, "start", "web1", "hostb", *options, check=False)


class Started:
    """A move under way, with all its reports; not left behind."""

    def __init__(self, host, *options):
        command = host.inside(host.client_program, "-o", "ndjson", "start", "web1", "hostb", *options)
        self.output = tempfile.TemporaryFile("w+", encoding="utf-8")
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8")
        self.process = subprocess.Popen(command, stdout=self.output, stderr=self.errors)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        self.output.close()
        self.errors.close()

    def reports(self):
        self.output.seek(0)
        return [json.loads(line) for line in self.output]

    def complaints(self):
        self.errors.seek(0)
        return self.errors.read()


def test_a_move_that_cannot_converge_is_given_up_and_says_why(lab, busy):
    answer = start(lab.host("hosta"), "--finish-by", "8s")
    assert answer.returncode == 7, answer.stderr
    for words in ("changes", "a second", "runs on hosta", "--on-stall pause"):
        assert words in answer.stderr
    assert [host.name for host in busy.running_on] == ["hosta"]
    assert lab.host("hostb").domains() == {}
    assert busy.scan()["bad"] == 0


def test_it_is_paused_for_as_long_as_it_takes_when_asked_to(lab, busy):
    host = lab.host("hosta")
    answer = start(host, "--finish-by", "8s", "--on-stall", "pause")
    assert answer.returncode == 0, answer.stderr
    shown = json.loads(host.run(host.client_program, "-o", "json", "show", "web1").stdout)
    assert shown["receipt"]["pause_ms"] > shown["progress"]["max_pause_ms"]
    processes.wait_until(lambda: [host.name for host in busy.running_on] == ["hostb"], 10, "the guest on hostb")
    assert busy.scan()["bad"] == 0


@pytest.fixture
def restless(lab, add_guest):
    """Writes as fast as its processor lets it."""
    yield add_guest("web1", dirty_rate=400_000, memory=384, checked=128)
    lab.link.shape(None)


@pytest.fixture
def hopeless(lab, add_guest):
    """Likewise, to fewer pages: a link that takes next to nothing of it still has passes of a second or two."""
    yield add_guest("web1", dirty_rate=400_000, memory=384, checked=64)
    lab.link.shape(None)


def shape_to(lab, guest, share):
    """Lets the link take this share of what the guest writes."""
    lab.link.shape(f"{int(pages_a_second(guest) * PAGE * 8 * share)}bit")


def pages_a_second(guest):
    begun = time.monotonic()
    first = guest.ask("sequence")["sequence"]
    time.sleep(3)  # what is measured, not what is waited for
    return (guest.ask("sequence")["sequence"] - first) / (time.monotonic() - begun)


def speed(host):
    """The share of the time for which the guest's processor runs, or would if it got one of this machine's."""
    folder, = (path.parent for path in Path(f"/proc/{host.qemus()['web1']['pid']}/task").glob("*/comm")
               if path.read_text().startswith("CPU 0/"))

    def wanted():
        # Nanoseconds that it ran, and that it waited for a processor (Documentation/scheduler/sched-stats.rst).
        return sum(int(number) for number in (folder / "schedstat").read_text().split()[:2])

    begun, first = time.monotonic_ns(), wanted()
    time.sleep(3)  # what is measured, not what is waited for
    return (wanted() - first) / (time.monotonic_ns() - begun)


def throttle(host):
    """By how much QEMU slows the guest, in percent."""
    said = re.search(r"Auto converge throttle: *(\d+)", host.virsh("domjobinfo", "web1", check=False).stdout)
    return int(said[1]) if said else 0


def migration_parameters(host):
    said = json.loads(host.virsh("qemu-monitor-command", "web1", '{"execute": "query-migrate-parameters"}').stdout)
    return {name: value for name, value in said["return"].items() if "throttle" in name}


def test_a_guest_that_may_be_slowed_converges(lab, restless):
    host = lab.host("hosta")
    shape_to(lab, restless, 0.25)
    with Started(host, "--max-slowdown", "80%") as move:
        highest = 0
        while move.process.poll() is None:
            highest = max(highest, throttle(host))
            time.sleep(0.2)
        assert move.process.returncode == 0, move.complaints()
        reports = move.reports()
    slowed = [report["progress"] for report in reports if report["progress"]["slowdown_percent"] > 1]
    assert slowed and all("are moved" in progress["slowdown_reason"] for progress in slowed)
    receipt = reports[-1]["receipt"]
    assert 10 <= highest <= 80 and 10 <= receipt["slowdown_percent"] <= 80
    assert receipt["slowdown_percent"] == max(progress["slowdown_percent"] for progress in slowed)
    processes.wait_until(lambda: [host.name for host in restless.running_on] == ["hostb"], 10, "the guest on hostb")
    assert restless.scan()["bad"] == 0


def test_the_cap_is_kept_and_after_cancel_it_runs_at_full_speed(lab, hopeless):
    host = lab.host("hosta")
    # Other work on this machine can take most of the guest's processor from it.
    shape_to(lab, hopeless, 0.06)
    before = migration_parameters(host)
    with Started(host, "--max-slowdown", "30%") as move:
        processes.wait_until(lambda: throttle(host) == 30, 120, "the guest to be slowed as far as allowed")
        slow = speed(host)
        assert 0.5 < slow < 0.8
        # Passes go on coming to nothing; the throttle stays.
        for _ in range(20):
            assert throttle(host) == 30
            time.sleep(0.5)
        assert host.run(host.client_program, "cancel", "web1").returncode == 0
        assert move.process.wait(timeout=60) == 6, move.complaints()
    assert [host.name for host in hopeless.running_on] == ["hosta"]
    full = speed(host)
    assert full > 0.9 and full > slow * 1.2
    assert migration_parameters(host) == before
    assert hopeless.scan()["bad"] == 0
