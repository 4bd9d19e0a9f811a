"""Operational webhooks: messages to the operator about endpoints and failing deliveries."""

import json

import pytest
import svix.webhooks

from conftest import connect
from support.api import eventually

MANAGEMENT = "org_00000000000SvixManagement00"


@pytest.fixture
def operator(server, api, receiver):
    """Subscribed to what happens in the test's organization."""
    hook = receiver.hook()
    management = connect(server, MANAGEMENT)
    app = management.app(name="operator", uid=api.organization)
    management.endpoint(app["id"], hook.url)
    return hook


def events(hook, kind):
    found = []
    for request in list(hook.received):
        body = json.loads(request.body)
        if body["type"] == kind:
            found.append(body["data"])
    return found


def wait_for(hook, kind, count=1):
    return eventually(lambda: (e := events(hook, kind)) and len(e) >= count and e, what=f"no {kind}")


def test_the_life_of_an_endpoint_is_told(api, hook, operator):
    app = api.app(uid="room-1")["id"]
    endpoint = api.endpoint(app, hook.url, uid="journal")["id"]
    who = {"appId": app, "appUid": "room-1", "endpointId": endpoint, "endpointUid": "journal"}
    assert wait_for(operator, "endpoint.created") == [who]
    path = f"/app/{app}/endpoint/{endpoint}"
    api.patch(path, {"description": "x"})
    assert wait_for(operator, "endpoint.updated") == [who]
    api.post(f"{path}/secret/rotate", {})
    wait_for(operator, "endpoint.updated", 2)
    api.delete(path)
    assert wait_for(operator, "endpoint.deleted") == [who]


def test_gone_and_nothing_but_failures_are_told(api, hook, operator):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    hook.respond(410)
    api.send(app)
    data = wait_for(operator, "endpoint.disabled")[0]
    assert (data["appId"], data["appUid"], data["endpointId"], data["endpointUid"]) == (app, None, endpoint, None)
    assert data["failSince"]


def test_failing_exhausted_and_recovered_messages_are_told(api, receiver, operator):
    app = api.app()["id"]
    dead, late = receiver.hook(), receiver.hook()
    schedule = ["1ms"] * 5
    ids = [api.endpoint(app, h.url, retrySchedule=schedule)["id"] for h in (dead, late)]
    dead.respond(500)
    late.respond(*[500] * 4, 200)
    message = api.send(app, eventId="event-1")["id"]
    dead.wait(6)
    late.wait(5)
    failing = {d["endpointId"]: d for d in wait_for(operator, "message.attempt.failing", 2)}
    assert set(failing) == set(ids)
    exhausted = wait_for(operator, "message.attempt.exhausted")
    assert [d["endpointId"] for d in exhausted] == ids[:1]
    recovered = wait_for(operator, "message.attempt.recovered")
    assert [d["endpointId"] for d in recovered] == ids[1:]
    data = exhausted[0]
    assert (data["appId"], data["appUid"], data["msgId"], data["msgEventId"]) == (app, None, message, "event-1")
    assert set(data["lastAttempt"]) == {"id", "responseStatusCode", "timestamp"}
    assert data["lastAttempt"]["responseStatusCode"] == 500


def test_operational_webhooks_are_ordinary_signed_messages(api, hook, operator, server):
    management = connect(server, MANAGEMENT)
    endpoint = management.get(f"/app/{api.organization}/endpoint").json()["data"][0]["id"]
    api.endpoint(api.app()["id"], hook.url)
    wait_for(operator, "endpoint.created")
    request = operator.received[0]
    svix.webhooks.Webhook(management.secret(api.organization, endpoint)).verify(request.body, request.headers)
    stored = management.get(f"/app/{api.organization}/msg/{request.id}").json()
    assert stored["eventType"] == "endpoint.created" and stored["payload"] == json.loads(request.body)


def test_the_operational_event_types_are_there_to_choose_from(server):
    names = {t["name"] for t in connect(server, MANAGEMENT).get("/event-type", limit=250).json()["data"]}
    assert names >= {
        "endpoint.created",
        "endpoint.updated",
        "endpoint.deleted",
        "endpoint.disabled",
        "message.attempt.failing",
        "message.attempt.exhausted",
        "message.attempt.recovered",
    }


def test_they_can_be_switched_off(new_server, receiver):
    server = new_server(operational_webhooks="off").start()
    api = connect(server)
    hook, target = receiver.hook(), receiver.hook()
    management = connect(server, MANAGEMENT)
    app = management.app(name="operator", uid=api.organization)
    management.endpoint(app["id"], hook.url)
    api.endpoint(api.app()["id"], target.url)
    hook.stays_at(0)
