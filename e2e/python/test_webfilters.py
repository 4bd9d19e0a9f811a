"""Webfilters: set up, asked, combined, halted, protected and logged, with real receivers, good ones and hostile ones."""

import json
import time
from urllib.parse import parse_qsl

import pytest

from conftest import connect
from support import misbehaving
from support.api import assert_error, assert_invalid, eventually
from support.misbehaving import Misbehaving
from support.receiver import Answer
from test_delivery import verifies

LOGIN = "StudentLoginRequested"
USER = {"id": 4, "username": "jane", "first_name": "Jane", "is_staff": False, "is_superuser": False, "password": "x"}
PAYLOAD = {"user": USER, "profile": {"id": 2, "name": "Jané Doe"}}


def says(status: int = 200, body="", delay: float = 0.0) -> Answer:
    text = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Answer(status, {"content-type": "application/json"}, text, delay)


@pytest.fixture
def site(api):
    """An application with the catalogue of Open edX."""
    return Site(api, api.app(platform="openedx")["id"])


@pytest.fixture
def room(api):
    """An application with filters of its own."""
    return Site(api, api.app()["id"])


class Site:
    def __init__(self, api, app):
        self.api = api
        self.path = f"/app/{app}/webfilter"

    def add(self, hook, filter=LOGIN, **settings):
        url = hook if isinstance(hook, str) else hook.url
        response = self.api.post(self.path, {"filter": filter, "url": url, **settings})
        assert response.status_code == 201, response.text
        return response.json()

    def run(self, filter=LOGIN, payload=None, **more):
        body = {"filter": filter, "payload": PAYLOAD if payload is None else payload, **more}
        response = self.api.post(f"{self.path}/run", body)
        assert response.status_code == 200, response.text
        return response.json()

    def attempt(self, **body):
        response = self.api.post(f"{self.path}/try", {"filter": LOGIN, **body})
        assert response.status_code == 200, response.text
        return response.json()

    def log(self, count=1, **params):
        def read():
            data = self.api.get(f"{self.path}/log", **params).json()["data"]
            return data if len(data) >= count else None

        return eventually(read, what=f"{count} runs are not in the log")


@pytest.fixture
def badly():
    """Makes receivers that misbehave."""
    made = []

    def make(behaviour):
        made.append(Misbehaving(behaviour))
        return made[-1].url

    yield make
    for one in made:
        one.close()


# Keeping them.


def test_a_webfilter_has_every_setting_and_reads_back_as_it_was_made(site, hook):
    settings = {
        "description": "Only people with an invitation",
        "enabled": False,
        "order": 7,
        "encoding": "form",
        "wireVersion": "v21",
        "disableFiltering": True,
        "disableHalting": True,
        "haltOn4xx": True,
        "redirectOn4xx": "https://campus.example.edu/4",
        "haltOn5xx": True,
        "redirectOn5xx": "https://campus.example.edu/5",
        "haltOnRequestException": True,
        "redirectOnRequestException": "https://campus.example.edu/off",
        "onSilence": "halt",
        "haltException": "PreventLogin",
        "deadlineMs": 250,
        "uid": "invited",
    }
    made = site.add(hook, **settings)
    assert made["id"].startswith("wf_") and "secret" not in json.dumps(made)
    assert {key: made[key] for key in settings} == settings
    for name in (made["id"], "invited"):
        assert site.api.get(f"{site.path}/{name}/").json() == made
    assert site.api.get(f"{site.path}/", filter=LOGIN).json()["data"] == [made]
    assert site.api.get(f"{site.path}/", filter="IDVPageURLRequested").json()["data"] == []

    changed = site.api.patch(f"{site.path}/invited", {"enabled": True, "redirectOn4xx": None}).json()
    assert (changed["enabled"], changed["redirectOn4xx"], changed["order"]) == (True, None, 7)
    # A PUT sets the default of whatever it leaves out, and creates what is not there.
    put = site.api.put(f"{site.path}/invited", {"filter": LOGIN, "url": hook.url}).json()
    assert (put["id"], put["uid"], put["order"], put["haltOn4xx"]) == (made["id"], "invited", 0, False)
    fresh = site.api.put(f"{site.path}/second", {"event": LOGIN, "url": hook.url})
    assert (fresh.status_code, fresh.json()["uid"]) == (201, "second")
    assert_error(site.api.post(f"{site.path}", {"filter": LOGIN, "url": hook.url, "uid": "second"}), 409, "conflict")
    assert site.api.delete(f"{site.path}/second").status_code == 204
    assert_error(site.api.get(f"{site.path}/second"), 404, "not_found")


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("filter", {"filter": "StudentLoginRequest"}),
        ("filter", {"filter": "no good"}),
        ("filter", {"filter": None}),
        ("url", {"url": None}),
        ("url", {"url": "ftp://example.com"}),
        ("url", {"url": "http://10.0.0.1/"}),
        ("encoding", {"encoding": "xml"}),
        ("wireVersion", {"wireVersion": "v20"}),
        ("onSilence", {"onSilence": "shout"}),
        ("deadlineMs", {"deadlineMs": 0}),
        ("redirectOn4xx", {"redirectOn4xx": "/relative"}),
        ("redirectOn5xx", {"redirectOn5xx": "javascript:alert(1)"}),
        ("haltException", {"haltException": "PreventEnrollment"}),
        ("haltOn4xx", {"filter": "IDVPageURLRequested", "haltOn4xx": True}),
        ("redirectOn5xx", {"filter": "IDVPageURLRequested", "redirectOn5xx": "https://e.com"}),
        ("onSilence", {"filter": "IDVPageURLRequested", "onSilence": "halt"}),
        ("redirectOn4xx", {"filter": "InstructorDashboardRenderStarted", "redirectOn4xx": "https://e.com"}),
        ("secret", {"secret": "hunter2"}),
    ],
)
def test_what_a_filter_cannot_do_is_refused_with_the_field(site, hook, field, settings):
    body = {"filter": LOGIN, "url": hook.url, **settings}
    assert_invalid(site.api.post(site.path, {k: v for k, v in body.items() if v is not None}), field=field)


def test_changing_the_filter_checks_what_is_set_already(site, hook):
    made = site.add(hook, haltOn4xx=True)
    change = {"filter": "IDVPageURLRequested"}
    assert_invalid(site.api.patch(f"{site.path}/{made['id']}", change), field="haltOn4xx")
    assert site.api.patch(f"{site.path}/{made['id']}", {**change, "haltOn4xx": False}).status_code == 200


def test_the_catalogue_says_what_each_filter_can_do(site, hook):
    site.add(hook)
    site.add(hook, enabled=False)
    site.add(hook, filter="campus.room.booked")
    filters = {f["name"]: f for f in site.api.get(f"{site.path}/filter/").json()["data"]}
    assert len(filters) == 44 and sum(f["offered"] for f in filters.values()) == 28
    login = filters[LOGIN]
    assert (login["webfilters"], login["haltException"], login["canRedirect"]) == (1, "PreventLogin", True)
    assert login["updates"] == {"user": "save", "profile": "save"} and "event_metadata" not in login["example"]
    assert filters["campus.room.booked"]["exceptions"] is None
    one = site.api.get(f"{site.path}/filter/org.openedx.learning.student.login.requested.v1/").json()
    assert one == login
    assert_error(site.api.get(f"{site.path}/filter/Nonsense"), 404, "not_found")


def test_tokens_permit_what_they_permit_for_endpoints(site, hook):
    made = site.add(hook)
    app = site.path.split("/")[2]
    own = site.api.for_app(app)
    other = site.api.for_app(site.api.app()["id"])
    assert own.post(f"{site.path}/run", {"filter": LOGIN, "payload": PAYLOAD}).status_code == 200
    assert_error(other.get(f"{site.path}/{made['id']}"), 404, "not_found")
    assert_error(other.post(f"{site.path}/run", {"filter": LOGIN, "payload": {}}), 404, "not_found")
    portal = site.api.post(f"/auth/app-portal-access/{app}", {"capabilities": ["ViewBase"]}).json()["token"]
    viewer = site.api.with_token(portal)
    with_password = {"url": hook.url.replace("http://", "http://zoe7:s3cret@")}
    assert site.api.patch(f"{site.path}/{made['id']}", with_password).json()["url"] == with_password["url"]
    for answer in (viewer.get(f"{site.path}/{made['id']}"), viewer.get(site.path)):
        assert answer.status_code == 200 and "zoe7" not in answer.text and "s3cret" not in answer.text
    for method, path, body in [
        ("POST", "", {"filter": LOGIN, "url": hook.url}),
        ("PATCH", f"/{made['id']}", {"enabled": False}),
        ("DELETE", f"/{made['id']}", None),
        ("GET", f"/{made['id']}/secret", None),
        ("POST", f"/{made['id']}/secret/rotate", {}),
        ("POST", "/run", {"filter": LOGIN, "payload": {}}),
        ("POST", "/try", {"filter": LOGIN, "call": True}),
    ]:
        assert_error(viewer.request(method, f"{site.path}{path}", json=body), 403, "insufficient access")
    assert site.api.with_token(None).get(site.path).status_code == 401


# Asking them.


def test_a_request_looks_like_the_originals_and_is_signed(site, hook, receiver):
    made = site.add(hook)
    older = receiver.hook()
    site.add(older, wireVersion="v21", encoding="form")
    run = site.run()
    (asked,), (asked_older,) = hook.wait(), older.wait()
    secret = site.api.get(f"{site.path}/{made['id']}/secret").json()["key"]
    verifies(secret, asked)
    assert asked.headers["webhook-id"] == asked_older.headers["webhook-id"] == run["id"]
    assert asked.headers["content-type"] == "application/json"
    body = json.loads(asked.body)
    assert list(body) == ["user", "profile", "event_metadata"]
    assert body["user"] == {"id": 4, "username": "jane", "first_name": "Jane"}, "what is protected never leaves"
    assert body["event_metadata"]["event_type"] == LOGIN and body["event_metadata"]["time"].endswith("+00:00")
    assert asked.body == json.dumps(body).encode(), "the bytes are those that Python writes"
    pairs = dict(parse_qsl(asked_older.body.decode(), keep_blank_values=True))
    assert (pairs["user_first_name"], pairs["profile_name"]) == ("Jane", "Jané Doe")
    assert "T" not in pairs["event_metadata_time"] and "user_password" not in pairs
    assert asked_older.headers["content-type"] == "application/x-www-form-urlencoded"


def test_rotation_signs_with_both_secrets_for_a_while(site, hook):
    made = site.add(hook)
    path = f"{site.path}/{made['id']}/secret"
    old = site.api.get(path).json()["key"]
    new = site.api.post(f"{path}/rotate", {}).json()["key"]
    assert new != old and site.api.get(path).json()["key"] == new
    site.run()
    (asked,) = hook.wait()
    verifies(old, asked)
    verifies(new, asked)


def test_data_is_combined_in_the_order_of_the_webfilters_whoever_is_faster(site, receiver):
    slow, quick, first = receiver.hook(), receiver.hook(), receiver.hook()
    slow.respond(says(body={"data": {"user": {"first_name": "A"}, "profile": {"name": "A"}}}, delay=0.3))
    quick.respond(says(body={"data": {"user": {"email": "b@example.edu"}}}))
    first.respond(says(body={"data": {"profile": {"name": "first"}, "course": 1}}))
    made = [site.add(slow), site.add(quick), site.add(first, order=-1)]
    run = site.run()
    assert run["outcome"] == "change" and run["exception"] is None and run["halt"] is None
    assert run["data"] == {"profile": {"name": "A"}, "user": {"email": "b@example.edu"}}
    assert run["effects"] == {"profile": "save", "user": "save"}
    assert [a["webfilter"] for a in run["answers"]] == [made[2]["id"], made[0]["id"], made[1]["id"]]
    assert [a["result"] for a in run["answers"]] == ["used"] * 3
    assert "course" in run["answers"][0]["notes"][0]


def test_three_take_as_long_as_the_slowest(room, receiver):
    for _ in range(3):
        hook = receiver.hook()
        hook.respond(says(delay=1.0))
        room.add(hook, filter="room.join")
    began = time.monotonic()
    run = room.run(filter="room.join", payload={})
    assert run["outcome"] == "pass" and 1.0 <= time.monotonic() - began < 2.9


def test_an_exception_is_raised_with_the_arguments_that_it_takes(site, hook):
    answer = {"exception": {"PreventLogin": {"message": "no", "redirect_to": "https://e.com", "status_code": 403}}}
    hook.respond(says(body={**answer, "data": {"user": {"first_name": "X"}}}))
    made = site.add(hook)
    run = site.run()
    raised = {"name": "PreventLogin", "arguments": {"message": "no", "redirect_to": "https://e.com"}}
    assert (run["outcome"], run["exception"], run["data"]) == ("raise", raised, {})
    # Under version 21 data is applied first.
    site.api.patch(f"{site.path}/{made['id']}", {"wireVersion": "v21"})
    assert site.run()["data"] == {"user": {"first_name": "X"}}
    site.api.patch(f"{site.path}/{made['id']}", {"wireVersion": None, "disableHalting": True})
    run = site.run()
    assert (run["outcome"], run["exception"], run["data"]) == ("change", None, {"user": {"first_name": "X"}})
    site.api.patch(f"{site.path}/{made['id']}", {"disableFiltering": True})
    run = site.run()
    assert (run["outcome"], run["answers"][0]["result"]) == ("pass", "empty")


def test_ids_of_objects_in_memory_are_set_under_version_21_only(site, hook):
    asked = {"current_membership": {"id": 7}, "target_cohort": {"id": 8, "name": "B"}}
    hook.respond(says(body={"data": asked}))
    made = site.add(hook, "CohortChangeRequested", wireVersion="v21")
    payload = {"current_membership": {"id": 1}, "target_cohort": {"id": 2, "name": "A"}}
    assert site.run("CohortChangeRequested", payload)["data"] == asked
    site.api.patch(f"{site.path}/{made['id']}", {"wireVersion": "v22"})
    run = site.run("CohortChangeRequested", payload)
    assert run["data"]["target_cohort"] == {"name": "B"}
    assert "data.target_cohort.id is ignored: it cannot be changed" in run["answers"][0]["notes"]


def test_halts_raise_the_filters_exception_and_nothing_else_counts(site, receiver):
    good, bad, after = receiver.hook(), receiver.hook(), receiver.hook()
    good.respond(says(body={"data": {"user": {"first_name": "X"}}}))
    bad.respond(says(404, {"data": {"user": {"first_name": "Y"}}}))
    after.respond(says(body={"exception": {"PreventLogin": "later"}}, delay=4.0))
    site.add(good)
    halting = site.add(bad, haltOn4xx=True, redirectOn4xx="https://campus.example.edu/no")
    site.add(after)
    began = time.monotonic()
    run = site.run()
    assert time.monotonic() - began < 3.5, "what comes behind a halt is not waited for"
    assert (run["outcome"], run["data"]) == ("halt", {})
    halt = run["halt"]
    assert (halt["webfilter"], halt["because"], halt["status"]) == (halting["id"], "status4xx", 404)
    assert halt["redirectTo"] == run["exception"]["arguments"]["redirect_to"] == "https://campus.example.edu/no"
    assert run["exception"]["name"] == "PreventLogin" and set(run["exception"]["arguments"]) == {"message", "redirect_to"}
    assert [a["result"] for a in run["answers"]] == ["used", "halted", "unneeded"]

    bad.respond(says(503))
    assert site.run()["exception"]["arguments"] == {"message": "later"}
    site.api.patch(f"{site.path}/{halting['id']}", {"haltOn5xx": True})
    assert site.run()["halt"]["because"] == "status5xx"


def test_a_call_that_fails_passes_or_halts_as_was_chosen(site, receiver):
    unused = receiver.hook("/gone").url.replace(str(receiver.port), "1")
    made = site.add(unused)
    run = site.run()
    assert (run["outcome"], run["answers"][0]["result"], run["answers"][0]["reason"]) == (
        "pass", "failed", "connection-refused",
    )
    site.api.patch(f"{site.path}/{made['id']}", {"onSilence": "halt"})
    assert site.run()["outcome"] == "pass", "a refused connection is not silence"
    site.api.patch(f"{site.path}/{made['id']}", {"haltOnRequestException": True})
    run = site.run()
    assert (run["halt"]["because"], run["halt"]["reason"]) == ("requestException", "connection-refused")
    assert run["exception"]["arguments"]["redirect_to"] == ""


def test_redirects_are_not_followed(site, receiver):
    aim, hook = receiver.hook(), receiver.hook()
    hook.respond(Answer(302, {"location": aim.url}, b'{"data": {"user": {"first_name": "X"}}}'))
    site.add(hook)
    run = site.run()
    assert (run["outcome"], run["answers"][0]["reason"]) == ("pass", "redirect")
    aim.stays_at(0, 0.1)


@pytest.mark.parametrize("silence", ["pass", "halt"])
def test_deadlines_are_kept_whatever_a_receiver_does(site, badly, silence):
    drips = [misbehaving.hang, misbehaving.drip_head, misbehaving.drip_body]
    for behaviour in drips:
        site.add(badly(behaviour), deadlineMs=300, onSilence=silence)
    began = time.monotonic()
    run = site.run()
    # All of the server's own deadlines are longer.
    assert time.monotonic() - began < 4.5
    if silence == "pass":
        assert run["outcome"] == "pass" and [a["result"] for a in run["answers"]] == ["silent"] * 3
    else:
        assert run["halt"]["because"] == "silence" and run["exception"]["name"] == "PreventLogin"


def test_a_run_has_a_deadline_of_its_own(site, badly):
    site.add(badly(misbehaving.hang), deadlineMs=30_000)
    began = time.monotonic()
    run = site.run(deadlineMs=200)
    assert time.monotonic() - began < 8.0 and run["answers"][0]["result"] == "silent"
    assert_invalid(
        site.api.post(f"{site.path}/run", {"filter": LOGIN, "payload": {}, "deadlineMs": 0}), field="deadlineMs"
    )


def test_a_receiver_that_is_plainly_down_is_not_waited_for_every_time(site, badly):
    made = site.add(badly(misbehaving.hang), deadlineMs=50)
    results = [site.run()["answers"][0]["result"] for _ in range(7)]
    assert results == ["silent"] * 5 + ["paused"] * 2
    site.api.patch(f"{site.path}/{made['id']}", {"onSilence": "halt"})
    # A change of the webfilter begins anew.
    assert site.run()["halt"]["because"] == "silence"


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b"", "empty"),
        (b"{}", "empty"),
        (b"<html>no</html>", "notJson"),
        (b"\xff\xfe\x00", "notJson"),
        (b"[" * 50_000, "notJson"),
        (b'{"data": {"user": ' + b"[" * 5_000 + b"]" * 5_000 + b"}}", "notJson"),
        (b"[]", "notObject"),
        (b'["data", "exception"]', "notObject"),
        (b"null", "notObject"),
        (b"7", "notObject"),
        (b'"data"', "notObject"),
        (b'{"data": "x", "exception": ["y"]}', "empty"),
        (b'{"data": {"nobody": {"a": 1}}}', "empty"),
        (b'{"exceptions": {"PreventLogin": "no"}}', "empty"),
        (b'{"exception": {"SystemExit": "no"}}', "empty"),
        (b'{"data": {"user": {"is_superuser": true, "IS_STAFF": true, "password": "x", "id": 1}}}', "used"),
        (b'{"' + b"k" * 500_000 + b'": 1}', "empty"),
    ],
)
def test_hostile_answers_change_nothing(site, hook, body, result):
    hook.respond(Answer(200, {}, body))
    site.add(hook)
    run = site.run()
    assert (run["outcome"], run["data"], run["answers"][0]["result"]) == ("pass", {}, result)
    assert len(json.dumps(run["answers"])) < 10_000


def test_an_answer_that_is_too_large_is_a_failed_call(site, hook, badly):
    hook.respond(Answer(200, {}, b'{"data": {"user": {"bio": "' + b"x" * 1_000_000 + b'"}}}'))
    site.add(hook)
    site.add(badly(misbehaving.flood_body), deadlineMs=5_000)
    run = site.run()
    assert run["outcome"] == "pass"
    assert [(a["result"], a["reason"]) for a in run["answers"]] == [("failed", "answer-too-large")] * 2


def test_protected_fields_leave_and_are_set_only_if_the_operator_says_so(new_server, receiver):
    closed = new_server(webfilter_protected_fields="ssn,Birthday").start()
    opened = new_server(webfilter_allow_protected="both").start()
    payload = {"user": {**USER, "SSN": 1, "birthday": 2}}
    answer = {"data": {"user": {"is_staff": True, "ssn": 3, "first_name": "X"}}}
    seen = {}
    for name, server in (("closed", closed), ("open", opened)):
        api = connect(server)
        site = Site(api, api.app()["id"])
        hook = receiver.hook()
        hook.respond(says(body=answer))
        site.add(hook, filter="login.asked", wireVersion="v21")
        run = site.run(filter="login.asked", payload=payload)
        seen[name] = (json.loads(hook.wait()[0].body)["user"], run["data"]["user"])
        assert "is_staff" not in json.dumps(site.log()[0]["data"]), "the log keeps nothing that is protected"
    assert seen["closed"] == ({"id": 4, "username": "jane", "first_name": "Jane"}, {"first_name": "X"})
    assert seen["open"] == (payload["user"], answer["data"]["user"])


def test_any_application_may_have_filters_of_its_own(room, hook):
    hook.respond(says(body={"data": {"seats": 3}, "exception": {}}))
    made = room.add(hook, filter="room.join", haltOn4xx=True)
    run = room.run(filter="room.join", payload={"room": 7})
    assert (run["outcome"], run["data"], run["effects"]) == ("change", {"seats": 3}, {"seats": "replace"})
    hook.respond(says(body={"exception": {"RoomFull": {"message": "no seat", "any": [1]}}}))
    arguments = {"message": "no seat", "any": [1]}
    assert room.run(filter="room.join")["exception"] == {"name": "RoomFull", "arguments": arguments}
    hook.respond(says(410))
    run = room.run(filter="room.join")
    assert (run["outcome"], run["exception"], run["halt"]["status"]) == ("halt", None, 410)
    room.api.patch(f"{room.path}/{made['id']}", {"haltException": "NoEntry"})
    assert room.run(filter="room.join")["exception"]["arguments"]["status_code"] == 410
    assert room.run(filter="nobody.asks") | {"id": "", "durationMs": 0} == {
        "id": "", "filter": "nobody.asks", "outcome": "pass", "data": {}, "effects": {}, "exception": None,
        "halt": None, "answers": [], "durationMs": 0,
    }


def test_a_payload_has_to_be_an_object_and_a_filter_known(site):
    for payload in ([], "x", None, 1):
        assert_invalid(site.api.post(f"{site.path}/run", {"filter": LOGIN, "payload": payload}), field="payload")
    deep = b'{"filter": "' + LOGIN.encode() + b'", "payload": {"a": ' + b"[" * 120 + b"]" * 120 + b"}}"
    assert site.api.raw("POST", f"{site.path}/run", deep).status_code == 422
    assert_invalid(site.api.post(f"{site.path}/run", {"filter": "Nonsense", "payload": {}}), field="filter")
    assert_invalid(site.api.post(f"{site.path}/run", {"payload": {}}))


# Trying and looking.


def test_a_try_says_what_would_change_and_asks_nobody_unless_told(site, hook, receiver):
    first, second = site.add(hook), site.add(receiver.hook(), enabled=False, uid="off")
    body = {"data": {"profile": {"name": "Jane D."}, "user": {"first_name": ""}}}
    result = site.attempt(answers=[{"webfilter": first["id"], "body": body}])
    assert result["outcome"] == "change"
    assert result["changes"] == [
        {"path": "profile.name", "effect": "save", "before": "Jane Doe", "after": "Jane D."}
    ], "what would stay as it is, is not listed"
    refused = {"webfilter": "off", "status": 403, "body": '{"exception": {"PreventLogin": "no"}}'}
    assert site.attempt(answers=[refused])["outcome"] == "raise"
    site.api.patch(f"{site.path}/off", {"onSilence": "halt"})
    assert site.attempt(answers=[{"webfilter": "off", "failure": "silent"}])["halt"]["because"] == "silence"
    assert site.attempt()["answers"][0]["result"] == "unneeded"
    hook.stays_at(0, 0.1)
    hook.respond(says(body=body))
    result = site.attempt(call=True, payload={"profile": {"name": "x"}})
    assert result["changes"][0]["before"] == "x"
    assert hook.wait()[0].headers["webhook-test"] == "true"
    assert_invalid(site.api.post(f"{site.path}/try", {"filter": LOGIN, "answers": [{"webfilter": "no"}]}))
    assert second["enabled"] is False
    # Of all this, only the one that asked is in the log.
    (logged,) = site.log()
    assert logged["test"] is True


def test_every_run_is_in_the_log_with_what_each_answered(site, hook, receiver):
    down = receiver.hook()
    down.respond(500)
    hook.respond(says(body={"data": {"user": {"first_name": "X", "password": "hunter2"}}}, delay=0.05))
    site.add(hook.url.replace("://", "://user:geheim@") + "?key=geheim")
    site.add(down, filter="IDVPageURLRequested")
    runs = [site.run(), site.run(filter="IDVPageURLRequested", payload={"url": "https://idv.example.edu"})]
    assert site.run(filter="DashboardRenderStarted")["answers"] == []
    lines = site.log(2)
    assert [line["id"] for line in lines] == [runs[1]["id"], runs[0]["id"]], "a run that asked nobody is not logged"
    line = lines[1]
    assert {k: line[k] for k in runs[0] if k != "durationMs"} == {k: v for k, v in runs[0].items() if k != "durationMs"}
    assert line["durationMs"] >= 50 and line["answers"][0]["durationMs"] >= 50 and line["test"] is False
    assert not any(word in json.dumps(lines) for word in ("hunter2", "geheim", "Jané"))
    assert site.api.get(f"{site.path}/log/{line['id']}/").json() == line
    assert [r["id"] for r in site.log(filter=LOGIN)] == [line["id"]]
    assert [r["id"] for r in site.log(outcome="pass")] == [runs[1]["id"]]
    assert_invalid(site.api.get(f"{site.path}/log", outcome="odd"), where="query", field="outcome")
    page = site.api.get(f"{site.path}/log", limit=1).json()
    assert not page["done"]
    rest = site.api.get(f"{site.path}/log", limit=1, iterator=page["iterator"]).json()
    assert [r["id"] for r in rest["data"]] == [line["id"]]
    assert_error(site.api.get(f"{site.path}/log/wfrun_nonsense"), 404, "not_found")


def test_webfilters_and_their_log_survive_a_restart_and_the_log_a_stop(new_server, hook):
    server = new_server().start()
    api = connect(server)
    room = Site(api, api.app()["id"])
    room.add(hook, filter="room.join")
    ids = [room.run(filter="room.join")["id"] for _ in range(5)]
    assert server.stop() == 0
    server.start()
    assert [r["id"] for r in room.log(5)] == ids[::-1]
    assert room.run(filter="room.join")["answers"][0]["status"] == 200


def test_old_runs_leave_the_log(new_server, hook):
    server = new_server(attempt_retention="1s").start()
    api = connect(server)
    room = Site(api, api.app()["id"])
    room.add(hook, filter="room.join")
    room.run(filter="room.join")
    room.log()
    # The look for old ones comes once a minute, and at the start.
    time.sleep(1.1)
    server.restart()
    eventually(lambda: api.get(f"{room.path}/log").json()["data"] == [], what="old runs are still there")
