"""Moves the wall clock of a server, through a small library that is preloaded into it."""

import shutil
import struct
import subprocess
from pathlib import Path

from .api import Api
from .receiver import Receiver
from .server import Server

SECOND, MINUTE, HOUR, DAY = 1, 60, 3600, 86400

# Why tests that need this are skipped, if they are.
MISSING = None if shutil.which("cc") else "needs a C compiler, for the library that moves the server's clock"


class MovedClock:
    """A clock that is some seconds off; to be put into a server before it starts."""

    def __init__(self, folder: Path):
        self._file = folder / "clock-shift"
        self._library = folder / "clock.so"
        self.shift(0)
        if not self._library.exists():
            source = Path(__file__).with_name("clock.c")
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-o", self._library, source], check=True)

    def shift(self, seconds: int) -> None:
        """Sets how far it is off. A running server sees its clock jump."""
        value = struct.pack("=q", seconds)
        if self._file.exists():
            with open(self._file, "r+b", buffering=0) as file:
                file.write(value)
        else:
            self._file.write_bytes(value)

    def environment(self) -> "dict[str, str]":
        return {"LD_PRELOAD": str(self._library), "CLOCK_SHIFT": str(self._file)}


class Hours:
    """A server for which hours pass when a test says so, so that no test waits for a retry or hurries before one."""

    def __init__(self, clock: MovedClock, server: Server, receiver: Receiver):
        self.clock, self.server, self.receiver = clock, server, receiver
        self.passed = 0

    def pass_by(self, api: Api, hours: int = 2) -> None:
        """Lets hours pass, and waits until the server has seen to whatever became due meanwhile."""
        witness = self.receiver.hook()
        witness.respond(500, 200)
        app = api.app()["id"]
        api.endpoint(app, witness.url, retrySchedule=["1h"])
        api.attempts(app, api.send(app)["id"])
        self.passed += hours
        self.clock.shift(self.passed * HOUR)
        # Due after everything that waited for an hour before.
        witness.wait(2)
