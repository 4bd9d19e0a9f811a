"""Receivers by the hundred in a process of their own, quick enough to measure with. The path says how one behaves:

/ok/…    answers 200, and notes when a message came first
/hang/…  takes the request and never answers
/drip/…  a good head, then a byte of the body now and then
/huge/…  a gigabyte of body

GET /noted gives and forgets what was noted; GET /counts says how many requests each behaviour got.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
LONG = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n"
PART = b"x" * 65536
DRIP_EVERY = 0.05


class Crowd:
    """The process, from outside."""

    def __init__(self, port: int = 0):
        command = [sys.executable, "-m", "support.crowd", str(port)]
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"
        self._http = httpx.Client(base_url=self.url, timeout=60)

    def noted(self) -> "dict[str, dict[str, float]]":
        """When each message arrived first, by path. The clock is `time.monotonic`. Forgotten by asking."""
        return self._http.get("/noted").json()

    def counts(self) -> "dict[str, int]":
        """Requests so far, repetitions included, by the first part of the path."""
        return self._http.get("/counts").json()

    def close(self) -> None:
        self._http.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Notes:
    """What all connections share."""

    def __init__(self):
        self.first: "dict[str, dict[str, float]]" = {}
        self.counts: Counter = Counter()


class Connection(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, notes: Notes):
        self.notes, self.buffer, self.sending = notes, b"", True

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while True:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            request, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.answer(request.split(" ")[1], headers)

    def answer(self, path, headers):
        behaviour = path.split("/")[1]
        if behaviour in ("noted", "counts"):
            return self.tell(self.notes.first if behaviour == "noted" else self.notes.counts)
        self.notes.counts[behaviour] += 1
        if behaviour == "ok":
            self.notes.first.setdefault(path, {}).setdefault(headers["webhook-id"], time.monotonic())
            self.transport.write(ANSWER)
        elif behaviour == "drip":
            self.transport.write(LONG)
            self.drip()
        elif behaviour == "huge":
            self.transport.write(LONG)
            self.flood()

    def tell(self, what):
        body = json.dumps(what).encode()
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        if what is self.notes.first:
            self.notes.first = {}

    def drip(self):
        if not self.transport.is_closing():
            self.transport.write(b"a")
            asyncio.get_running_loop().call_later(DRIP_EVERY, self.drip)

    def flood(self):
        self.flooding = True
        while self.sending and not self.transport.is_closing():
            self.transport.write(PART)

    def pause_writing(self):
        self.sending = False

    def resume_writing(self):
        self.sending = True
        if getattr(self, "flooding", False):
            self.flood()


async def main(port: int) -> None:
    notes = Notes()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(notes), "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
