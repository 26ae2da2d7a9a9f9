"""The migration network between the two hosts, made slow, far or broken."""

import re
import signal
import sys
from pathlib import Path

from . import network, processes
from .errors import LabError

RELAY = Path(__file__).with_name("relay.py")
FAR = "delay0"  # what the packets go through instead of mig0 while there is a delay
TABLE = ("inet", "vmigrate_lab")


class MigrationLink:
    def __init__(self, lab):
        self.lab = lab
        self.namespaces = {name: host.namespace for name, host in lab.hosts.items()}

    def shape(self, rate):
        """Limits both directions to `rate` as tc writes it ("1gbit"), or lifts the limit with None."""
        with self.lab.state.change() as content:
            content["rate"] = rate
        for namespace in self.namespaces.values():
            self.apply_rate(namespace, network.MIGRATION, rate)
            if self.has_delay():
                self.apply_rate(namespace, FAR, rate)

    @staticmethod
    def apply_rate(namespace, device, rate):
        if rate is None:
            processes.run("tc", "-n", namespace, "qdisc", "delete", "dev", device, "root", check=False)
        else:
            processes.run("tc", "-n", namespace, "qdisc", "replace", "dev", device, "root", "tbf",
                          "rate", rate, "burst", "256kb", "latency", "50ms")

    def cut(self, sender=None):
        """From now on packets are lost without a word: those of the host `sender`, or with None those of both."""
        for name in self.namespaces:
            if sender in (None, name):
                receiver, = (other for other in self.namespaces if other != name)
                # Where they arrive: the sender's own stack must not see that they are lost.
                self.drop_arriving(self.namespaces[receiver])

    @staticmethod
    def drop_arriving(namespace):
        rules = (f"add table {' '.join(TABLE)}\n"
                 f"add chain {' '.join(TABLE)} arriving {{ type filter hook prerouting priority -400; }}\n"
                 f'add rule {" ".join(TABLE)} arriving iifname {{ "{network.MIGRATION}", "{FAR}" }} drop\n')
        MigrationLink.heal_namespace(namespace)
        processes.run("ip", "netns", "exec", namespace, "nft", "-f", "-", input=rules)

    def heal(self):
        for namespace in self.namespaces.values():
            self.heal_namespace(namespace)

    @staticmethod
    def heal_namespace(namespace):
        processes.run("ip", "netns", "exec", namespace, "nft", "delete", "table", *TABLE, check=False)

    def has_delay(self):
        return processes.is_alive(self.lab.state.process("relay"))

    def delay(self, round_trip):
        """Packets take half of `round_trip` milliseconds each way, through a relay process; None: the direct way again.

        Connections go on. The relay carries some hundred MB/s at most.
        """
        processes.end(self.lab.state.process("relay"), signal.SIGKILL)
        self.lab.state.remove_process("relay")
        if round_trip is None:
            return
        _, identity = processes.start([sys.executable, RELAY, *self.namespaces.values(), round_trip / 2],
                                      self.lab.folder / "relay.log")
        self.lab.state.add_process("relay", identity)
        processes.wait_until(lambda: all(has_device(name) for name in self.namespaces.values()) or not self.has_delay(),
                             10, "the relay")
        if not self.has_delay():
            raise LabError(f"the relay ended; see {self.lab.folder / 'relay.log'}")
        self.route_through_relay()

    def route_through_relay(self):
        rate = self.lab.state.read().get("rate")
        addresses = network.MIGRATION_ADDRESSES
        for name, namespace in self.namespaces.items():
            other, = (address for host, address in addresses.items() if host != name)
            processes.run("ip", "-n", namespace, "link", "set", FAR, "up", "mtu", "9000", "txqueuelen", "10000")
            processes.run("ip", "-n", namespace, "route", "replace", other, "dev", FAR, "src", addresses[name])
            if rate:
                self.apply_rate(namespace, FAR, rate)


def has_device(namespace):
    return processes.run("ip", "-n", namespace, "link", "show", FAR, check=False).returncode == 0


def parse_round_trip(text):
    """"40ms" or "40" as milliseconds; None for "off"."""
    if text == "off":
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:ms)?", text)
    if not match:
        raise LabError(f"{text} is no time", "write 40ms, or off")
    return float(match.group(1))
