"""Tokens: who is let in, and what the others are told."""

import base64
import json
import time

import pytest

from conftest import connect
from support.api import assert_error, make_token
from support.server import new_organization


def test_without_a_valid_token_nobody_gets_in(api, server):
    org = api.organization
    alien = make_token("another secret" * 4, org)
    for headers in (
        {},
        {"authorization": "Basic eDp5"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer not.a.token"},
        {"authorization": f"Bearer {alien}"},
        {"authorization": f"Bearer {make_token(server.jwt_secret, org, exp=int(time.time()) - 3600)}"},
        {"authorization": f"Bearer {make_token(server.jwt_secret, org, nbf=int(time.time()) + 3600)}"},
    ):
        body = assert_error(api.with_token(None).request("GET", "/app", headers=headers), 401, "authentication_failed")
        assert body["detail"] == "Invalid token", headers


def test_a_token_without_a_signature_is_refused(api):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    forged = f"{part({'alg': 'none', 'typ': 'JWT'})}.{part({'sub': api.organization})}."
    assert_error(api.with_token(forged).get("/app"), 401, "authentication_failed")


def test_clocks_may_differ_by_some_minutes(api, server):
    now = int(time.time())
    for claims in ({"exp": now - 600}, {"nbf": now + 600}):
        assert api.with_token(make_token(server.jwt_secret, api.organization, **claims)).get("/app").status_code == 200


def test_only_the_subject_is_required(api, server):
    bare = make_token(server.jwt_secret, api.organization, iss=None, iat=None, exp=None, nbf=None)
    assert api.with_token(bare).get("/app").status_code == 200


def test_using_the_signing_secret_as_a_token_is_explained(api, server):
    body = assert_error(api.with_token(server.jwt_secret).get("/app"), 401)
    assert "secret" in body["detail"].lower()


def test_malformed_subjects(api, server):
    body = assert_error(api.with_token(make_token(server.jwt_secret, None)).get("/app"), 401)
    assert "sub" in body["detail"]
    assert_error(api.with_token(make_token(server.jwt_secret, "user_1")).get("/app"), 400, "bad_token")
    for sub, org in (("app_2x", "nonsense"), ("org_2x", new_organization()), ("user", new_organization())):
        answer = api.with_token(make_token(server.jwt_secret, sub, org)).get("/app/app_2x")
        assert assert_error(answer, 400)["code"] in ("bad token", "bad_token"), (sub, org)


def test_the_token_command_prints_a_token_and_nothing_else(server, api):
    token = server.token()
    assert token.count(".") == 2 and "\n" not in token
    assert api.with_token(token).get("/app").status_code == 200


def test_organizations_are_implicit_and_separate(server):
    one, two = connect(server), connect(server)
    app = one.app(uid="shared-name")
    one.event_type("lesson.started")
    assert two.app(uid="shared-name")["id"] != app["id"]
    assert_error(two.get(f"/app/{app['id']}"), 404, "not_found")
    assert two.get("/event-type").json()["data"] == []
    assert_error(two.delete(f"/app/{app['id']}"), 404, "not_found")
    assert one.get(f"/app/{app['id']}").status_code == 200


@pytest.mark.parametrize("by", ["id", "uid"])
def test_an_application_token_works_by_the_applications_id_and_uid(api, by):
    app = api.app(uid="room-9")
    own = api.for_app(app["id"])
    assert own.get(f"/app/{app[by]}").json()["id"] == app["id"]
    assert own.get(f"/app/{app[by]}/endpoint").status_code == 200
