"""Moves that must work, for every kind of guest, under the eyes of its clients; and requests that must be refused."""

import json
import subprocess

import pytest
from labkit import processes
from labkit.clients import ForkMonitor, HeldConnection, Pinger, RarpCapture
from labkit.lab import has_kvm

PATIENCE = 60


def vmigrate(host, *arguments):
    return host.run(host.client_program, *arguments, check=False)


def move(lab, name, source, destination, *options):
    """Moves it and gives the receipt."""
    moved = vmigrate(lab.host(source), "start", name, destination, *options)
    assert moved.returncode == 0, moved.stderr
    return json.loads(vmigrate(lab.host(source), "-o", "json", "show", name).stdout)["receipt"]


def is_only_on(lab, guest, name):
    assert [host.name for host in guest.hosts] == [name]
    assert [host.name for host in guest.running_on] == [name]


def test_twenty_hops_under_load(lab, add_guest):
    guest = add_guest("web1", dirty_rate=4000)
    with ForkMonitor(lab) as monitor, HeldConnection(lab, guest.address) as connection:
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


# -- What must be refused, with the VM running on where it was

def refused(lab, code, *words, host="hostb", name="web1"):
    answer = vmigrate(lab.host("hosta"), "start", name, host)
    assert answer.returncode == code, answer.stderr
    for word in words:
        assert word in answer.stderr
    return answer


@pytest.fixture(scope="module")
def resident(lab):
    """A guest on hosta that every refused request leaves there."""
    guest = lab.add_guest("web1")
    yield guest
    lab.remove_guest("web1")


class TestRefused:
    @pytest.fixture(autouse=True)
    def unharmed(self, lab, resident):
        yield
        is_only_on(lab, resident, "hosta")
        assert resident.scan()["bad"] == 0

    def test_unknown_names(self, lab):
        refused(lab, 3, "nobody", name="nobody")
        refused(lab, 3, "hostc", "runs on hosta", host="hostc")
        refused(lab, 4, host="hosta")

    def test_a_host_that_is_down(self, lab):
        lab.host("hostb").stop_daemon()
        refused(lab, 8, "hostb", "runs on hosta", "does migrated run on hostb")
        lab.host("hostb").start_daemon()

    def test_a_certificate_of_another_authority(self, lab, tmp_path):
        host = lab.host("hostb")
        folder = host.inner("/etc/vmigrate")
        kept = {name: (folder / name).read_bytes() for name in ("host.pem", "host.key", "ca.pem")}
        processes.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                      "2", "-subj", "/CN=hostb", "-addext", "subjectAltName=DNS:hostb", "-keyout", folder / "host.key",
                      "-out", folder / "host.pem")
        host.stop_daemon()
        host.start_daemon()
        refused(lab, 5, "certificate", "runs on hosta")
        for name, content in kept.items():
            (folder / name).write_bytes(content)
        host.stop_daemon()
        host.start_daemon()

    def test_a_vm_of_that_name_or_identity_is_there(self, lab, resident):
        xml = (lab.shared / "web1.xml").read_text()
        other = lab.shared / "other.xml"
        other.write_text("<domain type='qemu'><name>web1</name><memory unit='MiB'>16</memory>"
                         "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>")
        assert "<uuid>" in xml
        lab.host("hostb").virsh("create", other)
        refused(lab, 4, "web1", "hostb", "runs on hosta")
        lab.host("hostb").virsh("destroy", "web1")
        other.unlink()

    def test_a_disk_that_is_not_there(self, lab, resident):
        disk = lab.folder / "hosta/var/lib/libvirt/local.img"
        disk.write_bytes(bytes(1 << 20))
        lab.host("hosta").virsh("attach-disk", "web1", "/var/lib/libvirt/local.img", "sda", "--targetbus", "usb",
                                "--cache", "none", "--live", check=False)
        if "local.img" not in lab.host("hosta").virsh("domblklist", "web1").stdout:
            pytest.fail("the disk could not be attached")
        refused(lab, 4, "local.img", "hostb", "runs on hosta")
        lab.host("hosta").virsh("detach-disk", "web1", "sda", "--live")

    def test_a_bridge_that_is_not_there(self, lab):
        lab.host("hostb").run("ip", "link", "set", "br0", "down")
        lab.host("hostb").run("ip", "link", "set", "br0", "name", "br9")
        refused(lab, 4, "br0", "hostb", "runs on hosta")
        lab.host("hostb").run("ip", "link", "set", "br9", "name", "br0")
        lab.host("hostb").run("ip", "link", "set", "br0", "up")

    def test_a_vm_that_is_shut_off(self, lab):
        xml = lab.shared / "idle.xml"
        xml.write_text("<domain type='qemu'><name>idle</name><memory unit='MiB'>16</memory>"
                       "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>")
        lab.host("hosta").virsh("define", xml)
        refused(lab, 4, "shut off", name="idle")
        lab.host("hosta").virsh("undefine", "idle")
        xml.unlink()

    def test_a_second_migration_of_the_same_vm(self, lab):
        lab.link.shape("100mbit")
        assert vmigrate(lab.host("hosta"), "start", "web1", "hostb", "--detach").returncode == 0
        try:
            refused(lab, 4, "already under way", "runs on hosta")
        finally:
            assert vmigrate(lab.host("hosta"), "cancel", "web1").returncode in (0, 6)
            lab.link.shape(None)

    def test_an_unknown_key_in_the_configuration(self, lab):
        host = lab.host("hostb")
        file = host.inner("/etc/vmigrate/migrated.toml")
        good = file.read_text()
        file.write_text(good + "\n[listenn]\nport = 1\n")
        checked = host.run(host.daemon_program, "--check", check=False)
        assert checked.returncode == 2 or checked.returncode == 1
        assert "listenn" in checked.stderr
        file.write_text(good)

    def test_garbage_on_the_port(self, lab, resident):
        hostb = lab.host("hostb")
        for _ in range(50):
            hostb.run("bash", "-c", f"head -c 4096 /dev/urandom > /dev/tcp/{hostb.address}/16510", check=False)
        move(lab, "web1", "hosta", "hostb")
        move(lab, "web1", "hostb", "hosta")

    def test_a_full_disk_under_the_journal(self, lab):
        host = lab.host("hosta")
        host.stop_daemon()
        host.run("mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", "/var/lib/vmigrate")
        host.start_daemon()
        host.run("bash", "-c", "cat /dev/zero > /var/lib/vmigrate/filler", check=False)
        refused(lab, 1, "journal", "runs on hosta")
        host.stop_daemon()
        host.run("umount", "--lazy", "/var/lib/vmigrate")
        host.start_daemon()
