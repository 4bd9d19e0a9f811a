"""Applications, event types and endpoints: create, read, PUT, PATCH, delete, uids."""

import concurrent.futures

import pytest

from support.api import assert_error, assert_invalid, eventually, instant

# --- applications ----------------------------------------------------------------------------------------------------


def test_an_application_has_exactly_the_documented_fields(api):
    bare = api.app(name="bare")
    assert bare["id"].startswith("app_") and len(bare["id"]) == 31
    assert bare["throttleRate"] is None and bare["metadata"] == {} and "uid" not in bare and "rateLimit" not in bare
    assert instant(bare["createdAt"]) <= instant(bare["updatedAt"])
    full = api.app(name="full", uid="room-1", throttleRate=5, metadata={"a": "b"})
    assert (full["uid"], full["throttleRate"], full["rateLimit"], full["metadata"]) == ("room-1", 5, 5, {"a": "b"})


def test_the_old_name_of_the_throttle_rate_is_understood(api):
    assert api.app(rateLimit=3)["throttleRate"] == 3
    assert api.app(rateLimit=3, throttleRate=4)["throttleRate"] == 4


def test_get_if_exists_returns_the_existing_application_unchanged(api):
    app = api.app(name="first", uid="room-1")
    conflict = assert_error(api.post("/app", {"name": "second", "uid": "room-1"}), 409, "conflict")
    assert conflict["detail"]
    again = api.post("/app?get_if_exists=true", {"name": "second", "uid": "room-1"})
    assert again.status_code == 200 and again.json() == app
    assert api.post("/app?get_if_exists=true", {"name": "third", "uid": "room-2"}).status_code == 201


def test_put_replaces_all_fields_or_creates(api):
    app = api.app(name="a", uid="room-1", throttleRate=5, metadata={"a": "b"})
    replaced = api.put(f"/app/{app['id']}", {"name": "b"})
    assert replaced.status_code == 200
    body = replaced.json()
    assert (body["id"], body["name"], body["throttleRate"], body["metadata"]) == (app["id"], "b", None, {})
    assert "uid" not in body and body["createdAt"] == app["createdAt"]
    # The name in the path is not taken over: only the body's uid counts.
    created = api.put("/app/room-7", {"name": "c"})
    assert created.status_code == 201 and "uid" not in created.json()
    assert_error(api.get("/app/room-7"), 404, "not_found")
    assert api.put("/app/room-8", {"name": "d", "uid": "room-8"}).status_code == 201
    assert api.put("/app/room-8", {"name": "e", "uid": "room-8"}).status_code == 200


def test_put_cannot_take_a_uid_that_is_in_use(api):
    api.app(uid="taken")
    other = api.app()
    assert_error(api.put(f"/app/{other['id']}", {"name": "x", "uid": "taken"}), 409, "conflict")
    assert_error(api.patch(f"/app/{other['id']}", {"uid": "taken"}), 409, "conflict")


@pytest.mark.parametrize(
    "patch, changed",
    [
        ({}, {}),
        ({"name": "new"}, {"name": "new"}),
        ({"throttleRate": 9}, {"throttleRate": 9, "rateLimit": 9}),
        ({"uid": "new-uid"}, {"uid": "new-uid"}),
        ({"metadata": {"x": "y"}}, {"metadata": {"x": "y"}}),
        ({"metadata": None}, {"metadata": {}}),
        ({"throttleRate": None}, {"throttleRate": None, "rateLimit": None}),
        ({"uid": None}, {"uid": None}),
    ],
)
def test_patching_an_application_changes_what_is_given(api, patch, changed):
    app = api.app(name="old", uid="old-uid", throttleRate=5, metadata={"a": "b"})
    response = api.patch(f"/app/{app['id']}", patch)
    assert response.status_code == 200
    wanted = {**app, **changed}
    # Unset uids and rate limits are left out.
    wanted = {k: v for k, v in wanted.items() if not (v is None and k in ("uid", "rateLimit")) and k != "updatedAt"}
    assert {k: v for k, v in response.json().items() if k != "updatedAt"} == wanted
    assert api.get(f"/app/{app['id']}").json() == response.json()


@pytest.mark.parametrize(
    "patch", [{"name": None}, {"name": ""}, {"throttleRate": 0}, {"uid": "a b"}, {"metadata": {"a": "b" * 5000}}]
)
def test_patching_an_application_obeys_the_rules_of_create(api, patch):
    app = api.app(name="old")
    assert_invalid(api.patch(f"/app/{app['id']}", patch), "body", next(iter(patch)))
    assert api.get(f"/app/{app['id']}").json() == app


def test_patch_never_creates(api):
    app = api.app()["id"]
    assert_error(api.patch("/app/nobody", {"name": "x"}), 404, "not_found")
    assert_error(api.patch(f"/app/{app}/endpoint/nobody", {"description": "x"}), 404, "not_found")
    assert_error(api.patch("/event-type/nobody", {"description": "x"}), 404, "not_found")


def test_deleting_an_application_takes_all_below_it_and_frees_its_uid(api, hook):
    app = api.app(uid="room-1")
    endpoint = api.endpoint(app["id"], hook.url)
    message = api.send(app["id"])
    hook.wait()
    response = api.delete(f"/app/{app['id']}")
    assert (response.status_code, response.content) == (204, b"")
    for path in (
        "",
        "/endpoint",
        f"/endpoint/{endpoint['id']}",
        "/msg",
        f"/msg/{message['id']}",
        f"/attempt/msg/{message['id']}",
    ):
        assert_error(api.get(f"/app/{app['id']}{path}"), 404, "not_found")
    assert_error(api.post("/app/room-1/msg", {"eventType": "a", "payload": {}}), 404, "not_found")
    assert_error(api.delete(f"/app/{app['id']}"), 404, "not_found")
    assert api.get("/app").json()["data"] == []
    assert api.app(uid="room-1")["id"] != app["id"]


def test_an_applications_own_options_survive_a_put_that_leaves_them_out(api):
    app = api.app(retrySchedule=["5s", "1m"], retention={"payloadDays": 7, "attemptDays": 30})
    assert app["retrySchedule"] == ["5s", "1m"] and app["retention"] == {"payloadDays": 7, "attemptDays": 30}
    kept = api.put(f"/app/{app['id']}", {"name": "b"}).json()
    assert (kept["retrySchedule"], kept["retention"]) == (app["retrySchedule"], app["retention"])
    changed = api.patch(f"/app/{app['id']}", {"retrySchedule": [10, 20]}).json()
    assert changed["retrySchedule"] == ["10s", "20s"]
    assert_invalid(api.patch(f"/app/{app['id']}", {"retrySchedule": ["soon"]}), "body", "retrySchedule")
    for field, days in [("payloadDays", 0), ("attemptDays", 4000)]:
        for answer in (
            api.patch(f"/app/{app['id']}", {"retention": {field: days}}),
            api.put("/organization/settings", {"retention": {field: days}}),
        ):
            assert assert_invalid(answer)[0]["loc"] == ["body", "retention", field]


def test_uids_work_wherever_a_path_takes_an_id(api, hook):
    app = api.app(uid="room-1")["id"]
    endpoint = api.endpoint("room-1", hook.url, uid="journal")["id"]
    message = api.send("room-1", eventId="event-1")["id"]
    attempt = api.attempts("room-1", "event-1")[0]["id"]
    for path in (
        "/app/{app}/attempt/msg/{message}",
        "/app/{app}/attempt/endpoint/{endpoint}",
        "/app/{app}/endpoint/{endpoint}/msg",
        "/app/{app}/endpoint/{endpoint}/secret",
        "/app/{app}/endpoint/{endpoint}/headers",
        "/app/{app}/endpoint/{endpoint}/stats",
        "/app/{app}/msg/{message}",
        "/app/{app}/msg/{message}/endpoint",
        "/app/{app}/msg/{message}/attempt/" + attempt,
    ):
        by_id = api.get(path.format(app=app, endpoint=endpoint, message=message))
        by_uid = api.get(path.format(app="room-1", endpoint="journal", message="event-1"))
        assert by_id.status_code == by_uid.status_code == 200 and by_id.json() == by_uid.json(), path
    for path in ("/app/room-1/msg/event-1/endpoint/journal/resend", "/auth/app-portal-access/room-1"):
        assert api.post(path, {}).is_success, path
    assert api.delete("/app/room-1/msg/event-1/content").status_code == 204
    assert api.delete("/app/room-1/endpoint/journal").status_code == 204
    assert api.delete("/app/room-1").status_code == 204


def test_of_many_at_once_only_one_gets_a_uid(api, hook):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.post("/app", {"name": "x", "uid": "room-1"}), range(16)))
        assert sorted(a.status_code for a in answers) == [201] + [409] * 15
        body = {"url": hook.url, "uid": "journal"}
        answers = list(pool.map(lambda _: api.post("/app/room-1/endpoint", body), range(16)))
        assert sorted(a.status_code for a in answers) == [201] + [409] * 15
        answers = list(pool.map(lambda _: api.post("/event-type", {"name": "a.b", "description": ""}), range(16)))
        assert sorted(a.status_code for a in answers) == [201] + [409] * 15


# --- event types -----------------------------------------------------------------------------------------------------

SCHEMA = {"1": {"type": "object", "properties": {"room": {"type": "string"}}, "examples": [{"room": "12"}]}}


def test_an_event_type_has_the_documented_fields(api):
    made = api.event_type("lesson.started", description="It began.")
    for key in ("archived", "deprecated"):
        assert made[key] is False
    assert made["schemas"] is None and made["featureFlag"] is None
    assert instant(made["createdAt"]) <= instant(made["updatedAt"])


def test_event_types_conflict_while_active_and_come_back_when_archived(api):
    api.event_type("lesson.started", description="old")
    assert_error(api.post("/event-type", {"name": "lesson.started", "description": ""}), 409, "event_type_exists")
    assert api.delete("/event-type/lesson.started").status_code == 204
    assert api.get("/event-type/lesson.started").json()["archived"] is True
    back = api.event_type("lesson.started", description="new")
    assert (back["archived"], back["description"]) == (False, "new")


def test_putting_an_event_type_creates_or_replaces_it(api):
    path = "/event-type/lesson.started"
    assert api.put(path, {"description": "one", "schemas": SCHEMA, "deprecated": True}).status_code == 201
    replaced = api.put(path, {"description": "two"})
    assert replaced.status_code == 200
    assert (replaced.json()["description"], replaced.json()["schemas"], replaced.json()["deprecated"]) == (
        "two",
        None,
        False,
    )


@pytest.mark.parametrize(
    "patch, changed",
    [
        ({}, {}),
        ({"description": "new"}, {"description": "new"}),
        ({"archived": True}, {"archived": True}),
        ({"deprecated": True}, {"deprecated": True}),
        ({"schemas": None}, {"schemas": None}),
        ({"schemas": {"2": {"type": "object"}}}, {"schemas": {"2": {"type": "object"}}}),
        ({"featureFlag": None}, {"featureFlag": None}),
        ({"featureFlag": "other"}, {"featureFlag": "other"}),
    ],
)
def test_patching_an_event_type_changes_what_is_given(api, patch, changed):
    made = api.event_type("lesson.started", description="old", schemas=SCHEMA, featureFlag="beta")
    response = api.patch("/event-type/lesson.started", patch)
    assert response.status_code == 200
    assert {**response.json(), "updatedAt": 0} == {**made, **changed, "updatedAt": 0}


@pytest.mark.parametrize(
    "patch", [{"description": None}, {"archived": None}, {"deprecated": None}, {"schemas": {"1": {"type": 7}}}]
)
def test_patching_an_event_type_obeys_the_rules(api, patch):
    api.event_type("lesson.started")
    assert_invalid(api.patch("/event-type/lesson.started", patch), "body", next(iter(patch)))


def test_event_types_are_listed_by_name_without_schemas_unless_asked(api):
    for name in ("c.c", "a.a", "b.b"):
        api.event_type(name, schemas=SCHEMA)
    api.delete("/event-type/b.b")
    listed = api.get("/event-type").json()
    assert [(t["name"], t["schemas"]) for t in listed["data"]] == [("a.a", None), ("c.c", None)]
    everything = api.get("/event-type", include_archived="true", with_content="true").json()["data"]
    assert [(t["name"], t["archived"], t["schemas"]) for t in everything] == [
        ("a.a", False, SCHEMA),
        ("b.b", True, SCHEMA),
        ("c.c", False, SCHEMA),
    ]


def test_expunging_an_event_type_removes_it(api):
    api.event_type("lesson.started")
    assert api.delete("/event-type/lesson.started", expunge="true").status_code == 204
    assert_error(api.get("/event-type/lesson.started"), 404, "not_found")
    assert_error(api.delete("/event-type/lesson.started"), 404, "not_found")


# --- endpoints -------------------------------------------------------------------------------------------------------

ENDPOINT_FIELDS = {
    "id", "uid", "url", "description", "disabled", "eventTypes", "filterTypes", "channels", "throttleRate", "rateLimit",
    "version", "metadata", "createdAt", "updatedAt",
}  # fmt: skip


def test_an_endpoint_prints_its_nulls_and_never_its_secret(api, hook):
    made = api.endpoint(api.app()["id"], hook.url)
    assert set(made) >= ENDPOINT_FIELDS
    assert made["id"].startswith("ep_") and len(made["id"]) == 30
    assert all(made[k] is None for k in ("uid", "eventTypes", "filterTypes", "channels", "throttleRate", "rateLimit"))
    assert (made["description"], made["disabled"], made["version"], made["metadata"]) == ("", False, 1, {})
    assert "secret" not in made and "whsec_" not in str(made)


@pytest.mark.parametrize(
    "given, stored",
    [
        ("http://Example.com", "http://example.com/"),
        ("http://example.com:80/a/../b?x=1#frag", "http://example.com/b?x=1#frag"),
        ("https://example.com:443/", "https://example.com/"),
        ("https://example.com:8443/a b", "https://example.com:8443/a%20b"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://ann:pass@example.com/", "http://ann:pass@example.com/"),
    ],
)
def test_addresses_are_stored_in_their_normal_form(api, given, stored):
    assert api.endpoint(api.app()["id"], given)["url"] == stored


def test_event_types_of_an_endpoint_must_exist_and_be_active(api, hook):
    app = api.app()["id"]
    api.event_type("lesson.started")
    api.event_type("lesson.gone")
    api.delete("/event-type/lesson.gone")
    for names in (["lesson.unknown"], ["lesson.started", "lesson.gone"]):
        response = api.post(f"/app/{app}/endpoint", {"url": hook.url, "eventTypes": names})
        detail = assert_invalid(response)
        assert detail[0]["loc"] == ["body", "eventTypes"] and names[-1] in detail[0]["msg"]
    made = api.endpoint(app, hook.url, filterTypes=["lesson.started"])
    assert made["eventTypes"] == made["filterTypes"] == ["lesson.started"]


def test_endpoint_uids_are_unique_in_their_application_and_freed_by_delete(api, hook):
    one, two = api.app()["id"], api.app()["id"]
    first = api.endpoint(one, hook.url, uid="journal")
    assert api.endpoint(two, hook.url, uid="journal")["id"] != first["id"]
    assert_error(api.post(f"/app/{one}/endpoint", {"url": hook.url, "uid": "journal"}), 409, "conflict")
    assert api.get(f"/app/{one}/endpoint/journal").json() == first
    assert api.delete(f"/app/{one}/endpoint/journal").status_code == 204
    assert_error(api.get(f"/app/{one}/endpoint/{first['id']}"), 404, "not_found")
    api.endpoint(one, hook.url, uid="journal")


def test_put_replaces_an_endpoint_but_not_its_secret_or_creates_one(api, hook):
    app = api.app()["id"]
    api.event_type("a.b")
    made = api.endpoint(
        app,
        hook.url,
        uid="journal",
        description="d",
        disabled=True,
        eventTypes=["a.b"],
        channels=["c"],
        throttleRate=5,
        metadata={"a": "b"},
    )
    secret = api.secret(app, made["id"])
    replaced = api.put(f"/app/{app}/endpoint/journal", {"url": "http://other.example/x"})
    assert replaced.status_code == 200
    body = replaced.json()
    assert body["id"] == made["id"] and body["url"] == "http://other.example/x"
    for key in ("uid", "eventTypes", "channels", "throttleRate"):
        assert body[key] is None, key
    assert (body["description"], body["disabled"], body["metadata"]) == ("", False, {})
    assert api.secret(app, made["id"]) == secret

    created = api.put(f"/app/{app}/endpoint/unknown", {"url": hook.url})
    assert created.status_code == 201 and created.json()["uid"] is None
    assert api.secret(app, created.json()["id"]).startswith("whsec_")
    again = api.put(f"/app/{app}/endpoint/unknown", {"url": hook.url})
    assert again.status_code == 201 and again.json()["id"] != created.json()["id"]


@pytest.mark.parametrize(
    "patch, changed",
    [
        ({}, {}),
        ({"url": "https://new.example/"}, {"url": "https://new.example/"}),
        ({"description": "new"}, {"description": "new"}),
        ({"disabled": True}, {"disabled": True}),
        ({"uid": None}, {"uid": None}),
        ({"uid": "other"}, {"uid": "other"}),
        ({"eventTypes": None}, {"eventTypes": None, "filterTypes": None}),
        ({"eventTypes": ["c.d"]}, {"eventTypes": ["c.d"], "filterTypes": ["c.d"]}),
        ({"channels": None}, {"channels": None}),
        ({"channels": ["two"]}, {"channels": ["two"]}),
        ({"throttleRate": None}, {"throttleRate": None, "rateLimit": None}),
        ({"throttleRate": 8}, {"throttleRate": 8, "rateLimit": 8}),
        ({"metadata": None}, {"metadata": {}}),
        ({"metadata": {"x": "y"}}, {"metadata": {"x": "y"}}),
    ],
)
def test_patching_an_endpoint_changes_what_is_given(api, hook, patch, changed):
    app = api.app()["id"]
    api.event_type("a.b")
    api.event_type("c.d")
    made = api.endpoint(
        app,
        hook.url,
        uid="journal",
        description="d",
        eventTypes=["a.b"],
        channels=["one"],
        throttleRate=5,
        metadata={"a": "b"},
    )
    response = api.patch(f"/app/{app}/endpoint/{made['id']}", patch)
    assert response.status_code == 200
    assert {**response.json(), "updatedAt": 0} == {**made, **changed, "updatedAt": 0}
    assert api.get(f"/app/{app}/endpoint/{made['id']}").json() == response.json()


@pytest.mark.parametrize(
    "patch",
    [
        {"url": None},
        {"url": "ftp://x.example/"},
        {"description": None},
        {"disabled": None},
        {"eventTypes": []},
        {"eventTypes": ["no.such"]},
        {"channels": []},
    ],
)
def test_patching_an_endpoint_obeys_the_rules(api, hook, patch):
    app = api.app()["id"]
    made = api.endpoint(app, hook.url)
    assert_invalid(api.patch(f"/app/{app}/endpoint/{made['id']}", patch), "body", next(iter(patch)))
    assert api.get(f"/app/{app}/endpoint/{made['id']}").json() == made


def test_an_endpoints_own_options_survive_a_put_that_leaves_them_out(api, hook):
    app = api.app()["id"]
    options = {"retrySchedule": ["5s", "1m"], "finalStatuses": [404, 422], "concurrency": 3, "ordered": True}
    made = api.endpoint(app, hook.url, **options)
    assert {k: made[k] for k in options} == options
    kept = api.put(f"/app/{app}/endpoint/{made['id']}", {"url": hook.url}).json()
    assert {k: kept[k] for k in options} == options
    changed = api.patch(f"/app/{app}/endpoint/{made['id']}", {"retrySchedule": [1], "concurrency": 1}).json()
    assert (changed["retrySchedule"], changed["concurrency"], changed["finalStatuses"]) == (["1s"], 1, [404, 422])
    for wrong in ({"retrySchedule": ["x"]}, {"concurrency": 0}, {"finalStatuses": [99]}, {"ordered": "yes"}):
        assert_invalid(api.patch(f"/app/{app}/endpoint/{made['id']}", wrong), "body", next(iter(wrong)))


# --- headers of an endpoint ------------------------------------------------------------------------------------------


@pytest.fixture
def headers_path(api, hook):
    app = api.app()["id"]
    return f"/app/{app}/endpoint/{api.endpoint(app, hook.url)['id']}/headers"


def test_headers_are_replaced_merged_and_removed(api, headers_path):
    assert api.get(headers_path).json() == {"headers": {}, "sensitive": []}
    response = api.put(headers_path, {"headers": {"X-One": "1", "X-Two": "2"}})
    assert (response.status_code, response.content) == (204, b"")
    assert api.patch(headers_path, {"headers": {"X-Two": None, "X-Three": "3"}}).status_code == 204
    assert api.get(headers_path).json()["headers"] == {"X-One": "1", "X-Three": "3"}
    assert api.put(headers_path, {"headers": {}}).status_code == 204
    assert api.get(headers_path).json() == {"headers": {}, "sensitive": []}


@pytest.mark.parametrize("name", ["Authorization", "x-auth-token", "X-API-KEY", "www-authenticate"])
def test_values_of_sensitive_headers_are_never_shown(api, headers_path, name):
    api.put(headers_path, {"headers": {name: "do not show", "x-plain": "show"}})
    shown = api.get(headers_path)
    assert "do not show" not in shown.text
    assert shown.json()["headers"] == {"x-plain": "show"}
    assert [n.lower() for n in shown.json()["sensitive"]] == [name.lower()]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    "name, value, message",
    [
        ("content-type", "text/plain", "Header uses a forbidden key."),
        ("User-Agent", "x", "Header uses a forbidden key."),
        ("content-length", "1", "Header uses a forbidden key."),
        ("Proxy-Authorization", "x", "Header uses a forbidden key."),
        ("x-amz-date", "x", "Header starts with a forbidden prefix."),
        ("svix-id", "x", "Header starts with a forbidden prefix."),
        ("X-Svix-Id", "x", "Header starts with a forbidden prefix."),
        ("a b", "x", "Invalid Header Name."),
        ("", "x", "Invalid Header Name."),
        ("x-a", "line\nbreak", "Invalid Header Value."),
        ("x-a", "v" * 4097, "Maximum header length is 4096 bytes"),
    ],
)
def test_headers_that_would_break_a_request_are_refused(api, headers_path, method, name, value, message):
    response = api.request(method, headers_path, json={"headers": {name: value}})
    detail = assert_invalid(response)
    assert any(message in item["msg"] for item in detail), detail
    assert api.get(headers_path).json()["headers"] == {}


# --- secrets ---------------------------------------------------------------------------------------------------------

KEY_24 = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
KEY_ED25519 = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA=="
PUBLIC_ED25519 = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="


def test_secrets_are_generated_or_given(api, hook):
    app = api.app()["id"]
    generated = api.secret(app, api.endpoint(app, hook.url)["id"])
    assert generated.startswith("whsec_") and len(generated) == len("whsec_") + 32
    assert api.secret(app, api.endpoint(app, hook.url, secret=KEY_24)["id"]) == KEY_24
    assert api.secret(app, api.endpoint(app, hook.url, secret=KEY_ED25519)["id"]) == PUBLIC_ED25519


@pytest.mark.parametrize(
    "secret", ["plain", PUBLIC_ED25519, "whsec_!!!", "whsec_AAAA", "whsec_" + "A" * 104, "whsk_AAAA", ""]
)
def test_malformed_secrets_are_refused(api, hook, secret):
    app = api.app()["id"]
    assert_invalid(api.post(f"/app/{app}/endpoint", {"url": hook.url, "secret": secret}))
    endpoint = api.endpoint(app, hook.url)["id"]
    assert_invalid(api.post(f"/app/{app}/endpoint/{endpoint}/secret/rotate", {"key": secret}))
    assert api.get(f"/app/{app}/endpoint").json()["data"][0]["id"] == endpoint


def test_rotation_rules(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    path = f"/app/{app}/endpoint/{endpoint}/secret/rotate"
    first = api.secret(app, endpoint)
    rotated = api.post(path, {})
    # SDKs since version 2 read the new secret from the answer; the older ones take any 2xx.
    assert rotated.status_code == 200 and rotated.json() == {"key": api.secret(app, endpoint)} != {"key": first}
    assert_invalid(api.raw("POST", path, b""))
    for grace in (-1, 604801):
        assert_invalid(api.post(path, {"gracePeriodSeconds": grace}), "body")
    assert api.post(path, {"key": KEY_ED25519, "gracePeriodSeconds": 604800}).status_code == 200
    assert api.secret(app, endpoint) == PUBLIC_ED25519


def test_at_most_ten_old_secrets_stay_valid(api, hook):
    app = api.app()["id"]
    path = f"/app/{app}/endpoint/{api.endpoint(app, hook.url)['id']}/secret/rotate"
    for _ in range(10):
        assert api.post(path, {}).status_code == 200
    assert_error(api.post(path, {}), 400, "limit_reached")


# --- statistics ------------------------------------------------------------------------------------------------------


def test_stats_count_attempts_by_status(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    path = f"/app/{app}/endpoint/{endpoint}/stats"
    zero = {"success": 0, "pending": 0, "sending": 0, "fail": 0, "canceled": 0}
    assert api.get(path).json() == zero
    hook.respond(200, 500, 500, 200)
    api.attempts(app, api.send(app)["id"], 1)
    api.attempts(app, api.send(app)["id"], 3)
    eventually(lambda: api.get(path).json() == {**zero, "success": 2, "fail": 2}, what="the statistics did not count")
    assert api.get(path, until="2020-01-02T00:00:00Z", since="2020-01-01T00:00:00Z").json() == zero


@pytest.mark.parametrize(
    "query, code",
    [
        ("until=2999-01-01T00:00:00Z", "invalid_range"),
        ("since=2020-01-01T00:00:00Z&until=2020-03-01T00:00:00Z", "invalid_range"),
        ("since=2020-01-01T00:00:00Z", "invalid_range"),
    ],
)
def test_stats_refuse_odd_windows(api, hook, query, code):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    assert_error(api.get(f"/app/{app}/endpoint/{endpoint}/stats?{query}"), 400, code)


def test_stats_refuse_unreadable_dates(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    assert api.get(f"/app/{app}/endpoint/{endpoint}/stats?since=yesterday").status_code == 400


def test_many_changes_of_one_thing_at_the_same_time_all_count(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    webfilter = api.post(f"/app/{app}/webfilter", {"filter": "own.filter", "url": hook.url}).json()["id"]
    changes = [f"/app/{app}/endpoint/{endpoint}", f"/app/{app}/webfilter/{webfilter}", f"/app/{app}"]

    def change(n):
        path = changes[n % 3]
        return api.patch(path, {"name": f"n{n}"} if path == changes[2] else {"description": f"d{n}"}).status_code

    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        assert set(pool.map(change, range(180))) == {200}
