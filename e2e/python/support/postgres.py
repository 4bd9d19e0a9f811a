"""A database of its own for each test, on the server that SCHOOLBELL_TEST_POSTGRES names, and a proxy that cuts."""

import glob
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from urllib.parse import urlsplit, urlunsplit

from .ports import free_port

VARIABLE = "SCHOOLBELL_TEST_POSTGRES"
MISSING = None if os.environ.get(VARIABLE) else f"{VARIABLE} is not set; scripts/test starts a server and sets it"


class Database:
    """An empty database, dropped at the end."""

    def __init__(self, server: "str | None" = None):
        self.server = server or os.environ[VARIABLE]
        self.name = f"e2e_{secrets.token_hex(6)}"
        self.run(f"CREATE DATABASE {self.name}", database="postgres")

    def url(self, database=None, address=None) -> str:
        parts = urlsplit(self.server)
        netloc = parts.netloc
        if address:
            user = netloc.rpartition("@")[0]
            netloc = f"{user}@{address[0]}:{address[1]}"
        return urlunsplit(parts._replace(netloc=netloc, path="/" + (database or self.name)))

    @property
    def address(self) -> "tuple[str, int]":
        parts = urlsplit(self.server)
        return parts.hostname, parts.port or 5432

    def run(self, sql: str, database=None) -> "list[list[str]]":
        """Runs SQL, and returns the rows as texts."""
        command = ["psql", "-X", "-q", "-t", "-A", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", self.url(database)]
        done = subprocess.run([*command, "-c", sql], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]

    def one(self, sql: str) -> str:
        return self.run(sql)[0][0]

    def close(self) -> None:
        self.run(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)", database="postgres")


class Cluster:
    """A server of its own, for tests that stop it. It syncs, as in earnest."""

    def __init__(self, data: "str | None" = None, env: "dict[str, str] | None" = None, **settings: str):
        self.env = {**os.environ, **(env or {})}
        self.bin = os.path.dirname(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))[-1])
        self.folder = tempfile.mkdtemp(prefix="schoolbell-cluster-")
        # Elsewhere: a disk of its own, its log of changes apart from it.
        self.data = data or f"{self.folder}/data"
        # PostgreSQL refuses to run as root.
        self.as_user = []
        if os.geteuid() == 0:
            self.as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
            shutil.chown(self.folder, "nobody", "nogroup")
        if self.as_user and data:
            shutil.chown(data, "nobody", "nogroup")
        self._run("initdb", "-D", self.data, "--waldir", f"{self.folder}/wal", "-U", "schoolbell", "-A", "trust", "-E", "UTF8")
        self.port = free_port()
        self.url = f"postgres://schoolbell@127.0.0.1:{self.port}/postgres"
        given = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.folder, **settings}
        self.options = " ".join(f"-c {name}={value}" for name, value in given.items())
        self.start()

    def _run(self, command: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self.as_user, f"{self.bin}/{command}", *arguments],
            cwd=self.folder, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def write(self, name: str, content: bytes) -> None:
        """A file beside the tables, such as a key: for the server's user only."""
        path = os.path.join(self.data, name)
        with open(path, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
        if self.as_user:
            shutil.chown(path, "nobody", "nogroup")

    def start(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-l", f"{self.folder}/log", "-o", self.options, "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def close(self) -> None:
        try:
            self.stop("immediate")
        except AssertionError:
            pass  # it was stopped already
        shutil.rmtree(self.folder)


class Proxy:
    """Stands between nodes and the database: cuts all connections, refuses new ones, or holds everything back."""

    def __init__(self, target: "tuple[str, int]"):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.flowing = threading.Event()
        self.flowing.set()
        self.refusing = False
        self.open: "set[socket.socket]" = set()
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(self.target)
            except OSError:
                client.close()
                continue
            with self.lock:
                self.open |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source, sink):
        try:
            while data := source.recv(65536):
                self.flowing.wait()
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            self._end(one)

    def _end(self, one):
        with self.lock:
            self.open.discard(one)
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        one.close()

    def cut(self) -> None:
        """Ends all connections; new ones are taken."""
        with self.lock:
            all_of_them = list(self.open)
        for one in all_of_them:
            self._end(one)

    def refuse(self) -> None:
        """Ends all connections and takes no new ones."""
        self.refusing = True
        self.cut()

    def accept(self) -> None:
        self.refusing = False

    def pause(self) -> None:
        """Lets nothing through, and ends nothing."""
        self.flowing.clear()

    def resume(self) -> None:
        self.flowing.set()

    def close(self) -> None:
        self.resume()
        self.listener.close()
        self.refuse()
