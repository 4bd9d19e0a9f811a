"""Canvas's events: what is published, what goes over the wire in each format, and bodies that are signed tokens."""

import base64
import json
import re
import uuid
from datetime import UTC, datetime

import httpx
import jwt
import pytest
import standardwebhooks

from conftest import connect
from support.api import assert_error, assert_invalid, eventually
from support.nodes import cluster
from support.receiver import Answer
from test_operational import MANAGEMENT, wait_for
from test_platforms import FIXTURES, publish

UUID = "Xq7mR2vT9kLw4bNc8ZsY1dHf6jPg3aEu5oVi0tMC"
SUBSCRIPTION = "71d6dfba-0547-477d-b41d-db8cb528c6d1"
IRI = re.compile(r"^(urn:[a-z0-9][a-z0-9-]+:|https?://)\S+$")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
CALIPER = "http://purl.imsglobal.org/ctx/caliper/v1p1"
# Classes and actions of Caliper 1.1, as far as Canvas uses them; deletion is named in the standard's vocabulary too.
ACTIONS = {
    "AssessmentEvent": {"Submitted"},
    "AssignableEvent": {"Submitted"},
    "Event": {"Created", "Modified", "Deleted"},
    "GradeEvent": {"Graded"},
    "MessageEvent": {"Posted"},
    "NavigationEvent": {"NavigatedTo"},
    "SessionEvent": {"LoggedIn", "LoggedOut"},
    "ThreadEvent": {"Created"},
}


def recorded(name):
    return [json.loads(line) for line in (FIXTURES / "canvas" / f"{name}.jsonl").read_text().splitlines()]


def compact(value) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def submission(**body):
    return {
        "metadata": {
            "event_name": "submission_created",
            "event_time": "2026-11-01T19:11:21.419Z",
            "producer": "canvas",
            "root_account_uuid": UUID,
            "hostname": "canvas.example.edu",
        },
        "body": {"submission_id": "70000000000048", "assignment_id": "70000000000003", "user_id": "70000000000009", **body},
    }


def wanted(item):
    """What is sent of a recorded event, with what is made anew at each sending put aside."""
    sent = item["sent"]
    if "sensor" in sent:
        sent = {**sent, "sendTime": "…", "data": [{**sent["data"][0], "id": "…"}]}
    return sent


# Formats.


@pytest.mark.parametrize("name, format", [("live-event", "live-event"), ("caliper", "caliper")])
def test_every_recorded_event_arrives_as_it_was_recorded(api, receiver, name, format):
    # An application without a platform: its schemas do not matter here, and the format is open to all.
    app, hook = api.app()["id"], receiver.hook()
    api.endpoint(app, hook.url, format=format)
    items = recorded(name)
    messages = [{"eventType": e["event"], "eventId": f"e-{n}", "payload": e["canonical"]} for n, e in enumerate(items)]
    assert {a["status"] for a in api.batch(app, messages)} == {202}
    received = hook.wait(len(items), timeout=30)
    by_id = {r.id: r.body for r in received}
    for n, item in enumerate(items):
        message = api.get(f"/app/{app}/msg/e-{n}").json()["id"]
        body = by_id[message]
        if format == "caliper":
            envelope = json.loads(body)
            assert TIME.match(envelope["sendTime"]) and uuid.UUID(envelope["data"][0]["id"].removeprefix("urn:uuid:"))
            for made in (envelope["sendTime"], envelope["data"][0]["id"]):
                body = body.replace(made.encode(), "…".encode(), 1)
        assert body == compact(wanted(item)), item["event"]


def check_entity(entity, where):
    """What Caliper asks of everything that has a class: an IRI and a term."""
    if isinstance(entity, list):
        for one in entity:
            check_entity(one, where)
    elif isinstance(entity, dict):
        if "type" in entity:
            assert IRI.match(entity["id"]), (where, entity["id"])
            assert re.match(r"^[A-Z][A-Za-z]+$", entity["type"]), (where, entity["type"])
        for key, value in entity.items():
            assert value is not None, (where, key)
            if key.endswith("Time") or key.startswith("date"):
                assert TIME.match(value), (where, key, value)
            if key != "extensions":
                check_entity(value, f"{where}/{key}")


def test_caliper_has_the_shape_that_the_standard_asks_for(api, receiver):
    app, hook = api.app(platform="canvas")["id"], receiver.hook()
    api.endpoint(app, hook.url, format="caliper")
    types = api.get("/event-type", with_content=True, limit=250).json()["data"]
    messages = [{"eventType": t["name"], "payload": t["schemas"]["1"]["examples"][0]} for t in types]
    assert {a["status"] for a in api.batch(app, messages)} == {202}
    received = hook.wait(31, timeout=30)
    hook.stays_at(31)
    for request in received:
        envelope = json.loads(request.body)
        assert list(envelope) == ["sensor", "sendTime", "dataVersion", "data"]
        assert IRI.match(envelope["sensor"]) and TIME.match(envelope["sendTime"])
        assert envelope["dataVersion"] == CALIPER and len(envelope["data"]) == 1
        event = envelope["data"][0]
        assert event["@context"] == CALIPER and event["id"].startswith("urn:uuid:")
        assert event["action"] in ACTIONS[event["type"]]
        assert {"id", "type", "actor", "action", "object", "eventTime"} <= event.keys()
        check_entity({k: v for k, v in event.items() if k not in ("type",)}, event["type"])


def test_an_event_without_a_caliper_form_is_refused_where_it_is_chosen_and_else_not_sent(api, hook):
    app = api.app(platform="canvas")["id"]
    chosen = {"url": hook.url, "format": "caliper", "eventTypes": ["submission_created", "conversation_forwarded"]}
    found = assert_invalid(api.post(f"/app/{app}/endpoint", chosen), field="eventTypes")
    assert "conversation_forwarded" in found[0]["msg"] and "submission_created" not in found[0]["msg"]
    endpoint = api.endpoint(app, hook.url, format="caliper")["id"]
    path = f"/app/{app}/endpoint/{endpoint}"
    assert_invalid(api.patch(path, {"eventTypes": ["user_created"]}), field="eventTypes")
    payload = {
        "metadata": {"event_name": "conversation_forwarded", "event_time": "2026-05-01T08:30:05.120Z"},
        "body": {"conversation_id": "7", "updated_at": "2026-05-01T08:30:05Z"},
    }
    api.send(app, "conversation_forwarded", payload)
    api.send(app, "submission_created", submission())
    hook.wait(1)
    hook.stays_at(1)
    dry = api.post(f"{path}/dry-run", {"eventType": "conversation_forwarded", "payload": payload}).json()
    assert (dry["send"], dry.get("error")) == (False, None)


def test_every_event_type_of_the_plagiarism_platform_goes_out_in_both_formats(api, hook):
    app = api.app(platform="canvas")["id"]
    seed = ["quiz_submitted", "grade_change", "attachment_created", "submission_created", "submission_updated"]
    seed.append("plagiarism_resubmit")
    api.endpoint(app, hook.url, format="caliper", eventTypes=seed)
    for name in seed:
        example = api.get(f"/event-type/{name}").json()["schemas"]["1"]["examples"][0]
        api.send(app, name, example)
    events = [json.loads(r.body)["data"][0] for r in hook.wait(6)]
    assert {e["type"] for e in events} == {"AssessmentEvent", "GradeEvent", "Event", "AssignableEvent"}
    named = [e["object"].get("extensions", {}).get("com.instructure.canvas", {}).get("event_name") for e in events]
    assert named.count("plagiarism_resubmit") == 1 and named.count(None) == 5


def test_each_delivery_names_its_subscription(api, receiver):
    app = api.app(platform="canvas")["id"]
    live, caliper, none = receiver.hook(), receiver.hook(), receiver.hook()
    made = api.endpoint(app, live.url, subscriptionId=SUBSCRIPTION)
    assert made["subscriptionId"] == SUBSCRIPTION and made["format"] == "live-event"
    api.endpoint(app, caliper.url, subscriptionId=SUBSCRIPTION, format="caliper")
    api.endpoint(app, none.url)
    assert_invalid(api.post(f"/app/{app}/endpoint", {"url": live.url, "subscriptionId": "a b"}), field="subscriptionId")
    payload = submission()
    api.send(app, "submission_created", payload)
    assert live.wait()[0].body == compact({**payload, "subscription": {"id": SUBSCRIPTION}})
    assert json.loads(caliper.wait()[0].body)["subscription"] == {"id": SUBSCRIPTION}
    assert none.wait()[0].body == compact(payload)


def test_name_and_time_are_always_there(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url, format="live-event")
    sent = api.send(app, "grade_change", {"metadata": {"hostname": "x"}, "body": {"score": 1.50}})
    metadata = json.loads(hook.wait()[0].body)["metadata"]
    assert (metadata["hostname"], metadata["event_name"]) == ("x", "grade_change") and TIME.match(metadata["event_time"])
    assert metadata["event_time"][:19] == sent["timestamp"][:19]
    # With the catalogue, what lacks them is refused.
    canvas = api.app(platform="canvas")["id"]
    wrong = {"metadata": {"event_name": "submission_created"}, "body": {"submission_id": "1"}}
    answer = api.post(f"/app/{canvas}/msg", {"eventType": "submission_created", "payload": wrong})
    assert_invalid(answer, field="event_time")


def test_the_catalogue_has_all_live_events_and_endpoints_start_out_as_canvas_says(api):
    app = api.app(platform="canvas")["id"]
    types = api.get("/event-type", with_content=True, limit=250).json()["data"]
    assert len(types) == 76
    for one in types:
        schema = one["schemas"]["1"]
        assert one["description"] and one["groupName"] and schema["examples"] and schema["x-personal-data"]
    endpoint = api.endpoint(app, "https://example.com/")
    assert (endpoint["format"], endpoint["retrySchedule"]) == ("live-event", ["2m", "4m", "8m"])
    assert endpoint["deactivateAfter"] == {"timeouts": 9500, "errors": 28000}


def test_contexts_are_channels(api, receiver):
    app = api.app(platform="canvas")["id"]
    whole, course, assignment, other = (receiver.hook() for _ in range(4))
    api.endpoint(app, whole.url, channels=[f"root_account:{UUID}"])
    api.endpoint(app, course.url, channels=["course:45"])
    api.endpoint(app, assignment.url, channels=["assignment:3"])
    api.endpoint(app, other.url, channels=["assignment:4", "course:46", "account:abc"])
    channels = [f"root_account:{UUID}", "account:xyz", "course:45", "assignment:3"]
    api.send(app, "submission_created", submission(), channels=channels)
    for hook in (whole, course, assignment):
        assert hook.wait()[0].body == compact(submission())
    other.stays_at(0)


# Retry presets and thresholds.


def test_a_preset_brings_what_is_documented_and_what_is_beside_it_counts_more(api):
    app = api.app()["id"]
    one = api.endpoint(app, "https://example.com/", retryPreset="canvas-plagiarism")
    assert one["retrySchedule"] == ["30s"] * 5 and "deactivateAfter" not in one
    path = f"/app/{app}/endpoint/{one['id']}"
    live = api.patch(path, {"retryPreset": "canvas-live-events", "deactivateAfter": {"timeouts": 5, "errors": 6}}).json()
    assert live["retrySchedule"] == ["2m", "4m", "8m"] and live["deactivateAfter"] == {"timeouts": 5, "errors": 6}
    assert "deactivateAfter" not in api.patch(path, {"retryPreset": "canvas-plagiarism"}).json()
    found = assert_invalid(api.patch(path, {"retryPreset": "canvas"}), field="retryPreset")
    assert "canvas-live-events" in found[0]["msg"]
    assert_invalid(api.patch(path, {"deactivateAfter": {"timeouts": 0, "errors": 1}}), field="deactivateAfter")


def test_an_endpoint_is_switched_off_after_so_many_given_up_and_the_operator_is_told(server, api, receiver):
    operator = receiver.hook()
    management = connect(server, MANAGEMENT)
    management.endpoint(management.app(name="operator", uid=api.organization)["id"], operator.url)
    app, broken = api.app()["id"], receiver.hook()
    broken.respond(500)
    limit = {"timeouts": 100, "errors": 3}
    endpoint = api.endpoint(app, broken.url, retrySchedule=["1ms"], deactivateAfter=limit)["id"]
    path = f"/app/{app}/endpoint/{endpoint}"
    for count in (1, 2):
        message = api.send(app)["id"]
        # Two tries, one message given up.
        api.attempts(app, message, 2)
        broken.wait(2 * count)
    broken.stays_at(4)
    assert not api.get(path).json()["disabled"]
    api.send(app)
    eventually(lambda: api.get(path).json()["disabled"], what="the endpoint was not switched off")
    told = wait_for(operator, "endpoint.disabled")[0]
    assert (told["appId"], told["endpointId"]) == (app, endpoint) and told["failSince"]
    assert told["messagesGivenUp"] == {"timeouts": 0, "errors": 3}


def give_up(api, app):
    """A message of which both tries fail; until that is on disk, where the count is too."""
    api.attempts(app, api.send(app)["id"], 2)


def test_what_was_given_up_counts_after_a_crash(new_server, receiver):
    node = new_server().start()
    api = connect(node)
    app, broken = api.app()["id"], receiver.hook()
    broken.respond(500)
    limit = {"timeouts": 100, "errors": 4}
    path = f"/app/{app}/endpoint/" + api.endpoint(app, broken.url, retrySchedule=["1ms"], deactivateAfter=limit)["id"]
    for start_again in (node.restart, lambda: (node.kill(), node.start())):
        give_up(api, app)
        start_again()
        assert not api.get(path).json()["disabled"]
    give_up(api, app)
    assert not api.get(path).json()["disabled"]
    api.send(app)
    eventually(lambda: api.get(path).json()["disabled"], what="what was before the restarts does not count")
    # Switched on again, it begins anew.
    assert api.patch(path, {"disabled": False}).status_code == 200
    for _ in range(3):
        give_up(api, app)
    assert not api.get(path).json()["disabled"]


def test_what_was_given_up_counts_on_all_nodes_together(new_node, database, receiver):
    _, apis = cluster(new_node, database.url(), 2)
    app, broken = apis[0].app()["id"], receiver.hook()
    broken.respond(500)
    limit = {"timeouts": 100, "errors": 4}
    made = apis[0].endpoint(app, broken.url, retrySchedule=["1ms"], deactivateAfter=limit)
    path = f"/app/{app}/endpoint/{made['id']}"
    for api in (apis[0], apis[1], apis[0]):
        give_up(api, app)
    assert not apis[0].get(path).json()["disabled"]
    apis[1].send(app)
    for api in apis:
        eventually(lambda api=api: api.get(path).json()["disabled"], what="the endpoint was not switched off")


# Signed bodies.


def keys(server, app):
    """The published set, as a receiver reads it: without a token."""
    answer = httpx.get(f"{server.url}/api/lti/jwks/{app}")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("application/json")
    assert "max-age" in answer.headers["cache-control"]
    return answer.json()


def verified(server, app, request):
    """The claims of a received token, checked by a library that is not ours against the published set."""
    assert request.headers["content-type"] == "application/jwt"
    client = jwt.PyJWKClient(f"{server.url}/api/lti/jwks/{app}", cache_keys=False)
    token = request.body.decode()
    key = client.get_signing_key_from_jwt(token)
    head = jwt.get_unverified_header(token)
    assert (head["alg"], head["typ"], head["kid"]) == ("RS256", "JWT", key.key_id)
    return jwt.decode(token, key, algorithms=["RS256"], options={"verify_exp": False}), head["kid"]


def test_a_body_is_a_token_that_others_verify_with_the_published_keys(server, api, hook):
    app = api.app(platform="canvas")["id"]
    assert httpx.get(f"{server.url}/api/lti/jwks/{app}").status_code == 404
    endpoint = api.endpoint(app, hook.url, bodySigning="jwt", subscriptionId=SUBSCRIPTION)
    assert endpoint["bodySigning"] == "jwt"
    published = keys(server, app)["keys"]
    assert len(published) == 2 and {k["kty"] for k in published} == {"RSA"}
    assert all(set(k) == {"kty", "kid", "use", "alg", "n", "e"} for k in published)
    payload = submission(score=1.5)
    api.send(app, "submission_created", payload)
    request = hook.wait()[0]
    claims, kid = verified(server, app, request)
    assert claims == {**payload, "subscription": {"id": SUBSCRIPTION}} and kid == published[0]["kid"]
    # The signature headers are over the body as it is sent.
    webhook = standardwebhooks.Webhook(api.secret(app, endpoint["id"]))
    sent_at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    signature = webhook.sign(request.id, sent_at, request.body.decode())
    assert signature in request.headers["webhook-signature"].split()
    # A token of another application, or one that was changed, does not verify.
    stranger = api.app()["id"]
    api.endpoint(stranger, hook.url, bodySigning="jwt")
    with pytest.raises(jwt.PyJWKClientError):
        verified(server, stranger, request)
    head, _, signature = request.body.split(b".")
    forged = base64.urlsafe_b64encode(compact({**claims, "body": {"score": 100}})).rstrip(b"=")
    request.body = b".".join([head, forged, signature])
    with pytest.raises(jwt.InvalidSignatureError):
        verified(server, app, request)


def test_keys_are_rotated_on_demand_and_the_old_one_still_verifies(server, api, hook):
    app = api.app()["id"]
    path = f"/app/{app}/signing-keys"
    assert_error(api.get(path), 404)
    assert_error(api.post(f"{path}/rotate"), 404)
    api.endpoint(app, hook.url, bodySigning="jwt")
    first = api.get(path).json()
    assert [k["state"] for k in first["keys"]] == ["current", "next"]
    assert first["jwksUrl"] == f"{server.url}/api/lti/jwks/{app}"
    api.send(app)
    _, before = verified(server, app, hook.wait()[0])
    rotated = api.post(f"{path}/rotate").json()
    assert [k["state"] for k in rotated["keys"]] == ["previous", "current", "next"]
    kids = [k["kid"] for k in rotated["keys"]]
    assert kids[:2] == [k["kid"] for k in first["keys"]] and kids == [k["kid"] for k in keys(server, app)["keys"]]

    def signs_with_the_next():
        before = len(hook.received)
        api.send(app)
        newest = hook.wait(before + 1)[-1]
        return verified(server, app, newest)[1] == kids[1]

    eventually(signs_with_the_next, what="the new key did not sign")
    assert before == kids[0] and verified(server, app, hook.received[0])[1] == before, "what was sent before verifies"


def test_who_may_see_and_rotate_the_keys(server, api, hook):
    app, other = api.app()["id"], api.app()["id"]
    api.endpoint(app, hook.url, bodySigning="jwt")
    path = f"/app/{app}/signing-keys"
    assert api.for_app(app).get(path).status_code == 200
    assert_error(api.for_app(other).get(path), 404)
    assert_error(api.for_app(other).post(f"{path}/rotate"), 404)
    viewer = api.post(f"/auth/app-portal-access/{app}", {"capabilities": ["ViewBase"]}).json()["token"]
    assert api.with_token(viewer).get(path).status_code == 200
    assert_error(api.with_token(viewer).post(f"{path}/rotate"), 403)
    assert_error(api.with_token(None).post(f"{path}/rotate"), 401)
    assert_error(connect(server).post(f"{path}/rotate"), 404)
    for nobody in ("app_2srOrx2ZWZBpBUvZwXKQmoEYga2", "x", other):
        assert httpx.get(f"{server.url}/api/lti/jwks/{nobody}").status_code == 404
    assert_invalid(api.post(f"/app/{app}/endpoint", {"url": hook.url, "bodySigning": "none"}), field="bodySigning")


def test_only_an_object_is_signed_as_a_token(api, hook):
    app = api.app()["id"]
    form = {"url": hook.url, "bodySigning": "jwt", "encoding": "form"}
    assert_invalid(api.post(f"/app/{app}/endpoint", form), field="bodySigning")
    endpoint = api.endpoint(app, hook.url, bodySigning="jwt", transform=".n")["id"]
    assert_invalid(api.patch(f"/app/{app}/endpoint/{endpoint}", {"encoding": "form"}), field="bodySigning")
    message = api.send(app, "any.event", {"n": 1})["id"]
    attempt = api.attempts(app, message)[0]
    assert attempt["statusText"] == "fail" and "only an object can be sent as a signed token" in attempt["response"]
    assert not hook.received


def test_keys_are_rotated_on_schedule_survive_a_restart_and_are_sealed(new_server, receiver):
    hook = receiver.hook()
    server = new_server(signing_key_rotation="1s").start()
    api = connect(server)
    app = api.app()["id"]
    api.endpoint(app, hook.url, bodySigning="jwt")
    first = [k["kid"] for k in keys(server, app)["keys"]]
    eventually(lambda: first[1] == keys(server, app)["keys"][0]["kid"], what="the keys were not rotated twice")
    server.stop()
    for file in server.folder.glob("*.db*"):
        assert b"MIIEv" not in file.read_bytes()
    server.options["signing-key-rotation"] = "30d"
    server.start()
    kept = [k["kid"] for k in keys(server, app)["keys"]]
    assert len(kept) == 3
    api.send(app)
    assert verified(server, app, hook.wait()[0])[1] == kept[1]


def test_a_message_that_is_tried_again_is_signed_again_with_the_same_claims(server, api, receiver):
    app, hook = api.app()["id"], receiver.hook()
    hook.respond(Answer(500), Answer(200))
    api.endpoint(app, hook.url, bodySigning="jwt", retrySchedule=["1ms"], format="cloudevents")
    api.send(app)
    first, second = hook.wait(2)
    assert verified(server, app, first)[0] == verified(server, app, second)[0]
    assert verified(server, app, first)[0]["specversion"] == "1.0"
