"""Sockets of this process in a network namespace of the lab."""

import ctypes
import os
import threading

from .errors import LabError

CLONE_NEWNET = 0x40000000


def inside(namespace, function):
    """Runs `function` in the named network namespace and gives what it gives. Sockets that it opens stay there."""
    result = []

    def act():
        try:
            enter(namespace)
            result.append((function(), None))
        except BaseException as error:  # pylint: disable=broad-except
            result.append((None, error))

    # A thread of its own: the namespace is the thread's, and goes with it.
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    value, error = result[0]
    if error:
        raise error
    return value


def enter(namespace):
    """Moves this thread into the named network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}", "rb") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise LabError(f"cannot enter {namespace}: {os.strerror(ctypes.get_errno())}")
