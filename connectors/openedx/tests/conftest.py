"""Starts a Schoolbell and a receiver, and the small platform against them."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE), str(ROOT / "e2e" / "python")]

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

import django  # noqa: E402
from django.core.management import call_command  # noqa: E402
from support.api import Api  # noqa: E402
from support.receiver import Receiver  # noqa: E402
from support.server import Server  # noqa: E402

TOKEN_OF = "org_23rb8YdGqMT0qIzpgGwdXfHirMu"


# The platform is there before any Schoolbell is. Each test has an outbox of its own; nothing goes into this one.
OUTBOX = tempfile.TemporaryDirectory(prefix="schoolbell-")
os.environ.setdefault("SCHOOLBELL_OUTBOX", os.path.join(OUTBOX.name, "outbox.sqlite3"))
django.setup()
call_command("migrate", run_syncdb=True, verbosity=0)


@pytest.fixture(scope="session")
def receiver():
    one = Receiver()
    yield one
    one.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    one = Server(tmp_path_factory.mktemp("schoolbell")).start()
    yield one
    one.close()


@pytest.fixture(scope="session")
def api(server):
    return Api(server.url, server.token(TOKEN_OF), TOKEN_OF, server.jwt_secret)


@pytest.fixture
def app(api):
    """A site of its own for each test."""
    return api.post("/app", {"name": "Campus", "platform": "openedx"}).json()["id"]


@pytest.fixture
def connect(tmp_path, settings_of):
    """Connects the platform to a server's application; each test has an outbox of its own."""

    def connected(url, token, app, **more):
        settings_of(
            SCHOOLBELL_URL=url,
            SCHOOLBELL_TOKEN=token,
            SCHOOLBELL_APP=app,
            SCHOOLBELL_OUTBOX=str(tmp_path / "outbox.sqlite3"),
            **more,
        )
        from openedx_schoolbell.courier import courier

        return courier()

    return connected


@pytest.fixture
def connected(connect, server, api, app):
    return connect(server.url, api.token, app)


@pytest.fixture
def settings_of():
    """Sets settings for one test, and has the plugin read them anew."""
    from django.test import override_settings

    from openedx_schoolbell import courier as couriers
    from openedx_schoolbell.config import config
    from openedx_schoolbell.filters import directory, step

    active = []

    def fresh():
        config.cache_clear()
        couriers._courier = None
        directory.directory = step.directory = directory.Directory()

    def change(**values):
        one = override_settings(**values)
        one.enable()
        active.append(one)
        fresh()

    yield change
    if couriers._courier is not None:
        couriers._courier.flush(5)
    for one in reversed(active):
        one.disable()
    fresh()


@pytest.fixture
def user():
    """Somebody with a profile, in the database."""
    from campus.models import UserProfile
    from django.contrib.auth import get_user_model

    get_user_model().objects.all().delete()
    person = get_user_model().objects.create_user("jane", "jane@example.com", "a password", is_staff=True)
    UserProfile.objects.create(user=person, name="Jane Doe")
    return person
