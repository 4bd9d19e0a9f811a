"""Platforms: what an application gets from one, what goes over the wire, and what is refused."""

import json
import sqlite3
import time
from pathlib import Path

import pytest

from conftest import connect
from support.api import assert_error, assert_invalid, eventually
from support.receiver import Answer
from test_delivery import verifies

FIXTURES = Path(__file__).parents[2] / "crates" / "platforms" / "fixtures"
# The secret in the fixtures' bodies.
SECRET = "5c0f8e1a-7d0b-4b7e-9a55-0e6d1f3b2a90"
HAND_IN = "student_submits_assignment"
LOGIN = "org.openedx.learning.auth.session.login.completed.v1"


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def names(folder: str) -> "list[str]":
    return sorted(f.name.removesuffix(".payload.json") for f in (FIXTURES / folder).glob("*.payload.json"))


def publish(api, app: str, event_type: str, payload: bytes, **fields):
    """Publishes a payload as the bytes that it is."""
    head = json.dumps({"eventType": event_type, **fields})
    return api.raw("POST", f"/app/{app}/msg", head[:-1].encode() + b', "payload": ' + payload + b"}")


def body_secret(api, app: str, endpoint: str) -> str:
    return api.get(f"/app/{app}/endpoint/{endpoint}/body-secret/").json()["key"]


def millis(instant: str) -> str:
    """An instant of the API with three digits."""
    whole, _, part = instant.removesuffix("Z").partition(".")
    return f"{whole}.{part[:3].ljust(3, '0')}Z"


def classroom(api, hook, **fields):
    app = api.app(platform="replit")["id"]
    return app, api.endpoint(app, hook.url, **fields)["id"]


# What a platform brings.


def test_an_unknown_platform_is_refused_with_the_choices(api):
    found = assert_invalid(api.post("/app", {"name": "x", "platform": "moodle"}), field="platform")
    for name in ("standard", "replit", "teachstack", "openedx", "instruqt"):
        assert name in found[0]["msg"]
    app = api.app()["id"]
    assert_invalid(api.patch(f"/app/{app}", {"platform": "Replit"}), field="platform")


@pytest.mark.parametrize(
    ("platform", "count"), [("replit", 1), ("teachstack", 7), ("instruqt", 17), ("openedx", 75), ("canvas", 76)]
)
def test_a_platform_installs_what_is_missing_of_its_catalogue_and_overwrites_nothing(api, platform, count):
    app = api.app()["id"]
    assert api.get("/event-type").json()["data"] == []
    mine = {
        "replit": HAND_IN,
        "teachstack": "room.closed",
        "instruqt": "track.started",
        "openedx": LOGIN,
        "canvas": "grade_change",
    }[platform]
    api.event_type(mine, description="My own words")
    api.patch(f"/app/{app}", {"platform": platform})
    installed = api.get("/event-type", with_content=True, limit=250).json()["data"]
    assert len(installed) == count
    by_name = {t["name"]: t for t in installed}
    assert by_name.pop(mine)["description"] == "My own words"
    for one in by_name.values():
        schema = one["schemas"]["1"]
        assert one["description"] and one["groupName"] and schema["examples"] and schema["x-personal-data"] is not None
    # A PUT that does not name it keeps it.
    assert api.put(f"/app/{app}", {"name": "renamed"}).json()["platform"] == platform


def test_an_application_that_comes_with_its_first_message_gets_its_catalogue_too(api):
    application = {"name": "CS 101", "uid": "cs-101", "platform": "teachstack"}
    payload = fixture("teachstack/peer.joined.payload.json")
    assert publish(api, "cs-101", "peer.joined", payload, application=application).status_code == 202
    assert len(api.get("/event-type").json()["data"]) == 7


def test_endpoints_start_out_with_the_defaults_unless_the_caller_says_otherwise(api):
    app = api.app(platform="replit")["id"]
    one = api.endpoint(app, "https://example.com/")
    assert one["format"] == "replit" and one["finalStatuses"] == [404] and one["retrySchedule"] == ["10s"] * 9
    other = api.endpoint(app, "https://example.com/", format="standard", finalStatuses=[], retrySchedule=["1m"])
    assert "format" not in other and "finalStatuses" not in other and other["retrySchedule"] == ["1m"]
    path = f"/app/{app}/endpoint/{one['id']}"
    kept = api.put(path, {"url": "https://example.com/2"}).json()
    assert (kept["format"], kept["finalStatuses"]) == ("replit", [404])
    changed = api.patch(path, {"format": "cloudevents", "finalStatuses": None, "signatureHeaders": False}).json()
    assert changed["format"] == "cloudevents" and "finalStatuses" not in changed
    assert changed["signatureHeaders"] is False


def test_what_endpoints_start_out_with_can_be_changed_for_the_application(api):
    app = api.app(platform="replit")["id"]
    path = f"/app/{app}"
    own = api.get(path).json()["endpointDefaults"]
    assert (own["format"], own["finalStatuses"], own["retrySchedule"]) == ("replit", [404], ["10s"] * 9)
    assert own["bodySecret"] and own["signatureHeaders"] and not own["httpsOnly"]
    before = api.endpoint(app, "https://example.com/before")

    wish = {"format": "standard", "finalStatuses": None, "retrySchedule": None, "bodySecret": False, "concurrency": 3}
    changed = api.patch(path, {"endpointDefaults": wish}).json()["endpointDefaults"]
    assert (changed["format"], changed["finalStatuses"], changed["concurrency"]) == ("standard", [], 3)
    assert "retrySchedule" not in changed and not changed["bodySecret"] and changed["signatureHeaders"]
    later = api.endpoint(app, "https://example.com/later")
    assert "format" not in later and "finalStatuses" not in later and later["concurrency"] == 3
    assert api.get(f"{path}/endpoint/{later['id']}/body-secret/").status_code == 404
    assert api.get(f"{path}/endpoint/{before['id']}").json()["format"] == "replit", "what is there stays as it is"

    # A PUT of a client that does not know of it keeps it; so does a change of one of them with the others.
    assert api.put(path, {"name": "again"}).json()["endpointDefaults"] == changed
    more = api.patch(path, {"endpointDefaults": {"httpsOnly": True}}).json()["endpointDefaults"]
    assert more == {**changed, "httpsOnly": True}
    assert_invalid(api.post(f"{path}/endpoint", {"url": "http://example.com/"}), field="url")

    assert api.patch(path, {"endpointDefaults": None}).json()["endpointDefaults"] == own
    assert api.endpoint(app, "http://example.com/third")["format"] == "replit"


def test_defaults_keep_the_rules_of_endpoints_and_name_the_field(api):
    app = api.app()
    assert "endpointDefaults" not in app, "there is nothing to say"
    for field, value in [("format", "morse"), ("concurrency", 0), ("retryPreset", "never"), ("finalStatuses", [200])]:
        found = assert_invalid(api.patch(f"/app/{app['id']}", {"endpointDefaults": {field: value}}), field=field)
        assert found[0]["loc"] == ["body", "endpointDefaults", field]
    assert "endpointDefaults" not in api.get(f"/app/{app['id']}").json()
    made = api.app(platform="teachstack", endpointDefaults={"onlySelected": False, "retryPreset": "patient"})
    assert made["endpointDefaults"]["httpsOnly"] and not made["endpointDefaults"]["onlySelected"]
    assert len(made["endpointDefaults"]["retrySchedule"]) > 1


def test_teachstack_asks_for_https_and_sends_nothing_until_something_is_ticked(api, hook):
    app = api.app(platform="teachstack")["id"]
    assert_invalid(api.post(f"/app/{app}/endpoint", {"url": "http://example.com/"}), field="url")
    assert api.endpoint(app, "http://example.com/", httpsOnly=False)
    endpoint = api.endpoint(app, hook.url)["id"]  # a literal address that the operator allows
    payload = fixture("teachstack/peer.joined.payload.json")
    assert publish(api, app, "peer.joined", payload).status_code == 202
    hook.stays_at(0)
    api.patch(f"/app/{app}/endpoint/{endpoint}", {"eventTypes": ["peer.joined"]})
    assert publish(api, app, "peer.joined", payload).status_code == 202
    hook.wait()
    api.patch(f"/app/{app}/endpoint/{endpoint}", {"eventTypes": None, "onlySelected": False})
    assert publish(api, app, "peer.joined", payload).status_code == 202
    hook.wait(2)


@pytest.mark.parametrize(
    ("platform", "event_type", "name", "change", "place"),
    [
        ("replit", HAND_IN, "replit/manual_submitted", ("student", {}), ["student", "id"]),
        ("teachstack", "peer.joined", "teachstack/peer.joined", ("joined_at", "soon"), ["joined_at"]),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_with_the_path(api, platform, event_type, name, change, place):
    app = api.app(platform=platform)["id"]
    payload = json.loads(fixture(f"{name}.payload.json"))
    payload[change[0]] = change[1]
    body = {"eventType": event_type, "payload": payload}
    detail = assert_invalid(api.post(f"/app/{app}/msg", body))
    assert ["body", "payload", *place] in [d["loc"] for d in detail]
    batch = api.batch(app, [body, {"eventType": "mine.alone", "payload": {}}])
    assert [item["status"] for item in batch] == [422, 202]
    assert batch[0]["error"]["detail"] == detail
    # Without the platform nobody asks.
    assert api.send(api.app()["id"], event_type, payload)


# What goes over the wire.


@pytest.mark.parametrize("name", names("replit"))
def test_replit_bodies_byte_for_byte(api, hook, name):
    app, endpoint = classroom(api, hook)
    rotated = api.post(f"/app/{app}/endpoint/{endpoint}/body-secret/rotate", {"key": SECRET})
    assert rotated.json() == {"key": SECRET}
    assert publish(api, app, HAND_IN, fixture(f"replit/{name}.payload.json")).status_code == 202
    request = hook.wait()[0]
    assert request.body == fixture(f"replit/{name}.body.json")
    assert request.headers["content-type"] == "application/json"
    assert verifies(api.secret(app, endpoint), request)


@pytest.mark.parametrize("name", names("teachstack"))
def test_teachstack_bodies_byte_for_byte(api, hook, name):
    app = api.app(platform="teachstack", uid="acme")["id"]
    endpoint = api.endpoint(app, hook.url, eventTypes=[name])["id"]
    sent = publish(api, app, name, fixture(f"teachstack/{name}.payload.json")).json()
    request = hook.wait()[0]
    body = fixture(f"teachstack/{name}.body.json").replace(b"@ID@", sent["id"].encode())
    assert request.body == body.replace(b"@CREATED@", millis(sent["timestamp"]).encode())
    assert verifies(api.secret(app, endpoint), request)


def test_instruqt_payloads_go_out_as_they_came_in_and_verify(api, hook):
    app = api.app(platform="instruqt")["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    payload = fixture("instruqt/track.stopped.json").strip()
    assert publish(api, app, "track.stopped", payload).status_code == 202
    request = hook.wait()[0]
    assert request.body == payload and "svix-signature" in request.headers
    assert verifies(api.secret(app, endpoint), request)


def test_receivers_as_they_were_written_for_the_original(api, receiver):
    """The three published ways to read a delivery: one needs all four objects and a date, one takes the first file and
    integer columns, one compares the secret."""
    hooks = [receiver.hook() for _ in range(3)]
    app = api.app(platform="replit")["id"]
    endpoints = [api.endpoint(app, h.url)["id"] for h in hooks]
    rows = []

    def gradebook(request):
        body = json.loads(request.body)
        if not all(body.get(key) for key in ("classroom", "student", "assignment", "submission")):
            return Answer(400)
        time.strptime(body["submission"]["time_submitted"], "%Y-%m-%dT%H:%M:%S.%fZ")
        return Answer(200, body=b'{"ok": true}')

    def table(request):
        body = json.loads(request.body.decode("utf-8"))
        submission = body["submission"]
        code = submission["files"][0]["content"]
        rows.append((submission["id"], submission["status"], code, body["student"]["email"]))
        return Answer(200)

    def comparing(request):
        secret = body_secret(api, app, endpoints[2])
        return Answer(200 if json.loads(request.body)["classroom"]["webhook_secret"] == secret else 403)

    for hook, answer in zip(hooks, (gradebook, table, comparing), strict=True):
        hook.answer = answer
    message = publish(api, app, HAND_IN, fixture("replit/main_file_first.payload.json")).json()["id"]
    attempts = api.attempts(app, message, 3)
    assert [a["responseStatusCode"] for a in attempts] == [200, 200, 200]
    with sqlite3.connect(":memory:") as database:
        database.execute("create table submission (id integer check (id < 2147483648), status, code, email)")
        database.executemany("insert into submission values (?, ?, ?, ?)", rows)


def test_every_try_carries_the_current_secret_and_none_is_kept_or_shown(api, hook, server):
    app, endpoint = classroom(api, hook, retrySchedule=["1ms", "300ms", "300ms", "300ms"])
    old = body_secret(api, app, endpoint)
    api.post(f"/app/{app}/endpoint/{endpoint}/body-secret/rotate", {"key": SECRET})
    seen = []

    def answer(request):
        got = json.loads(request.body)["classroom"]["webhook_secret"]
        seen.append(got)
        # Echoes what it got, as a careless receiver does.
        return Answer(200 if got == "00000000-0000-4000-8000-000000000000" else 500, body=request.body)

    hook.answer = answer
    message = publish(api, app, HAND_IN, fixture("replit/manual_submitted.payload.json")).json()["id"]
    hook.wait(2)
    new = "00000000-0000-4000-8000-000000000000"
    api.post(f"/app/{app}/endpoint/{endpoint}/body-secret/rotate", {"key": new})
    eventually(lambda: seen[-1] == new)
    attempts = eventually(lambda: [a for a in api.attempts(app, message, 3) if a["status"] == 0])
    assert seen[0] == SECRET and attempts
    stored = [
        api.get(f"/app/{app}/attempt/msg/{message}").text,
        api.get(f"/app/{app}/msg/{message}").text,
        api.get(f"/app/{app}/endpoint/{endpoint}").text,
        server.tail(10_000),
    ]
    files = b"".join(f.read_bytes() for f in server.folder.glob("schoolbell.db*"))
    for secret in (old, SECRET, new):
        assert not any(secret in text for text in stored) and secret.encode() not in files
    assert "********-****" in stored[0]


def test_the_body_secret_is_for_those_who_may_see_secrets(api, hook):
    app, endpoint = classroom(api, hook)
    path = f"/app/{app}/endpoint/{endpoint}/body-secret"
    viewer = api.for_app(app, permissions=None)
    assert viewer.get(path).status_code == 200
    portal = api.post(f"/auth/app-portal-access/{app}", {"capabilities": ["ViewBase"]}).json()["token"]
    assert_error(api.with_token(portal).get(path), 403)
    assert_error(api.with_token(portal).post(f"{path}/rotate", {}), 403)
    assert_invalid(api.post(f"{path}/rotate", {"key": "secret"}), field="key")
    first = api.post(f"{path}/rotate", {}, headers={"idempotency-key": "once"}).json()
    assert api.post(f"{path}/rotate", {}, headers={"idempotency-key": "once"}).json() == first == api.get(path).json()
    plain = api.app()["id"]
    without = api.endpoint(plain, hook.url)["id"]
    assert_error(api.get(f"/app/{plain}/endpoint/{without}/body-secret"), 404)
    api.patch(f"/app/{plain}/endpoint/{without}", {"format": "replit"})
    assert len(body_secret(api, plain, without)) == 36


def test_404_is_final_in_a_classroom(api, hook):
    app, _ = classroom(api, hook, retrySchedule=["1ms"] * 9)
    hook.respond(404)
    publish(api, app, HAND_IN, fixture("replit/manual_submitted.payload.json"))
    hook.wait()
    hook.stays_at(1)
    hook.respond(500)
    publish(api, app, HAND_IN, fixture("replit/manual_submitted.payload.json"))
    hook.wait(11)
    hook.stays_at(11)


# Formats and expressions, on any endpoint.


def test_cloudevents_thin_and_no_signature_on_an_ordinary_application(api, receiver):
    app = api.app()["id"]
    hooks = {f: receiver.hook() for f in ("cloudevents", "cloudevents-binary", "thin")}
    for format, hook in hooks.items():
        api.endpoint(app, hook.url, format=format, signatureHeaders=format != "thin")
    sent = publish(api, app, "lesson.started", b'{"a" : 1.50}').json()
    structured, binary, thin = (hooks[f].wait()[0] for f in hooks)
    assert structured.headers["content-type"] == "application/cloudevents+json"
    event = json.loads(structured.body)
    assert (event["specversion"], event["type"], event["id"]) == ("1.0", "lesson.started", sent["id"])
    assert structured.body.endswith(b'"data":{"a" : 1.50}}')
    assert binary.body == b'{"a" : 1.50}' and binary.headers["ce-id"] == sent["id"]
    assert binary.headers["ce-source"].endswith(app)
    assert not [name for name in thin.headers if "signature" in name or name.startswith(("svix-", "webhook-"))]
    url = json.loads(thin.body)["url"]
    assert url.startswith(api.base)
    mine = api.for_app(app)
    assert mine.get(url).json()["payload"] == {"a": 1.5}
    assert mine.get(url + "raw/").json() == {"payload": '{"a" : 1.50}'}


def test_a_filter_cancels_and_a_transform_makes_a_new_body(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, filter=".n > 1", transform="{n, type: $message.eventType}")["id"]
    cancelled = api.send(app, payload={"n": 1})["id"]
    api.send(app, payload={"n": 2, "other": True})
    request = hook.wait()[0]
    assert json.loads(request.body) == {"n": 2, "type": "lesson.started"}
    assert verifies(api.secret(app, endpoint), request)

    assert api.get(f"/app/{app}/attempt/msg/{cancelled}").json()["data"] == []
    # Also for those who ask for it again: a filter may be what keeps data inside.
    api.post(f"/app/{app}/msg/{cancelled}/endpoint/{endpoint}/resend")
    hook.stays_at(1)


@pytest.mark.parametrize("field", ["filter", "transform"])
@pytest.mark.parametrize(("source", "said"), [(".a |", "character"), ("env", "env"), ("def f: f; f", "character")])
def test_an_expression_is_checked_when_it_is_written(api, hook, field, source, said):
    app = api.app()["id"]
    found = assert_invalid(api.post(f"/app/{app}/endpoint", {"url": hook.url, field: source}), field=field)
    assert found[0]["loc"] == ["body", field] and said in found[0]["msg"]
    endpoint = api.endpoint(app, hook.url)["id"]
    assert_invalid(api.patch(f"/app/{app}/endpoint/{endpoint}", {field: source}), field=field)
    assert_invalid(api.patch(f"/app/{app}/endpoint/{endpoint}", {"format": "xml"}), field="format")


def test_expressions_need_the_permission_for_transformations(api, hook):
    app = api.app()["id"]
    capabilities = ["ViewBase", "ManageEndpoint"]
    portal = api.post(f"/auth/app-portal-access/{app}", {"capabilities": capabilities}).json()["token"]
    person = api.with_token(portal)
    endpoint = person.post(f"/app/{app}/endpoint", {"url": hook.url}).json()["id"]
    assert_error(person.patch(f"/app/{app}/endpoint/{endpoint}", {"transform": "."}), 403)
    assert person.patch(f"/app/{app}/endpoint/{endpoint}", {"format": "thin"}).status_code == 200


BOMBS = [
    "[range(1e9)]",
    "reduce range(1e9) as $i (0; . + 1)",
    'reduce range(100) as $i ("x"; . + .)',
    "[limit(1e9; repeat(1))] | length",
    "until(false; . )",
    "[range(1000)] | [combinations(9)]",
]


def test_bombs_end_quickly_as_failed_attempts_and_harm_nobody(api, receiver):
    app = api.app()["id"]
    calm = receiver.hook()
    api.endpoint(app, calm.url)
    target = receiver.hook()
    accepted = 0
    for bomb in BOMBS:
        made = api.post(f"/app/{app}/endpoint", {"url": target.url, "transform": bomb})
        assert made.status_code in (201, 422)
        accepted += made.status_code == 201
    assert accepted >= 3
    began = time.monotonic()
    message = api.send(app, payload={"n": 1})["id"]
    calm.wait()
    attempts = api.attempts(app, message, accepted + 1, timeout=90)
    assert time.monotonic() - began < 90
    failed = [a for a in attempts if a["status"] == 2]
    assert len(failed) == accepted and target.received == []
    for attempt in failed:
        assert "expression failed" in attempt["response"] and "transform" in attempt["response"]
        assert attempt["responseStatusCode"] == 0
    # Final: nothing is planned any more.
    time.sleep(0.3)
    assert len(api.attempts(app, message, accepted + 1)) == accepted + 1


def test_a_format_that_does_not_fit_is_a_failed_attempt_that_says_where(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, format="replit")["id"]
    message = api.send(app, payload={"assignment": {"id": "x"}})["id"]
    attempt = api.attempts(app, message)[0]
    assert attempt["status"] == 2 and "assignment.id" in attempt["response"], attempt
    # After the endpoint is changed, a resend gets through.
    api.patch(f"/app/{app}/endpoint/{endpoint}", {"format": "standard"})
    assert api.post(f"/app/{app}/msg/{message}/endpoint/{endpoint}/resend").status_code == 202
    hook.wait()


def test_a_dry_run_shows_what_would_be_sent(api, hook):
    app, endpoint = classroom(api, hook)
    api.post(f"/app/{app}/endpoint/{endpoint}/body-secret/rotate", {"key": SECRET})
    path = f"/app/{app}/endpoint/{endpoint}/dry-run/"
    payload = json.loads(fixture("replit/manual_submitted.payload.json"))

    def run(**fields):
        answer = api.post(path, {"eventType": HAND_IN, "payload": payload, **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()

    shown = run()
    masked = fixture("replit/manual_submitted.body.json").decode()
    masked = masked.replace(SECRET, "********-****-****-****-************")
    assert shown["send"] and shown["matches"] and shown["contentType"] == "application/json"
    assert shown["body"] == masked
    assert run(filter=".student.id == 0") == {"matches": True, "send": False, "headers": {}}
    assert run(transform=".nonsense + 1 | error")["error"]["stage"] == "transform"
    assert run(format="cloudevents-binary")["headers"]["ce-type"] == HAND_IN
    broken = api.post(path, {"eventType": HAND_IN, "payload": {}}).json()
    assert broken["error"]["stage"] == "payload" and "payload/student" in broken["error"]["message"]
    assert_invalid(api.post(path, {"eventType": HAND_IN, "payload": {}, "filter": "]"}), field="filter")
    hook.stays_at(0)


# Open edX.


def openedx_cases() -> "list[dict]":
    return [json.loads(line) for line in fixture("openedx/bodies.jsonl").decode().split("\n") if line]


@pytest.mark.parametrize("wire", ["openedx-v22", "openedx-v21", "openedx-v1"])
def test_open_edx_bodies_are_those_of_the_plugin_in_both_encodings(api, receiver, wire):
    app = api.app(platform="openedx")["id"]
    as_json, as_form = receiver.hook(), receiver.hook()
    api.endpoint(app, as_json.url, format=wire)
    made = api.endpoint(app, as_form.url, format=wire, encoding="form")
    assert made["encoding"] == "form"
    cases = openedx_cases()
    assert len(cases) >= 75
    sent = {}
    for number, case in enumerate(cases):
        done = publish(api, app, case["eventType"], case["payload"].encode(), eventId=f"case-{number}")
        assert done.status_code == 202, (case["name"], done.text)
        sent[done.json()["id"]] = case
    for hook, key, kind in ((as_json, wire, "json"), (as_form, f"{wire} form", "x-www-form-urlencoded")):
        for got in hook.wait(len(cases), timeout=30):
            assert got.body.decode() == sent[got.id][key], sent[got.id]["name"]
            assert got.headers["content-type"] == f"application/{kind}"
            assert got.headers["accept"] == "text/plain"


def test_open_edx_endpoints_start_out_with_the_newest_format_and_a_batch_is_taken(api, hook):
    app = api.app(platform="openedx")["id"]
    assert api.endpoint(app, hook.url, eventTypes=[LOGIN])["format"] == "openedx-v22"
    messages = [
        {
            "eventType": LOGIN,
            "payload": {"data": {"user": {"id": n}}},
            "eventId": f"e-{n}",
            "channels": ["course-v1:A+B+C"],
        }
        for n in range(3)
    ]
    messages.append({"eventType": LOGIN, "payload": {"user": {"id": 9}}})
    results = api.post(f"/app/{app}/msg/batch/", {"messages": messages}).json()["data"]
    assert [r["status"] for r in results] == [202, 202, 202, 422]
    bodies = [json.loads(r.body) for r in hook.wait(3)]
    assert sorted(b["openedx_events.learning.data.UserData"]["id"] for b in bodies) == [0, 1, 2]
    assert sorted(b["event_metadata"]["id"] for b in bodies) == ["e-0", "e-1", "e-2"]
    again = api.post(f"/app/{app}/msg/batch/", {"messages": messages[:3]}).json()["data"]
    assert [r["message"]["id"] for r in again] == [r["message"]["id"] for r in results[:3]]
    hook.stays_at(3)


def test_any_endpoint_may_send_forms(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, encoding="form")["id"]
    path = f"/app/{app}/endpoint/{endpoint}"
    api.send(app, payload={"a": {"b": [1, "x"], "empty": {}}, "c": None, "d": "é ~*"})
    got = hook.wait()[0]
    assert got.body == b"a_b=%5B1%2C+%27x%27%5D&c=None&d=%C3%A9+~%2A"
    assert got.headers["content-type"] == "application/x-www-form-urlencoded"
    # The library checks the signature first, and then finds no JSON.
    with pytest.raises(json.JSONDecodeError):
        verifies(api.secret(app, endpoint), got)
    dry = api.post(f"{path}/dry-run", {"eventType": "a", "payload": {"n": 1.0}}).json()
    assert (dry["body"], dry["contentType"]) == ("n=1.0", "application/x-www-form-urlencoded")
    plain = api.post(f"{path}/dry-run", {"eventType": "a", "payload": {"n": 1.0}, "encoding": None}).json()
    assert plain["body"] == '{"n":1.0}'
    scalar = api.post(f"{path}/dry-run", {"eventType": "a", "payload": {"n": 1}, "transform": ".n"}).json()
    assert scalar["error"]["stage"] == "format" and "object" in scalar["error"]["message"]
    assert "json, form" in assert_invalid(api.patch(path, {"encoding": "xml"}), field="encoding")[0]["msg"]
    assert api.put(path, {"url": hook.url}).json()["encoding"] == "form"
    assert "encoding" not in api.patch(path, {"encoding": None}).json()


# Zapier and its like.


def test_rest_hooks_with_an_application_token(api, receiver):
    app = api.app(platform="instruqt", name="Acme")["id"]
    zapier = api.for_app(app)
    assert zapier.get("/me").json() == {
        "organization": api.organization,
        "application": {"id": app, "name": "Acme"},
    }
    assert api.get("/me").json() == {"organization": api.organization}
    assert_error(zapier.with_token("nonsense").get("/me"), 401)
    hook = receiver.hook()
    made = zapier.post(f"/app/{app}/hooks", {"target_url": hook.url, "event": "track.started"})
    assert made.status_code == 201
    subscription = made.json()
    assert subscription["events"] == ["track.started"] and subscription["targetUrl"] == hook.url
    sample = zapier.get(f"/app/{app}/hooks/sample", event="track.started").json()
    assert isinstance(sample, list) and sample[0]["type"] == "track.started"
    api.post(f"/app/{app}/endpoint/{subscription['id']}/send-example", {"eventType": "track.started"})
    test = hook.wait()[0]
    assert json.loads(test.body) == sample[0] and test.headers["webhook-test"] == "true"
    publish(api, app, "track.started", json.dumps(sample[0]).encode())
    live = hook.wait(2)[1]
    assert json.loads(live.body).keys() == sample[0].keys() and "webhook-test" not in live.headers
    # The Zap is deleted: its address answers 410.
    hook.respond(410)
    publish(api, app, "track.started", json.dumps(sample[0]).encode())
    eventually(lambda: api.get(f"/app/{app}/endpoint/{subscription['id']}").json()["disabled"])
    for _ in range(2):
        assert zapier.delete(f"/app/{app}/hooks/{subscription['id']}").status_code == 204
    assert_error(api.get(f"/app/{app}/endpoint/{subscription['id']}"), 404)
    assert_invalid(zapier.post(f"/app/{app}/hooks", {"targetUrl": hook.url, "event": "no.such"}))
    other = api.app()["id"]
    assert_error(zapier.post(f"/app/{other}/hooks", {"targetUrl": hook.url}), 404)


def test_an_address_may_be_asked_before_it_is_saved(api, hook):
    app = api.app()["id"]
    zapier = api.for_app(app)
    asked = {"targetUrl": hook.url, "handshake": "hook-secret"}
    refused = assert_invalid(zapier.post(f"/app/{app}/hooks", asked), field="url")
    assert "X-Hook-Secret" in refused[0]["msg"]
    hook.respond(403)
    assert "403" in assert_invalid(zapier.post(f"/app/{app}/hooks", asked), field="url")[0]["msg"]
    assert api.get(f"/app/{app}/endpoint").json()["data"] == []
    hook.answer = lambda request: Answer(headers={"X-Hook-Secret": request.headers.get("x-hook-secret", "")})
    endpoint = zapier.post(f"/app/{app}/hooks", asked).json()["id"]

    path = f"/app/{app}/endpoint/{endpoint}"
    assert_invalid(api.patch(path, {"handshake": "cloudevents", "description": "asked"}), field="url")
    assert api.get(path).json()["description"] != "asked"
    hook.answer = lambda request: Answer(headers={"WebHook-Allowed-Origin": request.headers["webhook-request-origin"]})
    assert api.patch(path, {"handshake": "cloudevents", "description": "asked"}).json()["description"] == "asked"
    assert hook.received[-1].headers["webhook-request-origin"] == "127.0.0.1"
    assert_invalid(api.patch(path, {"handshake": "wave"}), field="handshake")
    # Addresses that are never sent to are never asked either.
    blocked = api.post(f"/app/{app}/endpoint", {"url": "http://10.0.0.1/", "handshake": "hook-secret"})
    assert_invalid(blocked, field="url")


def test_samples_have_the_shape_of_live_events(api, hook):
    app, endpoint = classroom(api, hook)
    sample = api.get(f"/app/{app}/hooks/sample", event=HAND_IN).json()[0]
    api.post(f"/app/{app}/endpoint/{endpoint}/send-example", {"eventType": HAND_IN})
    live = json.loads(hook.wait()[0].body)
    assert sample["classroom"].pop("webhook_secret").startswith("****") and live["classroom"].pop("webhook_secret")
    assert sample == live


# Submission history, and playing without a platform.


def test_the_submission_history_of_a_student_and_an_assignment(api):
    app = api.app(platform="replit")["id"]
    payload = json.loads(fixture("replit/main_file_first.payload.json"))
    ids = []
    for number, (student, assignment) in enumerate([(1, 1), (2, 1), (1, 2), (1, 1), (1, 1)]):
        payload["student"]["id"], payload["assignment"]["id"] = student, assignment
        payload["submission"]["id"] = number + 1
        ids.append(api.send(app, HAND_IN, payload)["id"])
    path = f"/app/{app}/submission-history/"
    mine = api.get(path, student=1, assignment=1).json()
    assert [s["delivered"]["submission"]["id"] for s in mine["data"]] == [5, 4, 1] and mine["done"]
    assert mine["data"][0]["messageId"] == ids[4]
    assert "webhook_secret" not in mine["data"][0]["delivered"]["classroom"]
    pages = api.pages(path, student=1, limit=2)
    assert [s["messageId"] for page in pages for s in page] == [ids[4], ids[3], ids[2], ids[0]]
    assert api.get(path, student=9).json()["data"] == []
    api.delete(f"/app/{app}/msg/{ids[4]}/content")
    assert len(api.get(path, student=1, assignment=1).json()["data"]) == 2
    assert_invalid(api.get(path, iterator="x"), where="query")


@pytest.mark.parametrize("platform", ["replit", "teachstack", "openedx", "instruqt", "canvas"])
def test_simulate_plays_a_class_that_fits_the_catalogue(new_server, hook, platform):
    server = new_server().start()
    api = connect(server, "org_23rb8YdGqMT0qIzpgGwdXfHirMu")
    app = api.app(platform=platform, uid="played")["id"]
    api.endpoint(app, hook.url, onlySelected=False)
    url = ("--app", "played", "--server", server.url)
    published = server.simulate(platform, "played", 40)
    assert len(hook.wait(len(published))) == len(published)
    again = server.simulate(platform, "played", 20)
    assert all(one.split()[1] == other.split()[1] for one, other in zip(again, published))
    # A time ends it as well.
    done = server.command("simulate", platform, *url, "--for", "10ms", "--seed", "7")
    assert done.returncode == 0 and len(done.stdout.splitlines()) <= 1, done.stderr
    wrong = server.command("simulate", "moodle", *url)
    assert wrong.returncode == 2 and "replit" in wrong.stderr
    assert "not found" in server.command("simulate", platform, "--app", "nobody", "--server", server.url).stderr.lower()
