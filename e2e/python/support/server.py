"""Starts, stops and kills the real binary, each on a port and in a folder of its own."""

import os
import resource
import secrets
import signal
import string
import subprocess
import time
from pathlib import Path

from . import postgres
from .ports import free_port

START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0

# What most tests run with: receivers on loopback are allowed and retries follow at once.
DEFAULT_OPTIONS = {
    "allow-subnets": "127.0.0.0/8",
    "retry-schedule": "1ms,1ms",
    "request-timeout": "2s",
    "disable-after": "5d",
}

# Every running server, so that a failing test can show what they said.
RUNNING: "set[Server]" = set()


def binary() -> str:
    """The program under test."""
    path = os.environ.get("SCHOOLBELL_BIN")
    if not path:
        built = Path(__file__).parents[3] / "target" / "debug" / "schoolbell"
        path = str(built)
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"{path} is not there: build it with `cargo build --bin schoolbell` or set SCHOOLBELL_BIN")
    return path


def new_organization() -> str:
    """An organization id that nobody used before. Starts with 2 so that it is a KSUID of our time."""
    alphabet = string.digits + string.ascii_letters
    return "org_2" + "".join(secrets.choice(alphabet) for _ in range(26))


class Server:
    """One `schoolbell serve` process, which may be stopped, killed and started again on the same database."""

    def __init__(
        self, folder: Path, options: "dict[str, str | None] | None" = None, env: "dict[str, str] | None" = None
    ):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database = f"sqlite:{self.folder / 'schoolbell.db'}"
        if os.environ.get("ENGINE") == "postgres":
            # Every test that does not look into the file runs on the other engine just as well.
            self.database = postgres.Database().url()
        merged = {**DEFAULT_OPTIONS, **(options or {})}
        self.options = {name: value for name, value in merged.items() if value is not None}
        self.jwt_secret = secrets.token_hex(32)
        # Settings of the surrounding shell must not leak in.
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SCHOOLBELL_")}
        self.env = {**clean, "SCHOOLBELL_JWT_SECRET": self.jwt_secret, **(env or {})}
        # Limits of the process, such as {resource.RLIMIT_NOFILE: 100}.
        self.limits: dict[int, int] = {}
        self.process: subprocess.Popen | None = None
        self.stdout_path = self.folder / "stdout.log"
        self.stderr_path = self.folder / "stderr.log"

    def arguments(self) -> "list[str]":
        settings = {"listen": f"127.0.0.1:{self.port}", "database": self.database, **self.options}
        return [binary(), "serve", *(part for name, value in settings.items() for part in (f"--{name}", value))]

    def start(self) -> "Server":
        """Starts it and waits for the line that says where it listens."""
        assert self.process is None, "already running"
        self.folder.mkdir(parents=True, exist_ok=True)
        said_before = self.stdout_path.stat().st_size if self.stdout_path.exists() else 0
        with open(self.stdout_path, "ab") as out, open(self.stderr_path, "ab") as err:
            self.process = subprocess.Popen(self.arguments(), stdout=out, stderr=err, env=self.env, cwd=self.folder)
        for limit, value in self.limits.items():
            resource.prlimit(self.process.pid, limit, (value, value))
        RUNNING.add(self)
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            said = self.stdout_path.read_bytes()[said_before:]
            if self.url.encode() in said:
                return self
            if self.process.poll() is not None:
                code = self.process.returncode
                self._forget()
                raise RuntimeError(f"the server ended with {code} before it listened\n{self.tail()}")
            time.sleep(0.01)
        self.kill()
        raise RuntimeError(f"the server did not say within {START_TIMEOUT:.0f} s where it listens\n{self.tail()}")

    def stop(self) -> int:
        """Asks it to end, as an init system does, and returns its exit code."""
        assert self.process is not None, "not running"
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"the server did not end within {STOP_TIMEOUT:.0f} s\n{self.tail()}") from None
        self._forget()
        return code

    def kill(self) -> None:
        """Ends it without any warning."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._forget()

    def restart(self) -> "Server":
        self.stop()
        return self.start()

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def close(self) -> None:
        """Ends it in any case; for the end of a test."""
        self.kill()

    def _forget(self) -> None:
        self.process = None
        RUNNING.discard(self)

    def command(self, *arguments: str, env: "dict[str, str] | None" = None, **kwargs) -> subprocess.CompletedProcess:
        """Another command of the binary, with the same environment."""
        return subprocess.run(
            [binary(), *arguments],
            env={**self.env, **(env or {})},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            **kwargs,
        )

    def simulate(self, platform: str, app: str, count: int, rate: int = 100) -> "list[str]":
        """Plays a class until so many events are published; gives the lines that `simulate` said, one for each."""
        command = [binary(), "simulate", platform, "--app", app, "--server", self.url, "--rate", str(rate), "--seed", "7"]
        playing = subprocess.Popen(
            command, env=self.env, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        first = [line for line in (playing.stdout.readline() for _ in range(count)) if line]
        playing.send_signal(signal.SIGINT)
        rest, said = playing.communicate(timeout=60)
        assert playing.returncode == 0, said
        lines = "".join(first).splitlines() + rest.splitlines()
        assert len(lines) >= count, said
        return lines

    def token(self, organization: "str | None" = None) -> str:
        """What `schoolbell token` prints."""
        arguments = ["token", "--database", self.database] + ([organization] if organization else [])
        done = self.command(*arguments)
        assert done.returncode == 0, f"schoolbell token failed: {done.stderr}"
        return done.stdout.strip()

    def tail(self, lines: int = 60) -> str:
        """The last of what it said."""
        parts = []
        for path in (self.stdout_path, self.stderr_path):
            text = path.read_text(errors="replace") if path.exists() else ""
            parts.append(f"--- {path.name}\n" + "\n".join(text.splitlines()[-lines:]))
        return "\n".join(parts)
