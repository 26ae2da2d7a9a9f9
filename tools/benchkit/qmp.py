"""QEMU's monitor protocol, as much of it as a migration by hand needs."""

import json
import socket
import time

from labkit import LabError, processes

from .meters import parse_event


class Monitor:
    """A connection to one QEMU. `events` are [(wall clock in seconds, name, data)] since `forget`."""

    def __init__(self, path, is_alive):
        self.events = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.buffer = b""
        processes.wait_until(lambda: self.connects(path) or not is_alive(), 30, "QEMU's monitor")
        if not is_alive():
            raise LabError(f"the QEMU of {path} ended at once")
        self.receive(time.monotonic() + 30)
        self.run("qmp_capabilities")

    def connects(self, path):
        try:
            self.socket.connect(str(path))
        except OSError:
            return False
        return True

    def receive(self, limit):
        """The next message; raises TimeoutError at `limit` of the monotonic clock."""
        while b"\n" not in self.buffer:
            self.socket.settimeout(max(0.001, limit - time.monotonic()))
            piece = self.socket.recv(65536)
            if not piece:
                raise LabError("QEMU has ended")
            self.buffer += piece
        line, _, self.buffer = self.buffer.partition(b"\n")
        message = json.loads(line)
        if "event" in message:
            self.events.append(parse_event(message))
        return message

    def run(self, command, **arguments):
        """Gives what QEMU returns."""
        self.socket.settimeout(30)
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        limit = time.monotonic() + 30
        while True:
            message = self.receive(limit)
            if "error" in message:
                raise LabError(f"QEMU refuses {command}: {message['error']['desc']}")
            if "return" in message:
                return message["return"]

    def wait_for(self, limit, *wanted):
        """Until there is one of the events (name, status or None); gives it. Raises TimeoutError at `limit`."""
        while True:
            for _, name, data in self.events:
                if (name, data.get("status")) in wanted:
                    return name, data.get("status")
            self.receive(limit)

    def forget(self):
        self.events = []

    def close(self):
        self.socket.close()
