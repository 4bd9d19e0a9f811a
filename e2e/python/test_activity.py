"""What pages tell of an endpoint over time is the same whether it was counted by the hour meanwhile or not."""

import re
import sqlite3

import httpx

from conftest import connect
from support import postgres
from support.api import eventually
from support.clock import DAY, HOUR

ORGANIZATION = "org_23rb8YdGqMT0qIzpgGwdXfHirMu"


class Pages:
    """The dashboard, signed in anew as often as the clock has moved."""

    def __init__(self, server):
        self.server = server

    def get(self, path):
        arguments = ("sign-in", "--database", self.server.database, "--public-url", self.server.url)
        link = self.server.command(*arguments).stdout.strip().splitlines()[-1].split()[-1]
        with httpx.Client(base_url=self.server.url, follow_redirects=True, timeout=20) as browser:
            browser.headers["origin"] = self.server.url
            browser.post("/sign-in", data={"token": link})
            return browser.get(path).text

    def totals(self, path):
        """Delivered and failed, and the rows of the table that are not empty."""
        page = self.get(path)
        delivered, failed = re.search(r"([\d,]+) delivered, ([\d,]+) failed\.", page).groups()
        number = r'<td class="num">([\d,]*)</td>'
        rows = re.findall(r"<tr><td data-at=\"([^\"]+)\"[^>]*>[^<]*</td>" + number * 2, page)
        return int(delivered), int(failed), [row for row in rows if row[1:] != ("0", "0")]


def counted(server):
    """How many attempts are counted, in all hours together."""
    sql = "SELECT coalesce(sum(delivered + failed), 0) FROM attempt_hour WHERE event_type = ''"
    if not server.database.startswith("sqlite:"):
        database = postgres.Database.__new__(postgres.Database)
        database.server, database.name = server.database, server.database.rsplit("/", 1)[-1]
        return int(database.one(sql))
    with sqlite3.connect(f"file:{server.database.removeprefix('sqlite:')}?mode=ro", uri=True) as db:
        return db.execute(sql).fetchone()[0]


def test_activity_and_rare_events_are_the_same_before_and_after_they_are_counted(engine, clock, hook):
    server = engine(clock.environment()).start()
    api, pages = connect(server, ORGANIZATION), Pages(server)
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, retrySchedule=[])["id"]
    for name in ["a.common", "a.rare"]:
        api.event_type(name)
    activity = f"/applications/{app}/endpoints/{endpoint}/activity"
    logs = f"/applications/{app}/endpoints/{endpoint}/logs?event=a.rare"

    rare = api.send(app, "a.rare")["id"]
    api.batch(app, [{"eventType": "a.common", "payload": {"n": n}} for n in range(60)])
    hook.wait(61)
    hook.respond(500)
    failed = api.send(app, "a.common")["id"]
    assert api.attempts(app, failed)[0]["status"] == 2
    eventually(lambda: pages.totals(activity)[:2] == (61, 1))
    assert counted(server) == 0, "what has just happened may still get company"

    clock.shift(3 * HOUR)
    hook.respond(200)
    last = api.send(app, "a.rare")["id"]
    assert api.attempts(app, last)[0]["status"] == 0
    before = {query: pages.totals(activity + query) for query in ["", "?event=a.rare", "?range=28d&event=a.common"]}
    assert before[""][:2] == (62, 1) and len(before[""][2]) in (2, 3)
    assert before["?event=a.rare"][:2] == (2, 0)
    assert before["?range=28d&event=a.common"][:2] == (60, 1)

    # Each start counts at once; killed or stopped, nothing counts twice.
    server.kill()
    server.start()
    eventually(lambda: counted(server) == 62)
    assert {query: pages.totals(activity + query) for query in before} == before
    server.restart()
    assert {query: pages.totals(activity + query) for query in before} == before
    page = pages.get(logs)
    assert rare in page and last in page and failed not in page

    # Days later, all of it is in the counts, and found there.
    clock.shift(3 * DAY)
    server.restart()
    eventually(lambda: counted(server) == 63)
    assert pages.totals(activity)[:2] == (0, 0)
    assert pages.totals(f"{activity}?range=7d")[:2] == (62, 1)
    assert pages.totals(f"{activity}?range=28d&event=a.rare")[:2] == (2, 0)
    page = pages.get(logs)
    assert rare in page and last in page and failed not in page
    assert "No deliveries like these." in pages.get(logs + "x")
