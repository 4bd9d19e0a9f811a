"""Moves the wall clock of a server, through a small library that is preloaded into it."""

import shutil
import struct
import subprocess
from pathlib import Path

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
