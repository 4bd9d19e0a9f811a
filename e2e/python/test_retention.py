"""What expires goes, and the file does not grow for ever.

Days pass because a preloaded library shifts the server's clock.
"""

import os
import time
from pathlib import Path

import pytest

from conftest import connect
from support.api import eventually
from support.clock import DAY

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def later(clock):
    """Starts the server again, so many days after its first start."""

    def restart(server, days):
        if server.is_running():
            server.stop()
        clock.shift(days * DAY)
        server.start()

    return restart


def test_payloads_and_attempts_expire_by_message_application_and_default(new_server, clock, later, hook):
    server = new_server(clock.environment(), attempt_retention="100d").start()
    api = connect(server)
    ordinary, short = api.app()["id"], api.app(retention={"payloadDays": 20, "attemptDays": 30})["id"]
    for app in (ordinary, short):
        api.endpoint(app, hook.url)
    five = api.send(ordinary, payloadRetentionPeriod=5)["id"]
    ninety = api.send(ordinary)["id"]
    twenty = api.send(short, tags=["spring"])["id"]
    attempts = {}
    for app, message in ((ordinary, five), (ordinary, ninety), (short, twenty)):
        attempts[message] = api.attempts(app, message)[0]["id"]

    def payload(app, message):
        return api.get(f"/app/{app}/msg/{message}").json().get("payload")

    def attempt(app, message):
        return api.get(f"/app/{app}/msg/{message}/attempt/{attempts[message]}").status_code

    expired, kept = {"expired": True}, {"n": 1}
    later(server, 6)
    eventually(lambda: payload(ordinary, five) == expired, 90, "a payload did not expire")
    assert payload(ordinary, ninety) == payload(short, twenty) == kept
    assert attempt(ordinary, five) == 200, "the attempts stay"

    later(server, 21)
    eventually(lambda: payload(short, twenty) == expired, 90, "a payload did not expire")
    assert payload(ordinary, ninety) == kept

    later(server, 31)
    eventually(lambda: api.get(f"/app/{short}/msg/{twenty}").status_code == 404, 90, "a message's row did not go")
    assert api.get(f"/app/{short}/msg").json()["data"] == []
    assert api.get(f"/app/{short}/msg", tag="spring").json()["data"] == []
    assert payload(ordinary, ninety) == kept

    later(server, 91)
    eventually(lambda: payload(ordinary, ninety) == expired, 90, "a payload did not expire")
    assert attempt(ordinary, ninety) == 200

    # PostgreSQL drops whole weeks.
    later(server, 108 if os.environ.get("ENGINE") == "postgres" else 101)
    eventually(lambda: api.get(f"/app/{ordinary}/msg/{ninety}").status_code == 404, 90, "a message's row did not go")
    hook.stays_at(3, 0)


def size(server):
    """The database file. Its log is reset again and again, and has a size of its own."""
    return os.path.getsize(server.database.removeprefix("sqlite:"))


def log_size(server):
    path = Path(server.database.removeprefix("sqlite:") + "-wal")
    return path.stat().st_size if path.exists() else 0


def test_the_file_does_not_grow_for_ever_and_removal_does_not_stall_delivery(new_server, clock, later, hook):
    server = new_server(clock.environment()).start()
    api = connect(server)
    # Messages that nobody takes: only storage is looked at.
    silent, app = api.app(retention={"payloadDays": 1, "attemptDays": 2})["id"], api.app()["id"]
    api.endpoint(app, hook.url)

    def fill():
        for _ in range(15):
            api.batch(silent, [{"eventType": "a.b", "payload": {"filling": "x" * 4000}}] * 400)

    fill()
    server.stop()
    full = size(server)
    assert full > 15 * 400 * 4000
    for days in (4, 8, 12):
        later(server, days)
        slowest = 0.0
        deadline = time.monotonic() + 90
        while True:
            sent = time.time()
            message = api.send(app)["id"]
            arrived = eventually(lambda: next((r.at for r in reversed(list(hook.received)) if r.id == message), None))
            # The server's clock is days ahead, the receiver's is not.
            slowest = max(slowest, arrived - sent)
            left = api.get(f"/app/{silent}/msg", limit=1).json()["data"]
            if not left:
                break
            assert time.monotonic() < deadline, "expired messages are still there"
            time.sleep(0.02)
        print(f"day {days}: slowest delivery during removal {slowest * 1000:.0f} ms")
        assert slowest < 5.0
        fill()
        server.stop()
        assert size(server) < 1.5 * full, "the space of expired messages was not used again"
        assert log_size(server) < 3 * full
