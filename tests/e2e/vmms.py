"""VMs of vmigrate-microvm in the lab: a VMM that waits for VMs on each host, and VMs that begin on one of them."""

import json
import os
import uuid

from labkit import network, processes

PATIENCE = 60
PROGRAM = "src/microvm/vmigrate-microvm"
# Freestanding programs, see tests/guests/kvm.
GUESTS = "tests/kvm/guests"


def stand_by(lab):
    """Each host takes in VMs from now on."""
    for host in lab.hosts.values():
        host.start("standby", [host.build / PROGRAM, "--standby", "--console-folder", lab.shared])


def vms(host):
    """State by name, of all VMs that the daemon knows."""
    answer = host.run(host.client_program, "-o", "json", "list")
    return {vm["name"]: vm["state"] for vm in json.loads(answer.stdout)["vms"]}


class MicroVm:
    """A VM of vmigrate-microvm. Its console is the same two files wherever it runs."""

    def __init__(self, lab, name, guest, *numbers, host="hosta", vcpus=1, memory=24):
        self.lab, self.name = lab, name
        self.id = str(uuid.uuid4())
        self.console = lab.shared / f"{name}.console"
        self.input = lab.shared / f"{name}.input"
        self.read = 0
        first, second = (*numbers, 0, 0)[:2]
        home = lab.host(host)
        # A path that is one already stays it.
        home.start(f"vmm-{name}", [home.build / PROGRAM, "--image", home.build / GUESTS / guest, "--name", name,
                                   "--uuid", self.id, "--memory", memory, "--vcpus", vcpus, "--first", first,
                                   "--second", second, "--console-folder", lab.shared])

    def lines(self):
        """All that it has written, wherever it ran."""
        try:
            return self.console.read_text(encoding="ascii").splitlines()
        except FileNotFoundError:
            return []

    def await_line(self, text, patience=PATIENCE):
        """The next line that contains the text."""
        def find():
            for number, line in enumerate(self.lines()[self.read:], self.read):
                if text in line:
                    self.read = number + 1
                    return line
            return None
        return processes.wait_until(find, patience, f"{self.name} to say '{text}'")

    def type(self, text):
        descriptor = os.open(self.input, os.O_WRONLY | os.O_NONBLOCK)
        os.write(descriptor, text.encode("ascii"))
        os.close(descriptor)

    def scan(self):
        """Of a memory checker: {"pages": 2048, "bad": 0, "sequence": S}."""
        self.type("s")
        return {key: int(value) for key, value in (pair.split("=") for pair in self.await_line("pages=").split())}

    @property
    def processes(self):
        """By host: the process that has the VM, running or not."""
        found = {}
        for host in self.lab.hosts.values():
            record = host.inner(f"/run/vmigrate/vmms/{self.id}")
            if record.exists():
                process = processes.identity(int(record.read_text(encoding="ascii").split()[0]))
                if processes.is_alive(process):
                    found[host.name] = process
        return found

    @property
    def states(self):
        """By host, of those whose daemons run."""
        found = {host.name: vms(host).get(self.name) for host in self.lab.hosts.values() if host.is_running("migrated")}
        return {host: state for host, state in found.items() if state is not None}

    def is_only_on(self, host):
        assert list(self.processes) == [host]
        assert self.states == {host: "running"}

    def remove(self):
        for process in self.processes.values():
            processes.end(process, 9)
        for host in self.lab.hosts.values():
            processes.wait_until(lambda: not host.is_running("migrated") or self.name not in vms(host), PATIENCE,
                                 f"{host.name} to forget {self.name}")
        for path in (self.console, self.input):
            path.unlink(missing_ok=True)


    def watch(self):
        """The guest is a fork detector as well, from now on."""
        self.type("w")
        self.await_line("watch ")

    def forks(self):
        """What the guest's count tells against it: numbers that were printed twice, or are missing."""
        numbers = [int(line.split()[1]) for line in self.lines() if line.startswith("watch ")]
        assert numbers, "the guest counts nothing"
        return [(before, after) for before, after in zip(numbers, numbers[1:]) if after != before + 1]


def started_processes(host):
    """How many processes of vmigrate-microvm there are on the host, waiting ones too."""
    def is_one(pid):
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                return file.read().startswith("vmigrate-microv") and processes.start_time(pid) is not None
        except (FileNotFoundError, ProcessLookupError):
            return False
    return sum(is_one(pid) for pid in network.processes_in(host.namespace))
