"""The audit log through the API: each operation leaves one entry, and who may not see it does not."""

from conftest import connect
from support.api import assert_error, assert_invalid


def entries(api, **narrow):
    return api.get("/audit", limit=250, **narrow).json()["data"]


def did(api, **narrow):
    return [entry["action"] for entry in entries(api, **narrow)]


def test_every_operation_that_changes_or_reveals_leaves_one_entry(api, hook):
    app = api.app(name="Class 7b")
    endpoint = api.endpoint(app["id"], hook.url)
    here = f"/app/{app['id']}/endpoint/{endpoint['id']}"
    assert api.patch(here, {"description": "new", "url": hook.url}).status_code == 200
    assert api.patch(f"{here}/headers", {"headers": {"X-A": "a secret value"}}).status_code == 204
    secret = api.secret(app["id"], endpoint["id"])
    assert api.post(f"{here}/secret/rotate", {}).status_code == 200
    api.event_type("lesson.started")
    message = api.send(app["id"], payload={"student": "Ada"})
    api.get(f"/app/{app['id']}/msg/{message['id']}")
    api.get(f"/app/{app['id']}/msg/{message['id']}")
    assert api.post(f"/app/{app['id']}/msg/{message['id']}/endpoint/{endpoint['id']}/resend").status_code == 202
    assert api.post(f"/auth/app-portal-access/{app['id']}", {"capabilities": ["ViewBase"]}).status_code == 200
    assert api.delete(here).status_code == 204
    assert api.delete(f"/app/{app['id']}").status_code == 204
    assert did(api, order="ascending") == [
        "application.created",
        "endpoint.created",
        "endpoint.updated",
        "endpoint.headers_updated",
        "secret.revealed",
        "secret.rotated",
        "event_type.created",
        "payload.viewed",
        "message.resent",
        "portal_link.created",
        "endpoint.deleted",
        "application.deleted",
    ]
    updated = entries(api, action="endpoint.updated")[0]
    assert updated["detail"] == "url, description"
    assert (updated["actorKind"], updated["actor"]) == ("token", api.organization)
    assert (updated["object"], updated["appId"]) == (endpoint["id"], app["id"])
    text = api.get("/audit", limit=250).text
    assert secret not in text and "a secret value" not in text and "Ada" not in text


def test_it_is_narrowed_and_read_in_pages(api):
    apps = [api.app() for _ in range(5)]
    own = api.for_app(apps[0]["id"])
    own.endpoint(apps[0]["id"], "http://127.0.0.1:9/")
    assert did(api, actor=apps[0]["id"]) == ["endpoint.created"]
    assert entries(api, object=apps[1]["id"])[0]["action"] == "application.created"
    of_app = api.get(f"/app/{apps[0]['id']}/audit").json()["data"]
    assert [e["action"] for e in of_app] == ["endpoint.created", "application.created"]
    assert of_app[0]["actorKind"] == "application"
    pages = api.pages("/audit", limit=2)
    assert [len(page) for page in pages] == [2, 2, 2]
    assert len({e["id"] for page in pages for e in page}) == 6
    third = pages[1][0]["at"]
    assert all(e["at"] >= third for e in entries(api, after=third))
    assert len(entries(api, after=third)) + len(entries(api, before=third)) == 7
    assert_invalid(api.get("/audit", action="nothing.known"), "query", "action")
    assert_invalid(api.get("/audit", iterator="app_x"), "query", "iterator")


def test_it_is_the_organizations_alone(api, server):
    app = api.app()
    own = api.for_app(app["id"])
    assert_error(own.get("/audit"), 403, "insufficient access")
    assert_error(own.get(f"/app/{app['id']}/audit"), 403, "insufficient access")
    other = connect(server)
    assert entries(other) == []
    assert_error(other.get(f"/app/{app['id']}/audit"), 404, "not_found")
