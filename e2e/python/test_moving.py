"""Moving house: copies of a running server's database, the move to PostgreSQL, and the doctor."""

import signal
import socket
import subprocess
import threading

import pytest

from conftest import connect
from support.api import eventually
from support.receiver import Answer
from support.server import binary, free_port

LATER = "1h,1h"


def fill(api, hook, messages=3000):
    """Everything that a database can hold: settled, failed and waiting deliveries, names, secrets, options."""
    app = api.app(uid="room-7", metadata={"floor": "3"}, rateLimit=5000)["id"]
    api.event_type("a.b", schemas={"1": {"type": "object"}})
    endpoint = api.endpoint(
        app, hook.url.replace("http://", "http://user:secret@"), headers={"X-Hidden": "word"}, uid="bell"
    )
    for _ in range(messages // 1000):
        api.batch(app, [{"eventType": "a.b", "payload": {"n": n}, "eventId": None} for n in range(1000)])
    named = api.send(app, "a.b", eventId="named", channels=["x"], tags=["spring/2", "b"])["id"]
    repeated = api.post(f"/app/{app}/msg", {"eventType": "a.b", "payload": {}}, headers={"idempotency-key": "k"})
    hook.wait(messages + 2, 60)
    hook.answer = lambda _: Answer(500, body="ü\0".encode())
    waiting = api.send(app, "a.b")["id"]
    assert api.attempts(app, waiting)[0]["status"] == 2
    return app, endpoint["id"], named, repeated.json()["id"], waiting


def seen(api, app, endpoint):
    def pages(path):
        items, iterator = [], None
        while True:
            page = api.get(path, limit=250, **({"iterator": iterator} if iterator else {})).json()
            items += page["data"]
            if page["done"]:
                return items
            iterator = page["iterator"]

    paths = [
        "/app",
        "/event-type",
        f"/app/{app}/endpoint",
        f"/app/{app}/msg",
        f"/app/{app}/attempt/endpoint/{endpoint}",
    ]
    return [pages(path) for path in paths] + [
        api.secret(app, endpoint),
        api.get(f"/app/{app}/endpoint/{endpoint}/headers").json(),
        api.get(f"/app/{app}/endpoint/{endpoint}/stats").json(),
    ]


def migrate(server, url, **kwargs):
    command = [binary(), "migrate", "--from", server.database, "--to", url]
    return subprocess.Popen(
        command, env=server.env, cwd=server.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs
    )


def test_everything_moves_to_postgresql_even_if_the_move_breaks_off(new_server, new_node, database, hook):
    old = new_server(retry_schedule=LATER).start()
    api = connect(old)
    app, endpoint, named, repeated, waiting = fill(api, hook)
    before = seen(api, app, endpoint)
    refused = migrate(old, database.url())
    assert "another Schoolbell process is using" in refused.communicate(timeout=30)[0]
    old.stop()

    broken_off = migrate(old, database.url())
    eventually(lambda: _rows(database) > 0, 30)
    broken_off.send_signal(signal.SIGKILL)
    broken_off.wait()
    so_far = _rows(database)
    new = new_node(database.url(), retry_schedule=LATER)
    new.env.update({"SCHOOLBELL_JWT_SECRET": old.jwt_secret})
    new.env["SCHOOLBELL_MAIN_KEY"] = (old.folder / "schoolbell.db.main-key").read_text().strip()
    if so_far < 3003:
        with pytest.raises(RuntimeError, match="a move into this database has not ended"):
            new.start()
    moved = migrate(old, database.url())
    said = moved.communicate(timeout=60)[0]
    assert moved.returncode == 0, said
    assert "counts and hashes agree" in said and "message: 3003 rows" in said

    new.start()
    after = type(api)(new.url, api.token, api.organization, old.jwt_secret)
    assert seen(after, app, endpoint) == before
    same = after.post(f"/app/{app}/msg", {"eventType": "a.b", "payload": {}}, headers={"idempotency-key": "k"})
    assert same.json()["id"] == repeated
    assert after.get(f"/app/{app}/msg/named").json()["id"] == named
    # What waited is sent when it is asked for, new keys follow the old ones, and the planned retry is still planned.
    hook.answer = lambda _: Answer()
    assert after.post(f"/app/{app}/msg/{waiting}/endpoint/{endpoint}/resend").status_code == 202
    eventually(lambda: after.attempts(app, waiting, 2)[0]["status"] == 0)
    assert after.app()["id"] != app
    after.endpoint(app, hook.url)

    again = migrate(old, database.url())
    assert again.wait(30) == 1 and "in use or holds something already" in again.communicate()[0]


def _rows(database):
    if database.one("SELECT to_regclass('message') IS NOT NULL") != "t":
        return 0
    return int(database.one("SELECT count(*) FROM message"))


def test_a_copy_of_a_running_server_is_whole(new_server, tmp_path, hook):
    server = new_server().start()
    api = connect(server)
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    accepted, ended = [], threading.Event()

    def publish():
        while not ended.is_set():
            accepted.append(api.send(app)["id"])

    producer = threading.Thread(target=publish, daemon=True)
    producer.start()
    eventually(lambda: len(accepted) > 50)
    before = list(accepted)
    copy = tmp_path / "copy" / "schoolbell.db"
    copy.parent.mkdir()
    done = server.command("backup", str(copy), "--database", server.database)
    assert done.returncode == 0, done.stderr
    ended.set()
    producer.join()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert not list(copy.parent.glob("*.partial"))
    again = server.command("backup", str(copy), "--database", server.database)
    assert again.returncode == 1 and "is there already" in again.stderr
    nothing = server.command("backup", str(tmp_path / "b"), "--database", f"sqlite:{tmp_path}/none.db")
    assert nothing.returncode == 1 and "none.db" in nothing.stderr

    restored = new_server()
    restored.folder, restored.database = copy.parent, f"sqlite:{copy}"
    (copy.parent / "schoolbell.db.main-key").write_text((server.folder / "schoolbell.db.main-key").read_text())
    (copy.parent / "schoolbell.db.main-key").chmod(0o600)
    restored.jwt_secret = restored.env["SCHOOLBELL_JWT_SECRET"] = server.jwt_secret
    restored.start()
    api = type(api)(restored.url, api.token, api.organization, server.jwt_secret)
    for message in before:
        assert api.get(f"/app/{app}/msg/{message}").status_code == 200


def test_the_doctor_finds_nothing_wrong_with_a_server_that_runs(new_server, receiver):
    server = new_server().start()
    found = server.command("doctor", receiver.url, "--database", server.database, "--allow-subnets", "127.0.0.0/8")
    assert found.returncode == 0, found.stdout + found.stderr
    for line in ("settings", "is sound", "a sync takes", "JWT_SECRET is set", "answers", "as the receiver's"):
        assert line in found.stdout, f"nothing about {line}:\n{found.stdout}"
    assert server.jwt_secret not in found.stdout


def test_the_doctor_says_what_to_do(new_server, tmp_path):
    server = new_server()
    (tmp_path / "broken.db").write_bytes(b"no database at all" * 100)
    # A port where nobody listens.
    silent = f"http://127.0.0.1:{free_port()}/"
    found = server.command("doctor", silent, "--database", f"sqlite:{tmp_path}/broken.db")
    assert found.returncode == 1
    for line in ("BAD", "not a database", "add the network to ALLOW_SUBNETS"):
        assert line in found.stdout, found.stdout
    allowed = server.command("doctor", silent, "--allow-subnets", "127.0.0.0/8")
    assert "refused" in allowed.stdout and allowed.returncode == 1
    wrong = server.command("doctor", "--retry-schedule", "soon")
    assert wrong.returncode == 2 and "RETRY_SCHEDULE cannot be 'soon'" in wrong.stderr
    lost = server.command("doctor", "--public-url", "http://nowhere.invalid/")
    assert "nowhere.invalid is not found" in lost.stdout or "nobody answers" in lost.stdout


def test_the_doctor_looks_at_postgresql_and_its_nodes(new_node, database):
    node = new_node(database.url(), node="bell-1").start()
    found = node.command("doctor", "--database", database.url())
    assert found.returncode == 0, found.stdout + found.stderr
    for line in ("PostgreSQL 1", "a commit takes", "connections are in use", "bell-1 was seen", "as the database's"):
        assert line in found.stdout, f"nothing about {line}:\n{found.stdout}"
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        gone = node.command("doctor", "--database", f"postgres://me:hidden@127.0.0.1:{port}/x")
    assert gone.returncode == 1 and "BAD   database" in gone.stdout and "hidden" not in gone.stdout + gone.stderr
