"""Ports on loopback that stay free while the server that they are for is down."""

import random
import socket

# Below what the system hands out by itself: no connection that something else opens in the meantime takes one of these.
LOWEST, BLOCK, BLOCKS = 10_000, 200, 50


class _Block:
    """So many ports in a row, which no other process of these tests takes: it holds the first one, for datagrams."""

    def __init__(self):
        for number in random.sample(range(BLOCKS), BLOCKS):
            self.first = LOWEST + number * BLOCK
            self.held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self.held.bind(("127.0.0.1", self.first))
            except OSError:
                self.held.close()
                continue
            self.given = 0
            return
        raise RuntimeError("all blocks of ports are taken: do other runs of the tests hang?")

    def next(self) -> int:
        # The oldest comes round again long after its test has ended.
        for _ in range(BLOCK):
            self.given += 1
            port = self.first + self.given % BLOCK
            if _is_free(port):
                return port
        raise RuntimeError(f"all ports from {self.first} on are in use")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Connections that ended a moment ago hinder no server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


_block: "_Block | None" = None


def free_port() -> int:
    global _block
    if _block is None:
        _block = _Block()
    return _block.next()
