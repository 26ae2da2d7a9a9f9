"""Two hosts that know nobody: they are paired, a VM moves both ways, rules keep it where it is, and the end of trust ends
what is under way."""

import json
import subprocess
import tempfile
import time

import pytest
from labkit import Lab, processes

from moving import is_only_on, move, vmigrate
from test_faults import GUEST, PATIENCE, Move, restart, wait_for_phase

USAGE, NOT_FOUND, REFUSED, NOT_ALLOWED, CANCELLED = 2, 3, 4, 5, 6
WITHIN_A_MINUTE = 60


@pytest.fixture(scope="module")
def lab():
    made = Lab(tempfile.mkdtemp(prefix="vmigrate-lab-", dir="/var/tmp"), certified=False)
    made.up()
    yield made
    made.down()


class Invitation:
    """`vmigrate pair` on a host that shows a code, and waits."""

    def __init__(self, host, other):
        command = host.inside(host.client_program, "-o", "ndjson", "pair", other)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.code = json.loads(self.process.stdout.readline())["code"]

    def wait(self):
        self.result, self.said = self.process.communicate(timeout=30)
        return self.process.returncode


def enter(host, other, code):
    return host.run(host.client_program, "pair", other.name, "--enter-code", "--address", other.address,
                    input=code + "\n", check=False)


def pair(lab):
    """hosta shows a code, hostb types it."""
    invitation = Invitation(lab.host("hosta"), "hostb")
    entered = enter(lab.host("hostb"), lab.host("hosta"), invitation.code)
    assert entered.returncode == 0, entered.stderr
    assert invitation.wait() == 0, invitation.said
    return invitation.code


def peers_of(host):
    answer = vmigrate(host, "-o", "json", "peers", "list")
    return {peer["name"]: peer for peer in json.loads(answer.stdout)["peers"]}


def as_member(host, *arguments):
    """As somebody who may use the socket, but is not root."""
    return host.run("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--groups", "libvirt", host.client_program,
                    *arguments, check=False)


class Rules:
    """What is added to a host's migrated.toml for a while."""

    def __init__(self, host, text):
        self.host, self.text = host, text
        self.file = host.inner("/etc/vmigrate/migrated.toml")

    def __enter__(self):
        self.before = self.file.read_text(encoding="utf-8")
        self.file.write_text(f"{self.before}\n{self.text}\n", encoding="utf-8")
        restart(self.host)

    def __exit__(self, *_):
        self.file.write_text(self.before, encoding="utf-8")
        restart(self.host)


def test_hosts_that_know_nobody_move_nothing(lab, guest):
    refused = vmigrate(lab.host("hosta"), "start", GUEST, "hostb")
    assert refused.returncode == NOT_FOUND
    assert "vmigrate pair hostb" in refused.stderr
    is_only_on(lab, guest, "hosta")


def test_only_a_host_that_shows_a_code_is_paired(lab):
    entered = enter(lab.host("hostb"), lab.host("hosta"), "1234-5678")
    assert entered.returncode == REFUSED
    assert "on hosta: vmigrate pair hostb" in entered.stderr
    nonsense = enter(lab.host("hostb"), lab.host("hosta"), "1234")
    assert nonsense.returncode == USAGE
    refused = as_member(lab.host("hosta"), "pair", "hostb")
    assert refused.returncode == NOT_ALLOWED
    assert "nobody may not do this on hosta: the rule 'pair' in [allow] is for root alone" in refused.stderr
    assert not peers_of(lab.host("hosta")) and not peers_of(lab.host("hostb"))


def test_after_a_wrong_code_the_right_one_pairs_and_vms_move(lab, guest):
    hosta, hostb = lab.host("hosta"), lab.host("hostb")
    invitation = Invitation(hosta, "hostb")
    wrong = invitation.code[:-1] + str((int(invitation.code[-1]) + 1) % 10)
    entered = enter(hostb, hosta, wrong)
    assert entered.returncode == NOT_ALLOWED
    assert "the code is wrong" in entered.stderr
    entered = enter(hostb, hosta, invitation.code)
    assert entered.returncode == 0, entered.stderr
    assert invitation.wait() == 0, invitation.said
    # It is noted by the thread that has served whoever typed the code, behind its answer.
    processes.wait_until(lambda: "not paired" in vmigrate(hosta, "audit").stdout, PATIENCE, "the wrong code to be noted")
    trail = vmigrate(hosta, "audit").stdout
    assert trail.count("not paired: the code is wrong") == 1 and hostb.address in trail
    here, there = peers_of(hosta)["hostb"], peers_of(hostb)["hosta"]
    assert here["paired"] and here["address"] == f"{hostb.address}:16510"
    assert there["paired"] and there["key"] != here["key"]
    for host in lab.hosts.values():
        said = host.daemon_log.read_text(encoding="utf-8")
        assert invitation.code not in said and invitation.code.replace("-", "") not in said
    for source, destination in (("hosta", "hostb"), ("hostb", "hosta")):
        move(lab, GUEST, source, destination)
        is_only_on(lab, guest, destination)
    # It is the key that counts, and it is still there.
    restart(hosta)
    restart(hostb)
    move(lab, GUEST, "hosta", "hostb")
    move(lab, GUEST, "hostb", "hosta")
    assert guest.scan()["bad"] == 0
    assert vmigrate(hosta, "doctor").stdout.count("good     host hostb") == 1


def test_rules_of_both_hosts_keep_a_vm_where_it_is(lab, guest):
    hosta, hostb = lab.host("hosta"), lab.host("hostb")
    refusals = ((hosta, f'[[send]]\nvm = "{GUEST}"\nhosts = ["hostc"]', "in [[send]] on hosta"),
                (hostb, '[[receive]]\nvm = "db*"', "no rule is about this VM in [[receive]] on hostb"))
    for host, rules, words in refusals:
        with Rules(host, rules):
            for command in ("start", "check"):
                refused = vmigrate(hosta, command, GUEST, "hostb")
                assert refused.returncode in (NOT_ALLOWED, REFUSED), refused.stderr
                assert words in refused.stderr + refused.stdout
            is_only_on(lab, guest, "hosta")
    with Rules(hosta, '[allow]\nstart = ["@kvm"]'):
        refused = as_member(hosta, "start", GUEST, "hostb")
        assert refused.returncode == NOT_ALLOWED
        assert "the rule 'start' in [allow] is for @kvm and root" in refused.stderr
    with Rules(hosta, '[allow]\nstart = ["@libvirt"]'):
        allowed = as_member(hosta, "start", GUEST, "hostb")
        assert allowed.returncode == 0, allowed.stderr
    move(lab, GUEST, "hostb", "hosta")


@pytest.mark.parametrize("remover, removed", [("hosta", "hostb"), ("hostb", "hosta")])
def test_the_end_of_trust_ends_a_move_that_is_under_way(lab, guest, remover, removed):
    if not peers_of(lab.host("hosta")).get("hostb") or not peers_of(lab.host("hostb")).get("hosta"):
        pair(lab)
    lab.link.shape("20mbit")
    try:
        moving = Move(lab)
        wait_for_phase(lab.host("hosta"), "MEMORY")
        began = time.monotonic()
        assert vmigrate(lab.host(remover), "peers", "remove", removed).returncode == 0
        assert moving.wait() != 0
        assert time.monotonic() - began < WITHIN_A_MINUTE
    finally:
        lab.link.shape(None)
    if remover == "hosta":
        assert "hostb was removed from the hosts that hosta trusts" in moving.said
    # Without a link the source does not wait until the other host has cleared up.
    processes.wait_until(lambda: [host.name for host in guest.hosts] == ["hosta"], PATIENCE, "what came in to be gone")
    is_only_on(lab, guest, "hosta")
    refused = vmigrate(lab.host("hosta"), "start", GUEST, "hostb")
    assert refused.returncode in (NOT_FOUND, NOT_ALLOWED)
    assert f"now: {GUEST} runs on hosta" in refused.stderr
    assert removed not in peers_of(lab.host(remover))
    is_only_on(lab, guest, "hosta")


def test_who_was_removed_can_be_paired_anew(lab, guest):
    pair(lab)
    move(lab, GUEST, "hosta", "hostb")
    is_only_on(lab, guest, "hostb")
