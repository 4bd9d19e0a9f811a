"""The commands: wrong settings, secrets, one process per database, stopping."""

import concurrent.futures
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

from conftest import connect
from support.api import Api, eventually
from support.receiver import Answer
from support.server import binary, free_port


def run(folder, *arguments, env=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SCHOOLBELL_")}
    return subprocess.run(
        [binary(), *arguments], cwd=folder, env={**clean, **(env or {})}, capture_output=True, text=True, timeout=20
    )


@pytest.mark.parametrize(
    "flag, wrong",
    [
        ("listen", "nowhere"),
        ("database", "mysql://x/y"),
        ("retry-schedule", "5s,soon"),
        ("request-timeout", "never"),
        ("allow-subnets", "127.0.0.0/99"),
        ("default-signature", "md5"),
        ("disable-after", "-1d"),
        ("operational-webhooks", "perhaps"),
    ],
)
@pytest.mark.parametrize("by", ["flag", "environment", "file"])
def test_a_wrong_setting_is_named_with_what_would_be_right(tmp_path, flag, wrong, by):
    name = flag.replace("-", "_")
    done = {
        "flag": lambda: run(tmp_path, "serve", f"--{flag}={wrong}"),
        "environment": lambda: run(tmp_path, "serve", env={f"SCHOOLBELL_{name.upper()}": wrong}),
        "file": lambda: (tmp_path / "schoolbell.toml").write_text(f'{name} = "{wrong}"\n') and run(tmp_path, "serve"),
    }[by]()
    assert done.returncode not in (0, 101), done.stderr
    said = done.stderr.lower().replace("-", "_")
    assert name in said, done.stderr
    assert wrong.lower().replace("-", "_") in said or by == "flag", done.stderr
    assert "panicked" not in said and len(done.stderr.splitlines()) <= 8, done.stderr
    assert done.stdout == ""


def test_an_unknown_setting_in_the_file_is_named(tmp_path):
    (tmp_path / "schoolbell.toml").write_text('lissten = "127.0.0.1:1"\n')
    done = run(tmp_path, "serve")
    assert done.returncode not in (0, 101) and "lissten" in done.stderr


def test_flags_come_before_the_environment_before_the_file(new_server):
    server = new_server(env={"SCHOOLBELL_LISTEN": "127.0.0.1:1"})
    (server.folder / "schoolbell.toml").write_text('listen = "127.0.0.1:2"\nretry_schedule = "7s"\n')
    server.start()
    assert connect(server).get("/app").status_code == 200


def test_serve_says_where_it_listens_and_nothing_else_on_its_output(new_server):
    server = new_server().start()
    connect(server).app()
    server.stop()
    lines = server.stdout_path.read_text().splitlines()
    assert len(lines) == 1 and server.url in lines[0]


def test_a_secret_for_tokens_that_can_be_guessed_is_warned_of(new_server):
    def warns(secret):
        server = new_server({"SCHOOLBELL_JWT_SECRET": secret}).start()
        said = server.command("doctor", "--database", server.database).stdout
        server.stop()
        warned = "JWT_SECRET has less than 32 characters" in server.stderr_path.read_text()
        assert secret not in said and warned == ("JWT_SECRET has less than 32 characters" in said)
        return warned

    assert warns("secret-of-20-letters") and not warns("x" * 32)


def test_secrets_are_made_once_and_only_their_owner_may_read_them(tmp_path, new_server):
    server = new_server()
    del server.env["SCHOOLBELL_JWT_SECRET"]
    server.start()
    token = server.token()
    api = connect(server).with_token(token)
    app = api.app()["id"]
    secret = api.secret(app, api.endpoint(app, "http://example.com/")["id"])
    keys = [p for p in server.folder.iterdir() if p.name.endswith(("jwt-secret", "main-key"))]
    assert len(keys) == 2
    for path in keys:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    server.restart()
    assert server.token() and api.get("/app").status_code == 200
    assert api.secret(app, api.get(f"/app/{app}/endpoint").json()["data"][0]["id"]) == secret


def test_endpoint_secrets_are_not_readable_in_the_database(new_server, hook):
    server = new_server().start()
    api = connect(server)
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, secret="whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX")["id"]
    api.put(f"/app/{app}/endpoint/{endpoint}/headers", {"headers": {"authorization": "Bearer find-me-if-you-can"}})
    # The SDKs send a key with every POST, and its answer, which has the address in it, is kept for repetitions.
    with_password = {"url": "http://ann:find-me-if-you-can@127.0.0.1/hook"}
    for path, more in [("endpoint", {}), ("webfilter", {"filter": "own.filter"})]:
        body, keyed = {**with_password, **more}, {"headers": {"idempotency-key": path}}
        made = [api.post(f"/app/{app}/{path}", body, **keyed) for _ in range(2)]
        assert [m.status_code for m in made] == [201, 201] and made[0].json() == made[1].json(), made[0].text
    server.stop()
    for path in server.folder.glob("schoolbell.db*"):
        content = path.read_bytes()
        assert b"find-me-if-you-can" not in content and b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYX" not in content
        assert bytes(range(24)) not in content


def test_nothing_secret_is_logged(new_server, hook):
    server = new_server(log_level="trace").start()
    api = connect(server)
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url.replace("http://", "http://ann:pass-word-1@"))["id"]
    api.put(f"/app/{app}/endpoint/{endpoint}/headers", {"headers": {"x-api-key": "find-me"}})
    secret = api.secret(app, endpoint)
    api.send(app)
    hook.wait()
    server.stop()
    said = server.stderr_path.read_text() + server.stdout_path.read_text()
    for private in (secret, secret.removeprefix("whsec_"), "find-me", "pass-word-1", api.token, server.jwt_secret):
        assert private not in said


def test_a_second_process_on_the_same_database_is_refused(new_server):
    server = new_server().start()
    api = connect(server)
    done = server.command("serve", "--listen", f"127.0.0.1:{free_port()}", "--database", server.database)
    assert done.returncode not in (0, 101) and done.stdout == ""
    assert "schoolbell.db" in done.stderr and "panicked" not in done.stderr
    assert api.get("/app").status_code == 200


def test_a_port_in_use_is_explained(new_server):
    server, second = new_server().start(), new_server()
    done = second.command("serve", "--listen", f"127.0.0.1:{server.port}", "--database", second.database)
    assert done.returncode not in (0, 101) and str(server.port) in done.stderr and "panicked" not in done.stderr


def test_a_stop_lets_deliveries_under_way_end(new_server, hook):
    hook.answer = lambda _: Answer(200, delay=1.0)
    server = new_server(request_timeout="5s").start()
    api = connect(server)
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    message = api.send(app)["id"]
    hook.wait(1)
    assert server.stop() == 0
    server.start()
    assert api.attempts(app, message)[0]["status"] == 0
    hook.stays_at(1, 0.5)


def test_a_stop_does_not_wait_for_ever_and_hands_back_what_it_left(new_server, hook):
    hook.answer = lambda _: Answer(200, delay=28.0)
    server = new_server(request_timeout="30s").start()
    api = connect(server)
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    message = api.send(app)["id"]
    hook.wait(1)
    begun = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begun < 25
    hook.answer = lambda _: Answer(200)
    server.start()
    assert [r.id for r in hook.wait(2)] == [message, message]


def test_a_stop_answers_every_call_that_it_took(new_server):
    server = new_server().start()
    api = connect(server)
    app = api.app()["id"]
    accepted = []

    def publish(n):
        try:
            response = connect(server, api.organization).post(
                f"/app/{app}/msg", {"eventType": "a.b", "payload": {"n": n}}
            )
        except Exception:  # noqa: BLE001 (refused: it no longer listens)
            return
        if response.status_code == 202:
            accepted.append(response.json()["id"])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(publish, n) for n in range(200)]
        eventually(lambda: len(accepted) > 20)
        assert server.stop() == 0
        for job in jobs:
            job.result()
    server.start()
    stored = {m["id"] for page in api.pages(f"/app/{app}/msg", limit=250) for m in page}
    assert set(accepted) <= stored


def test_help_names_every_command_and_every_setting(tmp_path):
    commands = run(tmp_path, "--help").stdout
    for command in ("demo", "serve", "token", "listen", "send", "simulate", "bench"):
        assert command in commands
    settings = run(tmp_path, "serve", "--help").stdout
    for name in ("listen", "database", "jwt-secret", "main-key", "retry-schedule", "request-timeout", "allow-subnets"):
        assert f"--{name}" in settings and f"SCHOOLBELL_{name.upper().replace('-', '_')}" in settings, name
    for name in ("default-signature", "disable-after", "operational-webhooks"):
        assert f"--{name}" in settings, name
    assert run(tmp_path, "--version").stdout.startswith("schoolbell ")


def test_a_token_for_something_that_is_no_organization_is_refused(new_server):
    done = new_server().command("token", "app_1")
    assert done.returncode != 0 and "org_" in done.stderr and done.stdout == ""


DEFAULT_ORGANIZATION = "org_23rb8YdGqMT0qIzpgGwdXfHirMu"


def lines_of(process):
    """Collects what a process prints, in the background."""
    lines = []

    def read():
        for line in process.stdout:
            lines.append(line.rstrip())

    threading.Thread(target=read, daemon=True).start()
    return lines


def test_send_publishes_and_listen_receives_and_verifies(new_server, tmp_path):
    server = new_server().start()
    api = connect(server, DEFAULT_ORGANIZATION)
    app = api.app(uid="room-1")["id"]
    port = free_port()
    endpoint = api.endpoint(app, f"http://127.0.0.1:{port}/", secret="whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX")["id"]
    (tmp_path / "event.json").write_text('{"type": "lesson.started", "room": "12"}')
    listening = subprocess.Popen(
        [binary(), "listen", "--port", str(port), "--secret", api.secret(app, endpoint)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        heard = lines_of(listening)
        eventually(lambda: heard and str(port) in heard[0], what="listen did not say where it listens")
        sent = server.command(
            "send", "room-1", "lesson.started", "--data", str(tmp_path / "event.json"), "--server", server.url
        )
        assert sent.returncode == 0, sent.stderr
        message = sent.stdout.strip()
        assert api.get(f"/app/{app}/msg/{message}").json()["payload"] == {"type": "lesson.started", "room": "12"}
        eventually(lambda: "signature verified" in "\n".join(heard), what="listen printed no verified delivery")
        assert message in "\n".join(heard) and "lesson.started" in "\n".join(heard)
    finally:
        listening.send_signal(signal.SIGINT)
        assert listening.wait(10) == 0


def test_send_explains_what_went_wrong(new_server, tmp_path):
    server = new_server().start()
    (tmp_path / "event.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")

    def send(app, file, url=server.url):
        done = server.command("send", app, "a.b", "--data", str(tmp_path / file), "--server", url)
        assert done.returncode not in (0, 101) and done.stdout == "" and "panicked" not in done.stderr
        return done.stderr.lower()

    assert "not found" in send("nobody", "event.json")
    assert "broken.json" in send("nobody", "broken.json")
    assert "missing.json" in send("nobody", "missing.json")
    assert "127.0.0.1:1" in send("nobody", "event.json", "http://127.0.0.1:1")


def test_the_demo_delivers_takes_an_event_of_ours_and_ends_cleanly(tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith("SCHOOLBELL_")} | {"TMPDIR": str(tmp_path)}
    demo = subprocess.Popen(
        [binary(), "demo", "--rate", "20"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = lines_of(demo)

        def find(pattern):
            return next((m for line in list(said) if (m := re.search(pattern, line))), None)

        url = eventually(lambda: find(r"listens on (http://[\d.:]+)"))[1]
        token = eventually(lambda: find(r"SCHOOLBELL_TOKEN=(\S+)"))[1]
        app = eventually(lambda: find(r"/api/v1/app/([^/]+)/msg"))[1]
        eventually(lambda: find(r"✓ 20\d"), 30, "no delivery was shown")
        eventually(lambda: find(r"✗ \d+"), 30, "no failed try was shown")
        made = {a["uid"]: a.get("platform") for a in Api(url, token).get("/app", limit=50).json()["data"]}
        for platform in ("replit", "teachstack", "instruqt", "canvas"):
            assert [uid.split("-")[0] for uid, of in made.items() if of == platform] == [platform], made
        published = Api(url, token).send(app, "lesson.started", {"event": "lesson.started"})
        assert [d["status"] for d in eventually(lambda: settled(Api(url, token), app, published["id"]))] == [0]
    finally:
        # As from `timeout`, which sends one to the process and one to its group: they are one request.
        demo.send_signal(signal.SIGINT)
        demo.send_signal(signal.SIGTERM)
        code = demo.wait(15)
    assert code == 0 and demo.stderr.read() == ""
    assert [p.name for p in tmp_path.iterdir()] == [], "the demo left something behind"


def settled(api, app, message):
    destinations = api.get(f"/app/{app}/msg/{message}/endpoint").json()["data"]
    return destinations if destinations and all(d["status"] == 0 for d in destinations) else None


# --- a database and its keys that are not as they should be ----------------------------------------------------------


def refused(server):
    """What the server says when it does not start."""
    with pytest.raises(RuntimeError) as failure:
        server.start()
    said = str(failure.value)
    assert "panicked" not in said and "before it listened" in said, said
    return said


def test_a_lost_key_is_explained_and_nothing_is_overwritten(new_server, hook):
    server = new_server().start()
    api = connect(server)
    app = api.app()["id"]
    secret = api.secret(app, api.endpoint(app, hook.url)["id"])
    server.stop()
    key = server.folder / "schoolbell.db.main-key"
    kept = key.read_bytes()
    key.unlink()
    assert "main-key" in refused(server)
    assert not key.exists()
    key.write_bytes(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
    key.chmod(0o600)
    assert "key" in refused(server).lower()
    key.write_bytes(kept)
    key.chmod(0o644)
    assert "chmod 600" in refused(server)
    key.chmod(0o600)
    server.start()
    assert api.secret(app, api.get(f"/app/{app}/endpoint").json()["data"][0]["id"]) == secret


@pytest.mark.parametrize("what", ["folder", "text", "empty", "missing folder", "cut short"])
def test_a_database_that_is_none_is_explained(new_server, what):
    server = new_server()
    path = server.folder / "schoolbell.db"
    if what == "folder":
        path.mkdir()
    elif what == "text":
        path.write_text("this is no database\n" * 500)
    elif what == "empty":
        path.touch()
        server.start()  # an empty file is what SQLite itself makes first
        return
    elif what == "missing folder":
        server.database = f"sqlite:{server.folder / 'nowhere' / 'schoolbell.db'}"
    elif what == "cut short":
        server.start()
        api = connect(server)
        app = api.app()["id"]
        api.batch(app, [{"eventType": "a.b", "payload": {"x": "y" * 1000}}] * 500)
        server.stop()
        for log in server.folder.glob("schoolbell.db-*"):
            log.unlink()
        os.truncate(path, 8192)
    said = refused(server)
    assert "schoolbell.db" in said or "malformed" in said, said


def test_a_kill_during_the_very_first_start_leaves_nothing_that_hinders_the_next(new_server):
    for n in range(25):
        server = new_server()
        del server.env["SCHOOLBELL_JWT_SECRET"]
        process = subprocess.Popen(
            server.arguments(), env=server.env, cwd=server.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # Up to ten at once after the start, then while the tables are made, a little later each time.
        while n > 9 and not (server.folder / "schoolbell.db").exists():
            assert process.poll() is None, "the server ended by itself"
        time.sleep((n % 10) * 0.006 if n < 10 else (n - 10) * 0.001)
        process.kill()
        process.wait()
        server.start()
        assert connect(server).with_token(server.token()).get("/app").status_code == 200
        server.close()


def test_running_out_of_file_descriptors_harms_nobody_for_long(new_server, hook):
    server = new_server()
    server.limits = {resource.RLIMIT_NOFILE: 100}
    server.start()
    api = connect(server)
    app = api.app()["id"]
    api.endpoint(app, hook.url, retrySchedule=["500ms"] * 20)
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(150)]
    time.sleep(0.5)
    for connection in idle:
        connection.close()
    messages = [eventually(lambda: api.send(app))["id"] for _ in range(20)]
    eventually(lambda: set(messages) <= set(hook.ids()), 30, "deliveries did not go on")
    assert server.is_running()
