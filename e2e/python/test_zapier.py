"""The Zapier walk of docs/platforms/instruqt.md, step by step, with a stand-in for Zapier's side of it."""

import json
import secrets

import pytest

from support.api import assert_invalid, eventually
from support.receiver import Answer
from test_delivery import verifies


class Zap:
    """A Zap with a catch hook: takes what comes while it is on, answers 410 once it is gone, knows no handshakes."""

    def __init__(self, receiver):
        self.hook = receiver.hook()
        self.on = True
        self.hook.answer = self.answer

    def answer(self, _):
        if not self.on:
            return Answer(410)
        identity = {"attempt": secrets.token_hex(8), "id": secrets.token_hex(8), "request_id": "x", "status": "success"}
        return Answer(200, {"content-type": "application/json"}, json.dumps(identity).encode())

    def fields(self, number: int = 0) -> "dict[str, object]":
        """What an action of the Zap could be mapped to: the event flattened, as Zapier shows it."""
        flat = {}

        def walk(value, prefix):
            if isinstance(value, dict):
                for key, inner in value.items():
                    walk(inner, f"{prefix}__{key}" if prefix else key)
            else:
                flat[prefix] = value

        walk(json.loads(self.hook.received[number].body), "")
        return flat


@pytest.fixture
def acme(api):
    return api.app(platform="instruqt", name="Acme")["id"]


def started(api, acme, **changes):
    """Somebody starts a track."""
    example = api.get(f"/app/{acme}/hooks/sample", event="track.started").json()[0]
    payload = {**example, "user_id": "gOGhYjyoPJhINJFOugIgiL4pdzu2", **changes}
    return payload, api.send(acme, "track.started", payload)


def test_a_catch_hook_as_the_page_walks_it(api, acme, receiver):
    # 1 and 2: a Zap with a catch hook, and its address.
    zap = Zap(receiver)
    # 3: an endpoint with that address; nothing ticked means all.
    endpoint = api.endpoint(acme, zap.hook.url)
    assert endpoint["eventTypes"] is None
    # 4: the example is sent before anything happened.
    test = api.post(f"/app/{acme}/endpoint/{endpoint['id']}/send-example", {"eventType": "track.started"})
    assert test.status_code in (200, 202), test.text
    zap.hook.wait(1)
    # 5: Zapier has found the fields, flat and with the names that live events have.
    learned = zap.fields(0)
    assert learned["type"] == "track.started" and learned["track_slug"]
    # A track is started: the same fields, other values.
    payload, _ = started(api, acme, track_slug="another-track")
    live = zap.hook.wait(2)[1]
    assert json.loads(live.body) == payload
    assert zap.fields(1).keys() == learned.keys() and zap.fields(1)["track_slug"] == "another-track"
    assert "webhook-test" not in live.headers and zap.hook.received[0].headers["webhook-test"] == "true"
    assert live.headers["content-type"] == "application/json" and verifies(api.secret(acme, endpoint["id"]), live)
    # All seventeen reach it.
    for event in [t["name"] for t in api.get("/event-type", limit=250).json()["data"]]:
        example = api.get(f"/app/{acme}/hooks/sample", event=event).json()[0]
        api.send(acme, event, example)
    assert len(zap.hook.wait(2 + 17)) == 2 + 17
    # The Zap is deleted: 410, and the endpoint is switched off at once, with the reason in its log.
    zap.on = False
    _, message = started(api, acme)
    eventually(lambda: api.get(f"/app/{acme}/endpoint/{endpoint['id']}").json()["disabled"])
    attempt = api.attempts(acme, message["id"])[0]
    assert attempt["responseStatusCode"] == 410
    seen = len(zap.hook.received)
    started(api, acme)
    zap.hook.stays_at(seen)


def test_an_app_of_its_own_as_the_page_walks_it(api, acme, receiver):
    access = api.post(f"/auth/app-portal-access/{acme}", {}).json()["token"]
    zapier = api.with_token(access)
    # Check the token.
    assert zapier.get("/me").json()["application"]["name"] == "Acme"
    # Learn the fields: a list, even of one.
    sample = zapier.get(f"/app/{acme}/hooks/sample", event="track.started").json()
    assert isinstance(sample, list) and sample[0]["type"] == "track.started"
    # Subscribe: 201 with an id.
    zap = Zap(receiver)
    made = zapier.post(f"/app/{acme}/hooks", {"target_url": zap.hook.url, "event": "track.started"})
    assert made.status_code == 201 and made.json()["id"]
    subscription = made.json()["id"]
    # Deliver: what was asked for, and nothing else.
    payload, _ = started(api, acme)
    api.send(acme, "track.completed", {**payload, "type": "track.completed"})
    assert json.loads(zap.hook.wait()[0].body) == payload
    assert payload.keys() == sample[0].keys()
    zap.hook.stays_at(1)
    # 410 ends it; unsubscribing afterwards is no error, however often.
    zap.on = False
    started(api, acme)
    eventually(lambda: api.get(f"/app/{acme}/endpoint/{subscription}").json()["disabled"])
    for _ in range(2):
        assert zapier.delete(f"/app/{acme}/hooks/{subscription}").status_code == 204
    assert api.get(f"/app/{acme}/endpoint").json()["data"] == []
    # The Zap is switched on again: a new subscription.
    zap.on = True
    again = zapier.post(f"/app/{acme}/hooks", {"target_url": zap.hook.url, "event": "track.started"}).json()["id"]
    seen = len(zap.hook.received)
    started(api, acme)
    zap.hook.wait(seen + 1)
    # Unsubscribed by the Zap: nothing more comes.
    assert zapier.delete(f"/app/{acme}/hooks/{again}").status_code == 204
    started(api, acme)
    zap.hook.stays_at(seen + 1)


def test_a_receiver_that_confirms_with_x_hook_secret_and_one_that_does_not(api, acme, receiver):
    zapier = api.for_app(acme)
    asked = []

    def confirms(request):
        if "x-hook-secret" in request.headers:
            asked.append(request)
            return Answer(200, {"X-Hook-Secret": request.headers["x-hook-secret"]})
        return Answer(200)

    hook = receiver.hook()
    hook.answer = confirms
    body = {"target_url": hook.url, "event": "track.started", "handshake": "hook-secret"}
    first = zapier.post(f"/app/{acme}/hooks", body)
    second = zapier.post(f"/app/{acme}/hooks", body)
    assert (first.status_code, second.status_code) == (201, 201)
    values = [request.headers["x-hook-secret"] for request in asked]
    assert len(set(values)) == 2 and all(len(value) >= 16 for value in values), "random, and another one each time"
    payload, _ = started(api, acme)
    live = hook.wait(4)[2:]
    assert [json.loads(r.body) for r in live] == [payload] * 2
    assert not any("x-hook-secret" in r.headers for r in live)
    # Zapier itself does not confirm: asking it for that is refused and nothing is stored.
    zap = Zap(receiver)
    refused = zapier.post(f"/app/{acme}/hooks", {**body, "target_url": zap.hook.url})
    assert "X-Hook-Secret" in assert_invalid(refused, field="targetUrl")[0]["msg"]
    assert len(api.get(f"/app/{acme}/endpoint").json()["data"]) == 2


def test_what_is_wrong_with_a_subscription_is_told_by_its_own_names(api, acme, hook):
    zapier = api.for_app(acme)
    path = f"/app/{acme}/hooks"
    for body, field in [
        ({"target_url": "nowhere", "event": "track.started"}, "targetUrl"),
        ({"target_url": hook.url, "event": "track.none"}, "events"),
        ({"target_url": hook.url, "events": []}, "events"),
    ]:
        assert assert_invalid(zapier.post(path, body))[0]["loc"] == ["body", field]
