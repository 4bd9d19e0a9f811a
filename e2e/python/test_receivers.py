"""Receivers as they are out there: with certificates good and bad, old protocols, and connections that close early."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conftest import connect
from support.misbehaving import Misbehaving, read_head

# --- TLS -------------------------------------------------------------------------------------------------------------


class Authority:
    """A certificate authority of a school."""

    def __init__(self, folder):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "School CA")])
        self.certificate = self._sign(self.name, self.key.public_key(), ca=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, public_key, ca=False, names=(), expired=False):
        now = datetime.datetime.now(datetime.UTC)
        end = now - datetime.timedelta(days=1) if expired else now + datetime.timedelta(days=30)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=60))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def context(self, name, names, expired=False):
        """What an HTTPS server with such a certificate needs."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key.public_key(), names=names, expired=expired)
        file = self.folder / f"{name}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
LOCALHOST = x509.DNSName("localhost")


@pytest.fixture
def https():
    """Starts HTTPS servers that answer 204."""
    servers = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            pass  # refused handshakes are what is tested

    def start(context):
        listener = Listener(("127.0.0.1", 0), Handler)
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        servers.append(listener)
        return listener.server_address[1]

    yield start
    for one in servers:
        one.shutdown()
        one.server_close()


def test_certificates_are_checked_against_the_operators_authorities(new_server, https, tmp_path):
    school = Authority(tmp_path)
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other")
    api = connect(new_server(env={"SSL_CERT_FILE": str(school.file)}).start())
    app = api.app()["id"]
    ports = {
        "good": https(school.context("good", [LOOPBACK, LOCALHOST])),
        "wrong name": https(school.context("wrong", [x509.DNSName("elsewhere.example")])),
        "expired": https(school.context("expired", [LOCALHOST], expired=True)),
        "unknown issuer": https(stranger.context("stranger", [LOCALHOST])),
    }
    endpoints = {
        case: api.endpoint(app, f"https://localhost:{port}/", retrySchedule=[])["id"] for case, port in ports.items()
    }
    by_address = api.endpoint(app, f"https://127.0.0.1:{ports['good']}/")["id"]
    attempts = {a["endpointId"]: a for a in api.attempts(app, api.send(app)["id"], 5)}
    for good in (endpoints["good"], by_address):
        assert (attempts[good]["status"], attempts[good]["responseStatusCode"]) == (0, 204)
    for case, word in (("wrong name", "name"), ("expired", "time"), ("unknown issuer", "issuer")):
        attempt = attempts[endpoints[case]]
        assert (attempt["status"], attempt["responseStatusCode"]) == (2, 0), case
        assert "certificate" in attempt["response"].lower() and word in attempt["response"].lower(), attempt["response"]


def test_plain_http_where_tls_is_spoken_and_the_other_way_round(new_server, https, hook, tmp_path):
    school = Authority(tmp_path)
    api = connect(new_server(env={"SSL_CERT_FILE": str(school.file)}).start())
    app = api.app()["id"]
    port = https(school.context("good", [LOCALHOST]))
    for url in (f"http://localhost:{port}/", hook.url.replace("http:", "https:").replace("127.0.0.1", "localhost")):
        endpoint = api.endpoint(app, url, retrySchedule=[])["id"]
        attempt = api.attempts(app, api.send(app)["id"], 1, endpoint_id=endpoint)[0]
        assert attempt["status"] == 2 and attempt["response"], url


# --- protocols -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def receiver_that(behaviour):
    receiver = Misbehaving(behaviour)
    try:
        yield receiver
    finally:
        receiver.close()


def read_request(connection, rest=b""):
    """Reads one request and gives what was read beyond it."""
    data = rest
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            raise OSError("the other side hung up")
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    length = next(int(h.split(b":")[1]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length"))
    while len(body) < length:
        body += connection.recv(65536)
    return body[length:]


def http_1_0(connection, _):
    """Answers as in 1996 and closes."""
    read_request(connection)
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nthanks")


def early_hints(connection, _):
    """Says something before the answer."""
    read_request(connection)
    connection.sendall(
        b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nthanks"
    )


def chunks(connection, _):
    """Answers in chunks with a trailer."""
    read_request(connection)
    connection.sendall(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n6\r\nthanks\r\n0\r\nx: y\r\n\r\n"
    )


def bare_line_feeds(connection, _):
    """Ends its lines as it should not."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\ncontent-length: 6\n\nthanks")


def odd_headers(connection, _):
    """Sends header values that are not text."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 Tr\xe8s bien\r\nx-odd: \xff\xfe\r\ncontent-length: 6\r\n\r\nthanks")


@pytest.mark.parametrize(
    "behaviour", [http_1_0, early_hints, chunks, bare_line_feeds, odd_headers], ids=lambda b: b.__name__
)
def test_odd_but_whole_answers_are_taken(api, behaviour):
    with receiver_that(behaviour) as receiver:
        app = api.app()["id"]
        api.endpoint(app, receiver.url, retrySchedule=[])
        attempt = api.attempts(app, api.send(app)["id"])[0]
        assert (attempt["status"], attempt["responseStatusCode"], attempt["response"]) == (0, 200, "thanks")


def closes_idle_connections(connection, _):
    """Keeps the connection for one request, then closes it without having said so."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    time.sleep(0.01)


def test_a_connection_that_the_receiver_closed_meanwhile_costs_no_attempt(api):
    with receiver_that(closes_idle_connections) as receiver:
        app = api.app()["id"]
        api.endpoint(app, receiver.url, retrySchedule=[])
        for pause in (0.0, 0.005, 0.01, 0.012, 0.02, 0.05) * 5:
            attempt = api.attempts(app, api.send(app)["id"])[0]
            assert attempt["status"] == 0, attempt["response"]
            time.sleep(pause)


def test_connections_are_kept_for_the_next_delivery(api):
    def keeps(connection, _):
        rest = b""
        while True:
            rest = read_request(connection, rest)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    with receiver_that(keeps) as receiver:
        app = api.app()["id"]
        api.endpoint(app, receiver.url)
        for _ in range(20):
            api.attempts(app, api.send(app)["id"])
        assert receiver.connections <= 2


def test_a_body_that_the_receiver_does_not_read_is_no_harm(api):
    def refuses_at_once(connection, _):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        time.sleep(0.2)

    with receiver_that(refuses_at_once) as receiver:
        app = api.app()["id"]
        api.endpoint(app, receiver.url, retrySchedule=[])
        attempt = api.attempts(app, api.send(app, payload={"filling": "x" * 1_900_000})["id"])[0]
        assert attempt["status"] == 2
        assert attempt["responseStatusCode"] in (413, 0)


# --- callers of the API ----------------------------------------------------------------------------------------------


def test_silent_and_slow_callers_do_not_keep_others_out(server, api):
    quiet = []
    try:
        for n in range(300):
            connection = socket.create_connection(("127.0.0.1", server.port))
            connection.sendall(
                [
                    b"",
                    b"GET /api/v1/app HTTP/1.1\r\nhost: x\r\n",
                    b"POST /api/v1/app HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
                ][n % 3]
            )
            quiet.append(connection)
        begun = time.monotonic()
        assert api.app()["id"]
        assert time.monotonic() - begun < 8
    finally:
        for connection in quiet:
            connection.close()


def read_answer(connection):
    """The head of one answer, after its body was read too."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("closed without an answer")
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += connection.recv(65536)
    return head.decode().lower()


@pytest.mark.parametrize(
    "method, path, token, status",
    [
        ("POST", "/api/v1/app", "wrong", 401),
        ("POST", "/api/v1/app", "application", 403),
        ("POST", "/api/v1/app/nobody/endpoint", "good", 404),
        ("POST", "/api/v1/nothing", "good", 404),
        ("DELETE", "/api/v1/app", "good", 405),
        ("POST", "/api/v1/auth/logout", "good", 204),
    ],
)
def test_a_refusal_that_needs_no_body_leaves_the_connection_usable_or_says_that_it_closes(
    server, api, method, path, token, status
):
    app = api.app()["id"]
    tokens = {"good": api.token, "wrong": "wrong", "application": api.for_app(app).token}
    body = b'{"name": "x"}'
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {tokens[token]}\r\n"
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Head and body in two segments, as many clients send them.
            connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode())
            time.sleep(0.01)
            connection.sendall(body)
            answer = read_answer(connection)
            assert f" {status} " in answer.splitlines()[0], answer
            if "connection: close" in answer:
                continue
            try:
                connection.sendall(f"GET /api/v1/app/{app} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
                assert " 401 " in read_answer(connection).splitlines()[0]
            except ConnectionError as error:
                pytest.fail(f"the connection was closed although the answer did not say so: {error!r}\n{answer}")
