"""The Debian guest's nginx, read while the guest moves."""

import http.client
import time

from labkit import LabError
from labkit.clients import Watcher

PORT = 80


class WebUser(Watcher):
    """Fetches a page 50 times a second, one after the other, over a connection that must last as long as nginx lets it."""

    tasks = ("use",)
    INTERVAL = 0.02

    def __init__(self, guest):
        self.guest = guest
        self.connection = None
        self.requests = 0
        self.slowest = 0.0  # seconds
        self.broken = ""  # why, when it broke
        self.connect()

    def connect(self):
        self.connection = http.client.HTTPConnection(self.guest.address, PORT)
        self.connection.auto_open = False  # that would be from this namespace
        self.connection.sock = self.guest.connect(PORT, 60)

    def use(self):
        try:
            for _ in self.every(self.INTERVAL):
                begin = time.monotonic()
                self.fetch()
                self.requests += 1
                self.slowest = max(self.slowest, time.monotonic() - begin)
        except (OSError, LabError, http.client.HTTPException) as error:
            self.broken = f"nginx after {self.requests} requests: {error!r}"

    def fetch(self):
        if self.connection.sock is None:
            self.connect()
        self.connection.request("GET", "/")
        answer = self.connection.getresponse()
        answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"{answer.status} {answer.reason}")

    def close(self):
        self.connection.close()

    def result(self):
        return {"web_requests": self.requests, "web_slowest_ms": self.slowest * 1000,
                **({"error": self.broken} if self.broken else {})}
