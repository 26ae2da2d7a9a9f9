"""Starts processes that outlive the command, and ends exactly those again."""

import os
import signal
import subprocess
import time

from .errors import LabError


# Seconds. A command that hangs is told of, and does not hang who waits for it.
NEVER_LASTS = 600


def run(*arguments, check=True, **options):
    """Runs to the end with output captured as text; a failure is told with all that the command said."""
    arguments = [str(argument) for argument in arguments]
    options.setdefault("timeout", NEVER_LASTS)
    result = subprocess.run(arguments, capture_output=True, text=True, check=False, **options)
    if check and result.returncode != 0:
        said = (result.stderr.strip() or result.stdout.strip())
        raise LabError(f"`{' '.join(arguments)}` failed with {result.returncode}: {said}")
    return result


def start_time(pid):
    """In clock ticks since boot, or None when there is no such process or it is only waiting to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The name in parentheses may itself hold spaces and parentheses.
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # While threads are left, a dead process still holds its files and sockets.
    is_gone = fields[0] == "X" or (fields[0] == "Z" and int(fields[17]) <= 1)
    return None if is_gone else int(fields[19])


def start(arguments, log, environment=None):
    """Starts a process in a session of its own with its output in the file `log`; gives (Popen, identity)."""
    with open(log, "ab") as output:
        process = subprocess.Popen([str(argument) for argument in arguments], stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=output, start_new_session=True, env=environment)
    return process, identity(process.pid)


def identity(pid):
    """A pid alone may be another process later; with its start time it is this one."""
    return {"pid": pid, "start": start_time(pid)}


def children(pid):
    """The pids of its child processes; none when it is gone."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
            return [int(child) for child in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_alive(process):
    return process is not None and process["start"] is not None and start_time(process["pid"]) == process["start"]


def end(process, number=signal.SIGTERM, patience=10):
    """Sends the signal and waits until the process is gone; after `patience` seconds it is killed."""
    if not is_alive(process):
        return
    send(process, number)
    try:
        wait_until(lambda: not is_alive(process), patience, "a process to end")
    except LabError:
        send(process, signal.SIGKILL)
        wait_until(lambda: not is_alive(process), patience, f"process {process['pid']} to die")


def send(process, number):
    if is_alive(process):
        try:
            os.kill(process["pid"], number)
        except ProcessLookupError:
            pass


def wait_until(condition, patience, what):
    """For what nothing tells: polls. `patience` in seconds only ends what hangs."""
    limit = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > limit:
            raise LabError(f"waited {patience} s in vain for {what}")
        time.sleep(0.02)
