"""Connects a thousand times a second from an address to a port, and says nothing, nonsense or half a greeting there, until
its standard input ends. Then it prints how many connections that were, and in how many seconds."""

import random
import select
import socket
import struct
import sys
import time
from collections import deque

A_SECOND = 1000
# How many connections later it speaks on one, and closes it.
SPEAKS, CLOSES = 50, 900
SAYS = [b"", random.Random(1).randbytes(500), b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"]
RESET = struct.pack("ii", 1, 0)


def connect(own, target, port):
    connection = socket.socket()
    connection.setblocking(False)
    # Or this side would soon have no ports left.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.bind((own, 0))
    try:
        connection.connect((target, port))
    except BlockingIOError:
        pass
    return connection


def speak(connection, text):
    try:
        connection.send(text)
    except OSError:
        pass  # it was hung up on, or is not connected yet


def main(own, target, port):
    begun, count, connections = time.monotonic(), 0, deque()
    while not select.select([sys.stdin], [], [], 0.001)[0]:
        while count < (time.monotonic() - begun) * A_SECOND:
            connections.append(connect(own, target, int(port)))
            count += 1
            if len(connections) > SPEAKS:
                speak(connections[-SPEAKS], SAYS[count % len(SAYS)])
            if len(connections) > CLOSES:
                connections.popleft().close()
    print(count, time.monotonic() - begun)


main(*sys.argv[1:])
