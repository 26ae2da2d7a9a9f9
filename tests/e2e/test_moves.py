"""Moves that must work, for every kind of guest, under the eyes of its clients."""

import subprocess

import pytest
from labkit import processes
from labkit.clients import ForkMonitor, HeldConnection, Pinger, RarpCapture
from labkit.lab import has_kvm

from moving import is_only_on, move

PATIENCE = 60


def test_twenty_hops_under_load(lab, add_guest):
    guest = add_guest("web1", dirty_rate=4000)
    # One packet in 32 of what the guest says is listened to: the pings make sure that it says enough.
    with (ForkMonitor(lab) as monitor, HeldConnection(lab, guest.address) as connection,
          Pinger(lab, guest.address)):
        for hop in range(20):
            source, destination = ("hosta", "hostb") if hop % 2 == 0 else ("hostb", "hosta")
            with RarpCapture(lab, guest.macs[0]) as rarp:
                receipt = move(lab, "web1", source, destination)
            assert receipt["memory_verified"]
            assert {host for _, host, _ in rarp.frames[-1:]} == {destination}
            assert guest.address in receipt["announcements"][0]["addresses"]
            is_only_on(lab, guest, destination)
            assert guest.scan()["bad"] == 0
    assert not connection.broken
    assert monitor.heard(guest.address) > 100
    assert not monitor.found


@pytest.mark.parametrize("settings", [{"machine": "pc"}, {"machine": "q35", "nics": 2}, {"transient": True},
                                      {"machine": "pc", "nics": 2, "transient": True, "vcpus": 2}],
                         ids=lambda settings: "-".join(f"{key}={value}" for key, value in settings.items()))
def test_machines_and_definitions(lab, add_guest, settings):
    guest = add_guest("web1", **settings)
    persistent = "no" if settings.get("transient") else "yes"
    for source, destination in (("hosta", "hostb"), ("hostb", "hosta")):
        receipt = move(lab, "web1", source, destination)
        assert sorted(item["mac"] for item in receipt["announcements"]) == sorted(guest.macs)
        is_only_on(lab, guest, destination)
        assert f"Persistent:     {persistent}" in lab.host(destination).virsh("dominfo", "web1").stdout
        assert guest.scan()["bad"] == 0


def test_a_kvm_guest_whose_pages_kvm_watches(lab, add_guest):
    if not has_kvm():
        pytest.skip("/dev/kvm cannot be opened here")
    guest = add_guest("tiny", "kvm")
    for source, destination in (("hosta", "hostb"), ("hostb", "hosta")) * 2:
        move(lab, "tiny", source, destination)
        is_only_on(lab, guest, destination)
        before, _ = guest.passes()
        processes.wait_until(lambda: guest.passes()[0] > before + 3, PATIENCE, "the guest to go on writing")
    assert guest.passes()[1] == 0


def test_debian_serves_its_clients_all_the_way(lab, add_guest):
    guest = add_guest("debian1", "debian")
    with HeldConnection(lab, guest.address) as echo, guest.connect(6379) as redis:
        redis.sendall(b"SET moved 0\r\n")
        assert redis.recv(64) == b"+OK\r\n"
        for source, destination in (("hosta", "hostb"), ("hostb", "hosta")):
            move(lab, "debian1", source, destination)
            is_only_on(lab, guest, destination)
            redis.sendall(b"INCR moved\r\n")
            assert redis.recv(64).startswith(b":")
            with guest.connect(80) as web:
                web.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert web.recv(64).startswith(b"HTTP/1.1 200")
        redis.sendall(b"GET moved\r\n")
        assert redis.recv(64) == b"$1\r\n2\r\n"
    assert not echo.broken
    assert guest.scan()["bad"] == 0


def test_two_at_once_in_opposite_directions(lab, add_guest):
    guests = {"hosta": add_guest("web1", host="hosta"), "hostb": add_guest("web2", host="hostb")}
    moves = []
    for source, destination in (("hosta", "hostb"), ("hostb", "hosta")):
        host = lab.host(source)
        command = host.inside(host.client_program, "start", guests[source].name, destination)
        moves.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    for one in moves:
        said = one.communicate(timeout=PATIENCE)
        assert one.returncode == 0, said
    is_only_on(lab, guests["hosta"], "hostb")
    is_only_on(lab, guests["hostb"], "hosta")
    assert all(guest.scan()["bad"] == 0 for guest in guests.values())


def test_a_paused_vm_stays_paused(lab, add_guest):
    add_guest("web1")
    lab.host("hosta").virsh("suspend", "web1")
    move(lab, "web1", "hosta", "hostb")
    assert lab.host("hostb").domains()["web1"].startswith("paused")
    assert "web1" not in lab.host("hosta").domains()


def test_the_definition_is_kept_when_asked_for(lab, add_guest):
    add_guest("web1")
    move(lab, "web1", "hosta", "hostb", "--keep-source-definition")
    assert lab.host("hosta").domains()["web1"].startswith("shut off")
    assert lab.host("hostb").domains()["web1"].startswith("running")
