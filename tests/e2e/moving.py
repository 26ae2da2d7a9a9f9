"""What several tests of this folder do: they move a VM, see that it is on one host alone, fill a host's disk."""

import json
from contextlib import contextmanager

GUEST = "web1"


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


@contextmanager
def small_state_folder(host):
    """The daemon keeps its journal in a folder that can be filled."""
    host.stop_daemon()
    # The three databases' logs grow to 4 MiB each before they are begun anew.
    host.run("mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", "/var/lib/vmigrate")
    try:
        host.start_daemon()
        yield
    finally:
        host.stop_daemon()
        host.run("umount", "/var/lib/vmigrate")
        host.start_daemon()


def fill_state_folder(host):
    filled = host.run("bash", "-c", "cat /dev/zero > /var/lib/vmigrate/filler", check=False)
    assert "No space left" in filled.stderr


def empty_state_folder(host):
    host.run("rm", "-f", "/var/lib/vmigrate/filler")
