"""Fixtures: one server and one receiver for the whole run, and an organization of its own for each test."""

import base64
import secrets
import tempfile
from pathlib import Path

import pytest

from support.api import Api, make_token
from support import postgres
from support.clock import MISSING, Hours, MovedClock
from support.receiver import Hook, Receiver
from support.server import RUNNING, Server, new_organization


@pytest.fixture(scope="session")
def scratch():
    """A folder for all files of this run."""
    with tempfile.TemporaryDirectory(prefix="schoolbell-e2e-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def server(scratch):
    """The server that most tests share."""
    shared = Server(scratch / "shared").start()
    yield shared
    shared.close()


@pytest.fixture
def new_server(tmp_path_factory):
    """Makes servers with settings of their own; not started yet."""
    made = []

    def make(env=None, **options) -> Server:
        named = {name.replace("_", "-"): value for name, value in options.items()}
        made.append(Server(tmp_path_factory.mktemp("server"), named, env))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def database():
    """An empty PostgreSQL database."""
    if postgres.MISSING:
        pytest.skip(postgres.MISSING)
    one = postgres.Database()
    yield one
    one.close()


@pytest.fixture(scope="module")
def stoppable():
    """A PostgreSQL server of the module's own, to stop and start."""
    if postgres.MISSING:
        pytest.skip(postgres.MISSING)
    one = postgres.Cluster()
    yield one
    one.close()


@pytest.fixture
def proxy(stoppable):
    """Between nodes and that server."""
    one = postgres.Proxy(("127.0.0.1", stoppable.port))
    yield one
    one.close()


@pytest.fixture
def new_node(new_server):
    """Makes nodes that share a database and their secrets; not started yet."""
    shared = {"SCHOOLBELL_MAIN_KEY": base64.b64encode(secrets.token_bytes(32)).decode()}
    jwt_secret = secrets.token_hex(32)

    def make(database_url: str, env=None, **options) -> Server:
        node = new_server({**shared, "SCHOOLBELL_JWT_SECRET": jwt_secret, **(env or {})}, **options)
        node.jwt_secret = jwt_secret
        node.database = database_url
        return node

    return make


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request, new_server):
    """Makes servers on one engine, then on the other; not started yet."""
    if request.param == "postgres" and postgres.MISSING:
        pytest.skip(postgres.MISSING)

    def make(env=None, **options) -> Server:
        server = new_server(env, **options)
        if request.param == "postgres":
            server.database = postgres.Database().url()
        return server

    return make


@pytest.fixture
def clock(tmp_path):
    """A wall clock for one server: `new_server(clock.environment())`."""
    if MISSING:
        pytest.skip(MISSING)
    return MovedClock(tmp_path)


@pytest.fixture(scope="module")
def hours(tmp_path_factory, receiver):
    """A server for which hours pass when a test says so."""
    if MISSING:
        pytest.skip(MISSING)
    moved = MovedClock(tmp_path_factory.mktemp("clock"))
    server = Server(tmp_path_factory.mktemp("server"), env=moved.environment()).start()
    yield Hours(moved, server, receiver)
    server.close()


@pytest.fixture(scope="session")
def receiver():
    one = Receiver()
    yield one
    one.close()


@pytest.fixture
def hook(receiver) -> Hook:
    """An address that answers 200."""
    return receiver.hook()


def connect(server: Server, organization=None) -> Api:
    """A client with an organization token."""
    organization = organization or new_organization()
    return Api(server.url, make_token(server.jwt_secret, organization), organization, server.jwt_secret)


@pytest.fixture
def api(server) -> Api:
    """A client whose organization nobody else uses."""
    return connect(server)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows with a failure what the servers said."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for one in list(RUNNING):
            report.sections.append((f"server on port {one.port}", one.tail(40)))
