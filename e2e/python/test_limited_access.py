"""Access that is limited to the channels of one course: what it may do there, and that nothing else is in sight."""

import json

import pytest

from conftest import connect
from support.api import assert_error, assert_invalid, eventually
from support.contract import OPERATIONS
from support.lti import Account, submission

A, B = "course:45", "course:46"


def limited(api, app, *channels, **body):
    """Somebody with a portal link of these channels."""
    answer = api.post(f"/auth/app-portal-access/{app}", {"channels": list(channels), **body})
    assert answer.status_code == 200, answer.text
    return api.with_token(answer.json()["token"])


class Scene:
    """An application with two courses: an endpoint, a message and its attempt in each, and an endpoint that gets all."""

    def __init__(self, api, receiver):
        self.api = api
        self.app = api.app()["id"]
        api.event_type("lesson.started")
        self.hooks = {name: receiver.hook() for name in (A, B, "all")}
        self.endpoints = {name: api.endpoint(self.app, self.hooks[name].url, channels=[name])["id"] for name in (A, B)}
        self.endpoints["all"] = api.endpoint(self.app, self.hooks["all"].url)["id"]
        self.messages = {
            name: api.send(self.app, payload={"of": name}, channels=[name, "school:1"], eventId=f"event-{name[-2:]}")[
                "id"
            ]
            for name in (A, B)
        }
        self.attempts = {
            name: next(a for a in api.attempts(self.app, msg, 2) if a["endpointId"] == self.endpoints[name])["id"]
            for name, msg in self.messages.items()
        }
        self.own = limited(api, self.app, A)

    def path(self, rest=""):
        return f"/app/{self.app}{rest}"

    def names(self, course):
        return {
            "app_id": self.app,
            "endpoint_id": self.endpoints[course],
            "msg_id": self.messages[course],
            "attempt_id": self.attempts[course],
            "event_type_name": "lesson.started",
        }


@pytest.fixture
def scene(api, receiver):
    return Scene(api, receiver)


@pytest.fixture(params=["embedded", "postgresql"])
def either(request, receiver):
    """The same with each engine, where the narrowing is the store's."""
    if request.param == "embedded":
        return Scene(request.getfixturevalue("api"), receiver)
    database, new_node = request.getfixturevalue("database"), request.getfixturevalue("new_node")
    return Scene(connect(new_node(database.url()).start()), receiver)


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["data"]]


# Within.


def test_lists_show_what_lies_within_and_nothing_else(either):
    own, path = either.own, either.path
    assert ids(own.get(path("/endpoint"))) == [either.endpoints[A]]
    assert ids(own.get(path("/msg"), with_content=True)) == [either.messages[A]]
    assert ids(own.get(path("/msg"), channel=B)) == []
    assert ids(own.get(path("/msg"), channel="school:1")) == [either.messages[A]]
    assert ids(own.get(path(f"/attempt/endpoint/{either.endpoints[A]}"))) == [either.attempts[A]]
    # The endpoint that gets everything got this message too; whose it is, and what it answered, is not theirs to see.
    assert ids(own.get(path(f"/attempt/msg/{either.messages[A]}"))) == [either.attempts[A]]
    assert ids(own.get(path(f"/msg/{either.messages[A]}/endpoint"))) == [either.endpoints[A]]
    assert ids(own.get(path(f"/endpoint/{either.endpoints[A]}/msg"))) == [either.messages[A]]
    assert own.get(path(f"/msg/{either.messages[A]}")).json()["payload"] == {"of": A}
    everything = json.dumps(
        [own.get(path(p)).text for p in ("/endpoint", "/msg", f"/attempt/msg/{either.messages[A]}")]
    )
    for hidden in (either.endpoints[B], either.endpoints["all"], either.hooks["all"].url, either.messages[B]):
        assert hidden not in everything


def test_pages_of_endpoints_hold_those_within_only(scene):
    made = [scene.own.endpoint(scene.app, "http://127.0.0.1:9/")["id"] for _ in range(4)]
    for _ in range(3):
        scene.api.endpoint(scene.app, "http://127.0.0.1:9/", channels=[B])
    pages = scene.own.pages(scene.path("/endpoint"), limit=2, order="ascending")
    assert [len(p) for p in pages] == [2, 2, 1]
    assert [e["id"] for p in pages for e in p] == [scene.endpoints[A], *made]


def test_a_new_endpoint_gets_the_channels_put_in_and_only_what_is_published_there(scene, hook):
    made = scene.own.endpoint(scene.app, hook.url)
    assert made["channels"] == [A]
    scene.api.send(scene.app, payload={"n": 1}, channels=[B])
    scene.api.send(scene.app, payload={"n": 2})
    scene.api.send(scene.app, payload={"n": 3}, channels=[A, "assignment:7"])
    assert [json.loads(r.body) for r in hook.wait()] == [{"n": 3}]
    hook.stays_at(1)
    path = scene.path(f"/endpoint/{made['id']}")
    assert scene.own.patch(path, {"channels": None}).json()["channels"] == [A]
    assert scene.own.put(path, {"url": hook.url}).json()["channels"] == [A]
    for outside in ([B], [A, B], ["course:4"], ["course:455"]):
        for answer in (
            scene.own.patch(path, {"channels": outside}),
            scene.own.put(path, {"url": hook.url, "channels": outside}),
            scene.own.post(scene.path("/endpoint"), {"url": hook.url, "channels": outside}),
        ):
            assert_invalid(answer, field="channels")


def test_a_course_with_its_assignments(scene, receiver):
    own = limited(scene.api, scene.app, A, "assignment:7", "assignment:8")
    both, one = receiver.hook(), receiver.hook()
    assert own.endpoint(scene.app, both.url)["channels"] == ["assignment:7", "assignment:8", A]
    assert own.endpoint(scene.app, one.url, channels=["assignment:8"])["channels"] == ["assignment:8"]
    sent = [scene.api.send(scene.app, channels=[c])["id"] for c in ("assignment:7", "assignment:8", "assignment:9", A)]
    assert {r.id for r in both.wait(3)} == {sent[0], sent[1], sent[3]}
    assert [r.id for r in one.wait()] == [sent[1]]
    assert sent[2] not in ids(own.get(scene.path("/msg")))
    # Who sees the course alone does not see an endpoint that listens to more.
    assert ids(scene.own.get(scene.path("/endpoint"))) == [scene.endpoints[A]]


def test_within_everything_works_that_a_portal_allows(scene):
    own, endpoint, message = scene.own, scene.endpoints[A], scene.messages[A]
    path = scene.path(f"/endpoint/{endpoint}")
    assert own.patch(path, {"description": "ours"}).status_code == 200
    assert own.put(f"{path}/headers", {"headers": {"x-a": "1"}}).status_code == 204
    assert own.get(f"{path}/secret").status_code == 200
    assert own.get(f"{path}/stats").status_code == 200
    assert own.post(scene.path(f"/msg/{message}/endpoint/{endpoint}/resend")).status_code == 202
    again = scene.hooks[A].wait(2)
    assert [r.id for r in again] == [message, message]
    missed = scene.own.endpoint(scene.app, scene.hooks[A].url)["id"]
    since = {"since": own.get(scene.path(f"/msg/{message}")).json()["timestamp"]}
    task = own.post(scene.path(f"/endpoint/{missed}/replay-missing"), since)
    assert task.status_code == 202
    assert own.get(f"/background-task/{task.json()['id']}").status_code == 200
    assert ids(own.get("/background-task")) == [task.json()["id"]]
    assert [r.id for r in scene.hooks[A].wait(3)] == [message] * 3
    scene.hooks[A].stays_at(3)
    assert own.delete(scene.path(f"/endpoint/{missed}")).status_code == 204


def test_the_log_says_which_access_it_was(scene):
    made = scene.own.endpoint(scene.app, "http://127.0.0.1:9/")["id"]
    entry = scene.api.get("/audit", object=made).json()["data"][0]
    assert (entry["actorKind"], entry["actor"]) == ("application", f"{scene.app} ({A})")
    link = scene.api.get("/audit", action="portal_link.created").json()["data"][0]
    assert link["detail"] == f"every capability; limited to {A}"


# Crossing.


def test_what_lies_outside_does_not_exist_for_any_operation(scene):
    own, used = scene.own, 0
    since = scene.api.get(scene.path(f"/msg/{scene.messages[B]}")).json()["timestamp"]
    body = {"url": "http://127.0.0.1:9/", "since": since, "headers": {}, "eventType": "svix.ping"}
    for course in (B, "all"):
        names = {**scene.names(B), "endpoint_id": scene.endpoints[course]}
        for operation in OPERATIONS:
            named = [n for n in ("endpoint_id", "msg_id", "attempt_id") if f"{{{n}}}" in operation.path]
            if operation.who != "application" or not named or (course == "all" and "endpoint_id" not in named):
                continue
            raw = json.dumps(body).encode() if operation.method in ("POST", "PUT", "PATCH") else b""
            response = own.raw(operation.method, operation.path.format(**names), raw)
            if operation.method == "PUT" and operation.path.endswith("/endpoint/{endpoint_id}"):
                # As for any name that nobody has, a new one is made, within.
                assert (response.status_code, response.json()["channels"]) == (201, [A])
                continue
            assert response.status_code == 404, f"{operation}: {response.status_code} {response.text}"
            assert_error(response, 404, "not_found")
            used += 1
    assert used > 20
    # Nothing of it was changed, resent or removed.
    for course in (B, "all"):
        assert scene.api.get(scene.path(f"/endpoint/{scene.endpoints[course]}")).status_code == 200
    scene.hooks[B].stays_at(1)
    scene.hooks["all"].stays_at(2)


def test_messages_and_endpoints_of_two_courses_cannot_be_mixed(either):
    own = either.own
    for message, endpoint in ((B, A), (A, B), (B, B), (A, "all")):
        path = either.path(f"/msg/{either.messages[message]}/endpoint/{either.endpoints[endpoint]}/resend")
        assert_error(own.post(path), 404, "not_found")
    for message, endpoint in ((B, A), (A, "all")):
        path = either.path(f"/attempt/msg/{either.messages[message]}")
        assert own.get(path, endpoint_id=either.endpoints[endpoint]).status_code == 404
    other = either.attempts[B]
    assert own.get(either.path(f"/msg/{either.messages[A]}/attempt/{other}")).status_code == 404
    to_all = next(
        a for a in either.api.attempts(either.app, either.messages[A], 2) if a["endpointId"] == either.endpoints["all"]
    )
    assert own.get(either.path(f"/msg/{either.messages[A]}/attempt/{to_all['id']}")).status_code == 404
    assert own.get(either.path("/msg/event-46")).status_code == 404
    assert own.get(either.path("/msg/event-45")).status_code == 200


def test_what_belongs_to_the_whole_application_is_out_of_sight(scene):
    own, path = scene.own, scene.path
    assert own.get(path()).status_code == 404
    filter_ = scene.api.post(path("/webfilter"), {"filter": "a.filter", "url": scene.hooks[B].url})
    assert filter_.status_code == 201, filter_.text
    here = path(f"/webfilter/{filter_.json()['id']}")
    for method, where, body in (
        ("GET", path("/webfilter"), None),
        ("POST", path("/webfilter"), {"filter": "a.filter", "url": "http://127.0.0.1:9/"}),
        ("GET", here, None),
        ("PUT", here, {"filter": "a.filter", "url": "http://127.0.0.1:9/"}),
        ("PATCH", here, {"enabled": False}),
        ("DELETE", here, None),
        ("GET", f"{here}/secret", None),
        ("POST", f"{here}/secret/rotate", {}),
        ("GET", path("/webfilter/filter"), None),
        ("GET", path("/webfilter/log"), None),
        ("POST", path("/webfilter/try"), {"filter": "a.filter"}),
        ("POST", path("/webfilter/run"), {"filter": "a.filter", "payload": {}}),
        ("POST", path("/signing-keys/rotate"), {}),
    ):
        answer = own.request(method, where, json=body)
        assert answer.status_code == 404, f"{method} {where}: {answer.status_code} {answer.text}"
    assert scene.api.get(here).json()["enabled"] is True
    for method, where in (
        ("PATCH", path()),
        ("DELETE", path()),
        ("POST", path("/msg")),
        ("POST", path("/msg/batch/")),
        ("GET", path("/audit")),
        ("GET", path("/lti/tool-proxy")),
        ("GET", "/app"),
        ("POST", "/event-type"),
        ("POST", f"/auth/app-portal-access/{scene.app}"),
    ):
        assert own.request(method, where, json={}).status_code == 403, (method, where)
    # What can be chosen from is the same for everybody.
    assert [t["name"] for t in own.get("/event-type").json()["data"]] == ["lesson.started"]


def test_tasks_of_others_are_out_of_sight(scene):
    since = {"since": scene.api.get(scene.path(f"/msg/{scene.messages[B]}")).json()["timestamp"]}
    task = scene.api.post(scene.path(f"/endpoint/{scene.endpoints[B]}/recover"), since).json()["id"]
    assert scene.own.get(f"/background-task/{task}").status_code == 404
    assert ids(scene.own.get("/background-task")) == []
    assert task in ids(scene.api.for_app(scene.app).get("/background-task"))


def test_precheck_says_nothing_about_endpoints_outside(scene):
    path = scene.path("/msg/precheck/active")

    def ask(channels):
        answer = scene.own.post(path, {"eventType": "lesson.started", "channels": channels})
        return answer.json()["active"]

    assert (ask([A]), ask([B]), ask(["x"])) == (True, False, False)


def test_an_endpoint_that_came_from_elsewhere_shows_and_sends_nothing_of_there(either, receiver):
    """Its course was another one before: what it got then, and what waits of it, stays out of reach."""
    old, new = receiver.hook(), receiver.hook()
    old.respond(500)
    moved = either.api.endpoint(either.app, old.url, channels=[B], retrySchedule=["1s"] * 8)["id"]
    foreign = either.api.send(either.app, payload={"secret": "of B"}, channels=[B])
    old.wait()
    path = either.path(f"/endpoint/{moved}")
    assert either.api.patch(path, {"channels": [A]}).status_code == 200
    assert ids(either.own.get(either.path(f"/attempt/endpoint/{moved}"))) == []
    assert ids(either.own.get(f"{path}/msg")) == []
    # They send it to themselves, and ask for everything that there is.
    assert either.own.patch(path, {"url": new.url}).status_code == 200
    assert either.own.post(f"{path}/recover", {"since": foreign["timestamp"]}).status_code == 202
    assert either.own.post(f"{path}/replay-missing", {"since": foreign["timestamp"]}).status_code == 202
    assert_error(either.own.post(either.path(f"/msg/{foreign['id']}/endpoint/{moved}/resend")), 404)
    own = either.api.send(either.app, payload={"of": A}, channels=[A])["id"]
    eventually(lambda: own in new.ids(), what="the course's own message did not arrive")
    new.stays_at(len(new.received), seconds=1.5)
    assert foreign["id"] not in new.ids() and all(b"of B" not in r.body for r in new.received)
    # Not even if the operator asks for it by mistake.
    either.api.post(either.path(f"/msg/{foreign['id']}/endpoint/{moved}/resend"))
    new.stays_at(len(new.received))


def test_a_recovery_by_somebody_who_is_limited_takes_nothing_else_along(scene, receiver):
    hook = receiver.hook()
    hook.respond(500, 500, 200)
    moved = scene.api.endpoint(scene.app, hook.url, channels=[A, B], retrySchedule=[])["id"]
    foreign = scene.api.send(scene.app, channels=[B])
    hook.wait(1)
    mine = scene.api.send(scene.app, channels=[A])
    hook.wait(2)
    eventually(lambda: len(ids(scene.api.get(scene.path(f"/attempt/endpoint/{moved}")))) == 2)
    path = scene.path(f"/endpoint/{moved}")
    scene.api.patch(path, {"channels": [A]})
    assert scene.own.post(f"{path}/recover", {"since": foreign["timestamp"]}).status_code == 202
    assert [r.id for r in hook.wait(3)] == [foreign["id"], mine["id"], mine["id"]]
    hook.stays_at(3)


def test_uids_of_others_are_not_found(scene):
    named = scene.api.endpoint(scene.app, "http://127.0.0.1:9/", uid="theirs", channels=[B])["id"]
    assert scene.own.get(scene.path("/endpoint/theirs")).status_code == 404
    assert scene.own.delete(scene.path("/endpoint/theirs")).status_code == 404
    assert scene.api.get(scene.path("/endpoint/theirs")).json()["id"] == named


# The link itself.


def test_channels_of_a_link_are_checked(scene):
    path = f"/auth/app-portal-access/{scene.app}"
    for wrong in ([], ["a b"], [""], [f"course:{n}" for n in range(11)]):
        assert_invalid(scene.api.post(path, {"channels": wrong}), field="channels")
    for everything in ({}, {"channels": None}):
        token = scene.api.post(path, everything).json()["token"]
        assert len(ids(scene.api.with_token(token).get(scene.path("/endpoint")))) == 3


def test_a_token_with_channels_that_cannot_be_read_opens_nothing(scene):
    for odd in ([], ["a b"], "course:45", {}):
        answer = scene.api.for_app(scene.app, channels=odd).get(scene.path("/endpoint"))
        assert_error(answer, 401, "authentication_failed")
    assert ids(scene.api.for_app(scene.app, channels=[B]).get(scene.path("/endpoint"))) == [scene.endpoints[B]]


def test_capabilities_hold_beside_channels(scene):
    looks = limited(scene.api, scene.app, A, capabilities=["ViewBase"])
    assert ids(looks.get(scene.path("/endpoint"))) == [scene.endpoints[A]]
    assert looks.post(scene.path("/endpoint"), {"url": "http://127.0.0.1:9/"}).status_code == 403
    assert looks.get(scene.path(f"/endpoint/{scene.endpoints[B]}")).status_code == 404


def test_on_canvas_both_numbers_of_a_course_are_the_course(api, receiver):
    account = Account(api, id="21070000000000001")
    hook = receiver.hook()
    own = limited(api, account.id, A)
    made = own.endpoint(account.id, hook.url)
    assert sorted(made["channels"]) == ["course:21070000000000045", A]
    account.publish("submission_created", submission(), ["course:21070000000000045"])
    account.publish("submission_created", submission(), ["course:21070000000000046"])
    account.publish("submission_created", submission(), ["course:45", "assignment:565"])
    hook.wait(2)
    hook.stays_at(2)
    assert len(ids(own.get(f"/app/{account.id}/msg"))) == 2
    # A tool's subscription to the course is an endpoint like others.
    tool = account.install()
    tool.subscribed(
        ContextId="45",
        ContextType="course",
        EventTypes=["submission_created"],
        Format="live-event",
        TransportType="https",
        TransportMetadata={"Url": hook.url},
    )
    assert len(ids(own.get(f"/app/{account.id}/endpoint"))) == 2
