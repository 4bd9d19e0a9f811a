"""What an application token may do: its own application, and nothing that is the organization's."""

import pytest

from support.api import assert_error
from support.contract import OPERATIONS


@pytest.fixture
def scene(api, hook):
    """Two applications, the first with everything that a path can name."""
    app, other = api.app(), api.app()
    api.event_type("lesson.started")
    endpoint = api.endpoint(app["id"], hook.url)
    message = api.send(app["id"])
    attempt = api.attempts(app["id"], message["id"])[0]
    names = {
        "app_id": app["id"],
        "endpoint_id": endpoint["id"],
        "msg_id": message["id"],
        "attempt_id": attempt["id"],
        "event_type_name": "lesson.started",
    }
    return names, other


ORGANIZATION_ONLY = [o for o in OPERATIONS if o.who == "organization"]
IN_AN_APPLICATION = [o for o in OPERATIONS if o.who == "application" and "{app_id}" in o.path]


def test_organization_operations_refuse_application_tokens_before_they_read_the_body(api, scene):
    names, _ = scene
    own = api.for_app(names["app_id"])
    for operation in ORGANIZATION_ONLY:
        body = b"{}" if operation.method in ("POST", "PUT", "PATCH") else b""
        response = own.raw(operation.method, operation.path.format(**names), body)
        assert response.status_code == 403, f"{operation}: {response.status_code} {response.text}"
        assert_error(response, 403, "insufficient access")
    assert api.get(f"/app/{names['app_id']}").status_code == 200, "something was deleted all the same"


def test_another_application_does_not_exist_for_an_application_token(api, scene):
    names, other = scene
    stranger = api.for_app(other["id"])
    for operation in IN_AN_APPLICATION:
        response = stranger.raw(operation.method, operation.path.format(**names), b"")
        assert response.status_code == 404, f"{operation}: {response.status_code} {response.text}"
        assert_error(response, 404, "not_found")


def test_reading_operations_work_with_the_applications_own_token(api, scene):
    names, _ = scene
    own = api.for_app(names["app_id"])
    for operation in OPERATIONS:
        if operation.who == "application" and operation.method == "GET":
            response = own.get(operation.path.format(**names))
            assert response.status_code == 200, f"{operation}: {response.status_code} {response.text}"


def test_an_application_token_runs_its_endpoints(api, hook):
    app = api.app()["id"]
    own = api.for_app(app)
    endpoint = own.endpoint(app, hook.url)
    path = f"/app/{app}/endpoint/{endpoint['id']}"
    assert own.patch(path, {"description": "mine"}).status_code == 200
    assert own.put(path, {"url": hook.url}).status_code == 200
    assert own.put(f"{path}/headers", {"headers": {"x-a": "1"}}).status_code == 204
    assert own.patch(f"{path}/headers", {"headers": {"x-b": "2"}}).status_code == 204
    assert own.post(f"{path}/secret/rotate", {}).status_code == 200
    message = api.send(app)
    hook.wait()
    assert own.post(f"/app/{app}/msg/{message['id']}/endpoint/{endpoint['id']}/resend").status_code == 202
    assert own.post(f"{path}/recover", {"since": message["timestamp"]}).status_code == 202
    assert own.delete(path).status_code == 204


def test_a_token_of_an_application_that_is_gone_finds_nothing(api):
    app = api.app()["id"]
    own = api.for_app(app)
    api.delete(f"/app/{app}")
    assert_error(own.get(f"/app/{app}/endpoint"), 404, "not_found")


def test_logout_needs_no_token(api):
    response = api.with_token(None).post("/auth/logout")
    assert (response.status_code, response.content) == (204, b"")


def test_batch_publishing_is_the_organizations(api):
    app = api.app()["id"]
    response = api.for_app(app).post(f"/app/{app}/msg/batch/", {"messages": []})
    assert_error(response, 403, "insufficient access")


def test_portal_tokens_carry_their_feature_flags(api):
    app = api.app()["id"]
    api.event_type("open.type")
    api.event_type("beta.type", featureFlag="beta")

    def portal(**body):
        answer = api.post(f"/auth/app-portal-access/{app}", body)
        assert answer.status_code == 200
        return api.with_token(answer.json()["token"])

    def names(who):
        return [t["name"] for t in who.get("/event-type").json()["data"]]

    assert names(portal()) == ["open.type"]
    assert names(portal(featureFlags=["beta"])) == ["beta.type", "open.type"]
    assert_error(portal().get("/event-type/beta.type"), 404, "not_found")
    assert portal(featureFlags=["beta"]).get("/event-type/beta.type").status_code == 200


def test_portal_access_may_create_the_application(api):
    assert_error(api.post("/auth/app-portal-access/new-room", {}), 404, "not_found")
    body = {"application": {"name": "New room", "uid": "new-room"}}
    assert api.post("/auth/app-portal-access/new-room", body).status_code == 200
    assert api.get("/app/new-room").json()["name"] == "New room"
    wrong = {"application": {"name": "x", "uid": "other"}}
    detail = api.post("/auth/app-portal-access/third-room", wrong)
    assert detail.status_code == 422 and detail.json()["detail"][0]["type"] == "application_uid_mismatch"


def test_who_may_only_look_sees_no_credentials_in_addresses(api, hook):
    app = api.app()["id"]
    address = hook.url.replace("http://", "http://zoe7:s3cret@")
    endpoint = api.endpoint(app, address)["id"]
    message = api.send(app)["id"]
    hook.wait()
    api.attempts(app, message)
    paths = [f"/endpoint/{endpoint}", "/endpoint", f"/msg/{message}/endpoint", f"/attempt/msg/{message}"]

    def seen(**body):
        who = api.with_token(api.post(f"/auth/app-portal-access/{app}", body).json()["token"])
        answers = [who.get(f"/app/{app}{path}") for path in paths]
        assert all(a.status_code == 200 for a in answers)
        return [a.text for a in answers]

    for text in seen(capabilities=["ViewBase", "ViewEndpointSecret", "CreateAttempts"]) + seen(readOnly=True):
        assert "s3cret" not in text and "zoe7" not in text, text
    assert "http://***@" in seen(readOnly=True)[0]
    # Who may change an address reads it, so that a change of something else keeps it.
    assert address in seen()[0] and address in api.get(f"/app/{app}/endpoint/{endpoint}").text


def test_a_link_that_is_asked_for_as_read_only_is(api, hook):
    app = api.app()["id"]
    body = {"readOnly": True, "capabilities": ["ManageEndpoint", "CreateAttempts"]}
    portal = api.with_token(api.post(f"/auth/app-portal-access/{app}", body).json()["token"])
    assert portal.get(f"/app/{app}/endpoint").status_code == 200
    assert_error(portal.post(f"/app/{app}/endpoint", {"url": hook.url}), 403, "insufficient access")
