"""The audit trail: who asked which host for what, and what became of it; and that nobody changes it unseen."""

import hashlib
import json
import sqlite3
from contextlib import closing, contextmanager

import pytest

from foreign_peer import throw_garbage
from moving import is_only_on, move, vmigrate
from test_faults import GUEST, Move, cancel, wait_for_phase

DONE, FAILED, NOT_FOUND, REFUSED, CANCELLED, UNREACHABLE = 0, 1, 3, 4, 6, 8
ZEROS = "0" * 64


@pytest.fixture(autouse=True)
def at_home(lab, guest):
    yield
    lab.link.shape(None)
    if [host.name for host in guest.running_on] == ["hostb"]:
        move(lab, GUEST, "hostb", "hosta")
    is_only_on(lab, guest, "hosta")


def trail(host, *options):
    said = vmigrate(host, "audit", "--limit", "0", "-o", "ndjson", *options)
    assert said.returncode == DONE, said.stderr
    return [json.loads(line) for line in said.stdout.splitlines()]


def since(entries, number):
    return [entry for entry in entries if entry["number"] > number]


@contextmanager
def noting(lab):
    """What both hosts note in the block, by their names."""
    before = {host.name: trail(host)[-1]["number"] for host in lab.hosts.values()}
    noted = {}
    yield noted
    for host in lab.hosts.values():
        noted[host.name] = since(trail(host), before[host.name])


def of(entries, *actions):
    return [entry for entry in entries if entry["action"] in actions]


def results(entries, *actions):
    return [entry["result"] for entry in of(entries, *actions)]


def database(host):
    return host.inner("/var/lib/vmigrate/audit.db")


def tampered(host, *statements):
    with closing(sqlite3.connect(database(host))) as file, file:
        for statement in statements:
            file.execute(statement)


def begin_anew(lab):
    for host in lab.hosts.values():
        if host.is_running("migrated"):
            host.stop_daemon()
        for file in database(host).parent.glob("audit.db*"):
            file.unlink()
    for host in lab.hosts.values():
        host.start_daemon()


def verify(host):
    said = vmigrate(host, "audit", "verify", "-o", "json")
    assert said.returncode in (DONE, REFUSED, UNREACHABLE), said.stderr
    report = json.loads(said.stdout)
    assert (said.returncode == REFUSED) == bool(report["findings"]), said.stdout
    return report


class TestWhatIsNoted:
    def test_a_move(self, lab):
        with noting(lab) as noted:
            move(lab, GUEST, "hosta", "hostb")
        there, here = noted["hostb"], noted["hosta"]
        assert results(here, "start") == ["accepted", "completed"]
        assert results(there, "receive") == ["accepted", "completed"]
        for entry in of(here, "start") + of(there, "receive"):
            assert (entry["vm"], entry["source_host"], entry["destination_host"]) == (GUEST, "hosta", "hostb")
            assert entry["migration"] == of(here, "start")[0]["migration"]
        assert {entry["user"] for entry in of(here, "start")} == {"root (uid 0)"}
        assert {entry["peer"] for entry in of(there, "receive")} == {"hosta"}
        assert of(there, "receive")[0]["address"].startswith("10.77.0.1:")

    def test_the_head_of_the_other_host(self, lab):
        with noting(lab) as noted:
            move(lab, GUEST, "hosta", "hostb")
        for host, other, action in (("hosta", "hostb", "receive"), ("hostb", "hosta", "start")):
            head, = of(noted[host], "head")
            assert head["peer"] == other
            # It is of an entry of the other's trail, and no older than the one that let this migration begin.
            entry, = [entry for entry in trail(lab.host(other)) if entry["number"] == head["head"]["number"]]
            assert entry["hash"] == head["head"]["hash"]
            assert entry["number"] >= of(noted[other], action)[0]["number"]

    def test_refused_starts(self, lab):
        with noting(lab) as noted:
            assert vmigrate(lab.host("hosta"), "start", "nobody", "hostb").returncode == NOT_FOUND
            assert vmigrate(lab.host("hosta"), "start", GUEST, "hosta").returncode == REFUSED
        refused = of(noted["hosta"], "start")
        assert [(entry["result"], entry["vm"]) for entry in refused] == [("refused", "nobody"), ("refused", GUEST)]
        assert "hosta already" in refused[1]["reason"]
        assert not of(noted["hostb"], "receive")

    def test_an_offer_that_is_refused(self, lab):
        host = lab.host("hostb")
        host.run("ip", "link", "set", "br0", "down")
        host.run("ip", "link", "set", "br0", "name", "br9")
        try:
            with noting(lab) as noted:
                assert vmigrate(lab.host("hosta"), "start", GUEST, "hostb").returncode == REFUSED
        finally:
            host.run("ip", "link", "set", "br9", "name", "br0")
            host.run("ip", "link", "set", "br0", "up")
        assert results(noted["hosta"], "start") == ["accepted", "failed"]
        refused, = of(noted["hostb"], "receive")
        assert refused["result"] == "refused" and "br0" in refused["reason"]

    def test_a_cancel(self, lab):
        lab.link.shape("50mbit")
        with noting(lab) as noted:
            moving = Move(lab)
            wait_for_phase(lab.host("hosta"), "MEMORY")
            assert cancel(lab.host("hosta")).returncode == DONE
            assert moving.wait() == CANCELLED, moving.said
        assert results(noted["hosta"], "cancel") == ["asked", "done"]
        assert results(noted["hosta"], "start") == ["accepted", "cancelled"]
        # Over there the end of the stream may be seen before its reason.
        assert results(noted["hostb"], "receive") in (["accepted", "cancelled"], ["accepted", "failed"])

    def test_garbage_is_counted(self, lab):
        with noting(lab) as noted:
            throw_garbage(lab.host("hosta"), lab.host("hostb"))
            throw_garbage(lab.host("hosta"), lab.host("hostb"))
        turned_away = of(noted["hostb"], "connect")
        assert 1 <= len([entry for entry in turned_away if not entry["peer"]]) <= 20
        assert 1 <= len([entry for entry in turned_away if entry["peer"] == "hosta"]) <= 20
        # The counts are written when the daemon goes, at the latest.
        host = lab.host("hostb")
        with noting(lab) as noted:
            for _ in range(30):
                vmigrate(host, "list")
            host.stop_daemon()
            host.start_daemon()
        lists = of(noted["hostb"], "list")
        assert sum(entry["count"] or 1 for entry in lists) >= 29 and len(lists) <= 2
        assert results(noted["hostb"], "serve") == ["stopped", "started"]

    def test_narrowed(self, lab):
        host = lab.host("hosta")
        vmigrate(host, "start", "nobody", "hostb")
        assert {entry["vm"] for entry in trail(host, "--vm", "nobody")} == {"nobody"}
        assert trail(host, "--user", "root") and trail(host, "--user", "0")
        assert not trail(host, "--user", "nobody-at-all")
        assert trail(host, "--since", "1h")
        assert not trail(host, "--since", "2100-01-01")


class TestTampering:
    @pytest.fixture(autouse=True)
    def fresh(self, lab, at_home):
        """New trails on both hosts, in which two moves are noted; the other tests get new ones, too."""
        begin_anew(lab)
        move(lab, GUEST, "hosta", "hostb")
        move(lab, GUEST, "hostb", "hosta")
        assert not verify(lab.host("hosta"))["findings"]
        yield
        begin_anew(lab)

    def test_an_entry_that_is_changed(self, lab):
        tampered(lab.host("hosta"), "UPDATE entries SET entry = replace(entry, 'root', 'eve') WHERE number = "
                                    "(SELECT max(number) FROM entries WHERE entry LIKE "
                                    "'%\"action\":\"start\",\"result\":\"accepted\"%')")
        assert any("is not what was written" in finding for finding in verify(lab.host("hosta"))["findings"])

    def test_an_entry_that_is_removed(self, lab):
        tampered(lab.host("hosta"), "DELETE FROM entries WHERE number = 2")
        assert "entry 2 is missing" in verify(lab.host("hosta"))["findings"]

    def test_the_end_that_is_removed_while_the_daemon_is_stopped(self, lab):
        host = lab.host("hosta")
        host.stop_daemon()
        # All of the last two moves.
        tampered(host, "DELETE FROM entries WHERE number >= (SELECT max(number) FROM entries WHERE entry LIKE "
                       "'%\"action\":\"start\",\"result\":\"accepted\"%')")
        host.start_daemon()
        findings = verify(host)["findings"]
        assert findings and all("hostb was told of" in finding for finding in findings), findings

    def test_a_whole_new_chain(self, lab):
        """Root on one host makes a trail that is good in itself; the other one knows better."""
        host = lab.host("hosta")
        host.stop_daemon()
        with closing(sqlite3.connect(database(host))) as file, file:
            previous = ZEROS
            for number, entry in file.execute("SELECT number, entry FROM entries ORDER BY number").fetchall():
                entry = entry.replace("root (uid 0)", "eve (uid 7)")
                previous = hashlib.sha256(f"{previous}\n{entry}".encode()).hexdigest()
                file.execute("UPDATE entries SET entry = ?, hash = ? WHERE number = ?", [entry, previous, number])
        host.start_daemon()
        findings = verify(host)["findings"]
        assert findings and all("than hostb was told of" in finding for finding in findings), findings

    def test_by_hand(self, lab):
        """As docs/audit.md explains it."""
        previous = ZEROS
        with closing(sqlite3.connect(database(lab.host("hosta")))) as file:
            for number, entry, said in file.execute("SELECT number, entry, hash FROM entries ORDER BY number"):
                previous = hashlib.sha256(f"{previous}\n{entry}".encode()).hexdigest()
                assert said == previous
                assert json.loads(entry)["number"] == number

    def test_a_host_that_cannot_be_asked(self, lab):
        lab.host("hostb").stop_daemon()
        try:
            said = vmigrate(lab.host("hosta"), "audit", "verify")
            assert said.returncode == UNREACHABLE
            assert "host hostb: could not be asked" in said.stdout
        finally:
            lab.host("hostb").start_daemon()


class TestATrailThatCannotBeWritten:
    @pytest.mark.parametrize("name", ["hosta", "hostb"])
    def test_refuses_new_migrations_and_nothing_else(self, lab, guest, name):
        host = lab.host(name)
        lab.link.shape("50mbit")
        moving = Move(lab)
        wait_for_phase(lab.host("hosta"), "MEMORY")
        with closing(sqlite3.connect(database(host), isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            # What has begun goes on, and can be cancelled.
            assert cancel(lab.host("hosta")).returncode == DONE
            assert moving.wait() == CANCELLED, moving.said
            lab.link.shape(None)
            said = vmigrate(lab.host("hosta"), "start", GUEST, "hostb")
            assert said.returncode == FAILED, said.stderr
            assert f"{name}: cannot write the audit trail" in said.stderr
            assert f"now: {GUEST} runs on hosta" in said.stderr
            doctor = vmigrate(host, "doctor")
            assert doctor.returncode == REFUSED
            assert "audit trail: cannot write the audit trail" in doctor.stdout
            file.execute("ROLLBACK")
        move(lab, GUEST, "hosta", "hostb")
        # What could not be noted at its time is noted now.
        action, outcome = ("start", "failed") if name == "hosta" else ("receive", "refused")
        ended, refused = results(trail(host), action)[-4:-2]
        assert ended in ("cancelled", "failed") and refused == outcome
        assert not verify(host)["findings"]
