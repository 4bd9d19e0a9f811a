"""What the example receivers share: an HTTP server that takes webhooks, checks where they come from, and hands them on.

Nothing but Python's standard library. Read it from top to bottom: it is all that a receiver needs.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import parse_qs, urlsplit

LARGEST_BODY = 5 * 1024 * 1024
TOLERANCE = 5 * 60


class Refused(Exception):
    """This delivery is not taken. `status` tells the sender whether to try again: 404 and 410 say no."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


def check_signature(secret, headers, body, now=None):
    """Checks the headers of Standard Webhooks (or Svix's, which are the same under another name).

    `secret` is `whsec_…` as the dashboard shows it, `headers` is a mapping with names in lower case, `body` the bytes as
    they came in: checking anything else than these very bytes fails.
    """
    family = "webhook" if "webhook-signature" in headers else "svix"
    try:
        message_id = headers[family + "-id"]
        timestamp = headers[family + "-timestamp"]
        signatures = headers[family + "-signature"]
    except KeyError as missing:
        raise Refused(401, f"the header {missing} is missing") from None
    try:
        age = (time.time() if now is None else now) - int(timestamp)
    except ValueError:
        raise Refused(401, "the timestamp is not a number") from None
    if abs(age) > TOLERANCE:
        raise Refused(401, "the timestamp is too old or too new")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = message_id.encode() + b"." + timestamp.encode() + b"." + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    for signature in signatures.split():
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(value.encode(), expected):
            return
    raise Refused(401, "no signature matches")


def check_body_secret(secret, event):
    """Compares the secret that Repl.it's format carries in the body, and takes it out: it must not be kept."""
    classroom = event.get("classroom")
    found = classroom.pop("webhook_secret", "") if isinstance(classroom, dict) else ""
    if not hmac.compare_digest(str(found).encode(), secret.encode()):
        raise Refused(401, "the secret in the body does not match")


class Receiver:
    """Takes deliveries, one at a time, and answers questions about what it took.

    A subclass says what to do with an event (`take`) and how to tell about it (`report`). With `keep`, events are also
    written to a file, one per line, and read again at the next start. They are personal data: mind where that file is.
    """

    def __init__(self, signing_secret=None, body_secret=None, keep=None):
        self.signing_secret = signing_secret
        self.body_secret = body_secret
        self.keep = keep
        self.lock = Lock()
        if keep and os.path.exists(keep):
            with open(keep, encoding="utf-8") as lines:
                for line in lines:
                    self.take(json.loads(line))

    def take(self, event):
        """Does something with an event. Must not mind getting the same one twice, or a late one."""
        raise NotImplementedError

    def report(self, query):
        """A text for a person. `query` holds the parameters of the address."""
        raise NotImplementedError

    def receive(self, headers, body):
        """Checks a delivery and takes it."""
        if self.signing_secret:
            check_signature(self.signing_secret, headers, body)
        try:
            event = json.loads(body)
        except ValueError:
            raise Refused(400, "the body is not JSON") from None
        if not isinstance(event, dict):
            raise Refused(400, "the body is not an object")
        if self.body_secret:
            check_body_secret(self.body_secret, event)
        with self.lock:
            try:
                self.take(event)
            except (KeyError, TypeError, ValueError, AttributeError) as problem:
                raise Refused(422, f"this event is not what is expected: {problem!r}") from None
            if self.keep:
                # Before the answer: what was answered with a 2xx does not come again.
                with open(self.keep, "a", encoding="utf-8") as file:
                    file.write(json.dumps(event, ensure_ascii=False) + "\n")
                    file.flush()
                    os.fsync(file.fileno())


def server(receiver, port=0, host="127.0.0.1"):
    """An HTTP server: POST gives a delivery to the receiver, GET asks for its report."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 15

        def answer(self, status, text):
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            try:
                length = int(self.headers.get("Content-Length", ""))
            except ValueError:
                return self.answer(411, "say how long the body is\n")
            if not 0 <= length <= LARGEST_BODY:
                self.close_connection = True
                return self.answer(413, "the body is too large\n")
            body = self.rfile.read(length)
            try:
                receiver.receive({name.lower(): value for name, value in self.headers.items()}, body)
            except Refused as refused:
                return self.answer(refused.status, f"{refused}\n")
            self.answer(200, "ok\n")

        def do_GET(self):
            query = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
            with receiver.lock:
                text = receiver.report(query)
            self.answer(200, text)

        def log_message(self, template, *arguments):
            # No addresses with parameters, no bodies: only what was asked for and what was answered.
            print(self.command, urlsplit(self.path).path, arguments[1] if len(arguments) > 1 else "", flush=True)

    return ThreadingHTTPServer((host, port), Handler)


def main(receiver_class, description):
    """Reads the command line and runs a receiver until Ctrl-C."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--keep", metavar="FILE", help="keep events in this file over a restart")
    parser.add_argument("--secret", default=os.environ.get("WEBHOOK_SECRET"), help="signing secret, whsec_…; also $WEBHOOK_SECRET")
    parser.add_argument("--body-secret", default=os.environ.get("BODY_SECRET"), help="Repl.it's secret in the body; also $BODY_SECRET")
    options = parser.parse_args()
    receiver = receiver_class(options.secret, options.body_secret, options.keep)
    running = server(receiver, options.port, options.host)
    if not (options.secret or options.body_secret):
        print("No secret given: anybody can send events here.", flush=True)
    print(f"POST events to http://{options.host}:{running.server_address[1]}/ and open it to see the report.", flush=True)
    try:
        running.serve_forever()
    except KeyboardInterrupt:
        running.server_close()
