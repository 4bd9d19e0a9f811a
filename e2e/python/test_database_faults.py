"""The database goes away in every way there is: producers hear a clear no or wait, nothing accepted is lost, and delivery
goes on by itself.

PAUSE_SECONDS sets how long the database is paused (default 15; the long version is 60).
"""

import os
import time

import pytest

from support.api import eventually
from support.nodes import Producer, all_arrived, cluster
from support.postgres import Database

PAUSE = float(os.environ.get("PAUSE_SECONDS", "15"))
# Delivery is back this long after the database is.
RESUME = 5.0
# The longest that a producer waits for its answer.
PATIENCE = 12.0


@pytest.fixture
def url(stoppable, proxy):
    """Through the proxy, a database of its own."""
    database = Database(stoppable.url)
    yield database.url(address=proxy.address)


def goes_on(api, app, hook, since):
    """An event published now arrives in time after the database came back."""

    def accepted():
        response = api.post(f"/app/{app}/msg", {"eventType": "a.b", "payload": {}})
        return response.json()["id"] if response.status_code == 202 else None

    message = eventually(accepted, RESUME, "nothing is accepted")
    all_arrived(hook, [message], max(0.1, RESUME - (time.monotonic() - since)))


def through(new_node, url, hook, fault, nodes=2):
    """Publishes while `fault` happens; nothing accepted may be missing in the end."""
    running, apis = cluster(new_node, url, nodes)
    app = apis[0].app()["id"]
    apis[0].endpoint(app, hook.url)
    apis[0].send(app)
    hook.wait(1)
    producer = Producer(apis, app)
    producer.start()
    time.sleep(0.5)
    fault()
    back = time.monotonic()
    for api in apis:
        goes_on(api, app, hook, back)
    producer.finish()
    all_arrived(hook, producer.accepted, 15)
    assert set(producer.statuses) <= {202, 503}, producer.statuses
    assert producer.slowest < PATIENCE, f"a producer waited {producer.slowest:.1f} s"
    assert all(node.is_running() for node in running)
    for api in apis:
        assert api.get("/health").status_code == 200


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_the_database(new_node, url, hook, stoppable, mode):
    def restart():
        stoppable.stop(mode)
        time.sleep(1)
        stoppable.start()

    through(new_node, url, hook, restart)


def test_connections_that_are_cut_again_and_again(new_node, url, hook, proxy):
    def cut():
        for _ in range(20):
            proxy.cut()
            time.sleep(0.1)

    through(new_node, url, hook, cut)


def test_a_database_that_refuses_connections(new_node, url, hook, proxy):
    def refuse():
        proxy.refuse()
        time.sleep(4)
        proxy.accept()

    through(new_node, url, hook, refuse)


def test_a_database_that_does_not_answer(new_node, url, hook, proxy):
    def pause():
        proxy.pause()
        time.sleep(PAUSE)
        proxy.resume()

    through(new_node, url, hook, pause)
