"""Every event of the installed library, fired as the platform does it, through a real Schoolbell to real receivers."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL

import openedx_events
import pytest
from openedx_events.tooling import OpenEdxPublicSignal, load_all_signals
from samples import EVENTS, bodies, build
from support.api import Api, eventually
from support.server import Server

from openedx_schoolbell import receivers
from openedx_schoolbell.outbox import Full, Outbox

LOGIN = "org.openedx.learning.auth.session.login.completed.v1"
AT = datetime(2026, 1, 31, 20, 24, 32, 598387, UTC)


def signals():
    load_all_signals()
    return list(OpenEdxPublicSignal.all_events())


def fire(signal, **changes):
    """Fires a signal with its sample; gives its metadata and what was in it."""
    ((name, cls),) = signal.init_data.items()
    value, seen = build(cls, {**EVENTS[signal.event_type]["sample"], **changes})
    caught = []
    listener = lambda **kwargs: caught.append(kwargs["metadata"])  # noqa: E731
    signal.connect(listener, weak=False)
    try:
        results = signal.send_event(time=AT, **{name: value})
    finally:
        signal.disconnect(listener)
    assert [r for _, r in results if isinstance(r, Exception)] == []
    return caught[0], seen


def login(number=4):
    return fire(OpenEdxPublicSignal.get_signal_by_type(LOGIN), id=number)[0]


@pytest.mark.parametrize("handover", ["async", "sync"])
def test_every_event_arrives_as_the_original_sends_it(connect, server, api, app, receiver, handover):
    courier = connect(server.url, api.token, app, SCHOOLBELL_HANDOVER=handover)
    wires = [("openedx-v22", "json"), ("openedx-v21", "json"), ("openedx-v1", "json")]
    wires += [("openedx-v22", "form"), ("openedx-v21", "form")]
    hooks = {}
    for format, encoding in wires:
        hook = hooks[format, encoding] = receiver.hook()
        made = api.post(f"/app/{app}/endpoint", {"url": hook.url, "format": format, "encoding": encoding})
        assert made.status_code == 201, made.text
    fired = {}
    for signal in signals():
        metadata, seen = fire(signal)
        fired[str(metadata.id)] = bodies(signal, seen, metadata)
    # All that the catalogue knows of this version of the library.
    known = {e["eventType"] for e in EVENTS.values() if openedx_events.__version__ in e["versions"]}
    assert {s.event_type for s in signals()} == known and len(fired) == len(known) >= 70
    stored = {}
    for wire, hook in hooks.items():
        for got in hook.wait(len(fired), timeout=30):
            if got.id not in stored:
                stored[got.id] = api.get(f"/app/{app}/msg/{got.id}").json()["eventId"]
            assert got.body.decode() == fired[stored[got.id]][wire]
    assert courier.outbox.is_empty() and courier.outbox.rejected() == []


def test_messages_are_labelled_with_course_and_person(connected, api, app):
    signal = OpenEdxPublicSignal.get_signal_by_type("org.openedx.learning.course.enrollment.created.v1")
    fire(signal)
    connected.flush(10)
    message = eventually(lambda: api.get(f"/app/{app}/msg").json()["data"])[0]
    assert message["channels"] == ["course-v1:OrgX+CS101+2026_T1"]
    assert message["orderKey"] == "user:4"


def test_credentials_stay_here_unless_the_operator_says_otherwise(connect, server, api, app, receiver):
    hook = receiver.hook()
    api.post(f"/app/{app}/endpoint", {"url": hook.url, "format": "openedx-v21"})
    signal = OpenEdxPublicSignal.get_signal_by_type("org.openedx.learning.course.notification.requested.v1")
    for sends in (False, True):
        connect(server.url, api.token, app, SCHOOLBELL_SEND_CREDENTIALS=sends)
        fire(signal, content_context={"Token": "secret", "kept": "1"})
        got = hook.wait(1 + sends)[-1].body.decode()
        assert ("secret" in got) == sends and "kept" in got


def test_a_schoolbell_that_is_killed_and_restarted_while_events_fire_gets_every_one(connect, tmp_path, receiver):
    server = Server(tmp_path / "killed").start()
    try:
        token = server.token()
        api = Api(server.url, token)
        app = api.post("/app", {"name": "x", "uid": "campus", "platform": "openedx"}).json()["id"]
        hook = receiver.hook()
        api.post(f"/app/{app}/endpoint", {"url": hook.url})
        courier = connect(server.url, token, "campus")
        stop = threading.Event()

        def kill_and_restart():
            while not stop.is_set():
                time.sleep(0.25)
                server.kill()
                time.sleep(0.15)
                server.start()

        trouble = threading.Thread(target=kill_and_restart)
        trouble.start()
        fired = []
        try:
            for number in range(1, 301):
                fired.append(str(login(number).id))
                time.sleep(0.01)
        finally:
            stop.set()
            trouble.join()
        eventually(courier.outbox.is_empty, timeout=40)
        seen = eventually(lambda: len({r.body for r in hook.received}) == len(fired) and hook.received, timeout=40)
        got = [json.loads(r.body) for r in seen]
        assert {g["event_metadata"]["id"] for g in got} == set(fired)
        # However often a call was repeated: one message for each event.
        assert len({r.id for r in seen}) == len(fired)
        assert courier.outbox.rejected() == []
    finally:
        server.close()


def test_events_wait_while_there_is_no_schoolbell_and_then_come_in_order(connect, tmp_path, receiver):
    server = Server(tmp_path / "late")
    for handover in ("async", "sync"):
        courier = connect(server.url, "none", "campus", SCHOOLBELL_HANDOVER=handover, SCHOOLBELL_TIMEOUT=1)
        began = time.monotonic()
        fired = [str(login(n).id) for n in range(1, 11)]
        # Not a second for each.
        assert time.monotonic() - began < 9
        assert courier.outbox.count()[0] == 10
        courier.outbox.drop_rejected()
        server.start()
        token = server.token()
        api = Api(server.url, token)
        app = api.put("/app/campus", {"name": "x", "uid": "campus", "platform": "openedx"}).json()["id"]
        hook = receiver.hook()
        endpoint = api.post(f"/app/{app}/endpoint", {"url": hook.url, "concurrency": 1}).json()["id"]
        courier = connect(server.url, token, "campus", SCHOOLBELL_HANDOVER=handover)
        # The next one waits its turn, and wakes whoever sends.
        fired.append(str(login(11).id))
        got = [json.loads(r.body)["event_metadata"]["id"] for r in hook.wait(11)]
        messages = [m["eventId"] for m in api.get(f"/app/{app}/msg", limit=20).json()["data"]]
        assert list(reversed(messages))[-11:] == fired and set(got) == set(fired)
        api.delete(f"/app/{app}/endpoint/{endpoint}")
        server.stop()
    server.close()


def test_what_schoolbell_refuses_is_set_aside_and_holds_up_nothing(connected, api, app, receiver, caplog):
    hook = receiver.hook()
    api.post(f"/app/{app}/endpoint", {"url": hook.url})
    connected.outbox.add("bad-1", '{"eventType": "a b", "payload": {}}')
    connected.outbox.add("bad-2", '{"eventType": "x", "payload": []}')
    fired = login()
    got = hook.wait()
    assert json.loads(got[0].body)["event_metadata"]["id"] == str(fired.id)
    eventually(connected.outbox.is_empty)
    assert [name for name, _ in connected.outbox.rejected()] == ["bad-1", "bad-2"]
    assert connected.outbox.retry_rejected() == 2 and connected.outbox.count()[0] == 2
    assert "set aside" in caplog.text


def test_an_event_id_that_was_taken_by_another_event_holds_up_nothing(connected, api, app):
    connected.outbox.add("one", '{"eventType": "x", "eventId": "one", "payload": {"n": 1}}')
    connected.outbox.add("one", '{"eventType": "x", "eventId": "one", "payload": {"n": 2}}')
    fired = login()
    eventually(connected.outbox.is_empty)
    messages = [m["eventId"] for m in reversed(api.get(f"/app/{app}/msg").json()["data"])]
    assert messages == ["one", str(fired.id)]
    ((name, reason),) = connected.outbox.rejected()
    assert name == "one" and "eventId" in reason


def test_a_full_outbox_can_still_set_aside_and_put_back(tmp_path):
    outbox = Outbox(str(tmp_path / "full.sqlite3"), 64 * 4096)
    added = 0
    with pytest.raises(Full):
        while True:
            outbox.add(f"event-{added}", "x" * 5000)
            added += 1
    first = outbox.first(1, 1)[0]
    outbox.reject(first, "a reason")
    assert outbox.rejected() == [("event-0", "a reason")] and outbox.count()[0] == added - 1
    # Where there is no room at all nothing changes, and nobody is kept from writing.
    with pytest.raises(sqlite3.OperationalError):
        outbox.reject(outbox.first(1, 1)[0], "y" * 500_000)
    assert outbox.count()[0] == added - 1
    second = Outbox(outbox.path, 64 * 4096)
    second.sent(second.first(1, 1))
    second.add("another", "{}")
    assert outbox.retry_rejected() == 1 and outbox.rejected() == []


def test_nothing_that_goes_wrong_here_reaches_the_platform(connect, server, api, app, tmp_path, caplog):
    broken = tmp_path / "a folder"
    broken.mkdir()
    connect(server.url, api.token, app)
    from openedx_schoolbell.courier import courier

    courier().outbox.path = str(broken)
    metadata = login()
    # No outbox: it went at once.
    assert eventually(lambda: api.get(f"/app/{app}/msg").json()["data"])[0]["eventId"] == str(metadata.id)
    connect("http://127.0.0.1:1", "none", "nobody", SCHOOLBELL_TIMEOUT=1)
    courier().outbox.path = str(broken)
    login()
    assert "is lost" in caplog.text


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import conftest, test_events
for number in range(1, 6):
    print(test_events.login(number).id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_platform_that_is_killed_leaves_its_events_to_the_next_process(connect, server, api, app, tmp_path):
    # No Schoolbell and no time to say goodbye. (The address is in the tests' settings.)
    env = {**os.environ, "SCHOOLBELL_OUTBOX": str(tmp_path / "outbox.sqlite3")}
    script = KILLED.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == -SIGKILL, done.stderr
    fired = done.stdout.split()
    connect(server.url, api.token, app)
    from django.core.signals import request_started

    receivers._served.clear()
    request_started.send(sender=None)
    messages = eventually(lambda: (found := api.get(f"/app/{app}/msg").json()["data"])[4:] and found)
    assert [m["eventId"] for m in reversed(messages)] == fired


def test_a_second_process_of_the_service_does_not_send_what_the_first_is_sending(connected):
    with connected.outbox.alone() as first, connected.outbox.alone() as second:
        assert first and not second
    with connected.outbox.alone() as again:
        assert again
