"""The commands of docs/platforms/*.md, run as they stand there: against a server, and never against another host."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from conftest import connect
from support.api import eventually

DOCS = Path(__file__).parents[2] / "docs" / "platforms"
# Addresses that pages use for receivers; the tests have their own.
ELSEWHERE = re.compile(r"https://[a-z.]*example\.(?:com|edu)/[a-z/]*")


def blocks(page: str, language: str) -> "list[str]":
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / f"{page}.md").read_text(), re.M | re.S)


def values(text: str):
    """JSON values one after the other. (Payloads come back as they were written, over several lines.)"""
    while text := text.strip():
        value, end = json.JSONDecoder().raw_decode(text)
        text = text[end:]
        yield value


class Page:
    """Runs a page's commands that speak to the server, in their order, in one shell."""

    def __init__(self, server, page, replace=None):
        commands = [b for b in blocks(page, "sh") if "curl" in b or "export" in b]
        script = "\n".join(commands)
        assert script.count("curl ") >= 2, "the page shows how to send and to subscribe"
        script = script.replace("TOKEN=$(schoolbell token)", f"TOKEN={server.command('token').stdout.strip()}")
        script = script.replace("http://127.0.0.1:8484", server.url)
        if replace is not None:
            script = ELSEWHERE.sub(replace, script)
        assert "example.com/" not in script and "example.edu/hooks" not in script
        # Each answer on a line of its own, and an end at the first that says no.
        head = 'set -eu\ncurl() { command curl -sS --fail-with-body -w "\\n" -H "content-type: application/json" "$@"; }\n'
        done = subprocess.run(["bash", "-c", head + script], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        self.answers = list(values(done.stdout))


@pytest.fixture
def own(new_server):
    server = new_server().start()
    return server, connect(server, "org_23rb8YdGqMT0qIzpgGwdXfHirMu")


def shown(page: str, start: str) -> "dict[str, object]":
    """A body that the page shows as delivered."""
    return next(json.loads(b) for b in blocks(page, "json") if b.startswith(start))


def test_replit(own, hook):
    server, api = own
    made = Page(server, "replit").answers
    application, message, history = made[0], made[1], made[-1]
    assert application["platform"] == "replit" and message["eventType"] == "student_submits_assignment"
    assert [s["messageId"] for s in history["data"]] == [message["id"]]
    endpoint = api.endpoint(application["id"], hook.url)["id"]
    expected = shown("replit", '{"assignment"')
    key = expected["classroom"]["webhook_secret"]
    api.post(f"/app/{application['id']}/endpoint/{endpoint}/body-secret/rotate", {"key": key})
    api.post(f"/app/{application['id']}/endpoint/{endpoint}/replay-missing", {"since": "2020-01-01T00:00:00Z"})
    body = hook.wait()[0].body.decode()
    assert body == json.dumps(expected, separators=(",", ":"), ensure_ascii=False)
    # The transform that sends less.
    transform = blocks("replit", "jq")[0].strip()
    tried = api.post(
        f"/app/{application['id']}/endpoint/{endpoint}/dry-run",
        {"eventType": message["eventType"], "payload": message["payload"], "transform": transform},
    ).json()
    assert json.loads(tried["body"])["student"] == {"id": 2031895, "first_name": "", "last_name": "", "email": ""}


def test_openedx(own, hook):
    server, api = own
    application, endpoint, message = Page(server, "openedx").answers
    assert application["platform"] == "openedx" and endpoint["format"] == "openedx-v22"
    assert message["eventType"] == "org.openedx.learning.auth.session.login.completed.v1"
    made = api.endpoint(application["id"], hook.url)["id"]
    api.post(f"/app/{application['id']}/endpoint/{made}/replay-missing", {"since": "2020-01-01T00:00:00Z"})
    # To the byte, the blanks of the original included.
    assert hook.wait()[0].body.decode() == blocks("openedx", "json")[0].strip()
    as_form = api.endpoint(application["id"], hook.url, encoding="form")["id"]
    api.post(f"/app/{application['id']}/endpoint/{as_form}/replay-missing", {"since": "2020-01-01T00:00:00Z"})
    begin, end = blocks("openedx", "text")[0].strip().split("…")
    form = hook.wait(2)[1].body.decode()
    assert form.startswith(begin) and form.endswith(end)


def test_teachstack(own, hook):
    server, _ = own
    application, endpoint, message = Page(server, "teachstack", hook.url).answers
    assert endpoint["httpsOnly"] and endpoint["eventTypes"] == ["peer.joined", "peer.left", "room.closed"]
    body = json.loads(hook.wait()[0].body)
    expected = shown("teachstack", '{"id"')
    assert list(body) == list(expected)
    assert body == {**expected, "id": message["id"]}
    assert application["platform"] == "teachstack"


def test_instruqt(own, hook):
    server, api = own
    application, endpoint, message = Page(server, "instruqt", hook.url).answers
    assert "eventTypes" in endpoint and endpoint["eventTypes"] is None
    assert json.loads(hook.wait()[0].body) == message["payload"]
    # Every event that the page lists is in the catalogue, and the other way round.
    table = (DOCS / "instruqt.md").read_text().split("## Endpoints")[0]
    listed = set(re.findall(r"`((?:track|sandbox|invite|review)\.[a-z_]+)`", table))
    types = {t["name"]: t for t in api.get("/event-type", limit=250, with_content=True).json()["data"]}
    assert listed == set(types)
    # What it marks with a star is what the catalogue says is inferred.
    starred = set(re.findall(r"`([a-z_.]+)`\*", table))
    inferred = {n for n, t in types.items() if (t["schemas"]["1"].get("x-inferred") or {}).get("what") == "name"}
    assert starred == inferred
    assert eventually(lambda: api.get(f"/app/{application['id']}/endpoint/{endpoint['id']}/stats").json()["success"])


def test_canvas(own, hook):
    server, api = own
    application, endpoint, message, portal = Page(server, "canvas", hook.url).answers
    assert application["platform"] == "canvas"
    course = api.with_token(portal["token"])
    assert "/portal#key=" in portal["url"]
    assert [m["id"] for m in course.get("/app/northfield/msg").json()["data"]] == [message["id"]]
    assert (endpoint["format"], endpoint["channels"]) == ("live-event", ["course:565"])
    assert json.loads(hook.wait()[0].body) == message["payload"]
    # The types with a Caliper form that the page lists are those that an endpoint may choose.
    table = (DOCS / "canvas.md").read_text().split("### Caliper")[1].split("## Retries")[0]
    listed = set(re.findall(r"`([a-z_]+)`", table.split("The others")[0]))
    types = {t["name"] for t in api.get("/event-type", limit=250).json()["data"]}
    path = f"/app/{application['id']}/endpoint/{endpoint['id']}"
    assert api.patch(path, {"format": "caliper", "eventTypes": sorted(listed)}).status_code == 200
    refused = api.patch(path, {"eventTypes": sorted(types)}).json()["detail"][0]["msg"]
    assert set(re.findall(r"[a-z_.]+_[a-z_]+", refused)) == types - listed
