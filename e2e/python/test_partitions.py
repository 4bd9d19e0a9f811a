"""Retention on PostgreSQL: a week whose time is over is dropped as a whole, what must stay stays, and nobody waits."""

import subprocess
import time

from support.api import eventually
from support.nodes import Producer, all_arrived, cluster

WEEK = 7 * 24 * 3600
# Where ids begin to count their seconds.
KSUID_EPOCH = 1_400_000_000
MESSAGES = 1500


def test_a_week_that_is_over_is_dropped_and_nobody_waits_for_it(new_node, database, clock, hook):
    now = time.time() - KSUID_EPOCH
    first = int(now // WEEK) + 1

    def middle_of(week):
        clock.shift(int((week + 0.5) * WEEK - now))

    def weeks(table):
        found = database.run(f"SELECT relname FROM pg_class WHERE relname ~ '^{table}_w[0-9]+$' AND relkind = 'r'")
        return sorted(int(name.removeprefix(f"{table}_w")) for (name,) in found)

    middle_of(first)
    options = {"env": clock.environment(), "attempt_retention": "10d", "payload_retention": "30d"}
    (node,), (api,) = cluster(new_node, database.url(), 1, **options)
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    old = api.send(app)["id"]
    # An application that keeps its messages longer, and its week with them.
    longer = api.app(retention={"payloadDays": 30, "attemptDays": 24})["id"]
    api.endpoint(longer, hook.url)
    kept = api.send(longer)["id"]
    for _ in range(MESSAGES // 500):
        api.batch(longer, [{"eventType": "a.b", "payload": {}}] * 500)
    settled = "SELECT count(*) FROM delivery WHERE state = 2"
    eventually(lambda: database.one(settled) == str(MESSAGES + 2), 30, "not all was delivered")
    node.stop()

    middle_of(first + 1)
    node.start()
    young = api.send(app)["id"]
    api.attempts(app, young)
    assert weeks("message") == weeks("delivery") == weeks("attempt") == [first, first + 1]
    node.stop()

    # The week is over for all but that application: its messages stay, those of others go one by one.
    middle_of(first + 2)
    node.start()
    eventually(lambda: api.get(f"/app/{app}/msg/{old}").status_code == 404, 30, "a message did not go")
    assert api.get(f"/app/{longer}/msg/{kept}").json()["payload"] == {"n": 1}
    assert api.get(f"/app/{app}/msg/{young}").status_code == 200
    assert first in weeks("message")
    node.stop()

    # Now for everybody, of two weeks; but somebody reads for long, as a backup does, at the moment that they should go.
    middle_of(first + 5)
    removed = int(database.one(f"SELECT tup_deleted FROM pg_stat_database WHERE datname = '{database.name}'"))
    reading = ["BEGIN; LOCK TABLE message, delivery, attempt IN ACCESS SHARE MODE", "SELECT pg_sleep(60)"]
    command = ["psql", "-X", "-q", "-d", database.url(), "-c", reading[0], "-c", reading[1]]
    reader = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    locked = f"SELECT count(*) FROM pg_locks WHERE mode = 'AccessShareLock' AND relation = 'message_w{first}'::regclass"
    try:
        eventually(lambda: database.one(locked) != "0", 30, "the reader does not read")
        node.start()
        producer = Producer([api], app)
        producer.start()
        # Longer than anybody may wait.
        time.sleep(6)
        assert first in weeks("message"), "nothing is torn away from a reader"
    finally:
        reader.kill()
        reader.wait()
    database.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = '{reading[1]}'")
    # Each start looks at once; else it is once a minute.
    producer.finish()
    node.restart()
    again = Producer([api], app, name="again")
    again.start()
    for table in ("message", "delivery", "attempt"):
        eventually(lambda t=table: first not in weeks(t), 60, f"the week of {table} was not dropped")
    again.finish()
    for one in (producer, again):
        assert set(one.statuses) == {202}
        assert one.slowest < 5, f"a producer waited {one.slowest:.1f} s"
        all_arrived(hook, one.accepted, 30)
    assert {first + 5} <= set(weeks("message")) and first + 1 not in weeks("message")
    gone = int(database.one(f"SELECT tup_deleted FROM pg_stat_database WHERE datname = '{database.name}'")) - removed
    # Three rows for each message were there, and the catalogue has some for each table.
    assert gone < MESSAGES, f"{gone} rows were deleted one by one"
    assert api.get(f"/app/{longer}/msg/{kept}").status_code == 404
