"""libvirt's hook: a VM that was handed over is started on no host but the one that it was handed over to."""

import os
import shutil
import signal
import subprocess

import pytest
from labkit import processes
from moving import is_only_on, move, vmigrate
from test_faults import Move, wait_for_phase

PATIENCE = 60


@pytest.fixture
def hooked(lab):
    """The hook in place on hosta, whose libvirtd has seen it."""
    host = lab.host("hosta")
    fixed = vmigrate(host, "doctor", "--fix")
    assert "made /etc/libvirt/hooks/qemu.d/vmigrate" in fixed.stderr
    assert "start veto" in fixed.stdout and "is in place" in fixed.stdout
    restart_libvirtd(host)
    yield host
    host.inner("/etc/libvirt/hooks/qemu.d/vmigrate").unlink()


def restart_libvirtd(host):
    host.stop_libvirtd()
    host.start_libvirtd()


def boot_again(host):
    """As a host does that has crashed, migrated not yet up: libvirtd has not started what it starts by itself since /run
    was empty."""
    if host.is_running("migrated"):
        host.kill_daemon()
    for folder in host.inner("/run/vmigrate").iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    host.kill_libvirtd()
    for qemu in host.qemus().values():
        os.kill(qemu["pid"], signal.SIGKILL)
    for file in host.inner("/run/libvirt/qemu").glob("*"):
        if file.is_file():
            file.unlink()
    host.start_libvirtd()


def wait_for_vetoed_autostart(host, name):
    log = host.inner("/var/log/libvirt/libvirtd.log")
    processes.wait_until(lambda: f"Failed to autostart VM '{name}'" in log.read_text(encoding="utf-8"), PATIENCE,
                         "libvirtd to try to start it")
    assert f"vmigrate: {name} is not started here" in log.read_text(encoding="utf-8")


def start_by_hand(host, name):
    """What virsh says of it, or None if it was started."""
    started = host.virsh("start", name, check=False)
    return None if started.returncode == 0 else started.stderr


def test_a_kept_definition_is_started_only_where_somebody_answers_for_it(lab, add_guest, hooked):
    add_guest("web1")
    move(lab, "web1", "hosta", "hostb", "--keep-source-definition")
    said = start_by_hand(hooked, "web1")
    assert "vmigrate: web1 is not started here: web1 was handed over to hostb and runs there" in said
    assert "vmigrate resolve web1 --run-here --i-have-fenced hostb" in said
    hooked.virsh("autostart", "web1")
    boot_again(hooked)
    wait_for_vetoed_autostart(hooked, "web1")
    assert hooked.domains()["web1"].startswith("shut off")
    hooked.start_daemon()
    # It comes back by vmigrate, and may be stopped and started as ever.
    move(lab, "web1", "hostb", "hosta")
    hooked.virsh("destroy", "web1")
    assert start_by_hand(hooked, "web1") is None

    move(lab, "web1", "hosta", "hostb", "--keep-source-definition")
    assert start_by_hand(hooked, "web1") is not None
    wrong = vmigrate(hooked, "resolve", "web1", "--run-here", "--i-have-fenced", "hosta")
    assert wrong.returncode != 0 and "other host of the VM is hostb" in wrong.stderr
    assert start_by_hand(hooked, "web1") is not None
    lab.host("hostb").virsh("destroy", "web1")
    resolved = vmigrate(hooked, "resolve", "web1", "--run-here", "--i-have-fenced", "hostb")
    assert resolved.returncode == 0, resolved.stderr
    assert "may be started here again" in resolved.stderr
    assert start_by_hand(hooked, "web1") is None


def test_a_return_that_a_crash_of_the_host_has_ended_lifts_nothing(lab, add_guest, hooked):
    guest = add_guest("web1")
    move(lab, "web1", "hosta", "hostb", "--keep-source-definition")
    hooked.virsh("autostart", "web1")
    lab.link.shape("20mbit")
    returning = Move(lab, "hostb", "hosta")
    wait_for_phase(lab.host("hostb"), "MEMORY")
    boot_again(hooked)
    wait_for_vetoed_autostart(hooked, "web1")
    assert returning.wait() == 1, returning.said
    assert [host.name for host in guest.running_on] == ["hostb"]
    lab.link.shape(None)
    hooked.start_daemon()
    move(lab, "web1", "hostb", "hosta")
    is_only_on(lab, guest, "hosta")


def test_an_installation_brings_it(lab, tmp_path):
    subprocess.run(["cmake", "--install", lab.host("hosta").build, "--prefix", "/usr"], check=True, capture_output=True,
                   env={**os.environ, "DESTDIR": str(tmp_path)})
    program = os.readlink(tmp_path / "etc/libvirt/hooks/qemu.d/vmigrate")
    assert os.access(tmp_path / program.lstrip("/"), os.X_OK)


def test_others_are_started_and_moved_as_ever(lab, add_guest, hooked):
    guest = add_guest("web1")
    for there, back in (("hosta", "hostb"), ("hostb", "hosta")):
        move(lab, "web1", there, back)
    is_only_on(lab, guest, "hosta")
    hooked.virsh("destroy", "web1")
    assert start_by_hand(hooked, "web1") is None


def test_what_was_promised_is_not_started_after_a_crash_of_the_host(lab, add_guest, hooked):
    guest = add_guest("web2")
    other = lab.host("hostb")
    hooked.virsh("autostart", "web2")
    hooked.stop_daemon()
    hooked.start_daemon({"VMIGRATE_FAILPOINT": "kill:after:relinquished"})
    assert vmigrate(hooked, "start", "web2", "hostb").returncode != 0
    other.kill_daemon()
    boot_again(hooked)
    wait_for_vetoed_autostart(hooked, "web2")
    assert "whether it runs there is not known yet" in start_by_hand(hooked, "web2")
    assert not guest.running_on
    # The destination had not started it, and never will: it may be started here, from its disks.
    other.start_daemon()
    hooked.start_daemon()
    processes.wait_until(lambda: start_by_hand(hooked, "web2") is None, PATIENCE, "the destination's word")
    assert [host.name for host in guest.running_on] == ["hosta"]
