"""What is read before and after a move, outside of the guest and of whoever moves it."""

import contextlib
import json
import re
import resource
import time
from pathlib import Path

from labkit import LabError, network, processes

EVENT = re.compile(r"QEMU_MONITOR_RECV_EVENT: .* event=(\{.*\})")
CLEAR_PEAK = "5"  # written to clear_refs: the process's peak of resident memory begins anew


class HostGroup:
    """A cgroup that holds all processes of one host, so that the time of those that end meanwhile counts as well."""

    def __init__(self, host):
        self.host = host
        self.folder = unified_hierarchy() / f"bench-{host.namespace}"
        self.folder.mkdir(exist_ok=True)
        self.take_in()

    def take_in(self):
        """What has been started from elsewhere, as a daemon that took another's place."""
        for pid in network.processes_in(self.host.namespace):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                (self.folder / "cgroup.procs").write_text(str(pid), encoding="ascii")

    def command(self, *arguments):
        """The command line that runs `arguments` in this group."""
        return ["sh", "-c", 'echo $$ > "$0"; exec "$@"', str(self.folder / "cgroup.procs"), *map(str, arguments)]

    def seconds(self):
        """Processor time so far."""
        fields = dict(line.split() for line in (self.folder / "cpu.stat").read_text(encoding="ascii").splitlines())
        return int(fields["usage_usec"]) / 1e6

    def remove(self):
        """When all its processes have ended."""
        processes.wait_until(lambda: not (self.folder / "cgroup.procs").read_text(encoding="ascii"), 10, "a host's end")
        self.folder.rmdir()


def unified_hierarchy():
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, path, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(path)
    raise LabError("no cgroup2 file system is mounted", "mount -t cgroup2 none /sys/fs/cgroup/unified")


def machine_seconds():
    """(processor time that the whole machine has been busy, that its own host took away)."""
    ticks = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:]]
    user, nice, system, _, _, interrupts, soft_interrupts, stolen = ticks[:8]
    return (user + nice + system + interrupts + soft_interrupts) / 100, stolen / 100


def own_seconds():
    """Processor time of this process; the commands that it starts to move guests count with the hosts."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Cpu:
    """Processor time since it was made: of each host, of both, of this program, and of all others on the machine."""

    def __init__(self, groups):
        self.groups = groups
        self.began = time.monotonic()
        self.before = self.read()

    def read(self):
        busy, stolen = machine_seconds()
        hosts = {group.host.name: group.seconds() for group in self.groups}
        return {**hosts, "hosts": sum(hosts.values()), "own": own_seconds(), "busy": busy, "stolen": stolen}

    def used(self):
        after = self.read()
        spent = {name: after[name] - self.before[name] for name in after}
        spent["seconds"] = time.monotonic() - self.began
        spent["others"] = spent["busy"] - spent["hosts"] - spent["own"]
        return spent


class Wire:
    """Bytes on the migration network since it was made, as the source's interface counts them."""

    def __init__(self, lab, host):
        self.namespace = host.namespace
        self.device = "delay0" if lab.link.has_delay() else network.MIGRATION
        self.before = self.read()

    def read(self):
        said = processes.run("ip", "-n", self.namespace, "-s", "-j", "link", "show", "dev", self.device).stdout
        counters = json.loads(said)[0]["stats64"]
        return counters["tx"]["bytes"], counters["rx"]["bytes"]

    def passed(self):
        """(sent, received)."""
        return tuple(after - before for before, after in zip(self.before, self.read()))


class DaemonMemory:
    """The most that a daemon held beyond what it held when this was made."""

    def __init__(self, host):
        pid = host.state.process(f"{host.name}.migrated")["pid"]
        self.folder = Path(f"/proc/{pid}")
        (self.folder / "clear_refs").write_text(CLEAR_PEAK, encoding="ascii")
        self.before = self.read("VmRSS")

    def read(self, name):
        found = re.search(rf"^{name}:\s+(\d+) kB", (self.folder / "status").read_text(encoding="utf-8"), re.MULTILINE)
        return int(found.group(1)) * 1024

    def peak(self):
        return self.read("VmHWM")

    def growth(self):
        return self.peak() - self.before


class LibvirtEvents:
    """What a host's QEMU has said of itself since this was made, as libvirtd writes it into its log."""

    def __init__(self, host):
        self.log = host.inner("/var/log/libvirt/libvirtd.log")
        self.begin = self.log.stat().st_size

    def read(self):
        """[(wall clock in seconds, name, data)] with QEMU's own times."""
        with open(self.log, "rb") as file:
            file.seek(self.begin)
            text = file.read().decode(errors="replace")
        return [parse_event(json.loads(found)) for found in EVENT.findall(text)]


def parse_event(event):
    stamp = event["timestamp"]
    return stamp["seconds"] + stamp["microseconds"] / 1e6, event["event"], event.get("data", {})


def milestones(source, destination):
    """The moments of a move by both QEMUs' events; those that did not come are missing."""
    found = {}
    for when, name, data in source:
        if name == "MIGRATION":
            found.setdefault(data["status"], when)
        elif name == "MIGRATION_PASS":
            found["passes"] = data["pass"]
        elif name == "STOP":
            found["stop"] = when
    for when, name, _ in destination:
        if name == "RESUME":
            found["resume"] = when
    return found
