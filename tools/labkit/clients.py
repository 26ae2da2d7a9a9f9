"""What users of a guest would notice: clients in the client namespace that watch while something happens.

Each is a context manager that works in threads of its own until the block ends:

    with Pinger(lab, guest.address) as pinger, ForkMonitor(lab) as forks:
        migrate()
    assert pinger.largest_gap < 0.5 and not forks.found
"""

import ctypes
import socket
import struct
import threading
import time
from collections import Counter

from .guest import ECHO_PORT
from .namespace import inside

SO_ATTACH_FILTER = 26
SO_TIMESTAMPNS = 35
ETH_P_ALL = 3
RARP = 0x8035
FORK_PORT = 9001


class Watcher:
    """Runs the methods named by `tasks` in threads, from entering the block until it is left."""

    tasks = ()

    def __enter__(self):
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=getattr(self, task), daemon=True) for task in self.tasks]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()
        self.close()

    def close(self):
        """Called when the threads have ended."""

    def every(self, seconds):
        """Yields at fixed times until the end; late ones are made up for at once."""
        due = time.monotonic()
        while not self.ending.is_set():
            yield
            due += seconds
            time.sleep(max(0, due - time.monotonic()))


class Listener(Watcher):
    """Calls `hear` with each packet that comes to `socket`: its bytes, what the kernel says beside it, and the sender."""

    tasks = ("receive",)

    def __init__(self, heard):
        self.socket = heard
        self.socket.settimeout(0.1)

    def stamp(self):
        """The kernel notes the time of arrival from now on, however late this process gets to run; see arrival_time."""
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def receive(self):
        while not self.ending.is_set():
            try:
                packet, extra, _, sender = self.socket.recvmsg(2048, 128)
            except TimeoutError:
                continue
            self.hear(packet, extra, sender)

    def close(self):
        self.socket.close()


class Pinger(Listener):
    """Pings every 2 ms. A guest that stands still answers late, one that is cut off not at all."""

    tasks = ("send", "receive")
    INTERVAL = 0.002
    HEADER = struct.Struct("!BBHHH")

    def __init__(self, lab, address):
        self.address = address
        self.identifier = threading.get_native_id() & 0xFFFF
        self.sent = []  # wall clock, seconds
        self.answered = {}  # arrival by index into `sent`
        super().__init__(inside(lab.client, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)))
        self.stamp()

    def send(self):
        for _ in self.every(self.INTERVAL):
            index = len(self.sent)
            body = struct.pack("!Q", index)
            packet = self.HEADER.pack(8, 0, 0, self.identifier, index & 0xFFFF) + body
            packet = packet[:2] + struct.pack("!H", internet_checksum(packet)) + packet[4:]
            self.sent.append(time.time())
            try:
                self.socket.sendto(packet, (self.address, 0))
            except OSError:
                pass  # nobody answers ARP: the same as an answer that does not come

    def hear(self, packet, extra, sender):
        header = (packet[0] & 15) * 4
        kind, _, _, identifier, _ = self.HEADER.unpack_from(packet, header)
        if sender[0] == self.address and kind == 0 and identifier == self.identifier:
            index, = struct.unpack_from("!Q", packet, header + self.HEADER.size)
            self.answered.setdefault(index, arrival_time(extra))

    @property
    def lost(self):
        """Pings without an answer, but for the last 100 ms of them."""
        return sum(index not in self.answered for index in range(len(self.sent) - 50))

    @property
    def largest_gap(self):
        """Seconds between two answers one after the other (or before the first, or after the last)."""
        if not self.sent:
            return 0.0
        times = [self.sent[0], *sorted(self.answered.values()), max(self.sent[-1], *self.answered.values(), 0)]
        return max(after - before for before, after in zip(times, times[1:]))

    @property
    def largest_own_gap(self):
        """Seconds that this process itself failed to send for: below that, `largest_gap` says nothing."""
        return max((after - before for before, after in zip(self.sent, self.sent[1:])), default=0.0)


class Ticks(Listener):
    """Notes when the numbered ticks of a guest arrive, which its fork detector sends every 10 ms."""

    INTERVAL = 0.01

    def __init__(self, lab, address):
        self.address = address
        self.arrived = {}  # wall clock by number
        super().__init__(monitor_socket(lab))
        # Outside the guest, whose clock stands still with it.
        self.stamp()

    def hear(self, packet, extra, sender):
        if sender[0] == self.address:
            self.arrived.setdefault(int(packet.split()[0]), arrival_time(extra))

    @property
    def newest(self):
        return max(list(self.arrived.values()), default=0.0)

    @property
    def largest_gap(self):
        """Seconds between two ticks one after the other, less what is between any two."""
        times = sorted(self.arrived.values())
        return max((after - before - self.INTERVAL for before, after in zip(times, times[1:])), default=0.0)


def monitor_socket(lab):
    """Hears what the guests' fork detectors send."""
    heard = inside(lab.client, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    heard.bind(("10.78.0.1", FORK_PORT))
    return heard


def internet_checksum(packet):
    total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def arrival_time(extra):
    for level, kind, data in extra:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack_from("qq", data)
            return seconds + nanoseconds / 1e9
    return time.time()


class HeldConnection(Watcher):
    """A TCP connection that is opened once and must last: numbered messages to the echo port must come back."""

    tasks = ("talk",)
    INTERVAL = 0.01
    MESSAGE = struct.Struct("!Q248x")
    PATIENCE = 60

    def __init__(self, lab, address, port=ECHO_PORT):
        self.connection = inside(lab.client, lambda: socket.create_connection((address, port), 10))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.settimeout(self.PATIENCE)
        self.exchanged = 0
        self.slowest = 0.0  # seconds
        self.broken = ""  # why, when it broke

    def talk(self):
        try:
            for _ in self.every(self.INTERVAL):
                begin = time.monotonic()
                self.connection.sendall(self.MESSAGE.pack(self.exchanged))
                answer = self.receive(self.MESSAGE.size)
                if answer != self.MESSAGE.pack(self.exchanged):
                    raise ConnectionError("the answer is another")
                self.exchanged += 1
                self.slowest = max(self.slowest, time.monotonic() - begin)
        except OSError as error:
            self.broken = f"after {self.exchanged} messages: {error}"

    def receive(self, size):
        data = b""
        while len(data) < size:
            piece = self.connection.recv(size - len(data))
            if not piece:
                raise ConnectionError("the guest closed it")
            data += piece
        return data

    def close(self):
        self.connection.close()


class RarpCapture(Listener):
    """Notes each RARP frame that reaches the guest network's switch: `frames` of (seconds, host it came from, MAC)."""

    def __init__(self, lab, mac=None):
        self.mac = mac
        self.frames = []
        # On no interface in particular: the ports of the switch tell from which host a frame came.
        super().__init__(inside(lab.client, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                                                  socket.htons(ETH_P_ALL))))
        keep_only(self.socket, RARP)

    def hear(self, packet, extra, sender):
        interface, _, direction, _, _ = sender
        mac = ":".join(f"{byte:02x}" for byte in packet[6:12])
        host = interface[:-1]
        if packet[12:14] != RARP.to_bytes(2, "big"):
            return  # came before the filter was there
        if direction != socket.PACKET_OUTGOING and host in ("hosta", "hostb") and self.mac in (None, mac):
            self.frames.append((time.time(), host, mac))


def keep_only(packet_socket, ethertype):
    """Attaches a packet filter: load the half-word at 12, equal? all of it: nothing."""
    instruction = struct.Struct("=HBBI")
    program = b"".join((instruction.pack(0x28, 0, 0, 12), instruction.pack(0x15, 0, 1, ethertype),
                        instruction.pack(0x06, 0, 0, 0xFFFF), instruction.pack(0x06, 0, 0, 0)))
    buffer = ctypes.create_string_buffer(program)
    packet_socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer)))


# Numbers that packets may overtake on their way: those of a second.
OVERTAKEN = 100


class ForkMonitor(Listener):
    """Judges what the guests' fork detectors send: a sequence number with two nonces was sent by two running copies."""

    def __init__(self, lab):
        self.nonces = {}  # by (address, sequence)
        self.newest = {}  # sequence by address
        self.counted = Counter()  # numbers by address
        self.found = []  # (address, sequence)
        super().__init__(monitor_socket(lab))

    def hear(self, packet, extra, sender):
        sequence, nonce = packet.split()
        self.judge((sender[0], int(sequence)), nonce)

    def judge(self, key, nonce):
        address, sequence = key
        newest = self.newest[address] = max(sequence, self.newest.get(address, 0))
        self.counted[address] += key not in self.nonces
        # One that was booted anew begins far beyond: whoever still counts below it runs beside it.
        if self.nonces.setdefault(key, nonce) != nonce or sequence < newest - OVERTAKEN:
            self.found.append(key)

    def heard(self, address):
        """How many numbers came from a guest: none means that nothing was watched."""
        return self.counted[address]
