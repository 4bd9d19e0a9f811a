"""A receiver of webhooks on the standard library's HTTP server. Each test takes hooks of its own on it."""

import itertools
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Received:
    """One request as it came in."""

    path: str
    headers: "dict[str, str]"
    body: bytes
    at: float
    raw_headers: "list[tuple[str, str]]" = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Answer:
    """What to answer."""

    status: int = 200
    headers: "dict[str, str]" = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0


AnswerFunction = Callable[[Received], Answer]


class Hook:
    """One address on the receiver: what arrived there and what it answers."""

    def __init__(self, receiver: "Receiver", path: str):
        self.path = path
        self.url = receiver.url + path
        self.received: list[Received] = []
        self.answer: AnswerFunction = lambda _: Answer()
        self._changed = threading.Condition()

    def respond(self, *answers: "Answer | int") -> None:
        """Gives these answers one after the other, and the last one from then on."""
        queue = [a if isinstance(a, Answer) else Answer(a) for a in answers]
        lock = threading.Lock()

        def next_answer(_: Received) -> Answer:
            with lock:
                return queue.pop(0) if len(queue) > 1 else queue[0]

        self.answer = next_answer

    def add(self, request: Received) -> Answer:
        with self._changed:
            self.received.append(request)
            self._changed.notify_all()
        return self.answer(request)

    def wait(self, count: int = 1, timeout: float = 30.0) -> "list[Received]":
        """Waits until so many requests have arrived and returns all of them."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.received) >= count, timeout)
            if not arrived:
                raise AssertionError(f"{len(self.received)} of {count} requests arrived within {timeout} s")
            return list(self.received)

    def stays_at(self, count: int, seconds: float = 0.4) -> None:
        """Checks that nothing more arrives for a while."""
        time.sleep(seconds)
        assert len(self.received) == count, f"expected {count} requests, got {len(self.received)}"

    def ids(self) -> "list[str]":
        return [r.id for r in list(self.received)]


class Receiver:
    """The HTTP server."""

    def __init__(self, host: str = "127.0.0.1"):
        self._hooks: dict[str, Hook] = {}
        self._numbers = itertools.count(1)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # A write of a head and a body must not wait for the peer's acknowledgement.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                lowered = {name.lower(): value for name, value in self.headers.items()}
                request = Received(self.path, lowered, body, time.time(), list(self.headers.items()))
                hook = receiver._hooks.get(self.path.split("?")[0])
                answer = hook.add(request) if hook else Answer(404)
                if answer.delay:
                    time.sleep(answer.delay)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.status != 204:
                    self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                if answer.status != 204:
                    self.wfile.write(answer.body)

            # A followed redirect would come as a GET.
            do_GET = do_POST
            # Some ask before they send.
            do_OPTIONS = do_POST

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                try:
                    super().handle()
                except (ConnectionError, TimeoutError):
                    pass  # the server under test may hang up or be killed at any time

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        self._listener = Listener((host, 0), Handler)
        self.port = self._listener.server_address[1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def hook(self, path: str | None = None) -> Hook:
        path = path or f"/hook/{next(self._numbers)}"
        hook = self._hooks[path] = Hook(self, path)
        return hook

    def close(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()
