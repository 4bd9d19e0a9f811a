"""No endpoint harms another: whatever one receiver does, the others get their events as if it were not there."""

import statistics
import time

import pytest

from conftest import connect
from support.api import eventually
from support.misbehaving import BEHAVIOURS, Misbehaving

MESSAGES = 60
PER_SECOND = 60
# The machine that runs this is busy with the test itself: only what one endpoint adds to another is judged.
MEDIAN_FACTOR = 4
MEDIAN_FLOOR = 0.1


def latencies(api, app, hook):
    """Seconds from the beginning of the publishing call to the receipt."""
    sent = {}
    begun = time.time()
    for n in range(MESSAGES):
        time.sleep(max(0.0, begun + n / PER_SECOND - time.time()))
        at = time.time()
        sent[api.send(app, payload={"n": n})["id"]] = at
    eventually(lambda: set(sent) <= set(hook.ids()), 30, "healthy deliveries did not arrive")
    first = {}
    for request in list(hook.received):
        first.setdefault(request.id, request.at)
    return [first[id] - at for id, at in sent.items()]


@pytest.fixture(scope="module")
def alone(server, receiver):
    """The median latency of a healthy endpoint that has the server for itself."""
    api, hook = connect(server), receiver.hook()
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    latencies(api, app, hook)  # warm
    return statistics.median(latencies(api, app, hook))


def judge(measure, alone):
    """Up to three times: a machine that stumbles does so now and then, a bad neighbour harms every time."""
    seen = []
    for _ in range(3):
        times = measure()
        median, worst = statistics.median(times), max(times)
        seen.append(f"median {median * 1000:.1f} ms, worst {worst * 1000:.1f} ms")
        if median < max(MEDIAN_FACTOR * alone, MEDIAN_FLOOR) and worst < 2.0:
            return
    pytest.fail(f"alone {alone * 1000:.1f} ms; beside the others: {'; '.join(seen)}")


@pytest.fixture
def misbehaving():
    made = []

    def make(behaviour) -> Misbehaving:
        made.append(Misbehaving(behaviour))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda b: b.__name__)
def test_a_bad_receiver_costs_only_its_own_lane(server, api, hook, misbehaving, alone, behaviour):
    bad = misbehaving(behaviour)
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    endpoint = api.endpoint(app, bad.url, retrySchedule=["500ms"])["id"]
    judge(lambda: latencies(api, app, hook), alone)
    assert bad.connections > 0
    assert bad.sent_most < 32_000_000, "far too much of an answer was read"
    attempt = eventually(lambda: api.get(f"/app/{app}/attempt/endpoint/{endpoint}").json()["data"])[0]
    assert len(attempt["response"]) <= 30_000
    if behaviour.__name__ in ("hang", "drip_head", "never_reads"):
        assert (attempt["status"], attempt["responseStatusCode"]) == (2, 0) and "timed out" in attempt["response"]
        assert attempt["responseDurationMs"] < 10_000, "the deadline covers the whole attempt"
    elif behaviour.__name__ in ("reset", "garbage", "flood_head"):
        assert (attempt["status"], attempt["responseStatusCode"]) == (2, 0)
    elif behaviour.__name__ in ("drip_body", "reset_in_body", "bad_chunks"):
        assert attempt["status"] == 2, "only a whole answer is success"
    assert server.is_running()


def test_all_bad_receivers_at_once_in_many_applications(server, api, hook, misbehaving, alone):
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    for behaviour in BEHAVIOURS:
        bad = misbehaving(behaviour)
        other = api.app()["id"]
        for _ in range(3):
            api.endpoint(other, bad.url, retrySchedule=["500ms"] * 5)
        api.batch(other, [{"eventType": "a.b", "payload": {}}] * 200)
    judge(lambda: latencies(api, app, hook), alone)
    assert server.is_running()
