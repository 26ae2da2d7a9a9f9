"""What is not a migrated of this version: one that speaks another, on either end, and things that are none at all.

The frames are those of docs/protocol.md, the messages those of proto/vmigrate/peer.proto.
"""

import os
import random
import socket
import ssl
import struct
import threading
from contextlib import ExitStack, contextmanager

from labkit.host import PORT
from labkit.namespace import inside

LENGTHS = struct.Struct("!II")
PATIENCE = 30
# OpeningAnswer's cases.
WELCOME, REFUSAL = 1, 3
NOT_ALLOWED = 5


# -- Messages: a protobuf field is a tag, (number << 3 | kind), and a number or a length with bytes

def varint(value):
    encoded = b""
    while value > 0x7f:
        encoded += bytes([value & 0x7f | 0x80])
        value >>= 7
    return encoded + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def text(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def hello(newest, oldest, software):
    return text(1, number(1, newest) + number(2, oldest) + text(3, software))


def welcome(protocol, software):
    return text(WELCOME, number(1, protocol) + text(2, software) + text(4, "session") + text(6, "secret") + number(7, 1))


def refusal(code, message, hint):
    return text(REFUSAL, number(1, code) + text(2, message) + text(3, hint))


def fields(message):
    """The strings and messages in it, by field number; numbers are passed over."""
    found = {}
    while message:
        tag, message = read_varint(message)
        value, message = read_varint(message)
        if tag & 7 == 2:
            found[tag >> 3], message = message[:value], message[value:]
    return found


def read_varint(message):
    value = shift = 0
    for count, byte in enumerate(message, start=1):
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, message[count:]
    raise ValueError("a number is cut")


# -- Frames of lane 0, whose header is empty

def send_message(stream, message):
    stream.sendall(LENGTHS.pack(0, len(message)) + message)


def receive_message(stream):
    header, payload = LENGTHS.unpack(read_exactly(stream, LENGTHS.size))
    return read_exactly(stream, header + payload)[header:]


def read_exactly(stream, size):
    data = b""
    while len(data) < size:
        piece = stream.recv(size - len(data))
        if not piece:
            raise EOFError(f"{size - len(data)} bytes are missing")
        data += piece
    return data


# -- The two ends

def credentials(host, purpose):
    """TLS as a migrated on that host does it."""
    context = ssl.SSLContext(purpose)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    folder = host.inner("/etc/vmigrate")
    context.load_cert_chain(folder / "host.pem", folder / "host.key")
    context.load_verify_locations(folder / "ca.pem")
    return context


class ForeignDaemon:
    """In place of the daemon of `host`: answers every greeting with the message `answer`."""

    def __init__(self, host, answer):
        self.answer = answer
        self.heard = []
        self.context = credentials(host, ssl.PROTOCOL_TLS_SERVER)
        # Python's server takes only what is good for a client; a host's certificate is good for a server.
        self.context.verify_mode = ssl.CERT_NONE
        self.listener = inside(host.namespace, lambda: socket.create_server((host.address, PORT)))
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return  # it was closed
            connection.settimeout(PATIENCE)
            with connection, self.context.wrap_socket(connection, server_side=True) as stream:
                self.heard.append(receive_message(stream))
                send_message(stream, self.answer)
                # Until the other side has read it and hung up.
                stream.recv(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


def dial(source, destination):
    """A TCP connection from one host to the other's daemon."""
    return inside(source.namespace, lambda: socket.create_connection((destination.address, PORT), PATIENCE))


@contextmanager
def session(source, destination):
    """A TLS connection from one host to the other's daemon, with the first one's certificate."""
    with dial(source, destination) as connection, \
         credentials(source, ssl.PROTOCOL_TLS_CLIENT).wrap_socket(connection) as stream:
        yield stream


# -- What is no migrated at all

def wait_for_hang_up(connection):
    """Waits until the other side has closed the connection; what it says before is of no interest."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass


def say(source, destination, content):
    with dial(source, destination) as connection:
        connection.sendall(content)
        wait_for_hang_up(connection)


def greet_without_certificate(source, destination):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with dial(source, destination) as connection:
        try:
            # With TLS 1.3 the client learns only afterwards that it was not let in.
            with context.wrap_socket(connection) as stream:
                send_message(stream, hello(1, 1, "nobody"))
                receive_message(stream)
        except (ssl.SSLError, ConnectionError, EOFError):
            return
    raise AssertionError("a greeting without a certificate was answered")


def announce_too_much(source, destination):
    """With a good certificate, and a frame of 4 GiB."""
    with session(source, destination) as stream:
        stream.sendall(LENGTHS.pack(0, 0xffffffff))
        wait_for_hang_up(stream)


def join_with_invented_proof(source, destination):
    with session(source, destination) as stream:
        send_message(stream, text(2, text(1, os.urandom(32)) + number(3, 1) + number(4, 1) + text(6, os.urandom(32))))
        assert read_varint(fields(receive_message(stream))[REFUSAL][1:])[0] == NOT_ALLOWED


def throw_garbage(source, destination):
    """All of it, each until the daemon there has hung up."""
    for seed in range(20):
        # The same in every run: one in 650 of such texts announces a record longer than itself, and is waited for.
        say(source, destination, random.Random(seed).randbytes(4096))
    say(source, destination, b"GET / HTTP/1.1\r\nHost: hostb\r\n\r\n")
    say(source, destination, LENGTHS.pack(0, 4) + b"none")
    greet_without_certificate(source, destination)
    announce_too_much(source, destination)
    join_with_invented_proof(source, destination)


@contextmanager
def half_open(source, destination):
    """Connections that say nothing, or begin a greeting and never end it."""
    with ExitStack() as stack:
        stack.enter_context(dial(source, destination))
        beginning = stack.enter_context(dial(source, destination))
        beginning.sendall(b"\x16\x03\x01\x02\x00\x01")  # a TLS record of 512 bytes with a ClientHello
        stack.enter_context(session(source, destination)).sendall(LENGTHS.pack(0, 64) + b"half")
        yield
