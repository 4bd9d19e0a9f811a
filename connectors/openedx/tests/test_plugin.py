"""How the platform finds the plugin, and what its parts do by themselves."""

import io
import math
import os
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.http import QueryDict
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy
from opaque_keys.edx.keys import CourseKey, UsageKey


def test_the_platform_finds_the_plugin_by_its_entry_points():
    from edx_django_utils.plugins import get_plugin_apps

    for domain in ("lms.djangoapp", "cms.djangoapp"):
        assert "openedx_schoolbell.apps:SchoolbellConfig" in [
            a.replace(".SchoolbellConfig", ":SchoolbellConfig") for a in get_plugin_apps(domain)
        ]
    assert settings.SCHOOLBELL_HANDOVER == "async" and settings.SCHOOLBELL_TIMEOUT == 10.0


def test_every_filter_has_the_step_behind_the_steps_of_others():
    from openedx_schoolbell.filters.registration import STEP, known, register

    assert len(known()) >= 24
    register()
    for filter_type in known():
        assert settings.OPEN_EDX_FILTERS_CONFIG[filter_type]["pipeline"].count(STEP) == 1
    others = settings.OPEN_EDX_FILTERS_CONFIG["org.openedx.learning.idv.page.url.requested.v1"]
    assert others == {
        "fail_silently": False,
        "pipeline": ["campus.steps.AddsAQuery", STEP],
        "log_level": "debug",
    }


def test_the_step_joins_every_form_of_configuration_once():
    from openedx_schoolbell.filters.registration import STEP, with_step

    assert with_step(None) == {"fail_silently": True, "pipeline": [STEP]}
    assert with_step("a.B") == ["a.B", STEP]
    assert with_step(["a.B"]) == ["a.B", STEP]
    assert with_step({"pipeline": ["a.B"], "x": 1}) == {"pipeline": ["a.B", STEP], "x": 1}
    for once in (None, "a.B", ["a.B"], {"pipeline": []}):
        assert with_step(with_step(once)) == with_step(once)


def test_studio_has_only_the_filter_that_it_runs(settings_of):
    from openedx_schoolbell.filters.registration import STUDIO, register

    settings_of(SERVICE_VARIANT="cms", OPEN_EDX_FILTERS_CONFIG={})
    register()
    assert set(settings.OPEN_EDX_FILTERS_CONFIG) == STUDIO


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCHOOLBELL_HANDOVER", "later"),
        ("SCHOOLBELL_TIMEOUT", "soon"),
        ("SCHOOLBELL_FILTERS_WHEN_UNREACHABLE", "maybe"),
        ("SCHOOLBELL_SEND_CREDENTIALS", "perhaps"),
    ],
)
def test_a_setting_that_makes_no_sense_says_what_would(settings_of, name, value):
    from openedx_schoolbell.config import config

    settings_of(**{name: value})
    with pytest.raises(ImproperlyConfigured, match=f"{name}.*use"):
        config()


def test_settings_come_from_the_environment_and_from_the_platforms_files(monkeypatch):
    from openedx_schoolbell.settings import common, production
    from openedx_schoolbell.settings import test as for_tests

    class Platform:
        SCHOOLBELL_APP = "mine"
        ENV_TOKENS = {"SCHOOLBELL_TIMEOUT": 3}
        AUTH_TOKENS = {"SCHOOLBELL_TOKEN": "secret"}

    monkeypatch.setenv("SCHOOLBELL_URL", "http://bell:8484/")
    monkeypatch.setenv("SCHOOLBELL_APP", "other")
    monkeypatch.delenv("SCHOOLBELL_OUTBOX", raising=False)
    platform = Platform()
    common.plugin_settings(platform)
    production.plugin_settings(platform)
    assert (platform.SCHOOLBELL_URL, platform.SCHOOLBELL_APP) == ("http://bell:8484/", "mine")
    assert (platform.SCHOOLBELL_TIMEOUT, platform.SCHOOLBELL_TOKEN) == (3, "secret")
    for_tests.plugin_settings(platform)
    assert platform.SCHOOLBELL_URL == ""


def test_each_service_has_an_outbox_of_its_own_unless_the_operator_says_where(settings_of):
    from openedx_schoolbell.config import config

    for service in ("lms", "cms"):
        settings_of(SERVICE_VARIANT=service, SCHOOLBELL_OUTBOX="")
        assert config().outbox.endswith(f"/schoolbell-outbox-{service}.sqlite3")
    settings_of(SCHOOLBELL_OUTBOX="/somewhere/else")
    assert config().outbox == "/somewhere/else"


class Thing:
    def __init__(self, **kwargs):
        self.__dict__.update(kwargs)


@dataclass
class Page:
    title: str
    _hidden: int = 1


def test_values_are_written_as_receivers_know_them(user):
    from openedx_schoolbell.wire import Writer

    at = datetime(2026, 1, 31, 20, 24, 32, 598387, UTC)
    course = CourseKey.from_string("course-v1:OrgX+CS101+2026_T1")
    values = {
        "at": at,
        "whole": datetime(2026, 1, 1, tzinfo=UTC),
        "uuid": UUID(int=1),
        "decimal": Decimal("1.50"),
        "course": course,
        "block": UsageKey.from_string("block-v1:OrgX+CS101+2026_T1+type@problem+block@p1"),
        "tuple": (1, None),
        "set": {"b", "a"},
        "form": QueryDict("a=1&a=2"),
        "page": Page("t"),
        "lazy": gettext_lazy("Name"),
        "nan": math.nan,
        "half": "\ud800x",
        "keys": {1: 2, "_x": 3, None: 4},
        "password": "p",
        "deeper": [{"ID_Token": 1, "token2": 2}],
        "class": dict,
        "user": SimpleLazyObject(lambda: user),
    }
    found = Writer().value(values)
    assert found["at"] == "2026-01-31 20:24:32.598387+00:00" and found["whole"] == "2026-01-01 00:00:00+00:00"
    assert (found["uuid"], found["decimal"], found["course"]) == (str(UUID(int=1)), "1.50", str(course))
    assert (found["tuple"], found["set"], found["form"]) == ([1, None], ["a", "b"], {"a": "2"})
    assert (found["page"], found["lazy"], found["nan"], found["half"]) == ({"title": "t"}, "Name", None, "?x")
    assert found["keys"] == {"1": 2, "None": 4} and found["class"] == {}
    assert "password" not in found and found["deeper"] == [{"token2": 2}]
    assert found["user"] == {} or found["user"]["username"] == "jane"
    assert Writer(with_credentials=True).value(values)["password"] == "p"


def test_what_is_written_is_bounded():
    from openedx_schoolbell.wire import AGAIN, TOO_DEEP, TOO_MUCH, VALUES, Writer

    deep = {}
    for _ in range(100):
        deep = {"a": deep}
    assert TOO_DEEP in str(Writer().value(deep))
    loop = Thing(name="x")
    loop.me = loop
    assert Writer().value(loop) == {"name": "x", "me": AGAIN}
    wide = [[1]] * (VALUES + 10)
    assert Writer().value(wide)[-1] == TOO_MUCH
    assert len(Writer().value(wide)) <= VALUES + 1


def test_the_outbox_keeps_order_over_restarts_and_its_bound(tmp_path):
    from openedx_schoolbell.outbox import Full, Outbox

    path = str(tmp_path / "deep" / "down" / "outbox.sqlite3")
    outbox = Outbox(path, 1 << 20)
    for n in range(5):
        outbox.add(f"e{n}", "x" * 10)
    assert os.stat(path).st_mode & 0o777 == 0o600
    outbox.close()
    outbox = Outbox(path, 1 << 20)
    assert [e.event_id for e in outbox.first(3, 1000)] == ["e0", "e1", "e2"]
    assert [e.event_id for e in outbox.first(9, 25)] == ["e0", "e1"]
    assert [e.event_id for e in outbox.first(9, 1)] == ["e0"]
    outbox.sent(outbox.first(2, 1000))
    outbox.reject(outbox.first(1, 1)[0], "no")
    assert outbox.count()[0] == 2 and outbox.rejected() == [("e2", "no")]
    with pytest.raises(Full):
        for n in range(1000):
            outbox.add(f"big{n}", "y" * 10_000)
    assert outbox.first(1, 1)[0].event_id == "e3"


def test_after_a_fork_the_child_has_an_outbox_of_its_own_to_the_same_file(tmp_path):
    from openedx_schoolbell.outbox import Outbox

    outbox = Outbox(str(tmp_path / "outbox.sqlite3"), 1 << 20)
    outbox.add("parent", "{}")
    child = os.fork()
    if child == 0:
        try:
            outbox.add("child", "{}")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert [e.event_id for e in outbox.first(9, 100)] == ["parent", "child"]
    assert sqlite3.connect(outbox.path).execute("pragma integrity_check").fetchone() == ("ok",)


def test_a_command_shows_and_sends_what_waits(connect, server, api, app):
    courier = connect("http://127.0.0.1:1", "none", app)
    courier.outbox.add("e1", '{"eventType": "x", "payload": {"a": 1}, "eventId": "e1"}')
    said = io.StringIO()
    call_command("schoolbell_outbox", stdout=said)
    assert "1 events wait" in said.getvalue()
    with pytest.raises(CommandError, match="cannot be reached"):
        call_command("schoolbell_outbox", "--send", stdout=said)
    connect(server.url, api.token, app)
    call_command("schoolbell_outbox", "--send", stdout=said)
    assert "0 events wait" in said.getvalue()
    assert api.get(f"/app/{app}/msg").json()["data"][0]["eventId"] == "e1"
