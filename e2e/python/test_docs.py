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
