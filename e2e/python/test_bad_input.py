"""Bad input gets a clear answer in the API's shape, and nothing half-written."""

import json
import socket

import httpx
import pytest

from support.api import assert_error, assert_invalid, eventually

TWO_MEBIBYTES = 2 * 1024 * 1024


@pytest.mark.parametrize("body", [b"{", b'{"name": }', b"{'name': 'x'}", b'{"name": "x",}', b"nonsense", b"\xff\xfe"])
def test_what_is_not_json_is_a_400(api, body):
    assert_error(api.raw("POST", "/app", body), 400, "invalid_json")
    assert api.get("/app").json()["data"] == []


def test_an_empty_body_is_a_validation_error(api):
    assert_invalid(api.raw("POST", "/app", b""))


@pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"null", b"{}"])
def test_json_of_another_shape_is_a_validation_error(api, body):
    assert_invalid(api.raw("POST", "/app", body))


@pytest.mark.parametrize(
    "path, good, field",
    [
        ("/app", {}, "name"),
        ("/event-type", {"name": "a.b"}, "description"),
        ("/event-type", {"description": "x"}, "name"),
        ("/app/{app}/endpoint", {}, "url"),
        ("/app/{app}/msg", {"eventType": "a.b"}, "payload"),
        ("/app/{app}/msg", {"payload": {}}, "eventType"),
        ("/app/{app}/endpoint/{endpoint}/recover", {}, "since"),
        ("/app/{app}/endpoint/{endpoint}/send-example", {}, "eventType"),
        ("/app/{app}/endpoint/{endpoint}/headers", {}, "headers"),
    ],
)
def test_a_missing_field_is_named(api, hook, path, good, field):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    method = "PUT" if path.endswith("/headers") else "POST"
    response = api.request(method, path.format(app=app, endpoint=endpoint), json=good)
    detail = assert_invalid(response, "body", field)
    assert detail[0]["type"] == "value_error.jsondecode"


@pytest.mark.parametrize(
    "path, body, field",
    [
        ("/app", {"name": 1}, "name"),
        ("/app", {"name": "x", "throttleRate": "fast"}, "throttleRate"),
        ("/app", {"name": "x", "throttleRate": 65536}, "throttleRate"),
        ("/app", {"name": "x", "throttleRate": -1}, "throttleRate"),
        ("/app", {"name": "x", "metadata": {"a": 1}}, "metadata"),
        ("/app", {"name": "x", "metadata": []}, "metadata"),
        ("/app/{app}/endpoint", {"url": 1}, "url"),
        ("/app/{app}/endpoint", {"url": "no address"}, "url"),
        ("/app/{app}/endpoint", {"url": "http://a.example/", "disabled": "yes"}, "disabled"),
        ("/app/{app}/endpoint", {"url": "http://a.example/", "eventTypes": "lesson.started"}, "eventTypes"),
        ("/app/{app}/msg", {"eventType": 1, "payload": {}}, "eventType"),
        ("/app/{app}/msg", {"eventType": "a.b", "payload": {}, "channels": "one"}, "channels"),
    ],
)
def test_a_wrong_type_is_named_by_its_path(api, path, body, field):
    app = api.app()["id"]
    detail = assert_invalid(api.post(path.format(app=app), body), "body", field)
    assert detail[0]["type"].startswith("value_error")


@pytest.mark.parametrize(
    "path, body, field, message",
    [
        ("/app", {"name": ""}, "name", "Application names must be at least one character"),
        ("/app", {"name": "a\u0001b"}, "name", "Control characters 0x00-0x08 not allowed."),
        ("/app", {"name": "x", "throttleRate": 0}, "throttleRate", None),
        ("/app", {"name": "x", "uid": ""}, "uid", "String must be at least one character"),
        ("/app", {"name": "x", "uid": "x" * 257}, "uid", "String too long"),
        ("/app", {"name": "x", "uid": "a b"}, "uid", "String must match the following pattern: [a-zA-Z0-9\\-_.]."),
        (
            "/app",
            {"name": "x", "uid": "app_x"},
            "uid",
            "Uids are not allowed to have the same prefix as the ID. Prefix with _?",
        ),
        (
            "/app",
            {"name": "x", "metadata": {"a": "b" * 4096}},
            "metadata",
            "metadata must be less than or equal to 4096 bytes",
        ),
        ("/event-type", {"name": "a b", "description": ""}, "name", None),
        ("/event-type", {"name": "a" * 257, "description": ""}, "name", None),
        ("/event-type", {"name": "a", "description": "\u0002"}, "description", None),
        ("/event-type", {"name": "a", "description": "", "featureFlag": "no spaces"}, "featureFlag", None),
        ("/event-type", {"name": "a", "description": "", "schemas": {"1": {"type": "nonsense"}}}, "schemas", None),
        ("/app/{app}/endpoint", {"url": "ftp://a.example/"}, "url", "Endpoint URL schemes must be http or https"),
        ("/app/{app}/endpoint", {"url": "http://a.example/", "eventTypes": []}, "eventTypes", None),
        ("/app/{app}/endpoint", {"url": "http://a.example/", "channels": []}, "channels", None),
        (
            "/app/{app}/endpoint",
            {"url": "http://a.example/", "channels": [f"c{n}" for n in range(11)]},
            "channels",
            None,
        ),
        ("/app/{app}/endpoint", {"url": "http://a.example/", "uid": "ep_x"}, "uid", None),
        ("/app/{app}/endpoint", {"url": "http://a.example/", "throttleRate": 0}, "throttleRate", None),
        ("/app/{app}/endpoint", {"url": "http://a.example/", "version": 0}, "version", None),
        ("/app/{app}/endpoint", {"url": "http://a.example/", "secret": "plain"}, "secret", "invalid prefix"),
        ("/app/{app}/endpoint", {"url": "http://a.example/", "secret": "whsec_short"}, None, None),
        ("/app/{app}/msg", {"eventType": "", "payload": {}}, "eventType", None),
        ("/app/{app}/msg", {"eventType": "a.b", "payload": []}, None, "Payload must be an object."),
        ("/app/{app}/msg", {"eventType": "a.b", "payload": None}, None, "Payload must be an object."),
        ("/app/{app}/msg", {"eventType": "a.b", "payload": "text"}, None, "Payload must be an object."),
        ("/app/{app}/msg", {"eventType": "a.b", "payload": {}, "eventId": "msg_1"}, None, None),
        ("/app/{app}/msg", {"eventType": "a.b", "payload": {}, "eventId": "a/b"}, None, None),
        ("/app/{app}/msg", {"eventType": "a.b", "payload": {}, "channels": []}, "channels", None),
        (
            "/app/{app}/msg",
            {"eventType": "a.b", "payload": {}, "channels": [f"c{n}" for n in range(11)]},
            "channels",
            None,
        ),
        ("/app/{app}/msg", {"eventType": "a.b", "payload": {}, "channels": ["no spaces"]}, "channels", None),
        (
            "/app/{app}/msg",
            {"eventType": "a.b", "payload": {}, "payloadRetentionPeriod": 0},
            "payloadRetentionPeriod",
            None,
        ),
        (
            "/app/{app}/msg",
            {"eventType": "a.b", "payload": {}, "payloadRetentionPeriod": 91},
            "payloadRetentionPeriod",
            None,
        ),
    ],
)
def test_a_broken_rule_says_which_and_writes_nothing(api, path, body, field, message):
    app = api.app()["id"]
    detail = assert_invalid(api.post(path.format(app=app), body), "body", field)
    if message is not None:
        assert message in [item["msg"] for item in detail], detail
    assert len(api.get("/app").json()["data"]) == 1
    assert api.get("/event-type").json()["data"] == []
    assert api.get(f"/app/{app}/endpoint").json()["data"] == []
    assert api.get(f"/app/{app}/msg").json()["data"] == []


def test_several_broken_rules_are_all_listed(api):
    detail = assert_invalid(api.post("/app", {"name": "", "uid": "", "throttleRate": 0}))
    assert len(detail) >= 3, detail


def test_a_field_given_twice_is_refused(api):
    assert_invalid(api.raw("POST", "/app", b'{"name": "a", "name": "b"}'))
    assert_invalid(
        api.post(
            f"/app/{api.app()['id']}/endpoint", {"url": "http://a.example/", "eventTypes": None, "filterTypes": ["a"]}
        )
    )


@pytest.mark.parametrize("query", ["limit=abc", "limit=-1", "order=sideways"])
def test_an_unreadable_query_is_a_400(api, query):
    assert_error(api.get(f"/app?{query}"), 400)


@pytest.mark.parametrize(
    "query", ["before=yesterday", "after=2024-13-01T00:00:00Z", "status=9", "status=success", "status_code_class=250"]
)
def test_an_unreadable_filter_is_a_400(api, hook, query):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    assert_error(api.get(f"/app/{app}/attempt/endpoint/{endpoint}?{query}"), 400)


def test_broken_query_rules_are_validation_errors(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    detail = assert_invalid(api.get("/app", limit=251), "query", "limit")
    assert "Given limit must not exceed 250" in [i["msg"] for i in detail]
    for path in (
        "/app",
        "/event-type",
        f"/app/{app}/endpoint",
        f"/app/{app}/msg",
        f"/app/{app}/endpoint/{endpoint}/msg",
    ):
        assert_invalid(api.get(path, limit=251), "query", "limit")
    for path, iterator in (
        ("/app", "ep_2"),
        ("/app", ""),
        ("/app", "-"),
        (f"/app/{app}/endpoint", "app_2"),
        (f"/app/{app}/msg", "atmpt_2"),
        (f"/app/{app}/msg", "msg_nonsense"),
        (f"/app/{app}/attempt/endpoint/{endpoint}", "atmpt_!"),
    ):
        assert_invalid(api.get(path, iterator=iterator), "query", "iterator")
    assert_invalid(api.get(f"/app/{app}/msg", event_types="not allowed"), "query")


def test_ids_of_another_kind_are_not_found(api):
    for path in ("/app/ep_2x", "/app/nobody", f"/app/{api.app()['id']}/endpoint/app_2x"):
        assert_error(api.get(path), 404, "not_found")


def test_a_body_over_two_mebibytes_is_refused(api):
    app = api.app()["id"]
    envelope = b'{"eventType":"a.b","payload":{"text":"%s"}}'
    filling = TWO_MEBIBYTES - len(envelope) + 2
    assert api.raw("POST", f"/app/{app}/msg", envelope % (b"x" * filling)).status_code == 202
    assert_error(api.raw("POST", f"/app/{app}/msg", envelope % (b"x" * (filling + 1))), 413, "payload_too_large")
    assert len(api.get(f"/app/{app}/msg").json()["data"]) == 1


def test_a_body_over_two_mebibytes_of_unknown_length_is_refused_too(api):
    def chunks():
        yield b'{"name":"'
        for _ in range(48):
            yield b"x" * 65536
        yield b'"}'

    try:
        response = api.request("POST", "/app", content=chunks())
    except httpx.WriteError:
        return  # it hung up instead of reading on, which is as good
    assert_error(response, 413, "payload_too_large")


def test_a_body_that_says_that_it_is_too_large_is_not_waited_for(api, server):
    head = (
        f"POST /api/v1/app HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {api.token}\r\n"
        f"content-length: {TWO_MEBIBYTES + 1}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_deep_nesting_does_no_harm(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    for depth in (60, 100_000):
        payload = b'{"a":' * depth + b"1" + b"}" * depth
        response = api.raw("POST", f"/app/{app}/msg", b'{"eventType":"a.b","payload":' + payload + b"}")
        # Whether it is too deep is the server's choice; what it takes it delivers.
        if response.status_code == 202:
            eventually(lambda expected=payload: expected in [r.body for r in list(hook.received)])
        else:
            assert depth > 60 and 400 <= response.status_code < 500
        assert api.get(f"/app/{app}/msg").status_code == 200
        assert api.raw("POST", "/app", b"[" * depth).status_code in (400, 422)
        assert api.raw("PATCH", f"/app/{app}", b'{"metadata":' + payload + b"}").status_code == 422


@pytest.mark.parametrize("text", ["Zoë – 学習 🚀", "\u0000", "\ufeff", "a\u2028b", '"\\/'])
def test_any_unicode_text_comes_back_as_it_went_in(api, hook, text):
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    body = json.dumps({"eventType": "a.b", "payload": {"text": text}}).encode()
    response = api.raw("POST", f"/app/{app}/msg", body)
    assert response.status_code == 202 and response.json()["payload"] == {"text": text}
    assert json.loads(hook.wait()[0].body) == {"text": text}
