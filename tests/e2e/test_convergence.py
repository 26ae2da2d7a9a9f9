"""Guests that change their memory faster than the link takes it."""

import json

import pytest
from labkit import processes

PAGES_A_SECOND = 8000  # 33 MB/s, and the link takes 12


@pytest.fixture
def busy(lab, add_guest):
    guest = add_guest("web1", dirty_rate=PAGES_A_SECOND)
    lab.link.shape("100mbit")
    yield guest
    lab.link.shape(None)


def start(host, *options):
    return host.run(host.client_program, "start", "web1", "hostb", *options, check=False)


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
