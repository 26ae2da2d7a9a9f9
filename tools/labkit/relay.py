#!/usr/bin/python3
"""Carries packets between two network namespaces, each some milliseconds later: relay.py NAMESPACE NAMESPACE DELAY

In each namespace it makes the device delay0. The kernel's own way, netem, is not in every kernel.
"""

import collections
import fcntl
import os
import select
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from labkit.namespace import inside  # noqa: E402

TUNSETIFF = 0x400454CA
IFF_TUN = 1
IFF_NO_PI = 0x1000
DEVICE = b"delay0"
LARGEST = 65536
# What may be under way: 1 s at 4 Gbit/s. More is lost, as in a full router.
CAPACITY = 512 << 20


def open_device():
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", DEVICE, IFF_TUN | IFF_NO_PI))
    return file


class Direction:
    def __init__(self, source, target, delay):
        self.source = source
        self.target = target
        self.delay = delay
        self.waiting = collections.deque()  # (when it is due, packet)
        self.size = 0

    def take(self):
        """Reads what has come; at most so much that the other direction has its turn."""
        for _ in range(64):
            try:
                packet = os.read(self.source, LARGEST)
            except OSError:
                return  # nothing more, or the device is not up yet
            if self.size < CAPACITY:
                self.waiting.append((time.monotonic() + self.delay, packet))
                self.size += len(packet)

    def give(self):
        """Writes what is due; gives the seconds until the next is, or None."""
        while self.waiting:
            due, packet = self.waiting[0]
            left = due - time.monotonic()
            if left > 0:
                return left
            self.waiting.popleft()
            self.size -= len(packet)
            try:
                os.write(self.target, packet)
            except OSError:
                pass  # lost, as on a wire
        return None


def main():
    left, right = (inside(namespace, open_device) for namespace in sys.argv[1:3])
    delay = float(sys.argv[3]) / 1000
    directions = {left: Direction(left, right, delay), right: Direction(right, left, delay)}
    while True:
        pauses = [pause for pause in (direction.give() for direction in directions.values()) if pause is not None]
        ready, _, _ = select.select(directions, [], [], min(pauses, default=None))
        for file in ready:
            directions[file].take()


if __name__ == "__main__":
    main()
