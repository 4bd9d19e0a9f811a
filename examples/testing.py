"""Helpers for the examples' tests: recorded classes, signing, and a receiver over real HTTP on loopback."""

import base64
import contextlib
import hashlib
import hmac
import json
import pathlib
import threading
import time
import urllib.error
import urllib.request

import receiver as shared

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "crates" / "platforms" / "fixtures"
SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY_SECRET = "5c0f8e1a-7d0b-4b7e-9a55-0e6d1f3b2a90"


def recorded(name):
    """The bodies of a recorded class, as they are delivered."""
    return [line.encode() for line in (FIXTURES / name / "class.jsonl").read_text(encoding="utf-8").splitlines()]


def signed(body, message_id="msg_1", at=None, secret=SIGNING_SECRET):
    """The headers that go with a body."""
    at = str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{at}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": message_id, "webhook-timestamp": at, "webhook-signature": signature}


@contextlib.contextmanager
def running(receiver):
    """Runs a receiver and gives a function that sends to it: `send(body, headers)` answers the status."""
    server = shared.server(receiver)
    server.RequestHandlerClass.log_message = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}/"

    def send(body=None, headers=None, query=""):
        request = urllib.request.Request(address + query, data=body, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    try:
        yield send
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def parse(bodies):
    return [json.loads(body) for body in bodies]
