"""Queues as endpoints: written by the server, read by the AWS SDK for Python from a queue server that is not ours."""

import hashlib
import hmac
import itertools
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from conftest import connect
from support.api import assert_invalid, eventually
from support.lti import Account, submission
from support.queues import REGION, QueueServer, attributes, body

NUMBERS = itertools.count(1)
KEY = {"region": REGION, "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": "a-secret-that-nobody-sees"}


@pytest.fixture(scope="module")
def queues(scratch):
    server = QueueServer(scratch)
    yield server
    server.close()


@pytest.fixture
def queue(queues):
    return queues.queue(f"canvas-live-events-{next(NUMBERS)}")


@pytest.fixture
def arn_api(new_server, queues):
    """A server that finds queues by ARN, and writes to them as itself."""
    env = {"AWS_ACCESS_KEY_ID": "server", "AWS_SECRET_ACCESS_KEY": "server"}
    return connect(new_server(env, sqs_endpoint=queues.url, sqs_own_access="on").start())


def to_queue(api, app, queue, **fields):
    return api.endpoint(app, queue.url, transport="sqs", queue=KEY, **fields)


def test_a_message_arrives_in_the_queue_with_its_attributes_and_is_logged(api, queue):
    app = api.app()["id"]
    endpoint = to_queue(api, app, queue)
    sent = api.send(app, "lesson.started", {"n": 1, "ä": "ö 🎓"})
    (got,) = queue.receive()
    assert body(got) == {"n": 1, "ä": "ö 🎓"}
    found = attributes(got)
    assert (
        found["event_name"] == "lesson.started"
        and found["message_id"] == sent["id"]
        and found["event_time"].endswith("Z")
    )
    (attempt,) = api.attempts(app, sent["id"])
    assert attempt["status"] == 0 and attempt["responseStatusCode"] == 200 and attempt["url"] == queue.url
    assert attempt["response"] == f"MessageId: {got['MessageId']}"
    # The key is there, and is shown to nobody.
    shown = api.get(f"/app/{app}/endpoint/{endpoint['id']}").json()
    assert shown["transport"] == "sqs" and shown["queue"] == {"region": REGION, "accessKeyId": "AKIA…MPLE"}
    for path in ("", "/headers", "/secret"):
        text = api.get(f"/app/{app}/endpoint/{endpoint['id']}{path}").text
        assert KEY["secretAccessKey"] not in text and KEY["accessKeyId"] not in text
    # A PUT without it keeps it, and a resend comes again with the same id.
    assert api.put(f"/app/{app}/endpoint/{endpoint['id']}", {"url": queue.url}).status_code == 200
    assert api.post(f"/app/{app}/msg/{sent['id']}/endpoint/{endpoint['id']}/resend").status_code == 202
    assert attributes(queue.receive()[0])["message_id"] == sent["id"]


def test_keys_are_encrypted_in_the_database(new_server, queue):
    server = new_server().start()
    api = connect(server)
    app = api.app()["id"]
    to_queue(api, app, queue)
    api.send(app)
    queue.receive()
    server.stop()
    for file in server.folder.iterdir():
        if file.is_file():
            content = file.read_bytes()
            assert KEY["secretAccessKey"].encode() not in content and KEY["accessKeyId"].encode() not in content, file


def test_what_waits_together_travels_in_batches(api, queue):
    app = api.app()["id"]
    to_queue(api, app, queue, concurrency=1)
    total = 60
    answers = api.batch(app, [{"eventType": "lesson.started", "payload": {"n": n}} for n in range(total)])
    assert all(a["status"] == 202 for a in answers)
    got = queue.receive(total, 60)
    assert sorted(body(m)["n"] for m in got) == list(range(total))
    assert {attributes(m)["message_id"] for m in got} == {a["message"]["id"] for a in answers}
    for answer in answers[:3] + answers[-3:]:
        (attempt,) = api.attempts(app, answer["message"]["id"])
        assert attempt["status"] == 0
    assert queue.is_empty(), "each message once"


def test_a_subscription_of_a_tool_goes_to_its_queue(api, queue):
    account = Account(api)
    tool = account.install()
    made = tool.subscribed(
        ContextId=account.uuid,
        ContextType="root_account",
        EventTypes=["SUBMISSION_CREATED"],
        Format="live-event",
        TransportType="sqs",
        TransportMetadata={
            "Url": queue.url,
            "Region": REGION,
            "AccessKeyId": KEY["accessKeyId"],
            "SecretAccessKey": KEY["secretAccessKey"],
        },
    )
    assert made["TransportType"] == "sqs" and made["TransportMetadata"] == {"Url": queue.url}
    wanted = submission()
    account.publish("submission_created", wanted)
    (got,) = queue.receive()
    assert body(got)["body"] == wanted and body(got)["subscription"] == {"id": made["Id"]}
    found = attributes(got)
    assert found["event_name"] == "submission_created" and found["event_time"] == "2026-05-01T08:30:05.120Z"
    # The same without a key: nobody said that this server's own access may be used.
    refused = tool.subscribe(**{**subscription_of(made), "TransportMetadata": {"Url": queue.url, "Region": REGION}})
    assert refused.status_code == 400 and "access key" in refused.json()["detail"]


def subscription_of(made):
    names = ("ContextId", "ContextType", "EventTypes", "Format", "TransportType")
    return {name: made[name] for name in names}


def test_an_arn_and_the_servers_own_access(arn_api, queue):
    app = arn_api.app()["id"]
    endpoint = arn_api.endpoint(app, queue.arn)
    assert endpoint["transport"] == "sqs" and endpoint["url"] == queue.arn
    sent = arn_api.send(app)
    assert body(queue.receive()[0]) == {"n": 1}
    assert arn_api.attempts(app, sent["id"])[0]["url"] == queue.url
    # Its own access is for Amazon and the operator's endpoint: not for any host that somebody types.
    refused = arn_api.post(f"/app/{app}/endpoint", {"url": queue.url, "transport": "sqs", "queue": {"region": REGION}})
    assert "access key" in assert_invalid(refused, field="url")[0]["msg"]


def test_a_fifo_queue_keeps_order_and_drops_repetitions(api, queues):
    queue = queues.queue(f"canvas-live-events-{next(NUMBERS)}.fifo", FifoQueue="true")
    app = api.app()["id"]
    to_queue(api, app, queue, ordered=True)
    for n in range(5):
        api.send(app, payload={"n": n}, orderKey="room:1")
    got = queue.receive(5, 30)
    assert [body(m)["n"] for m in got] == list(range(5))
    assert {m["Attributes"]["MessageGroupId"] for m in got} == {"room:1"}


def test_what_cannot_be_a_queue_is_refused(api):
    app = api.app()["id"]

    def refused(field="url", **fields):
        answer = api.post(f"/app/{app}/endpoint", {"transport": "sqs", "queue": KEY, **fields})
        return assert_invalid(answer, field=field)[0]["msg"]

    refused(url="arn:aws:sns:eu-west-1:1:x")
    refused(url="arn:aws:sqs:eu-west-1:1:x/y")
    refused(url="https://queue.example", queue={**KEY, "region": "eu-west-1"})
    assert "region" in refused(url="http://127.0.0.1:9/1/x", queue={k: v for k, v in KEY.items() if k != "region"})
    assert "private" in refused(url="http://10.0.0.1/1/x")
    assert "metadata" in refused(url="http://169.254.169.254/1/x")
    assert "access key" in refused(url="https://sqs.eu-west-1.amazonaws.com/1/x", queue=None)
    refused(url="http://127.0.0.1:9/1/x", queue={"region": REGION, "accessKeyId": "only-half"}, field="accessKeyId")
    refused(url="http://127.0.0.1:9/1/x", transport="smtp", field="transport")
    assert api.get(f"/app/{app}/endpoint").json()["data"] == []


def test_a_queue_that_is_gone_is_a_final_failure_and_recovered_when_it_is_back(api, queues):
    name = f"canvas-live-events-{next(NUMBERS)}"
    queue = queues.queue(name)
    app = api.app(retrySchedule=["1ms", "1ms"])["id"]
    endpoint = to_queue(api, app, queue)
    queue.delete()
    sent = api.send(app)
    attempts = api.attempts(app, sent["id"])
    assert len(attempts) == 1 and attempts[0]["status"] == 2
    assert "exist" in attempts[0]["response"].lower()
    eventually(lambda: len(api.attempts(app, sent["id"])) == 1 and no_next(api, app, endpoint["id"], sent["id"]))
    queue = queues.queue(name)
    since = sent["timestamp"]
    assert api.post(f"/app/{app}/endpoint/{endpoint['id']}/recover", {"since": since}).status_code == 202
    assert attributes(queue.receive()[0])["message_id"] == sent["id"]


def no_next(api, app, endpoint, message):
    data = api.get(f"/app/{app}/endpoint/{endpoint}/msg").json()["data"]
    return any(m["id"] == message and m.get("nextAttempt") is None for m in data)


def signature(request, headers, body, secret):
    """What AWS computes of a request before it believes it (Signature Version 4)."""
    credential, names, given = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=(\w+)", headers["authorization"]
    ).groups()
    _, date, region, service, end = credential.split("/")
    signed = "".join(f"{name}:{headers[name].strip()}\n" for name in names.split(";"))
    canonical = "\n".join([*request, "", signed, names, hashlib.sha256(body).hexdigest()])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], f"{date}/{region}/{service}/{end}", digest])
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, end):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    assert (region, service, "host" in names.split(";")) == (REGION, "sqs", True)
    return given, hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class OddQueue:
    """Answers the queue protocol with errors of our choice, one after the other; the last one stays."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.seen = []
        lock = threading.Lock()
        odd = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                request = json.loads(body)
                lowered = {name.lower(): value for name, value in self.headers.items()}
                odd.seen.append((("POST", self.path), lowered, body))
                with lock:
                    odd.requests.append(request)
                    answer = odd.answers.pop(0) if len(odd.answers) > 1 else odd.answers[0]
                status, reply = answer(request) if callable(answer) else answer
                data = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("content-type", "application/x-amz-json-1.0")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._listener.daemon_threads = True
        threading.Thread(target=self._listener.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}/123456789012/odd"

    def close(self):
        self._listener.shutdown()
        self._listener.server_close()


def taken(request):
    done = [{"Id": e["Id"], "MessageId": f"m-{e['Id']}", "MD5OfMessageBody": "x"} for e in request["Entries"]]
    return 200, {"Successful": done, "Failed": []}


def error(code, status=400):
    return status, {"__type": f"com.amazonaws.sqs#{code}", "message": f"because of {code}"}


@pytest.mark.parametrize(
    ("first", "final"),
    [
        (error("AccessDenied", 403), True),
        (error("AWS.SimpleQueueService.NonExistentQueue"), True),
        (error("InvalidClientTokenId", 403), True),
        (error("RequestThrottled"), False),
        (error("ThrottlingException"), False),
        (error("InternalFailure", 500), False),
        ((200, {}), False),
        ((502, {}), False),
    ],
)
def test_errors_of_a_queue_are_final_or_tried_again(api, first, final):
    odd = OddQueue(first, taken)
    app = api.app(retrySchedule=["1ms", "1ms"])["id"]
    endpoint = api.endpoint(app, odd.url, transport="sqs", queue=KEY)
    sent = api.send(app)
    if final:
        (attempt,) = api.attempts(app, sent["id"])
        assert attempt["status"] == 2
        eventually(lambda: no_next(api, app, endpoint["id"], sent["id"]))
        assert len(odd.requests) == 1
    else:
        attempts = api.attempts(app, sent["id"], 2)
        assert [a["status"] for a in attempts] == [0, 2]
    odd.close()


def test_requests_are_signed_with_the_endpoints_key(api):
    odd = OddQueue(taken)
    app = api.app()["id"]
    api.endpoint(app, odd.url, transport="sqs", queue=KEY)
    sent = api.send(app, payload={"text": "ä 🎓"})
    assert api.attempts(app, sent["id"])[0]["status"] == 0
    (request, headers, body) = odd.seen[0]
    given, expected = signature(request, headers, body, KEY["secretAccessKey"])
    assert given == expected and f"Credential={KEY['accessKeyId']}/" in headers["authorization"]
    assert headers["x-amz-target"] == "AmazonSQS.SendMessageBatch" and odd.requests[0]["QueueUrl"] == odd.url
    odd.close()


def test_each_message_of_a_batch_has_its_own_outcome(api):
    def some(request):
        entries = request["Entries"]
        bad = [e for e in entries if json.loads(e["MessageBody"])["n"] % 2]
        _, reply = taken({"Entries": [e for e in entries if e not in bad]})
        reply["Failed"] = [
            {"Id": e["Id"], "SenderFault": True, "Code": "InvalidMessageContents", "Message": "odd"} for e in bad
        ]
        return 200, reply

    odd = OddQueue(some)
    app = api.app()["id"]
    api.endpoint(app, odd.url, transport="sqs", queue=KEY, concurrency=1)
    answers = api.batch(app, [{"eventType": "lesson.started", "payload": {"n": n}} for n in range(20)])
    for n, answer in enumerate(answers):
        (attempt,) = api.attempts(app, answer["message"]["id"])
        assert attempt["status"] == (2 if n % 2 else 0), n
    sizes = [len(r["Entries"]) for r in odd.requests]
    assert max(sizes) == 10 and sum(sizes) == 20, sizes
    odd.close()


def test_a_batch_of_which_some_fail_is_retried_in_part(api):
    """The queue takes some, is too busy for some, and refuses some: each has its own ending."""
    first = {"taken": None, "busy": ("ThrottlingException", False), "odd": ("InvalidMessageContents", True)}

    def mixed(request):
        kinds = {e["Id"]: json.loads(e["MessageBody"])["kind"] for e in request["Entries"]}
        _, reply = taken({"Entries": [e for e in request["Entries"] if first[kinds[e["Id"]]] is None]})
        for entry, kind in kinds.items():
            if first[kind]:
                code, fault = first[kind]
                reply["Failed"].append({"Id": entry, "SenderFault": fault, "Code": code, "Message": kind})
        return 200, reply

    def calm(request):
        bodies = [json.loads(e["MessageBody"])["kind"] for e in request["Entries"]]
        return taken(request) if set(bodies) == {"busy"} else mixed(request)

    odd = OddQueue(calm)
    app = api.app(retrySchedule=["1ms", "1ms"])["id"]
    endpoint = api.endpoint(app, odd.url, transport="sqs", queue=KEY, concurrency=1)
    plan = ["taken", "busy", "odd", "taken", "busy", "odd"]
    answers = api.batch(app, [{"eventType": "lesson.started", "payload": {"kind": kind}} for kind in plan])
    for kind, answer in zip(plan, answers, strict=True):
        message = answer["message"]["id"]
        if kind == "busy":
            eventually(lambda m=message: api.attempts(app, m)[0]["status"] == 0, what="it was not tried again")
            continue
        eventually(lambda m=message: no_next(api, app, endpoint["id"], m), what=f"{kind} did not end")
        statuses = [a["status"] for a in api.attempts(app, message)]
        assert statuses == [0 if kind == "taken" else 2], "what was refused would be refused again"
    odd.close()


def test_a_message_that_is_too_large_for_its_queue_fails_alone_and_for_good(api, queues):
    queue = queues.queue(f"canvas-live-events-{next(NUMBERS)}", MaximumMessageSize="2048")
    app = api.app(retrySchedule=["1ms", "1ms"])["id"]
    endpoint = to_queue(api, app, queue, concurrency=1)
    texts = ["x" * (3000 if n == 4 else 10) for n in range(10)]
    answers = api.batch(app, [{"eventType": "lesson.started", "payload": {"text": text}} for text in texts])
    assert len(queue.receive(9, 30)) == 9
    for n, answer in enumerate(answers):
        message = answer["message"]["id"]
        if n == 4:
            eventually(lambda m=message: no_next(api, app, endpoint["id"], m))
        (attempt,) = api.attempts(app, message)
        assert attempt["status"] == (2 if n == 4 else 0), n
        assert n != 4 or "shorter than 2048" in attempt["response"]
    assert queue.is_empty(), "each message once"


def test_requests_stay_below_what_a_queue_takes_together(api):
    odd = OddQueue(taken)
    app = api.app()["id"]
    api.endpoint(app, odd.url, transport="sqs", queue=KEY, concurrency=1)
    messages = [{"eventType": "lesson.started", "payload": {"text": "x" * 60_000}} for _ in range(12)]
    for answer in api.batch(app, messages):
        assert api.attempts(app, answer["message"]["id"])[0]["status"] == 0
    for request in odd.requests:
        # Attributes count too.
        size = sum(len(e["MessageBody"]) + 200 for e in request["Entries"])
        assert 1 <= len(request["Entries"]) <= 4 and size <= 256 * 1024
    odd.close()


def test_what_waits_while_a_request_is_out_goes_in_one(api):
    """A steady trickle does not become a request for each message: what comes while one is out waits for its answer."""
    go = threading.Event()

    def slow(request):
        go.wait(10)
        return taken(request)

    odd = OddQueue(slow)
    app = api.app()["id"]
    api.endpoint(app, odd.url, transport="sqs", queue=KEY)
    sent = [api.send(app)["id"]]
    eventually(lambda: odd.requests)
    sent += [api.send(app)["id"] for _ in range(6)]
    go.set()
    for message in sent:
        assert api.attempts(app, message)[0]["status"] == 0
    assert [len(r["Entries"]) for r in odd.requests] == [1, 6]
    odd.close()


def test_a_batch_that_is_too_large_goes_one_by_one(api):
    def small(request):
        return taken(request) if len(request["Entries"]) == 1 else error("AWS.SimpleQueueService.BatchRequestTooLong")

    odd = OddQueue(small)
    app = api.app()["id"]
    api.endpoint(app, odd.url, transport="sqs", queue=KEY, concurrency=1)
    answers = api.batch(app, [{"eventType": "lesson.started", "payload": {"n": n}} for n in range(8)])
    for answer in answers:
        assert api.attempts(app, answer["message"]["id"])[0]["status"] == 0
    odd.close()


def test_a_dead_queue_harms_no_other_endpoint(api, hook, queue):
    app = api.app()["id"]
    dead = api.endpoint(app, "http://127.0.0.1:9/123456789012/dead", transport="sqs", queue=KEY)
    to_queue(api, app, queue)
    api.endpoint(app, hook.url)
    for n in range(5):
        api.send(app, payload={"n": n})
    hook.wait(5)
    assert len(queue.receive(5)) == 5
    attempts = eventually(lambda: api.get(f"/app/{app}/attempt/endpoint/{dead['id']}").json()["data"])
    assert attempts[0]["status"] == 2 and attempts[0]["responseStatusCode"] == 0


def test_the_address_guard_holds_for_queues(new_server):
    odd = OddQueue(taken)
    api = connect(new_server(allow_subnets=None).start())
    app = api.app()["id"]
    literal = api.post(f"/app/{app}/endpoint", {"url": odd.url, "transport": "sqs", "queue": KEY})
    assert "loopback" in assert_invalid(literal, field="url")[0]["msg"]
    # A name is looked up when something is sent, and its address is looked at then.
    name = odd.url.replace("127.0.0.1", "localhost")
    api.endpoint(app, name, transport="sqs", queue=KEY)
    sent = api.send(app)
    (attempt, *_) = api.attempts(app, sent["id"])
    assert attempt["status"] == 2 and "not allowed" in attempt["response"]
    assert odd.requests == []
    odd.close()
