"""Requests that must be refused, and what must not disturb: each refusal says what, where and why, and that the VM
still runs where it was, which is then looked at. After each kind a move works as ever."""

import re
import time
from contextlib import contextmanager
from xml.etree import ElementTree

import pytest
from labkit import certificates, processes
from labkit.lab import has_kvm

from foreign_peer import (REFUSAL, ForeignDaemon, fields, half_open, hello, receive_message, refusal, send_message,
                          session, text, throw_garbage, welcome)
from moving import empty_state_folder, fill_state_folder, is_only_on, move, small_state_folder, vmigrate
from test_faults import Move, daemon_of, phase, wait_for_phase

PATIENCE = 60
EMULATOR = "/usr/bin/qemu-system-x86_64"
MEBIBYTE = 1024  # in KiB, as /proc/meminfo counts
# What `vmigrate` ends with.
FAILED, USAGE, NOT_FOUND, REFUSED, NOT_ALLOWED, CANCELLED, UNREACHABLE = 1, 2, 3, 4, 5, 6, 8


def refused(lab, code, *words, host="hostb", name="web1", safe=True):
    """A move from hosta that ends with this code and these words, and where `safe` says that the VM runs on there."""
    answer = vmigrate(lab.host("hosta"), "start", name, host)
    assert answer.returncode == code, answer.stderr
    # Behind the progress.
    reason = answer.stderr.rpartition("vmigrate: ")[2]
    for word in words:
        assert word in reason, answer.stderr
    if safe:
        assert f"now: {name} runs on hosta" in reason, answer.stderr


@pytest.fixture(scope="module")
def resident(lab):
    """A guest on hosta that every refused request leaves there."""
    guest = lab.add_guest("web1")
    yield guest
    lab.remove_guest("web1")


@pytest.fixture(autouse=True)
def unharmed(lab, resident):
    yield
    is_only_on(lab, resident, "hosta")
    assert resident.scan()["bad"] == 0


@pytest.fixture(scope="class", autouse=True)
def moves_afterwards(lab, resident):
    yield
    for source, destination in (("hosta", "hostb"), ("hostb", "hosta")):
        move(lab, "web1", source, destination)
        is_only_on(lab, resident, destination)
    assert resident.scan()["bad"] == 0


# -- A host that is not as it was, for a while

@contextmanager
def without_daemon(host):
    host.stop_daemon()
    try:
        yield
    finally:
        host.start_daemon()


@contextmanager
def changed(host, *paths):
    """What the block does to these files is undone in the end; what it is given makes the daemon read them."""
    kept = {path: host.inner(path).read_bytes() for path in paths}

    def apply():
        host.stop_daemon()
        host.start_daemon()

    try:
        yield apply
    finally:
        for path, content in kept.items():
            host.inner(path).write_bytes(content)
        if host.is_running("migrated"):
            host.stop_daemon()
        host.start_daemon()


@contextmanager
def replaced(lab, host, path, content, mode=0o644):
    """`host` finds this content at `path` of its own, where the machine has something else."""
    other = lab.shared / "replaced"
    other.write_bytes(content)
    other.chmod(mode)
    host.run("mount", "--bind", other, path)
    try:
        yield
    finally:
        host.run("umount", path)
        other.unlink()


@contextmanager
def another_qemu(lab, host, renamed):
    """`host` has a QEMU in which some names are others; libvirtd sees by itself that it is not the one it knows."""
    with open(EMULATOR, "rb") as file:
        program = file.read()
    for name, other in renamed.items():
        assert program.count(name) == 1 and len(name) == len(other), name
        program = program.replace(name, other)
    # It compares the times of the last change, in whole seconds.
    entered = int(time.time())
    processes.wait_until(lambda: int(time.time()) > entered, PATIENCE, "the next second")
    with replaced(lab, host, EMULATOR, program, 0o755):
        yield


class TestNamesAndHosts:
    def test_unknown_names(self, lab):
        refused(lab, NOT_FOUND, "nobody", name="nobody", safe=False)
        refused(lab, NOT_FOUND, "hostc", host="hostc")
        refused(lab, REFUSED, "hosta", host="hosta")

    def test_a_host_whose_daemon_is_down(self, lab):
        with without_daemon(lab.host("hostb")):
            refused(lab, UNREACHABLE, "hostb", "does migrated run on hostb")

    def test_a_host_that_does_not_answer(self, lab):
        lab.link.cut()
        try:
            refused(lab, UNREACHABLE, "hostb", "does migrated run on hostb")
        finally:
            lab.link.heal()

    def test_a_certificate_of_another_authority(self, lab, tmp_path):
        certificates.make_authority(tmp_path)
        files = [f"/etc/vmigrate/{name}" for name in ("host.pem", "host.key", "ca.pem")]
        with changed(lab.host("hostb"), *files) as apply:
            certificates.make_certificate(tmp_path, lab.host("hostb").inner("/etc/vmigrate"), "hostb")
            apply()
            refused(lab, NOT_ALLOWED, "hostb", "certificate")

    def test_a_certificate_of_another_host(self, lab):
        with changed(lab.host("hostb"), "/etc/vmigrate/host.pem", "/etc/vmigrate/host.key") as apply:
            folder = lab.host("hostb").inner("/etc/vmigrate")
            certificates.make_certificate(lab.folder / "authority", folder, "hostc")
            apply()
            refused(lab, NOT_ALLOWED, "its certificate is for hostc, not for hostb")

    def test_a_host_that_is_not_configured_there(self, lab):
        file = "/etc/vmigrate/migrated.toml"
        with changed(lab.host("hostb"), file) as apply:
            path = lab.host("hostb").inner(file)
            path.write_text(path.read_text().replace("[peers.hosta]", "[peers.hostc]"))
            apply()
            refused(lab, NOT_ALLOWED, "hostb", "hosta, which is no host configured there")

    def test_an_unknown_key_in_the_configuration(self, lab):
        host = lab.host("hostb")
        file = "/etc/vmigrate/migrated.toml"
        with changed(host, file):
            host.stop_daemon()
            host.inner(file).write_text(host.inner(file).read_text().replace('level = "debug"', 'levle = "debug"'))
            line = host.inner(file).read_text().splitlines().index('levle = "debug"') + 1
            for arguments in ([], ["--check"]):
                started = host.run(host.daemon_program, *arguments, check=False, timeout=PATIENCE)
                assert started.returncode == USAGE
                assert f"{file}:{line}: [log] has no option 'levle'" in started.stderr
                assert "did you mean level?" in started.stderr
            refused(lab, UNREACHABLE, "hostb")


class TestWhatTheDestinationLacks:
    def test_a_vm_of_that_name_is_there(self, lab):
        other = lab.shared / "other.xml"
        other.write_text("<domain type='qemu'><name>web1</name><memory unit='MiB'>16</memory>"
                         "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>")
        lab.host("hostb").virsh("create", other)
        try:
            refused(lab, REFUSED, "hostb has another VM that is called web1")
        finally:
            lab.host("hostb").virsh("destroy", "web1")
            other.unlink()

    def test_a_disk_that_is_not_there(self, lab):
        host = lab.host("hosta")
        path = "/var/lib/libvirt/local.img"
        host.inner(path).write_bytes(bytes(1 << 20))
        host.virsh("attach-disk", "web1", path, "sda", "--targetbus", "usb", "--cache", "none", "--live")
        try:
            refused(lab, REFUSED, "local.img", "hostb")
        finally:
            host.virsh("detach-disk", "web1", "sda", "--live")
            processes.wait_until(lambda: "local.img" not in host.virsh("domblklist", "web1").stdout, PATIENCE,
                                 "the disk to be gone")
            host.inner(path).unlink()

    def test_a_bridge_that_is_not_there(self, lab):
        host = lab.host("hostb")
        host.run("ip", "link", "set", "br0", "down")
        host.run("ip", "link", "set", "br0", "name", "br9")
        try:
            refused(lab, REFUSED, "br0", "hostb")
        finally:
            host.run("ip", "link", "set", "br9", "name", "br0")
            host.run("ip", "link", "set", "br0", "up")

    def test_memory(self, lab):
        with open("/proc/meminfo", encoding="ascii") as file:
            said = re.sub(r"(?m)^(MemAvailable:) *\d+", rf"\1 {300 * MEBIBYTE}", file.read())
        with replaced(lab, lab.host("hostb"), "/proc/meminfo", said.encode()):
            # The guest has 256 MiB and would fit, its QEMU would not.
            refused(lab, REFUSED, "web1 needs 384 MiB of memory, hostb has 300 MiB available")

    def test_a_machine_type(self, lab):
        live = ElementTree.fromstring(lab.host("hosta").virsh("dumpxml", "web1").stdout)
        machine = live.find("os/type").get("machine")
        renamed = {f"{machine}-machine\0".encode(): f"{machine[:-1]}x-machine\0".encode()}
        with another_qemu(lab, lab.host("hostb"), renamed):
            refused(lab, REFUSED, f"the QEMU on hostb does not know the machine type {machine}")

    def test_a_processor_model(self, lab):
        renamed = {b"\0qemu64\0": b"\0qemuxx\0", b"\0qemu64-x86_64-cpu\0": b"\0qemuxx-x86_64-cpu\0"}
        with another_qemu(lab, lab.host("hostb"), renamed):
            refused(lab, REFUSED, "the QEMU on hostb does not know the CPU model qemu64 of web1")

    def test_a_feature_of_the_processor(self, lab, add_guest):
        if not has_kvm():
            pytest.skip("/dev/kvm cannot be opened here")
        guest = add_guest("tiny", "kvm")
        feature = with_processor_feature(lab, guest)
        renamed = {f"\0{feature}\0".encode(): f"\0{feature[:-1]}z\0".encode()}
        with another_qemu(lab, lab.host("hostb"), renamed):
            refused(lab, REFUSED, "the processor of hostb lacks what tiny was started with", feature, name="tiny")
            is_only_on(lab, guest, "hosta")
        move(lab, "tiny", "hosta", "hostb")
        before, _ = guest.passes()
        processes.wait_until(lambda: guest.passes()[0] > before, PATIENCE, "the guest to go on writing")
        assert guest.passes()[1] == 0


def with_processor_feature(lab, guest):
    """Starts the kvm guest anew with a processor that has a feature which KVM here offers; gives the feature's name."""
    host = lab.host("hosta")
    offered = ElementTree.fromstring(host.virsh("domcapabilities", "--virttype", "kvm").stdout).find(
        "cpu/mode[@name='host-model']")
    names = {policy: {node.get("name") for node in offered.findall(f"feature[@policy='{policy}']")}
             for policy in ("require", "disable")}
    # What the host's model has by itself is not among what is required beside it.
    model = ElementTree.parse(f"/usr/share/libvirt/cpu_map/x86_{offered.findtext('model')}.xml")
    names["require"] |= {node.get("name") for node in model.iter("feature")} - names["disable"]
    feature = next(name for name in ("gfni", "clwb", "clflushopt", "umip", "adx", "bmi2") if name in names["require"])
    description = lab.shared / f"{guest.name}.xml"
    domain = ElementTree.parse(description)
    domain.getroot().remove(domain.find("cpu"))
    # A model that every host has, so that only the feature can be missing.
    domain.getroot().append(ElementTree.fromstring(
        "<cpu mode='custom' match='exact' check='partial'><model fallback='forbid'>pentium3</model>"
        f"<feature policy='require' name='{feature}'/></cpu>"))
    domain.write(description)
    host.virsh("destroy", guest.name)
    host.virsh("define", description)
    host.virsh("start", guest.name)
    guest.wait()
    return feature


class TestTheSource:
    def test_a_vm_that_is_shut_off(self, lab):
        description = lab.shared / "idle.xml"
        description.write_text("<domain type='qemu'><name>idle</name><memory unit='MiB'>16</memory>"
                               "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>")
        lab.host("hosta").virsh("define", description)
        try:
            refused(lab, REFUSED, "idle does not run: it is shut off", name="idle", safe=False)
        finally:
            lab.host("hosta").virsh("undefine", "idle")
            description.unlink()

    def test_an_emulated_vm_of_which_qemu_would_lose_memory(self, lab):
        said = processes.run(EMULATOR, "--version").stdout
        if int(re.search(r"version (\d+)", said).group(1)) >= 9:
            pytest.skip("this QEMU keeps the memory of emulated VMs")
        host = lab.host("hosta")
        file = "/etc/vmigrate/migrated.toml"
        with changed(host, file) as apply:
            # The lab's guests are moved because this allows it.
            host.inner(file).write_text(host.inner(file).read_text().replace('lossy_emulation = "yes"', ""))
            apply()
            refused(lab, REFUSED, "web1 is emulated, and QEMU before 9.0 can lose what web1 writes")
            checked = vmigrate(host, "check", "web1", "hostb")
            assert checked.returncode == REFUSED and "web1 is emulated" in checked.stdout, checked

    def test_a_second_migration_of_the_same_vm(self, lab):
        lab.link.shape("20mbit")
        try:
            first = Move(lab)
            wait_for_phase(lab.host("hosta"), "MEMORY")
            refused(lab, REFUSED, "already under way")
            # What is on its way in is not hostb's to move on.
            answer = vmigrate(lab.host("hostb"), "start", "web1", "hosta")
            assert answer.returncode == REFUSED, answer.stderr
            # The first one does not notice.
            assert phase(lab.host("hosta")) == "MEMORY"
            vmigrate(lab.host("hosta"), "cancel", "web1")
            assert first.wait() == CANCELLED, first.said
        finally:
            lab.link.shape(None)


class TestAnotherVersion:
    @pytest.mark.parametrize("answer, words", [
        (refusal(REFUSED, "migrated 2.0 speaks protocol versions 2 to 3, migrated 0.1.0 here speaks 1 to 1",
                 "install the same version on both hosts"), ("migrated 2.0 speaks protocol versions 2 to 3",)),
        (welcome(2, "2.0"), ("protocol version 2, which was not offered",)),
        (text(9, "what a later version may say"), ("does not answer a greeting with a welcome",)),
        (b"\xff\xff\xff\xff", ("something else than a greeting",)),
    ], ids=["refusal", "welcome", "unknown", "nonsense"])
    def test_of_the_destination(self, lab, answer, words):
        with without_daemon(lab.host("hostb")), ForeignDaemon(lab.host("hostb"), answer) as foreign:
            refused(lab, REFUSED, "hostb (10.77.0.2:16510)", "install the same version on both hosts", *words)
            # It had a real greeting to answer.
            assert foreign.heard and b"\x08\x01\x10\x01" in foreign.heard[0]

    @pytest.mark.parametrize("newest, oldest", [(3, 2), (0, 0), (0xffffffff, 0xffffffff)])
    def test_of_a_source(self, lab, newest, oldest):
        source, destination = lab.host("hosta"), lab.host("hostb")
        daemon = daemon_of(destination)
        with session(source, destination) as stream:
            send_message(stream, hello(newest, oldest, "2.0"))
            told = fields(fields(receive_message(stream))[REFUSAL])
            assert stream.recv(1) == b""
        assert f"migrated 2.0 here speaks {oldest} to {newest}".encode() in told[2]
        assert b"install the same version" in told[3]
        assert daemon_of(destination) == daemon and processes.is_alive(daemon)

    def test_of_a_newer_source_that_speaks_this_one_too(self, lab):
        with session(lab.host("hosta"), lab.host("hostb")) as stream:
            send_message(stream, hello(2, 1, "2.0"))
            assert 1 in fields(receive_message(stream))


class TestGarbage:
    def test_on_the_ports_while_memory_moves(self, lab, resident):
        source, destination = lab.host("hosta"), lab.host("hostb")
        daemons = [daemon_of(host) for host in (source, destination)]
        lab.link.shape("20mbit")
        try:
            moving = Move(lab)
            wait_for_phase(source, "MEMORY")
            throw_garbage(source, destination)
            throw_garbage(destination, source)
            with half_open(source, destination), half_open(destination, source):
                assert phase(source) == "MEMORY"
                lab.link.shape(None)
                assert moving.wait() == 0, moving.said
                is_only_on(lab, resident, "hostb")
                assert resident.scan()["bad"] == 0
                # The next one greets beside those that never end their greeting.
                move(lab, "web1", "hostb", "hosta")
        finally:
            lab.link.shape(None)
        assert all(processes.is_alive(daemon) for daemon in daemons)


class TestAFullDiskUnderTheJournal:
    @pytest.mark.parametrize("name", ["hosta", "hostb"])
    def test_from_the_beginning(self, lab, name):
        host = lab.host(name)
        with small_state_folder(host):
            fill_state_folder(host)
            # The trail of who asks for what comes before all else.
            refused(lab, FAILED, f"{name}: cannot write the audit trail", "full", "make room")
            # Once there is room, no restart is needed.
            empty_state_folder(host)
            move(lab, "web1", "hosta", "hostb")
            move(lab, "web1", "hostb", "hosta")

    @pytest.mark.parametrize("name", ["hosta", "hostb"])
    def test_no_promise_without_a_record(self, lab, name):
        """The source's promise is not made, the destination's start not done: the VM goes on where it was."""
        host = lab.host(name)
        with small_state_folder(host):
            lab.link.shape("20mbit")
            try:
                moving = Move(lab)
                wait_for_phase(lab.host("hosta"), "MEMORY")
                fill_state_folder(host)
            finally:
                lab.link.shape(None)
            assert moving.wait() == FAILED, moving.said
            for word in (f"{name}: cannot write the journal", "now: web1 runs on hosta"):
                assert word in moving.said, moving.said
            empty_state_folder(host)
