"""Who agreed that an address gets data about people; and payloads that have to fit what the organization wrote."""

import json

from support.api import assert_invalid
from test_platforms import HAND_IN, fixture, publish


def agreed(api, app, endpoint):
    return api.get(f"/app/{app}/endpoint/{endpoint}").json().get("studentData")


def test_a_confirmation_is_recorded_and_ends_with_another_address_or_a_wider_selection(api, hook):
    app = api.app(platform="teachstack")["id"]
    endpoint = api.endpoint(app, hook.url, eventTypes=["room.closed", "peer.joined"])["id"]
    path = f"/app/{app}/endpoint/{endpoint}"
    assert agreed(api, app, endpoint) is None

    made = api.patch(path, {"studentDataConfirmedBy": "Ada Example, head"}).json()["studentData"]
    assert made["confirmedBy"] == "Ada Example, head" and made["recipient"] == "127.0.0.1" and made["current"] is True
    assert made["confirmedAt"].endswith("Z")

    # What sends less, or the same elsewise, leaves it; a PUT as old SDKs send it does too.
    api.patch(path, {"eventTypes": ["peer.joined"], "description": "Attendance", "retrySchedule": ["1s"]})
    api.put(path, {"url": hook.url, "eventTypes": ["peer.joined"]})
    assert agreed(api, app, endpoint) == made
    for wider in (
        {"eventTypes": ["peer.joined", "recording.processed"]},
        {"eventTypes": None, "onlySelected": False},
        {"url": hook.url + "/elsewhere"},
    ):
        after = api.patch(path, wider).json()["studentData"]
        assert after == {**made, "current": False}, wider
        # Agreed to together with the change, or afterwards.
        made = api.patch(path, {"studentDataConfirmedBy": ""}).json()["studentData"]
        assert made["current"] is True and made["confirmedBy"] == "the operator"
    # An expression where there was none takes away only; another one, or none any more, may let more out.
    api.patch(path, {"filter": ".a", "transform": "{a}"})
    assert agreed(api, app, endpoint)["current"] is True
    for wider in ({"filter": ".b"}, {"filter": None}, {"transform": "."}, {"transform": None}):
        assert api.patch(path, wider).json()["studentData"]["current"] is False, wider
        api.patch(path, {"studentDataConfirmedBy": ""})
    both = api.patch(path, {"url": hook.url, "studentDataConfirmedBy": "Ben Example"}).json()["studentData"]
    assert both["current"] is True and both["confirmedBy"] == "Ben Example"
    assert "studentData" not in api.patch(path, {"studentDataConfirmedBy": None}).json()

    assert_invalid(api.patch(path, {"studentDataConfirmedBy": "x" * 201}), field="studentDataConfirmedBy")
    new = api.endpoint(app, hook.url, studentDataConfirmedBy="Cleo Example")
    assert new["studentData"]["confirmedBy"] == "Cleo Example"
    person = api.for_app(app)
    by_app = person.patch(path, {"studentDataConfirmedBy": ""}).json()["studentData"]
    assert by_app["confirmedBy"] == "somebody with access to the application"


def test_credentials_in_an_address_are_not_in_the_record(api, hook):
    app = api.app()["id"]
    url = hook.url.replace("http://", "http://teacher:secret-word@")
    made = api.endpoint(app, url, studentDataConfirmedBy="Ada Example")
    assert "secret-word" not in json.dumps(made["studentData"])


def test_an_edited_schema_decides_what_is_refused(api):
    app = api.app(platform="replit")["id"]
    payload = json.loads(fixture("replit/manual_submitted.payload.json"))
    assert api.post(f"/app/{app}/msg", {"eventType": HAND_IN, "payload": payload}).status_code == 202

    # Stricter: a note is asked for. It holds for the very next message, single and in a batch.
    schema = api.get(f"/event-type/{HAND_IN}").json()["schemas"]["1"]
    stricter = {**schema, "required": [*schema["required"], "note"]}
    stricter["properties"] = {**schema["properties"], "note": {"type": "string"}}
    api.patch(f"/event-type/{HAND_IN}", {"schemas": {"1": stricter}})
    body = {"eventType": HAND_IN, "payload": payload}
    detail = assert_invalid(api.post(f"/app/{app}/msg", body))
    assert [d["loc"] for d in detail] == [["body", "payload", "note"]]
    batch = api.batch(app, [body, {**body, "payload": {**payload, "note": "late"}}])
    assert [item["status"] for item in batch] == [422, 202]
    endpoint = api.endpoint(app, "https://example.com/")["id"]
    tried = api.post(f"/app/{app}/endpoint/{endpoint}/dry-run", body).json()
    assert tried["error"]["stage"] == "payload" and "note" in tried["error"]["message"]

    # The newest version counts.
    api.patch(f"/event-type/{HAND_IN}", {"schemas": {"1": stricter, "2": {"type": "object", "required": ["student"]}}})
    assert api.post(f"/app/{app}/msg", body).status_code == 202
    assert_invalid(api.post(f"/app/{app}/msg", {**body, "payload": {"other": 1}}))

    # Without a schema, or without the event type, nobody asks.
    api.patch(f"/event-type/{HAND_IN}", {"schemas": None})
    assert api.post(f"/app/{app}/msg", {**body, "payload": {"other": 1}}).status_code == 202
    api.put(f"/event-type/{HAND_IN}", {"description": "x", "schemas": {"1": stricter}})
    assert_invalid(api.post(f"/app/{app}/msg", body))
    api.delete(f"/event-type/{HAND_IN}", expunge=True)
    assert api.post(f"/app/{app}/msg", body).status_code == 202


def test_an_event_type_of_ones_own_has_to_fit_its_schema_where_there_is_a_platform(api):
    app, plain = api.app(platform="instruqt")["id"], api.app()["id"]
    api.event_type("lab.cleaned", schemas={"1": {"type": "object", "required": ["lab_id"]}})
    body = {"eventType": "lab.cleaned", "payload": {}}
    assert_invalid(api.post(f"/app/{app}/msg", body))
    assert api.post(f"/app/{plain}/msg", body).status_code == 202


def test_schemas_of_one_organization_say_nothing_in_another(api, server):
    from conftest import connect

    other = connect(server)
    for one in (api, other):
        one.app(platform="replit", uid="class")
    api.patch(f"/event-type/{HAND_IN}", {"schemas": {"1": {"type": "object", "required": ["note"]}}})
    payload = fixture("replit/manual_submitted.payload.json")
    assert_invalid(publish(api, "class", HAND_IN, payload))
    assert publish(other, "class", HAND_IN, payload).status_code == 202
