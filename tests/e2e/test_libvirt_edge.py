"""libvirt's side of vmigrate against two real libvirtds: what each step of a move does, and what each fault leaves.

The agents carry what the two daemons would carry, and do each step when they are told to.
"""

import os
import shutil
import signal
import stat
import tempfile
import time
import uuid
from pathlib import Path

import pytest
from labkit.boot_block import make_boot_disk
from labkit.processes import wait_until
from libvirt_move import PATIENCE, Agent, Move, restart_libvirtd

# What the smallest KVM can do: a processor without virtualisation of its own.
KVM_CPU = "<cpu mode='custom' check='none'><model>qemu64</model><feature policy='disable' name='svm'/></cpu>"


@pytest.fixture(name="move")
def one_move(lab):
    folder = Path(tempfile.mkdtemp(prefix="vmigrate-move-", dir="/var/tmp"))
    folder.chmod(0o755)
    move = Move(lab, folder)
    yield move
    move.stop()
    shutil.rmtree(folder)


def test_moves_a_persistent_vm_that_only_we_start(move):
    move.define()
    move.to_finish()
    assert move.states() == ("paused (migrating)", "paused (migrating)")
    assert move.destination.ask(f"state {move.uuid}", "state") == "state incoming"
    # The unprivileged QEMU could make its socket there, and nobody but root can list or connect.
    runtime = "/run/vmigrate/m"
    assert stat.filemode(move.destination_host.inner(runtime).stat().st_mode) == "drwx-wx--T"
    assert stat.filemode(move.source_host.inner(runtime).stat().st_mode) == "drwx------"
    assert move.finish_there() == "finished loaded"
    source, destination = move.states()
    assert source == "paused (migrating)"
    assert destination.startswith("paused")
    assert move.destination.ask(f"resume {move.uuid}", "resumed") == "resumed ok"
    assert move.answer_here() == "ended ok"
    assert move.source_state() == "absent"
    assert move.destination_state().startswith("running")
    assert move.name in move.destination_host.virsh("list", "--persistent", "--name").stdout


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_moves_a_transient_vm(move, machine):
    move.define(transient=True, machine=machine)
    move.to_finish()
    assert move.finish_there() == "finished loaded"
    assert move.answer_here() == "ended ok"
    assert move.source_state() == "absent"
    assert move.name in move.destination_host.virsh("list", "--transient", "--name").stdout


@pytest.mark.skipif(not os.path.exists("/dev/kvm"), reason="there is no /dev/kvm")
def test_moves_a_vm_that_runs_on_kvm(move):
    move.define(kind="kvm", cpu=KVM_CPU)
    move.to_finish()
    assert move.finish_there() == "finished loaded"
    assert move.destination.ask(f"resume {move.uuid}", "resumed") == "resumed ok"
    assert move.answer_here() == "ended ok"
    assert move.destination_state().startswith("running")


def test_keeps_the_definition_at_the_source_when_asked(move):
    move.define()
    move.to_finish("outgoing-keep")
    assert move.finish_there() == "finished loaded"
    assert move.answer_here() == "ended ok"
    assert move.source_state().startswith("shut off")
    assert move.source.ask(f"undefine {move.uuid}", "undefined") == "undefined ok"
    assert move.source_state() == "absent"


def test_finish_may_be_held_for_longer_than_any_keepalive(move):
    move.define()
    move.to_finish()
    # libvirtd takes a client for dead after 5 pings without an answer, one every 5 s: this is what has to pass.
    time.sleep(35)
    assert move.states() == ("paused (migrating)", "paused (migrating)")
    assert move.finish_there() == "finished loaded"
    assert move.answer_here() == "ended ok"


def test_a_failed_load_resumes_the_source(move):
    move.define()
    move.to_finish()
    os.kill(move.destination_host.qemus()[move.name]["pid"], signal.SIGKILL)
    assert move.finish_there().startswith("finished failed")
    assert move.source_state() == "paused (migrating)"
    assert move.answer_here().startswith("ended error failed")
    source, destination = move.states()
    assert source.startswith("running")
    assert destination == "absent"


def test_an_answer_that_nobody_can_read_is_still_a_success(move):
    move.define()
    move.to_finish()
    assert move.finish_there() == "finished loaded"
    move.source.tell("answer-garbled")
    assert move.source.expect("ended") == "ended ok"
    assert move.source_state() == "absent"


def test_a_destination_that_cannot_prepare_says_why(move):
    move.define()
    move.join()
    assert move.offer() == ([], [])
    move.destination_host.run("ip", "link", "set", "br0", "name", "br7")
    try:
        move.destination.ask("incoming", "begun ok")
        move.source.ask(f"outgoing {move.name}", "begun ok")
        ended = move.source.expect("ended")
    finally:
        move.destination_host.run("ip", "link", "set", "br7", "name", "br0")
    assert "br0" in ended
    assert "br0" in move.destination.expect("failed")
    assert move.destination.ask("discard", "discarded") == "discarded ok"
    assert move.states() == ("running (booted)", "absent")


def test_abort_during_the_memory(move):
    move.define()
    move.source.tell("hold-stream")
    move.begin()
    move.source.expect("stream")
    assert move.states() == ("running (booted)", "paused (migrating)")
    move.source.ask("progress", "progress total=")
    assert move.source.ask("max-pause 100", "max-pause") == "max-pause ok"
    move.source.tell("abort")
    assert move.cancelled_finish().startswith("ended error cancelled")
    assert move.states() == ("running (booted)", "absent")
    assert move.destination.ask("discard", "discarded") == "discarded ok"


def test_abort_while_the_destination_says_nothing(move):
    move.define()
    move.join()
    assert move.source.ask(f"outgoing {move.name}", "begun") == "begun ok"
    move.source.tell("abort")
    assert move.source.expect("ended").startswith("ended error cancelled")
    assert move.source_state() == "running (booted)"


def test_a_cut_stream_leaves_it_running_at_the_source(move):
    move.define()
    move.source.tell("hold-stream")
    move.begin()
    move.source.expect("stream")
    move.source.tell("cut-stream")
    assert move.cancelled_finish().startswith("ended error failed")
    assert move.states() == ("running (booted)", "absent")


def test_a_vm_that_was_paused_stays_paused(move):
    move.define()
    move.source_host.virsh("suspend", move.name)
    move.source.tell("hold-stream")
    move.begin()
    move.source.expect("stream")
    move.source.tell("cut-stream")
    move.cancelled_finish()
    assert move.source_state().startswith("paused")


def test_killed_source_qemu_is_told(move):
    move.define()
    move.source.tell("hold-stream")
    move.begin()
    move.source.expect("stream")
    os.kill(move.source_host.qemus()[move.name]["pid"], signal.SIGKILL)
    assert move.cancelled_finish().startswith("ended error")
    assert move.states() == ("shut off (crashed)", "absent")


def test_killed_daemons_before_finish_leave_it_running_at_the_source(move):
    move.define()
    move.source.tell("hold-stream")
    move.begin()
    move.source.expect("stream")
    move.source.kill()
    move.destination.kill()
    wait_until(lambda: move.states() == ("running (booted)", "absent"), PATIENCE, "libvirt to see it")


@pytest.mark.parametrize("how", ["kill", "drop"])
def test_a_client_that_dies_in_finish_leaves_both_stopped(move, how):
    move.define()
    move.to_finish()
    assert move.finish_there() == "finished loaded"
    for agent in (move.source, move.destination):
        if how == "kill":
            agent.kill()
        else:
            agent.ask("drop", "dropped")
    # libvirtd has seen its client go: it ends the migration's job without deciding anything.
    wait_until(lambda: "None" in move.source_host.virsh("domjobinfo", move.name).stdout, PATIENCE, "libvirt to see it")
    assert move.states() == ("paused (migrating)", "paused (user)")
    again = Agent(move.source_host, move.folder / "unused")
    assert again.ask(f"resume {move.uuid}", "resumed") == "resumed ok"
    again.stop()
    assert move.source_state().startswith("running")


def test_a_destination_that_dies_before_finish_leaves_nothing(move):
    move.define()
    move.to_finish()
    move.destination.kill()
    wait_until(lambda: move.destination_state() == "absent", PATIENCE, "libvirt to see it")
    assert move.source_state() == "paused (migrating)"
    move.source.tell("answer-failed")
    assert move.source.expect("ended").startswith("ended error failed")
    assert move.source_state().startswith("running")


def test_discard_proves_that_nothing_is_left(move):
    move.define()
    move.to_finish()
    assert move.finish_there() == "finished loaded"
    assert move.destination.ask("discard", "discarded") == "discarded ok"
    # Neither its process nor the definition that Finish had made.
    assert move.destination_state() == "absent"
    move.source.tell("answer-failed")
    assert move.source.expect("ended").startswith("ended error failed")
    assert move.source_state().startswith("running")


def test_discard_keeps_a_definition_that_was_there_before(move):
    move.define()
    move.destination_host.virsh("define", str(move.folder / "guest.xml"))
    move.to_finish()
    assert move.destination.ask("discard", "discarded") == "discarded ok"
    assert move.destination_state().startswith("shut off")
    move.source.tell("answer-failed")
    move.source.expect("ended")


def test_discard_does_not_end_what_somebody_else_started(move):
    move.define()
    move.to_finish()
    assert move.finish_there() == "finished loaded"
    move.destination_host.virsh("resume", move.name)
    assert move.destination.ask("discard", "discarded").startswith("discarded error needs-attention")
    assert move.destination_state().startswith("running")
    move.answer_here()


def test_source_libvirtd_killed_in_finish(move):
    move.define()
    move.to_finish()
    assert move.finish_there() == "finished loaded"
    restart_libvirtd(move.source_host)
    assert move.source_state().startswith("paused")
    assert move.answer_here().startswith("ended error")
    # What is left here is ours to remove, once the destination runs it.
    assert move.source.ask(f"destroy {move.uuid}", "destroyed") == "destroyed ok"
    assert move.source.ask(f"undefine {move.uuid}", "undefined") == "undefined ok"
    assert move.source_state() == "absent"


def test_destination_libvirtd_killed_during_the_memory(move):
    move.define()
    move.source.tell("hold-stream")
    move.begin()
    move.source.expect("stream")
    restart_libvirtd(move.destination_host)
    move.destination.expect("failed")
    move.source.tell("abort")
    assert move.cancelled_finish().startswith("ended error cancelled")
    assert move.destination.ask("discard", "discarded") == "discarded ok"
    assert move.states() == ("running (booted)", "absent")


def test_a_move_to_where_it_is_active_is_refused_before_anything_changes(move):
    move.define(transient=True)
    move.join()
    # With a disk of its own: QEMU's lock would keep two from starting on one.
    other = move.folder / "other.img"
    make_boot_disk(other)
    definition = move.folder / "there.xml"
    definition.write_text((move.folder / "guest.xml").read_text().replace(str(move.image), str(other)))
    move.destination_host.virsh("create", str(definition))
    _, findings = move.offer()
    assert any("is active on hostb already" in finding for finding in findings)
    assert move.destination.ask("incoming", "begun").startswith("begun error refused")


def test_findings_at_the_destination(move, lab):
    folder, destination = move.folder, move.destination_host
    move.define()
    move.join()
    assert move.offer() == ([], [])
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()

    for command, expected in {
        "pretend machine pc-q35-99.0": "does not know the machine type pc-q35-99.0",
        "pretend emulator /usr/bin/qemu-none": "does not have web1's emulator",
        "pretend gibibytes 100000": "of memory, hostb has",
    }.items():
        move.destination.tell(command)
        assert any(expected in finding for finding in move.destination.findings("check-incoming")), expected
        assert move.offer() == ([], [])

    in_the_way = folder / "other.xml"
    in_the_way.write_text((folder / "guest.xml").read_text().replace(move.uuid, str(uuid.uuid4())))
    destination.virsh("define", str(in_the_way))
    assert any("another VM that is called web1" in finding for finding in move.offer()[1])
    destination.virsh("undefine", move.name)

    # The same path, but other storage: nothing there, then a faithful copy.
    destination.run("mount", "--bind", elsewhere, lab.shared)
    assert any("cannot be reached on hostb" in finding for finding in move.offer()[1])
    make_boot_disk(elsewhere / move.image.name)
    assert any("is other storage" in finding for finding in move.offer()[1])
    destination.run("umount", lab.shared)

    destination.run("ip", "link", "set", "br0", "name", "br7")
    assert any("the bridge br0 of interface 52:54:00:12:34:56 does not exist" in f for f in move.offer()[1])
    destination.run("ip", "link", "set", "br7", "name", "br0")
    assert move.offer() == ([], [])


def test_findings_at_the_source(move):
    move.define(start=False)
    move.source.tell(f"check {move.name}")
    assert move.source.expect("finding") == "finding web1 does not run: it is shut off"
    move.source.expect("checked")
    move.source_host.virsh("undefine", move.name)
    move.define(cache="writeback")
    assert any("page cache" in finding for finding in move.source.findings(f"check {move.name}"))
    assert move.source.ask("check nobody", "described").startswith("described error not-found")


def test_tokens_are_gone_when_the_move_begins(move):
    move.define()
    move.join()
    # Those of a check that came to nothing go after a minute.
    others = set(move.image.parent.glob(".vmigrate-*"))
    move.offer()
    assert set(move.image.parent.glob(".vmigrate-*")) - others
    move.destination.ask("incoming", "begun")
    move.source.ask(f"outgoing {move.name}", "begun")
    assert not set(move.image.parent.glob(".vmigrate-*")) - others
    move.source.expect("finish-requested")
    move.source.tell("answer-failed")
    move.source.expect("ended")


def test_reconnects_after_libvirtd_was_restarted(move):
    assert move.source.ask("version", "version").startswith("version libvirt ")
    restart_libvirtd(move.source_host)
    move.source.expect("connection-lost")
    move.define()
    move.source.tell("list")
    assert move.source.expect("listed") == "listed web1 running"
