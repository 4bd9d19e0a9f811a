"""Events on their way, on disk: one SQLite file that all processes of a service share.

An event that was added is there until Schoolbell has it, whatever is killed in between. What Schoolbell refuses
for good is set aside with the reason, and stays until somebody looks at it.
"""

import fcntl
import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

SCHEMA = """
create table if not exists outbox (
    id integer primary key autoincrement,
    event_id text not null,
    body text not null,
    added_at real not null
);
create table if not exists rejected (
    id integer primary key,
    event_id text not null,
    body text not null,
    added_at real not null,
    reason text not null
);
create table if not exists memo (name text primary key, value text not null);
"""


class Full(Exception):
    """There is no room for more."""


@dataclass(frozen=True)
class Event:
    """One that waits."""

    id: int
    event_id: str
    body: str


class Outbox:
    """The file. Safe to use from any thread, and after a fork."""

    def __init__(self, path: str, max_bytes: int):
        self.path = path
        self._max_bytes = max_bytes
        self._local = threading.local()

    def _open(self) -> sqlite3.Connection:
        # A connection must not be used in another process than the one that opened it.
        if getattr(self._local, "pid", None) != os.getpid():
            folder = os.path.dirname(self.path)
            if folder:
                os.makedirs(folder, exist_ok=True)
            # It holds what the events say of people.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(self.path, timeout=10, isolation_level=None)
            connection.execute("pragma journal_mode=wal")
            connection.execute("pragma synchronous=full")
            connection.execute("pragma auto_vacuum=incremental")
            connection.executescript(SCHEMA)
            size = connection.execute("pragma page_size").fetchone()[0]
            connection.execute(f"pragma max_page_count={max(self._max_bytes // size, 64)}")
            self._local.connection, self._local.pid = connection, os.getpid()
        return self._local.connection

    @contextmanager
    def _together(self):
        """All or nothing, and in any case an end: an open transaction would keep everybody else from writing."""
        connection = self._open()
        connection.execute("begin immediate")
        try:
            yield connection
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise

    def close(self) -> None:
        """Closes this thread's connection."""
        if getattr(self._local, "pid", None) == os.getpid():
            self._local.connection.close()
        self._local.__dict__.clear()

    def add(self, event_id: str, body: str) -> None:
        """Keeps an event; on disk when this returns."""
        try:
            self._open().execute(
                "insert into outbox (event_id, body, added_at) values (?, ?, ?)", (event_id, body, time.time())
            )
        except sqlite3.OperationalError as error:
            raise Full(str(error)) from error

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._open().execute("select 1 from outbox limit 1").fetchone() is None

    def first(self, count: int, size: int) -> list[Event]:
        """The oldest ones: at most so many, and not many more bytes than said."""
        rows = self._open().execute("select id, event_id, body from outbox order by id limit ?", (count,))
        found: list[Event] = []
        for row in rows:
            event = Event(*row)
            size -= len(event.body)
            if found and size < 0:
                break
            found.append(event)
        return found

    def sent(self, events: list[Event]) -> None:
        """Schoolbell has them."""
        self._open().executemany("delete from outbox where id = ?", [(e.id,) for e in events])

    def reject(self, event: Event, reason: str) -> None:
        """Schoolbell will never take it: sets it aside."""
        with self._together() as connection:
            # Out before in: where the file may not grow any more, the one needs the room of the other.
            row = connection.execute("select added_at from outbox where id = ?", (event.id,)).fetchall()
            connection.execute("delete from outbox where id = ?", (event.id,))
            connection.executemany(
                "insert or replace into rejected values (?, ?, ?, ?, ?)",
                [(event.id, event.event_id, event.body, added_at, reason) for (added_at,) in row],
            )

    def refuse(self, event_id: str, body: str, reason: str) -> None:
        """Sets an event aside that never waited."""
        self.add(event_id, body)
        row = self._open().execute("select max(id) from outbox where event_id = ?", (event_id,)).fetchone()
        self.reject(Event(row[0], event_id, body), reason)

    def rejected(self) -> list[tuple[str, str]]:
        """What was set aside: ids and reasons."""
        return list(self._open().execute("select event_id, reason from rejected order by id"))

    def retry_rejected(self) -> int:
        """Puts what was set aside back, behind all that waits."""
        with self._together() as connection:
            rows = connection.execute("select event_id, body, added_at from rejected order by id").fetchall()
            connection.execute("delete from rejected")
            connection.executemany("insert into outbox (event_id, body, added_at) values (?, ?, ?)", rows)
            return len(rows)

    def drop_rejected(self) -> int:
        """Forgets what was set aside."""
        return self._open().execute("delete from rejected").rowcount

    def count(self) -> tuple[int, float | None]:
        """How many wait, and since when the oldest does."""
        return self._open().execute("select count(*), min(added_at) from outbox").fetchone()

    def remember(self, name: str, value: str) -> None:
        """Keeps a text by a name."""
        self._open().execute("insert or replace into memo values (?, ?)", (name, value))

    def recall(self, name: str) -> str | None:
        """The text of a name."""
        row = self._open().execute("select value from memo where name = ?", (name,)).fetchone()
        return row and row[0]

    @contextmanager
    def alone(self):
        """Whether this is the only process that sends now; for as long as the context lasts."""
        with open(self.path + ".lock", "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                # Closing the file ends the lock, and so does the end of the process.
                yield True
