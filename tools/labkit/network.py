"""The lab's wires.

        client namespace: br0 10.78.0.1/24, br1 10.79.0.1/24 (the switches)
          │ hosta0, hosta1          │ hostb0, hostb1
     uplink0, uplink1          uplink0, uplink1
   hosta: br0, br1            hostb: br0, br1          guests' taps join br0 and br1
          mig0 10.77.0.1 ────────── mig0 10.77.0.2     the migration network

All interfaces are made inside the namespaces, so that the machine's own network never sees them.
"""

import json

from .processes import run

MIGRATION = "mig0"
MIGRATION_ADDRESSES = {"hosta": "10.77.0.1", "hostb": "10.77.0.2"}
BRIDGES = {"br0": "10.78.0", "br1": "10.79.0"}


def namespaces():
    return {line.split()[0] for line in run("ip", "netns", "list").stdout.splitlines() if line}


def add_namespace(name):
    run("ip", "netns", "add", name)
    # Namespaces of a lab talk IPv4 among themselves; what the kernel says by itself over IPv6 only disturbs captures.
    run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
    run("ip", "-n", name, "link", "set", "lo", "up")


def delete_namespace(name):
    if name in namespaces():
        run("ip", "netns", "delete", name)


def processes_in(name):
    return [int(pid) for pid in run("ip", "netns", "pids", name, check=False).stdout.split()]


def name_of(pid):
    """Of a process; nothing when it has just ended."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def links_in(name):
    return [link["ifname"] for link in json.loads(run("ip", "-j", "-n", name, "link").stdout)]


def connect(left, left_name, right, right_name):
    """A wire between two namespaces, up at both ends."""
    run("ip", "link", "add", left_name, "netns", left, "type", "veth", "peer", "name", right_name, "netns", right)
    run("ip", "-n", left, "link", "set", left_name, "up")
    run("ip", "-n", right, "link", "set", right_name, "up")


def add_bridge(namespace, name):
    run("ip", "-n", namespace, "link", "add", name, "type", "bridge", "stp_state", "0", "forward_delay", "0")
    run("ip", "-n", namespace, "link", "set", name, "up")


def build(client, hosts):
    """`client` is a namespace, `hosts` namespaces by host name; all exist and are empty."""
    for bridge, network in BRIDGES.items():
        add_bridge(client, bridge)
        run("ip", "-n", client, "address", "add", f"{network}.1/24", "dev", bridge)
        for name, namespace in hosts.items():
            number = bridge[-1]
            add_bridge(namespace, bridge)
            connect(namespace, f"uplink{number}", client, f"{name}{number}")
            run("ip", "-n", namespace, "link", "set", f"uplink{number}", "master", bridge)
            run("ip", "-n", client, "link", "set", f"{name}{number}", "master", bridge)
    connect(hosts["hosta"], MIGRATION, hosts["hostb"], MIGRATION)
    for name, address in MIGRATION_ADDRESSES.items():
        run("ip", "-n", hosts[name], "address", "add", f"{address}/24", "dev", MIGRATION)
