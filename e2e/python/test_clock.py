"""The wall clock jumps: after a suspend, a wrong battery, a time server that corrects a mistake."""

import time
from datetime import timedelta

from conftest import connect
from support.api import eventually, instant
from support.clock import DAY, HOUR
from support.receiver import Answer


def waiting_for_an_hour(api, hook):
    hook.respond(500)
    app = api.app()["id"]
    api.endpoint(app, hook.url, retrySchedule=["1h"])
    message = api.send(app)["id"]
    api.attempts(app, message)
    hook.respond(200)
    return app, message


def test_a_jump_forward_makes_waiting_tries_due(new_server, clock, hook):
    api = connect(new_server(clock.environment()).start())
    app, message = waiting_for_an_hour(api, hook)
    hook.stays_at(1, 0.5)
    clock.shift(2 * HOUR)
    assert [r.id for r in hook.wait(2)] == [message, message]
    newest, oldest = api.attempts(app, message, 2)
    assert instant(newest["timestamp"]) - instant(oldest["timestamp"]) > timedelta(hours=2)


def test_signatures_carry_the_new_time_after_a_jump(new_server, clock, hook):
    api = connect(new_server(clock.environment()).start())
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    clock.shift(3 * DAY)
    api.send(app)
    assert abs(int(hook.wait()[0].headers["webhook-timestamp"]) - time.time() - 3 * DAY) < 60


def test_a_jump_back_delays_no_new_event_and_keeps_the_order_of_ids(new_server, clock, hook):
    clock.shift(10 * 60)
    server = new_server(clock.environment()).start()
    api = connect(server)
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    early = [api.send(app)["id"] for _ in range(5)]
    hook.wait(5)
    clock.shift(0)
    late = [api.send(app)["id"] for _ in range(5)]
    assert early + late == sorted(early + late)
    # Not ten minutes later.
    assert {r.id for r in hook.wait(10)} == set(early + late)
    eventually(lambda: [m["id"] for m in api.get(f"/app/{app}/msg").json()["data"]] == (early + late)[::-1])
    attempts = api.attempts(app, late[-1])
    assert (attempts[0]["status"], attempts[0]["responseDurationMs"] < 60_000) == (0, True)
    server.restart()
    last = api.send(app)["id"]
    assert last > late[-1]
    assert hook.wait(11)[10].id == last


def test_tries_that_wait_are_late_by_as_much_as_the_clock_went_back_and_not_lost(new_server, clock, hook):
    clock.shift(DAY)
    api = connect(new_server(clock.environment()).start())
    _, message = waiting_for_an_hour(api, hook)
    clock.shift(0)
    hook.stays_at(1, 1.5)
    clock.shift(DAY + 2 * HOUR)
    assert [r.id for r in hook.wait(2)] == [message, message]


def test_a_paused_receiver_rate_survives_a_jump(new_server, clock, hook):
    api = connect(new_server(clock.environment()).start())
    app = api.app()["id"]
    api.endpoint(app, hook.url, throttleRate=20)
    clock.shift(DAY)
    api.batch(app, [{"eventType": "a.b", "payload": {}}] * 20)
    hook.wait(20)
    clock.shift(0)
    api.batch(app, [{"eventType": "a.b", "payload": {}}] * 20)
    hook.wait(40)


def test_after_a_jump_back_of_days_new_messages_are_still_listed(new_server, clock, hook):
    hook.answer = lambda _: Answer(200)
    clock.shift(2 * DAY)
    server = new_server(clock.environment()).start()
    api = connect(server)
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    api.send(app)
    hook.wait()
    clock.shift(0)
    server.restart()
    message = api.send(app)["id"]
    assert hook.wait(2)[1].id == message
    assert api.get(f"/app/{app}/msg/{message}").status_code == 200
    for path in (f"/app/{app}/msg", f"/app/{app}/attempt/endpoint/{endpoint}", f"/app/{app}/attempt/msg/{message}"):

        def listed(path=path):
            return message in [item.get("msgId", item["id"]) for item in api.get(path).json()["data"]]

        eventually(listed, 30, f"{path} hides what was just made")
