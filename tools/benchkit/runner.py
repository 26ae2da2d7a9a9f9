"""Runs a suite: boots each workload's guest, and lets the movers move it in turns."""

import contextlib
import hashlib
import itertools
import os
import platform
import sys
import tempfile
import time

from labkit import Lab, LabError, processes
from labkit.lab import REPOSITORY

from .cases import WORKLOADS
from .guests import Guests, set_write_rate
from .measure import move_and_measure
from .meters import Cpu, HostGroup
from .movers import MOVERS

SETTING = "net.ipv4.tcp_congestion_control"
# Debian's default. Where namespaces may not choose it (it is not in tcp_allowed_congestion_control), the machine's own
# default is kept: the same for all movers, and written down.
WANTED_CONGESTION_CONTROL = "cubic"


class Bench:
    def __init__(self, lab, runs, image, report):
        self.lab = lab
        self.runs = runs
        self.image = image
        self.report = report  # called with each result as it comes
        self.groups = {}

    def prepare(self):
        for host in self.lab.hosts.values():
            processes.run("ip", "netns", "exec", host.namespace, "sysctl", "-qw",
                          f"{SETTING}={congestion_control()}")
            self.groups[host.name] = HostGroup(host)

    def close(self):
        """After the lab's end."""
        for group in self.groups.values():
            group.remove()

    def run(self, cases):
        for name, group in itertools.groupby(cases, key=lambda case: case.workload):
            self.run_workload(WORKLOADS[name], list(group))

    def run_workload(self, workload, cases):
        guests = Guests(self.lab, workload, self.groups, self.image)
        try:
            self.warm_up(cases, guests)
            for case in cases:
                self.run_case(case, guests)
        finally:
            guests.remove()

    def run_case(self, case, guests):
        self.set_link(case)
        for bare in {MOVERS[name].bare for name in case.movers}:
            # All before the first turn, as this takes a while. What fails here fails again at its turn, and is told.
            with contextlib.suppress(LabError, OSError):
                guests.take(bare)
        for turn in range(self.runs):
            # A B, B A, A B, …: what drifts in the course of a run meets all of them alike.
            for name in case.movers if turn % 2 == 0 else reversed(case.movers):
                result = self.run_once(case, guests, MOVERS[name])
                self.report({"case": case.name, "mover": name, "round": turn, **result})

    def warm_up(self, cases, guests):
        """A guest's first move counts for nobody: its QEMU goes through memory that it has never looked at."""
        self.lab.link.shape(None)
        self.lab.link.delay(None)
        # One for each kind of guest.
        movers = {MOVERS[name].bare: MOVERS[name] for case in cases for name in case.movers}
        for mover in movers.values():
            result = self.run_once(cases[0], guests, mover)
            if "error" in result:
                print(f"the first move of {cases[0].workload}, by {mover.name}, which is not measured, failed: "
                      f"{result['error']}", file=sys.stderr)

    def set_link(self, case):
        self.lab.link.shape(f"{case.rate}mbit" if case.rate else None)
        self.lab.link.delay(case.round_trip)

    def run_once(self, case, guests, mover):
        """No second try: what goes wrong is the result."""
        try:
            mover.get_ready(self.lab.hosts.values())
            for group in self.groups.values():
                group.take_in()
            guest = guests.take(mover.bare)
            set_write_rate(guest, guests.workload, case)
            if len(guest.running_on) != 1:
                raise LabError(f"{guest.name} runs on {len(guest.running_on)} hosts")
            source, = guest.running_on
            destination, = (host for host in self.lab.hosts.values() if host is not source)
            result = move_and_measure(self.lab, guest, mover, case, source, destination, self.groups)
            if result["bad"]:
                result.setdefault("error", f"{result['bad']} pages of the guest's memory are wrong")
            return result
        except (LabError, OSError) as error:
            return {"error": str(error)}


def run_suite(cases, runs, image, report):
    """Runs the cases in a lab of its own."""
    # Going through 2 GiB page by page for the first time, QEMU keeps the guest from running for half a second.
    lab = Lab(tempfile.mkdtemp(prefix="vmigrate-bench-", dir="/var/tmp"), uneven_memory=False)
    bench = Bench(lab, runs, image, report)
    try:
        lab.up()
        bench.prepare()
        bench.run(cases)
    finally:
        lab.down()
        bench.close()


def circumstances():
    """Versions and machine, and how busy the machine was with other things before anything began."""
    quiet = Cpu(())
    time.sleep(2)
    used = quiet.used()
    return {"vmigrate": revision(), "migrated": digest_of_daemon(),
            "qemu": first_line("qemu-system-x86_64", "--version"), "libvirt": first_line("libvirtd", "--version"),
            "kernel": platform.release(), "processor": processor(), "processors": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "guests": "emulated (TCG)", "congestion_control": congestion_control(),
            "busy_before": (used["busy"] - used["own"]) / used["seconds"], "load_before": os.getloadavg()[0]}


def digest_of_daemon():
    """Which program it was, however the sources have changed since it was built."""
    program = next(iter(Lab().hosts.values())).daemon_program
    return hashlib.sha256(program.read_bytes()).hexdigest()[:12] if program.exists() else None


def congestion_control():
    allowed = processes.run("sysctl", "-n", "net.ipv4.tcp_allowed_congestion_control").stdout.split()
    if WANTED_CONGESTION_CONTROL in allowed:
        return WANTED_CONGESTION_CONTROL
    return processes.run("sysctl", "-n", SETTING).stdout.strip()


def revision():
    """The commit, with a + behind it when sources differ from it. The programs are taken to be built from them."""
    git = ("git", "-C", REPOSITORY)
    commit = processes.run(*git, "rev-parse", "--short=12", "HEAD", check=False).stdout.strip()
    changed = processes.run(*git, "status", "--porcelain", "-uno", "src", "proto", check=False).stdout
    return (commit or "unknown") + ("+" if changed else "")


def first_line(*command):
    return processes.run(*command).stdout.splitlines()[0]


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")
