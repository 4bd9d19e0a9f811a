"""The database goes away in every way there is: producers hear a clear no or wait, nothing accepted is lost, and delivery
goes on by itself.

PAUSE_SECONDS sets how long the database is paused (default 15; the long version is 60). STRICT=1 allows no more time than is
promised.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from support.api import assert_error, eventually
from support.nodes import Producer, all_arrived, cluster
from support.postgres import Cluster, Database
from support.promises import within

PAUSE = float(os.environ.get("PAUSE_SECONDS", "15"))
# Delivery is back this long after the database is; a second on a machine that has nothing else to do.
RESUME = within(5, 20)
# The longest that a producer waits for its answer: 10 s, and what a busy machine adds.
PATIENCE = within(12, 25)


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
    all_arrived(hook, producer.accepted, 30)
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


@pytest.fixture
def small_disk():
    """A disk that is soon full. Needs root, for a tmpfs; where another user can reach it."""
    folder = Path(tempfile.mkdtemp(prefix="schoolbell-small-"))
    folder.chmod(0o755)
    command = ["mount", "-t", "tmpfs", "-o", "size=80m,mode=700", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"needs the right to mount a tmpfs (root): {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture
def small_cluster(stoppable, small_disk):
    # `stoppable` skips where there is no PostgreSQL.
    one = Cluster(data=str(small_disk))
    yield one
    one.close()


@pytest.mark.timeout(180)
def test_a_database_whose_disk_is_full(new_node, small_cluster, small_disk, hook):
    nodes, (api,) = cluster(new_node, Database(small_cluster.url).url(), 1)
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    accepted = [api.send(app)["id"]]
    with open(small_disk / "ballast", "wb", buffering=0) as ballast:
        while _free(small_disk) > 4 << 20:
            ballast.write(b"\0" * (1 << 20))
    refusal = None
    for _ in range(5000):
        response = api.post(f"/app/{app}/msg", {"eventType": "a.b", "payload": {"filling": "x" * 20_000}})
        if response.status_code != 202:
            refusal = response
            break
        accepted.append(response.json()["id"])
    assert refusal is not None, "the disk never became full"
    assert_error(refusal, 503, "storage_full")
    os.truncate(small_disk / "ballast", 0)
    goes_on(api, app, hook, time.monotonic())
    all_arrived(hook, accepted, 20)
    assert nodes[0].is_running()


def _free(folder):
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
