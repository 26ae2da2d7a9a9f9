"""What `list`, `show`, `watch` and `history` say during and after a move: on both hosts, and as documents the same as
for people."""

import json
import re
import subprocess
import time

import pytest
from labkit import processes
from labkit.clients import Pinger

from moving import GUEST, is_only_on, move, vmigrate
from test_faults import Move, cancel, wait_for_phase

PATIENCE = 60
SLOW = "50mbit"
ROUTE = "hosta -> hostb"
# In the order in which a migration goes through them.
PHASES = ("CHECK", "PREPARE", "MEMORY", "SWITCHOVER", "CLEAN_UP", "COMPLETED")


@pytest.fixture(autouse=True)
def plain_letters(monkeypatch):
    """Whatever the language of who runs the tests."""
    monkeypatch.setenv("LC_ALL", "C")


@pytest.fixture
def at_home(lab, guest):
    """Brought back to hosta."""
    yield
    lab.link.shape(None)
    if [host.name for host in guest.running_on] == ["hostb"]:
        move(lab, GUEST, "hostb", "hosta")
    is_only_on(lab, guest, "hosta")


@pytest.fixture
def under_way(lab, guest, at_home):
    """A move in its memory phase, on a link that is slow."""
    lab.link.shape(SLOW)
    moving = Move(lab)
    wait_for_phase(lab.host("hosta"), "MEMORY")
    yield moving
    lab.link.shape(None)
    moving.wait()


def table(host, *arguments):
    answer = vmigrate(host, *arguments)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def document(host, *arguments):
    return json.loads(table(host, "-o", "json", *arguments))


def lines(host, *arguments):
    return [json.loads(line) for line in table(host, "-o", "ndjson", *arguments).splitlines()]


def rows(text):
    """The lines of a table below its titles, as fields: they are two spaces apart or more."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()[1:]]


def words(migration):
    """The phase as people read it."""
    number = migration["progress"]["memory_pass"]
    if migration["phase"] == "MEMORY" and number:
        return f"memory, pass {number}"
    return migration["phase"].lower().replace("_", " ")


def in_milliseconds(text):
    """(what "1.2 s" or "87 ms" is, by how much it may have been rounded)."""
    number, unit = text.split()
    return (float(number) * 1000, 50) if unit == "s" else (float(number), 0)


def is_same_time(text, milliseconds):
    shown, rounding = in_milliseconds(text)
    return abs(shown - milliseconds) <= rounding


def the_vm(content):
    vm, = (vm for vm in content if vm["name"] == GUEST)
    return vm


def at_one_moment(host, *arguments):
    """(document, table) of one phase and pass: both are asked for until nothing changed between them."""
    def both():
        before, text, after = (ask(host, *arguments) for ask in (document, table, document))
        same = [words(found.get("migration", found) if "vms" not in found else the_vm(found["vms"])["migration"])
                for found in (before, after)]
        return (before, text) if same[0] == same[1] else None
    return processes.wait_until(both, PATIENCE, "two answers of one moment")


# -- During a move

@pytest.mark.parametrize("name, direction", [("hosta", "-> hostb: "), ("hostb", "from hosta: ")])
def test_list_tells_who_moves(lab, guest, under_way, name, direction):
    host = lab.host(name)
    content, text = at_one_moment(host, "list")
    vm = the_vm(content["vms"])
    row, = (row for row in rows(text) if row[0] == GUEST)
    assert row[1] == vm["state"]
    assert row[2] == direction + words(vm["migration"])
    assert vm["migration"]["vm_runs_on"] == "hosta"
    assert vm["id"] == guest.settings["uuid"]
    assert the_vm(lines(host, "list"))["migration"]["id"] == vm["migration"]["id"]


def test_show_tells_how_it_goes(lab, under_way):
    host = lab.host("hosta")
    processes.wait_until(lambda: document(host, "show", GUEST)["progress"]["wire_rate"] > 0, PATIENCE, "a rate")
    content, text = at_one_moment(host, "show", GUEST)
    assert text.startswith(f"{GUEST}: {ROUTE}\n")
    for wanted in (words(content), "runs on   hosta", content["id"], content["requested_by"], "on the wire"):
        assert wanted in text
    progress = content["progress"]
    assert 0 < progress["memory_remaining"] <= progress["memory_total"]
    assert "receipt" not in content and "error" not in content
    # By VM, by its id, by the migration's id and the start of that: always the same one.
    for name in (the_vm(document(host, "list")["vms"])["id"], content["id"], content["id"][:8]):
        assert document(host, "show", name)["id"] == content["id"]


def watched(lab, host, *options, errors):
    """What `watch` says to the end, line by line. The link is slow until it has said something."""
    command = host.inside(host.client_program, *options, "watch", GUEST)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as watching:
        said = [watching.stdout.readline()]
        lab.link.shape("200mbit")
        said += watching.stdout
    assert watching.returncode == 0, said
    return said


def test_watch_follows_to_the_end(lab, under_way):
    host = lab.host("hosta")
    followed = [json.loads(line) for line in watched(lab, host, "-o", "ndjson", errors=None)]
    places = [PHASES.index(found["phase"]) for found in followed]
    assert places == sorted(places) and followed[0]["phase"] == "MEMORY" and followed[-1]["phase"] == "COMPLETED"
    passes = [found["progress"]["memory_pass"] for found in followed]
    assert passes == sorted(passes)
    assert all(found["vm_runs_on"] == "hosta" for found in followed if found["phase"] == "MEMORY")
    assert followed[-1] == document(host, "show", GUEST)
    assert len({found["id"] for found in followed}) == 1


def test_watch_without_a_terminal_prints_lines(lab, under_way):
    said = watched(lab, lab.host("hosta"), errors=subprocess.STDOUT)
    assert "\x1b" not in "".join(said)
    assert any(f"{GUEST} -> hostb: memory" in line for line in said), said
    assert any(line.startswith(f"{GUEST} runs on hostb: moved in ") for line in said), said


# -- Afterwards

def test_both_hosts_tell_the_same_afterwards(lab, guest, at_home):
    # Of what the guest says one packet in 32 is listened to: it has to say something, and for a while.
    lab.link.shape("200mbit")
    with Pinger(lab, guest.address):
        receipt = move(lab, GUEST, "hosta", "hostb")
    migrations = {}
    for name, host in lab.hosts.items():
        content, text = document(host, "show", GUEST), table(host, "show", GUEST)
        migrations[name] = content
        assert text.startswith(f"{GUEST}: {ROUTE}\n") and "completed" in text and "runs on   hostb" in text
        assert document(host, "history", GUEST, "-n", "1")["migrations"] == [content]
        assert all("migration" not in vm for vm in document(host, "list")["vms"])
        assert all(row[2] == "-" for row in rows(table(host, "list")))
    assert migrations["hosta"]["id"] == migrations["hostb"]["id"]
    for key in ("vm", "vm_id", "source_host", "destination_host", "phase", "vm_runs_on"):
        assert migrations["hosta"][key] == migrations["hostb"][key]
    shown = table(lab.host("hosta"), "show", GUEST)
    assert is_same_time(re.search(r"total +(.+)", shown)[1], receipt["total_ms"])
    assert is_same_time(re.search(r"pause +([^:]+):", shown)[1], receipt["pause_ms"])
    assert guest.address in shown


def test_history_is_a_table_and_a_document(lab, guest, at_home):
    host = lab.host("hosta")
    move(lab, GUEST, "hosta", "hostb")
    move(lab, GUEST, "hostb", "hosta")
    content = document(host, "history")["migrations"]
    assert lines(host, "history") == content
    assert [(found["source_host"], found["destination_host"]) for found in content[:2]] == [("hostb", "hosta"),
                                                                                          ("hosta", "hostb")]
    found = rows(table(host, "history"))
    assert len(found) == len(content)
    for row, migration in zip(found, content):
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(migration["started_unix_ms"] // 1000))
        assert row[:4] == [started, GUEST, migration["source_host"], migration["destination_host"]]
        assert row[4] == words(migration)
        assert row[7] == migration["id"][:8]
        receipt = migration.get("receipt")
        if receipt:
            assert is_same_time(row[5], receipt["total_ms"]) and is_same_time(row[6], receipt["pause_ms"])
        else:
            assert row[5:7] == ["-", "-"]
        assert row[8] == (migration["requested_by"] or "-")
    assert document(host, "history", "-n", "1")["migrations"] == content[:1]


def test_a_cancelled_one_is_told_as_such(lab, guest, under_way):
    host = lab.host("hosta")
    assert cancel(host).returncode == 0
    content, text = document(host, "show", GUEST), table(host, "show", GUEST)
    assert content["phase"] == "CANCELLED" and content["vm_runs_on"] == "hosta" and "receipt" not in content
    assert "cancelled" in text and content["error"]["message"] in text and "runs on   hosta" in text
    assert rows(table(host, "history", "-n", "1"))[0][4] == "cancelled"
    assert vmigrate(host, "watch", GUEST).returncode == 6
    processes.wait_until(lambda: document(lab.host("hostb"), "show", GUEST)["phase"] == "CANCELLED", PATIENCE,
                         "hostb to tell it as well")
