"""One move under the eyes of a client, with everything around it read before and after.

All times are wall clock of this one machine, on which both hosts are: the command's begin is noted here, the guest's
stop and start are the times that both QEMUs give with their events STOP and RESUME.
"""

import contextlib
import socket
import time

from labkit import LabError, processes
from labkit.clients import Pinger, Ticks
from labkit.guest import CHECKER_PORT, WORKLOAD_PORT
from labkit.namespace import inside

from .meters import Cpu, DaemonMemory, Wire, milestones
from .redis import RedisUser
from .web import WebUser

BASELINE = 1.0  # seconds for which the guest is watched before it is moved
PATIENCE = 60


def ask(guest, line, port=WORKLOAD_PORT, patience=600):
    """Asks a program of the guest (its workload, or the memory checker); gives {"pages": 16384, …}."""
    connection = inside(guest.lab.client, lambda: socket.create_connection((guest.address, port), patience))
    with connection, connection.makefile("rw", encoding="ascii") as file:
        file.write(line + "\n")
        file.flush()
        answer = file.readline()
    pairs = dict(pair.partition("=")[::2] for pair in answer.split())
    if not pairs or "unknown" in pairs:
        raise LabError(f"{guest.name} does not understand `{line}`: {answer.strip()}")
    return {key: int(value) if value.isdigit() else value for key, value in pairs.items()}


class Work:
    """What the guest gets done by its own count, against what it is told to do, or what it can."""

    # The memory checker leaves one page in eight alone, and counts only what it writes.
    CHECKED = 7 / 8
    KEEPS_UP = 0.8

    def __init__(self, guest, case):
        self.guest = guest
        self.rate = self.told = guest.settings["dirty_rate"] * self.CHECKED + case.pages_written
        self.count, self.when = self.read()

    def read(self):
        done = (ask(self.guest, "sequence", CHECKER_PORT)["sequence"] + ask(self.guest, "count")["writes"])
        return done, time.monotonic()

    def take_rate(self):
        """Call some time after it was made: a guest that could not keep up meanwhile is held to what it did."""
        count, when = self.read()
        done = (count - self.count) / (when - self.when)
        # Too short a time to measure a rate well; only to see that it is another.
        self.rate = self.told if done > self.told * self.KEEPS_UP else done
        self.count, self.when = count, when

    def lost(self):
        """Seconds' worth of work that it fell behind by since take_rate; None for a guest that does nothing."""
        if self.rate < 1:
            return None
        count, when = self.read()
        return when - self.when - (count - self.count) / self.rate


def settle(pinger):
    """Until a ping is answered that was sent after this was called."""
    sent = len(pinger.sent)
    processes.wait_until(lambda: any(index in pinger.answered for index in range(sent, len(pinger.sent))), PATIENCE,
                         "the guest to answer pings")


def move_and_measure(lab, guest, mover, case, source, destination, groups):
    """One move; gives what was measured, or what went wrong under "error"."""
    result = {"from": source.name, "to": destination.name}
    work = Work(guest, case)
    quiet = Cpu(groups.values())
    time.sleep(BASELINE)
    quiet = quiet.used()
    work.take_rate()
    daemons = [DaemonMemory(host) for host in (source, destination)]
    wire = Wire(lab, source)
    with Pinger(lab, guest.address) as pinger, Ticks(lab, guest.address) as ticks, users_of(guest, case) as users:
        settle(pinger)
        cpu = Cpu(groups.values())
        began = time.time()
        move = mover.begin(guest, source, destination, groups[source.name])
        try:
            move.wait(case.limit)
        except LabError as error:
            result["error"] = str(error)
        released = time.time()
        used = cpu.used()
        result["sent_bytes"], result["returned_bytes"] = wire.passed()
        try:
            settle(pinger)
            processes.wait_until(lambda: ticks.newest > released, PATIENCE, "the guest to tick")
        except LabError as error:
            raise LabError(f"{result.get('error', 'the move was done')}; then {error}") from error
    result |= {"released_s": released - began, "gap_ms": pinger.largest_gap * 1000,
               "own_gap_ms": pinger.largest_own_gap * 1000, "pings_lost": pinger.lost, "work_lost_s": work.lost(),
               "tick_pause_ms": ticks.largest_gap * 1000}
    result |= processor_time(used, quiet)
    result |= {"cpu_source_s": used[source.name], "cpu_destination_s": used[destination.name]}
    for user in users:
        result = user.result() | result
    result |= {"daemon_growth_bytes": max(daemon.growth() for daemon in daemons),
               "daemon_peak_bytes": max(daemon.peak() for daemon in daemons)}
    if "error" not in result:
        result |= mover.facts(move)
        # One that gave up as it was asked to has left the guest where it was.
        if not result.get("gave_up"):
            result |= course(milestones(*move.read_events()), began)
        result |= rates(result, case)
    return result | check_memory(guest)


@contextlib.contextmanager
def users_of(guest, case):
    """Those who use the guest meanwhile: nobody, where it is left alone."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(user(guest)) for user in (RedisUser, WebUser)] if case.busy else []


def processor_time(used, quiet):
    """`quiet` is what was used just before: the guests' own work, and whatever else the machine had to do."""
    seconds = used["seconds"]
    return {"cpu_s": used["hosts"], "cpu_extra_s": used["hosts"] - quiet["hosts"] / quiet["seconds"] * seconds,
            "others_cpu": used["others"] / seconds, "stolen_cpu": used["stolen"] / seconds,
            "others_before": quiet["others"] / quiet["seconds"]}


def course(times, began):
    """From both QEMUs' events. `stream_s` is from the start of the source's QEMU's migration until the guest runs."""
    missing = {"setup", "stop", "resume"} - set(times)
    if missing:
        return {"error": f"no event of {', '.join(sorted(missing))} was seen"}
    return {"to_running_s": times["resume"] - began, "stream_s": times["resume"] - times["setup"],
            "stopped_ms": (times["resume"] - times["stop"]) * 1000, "passes": times.get("passes"),
            **({"qemu_s": times["completed"] - times["setup"]} if "completed" in times else {})}


def rates(result, case):
    if not case.rate or "stream_s" not in result:
        return {}
    return {"link_use": result["sent_bytes"] * 8 / 1e6 / result["stream_s"] / case.rate}


def check_memory(guest):
    """Both programs of the guest look at all that they have written."""
    found = [ask(guest, "scan", port) for port in (CHECKER_PORT, WORKLOAD_PORT)]
    return {"pages": sum(one["pages"] for one in found), "bad": sum(one["bad"] for one in found)}
