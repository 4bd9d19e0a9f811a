"""What a receiver sees, and what the attempts say about what it did."""

import base64
import gzip
import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks
import svix.webhooks
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from conftest import connect
from support.api import eventually, instant
from support.clock import HOUR
from support.receiver import Answer

OLD = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
NEW = "whsec_ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7"
PAIR = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA=="


def verifies(secret, request) -> bool:
    """Whether both libraries take the delivery; they must agree."""
    verdicts = []
    for library in (svix.webhooks, standardwebhooks.webhooks):
        try:
            library.Webhook(secret).verify(request.body.decode(), request.headers)
            verdicts.append(True)
        except standardwebhooks.webhooks.WebhookVerificationError:
            verdicts.append(False)
    assert verdicts[0] == verdicts[1]
    return verdicts[0]


def signed(secret, request) -> str:
    """What the secret makes of it, however far its clock is from ours."""
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    return standardwebhooks.Webhook(secret).sign(request.headers["webhook-id"], at, request.body.decode())


def verifies_ed25519(public: str, request) -> bool:
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    signed = b".".join(
        [request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode(), request.body]
    )
    for entry in request.headers["webhook-signature"].split(" "):
        version, signature = entry.split(",", 1)
        if version == "v1a":
            try:
                key.verify(base64.b64decode(signature), signed)
                return True
            except InvalidSignature:
                pass
    return False


def test_the_request(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url + "?class=7b")["id"]
    message = api.send(app, payload={"lesson": 1})
    request = hook.wait()[0]
    assert request.path == hook.path + "?class=7b"
    headers = request.headers
    assert headers["content-type"] == "application/json" and headers["accept"] == "*/*"
    assert headers["host"] == hook.url.split("/")[2]
    assert "schoolbell" in headers["user-agent"].lower()
    assert headers["content-length"] == str(len(request.body)) and "transfer-encoding" not in headers
    for name in ("id", "timestamp", "signature"):
        assert headers[f"svix-{name}"] == headers[f"webhook-{name}"]
    assert headers["webhook-id"] == message["id"]
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert headers["webhook-signature"].startswith("v1,")
    assert verifies(api.secret(app, endpoint), request)
    names = [name.lower() for name, _ in request.raw_headers]
    assert names[0] == "host" and len(names) == len(set(names))


def test_each_endpoint_signs_with_its_own_secret(api, receiver):
    app = api.app()["id"]
    hooks = [receiver.hook() for _ in range(2)]
    secrets = [api.secret(app, api.endpoint(app, h.url)["id"]) for h in hooks]
    api.send(app)
    requests = [h.wait()[0] for h in hooks]
    assert [[verifies(s, r) for s in secrets] for r in requests] == [[True, False], [False, True]]


def test_the_timestamp_is_that_of_the_attempt_and_the_id_stays(api, hook):
    hook.respond(Answer(500), Answer(200))
    app = api.app()["id"]
    # Headers count seconds: more than one of them lies between the two, whatever the jitter.
    endpoint = api.endpoint(app, hook.url, retrySchedule=["2s"])["id"]
    api.send(app)
    first, second = hook.wait(2)
    assert first.id == second.id
    assert int(first.headers["webhook-timestamp"]) < int(second.headers["webhook-timestamp"])
    secret = api.secret(app, endpoint)
    assert verifies(secret, first) and verifies(secret, second)


def test_after_a_rotation_both_secrets_sign_until_the_old_one_ends(hours, hook):
    api = connect(hours.server)
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, secret=OLD)["id"]
    rotate = f"/app/{app}/endpoint/{endpoint}/secret/rotate"
    api.post(rotate, {"key": NEW, "gracePeriodSeconds": HOUR})
    api.send(app)
    request = hook.wait()[0]
    signatures = request.headers["webhook-signature"].split(" ")
    assert sorted(signatures) == sorted([signed(NEW, request), signed(OLD, request)])
    hours.pass_by(api)
    api.send(app)
    request = hook.wait(2)[1]
    assert request.headers["webhook-signature"] == signed(NEW, request) != signed(OLD, request)


def test_a_rotation_without_grace_ends_the_old_secret_at_once(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, secret=OLD)["id"]
    api.post(f"/app/{app}/endpoint/{endpoint}/secret/rotate", {"key": NEW, "gracePeriodSeconds": 0})
    api.send(app)
    request = hook.wait()[0]
    assert verifies(NEW, request) and not verifies(OLD, request)


def test_ed25519_alone_and_mixed_during_a_rotation(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, secret=PAIR)["id"]
    public = api.secret(app, endpoint)
    api.send(app, payload={"a": "é"})
    request = hook.wait()[0]
    assert request.headers["webhook-signature"].startswith("v1a,") and verifies_ed25519(public, request)
    api.post(f"/app/{app}/endpoint/{endpoint}/secret/rotate", {"key": NEW})
    api.send(app)
    request = hook.wait(2)[1]
    versions = [entry.split(",")[0] for entry in request.headers["webhook-signature"].split(" ")]
    assert versions == ["v1", "v1a"]
    assert verifies(NEW, request) and verifies_ed25519(public, request)


def test_ed25519_may_be_the_default(new_server, hook):
    api = connect(new_server(default_signature="ed25519").start())
    app = api.app()["id"]
    public = api.secret(app, api.endpoint(app, hook.url)["id"])
    assert public.startswith("whpk_")
    api.send(app)
    assert verifies_ed25519(public, hook.wait()[0])


def test_own_headers_are_sent_as_spelled_and_at_once(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    path = f"/app/{app}/endpoint/{endpoint}/headers"
    api.put(path, {"headers": {"X-Room": "12", "Authorization": "Bearer abc"}})
    api.send(app)
    headers = hook.wait()[0].headers
    assert (headers["x-room"], headers["authorization"]) == ("12", "Bearer abc")
    api.patch(path, {"headers": {"X-Room": "13"}})
    api.send(app)
    assert hook.wait(2)[1].headers["x-room"] == "13"


def test_credentials_in_the_address_become_the_header(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url.replace("http://", "http://ann:p%40ss@"))["id"]
    message = api.send(app)["id"]
    request = hook.wait()[0]
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"ann:p@ss").decode()
    assert "p%40ss" not in api.attempts(app, message)[0]["url"]
    api.put(f"/app/{app}/endpoint/{endpoint}/headers", {"headers": {"authorization": "Bearer own"}})
    api.send(app)
    assert hook.wait(2)[1].headers["authorization"] == "Bearer own"


# --- what the attempts say -------------------------------------------------------------------------------------------


def test_an_attempt_has_the_documented_fields(api, hook):
    hook.respond(Answer(201, body=b"thank you"))
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    message = api.send(app)
    attempt = api.attempts(app, message["id"])[0]
    assert attempt["id"].startswith("atmpt_") and len(attempt["id"]) == 33
    assert (attempt["msgId"], attempt["endpointId"], attempt["url"]) == (message["id"], endpoint, hook.url)
    assert (attempt["status"], attempt["statusText"], attempt["triggerType"]) == (0, "success", 0)
    assert (attempt["response"], attempt["responseStatusCode"]) == ("thank you", 201)
    assert 0 <= attempt["responseDurationMs"] < 5000
    assert timedelta(0) <= instant(attempt["timestamp"]) - instant(message["timestamp"]) < timedelta(seconds=5)
    assert api.get(f"/app/{app}/msg/{message['id']}/attempt/{attempt['id']}").json() == attempt


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_every_2xx_is_success(api, hook, status):
    hook.respond(status)
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    attempt = api.attempts(app, api.send(app)["id"])[0]
    assert (attempt["status"], attempt["responseStatusCode"]) == (0, status)
    hook.stays_at(1, 0.1)


@pytest.mark.parametrize("status", [300, 304, 400, 401, 404, 418, 429, 500, 503, 599])
def test_everything_else_is_failure_and_is_tried_again(api, hook, status):
    hook.respond(Answer(status, body=b"" if status == 304 else b"no"))
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    attempts = api.attempts(app, api.send(app)["id"], 3)
    assert {(a["status"], a["statusText"], a["responseStatusCode"]) for a in attempts} == {(2, "fail", status)}
    hook.stays_at(3, 0.1)


def test_redirects_are_never_followed(api, receiver):
    source, target = receiver.hook(), receiver.hook()
    source.respond(Answer(302, {"location": target.url}))
    app = api.app()["id"]
    api.endpoint(app, source.url)
    attempts = api.attempts(app, api.send(app)["id"], 3)
    assert {a["responseStatusCode"] for a in attempts} == {302}
    target.stays_at(0, 0.1)


def test_a_refused_connection(api):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}/"
        app = api.app()["id"]
        api.endpoint(app, url)
        attempts = api.attempts(app, api.send(app)["id"], 3)
    assert {(a["status"], a["responseStatusCode"]) for a in attempts} == {(2, 0)}
    assert "refused" in attempts[0]["response"].lower()


def test_a_name_that_does_not_resolve(api):
    app = api.app()["id"]
    api.endpoint(app, "http://nothing.invalid/", retrySchedule=[])
    attempt = api.attempts(app, api.send(app)["id"])[0]
    assert (attempt["status"], attempt["responseStatusCode"]) == (2, 0) and attempt["response"]


def test_an_answer_that_takes_too_long(new_server, hook):
    hook.respond(Answer(200, delay=10))
    api = connect(new_server(request_timeout="500ms").start())
    app = api.app()["id"]
    api.endpoint(app, hook.url, retrySchedule=[])
    attempt = api.attempts(app, api.send(app)["id"])[0]
    assert (attempt["status"], attempt["responseStatusCode"]) == (2, 0)
    assert "timed out" in attempt["response"] and 400 <= attempt["responseDurationMs"] < 9000


def test_long_answers_are_cut_and_binary_ones_are_base64(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url, retrySchedule=[])
    hook.respond(Answer(500, body=b"x" * 50_000), Answer(500, body=b"\xff\xfe\x00" * 10))
    long = api.attempts(app, api.send(app)["id"])[0]
    assert long["response"] == "x" * 20_000
    binary = api.attempts(app, api.send(app)["id"])[0]
    assert base64.b64decode(binary["response"]) == b"\xff\xfe\x00" * 10


def test_compressed_answers_are_read_as_text_and_bombs_do_no_harm(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url, retrySchedule=[])
    gzipped = {"content-encoding": "gzip"}
    hook.respond(
        Answer(200, gzipped, gzip.compress(b"readable")), Answer(200, gzipped, gzip.compress(b"\0" * 50_000_000))
    )
    assert api.attempts(app, api.send(app)["id"])[0]["response"] == "readable"
    bomb = api.attempts(app, api.send(app)["id"])[0]
    assert bomb["responseStatusCode"] == 200 and len(bomb["response"]) <= 30_000


# --- retries ---------------------------------------------------------------------------------------------------------


def test_retries_follow_the_schedule_and_stop_at_success(api, hook):
    hook.respond(500, 503, 200)
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    message = api.send(app)["id"]
    attempts = api.attempts(app, message, 3)
    assert [a["responseStatusCode"] for a in attempts] == [200, 503, 500]
    hook.stays_at(3)


def test_an_endpoints_schedule_comes_before_the_applications_before_the_servers(api, receiver):
    app = api.app(retrySchedule=["1ms"])["id"]
    own, applications = receiver.hook(), receiver.hook()
    for hook in (own, applications):
        hook.respond(500)
    api.endpoint(app, own.url, retrySchedule=[])
    api.endpoint(app, applications.url)
    api.send(app)
    own.wait(1)
    applications.wait(2)
    own.stays_at(1)
    applications.stays_at(2, 0)


def test_waits_are_spread_by_a_fifth(api, hook):
    hook.respond(500)
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, retrySchedule=["1h"])["id"]
    tried = {message: api.attempts(app, message)[0] for message in [api.send(app)["id"] for _ in range(10)]}
    path = f"/app/{app}/endpoint/{endpoint}/msg"
    waiting = eventually(lambda: (d := api.get(path, status=3).json()["data"]) and len(d) == 10 and d)
    waits = [instant(w["nextAttempt"]) - instant(tried[w["id"]]["timestamp"]) for w in waiting]
    # A minute more for a machine that is slow to try.
    assert all(timedelta(minutes=48) <= wait <= timedelta(minutes=73) for wait in waits), waits
    assert len(set(waits)) > 5 and max(waits) - min(waits) > timedelta(minutes=1), waits


def test_final_statuses_end_the_schedule(api, hook):
    hook.respond(500, 404)
    app = api.app()["id"]
    api.endpoint(app, hook.url, finalStatuses=[404])
    attempts = api.attempts(app, api.send(app)["id"], 2)
    assert [a["responseStatusCode"] for a in attempts] == [404, 500]
    hook.stays_at(2)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_delays_the_next_try(api, hook, form):
    def answer(_):
        if len(hook.received) > 1:
            return Answer(200)
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3))
        return Answer(429, {"retry-after": "2" if form == "seconds" else date})

    hook.answer = answer
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    api.send(app)
    first, second = hook.wait(2)
    # The schedule alone would have come back at once.
    assert 1.5 <= second.at - first.at < 30


def test_retry_after_is_bounded_by_a_day(api, hook):
    hook.respond(Answer(503, {"retry-after": "99999999"}))
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    message = api.send(app)["id"]
    attempt = api.attempts(app, message)[0]
    item = eventually(lambda: api.get(f"/app/{app}/endpoint/{endpoint}/msg", status=3).json()["data"])[0]
    wait = instant(item["nextAttempt"]) - instant(attempt["timestamp"])
    assert timedelta(hours=23, minutes=59) < wait < timedelta(hours=24, minutes=1)


def test_a_retry_that_is_due_during_a_restart_is_made_afterwards(new_server, clock, hook):
    hook.respond(500, 200)
    server = new_server(clock.environment(), retry_schedule="1h").start()
    api = connect(server)
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    message = api.send(app)["id"]
    api.attempts(app, message)
    assert server.stop() == 0
    clock.shift(2 * HOUR)
    hook.stays_at(1, 0)
    server.start()
    assert [r.id for r in hook.wait(2)] == [message] * 2


# --- switching off ---------------------------------------------------------------------------------------------------


def waiting_delivery(api, hook):
    """A message whose first try failed and whose second is an hour away; then the receiver works again."""
    hook.respond(500)
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, retrySchedule=["1h", "1d"])["id"]
    message = api.send(app)["id"]
    api.attempts(app, message)
    hook.respond(200)
    return app, endpoint, message


def test_disabling_an_endpoint_cancels_what_waits(hours, hook):
    api = connect(hours.server)
    app, endpoint, message = waiting_delivery(api, hook)
    path = f"/app/{app}/endpoint/{endpoint}"
    api.patch(path, {"disabled": True})
    missed = api.send(app)["id"]
    api.patch(path, {"disabled": False})
    hours.pass_by(api)
    hook.stays_at(1)
    assert missed not in hook.ids()
    destination = api.get(f"/app/{app}/msg/{message}/endpoint").json()["data"][0]
    assert destination["nextAttempt"] is None
    later = api.send(app)["id"]
    assert hook.wait(2)[1].id == later


def test_deleting_an_endpoint_cancels_what_waits_and_keeps_its_attempts(hours, hook):
    api = connect(hours.server)
    app, endpoint, message = waiting_delivery(api, hook)
    api.delete(f"/app/{app}/endpoint/{endpoint}")
    hours.pass_by(api)
    hook.stays_at(1)
    assert api.attempts(app, message)[0]["endpointId"] == endpoint
    destination = api.get(f"/app/{app}/msg/{message}/endpoint").json()["data"][0]
    assert (destination["id"], destination["nextAttempt"]) == (endpoint, None)


def test_deleting_an_application_cancels_what_waits(hours, hook):
    api = connect(hours.server)
    app, _, _ = waiting_delivery(api, hook)
    api.delete(f"/app/{app}")
    hours.pass_by(api)
    hook.stays_at(1)


def test_gone_switches_the_endpoint_off_at_once(hours, hook):
    api = connect(hours.server)
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, retrySchedule=["1h"])["id"]
    hook.respond(500)
    waiting = api.send(app)["id"]
    api.attempts(app, waiting)
    hook.respond(410)
    gone = api.send(app)["id"]
    attempt = api.attempts(app, gone)[0]
    assert (attempt["status"], attempt["responseStatusCode"]) == (2, 410)
    eventually(lambda: api.get(f"/app/{app}/endpoint/{endpoint}").json()["disabled"])
    api.send(app)
    # What waited then is given up, also if somebody switches the endpoint on again.
    hook.respond(200)
    assert api.patch(f"/app/{app}/endpoint/{endpoint}", {"disabled": False}).status_code == 200
    hours.pass_by(api)
    hook.stays_at(2)


def test_an_endpoint_that_only_fails_is_switched_off_and_a_success_starts_anew(new_server, receiver):
    api = connect(new_server(disable_after="1s", retry_schedule="").start())
    app = api.app()["id"]
    dead, flaky = receiver.hook(), receiver.hook()
    dead.respond(500)
    ids = {hook: api.endpoint(app, hook.url)["id"] for hook in (dead, flaky)}
    started = time.monotonic()

    def disabled(hook):
        return api.get(f"/app/{app}/endpoint/{ids[hook]}").json()["disabled"]

    answers = iter(range(10**6))
    flaky.answer = lambda _: Answer(200 if next(answers) % 2 else 500)
    while not disabled(dead):
        assert time.monotonic() - started < 60, "it was never switched off"
        api.send(app)
        time.sleep(0.2)
    assert time.monotonic() - started > 0.9
    assert not disabled(flaky)
    # Switched on again, it gets its whole time again.
    api.patch(f"/app/{app}/endpoint/{ids[dead]}", {"disabled": False})
    api.attempts(app, api.send(app)["id"], 2)
    assert not disabled(dead)


# --- limits of an endpoint -------------------------------------------------------------------------------------------


def test_the_throttle_rate_is_enforced(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, throttleRate=10)["id"]
    begun = time.time()
    api.batch(app, [{"eventType": "a.b", "payload": {}}] * 35)
    took = hook.wait(35)[-1].at - begun
    assert took > 2.0, "35 at 10 per second arrived too soon"
    assert took < 20.0, "35 at 10 per second took too long"
    # By the server's own clock: a busy receiver reads many at once.
    path = f"/app/{app}/attempt/endpoint/{endpoint}"
    listed = eventually(lambda: (d := api.get(path, limit=50).json()["data"]) and len(d) == 35 and d)
    times = [instant(a["timestamp"]).timestamp() for a in listed]
    for start in times:
        assert sum(start <= t < start + 1 for t in times) <= 22, "more than twice the rate within a second"


def test_an_applications_throttle_rate_covers_all_its_endpoints(api, receiver):
    app = api.app(throttleRate=10)["id"]
    hooks = [receiver.hook() for _ in range(2)]
    for hook in hooks:
        api.endpoint(app, hook.url)
    begun = time.time()
    api.batch(app, [{"eventType": "a.b", "payload": {}}] * 15)
    assert 1.5 < max(r.at for hook in hooks for r in hook.wait(15)) - begun < 20.0


def test_the_concurrency_cap_is_kept(api, hook):
    now, most, lock = 0, 0, threading.Lock()

    def answer(_):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.03)
        with lock:
            now -= 1
        return Answer(200)

    hook.answer = answer
    app = api.app()["id"]
    api.endpoint(app, hook.url, concurrency=2)
    api.batch(app, [{"eventType": "a.b", "payload": {}}] * 30)
    hook.wait(30)
    assert most == 2


def test_ordered_endpoints_keep_the_order_of_each_key(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url, ordered=True, retrySchedule=["100ms", "100ms"])
    refused = set()

    def answer(request):
        body = json.loads(request.body)
        if body["n"] == 2 and body["key"] == "anna" and len(refused) < 2:
            refused.add(len(refused))
            return Answer(500)
        return Answer(200)

    hook.answer = answer
    keys = ["anna", "ben", "carl"]
    api.batch(
        app, [{"eventType": "a.b", "payload": {"key": k, "n": n}, "orderKey": k} for n in range(10) for k in keys]
    )
    requests = hook.wait(32)
    seen = {key: [] for key in keys}
    for request in requests:
        body = json.loads(request.body)
        seen[body["key"]].append(body["n"])
    assert seen["ben"] == seen["carl"] == list(range(10))
    assert seen["anna"] == [0, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8, 9]
    # Nobody waits for another's key.
    last_of = {key: max(r.at for r in requests if json.loads(r.body)["key"] == key) for key in keys}
    assert last_of["ben"] < last_of["anna"]


def test_first_tries_do_not_queue_behind_retries(api, hook):
    app = api.app()["id"]
    api.endpoint(app, hook.url, retrySchedule=["300ms"] * 5, concurrency=4)
    hook.answer = lambda r: Answer(500 if b"old" in r.body else 200, delay=0.02)
    api.batch(app, [{"eventType": "a.b", "payload": {"old": 1}}] * 300)
    hook.wait(300)
    fresh = api.send(app, payload={"new": 1})["id"]
    before = len(hook.received)
    eventually(lambda: fresh in hook.ids())
    # Those that were sent meanwhile; in turn it would have been 300.
    assert hook.ids().index(fresh) - before < 100, "a new event waited for old ones"
