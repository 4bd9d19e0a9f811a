"""Killed at random moments under load, the server loses nothing that it accepted and invents nothing.

ROUNDS sets the number of kills (default 15) and SEED repeats a run; both are printed.
"""

import json
import os
import random
import sqlite3
import subprocess
import threading
import time
from collections import defaultdict

import httpx
import pytest

from conftest import connect
from support.api import eventually
from support.receiver import Answer
from support.server import RUNNING

ROUNDS = int(os.environ.get("ROUNDS", "15"))
PRODUCERS = 4
# A receiver's answer that came this shortly before a kill may not have been recorded: its delivery may be repeated.
IN_FLIGHT = 1.5
# A busy receiver reads this late at most what a killed server had already sent.
READ_LATE = 0.75


@pytest.fixture
def rng():
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
    print(f"SEED={seed} ROUNDS={ROUNDS}")
    return random.Random(seed)


class Producer(threading.Thread):
    """Publishes without pause. What got no answer is published again until it gets one: every other producer names its
    events by `eventId`, the others name their calls by `Idempotency-Key`.
    """

    def __init__(self, number, api, app, accepted, stop, rng):
        super().__init__(daemon=True)
        self.number, self.api, self.app = number, api, app
        self.accepted, self.stop_asked, self.rng = accepted, stop, rng
        self.serial = 0
        self.error = None

    def run(self):
        try:
            while not self.stop_asked.is_set():
                names = [self.next_name() for _ in range(self.rng.choice([1, 1, 1, 8]))]
                self.publish(names)
        except Exception as error:  # noqa: BLE001 (shown by the test)
            self.error = error

    def next_name(self):
        self.serial += 1
        return f"event-{self.number}-{self.serial}"

    def publish(self, names):
        bodies = [
            {"eventType": "a.b", "payload": {"name": n, "filling": "x" * self.rng.randrange(2000)}} for n in names
        ]
        headers = {}
        if self.number % 2 == 0:
            bodies = [{**body, "eventId": name} for name, body in zip(names, bodies, strict=True)]
        else:
            headers = {"idempotency-key": names[0]}
        while True:
            try:
                if len(bodies) == 1:
                    response = self.api.post(f"/app/{self.app}/msg", bodies[0], headers=headers)
                    messages = [response.json()] if response.status_code == 202 else []
                else:
                    response = self.api.post(f"/app/{self.app}/msg/batch/", {"messages": bodies}, headers=headers)
                    items = response.json()["data"] if response.status_code == 200 else []
                    messages = [i["message"] for i in items if i["status"] == 202]
            except (httpx.TransportError, json.JSONDecodeError):
                time.sleep(0.02)  # killed; nobody knows whether it was accepted
                continue
            if len(messages) == len(names):
                for name, message in zip(names, messages):
                    self.accepted[name] = message["id"]
                return
            # Stopping or overloaded; anything else is a bug.
            assert response.status_code == 503, f"{response.status_code} {response.text}"
            time.sleep(0.02)


def start_and_kill_at_once(server, rng):
    """A kill while it starts and takes up what it finds. Gives the time of the kill."""
    with open(server.stdout_path, "ab") as out, open(server.stderr_path, "ab") as err:
        process = subprocess.Popen(server.arguments(), stdout=out, stderr=err, env=server.env, cwd=server.folder)
    time.sleep(rng.uniform(0, 0.4))
    killed = time.time()
    process.kill()
    process.wait()
    return killed


def history(requests, kills, attempts):
    """What happened to one delivery, for whoever looks for the reason."""
    begin, end = requests[0].at - 2, requests[-1].at + 2
    events = [(r.at, "received") for r in requests]
    events += [(k, "kill") for k in kills if begin < k < end]
    lines = [f"  {at - begin:8.3f}  {what}" for at, what in sorted(events)]
    begun = [(a["timestamp"], a["endpointId"], a["responseStatusCode"], a["responseDurationMs"]) for a in attempts]
    return "\n".join(lines + [f"  first received at {requests[0].at}", *map(str, sorted(begun))])


@pytest.mark.timeout(120 + 30 * ROUNDS)
def test_nothing_accepted_is_lost_and_nothing_is_invented(new_server, receiver, rng):
    server = new_server(retry_schedule=",".join(["50ms"] * 20), request_timeout="10s").start()
    api = connect(server)
    app = api.app()["id"]
    steady, slow, flaky = receiver.hook(), receiver.hook(), receiver.hook()
    slow.answer = lambda _: Answer(200, delay=0.02)
    flaky_rng = random.Random(rng.random())
    answered_ok = set()  # (index of the request at the flaky hook)

    def flaky_answer(request):
        good = flaky_rng.random() < 0.7
        if good:
            answered_ok.add(id(request))
        return Answer(200 if good else 500)

    flaky.answer = flaky_answer
    hooks = {"steady": steady, "slow": slow, "flaky": flaky}
    for hook in hooks.values():
        api.endpoint(app, hook.url)

    accepted, stop, kills = {}, threading.Event(), []
    producers = [
        Producer(n, connect(server, api.organization), app, accepted, stop, random.Random(rng.random()))
        for n in range(PRODUCERS)
    ]
    for producer in producers:
        producer.start()
    for _ in range(ROUNDS):
        time.sleep(rng.choice([rng.uniform(0, 0.2), rng.uniform(0.2, 1.5)]))
        kills.append(time.time())
        server.kill()
        while rng.random() < 0.3:
            kills.append(start_and_kill_at_once(server, rng))
        server.start()
    time.sleep(0.5)
    stop.set()
    for producer in producers:
        producer.join(30)
        assert not producer.is_alive() and producer.error is None, repr(producer.error)

    ids = set(accepted.values())
    assert len(ids) == len(accepted) > ROUNDS, "two events share a message"
    print(f"{len(accepted)} events accepted, {ROUNDS} kills")

    for name, hook in hooks.items():
        ok = (lambda r: id(r) in answered_ok) if hook is flaky else (lambda r: True)

        def missing():
            return ids - {r.id for r in list(hook.received) if ok(r)}

        eventually(lambda: not missing(), 60, f"accepted events are missing at the {name} receiver")
    # Whatever was repeated would come now.
    time.sleep(1.0)

    for name, hook in hooks.items():
        deliveries = defaultdict(list)
        for request in hook.received:
            event = json.loads(request.body)["name"]
            assert accepted.get(event) == request.id, (
                f"{name}: {event} arrived as {request.id}, which was never answered"
            )
            deliveries[request.id].append(request)
        repeated = 0
        for requests in deliveries.values():
            for earlier, later in zip(requests, requests[1:]):
                if hook is flaky and id(earlier) not in answered_ok:
                    continue
                repeated += 1
                explained = any(earlier.at - READ_LATE <= k <= later.at and k - earlier.at < IN_FLIGHT for k in kills)
                assert explained, (
                    f"{name}: {earlier.id} was repeated although it was not in flight when the server was killed\n"
                    + history(requests, kills, api.get(f"/app/{app}/attempt/msg/{earlier.id}").json()["data"])
                )
        print(f"{name}: {len(hook.received)} requests, {repeated} repeated after a kill")

    # Every attempt that the API shows belongs to a message, and each message ended delivered everywhere.
    sample = rng.sample(sorted(ids), min(50, len(ids)))
    for message in sample:
        states = [d["status"] for d in api.get(f"/app/{app}/msg/{message}/endpoint").json()["data"]]
        assert states == [0, 0, 0], message

    server.stop()
    with sqlite3.connect(server.database.removeprefix("sqlite:")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


@pytest.mark.timeout(400)
def test_a_recovery_goes_on_after_kills(new_server, hook, rng):
    server = new_server(retry_schedule="").start()
    api = connect(server)
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, concurrency=4)["id"]
    hook.respond(500)
    before = api.send(app)
    failing = {before["id"]} | {
        i["message"]["id"] for _ in range(3) for i in api.batch(app, [{"eventType": "a.b", "payload": {}}] * 500)
    }
    hook.wait(1501, 200)
    eventually(lambda: api.get(f"/app/{app}/endpoint/{endpoint}/stats").json()["fail"] == 1501, what="not all failed")
    tried = len(hook.received)
    hook.answer = lambda _: Answer(200, delay=0.002)
    task = api.post(f"/app/{app}/endpoint/{endpoint}/recover", {"since": before["timestamp"]}).json()["id"]
    for _ in range(4):
        time.sleep(rng.uniform(0, 0.3))
        server.kill()
        server.start()
    eventually(lambda: api.get(f"/background-task/{task}").json()["status"] == "finished", 100, "the task did not end")
    eventually(lambda: failing <= {r.id for r in list(hook.received)[tried:]}, 100, "failed messages were skipped")
    again = len(hook.received) - tried - len(failing)
    print(f"{len(failing)} recovered over 4 kills, {again} of them twice")
    assert again < 4 * 200
    assert server in RUNNING


@pytest.mark.timeout(240)
def test_order_is_kept_over_kills(new_server, hook, rng):
    server = new_server(retry_schedule=",".join(["20ms"] * 50)).start()
    api = connect(server)
    app = api.app()["id"]
    api.endpoint(app, hook.url, ordered=True)
    moody = random.Random(rng.random())
    good = []

    def answer(request):
        if moody.random() < 0.2:
            return Answer(500)
        good.append(request)
        return Answer(200)

    hook.answer = answer
    stop, published, errors = threading.Event(), {}, []

    def produce(key):
        client, n = connect(server, api.organization), 0
        while not stop.is_set():
            body = {"eventType": "a.b", "eventId": f"{key}-{n}", "orderKey": key, "payload": {"key": key, "n": n}}
            try:
                response = client.post(f"/app/{app}/msg", body)
            except httpx.TransportError:
                time.sleep(0.02)
                continue
            if response.status_code == 202:
                n += 1
                published[key] = n
            elif response.status_code != 503:
                errors.append(response.text)
                return

    threads = [threading.Thread(target=produce, args=(key,), daemon=True) for key in ("anna", "ben", "carl")]
    for thread in threads:
        thread.start()
    for _ in range(max(3, ROUNDS // 3)):
        time.sleep(rng.uniform(0.1, 1.0))
        server.kill()
        server.start()
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not errors

    def first_arrivals():
        seen = {key: [] for key in published}
        for request in list(good):
            event = json.loads(request.body)
            if event["n"] not in seen[event["key"]]:
                seen[event["key"]].append(event["n"])
        return seen

    wanted = {key: list(range(n)) for key, n in published.items()}
    eventually(lambda: {k: len(v) for k, v in first_arrivals().items()} == published, 90, "not all events arrived")
    assert first_arrivals() == wanted
    print(f"{sum(published.values())} events of {len(published)} keys kept their order")


@pytest.mark.timeout(60)
def test_a_kill_between_two_requests_loses_no_configuration(new_server, hook):
    server = new_server().start()
    api = connect(server)
    app = api.app(uid="room-1", metadata={"a": "b"})
    api.event_type("a.b")
    endpoint = api.endpoint(app["id"], hook.url, uid="journal", eventTypes=["a.b"], throttleRate=7)
    api.put(f"/app/room-1/endpoint/{endpoint['id']}/headers", {"headers": {"x-a": "1", "authorization": "secret"}})
    secret = api.secret("room-1", endpoint["id"])
    endpoint = api.get("/app/room-1/endpoint/journal").json()
    server.kill()
    server.start()
    assert api.get("/app/room-1").json() == app
    assert api.get(f"/app/room-1/endpoint/{endpoint['id']}").json() == endpoint
    assert api.secret("room-1", endpoint["id"]) == secret
    api.send("room-1", "a.b")
    headers = hook.wait()[0].headers
    assert (headers["x-a"], headers["authorization"]) == ("1", "secret")
