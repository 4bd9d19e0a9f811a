"""Receivers that no HTTP server would be: they hang, drip, flood, reset or speak garbage. Plain sockets, one thread each."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable

Behaviour = Callable[[socket.socket, "Misbehaving"], None]


class Misbehaving:
    """Accepts connections and treats each badly."""

    def __init__(self, behaviour: Behaviour):
        self.behaviour = behaviour
        self.connections = 0
        self.sent_most = 0  # bytes that one connection took at most
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._closed = threading.Event()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self.behaviour(connection, self)

    @property
    def open(self) -> bool:
        return not self._closed.is_set()

    def sent(self, count: int) -> None:
        self.sent_most = max(self.sent_most, count)

    def close(self) -> None:
        self._closed.set()
        self._listener.close()


def read_head(connection: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(65536)
        if not part:
            raise OSError("the other side hung up")
        head += part


def hang(connection, me):
    """Takes the request and never answers."""
    read_head(connection)
    while me.open:
        time.sleep(0.1)


def drip_head(connection, me):
    """One byte of an endless head at a time."""
    read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nx-")
    while me.open:
        connection.sendall(b"a")
        time.sleep(0.05)


def drip_body(connection, me):
    """A good head, then one byte of the body at a time."""
    read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while me.open:
        connection.sendall(b"a")
        time.sleep(0.05)


def flood_body(connection, me):
    """A gigabyte of body."""
    read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
    part, total = b"x" * 65536, 0
    while me.open and total < 1_000_000_000:
        total += connection.send(part)
        me.sent(total)


def flood_head(connection, me):
    """A gigabyte of headers."""
    read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    total = 0
    while me.open and total < 1_000_000_000:
        total += connection.send(b"x-a: " + b"x" * 1000 + b"\r\n")
        me.sent(total)


def reset(connection, me):
    """Takes the request and resets the connection."""
    read_head(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def reset_in_body(connection, me):
    """Resets the connection in the middle of the answer."""
    read_head(connection)
    connection.sendall(b"HTTP/1.1 500 Oops\r\ncontent-length: 1000\r\n\r\nabc")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def garbage(connection, me):
    """Answers with something that is not HTTP."""
    read_head(connection)
    connection.sendall(bytes(range(256)) * 16 + b"\r\n\r\n")


def bad_chunks(connection, me):
    """A body in chunks that are none."""
    read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\nnot a chunk\r\n")


def never_reads(connection, me):
    """Never even reads the request."""
    while me.open:
        time.sleep(0.1)


BEHAVIOURS = [
    hang,
    drip_head,
    drip_body,
    flood_body,
    flood_head,
    reset,
    reset_in_body,
    garbage,
    bad_chunks,
    never_reads,
]
