"""What holds for all paths: routing, CORS, documents, health, metrics."""

import re

import httpx
import pytest
from openapi_spec_validator import validate

from support.api import eventually
from support.contract import OPERATIONS, without_names


def test_a_trailing_slash_changes_nothing(api):
    app = api.app()
    assert api.get(f"/app/{app['id']}/").json() == api.get(f"/app/{app['id']}").json()
    assert api.get("/app/", limit=1).status_code == 200
    assert api.post("/app/", {"name": "with a slash"}).status_code == 201


@pytest.mark.parametrize("token", ["good", "bad"])
def test_an_unknown_route_is_an_empty_404_before_the_token_is_looked_at(api, token):
    caller = api if token == "good" else api.with_token("nonsense")
    for method, path in [("GET", "/nothing"), ("POST", "/app/x/nothing"), ("GET", "/app/x/y/z/w")]:
        response = caller.request(method, path)
        assert (response.status_code, response.content) == (404, b""), path
        assert "content-type" not in response.headers


def test_a_wrong_method_is_an_empty_405_before_the_token_is_looked_at(api):
    for caller in (api, api.with_token("nonsense")):
        for method, path in [("DELETE", "/app"), ("PUT", "/event-type"), ("PATCH", "/app/x/msg"), ("POST", "/app/x")]:
            response = caller.request(method, path)
            assert (response.status_code, response.content) == (405, b""), (method, path)
            assert "content-type" not in response.headers


def test_cors_is_open_to_any_origin(api):
    answer = api.request("GET", "/app", headers={"origin": "https://lms.example"})
    assert answer.headers["access-control-allow-origin"] in ("*", "https://lms.example")
    preflight = api.with_token(None).request(
        "OPTIONS",
        "/app/x/msg",
        headers={
            "origin": "https://lms.example",
            "access-control-request-method": "PATCH",
            "access-control-request-headers": "authorization,x-anything",
        },
    )
    assert preflight.status_code in (200, 204)
    assert preflight.headers["access-control-allow-origin"] in ("*", "https://lms.example")
    methods = preflight.headers["access-control-allow-methods"]
    assert methods == "*" or "PATCH" in methods
    assert "x-anything" in preflight.headers["access-control-allow-headers"]
    assert preflight.headers["access-control-max-age"] == "600"


def test_the_content_type_of_a_request_is_not_checked(api):
    assert api.raw("POST", "/app", b'{"name": "x"}', content_type="text/plain").status_code == 201


def test_unknown_fields_and_query_parameters_are_ignored(api):
    assert api.post("/app?tag=x&expanded_statuses=true", {"name": "x", "colour": "blue"}).status_code == 201
    assert api.get("/app", with_msg="true", nonsense="1").status_code == 200


def test_openapi_is_valid_and_covers_every_operation(api):
    response = api.with_token(None).get("/openapi.json")
    assert response.status_code == 200 and response.headers["content-type"].startswith("application/json")
    document = response.json()
    assert document["openapi"].startswith("3.1")
    validate(document)
    described = {
        (method.upper(), without_names(path.rstrip("/")))
        for path, item in document["paths"].items()
        for method in item
        if method in ("get", "head", "post", "put", "patch", "delete")
    }
    missing = {(o.method, without_names(f"/api/v1{o.path}")) for o in OPERATIONS if o.method != "HEAD"} - described
    assert not missing
    assert ("POST", "/api/v1/app/{}/msg/batch") in described


def test_openapi_names_each_operation_once_and_says_what_it_answers(api):
    document = api.get("/openapi.json").json()
    operations = [
        o for item in document["paths"].values() for m, o in item.items() if isinstance(o, dict) and "responses" in o
    ]
    ids = [o["operationId"] for o in operations]
    assert len(ids) == len(set(ids)) and {"v1.application.create", "v1.message.create"} <= set(ids)
    for operation in operations:
        assert any(status.startswith("2") for status in operation["responses"]), operation["operationId"]


def test_docs_are_a_page_that_needs_nothing_from_elsewhere(server):
    response = httpx.get(f"{server.url}/docs", follow_redirects=True)
    assert response.status_code == 200 and response.headers["content-type"].startswith("text/html")
    loaded = re.findall(r"""(?:src|href)=["'](https?:)?//""", response.text)
    assert not loaded, "the page loads something from another host"


def test_health(server, api):
    assert httpx.get(f"{server.url}/health").status_code in (200, 204)
    anyone = api.with_token(None)
    assert anyone.get("/health").status_code in (200, 204)
    assert anyone.request("HEAD", "/health").status_code in (200, 204)
    for method in ("GET", "HEAD"):
        response = anyone.request(method, "/health/ping")
        assert (response.status_code, response.content) == (204, b"")


def test_metrics_have_the_names_a_user_would_guess(server, api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    failing = api.endpoint(app, "http://127.0.0.1:1/")
    message = api.send(app)
    hook.wait()
    api.attempts(app, message["id"], 4)

    def read():
        response = httpx.get(f"{server.url}/metrics")
        assert response.status_code == 200 and response.headers["content-type"].startswith("text/plain")
        return response.text

    text = read()
    names = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert names and all(n.startswith("schoolbell_") for n in names), names
    for wanted in (
        r"accepted.*_total",
        r"delivered.*_total",
        r"failed.*_total",
        r"waiting",
        r"oldest.*seconds",
        r"attempt.*duration.*seconds",
        r"commit.*size",
        r"commit.*duration.*seconds",
    ):
        assert any(re.search(wanted, n) for n in names), f"no metric like {wanted} in {sorted(names)}"
    # Ids as labels would make the metrics grow with the number of endpoints.
    assert failing["id"] not in text and app not in text

    def total(pattern):
        return sum(
            float(v)
            for v in re.findall(rf"^schoolbell_\w*{pattern}\w*_total(?:{{[^}}]*}})? (\S+)$", read(), re.MULTILINE)
        )

    accepted = total("accepted")
    api.send(app)
    eventually(lambda: total("accepted") == accepted + 1, what="the accepted message was not counted once")
