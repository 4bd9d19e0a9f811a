"""How deliveries end: once unless something broke, by the schedule, by hand, by an edit, or given up."""

import json
import threading
import time
from collections import Counter

import httpx
import pytest

from conftest import connect
from support.api import assert_error, assert_invalid, eventually
from support.receiver import Answer, Receiver


def waiting(api, hook):
    """A message whose first try failed and whose second comes in an hour; then the receiver works again."""
    hook.respond(500)
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, retrySchedule=["1h", "1h"])["id"]
    message = api.send(app, payload={"number": 1})["id"]
    api.attempts(app, message)
    hook.respond(200)
    return app, endpoint, message


# --- once ------------------------------------------------------------------------------------------------------------


def publish_until(stop, server, organization, app, accepted):
    """Publishes without pause and repeats what got no answer."""
    api, n = connect(server, organization), 0
    while not stop.is_set():
        n += 1
        body = {"eventType": "a.b", "eventId": f"{threading.get_ident()}-{n}", "payload": {"n": n}}
        while True:
            try:
                response = api.post(f"/app/{app}/msg", body)
            except httpx.TransportError:
                time.sleep(0.01)
                continue
            if response.status_code == 202:
                accepted.append(response.json()["id"])
                break
            assert response.status_code == 503, response.text
            time.sleep(0.01)


@pytest.mark.parametrize("restarts", [0, 6])
def test_under_load_each_event_arrives_once_also_over_orderly_restarts(new_server, receiver, restarts):
    server = new_server(request_timeout="10s", retry_schedule="30s").start()
    api = connect(server)
    app = api.app()["id"]
    hooks = [receiver.hook() for _ in range(3)]
    hooks[1].answer = lambda _: Answer(200, delay=0.05)
    for hook in hooks:
        api.endpoint(app, hook.url)
    stop, accepted = threading.Event(), []
    arguments = (stop, server, api.organization, app, accepted)
    producers = [threading.Thread(target=publish_until, args=arguments, daemon=True) for _ in range(4)]
    for producer in producers:
        producer.start()
    for _ in range(restarts):
        time.sleep(0.5)
        assert server.stop() == 0
        server.start()
    eventually(lambda: len(accepted) > 200, 30, "hardly anything was accepted")
    stop.set()
    for producer in producers:
        producer.join(20)
        assert not producer.is_alive()
    assert len(accepted) == len(set(accepted))
    for hook in hooks:
        eventually(lambda hook=hook: set(accepted) <= set(hook.ids()), 30, "accepted events did not arrive")
    time.sleep(0.5)
    for hook in hooks:
        twice = [id for id, count in Counter(hook.ids()).items() if count > 1]
        assert not twice, f"{len(twice)} of {len(accepted)} arrived more than once"
        assert set(hook.ids()) == set(accepted)


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_a_resend_that_succeeds_ends_the_schedule(hours, hook):
    api = connect(hours.server)
    app, endpoint, message = waiting(api, hook)
    api.post(f"/app/{app}/msg/{message}/endpoint/{endpoint}/resend")
    api.attempts(app, message, 2)
    hours.pass_by(api)
    hook.stays_at(2)
    assert [a["triggerType"] for a in api.attempts(app, message, 2)] == [1, 0]
    destination = api.get(f"/app/{app}/msg/{message}/endpoint").json()["data"][0]
    assert (destination["status"], destination["nextAttempt"]) == (0, None)


def test_a_resend_that_fails_leaves_the_schedule_as_it_was(hours, hook):
    api = connect(hours.server)
    app, endpoint, message = waiting(api, hook)
    hook.respond(500, 200)
    api.post(f"/app/{app}/msg/{message}/endpoint/{endpoint}/resend")
    api.attempts(app, message, 2)
    hours.pass_by(api)
    attempts = api.attempts(app, message, 3)
    assert [(a["triggerType"], a["status"]) for a in attempts] == [(0, 0), (1, 2), (0, 2)]
    hours.pass_by(api)
    hook.stays_at(3)


def test_a_resend_after_the_last_failure_is_one_try(api, hook):
    hook.respond(500)
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    message = api.send(app)["id"]
    api.attempts(app, message, 3)
    api.post(f"/app/{app}/msg/{message}/endpoint/{endpoint}/resend")
    assert [a["triggerType"] for a in api.attempts(app, message, 4)] == [1, 0, 0, 0]
    hook.stays_at(4, 0.3)


def test_waiting_tries_can_be_cancelled(hours, hook):
    api = connect(hours.server)
    app, endpoint, message = waiting(api, hook)
    body = {"createdBefore": "2999-01-01T00:00:00Z"}
    assert api.post(f"/app/{app}/endpoint/{endpoint}/cancel-msgs", body).status_code == 204
    hours.pass_by(api)
    hook.stays_at(1)
    destination = api.get(f"/app/{app}/msg/{message}/endpoint").json()["data"][0]
    assert destination["nextAttempt"] is None
    later = api.send(app)["id"]
    assert hook.wait(2)[1].id == later


def test_what_an_endpoint_missed_can_be_replayed(api, hook, receiver):
    app = api.app()["id"]
    early = [api.send(app) for _ in range(3)]
    endpoint = api.endpoint(app, hook.url)["id"]
    seen = api.send(app)["id"]
    hook.wait(1)
    api.attempts(app, seen)
    path = f"/app/{app}/endpoint/{endpoint}/replay-missing"
    task = api.post(path, {"since": early[0]["timestamp"]})
    assert task.status_code == 202 and task.json()["task"] == "endpoint.replay"
    requests = hook.wait(4)
    assert sorted(r.id for r in requests[1:]) == sorted(m["id"] for m in early)
    done = f"/background-task/{task.json()['id']}"
    eventually(lambda: api.get(done).json()["status"] == "finished")
    assert api.get(done).json()["data"] == {"messagesSent": 3}
    hook.stays_at(4)


# --- by an edit ------------------------------------------------------------------------------------------------------


def test_a_retry_goes_to_the_new_address_with_the_new_secret(hours, hook, receiver):
    api = connect(hours.server)
    app, endpoint, message = waiting(api, hook)
    moved = receiver.hook()
    api.patch(f"/app/{app}/endpoint/{endpoint}", {"url": moved.url})
    hours.pass_by(api)
    assert moved.wait(1)[0].id == message
    hook.stays_at(1, 0)
    newest, oldest = api.attempts(app, message, 2)
    assert (newest["url"], oldest["url"]) == (moved.url, hook.url)


def test_an_expunged_payload_is_not_sent_any_more(hours, hook):
    api = connect(hours.server)
    app, endpoint, message = waiting(api, hook)
    api.delete(f"/app/{app}/msg/{message}/content")
    hours.pass_by(api)
    hook.stays_at(1)
    destination = eventually(
        lambda: (d := api.get(f"/app/{app}/msg/{message}/endpoint").json()["data"][0])["nextAttempt"] is None and d
    )
    assert destination["status"] == 2
    assert api.send(app)["id"] == hook.wait(2)[1].id


def test_recovering_a_disabled_endpoint_ends_without_sending(api, hook):
    app, endpoint, message = waiting(api, hook)
    api.patch(f"/app/{app}/endpoint/{endpoint}", {"disabled": True})
    since = api.get(f"/app/{app}/msg/{message}").json()["timestamp"]
    response = api.post(f"/app/{app}/endpoint/{endpoint}/recover", {"since": since})
    assert response.status_code == 202
    eventually(lambda: api.get(f"/background-task/{response.json()['id']}").json()["status"] != "running")
    hook.stays_at(1)


def test_a_task_of_a_deleted_endpoint_ends(api, hook):
    app, endpoint, message = waiting(api, hook)
    since = api.get(f"/app/{app}/msg/{message}").json()["timestamp"]
    task = api.post(f"/app/{app}/endpoint/{endpoint}/recover", {"since": since}).json()["id"]
    api.delete(f"/app/{app}/endpoint/{endpoint}")
    eventually(lambda: api.get(f"/background-task/{task}").json()["status"] != "running")
    assert_error(api.get(f"/app/{app}/endpoint/{endpoint}"), 404, "not_found")


# --- addresses -------------------------------------------------------------------------------------------------------


def test_addresses_of_ipv6_are_reached_when_allowed(new_server):
    try:
        receiver = Receiver("::1")
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    try:
        api = connect(new_server(allow_subnets="127.0.0.0/8,::1/128").start())
        hook = receiver.hook()
        app = api.app()["id"]
        api.endpoint(app, hook.url)
        message = api.send(app, payload={"over": "IPv6"})["id"]
        request = hook.wait()[0]
        assert request.id == message and json.loads(request.body) == {"over": "IPv6"}
        assert request.headers["host"] == f"[::1]:{receiver.port}"
    finally:
        receiver.close()


# --- what Schoolbell adds --------------------------------------------------------------------------------------------


def test_the_stored_bytes_can_be_read_as_text(api):
    app = api.app()["id"]
    body = b'{"eventType":"a.b","payload":{ "b":1,  "a":2.0 }}'
    message = api.raw("POST", f"/app/{app}/msg", body).json()["id"]
    assert api.get(f"/app/{app}/msg/{message}/raw").json() == {"payload": '{ "b":1,  "a":2.0 }'}


def test_whether_anybody_would_take_an_event_can_be_asked_before(api, hook):
    app = api.app()["id"]
    path = f"/app/{app}/msg/precheck/active"
    api.event_type("a.a")
    assert api.post(path, {"eventType": "a.a"}).json() == {"active": False}
    api.endpoint(app, hook.url, eventTypes=["a.a"], channels=["c"])
    assert api.post(path, {"eventType": "a.a"}).json() == {"active": False}
    assert api.post(path, {"eventType": "a.a", "channels": ["c"]}).json() == {"active": True}
    assert api.post(path, {"eventType": "b.b", "channels": ["c"]}).json() == {"active": False}


def test_an_organization_decides_for_applications_that_say_nothing(api, receiver):
    assert api.get("/organization/settings").json() == {"retention": None, "retrySchedule": None}
    settings = {"retention": {"payloadDays": 7, "attemptDays": 30}, "retrySchedule": ["1ms"]}
    assert api.put("/organization/settings", settings).json() == settings == api.get("/organization/settings").json()
    silent, other = receiver.hook(), receiver.hook()
    for hook, fields in ((silent, {}), (other, {"retrySchedule": []})):
        hook.respond(500)
        app = api.app(**fields)["id"]
        api.endpoint(app, hook.url)
        api.send(app)
    silent.wait(2)
    other.wait(1)
    silent.stays_at(2)
    other.stays_at(1, 0)
    assert_invalid(api.put("/organization/settings", {"retention": {"payloadDays": 0}}))
    own = api.for_app(app)
    assert_error(own.get("/organization/settings"), 403, "insufficient access")
    assert_error(own.put("/organization/settings", {}), 403, "insufficient access")


def test_background_tasks_are_the_organizations(api, hook):
    app, endpoint, _ = waiting(api, hook)
    since = api.get(f"/app/{app}/msg").json()["data"][0]["timestamp"]
    own = api.for_app(app)
    task = own.post(f"/app/{app}/endpoint/{endpoint}/recover", {"since": since}).json()["id"]
    assert api.get(f"/background-task/{task}").status_code == 200
    other = api.for_app(api.app()["id"])
    for path in ("/background-task", f"/background-task/{task}"):
        assert other.get(path).status_code in (403, 404) or task not in other.get(path).text


def test_a_stranger_sees_no_task_and_no_setting_of_another_organization(api, server, hook):
    app, endpoint, _ = waiting(api, hook)
    since = api.get(f"/app/{app}/msg").json()["data"][0]["timestamp"]
    task = api.post(f"/app/{app}/endpoint/{endpoint}/recover", {"since": since}).json()["id"]
    stranger = connect(server)
    assert_error(stranger.get(f"/background-task/{task}"), 404, "not_found")
    assert stranger.get("/background-task").json()["data"] == []
    for method, path in (
        ("GET", f"/app/{app}/msg"),
        ("GET", f"/app/{app}/endpoint/{endpoint}/secret"),
        ("POST", f"/app/{app}/endpoint/{endpoint}/cancel-msgs"),
        ("POST", f"/app/{app}/endpoint/{endpoint}/replay-missing"),
        ("POST", f"/app/{app}/msg/precheck/active"),
        ("DELETE", f"/app/{app}/endpoint/{endpoint}"),
    ):
        assert_error(stranger.raw(method, path, b"{}"), 404, "not_found")
    batch = {"messages": [{"eventType": "a.b", "payload": {}}]}
    assert_error(stranger.post(f"/app/{app}/msg/batch", batch), 404, "not_found")
