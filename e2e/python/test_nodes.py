"""Several nodes on one PostgreSQL: they are one server to their users, and the loss of one is noticed by nobody.

NODE_ROUNDS sets the number of kills (default 2). STRICT=1 allows no more time than is promised.
"""

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.api import eventually, iso
from support.nodes import Producer, all_arrived, cluster
from support.promises import within
from support.receiver import Answer
from support.server import free_port

ROUNDS = int(os.environ.get("NODE_ROUNDS", "2"))
# A node that is lost is noticed, and its work taken over, within this time.
TAKEOVER = within(15, 40)
# A change on one node counts on the others within a second; a busy machine may take longer.
SOON = within(1, 15)


def test_nodes_that_start_at_once_share_everything(new_node, database, hook):
    nodes, apis = cluster(new_node, database.url(), 3)
    app = apis[0].app(uid="room-7")["id"]
    apis[1].endpoint("room-7", hook.url)
    for api in apis:
        sent = api.send(app)
        assert apis[0].attempts(app, sent["id"])[0]["status"] == 0
        # Whoever repeats an event hears of the first one, wherever it asks.
        body = {"eventType": "a.b", "payload": {}, "eventId": "same"}
        assert api.post(f"/app/{app}/msg", body).status_code == 202
    assert len(hook.wait(4)) == 4
    hook.stays_at(4)
    assert database.one("SELECT count(*) FROM node WHERE NOT gone") == "3"
    assert nodes[0].stop() == 0
    assert database.one("SELECT count(*) FROM node WHERE NOT gone") == "2"


def taken_by(api, app):
    """The endpoints that this node sends a message to."""
    sent = api.send(app)["id"]
    # An attempt is listed when its result is written, which waits a few milliseconds for others.
    time.sleep(0.3)
    return {d["id"] for d in api.get(f"/app/{app}/msg/{sent}/endpoint").json()["data"]}


def knows_endpoints(api, app):
    return api.post(f"/app/{app}/msg/precheck/active", {"eventType": "a.b"}).json()["active"]


def test_a_change_on_one_node_soon_counts_on_the_others(new_node, database, receiver):
    _, (one, other) = cluster(new_node, database.url(), 2)
    app = one.app()["id"]
    first, second = receiver.hook(), receiver.hook()
    kept = one.endpoint(app, first.url)
    # Now the other node has it in memory.
    other.send(app)
    first.wait(1)
    added = one.endpoint(app, second.url)
    eventually(lambda: taken_by(other, app) == {kept["id"], added["id"]}, SOON, "the new endpoint is not known")
    first.wait(2)
    second.wait(1)
    assert one.delete(f"/app/{app}/endpoint/{kept['id']}").status_code == 204
    assert one.patch(f"/app/{app}/endpoint/{added['id']}", {"disabled": True}).status_code == 200
    assert one.patch(f"/app/{app}", {"uid": "new-name"}).status_code == 200
    eventually(lambda: other.get("/app/new-name").status_code == 200, SOON, "the new name is not known")
    eventually(lambda: taken_by(other, "new-name") == set(), SOON, "the endpoints that are gone still count")
    assert taken_by(other, "new-name") == set()


def test_a_change_is_seen_without_a_notification(new_node, database, receiver):
    """What polling is for: somebody in between swallows notifications."""
    _, (one,) = cluster(new_node, database.url(), 1)
    app = one.app()["id"]
    hook = receiver.hook()
    endpoint = one.endpoint(app, hook.url)
    one.send(app)
    hook.wait(1)
    database.run("UPDATE endpoint SET disabled = 'asked', revision = revision + 1")
    database.run("WITH r AS (UPDATE revision SET n = n + 1 RETURNING n) INSERT INTO change SELECT n, NULL FROM r")
    eventually(lambda: taken_by(one, app) == set(), SOON, "the change is not seen")
    assert one.get(f"/app/{app}/endpoint/{endpoint['id']}").json()["disabled"] is True


def test_a_node_killed_again_and_again_loses_nothing(new_node, database, hook):
    nodes, apis = cluster(new_node, database.url(), 3, endpoint_concurrency="2")
    app = apis[0].app()["id"]
    apis[0].endpoint(app, hook.url)
    in_flight: set[str] = set()
    for victim in range(ROUNDS):
        node = nodes[victim % 3]
        # So slow that some are on the wire, and many wait behind them in memory, when the node goes.
        hook.answer = lambda _: Answer(delay=0.3)
        producer = Producer(apis, app)
        producer.start()
        time.sleep(2)
        killed_at = time.monotonic()
        node.kill()
        hook.answer = lambda _: Answer()
        time.sleep(1)
        producer.finish()
        before = [m for m, at in producer.accepted.items() if at <= killed_at]
        all_arrived(hook, before, TAKEOVER - (time.monotonic() - killed_at))
        all_arrived(hook, producer.accepted, TAKEOVER)
        # What the node had sent, and not yet written down, may come twice.
        in_flight |= {r.id for r in hook.received if abs(r.at - (time.time() - (time.monotonic() - killed_at))) < 3}
        node.start()
    twice = {m for m, n in Counter(hook.ids()).items() if n > 1}
    assert twice <= in_flight, f"{len(twice - in_flight)} came twice that were not on the wire"
    # Two at a time, each for 0.3 s, and the time until a result is written.
    assert len(twice) <= 20 * ROUNDS, f"{len(twice)} came twice"
    settled = "SELECT count(*) FROM delivery WHERE state <> 2"
    eventually(lambda: database.one(settled) == "0", what="not every delivery is settled")


def test_a_node_that_was_paused_past_its_lease_does_no_harm(new_node, database, hook):
    nodes, (one, other) = cluster(new_node, database.url(), 2, endpoint_concurrency="2")
    app = one.app()["id"]
    one.endpoint(app, hook.url)
    hook.answer = lambda _: Answer(delay=0.4)
    sent = [one.send(app)["id"] for _ in range(12)]
    hook.wait(2)
    os.kill(nodes[0].process.pid, signal.SIGSTOP)
    try:
        paused_at = time.monotonic()
        all_arrived(hook, sent, TAKEOVER)
        # Longer than its lease, whatever the other one needed.
        time.sleep(max(0.0, 12 - (time.monotonic() - paused_at)))
        eventually(lambda: database.one("SELECT count(*) FROM delivery WHERE state <> 2") == "0")
    finally:
        os.kill(nodes[0].process.pid, signal.SIGCONT)
    # It gives up what it held, and works on under a new number.
    eventually(lambda: database.one("SELECT count(*) FROM node WHERE NOT gone") == "2")
    time.sleep(1)
    for message in sent:
        assert [a["status"] for a in other.attempts(app, message)] == [0], "each result is written once"
    again = Counter(hook.ids())
    assert sum(n - 1 for n in again.values()) <= 4, f"only what was on the wire may come twice: {again}"
    hook.answer = lambda _: Answer()
    later = one.send(app)["id"]
    all_arrived(hook, [later], 30)
    assert [a["status"] for a in one.attempts(app, later)] == [0]


def test_two_nodes_that_replay_the_same_window_send_each_message_once(new_node, database, hook):
    _, (one, other) = cluster(new_node, database.url(), 2)
    app = one.app()["id"]
    sent = [m["message"]["id"] for _ in range(3) for m in one.batch(app, [_event(n) for n in range(200)])]
    endpoint = one.endpoint(app, hook.url)["id"]
    since = iso(datetime.now(UTC) - timedelta(hours=1))
    for api in (one, other):
        eventually(lambda api=api: knows_endpoints(api, app), SOON, "the endpoint is not known")

    def replay(api):
        return api.post(f"/app/{app}/endpoint/{endpoint}/replay-missing", {"since": since})

    with ThreadPoolExecutor() as pool:
        assert {r.status_code for r in pool.map(replay, [one, other, one, other])} == {202}
    all_arrived(hook, sent, 20)
    hook.stays_at(len(sent), 2)


def _event(n):
    return {"eventType": "a.b", "payload": {"n": n}}


def test_messages_of_one_key_keep_their_order_across_nodes(new_node, database, hook):
    _, apis = cluster(new_node, database.url(), 2)
    app = apis[0].app()["id"]
    apis[0].endpoint(app, hook.url, ordered=True)
    for api in apis:
        eventually(lambda api=api: knows_endpoints(api, app), SOON, "the endpoint is not known")
    sent = [apis[n % 2].send(app, payload={"n": n}, orderKey="k")["id"] for n in range(100)]
    hook.wait(100)
    assert hook.ids() == sent


def test_a_rate_is_kept_by_all_nodes_together_and_by_the_one_that_is_left(new_node, database, hook):
    nodes, apis = cluster(new_node, database.url(), 2)
    app = apis[0].app()["id"]
    apis[0].endpoint(app, hook.url, throttleRate=20)
    for api in apis:
        eventually(lambda api=api: knows_endpoints(api, app), SOON, "the endpoint is not known")
        api.batch(app, [_event(n) for n in range(250)])
    hook.wait(10)

    def rate_is_kept():
        """Looked at up to three times: a machine that stumbles does so now and then."""
        seen = []
        for _ in range(3):
            since, begun = len(hook.received), time.monotonic()
            time.sleep(2.5)
            seen.append((len(hook.received) - since) / (time.monotonic() - begun))
            if 14 <= seen[-1] <= 23:
                return
        pytest.fail(f"{seen} in a second instead of 20")

    rate_is_kept()
    nodes[1].stop()
    time.sleep(0.5)
    rate_is_kept()


def test_the_width_of_an_endpoint_is_shared(new_node, database, hook):
    nodes, apis = cluster(new_node, database.url(), 2)
    app = apis[0].app()["id"]
    apis[0].endpoint(app, hook.url, concurrency=4)
    for api in apis:
        eventually(lambda api=api: knows_endpoints(api, app), SOON, "the endpoint is not known")
    open_now, most, lock = [0], [0], threading.Lock()

    def answer(_):
        with lock:
            open_now[0] += 1
            most[0] = max(most[0], open_now[0])
        # Long enough for the slowest machine to open all that it may.
        time.sleep(0.2)
        with lock:
            open_now[0] -= 1
        return Answer()

    hook.answer = answer
    for api in apis:
        api.batch(app, [_event(n) for n in range(20)])
    hook.wait(40)
    assert most[0] == 4


def test_a_node_that_stops_hands_its_work_over_at_once(new_node, database, hook):
    nodes, apis = cluster(new_node, database.url(), 2, endpoint_concurrency="1")
    app = apis[0].app()["id"]
    apis[0].endpoint(app, hook.url)
    hook.answer = lambda _: Answer(delay=0.2)
    sent = [apis[0].send(app)["id"] for _ in range(10)]
    hook.wait(1)
    assert nodes[0].stop() == 0
    hook.answer = lambda _: Answer()
    # Sooner than the others would notice its loss.
    all_arrived(hook, sent, within(5, 9))
    hook.stays_at(10)


def test_another_main_key_is_refused(new_node, database):
    new_node(database.url()).start()
    stranger = new_node(database.url())
    stranger.env["SCHOOLBELL_MAIN_KEY"] = "A" * 43 + "="
    with pytest.raises(RuntimeError, match="MAIN_KEY is not the key"):
        stranger.start()


def test_two_nodes_of_one_name_say_so(new_node, database):
    first = new_node(database.url(), node="twin").start()
    new_node(database.url(), node="twin").start()
    eventually(lambda: "is the node name 'twin' used twice?" in first.tail())


def test_a_pooler_in_transaction_mode_is_refused(new_node, database):
    pooler = "/usr/sbin/pgbouncer"
    if not os.access(pooler, os.X_OK):
        pytest.skip("pgbouncer is not installed")
    host, port = database.address
    mine = free_port()
    # Where another user can read: it refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="schoolbell-pooler-"))
    folder.chmod(0o777)
    for mode, works in (("transaction", False), ("session", True)):
        config = folder / f"{mode}.ini"
        user = database.url().split("//")[1].split("@")[0].split(":")[0]
        config.write_text(
            f"[databases]\n* = host={host} port={port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {mine}\n"
            f"auth_type = any\npool_mode = {mode}\nunix_socket_dir =\ndefault_pool_size = 20\n"
            f"logfile = {folder}/{mode}.log\n".replace("* = host", f"{database.name} = user={user} host")
        )
        command = [pooler, str(config)]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            eventually(lambda: _listens(mine), what="pgbouncer does not listen")
            node = new_node(database.url(address=("127.0.0.1", mine)))
            if works:
                node.start().stop()
            else:
                with pytest.raises(RuntimeError, match="pooler in transaction mode"):
                    node.start()
        finally:
            running.terminate()
            running.wait()


def _listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False
