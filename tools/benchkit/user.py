"""Somebody who uses a guest while it moves."""

import time

from labkit import LabError
from labkit.clients import Watcher


class User(Watcher):
    """Asks for something again and again, one after the other, over a connection that must last."""

    tasks = ("use",)
    NAME = ""  # what the results' names begin with
    INTERVAL = 1.0  # seconds

    def __init__(self):
        self.requests = 0
        self.slowest = 0.0  # seconds
        self.broken = ""  # why, when it broke

    def ask(self):
        """One request and its answer; raises OSError or LabError when it breaks."""
        raise NotImplementedError

    def use(self):
        try:
            for _ in self.every(self.INTERVAL):
                begin = time.monotonic()
                self.ask()
                self.requests += 1
                self.slowest = max(self.slowest, time.monotonic() - begin)
        except (OSError, LabError) as error:
            self.broken = f"{self.NAME} after {self.requests} requests: {error}"

    def result(self):
        return {f"{self.NAME}_requests": self.requests, f"{self.NAME}_slowest_ms": self.slowest * 1000,
                **({"error": self.broken} if self.broken else {})}
