"""Publishing: one by one and in batches, twice the same, byte for byte, gone after a while."""

import concurrent.futures
import json
import time

import pytest

from conftest import connect
from support.api import assert_error, assert_invalid, eventually

# The part of an id behind its prefix, of nothing that exists.
UNKNOWN = "2" * 27


def test_a_message_has_the_documented_fields(api):
    app = api.app()["id"]
    bare = api.send(app, payload={"a": [1, None]})
    assert bare["id"].startswith("msg_") and len(bare["id"]) == 31
    assert bare["eventId"] is None and bare["channels"] is None and bare["payload"] == {"a": [1, None]}
    full = api.send(app, eventId="e-1", channels=["b", "a"], payloadRetentionPeriod=5)
    assert full["eventId"] == "e-1" and sorted(full["channels"]) == ["a", "b"]
    for name in (full["id"], "e-1"):
        assert api.get(f"/app/{app}/msg/{name}").json() == full


def test_tags_are_shown_checked_and_not_sent_along(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    sent = api.send(app, eventId="e-1", tags=["b/2", "a", "a"])
    assert sorted(sent["tags"]) == ["a", "b/2"]
    assert api.get(f"/app/{app}/msg/{sent['id']}").json() == sent
    assert api.get(f"/app/{app}/msg").json()["data"] == [sent]
    assert api.send(app, eventId="e-1", tags=["other"])["tags"] == sent["tags"], "the first answer"
    assert b"b/2" not in hook.wait()[0].body
    assert "tags" not in api.send(app) and "tags" not in api.send(app, tags=[]) and "tags" not in api.send(app, tags=None)
    many = [str(n) for n in range(6)]
    for wrong in (many, ["a b"], ["x" * 129], [""], ["a:b"], [1], "a"):
        assert_invalid(api.post(f"/app/{app}/msg", {"eventType": "a.b", "payload": {}, "tags": wrong}))
    assert len(api.send(app, tags=many[:5])["tags"]) == 5


def test_the_payload_may_be_called_data(api):
    app = api.app()["id"]
    response = api.post(f"/app/{app}/msg", {"eventType": "a.b", "data": {"x": 1}})
    assert response.status_code == 202 and response.json()["payload"] == {"x": 1}


def test_an_unknown_application_is_created_when_the_message_brings_it(api):
    message = {"eventType": "a.b", "payload": {}}
    assert "Application not found" in assert_error(api.post("/app/room-1/msg", message), 404, "not_found")["detail"]
    mismatch = api.post("/app/room-1/msg", {**message, "application": {"name": "x", "uid": "room-2"}})
    assert assert_invalid(mismatch)[0]["type"] == "application_uid_mismatch"
    missing = api.post("/app/room-1/msg", {**message, "application": {"name": "x"}})
    detail = assert_invalid(missing)
    assert detail[0]["type"] == "application_uid_missing" and detail[0]["loc"] == ["body", "application", "uid"]
    assert api.get("/app").json()["data"] == []
    brought = {**message, "application": {"name": "Room 1", "uid": "room-1"}}
    assert api.post("/app/room-1/msg", brought).status_code == 202
    assert (
        api.post("/app/room-1/msg", {**message, "application": {"name": "other", "uid": "room-1"}}).status_code == 202
    )
    assert api.get("/app/room-1").json()["name"] == "Room 1"


WEIRD = '{ "b" : 2 ,\t"a" : 1.0 , "e":1e3, "big":12345678901234567890123, "u":"\\u00e9\\/", "a":"twice" }'


def test_the_payload_goes_out_byte_for_byte_as_it_came_in(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    body = '{"eventType":"a.b", "payload" : %s , "channels":null}' % WEIRD
    response = api.raw("POST", f"/app/{app}/msg", body.encode())
    assert response.status_code == 202
    assert hook.wait()[0].body == WEIRD.encode()
    assert WEIRD in response.text, "the answer shows other bytes than came in"
    assert WEIRD in api.get(f"/app/{app}/msg/{response.json()['id']}").text


def test_a_raw_payload_goes_out_as_it_is(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    raw = '{"kept":   "as is"}\n'
    api.send(app, payload={}, transformationsParams={"rawPayload": raw})
    assert hook.wait()[0].body == raw.encode()


# --- twice the same --------------------------------------------------------------------------------------------------


def test_a_repeated_event_id_gets_the_first_answer_and_is_sent_once(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    body = {"eventType": "a.b", "payload": {"n": 1}, "eventId": "event-1"}
    first = api.post(f"/app/{app}/msg", body)
    for _ in range(3):
        again = api.post(f"/app/{app}/msg", body)
        assert again.status_code == 202 and again.json() == first.json()
    hook.wait()
    hook.stays_at(1)
    assert len(api.get(f"/app/{app}/msg").json()["data"]) == 1


@pytest.mark.parametrize("other", [{"payload": {"n": 2}}, {"eventType": "c.d"}])
def test_a_repeated_event_id_with_other_content_is_a_conflict(api, hook, other):
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    body = {"eventType": "a.b", "payload": {"n": 1}, "eventId": "event-1"}
    first = api.post(f"/app/{app}/msg", body).json()
    assert_error(api.post(f"/app/{app}/msg", {**body, **other}), 409, "conflict")
    assert api.get(f"/app/{app}/msg/event-1").json() == first
    hook.wait()
    hook.stays_at(1)


def test_event_ids_belong_to_their_application(api):
    one, two = api.app()["id"], api.app()["id"]
    assert api.send(one, eventId="e")["id"] != api.send(two, eventId="e")["id"]


def test_many_at_once_with_one_event_id_make_one_message(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    body = {"eventType": "a.b", "payload": {"n": 1}, "eventId": "event-1"}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: api.post(f"/app/{app}/msg", body), range(32)))
    assert {a.status_code for a in answers} == {202}
    assert len({a.json()["id"] for a in answers}) == 1
    hook.wait()
    hook.stays_at(1)


def test_an_idempotency_key_repeats_the_first_answer(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    keyed = {"headers": {"idempotency-key": "once"}}
    first = api.post(f"/app/{app}/msg", {"eventType": "a.b", "payload": {"n": 1}}, **keyed)
    # The body is not part of the key.
    again = api.post(f"/app/{app}/msg", {"eventType": "a.b", "payload": {"n": 2}}, **keyed)
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["content-type"] == first.headers["content-type"]
    hook.wait()
    hook.stays_at(1)
    made = [api.post("/app", {"name": "x"}, **keyed) for _ in range(2)]
    assert [m.status_code for m in made] == [201, 201] and made[0].json() == made[1].json()


def test_an_idempotency_key_is_bound_to_the_caller_and_the_address(api, server):
    one, two = api.app()["id"], api.app()["id"]
    body, keyed = {"eventType": "a.b", "payload": {}}, {"headers": {"idempotency-key": "once"}}
    ids = {api.post(f"/app/{app}/msg", body, **keyed).json()["id"] for app in (one, two)}
    ids.add(api.post(f"/app/{one}/msg?with_content=false", body, **keyed).json()["id"])
    ids.add(api.post(f"/app/{one}/msg", body, headers={"idempotency-key": "twice"}).json()["id"])
    assert len(ids) == 4
    stranger = connect(server)
    assert stranger.post("/app", {"name": "theirs"}, **keyed).json()["name"] == "theirs"


def test_refusals_are_not_kept_under_an_idempotency_key(api):
    keyed = {"headers": {"idempotency-key": "once"}}
    assert api.post("/app", {"name": ""}, **keyed).status_code == 422
    assert api.post("/app", {"name": "x"}, **keyed).status_code == 201
    assert api.post("/app", {"name": ""}, **keyed).status_code == 201, "now the accepted answer is repeated"


def test_only_posts_heed_an_idempotency_key(api):
    app = api.app()["id"]
    keyed = {"headers": {"idempotency-key": "once"}}
    for name in ("a", "b"):
        assert api.put(f"/app/{app}", {"name": name}, **keyed).json()["name"] == name


def test_two_posts_with_one_idempotency_key_at_the_same_time_do_one_thing(api):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda n: api.post("/app", {"name": str(n)}, headers={"idempotency-key": "k"}), range(8))
        )
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1
    assert len(api.get("/app").json()["data"]) == 1


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_repeats_are_recognised_after_a_restart(new_server, hook, end):
    server = new_server().start()
    api = connect(server)
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    body = {"eventType": "a.b", "payload": {"n": 1}}
    keyed = api.post(f"/app/{app}/msg", body, headers={"idempotency-key": "k"})
    named = api.post(f"/app/{app}/msg", {**body, "eventId": "e"})
    getattr(server, end)()
    server.start()
    again = api.post(f"/app/{app}/msg", body, headers={"idempotency-key": "k"})
    assert (again.status_code, again.content) == (202, keyed.content)
    assert api.post(f"/app/{app}/msg", {**body, "eventId": "e"}).json() == named.json()
    assert {r.id for r in hook.wait(2)} == {keyed.json()["id"], named.json()["id"]}
    assert len(api.get(f"/app/{app}/msg").json()["data"]) == 2


# --- batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_answers_each_message_on_its_own_in_order(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    items = api.batch(
        app,
        [
            {"eventType": "a.b", "payload": {"n": 0}, "eventId": "zero"},
            {"eventType": "not allowed", "payload": {}},
            {"eventType": "a.b"},
            {"eventType": "a.b", "payload": {"n": 3}},
            {"eventType": "a.b", "payload": {"n": 0}, "eventId": "zero"},
            {"eventType": "a.b", "payload": {"n": 5}, "eventId": "zero"},
        ],
    )
    assert [i["status"] for i in items] == [202, 422, 422, 202, 202, 409]
    assert items[4]["message"] == items[0]["message"]
    for item in items:
        assert set(item) == ({"status", "message"} if item["status"] == 202 else {"status", "error"})
    assert isinstance(items[1]["error"]["detail"], list) and items[5]["error"]["code"] == "conflict"
    requests = hook.wait(2)
    assert sorted(json.loads(r.body)["n"] for r in requests) == [0, 3]
    hook.stays_at(2)
    listed = api.get(f"/app/{app}/msg").json()["data"]
    assert [m["id"] for m in listed] == [items[3]["message"]["id"], items[0]["message"]["id"]]


def test_a_batch_of_a_thousand_is_the_largest(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    one = {"eventType": "a.b", "payload": {}}
    items = api.batch(app, [one] * 1000)
    ids = [i["message"]["id"] for i in items]
    assert len(set(ids)) == 1000 and ids == sorted(ids)
    assert sorted(r.id for r in hook.wait(1000, 30)) == ids
    assert_invalid(api.post(f"/app/{app}/msg/batch/", {"messages": [one] * 1001}), "body", "messages")
    assert api.batch(app, []) == []


def test_a_batch_to_an_unknown_application_or_of_another_shape_is_refused_whole(api):
    one = {"eventType": "a.b", "payload": {}}
    assert_error(api.post("/app/nobody/msg/batch/", {"messages": [one]}), 404, "not_found")
    app = api.app()["id"]
    assert_invalid(api.post(f"/app/{app}/msg/batch/", {}), "body", "messages")
    assert_invalid(api.post(f"/app/{app}/msg/batch/", {"messages": one}), "body", "messages")
    assert_error(api.raw("POST", f"/app/{app}/msg/batch/", b'{"messages": ['), 400, "invalid_json")


def test_payloads_of_a_batch_go_out_byte_for_byte(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    body = '{"messages":[{"eventType":"a.b","payload":%s}]}' % WEIRD
    assert api.raw("POST", f"/app/{app}/msg/batch", body.encode()).status_code == 200
    assert hook.wait()[0].body == WEIRD.encode()


# --- expunging -------------------------------------------------------------------------------------------------------


def test_an_expunged_payload_is_gone_and_the_message_stays(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    message = api.send(app, payload={"private": "yes"})["id"]
    attempt = api.attempts(app, message)[0]["id"]
    response = api.delete(f"/app/{app}/msg/{message}/content")
    assert (response.status_code, response.content) == (204, b"")
    shown = api.get(f"/app/{app}/msg/{message}").json()
    assert shown["payload"] == {"expired": True}
    assert_error(api.post(f"/app/{app}/msg/{message}/endpoint/{endpoint}/resend"), 400, "missing_payload")
    assert api.delete(f"/app/{app}/msg/{message}/attempt/{attempt}/content").status_code == 204
    assert api.get(f"/app/{app}/msg/{message}/attempt/{attempt}").json()["response"] == "EXPUNGED"
    hook.stays_at(1, 0.1)


def test_expunging_what_is_not_there(api):
    app = api.app()["id"]
    message = api.send(app)["id"]
    assert_error(api.delete(f"/app/{app}/msg/nothing/content"), 404, "not_found")
    missing = assert_error(api.delete(f"/app/{app}/msg/{message}/attempt/atmpt_{UNKNOWN}/content"), 404, "not_found")
    assert missing["detail"] == "Message attempt not found"
    missing = assert_error(api.delete(f"/app/{app}/msg/nothing/attempt/atmpt_{UNKNOWN}/content"), 404, "not_found")
    assert missing["detail"] == "Message not found"
    for path in (
        "/attempt/msg/nothing",
        "/msg/nothing",
        "/msg/nothing/endpoint",
        f"/msg/{message}/attempt/atmpt_{UNKNOWN}",
    ):
        assert_error(api.get(f"/app/{app}{path}"), 404, "not_found")


# --- which endpoints get it ------------------------------------------------------------------------------------------


def test_messages_go_to_the_endpoints_that_want_them(api, receiver):
    app = api.app()["id"]
    for name in ("a.a", "b.b"):
        api.event_type(name)
    hooks = {
        "all": ({}, receiver.hook()),
        "a": ({"eventTypes": ["a.a"]}, receiver.hook()),
        "a or b": ({"eventTypes": ["a.a", "b.b"]}, receiver.hook()),
        "room 1": ({"channels": ["room-1"]}, receiver.hook()),
        "a in room 1": ({"eventTypes": ["a.a"], "channels": ["room-1"]}, receiver.hook()),
        "off": ({"disabled": True}, receiver.hook()),
    }
    for fields, hook in hooks.values():
        api.endpoint(app, hook.url, **fields)
    sent = {
        "a": api.send(app, "a.a")["id"],
        "b": api.send(app, "b.b")["id"],
        "unknown type": api.send(app, "x.x")["id"],
        "a in room 1": api.send(app, "a.a", channels=["room-1", "room-2"])["id"],
        "b in room 2": api.send(app, "b.b", channels=["room-2"])["id"],
    }
    wanted = {
        "all": set(sent),
        "a": {"a", "a in room 1"},
        "a or b": {"a", "b", "a in room 1", "b in room 2"},
        "room 1": {"a in room 1"},
        "a in room 1": {"a in room 1"},
        "off": set(),
    }
    for name, expected in wanted.items():
        got = hooks[name][1].wait(len(expected)) if expected else []
        assert sorted(r.id for r in got) == sorted(sent[e] for e in expected), name
    for name, expected in wanted.items():
        hooks[name][1].stays_at(len(expected), 0.05)


def test_endpoints_made_later_do_not_get_earlier_messages(api, hook):
    app = api.app()["id"]
    api.send(app)
    api.endpoint(app, hook.url)
    later = api.send(app)["id"]
    assert [r.id for r in hook.wait()] == [later]
    hook.stays_at(1)


def test_send_example(api, hook, receiver):
    app = api.app()["id"]
    other = receiver.hook()
    api.endpoint(app, other.url)
    endpoint = api.endpoint(app, hook.url)["id"]
    path = f"/app/{app}/endpoint/{endpoint}/send-example"
    ping = api.post(path, {"eventType": "svix.ping"})
    assert ping.status_code in (200, 202) and ping.json()["payload"] == {}
    assert json.loads(hook.wait()[0].body) == {"success": True}

    assert_error(api.post(path, {"eventType": "no.such"}), 404, "not_found")
    api.event_type("bare.type")
    assert_error(api.post(path, {"eventType": "bare.type"}), 400, "invalid_scheme")
    schemas = {"1": {"type": "object", "examples": [{"grade": 1}, {"grade": 2}]}}
    api.event_type("full.type", schemas=schemas)
    assert api.post(path, {"eventType": "full.type"}).json()["eventType"] == "full.type"
    assert json.loads(hook.wait(2)[1].body) == {"grade": 1}
    hook.stays_at(2, 0.1)
    other.stays_at(0, 0)


def test_resend_works_after_success_and_past_filters_but_not_to_a_disabled_endpoint(api, hook):
    app = api.app()["id"]
    api.event_type("a.a")
    endpoint = api.endpoint(app, hook.url)["id"]
    message = api.send(app, "x.x")["id"]
    hook.wait(1)
    api.patch(f"/app/{app}/endpoint/{endpoint}", {"eventTypes": ["a.a"], "channels": ["c"]})
    path = f"/app/{app}/msg/{message}/endpoint/{endpoint}/resend"
    response = api.post(path)
    assert (response.status_code, response.json()) == (202, {})
    assert {r.id for r in hook.wait(2)} == {message}
    assert api.attempts(app, message, 2)[0]["triggerType"] == 1
    api.patch(f"/app/{app}/endpoint/{endpoint}", {"disabled": True})
    assert api.post(path).status_code == 202
    hook.stays_at(2)


def test_a_resend_reaches_an_endpoint_that_never_got_the_message(api, hook):
    app = api.app()["id"]
    message = api.send(app)["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    assert api.post(f"/app/{app}/msg/{message}/endpoint/{endpoint}/resend").status_code == 202
    assert hook.wait()[0].id == message


# --- recover ---------------------------------------------------------------------------------------------------------


def test_recover_sends_each_failed_message_of_the_window_once(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, retrySchedule=[])["id"]
    path = f"/app/{app}/endpoint/{endpoint}"
    early = api.send(app)
    hook.wait(1)
    hook.respond(500)
    # More than one page of whatever size the server works in.
    failing = [
        i["message"] for n in range(3) for i in api.batch(app, [{"eventType": "a.b", "payload": {"n": n}}] * 400)
    ]
    hook.wait(1201, 60)
    eventually(lambda: api.get(f"{path}/stats").json()["fail"] == 1200, what="not all attempts were recorded")
    hook.respond(200)
    good = api.send(app)["id"]
    hook.wait(1202)

    response = api.post(f"{path}/recover", {"since": early["timestamp"]})
    task = response.json()
    assert response.status_code == 202 and task["id"].startswith("qtask_") and len(task["id"]) == 33
    assert task["task"] == "endpoint.recover" and task["status"] in ("running", "finished") and task["updatedAt"]

    def finished():
        now = api.get(f"/background-task/{task['id']}").json()
        return now if now["status"] == "finished" else None

    done = eventually(finished, 30, "the task did not end")
    assert done["data"] == {"messagesSent": 1200}
    recovered = hook.wait(2402, 30)[1202:]
    assert sorted(r.id for r in recovered) == sorted(m["id"] for m in failing)
    assert good not in [r.id for r in recovered]
    hook.stays_at(2402)


def test_recover_heeds_the_end_of_its_window(api, hook):
    hook.respond(500)
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, retrySchedule=[])["id"]
    first = api.send(app)
    api.attempts(app, first["id"])
    time.sleep(0.05)
    second = api.send(app)
    api.attempts(app, second["id"])
    hook.respond(200)
    body = {"since": first["timestamp"], "until": second["timestamp"]}
    assert api.post(f"/app/{app}/endpoint/{endpoint}/recover", body).status_code == 202
    hook.wait(3)
    hook.stays_at(3)
    assert hook.ids()[2] == first["id"]


def test_recover_reaches_back_two_weeks(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    detail = assert_invalid(api.post(f"/app/{app}/endpoint/{endpoint}/recover", {"since": "2020-01-01T00:00:00Z"}))
    assert detail[0]["loc"] == ["body", "since"] and "14 days" in detail[0]["msg"]


def test_background_tasks_can_be_listed_and_filtered(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    since = api.send(app)["timestamp"]
    ids = [api.post(f"/app/{app}/endpoint/{endpoint}/recover", {"since": since}).json()["id"] for _ in range(3)]
    assert {t["id"] for t in api.get("/background-task").json()["data"]} == set(ids)
    eventually(lambda: len(api.get("/background-task", status="finished").json()["data"]) == 3)
    assert api.get("/background-task", task="endpoint.replay").json()["data"] == []
    assert [t["id"] for page in api.pages("/background-task", limit=2, order="ascending") for t in page] == ids
    assert_error(api.get(f"/background-task/qtask_{UNKNOWN}"), 404, "not_found")
