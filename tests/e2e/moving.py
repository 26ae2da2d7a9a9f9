"""What several tests of this folder do with a VM: they move it, and see that it is on one host alone."""

import json

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
