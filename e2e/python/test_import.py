"""Taking over the configuration of Open edX's webhook plugin, as its platform dumps it."""

import json

import pytest

LOGIN = "org.openedx.learning.auth.session.login.completed.v1"
TIMES = {"created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z"}


def row(model: str, pk: int, **fields) -> dict:
    return {"model": f"openedx_webhooks.{model}", "pk": pk, "fields": {**TIMES, **fields}}


def webhook(pk: int, event: str, url: str, **fields) -> dict:
    usual = {"enabled": True, "use_www_form_encoding": False}
    return row("webhook", pk, event=event, webhook_url=url, **{**usual, **fields})


def webfilter(pk: int, event: str, url: str, **fields) -> dict:
    switches = ("disable_filtering", "disable_halt", "halt_on_4xx", "halt_on_5xx", "halt_on_request_exception")
    usual = {name: False for name in switches}
    usual |= {f"redirect_on_{why}": None for why in ("4xx", "5xx", "request_exception")}
    usual |= {"description": "", "enabled": True, "use_www_form_encoding": False}
    return row("webfilter", pk, event=event, webhook_url=url, **{**usual, **fields})


@pytest.fixture
def importing(server, api, tmp_path):
    """Imports rows into an application."""

    def run(rows, *more, app="campus"):
        dump = tmp_path / "dump.json"
        dump.write_text(rows if isinstance(rows, str) else json.dumps(rows))
        target = ("--app", app, "--server", server.url)
        return server.command("import", "openedx", str(dump), *target, *more, env={"SCHOOLBELL_TOKEN": api.token})

    return run


def test_the_plugins_configuration_becomes_endpoints_and_webfilters(importing, api, receiver):
    login, form = receiver.hook(), receiver.hook()
    rows = [
        {"model": "auth.user", "pk": 1, "fields": {"username": "jane"}},
        webfilter(2, "StudentLoginRequested", "https://checks.example.org/login", description="Checks", halt_on_4xx=True,
                  redirect_on_4xx="https://lms.example.org/no", use_www_form_encoding=True),
        webhook(7, "SESSION_LOGIN_COMPLETED", form.url, use_www_form_encoding=True),
        webhook(3, "SESSION_LOGIN_COMPLETED", login.url),
        webhook(4, "COURSE_CREATED", "https://u:secret@registry.example.org/hook", enabled=False),
        # Names as version 21 stored them, and a halt that never did anything.
        webfilter(5, "IdvPageUrlRequested", "https://checks.example.org/idv", halt_on_5xx=True, enabled=False),
    ]  # fmt: skip
    done = importing(rows, "--wire", "v21")
    assert done.returncode == 0, done.stderr
    assert "imported 5, failed 0" in done.stderr and "secret" not in done.stdout
    assert "webfilter 5: " in done.stdout and "without haltOn5xx" in done.stdout

    endpoints = {e["uid"]: e for e in api.get("/app/campus/endpoint/").json()["data"]}
    assert set(endpoints) == {"openedx-webhook-3", "openedx-webhook-4", "openedx-webhook-7"}
    three, four, seven = (endpoints[f"openedx-webhook-{n}"] for n in (3, 4, 7))
    assert three["eventTypes"] == [LOGIN] and three["format"] == "openedx-v21" and "encoding" not in three
    assert seven["encoding"] == "form" and not seven["disabled"]
    assert four["disabled"] and four["eventTypes"] == ["org.openedx.content_authoring.course.created.v1"]

    filters = {f["uid"]: f for f in api.get("/app/campus/webfilter/").json()["data"]}
    two, five = filters["openedx-webfilter-2"], filters["openedx-webfilter-5"]
    assert two["filter"] == "StudentLoginRequested" and two["wireVersion"] == "v21" and two["encoding"] == "form"
    assert two["haltOn4xx"] and two["redirectOn4xx"] == "https://lms.example.org/no" and two["description"] == "Checks"
    assert five["filter"] == "IDVPageURLRequested" and not five["enabled"] and not five["haltOn5xx"]

    api.send("campus", LOGIN, {"data": {"user": {"id": 4}}})
    body = json.loads(login.wait()[0].body)
    assert body["openedx_events.learning.data.UserData"] == {"id": 4}
    assert form.wait()[0].body.startswith(b"openedx_events.learning.data.UserData_id=4&")


def test_importing_again_changes_what_is_there_and_makes_nothing_twice(importing, api):
    first = importing([webhook(1, "COURSE_CREATED", "https://a.example.org/")])
    assert first.returncode == 0 and "application campus: made" in first.stdout
    again = importing([webhook(1, "COURSE_CREATED", "https://b.example.org/", enabled=False)])
    assert again.returncode == 0 and "made" not in again.stdout
    (endpoint,) = api.get("/app/campus/endpoint/").json()["data"]
    assert endpoint["url"] == "https://b.example.org/" and endpoint["disabled"]


def test_what_cannot_be_imported_is_told_and_the_rest_is_made(importing, api):
    rows = [
        webhook(1, "NO_SUCH_EVENT", "https://a.example.org/"),
        webhook(2, "COURSE_CREATED", "ftp://a.example.org/"),
        webfilter(3, "NoSuchFilter", "https://a.example.org/"),
        webhook(4, "COURSE_CREATED", "https://a.example.org/"),
    ]
    done = importing(rows)
    assert done.returncode == 1
    for told in ("webhook 1: there is no event NO_SUCH_EVENT", "webhook 2: ", "webfilter 3: ", "imported 1, failed 3"):
        assert told in done.stderr
    assert [e["uid"] for e in api.get("/app/campus/endpoint/").json()["data"]] == ["openedx-webhook-4"]


def test_a_dry_run_and_a_wrong_file_make_nothing(importing, api):
    dry = importing([webhook(1, "COURSE_CREATED", "https://a.example.org/")], "--dry-run")
    assert dry.returncode == 0 and "webhook 1: org.openedx" in dry.stdout
    for wrong in ("no json", "{}", "[]", '[{"model": "auth.user", "pk": 1, "fields": {}}]'):
        done = importing(wrong)
        assert done.returncode == 2, done.stderr
    assert api.get("/app/").json()["data"] == []
    other = api.app(platform="replit", uid="other")["uid"]
    refused = importing([webhook(1, "COURSE_CREATED", "https://a.example.org/")], app=other)
    assert refused.returncode == 2 and "platform" in refused.stderr
