"""The example receivers, against deliveries of a running server that a simulated class sends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from conftest import connect
from support.api import eventually
from support.server import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"


class Example:
    """One example as it is started by hand."""

    def __init__(self, name: str, log: Path):
        self.name, self.log = name, log
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.process = None

    def start(self, *arguments: str) -> "Example":
        with open(self.log, "ab") as log:
            command = [sys.executable, "-m", self.name, "--port", str(self.port), *arguments]
            env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
            self.process = subprocess.Popen(command, cwd=EXAMPLES, stdout=log, stderr=log, env=env)
        eventually(self.answers)
        return self

    def answers(self) -> bool:
        try:
            return httpx.get(self.url).status_code == 200
        except httpx.TransportError:
            return False

    def report(self, **query: str) -> str:
        return httpx.get(self.url, params=query).text

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def example(tmp_path):
    """Makes example receivers; not started yet, because their secrets are made with their endpoints."""
    made = []

    def make(name: str) -> Example:
        made.append(Example(name, tmp_path / f"{name}.log"))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def school(new_server):
    """A server with an application of a platform, and a class that is played there."""
    server = new_server().start()
    api = connect(server, "org_23rb8YdGqMT0qIzpgGwdXfHirMu")

    def play(platform: str, count: int) -> int:
        return len(server.simulate(platform, "class", count))

    def settled(app: str, endpoint: str, count: int) -> None:
        """Every delivery was taken at the first try."""

        def counted():
            stats = api.get(f"/app/{app}/endpoint/{endpoint}/stats").json()
            return stats if stats["success"] + stats["fail"] >= count else None

        stats = eventually(counted, 60)
        assert (stats["success"], stats["fail"]) == (count, 0), stats

    api.play, api.settled = play, settled
    return api


def subscribed(api, app: str, receiver: Example, **fields) -> "tuple[str, str]":
    endpoint = api.endpoint(app, receiver.url, **fields)["id"]
    return endpoint, api.secret(app, endpoint)


def test_likeness_and_timeline_on_a_simulated_class(school, example):
    app = school.app(platform="replit", uid="class")["id"]
    likeness, timeline = example("likeness"), example("timeline")
    endpoints = []
    for receiver in (likeness, timeline):
        endpoint, signing = subscribed(school, app, receiver)
        secret = school.get(f"/app/{app}/endpoint/{endpoint}/body-secret").json()["key"]
        receiver.start("--secret", signing, "--body-secret", secret)
        endpoints.append(endpoint)
    published = school.play("replit", 150)
    for endpoint in endpoints:
        school.settled(app, endpoint, published)

    history = school.pages(f"/app/{app}/submission-history", limit=250)
    handed_in = [s["delivered"] for page in history for s in page]
    assert len(handed_in) == published

    # The timeline holds every one of them, in the order of the server's own history.
    told = timeline.report()
    for one in handed_in:
        assert one["submission"]["time_submitted"] in told
        assert f"student={one['student']['id']}" in told
    newest = handed_in[0]
    student, assignment = str(newest["student"]["id"]), str(newest["assignment"]["id"])
    mine = [s for s in handed_in if str(s["student"]["id"]) == student and str(s["assignment"]["id"]) == assignment]
    part = timeline.report(student=student, assignment=assignment)
    numbered = [line for line in part.splitlines() if line.strip()[:1].isdigit()]
    assert len(numbered) == len(mine)
    assert f"student={student}" in part

    # The play has students whose work looks a lot like somebody else's; the receiver finds such pairs, and names people.
    suspicious = likeness.report()
    names = {f"{s['student']['first_name']} {s['student']['last_name']}" for s in handed_in}
    pairs = [line for line in suspicious.splitlines() if "%" in line]
    assert pairs, suspicious
    for line in pairs:
        assert sum(name in line for name in names) >= 2, line


def test_attendance_on_a_simulated_lesson(school, example):
    app = school.app(platform="teachstack", uid="class")["id"]
    receiver = example("attendance")
    types = ["room.created", "room.closed", "peer.joined", "peer.left"]
    endpoint, signing = subscribed(school, app, receiver, eventTypes=types)
    receiver.start("--secret", signing)
    school.play("teachstack", 150)
    pages = school.pages(f"/app/{app}/msg", limit=250, event_types=",".join(types))
    sent = [m for page in pages for m in page]
    assert len(sent) > 50
    school.settled(app, endpoint, len(sent))

    joined = {}
    for message in sent:
        if message["eventType"] == "peer.joined":
            data = message["payload"]
            joined.setdefault(data["session_id"], set()).add(data["peer"]["user_id"])
    head, *rows = receiver.report().splitlines()
    columns = head.split(",")
    assert {"minutes", "share", "late", "connections"} <= set(columns)
    for session, users in joined.items():
        table = receiver.report(session=session)
        for user in users:
            assert user in table, (session, user)
    assert len(rows) >= sum(len(users) for users in joined.values())


def test_an_example_refuses_what_another_server_signs(school, example):
    app = school.app(platform="replit", uid="class")["id"]
    receiver = example("timeline")
    endpoint, _ = subscribed(school, app, receiver, retrySchedule=[])
    receiver.start("--secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    published = school.play("replit", 20)
    attempts = eventually(
        lambda: (a := school.get(f"/app/{app}/attempt/endpoint/{endpoint}", limit=250).json()["data"])
        and len(a) >= min(published, 250)
        and a,
        30,
    )
    assert {a["responseStatusCode"] for a in attempts} == {401}
    assert json.dumps(attempts).count("no signature matches") == len(attempts)
