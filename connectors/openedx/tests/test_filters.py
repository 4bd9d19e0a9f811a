"""Every filter of the installed library, run as the platform runs it, through a running Schoolbell to real receivers.

What an answer means is compared with the documented behaviour of the original plugin's version 22.
"""

import json
import socket
import threading
import time
from types import SimpleNamespace
from urllib.parse import parse_qsl

import pytest
from campus.models import Cohort, Enrollment, Membership, UserProfile
from django.contrib.auth import get_user_model
from django.http import QueryDict
from opaque_keys.edx.keys import CourseKey
from openedx_filters.exceptions import OpenEdxFilterException
from support.receiver import Answer

from openedx_schoolbell.filters import registration

COURSE = CourseKey.from_string("course-v1:OrgX+CS101+2026_T1")
FILTERS = {cls.__name__: cls for cls in registration.known().values()}
# What the original plugin sends, beside event_metadata, and in this order.
REQUESTS = {
    "StudentLoginRequested": ["user", "profile"],
    "StudentRegistrationRequested": ["username", "name", "terms_of_service"],
    "AccountSettingsRenderStarted": ["context", "template_name"],
    "CourseEnrollmentStarted": ["user", "profile", "course_key", "mode"],
    "CourseUnenrollmentStarted": ["user", "profile", "enrollment"],
    "CertificateCreationRequested": [
        "user", "course_key", "mode", "status", "grade", "generation_mode", "profile", "completion_summary",
    ],
    "CertificateRenderStarted": ["context", "custom_template", "completion_summary"],
    "CohortChangeRequested": ["current_membership", "target_cohort", "user", "user_profile", "course_key"],
    "CohortAssignmentRequested": ["target_cohort", "user", "user_profile", "course_key"],
    "CourseAboutRenderStarted": ["context", "template_name"],
    "DashboardRenderStarted": ["context", "template_name"],
    "VerticalBlockChildRenderStarted": ["block", "context"],
    "CourseEnrollmentQuerysetRequested": ["enrollments"],
    "RenderXBlockStarted": ["context", "student_view_context"],
    "VerticalBlockRenderCompleted": ["block", "fragment", "context", "view"],
    "CourseHomeUrlCreationStarted": ["course_id", "course_home_url"],
    "CourseEnrollmentAPIRenderStarted": ["course_id", "serialized_enrollment"],
    "CourseRunAPIRenderStarted": ["serialized_courserun"],
    "InstructorDashboardRenderStarted": ["context", "template_name"],
    "ORASubmissionViewRenderStarted": ["context", "template_name"],
    "IDVPageURLRequested": ["url"],
    "CourseAboutPageURLRequested": ["url", "org"],
    "ScheduleQuerySetRequested": ["schedules"],
    "LMSPageURLRequested": ["url", "org"],
    "InstructorDashboardTabsRequested": ["tabs", "user", "course_key"],
    "AccountSettingsReadOnlyFieldsRequested": ["readonly_fields", "user"],
    "GradeEventContextRequested": ["context", "user_id", "course_id"],
}  # fmt: skip


class Block:
    """Something with attributes."""

    def __init__(self):
        self.display_name = "A unit"
        self.location = "block-v1:OrgX+CS101+2026_T1+type@vertical+block@v1"


@pytest.fixture
def arguments(user):
    """What the platform would hand in, by the arguments' names."""
    cohort = Cohort.objects.create(name="Cohort A", course_id=str(COURSE))
    other = Cohort.objects.create(name="Cohort B", course_id=str(COURSE))
    enrollment = Enrollment.objects.create(user=user, course_id=str(COURSE), mode="honor")
    Enrollment.objects.create(user=user, course_id="course-v1:OrgX+CS102+2026_T1")
    form = QueryDict("username=jane&name=Jane+Doe&terms_of_service=true&password=p", mutable=True)
    return {
        "user": user,
        "form_data": form,
        "course_key": COURSE,
        "mode": "honor",
        "enrollment": enrollment,
        "status": "downloadable",
        "grade": SimpleNamespace(percent=0.5, passed=False, id=1),
        "generation_mode": "self",
        "context": {"title": "Hello", "course": Block(), "course_details": Block(), "user": user},
        "student_view_context": {"view": "student"},
        "custom_template": SimpleNamespace(name="plain", is_asset=False),
        "template_name": "page.html",
        "current_membership": Membership.objects.create(user=user, course_user_group=cohort, course_id=str(COURSE)),
        "target_cohort": other,
        "block": Block(),
        "fragment": Block(),
        "view": "student_view",
        "enrollments": Enrollment.objects.all(),
        "schedules": Enrollment.objects.all(),
        "course_home_url": "http://lms/home",
        "serialized_enrollment": {"mode": "honor"},
        "serialized_courserun": {"title": "Intro"},
        "url": "http://lms/page",
        "org": "OrgX",
        "tabs": [{"tab_id": "grades", "title": "Grades"}],
        "readonly_fields": {"email"},
        "user_id": user.id,
        "course_id": str(COURSE),
    }


@pytest.fixture
def hook(receiver):
    return receiver.hook()


@pytest.fixture
def webfilter(connected, api, app, hook):
    """Makes a webfilter whose receiver answers as said."""

    def make(name, answer=None, status=200, target=None, **settings):
        target = target or hook
        body = answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
        target.answer = lambda _: Answer(status, body=body)
        made = api.post(f"/app/{app}/webfilter/", {"filter": name, "url": target.url, **settings})
        assert made.status_code == 201, made.text
        return made.json()

    return make


def run(name, arguments, **more):
    """Runs a filter with those of the arguments that it takes."""
    cls = FILTERS[name]
    names = cls.run_filter.__func__.__code__.co_varnames[1 : cls.run_filter.__func__.__code__.co_argcount]
    given = {n: more.get(n, arguments.get(n)) for n in names}
    return cls.run_filter(**given)


@pytest.mark.parametrize("encoding", ["json", "form"])
@pytest.mark.parametrize("wire", ["v22", "v21"])
def test_every_filter_asks_with_the_originals_keys(connected, api, app, receiver, arguments, wire, encoding):
    hooks = {}
    for name in FILTERS:
        hook = hooks[name] = receiver.hook()
        settings = {"filter": name, "url": hook.url, "wireVersion": wire, "encoding": encoding}
        made = api.post(f"/app/{app}/webfilter/", settings)
        assert made.status_code == 201, made.text
    catalogue = {f["name"]: f for f in api.get(f"/app/{app}/webfilter/filter/").json()["data"]}
    for name, hook in hooks.items():
        run(name, arguments)
        assert len(hook.received) == 1, name
        got = hook.received[0]
        if encoding == "form":
            assert got.headers["content-type"] == "application/x-www-form-urlencoded"
            body = dict(parse_qsl(got.body.decode(), keep_blank_values=True))
            said = body["event_metadata_event_type"]
        else:
            body = json.loads(got.body)
            said = body["event_metadata"]["event_type"]
            assert list(body)[-1] == "event_metadata" and set(body["event_metadata"]) == {"event_type", "time"}
            if name in REQUESTS:
                assert list(body)[:-1] == REQUESTS[name], name
        assert said == (name if wire == "v22" else catalogue[name]["storedAs"] or name)
        assert "password" not in got.body.decode().replace("password_", "")


def test_a_users_request_is_the_documented_one(webfilter, hook, user):
    webfilter("StudentLoginRequested")
    run("StudentLoginRequested", {"user": user})
    body = json.loads(hook.received[0].body)
    assert list(body["user"]) == [
        "id", "last_login", "username", "first_name", "last_name", "email", "is_active", "date_joined",
    ]  # fmt: skip
    assert body["user"]["username"] == "jane" and body["user"]["last_login"] is None
    assert body["user"]["date_joined"] == str(user.date_joined)
    assert body["profile"] == {"id": user.profile.id, "user_id": user.id, "name": "Jane Doe", "city": None,
                               "year_of_birth": None}  # fmt: skip
    # A login that names no account has nobody to tell about.
    run("StudentLoginRequested", {"user": None})
    assert list(json.loads(hook.received[1].body)) == ["event_metadata"]


def test_data_of_user_and_profile_is_saved_and_nothing_else_of_them(webfilter, user):
    data = {
        "user": {"id": 99, "is_staff": False, "is_superuser": True, "password": "x", "first_name": "Jo", "nonsense": 1},
        "profile": {"name": "J. D.", "user_id": 5},
    }
    webfilter("StudentLoginRequested", {"data": data})
    assert run("StudentLoginRequested", {"user": user}) is user
    stored = get_user_model().objects.get(username="jane")
    assert (stored.first_name, stored.is_staff, stored.is_superuser) == ("Jo", True, False)
    assert stored.check_password("a password") and stored.id == user.id
    assert UserProfile.objects.get(user=stored).name == "J. D."


def test_a_form_is_merged_field_by_field(webfilter, arguments):
    webfilter(
        "StudentRegistrationRequested", {"data": {"form_data": {"name": "New", "extra": "1", "goals": ["a", "b"]}}}
    )
    form = run("StudentRegistrationRequested", arguments)
    assert (form["name"], form["username"], form["extra"]) == ("New", "jane", "1")
    assert form.getlist("goals") == ["a", "b"] and form["password"] == "p"


@pytest.mark.parametrize("wrong", [{"gender": "x"}, {"level_of_education": "lots"}, {"terms_of_service": "maybe"}])
def test_a_form_that_the_platform_would_not_take_changes_nothing(webfilter, arguments, wrong, caplog):
    webfilter("StudentRegistrationRequested", {"data": {"form_data": {"name": "New", **wrong}}})
    assert run("StudentRegistrationRequested", arguments)["name"] == "Jane Doe"
    assert next(iter(wrong)) in caplog.text


def test_effects_on_arguments(webfilter, arguments, hook, api, app):
    def apply(name, data):
        made = webfilter(name, {"data": data})
        try:
            return run(name, arguments)
        finally:
            api.delete(f"/app/{app}/webfilter/{made['id']}/")

    user, key, mode = apply("CourseEnrollmentStarted", {"mode": "audit", "course_key": "course-v1:OrgX+CS102+2026_T1"})
    assert (user, str(key), mode) == (arguments["user"], "course-v1:OrgX+CS102+2026_T1", "audit")
    assert apply("CourseEnrollmentStarted", {"mode": None})[2] is None
    # What is no course key is left out, and the platform goes on.
    assert apply("CourseEnrollmentStarted", {"course_key": "nonsense"})[1] == COURSE
    context, template = apply("DashboardRenderStarted", {"context": {"title": "Bye"}, "template_name": "other.html"})
    assert (context["title"], "user" in context, template) == ("Bye", True, "other.html")
    context, _ = apply("InstructorDashboardRenderStarted", {"context": {"title": "Bye"}})
    assert context == {"title": "Bye"}
    context, _ = apply("CourseAboutRenderStarted", {"context": {"title": "Bye", "course": {"x": 1}}})
    assert context["title"] == "Bye" and context["course"] is arguments["context"]["course"]
    assert apply("IDVPageURLRequested", {"url": "http://other/"}) == "http://other/"
    assert [e.mode for e in apply("CourseEnrollmentQuerysetRequested", {"filter": {"mode": "honor"}})] == ["honor"]
    assert [s.mode for s in apply("ScheduleQuerySetRequested", {"filter": {"mode": "audit"}})] == ["audit"]
    assert len(apply("ScheduleQuerySetRequested", {"filter": {"no_such_column": 1}})) == 2
    grade = apply("CertificateCreationRequested", {"grade": {"passed": "true", "percent": 0.9, "id": 7}})[4]
    assert (grade.passed, grade.percent, grade.id) == (True, 0.9, 1)
    _, cohort = apply("CohortChangeRequested", {"target_cohort": {"name": "Another"}})
    assert cohort.name == "Another" and Cohort.objects.get(id=cohort.id).name == "Cohort B"
    assert apply("CourseRunAPIRenderStarted", {"serialized_courserun": {"title": "T"}}) == {"title": "T"}
    context, view_context = apply("RenderXBlockStarted", {"student_view_context": {"v": 1}})
    assert view_context == {"v": 1} and context["title"] == "Hello"
    if "InstructorDashboardTabsRequested" in FILTERS:  # from openedx-filters 3.4 on
        assert apply("InstructorDashboardTabsRequested", {"tabs": [{"tab_id": "mine"}]})[0] == [{"tab_id": "mine"}]
        fields = apply("AccountSettingsReadOnlyFieldsRequested", {"readonly_fields": ["name"]})[0]
        assert fields == {"email", "name"}


EXCEPTIONS = [
    (name, exception)
    for name, cls in sorted(FILTERS.items())
    if name in REQUESTS
    for exception in registration.exceptions_of(cls)
]


@pytest.mark.parametrize(("name", "exception"), EXCEPTIONS)
def test_every_exception_is_raised_with_its_message(webfilter, arguments, name, exception):
    value = {"content": "stop", "status": 418} if exception == "RenderCustomResponse" else "not now"
    webfilter(name, {"exception": {exception: value}})
    with pytest.raises(OpenEdxFilterException) as raised:
        run(name, arguments)
    assert type(raised.value).__name__ == exception
    if exception == "RenderCustomResponse":
        assert (raised.value.response.content, raised.value.response.status_code) == (b"stop", 418)
    else:
        assert raised.value.message == "not now"


LOGIN = FILTERS["StudentLoginRequested"]
NO = {"exception": {"PreventLogin": "no"}}
CHANGE = {"data": {"user": {"first_name": "X"}, "profile": {"name": "Y"}}}
# Answer, status, settings; what is raised (message, redirect) or None; the name that is stored afterwards.
VECTORS = [
    (CHANGE, 200, {}, None, "X"),
    (NO, 200, {}, ("no", ""), ""),
    (
        {"exception": {"PreventLogin": {"message": "no", "redirect_to": "https://e.com"}}},
        200,
        {},
        ("no", "https://e.com"),
        "",
    ),
    ({"exception": {"PreventLogin": {"redirect_to": "https://e.com"}}}, 200, {}, ("", "https://e.com"), ""),
    ({"exception": {"PreventLogin": None}}, 200, {}, ("Reason not specified", ""), ""),
    ({**CHANGE, **NO}, 200, {}, ("no", ""), ""),
    ({**CHANGE, **NO}, 200, {"disableFiltering": True}, ("no", ""), ""),
    ({**CHANGE, **NO}, 200, {"disableHalting": True}, None, "X"),
    ({**CHANGE, **NO}, 404, {}, ("no", ""), ""),
    (CHANGE, 500, {}, None, "X"),
    (CHANGE, 404, {"haltOn4xx": True, "redirectOn4xx": "https://e.com/"}, ("404", "https://e.com/"), ""),
    (CHANGE, 404, {"haltOn4xx": True, "disableHalting": True}, ("404", ""), ""),
    (CHANGE, 404, {"haltOn5xx": True}, None, "X"),
    (CHANGE, 500, {"haltOn5xx": True, "redirectOn5xx": "https://e.com/"}, ("500", "https://e.com/"), ""),
    ({"exceptions": {"PreventLogin": "no"}}, 200, {}, None, ""),
    ({"exception": {"NoSuch": "no"}}, 200, {}, None, ""),
    ({"data": [1], "exception": "no"}, 200, {}, None, ""),
    (b"<html>", 200, {}, None, ""),
    (b"[1]", 200, {}, None, ""),
    (b"null", 200, {}, None, ""),
    (b"", 204, {}, None, ""),
]


@pytest.mark.parametrize(("answer", "status", "settings", "raises", "stored"), VECTORS)
def test_answers_mean_what_they_mean_to_the_original(webfilter, user, answer, status, settings, raises, stored):
    webfilter("StudentLoginRequested", answer, status, **settings)
    if raises is None:
        assert run("StudentLoginRequested", {"user": user}) is user
    else:
        with pytest.raises(LOGIN.PreventLogin) as raised:
            run("StudentLoginRequested", {"user": user})
        assert raises[0] in raised.value.message and (raised.value.redirect_to or "") == raises[1]
    assert get_user_model().objects.get(id=user.id).first_name == stored


def test_a_halt_carries_its_status_where_the_exception_takes_one(webfilter, arguments):
    webfilter("CourseEnrollmentStarted", {}, 403, haltOn4xx=True, redirectOn4xx="https://e.com/")
    with pytest.raises(FILTERS["CourseEnrollmentStarted"].PreventEnrollment) as raised:
        run("CourseEnrollmentStarted", arguments)
    assert (raised.value.redirect_to, raised.value.status_code) == ("https://e.com/", 403)


def test_a_receiver_that_is_not_there_halts_only_if_it_should(webfilter, api, app, user, receiver):
    closed = SimpleNamespace(url="http://127.0.0.1:1/", answer=None)
    made = webfilter("StudentLoginRequested", target=closed)
    assert run("StudentLoginRequested", {"user": user}) is user
    change = {"haltOnRequestException": True, "redirectOnRequestException": "https://e.com/down"}
    assert api.patch(f"/app/{app}/webfilter/{made['id']}/", change).status_code == 200
    with pytest.raises(LOGIN.PreventLogin) as raised:
        run("StudentLoginRequested", {"user": user})
    assert raised.value.redirect_to == "https://e.com/down"


def test_of_several_webfilters_a_later_one_wins_key_by_key(webfilter, receiver, user):
    first, second = receiver.hook(), receiver.hook()
    webfilter("StudentLoginRequested", {"data": {"user": {"first_name": "A"}, "profile": {"name": "A"}}}, target=first)
    webfilter("StudentLoginRequested", {"data": {"user": {"email": "b@example.com"}}}, target=second)
    run("StudentLoginRequested", {"user": user})
    stored = get_user_model().objects.get(id=user.id)
    assert (stored.first_name, stored.email, stored.profile.name) == ("", "b@example.com", "A")


def test_other_plugins_steps_go_first_and_their_changes_are_seen(webfilter, hook):
    webfilter("IDVPageURLRequested")
    assert run("IDVPageURLRequested", {"url": "http://lms/idv"}) == "http://lms/idv?other=1"
    assert json.loads(hook.received[0].body)["url"] == "http://lms/idv?other=1"


# Without Schoolbell.


@pytest.fixture
def silent():
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("policy", ["pass", "halt"])
@pytest.mark.parametrize("how", ["refused", "silent"])
def test_without_schoolbell_filters_pass_or_halt_as_the_operator_says(
    connect, webfilter, connected, server, api, app, user, policy, how, silent
):
    webfilter("StudentLoginRequested")
    run("StudentLoginRequested", {"user": user})
    url = silent if how == "silent" else "http://127.0.0.1:1"
    settings = {"SCHOOLBELL_FILTERS_WHEN_UNREACHABLE": policy, "SCHOOLBELL_FILTERS_TIMEOUT": 0.5}
    connect(url, api.token, app, **settings)
    for _ in range(3):
        began = time.monotonic()
        if policy == "halt":
            with pytest.raises(LOGIN.PreventLogin, match="not possible at the moment"):
                run("StudentLoginRequested", {"user": user})
        else:
            assert run("StudentLoginRequested", {"user": user}) is user
        # Filters that nobody wants to be asked about pass in any case.
        assert run("CourseAboutPageURLRequested", {"url": "u", "org": "o"}) == ("u", "o")
        assert time.monotonic() - began < 8
    # And it costs nothing while Schoolbell is known to be away.
    began = time.monotonic()
    for _ in range(50):
        run("CourseAboutPageURLRequested", {"url": "u", "org": "o"})
    # Asking would have been 25 s.
    assert time.monotonic() - began < 10


def test_a_filter_that_may_take_minutes_is_asked_all_the_same(connect, webfilter, server, api, app, hook):
    webfilter("IDVPageURLRequested", {"data": {"url": "https://changed.example"}})
    connect(server.url, api.token, app, SCHOOLBELL_FILTERS_TIMEOUT=120)
    assert run("IDVPageURLRequested", {"url": "u"}) == "https://changed.example"


def test_filters_without_webfilters_ask_nobody(connect, server, api, app, user):
    connect(server.url, api.token, app, SCHOOLBELL_FILTERS_REFRESH=60)
    run("StudentLoginRequested", {"user": user})
    from openedx_schoolbell import client

    calls = []
    original = client.call
    client.call = lambda *a, **k: calls.append(a) or original(*a, **k)
    try:
        for name in ("StudentLoginRequested", "IDVPageURLRequested"):
            run(name, {"user": user, "url": "u"})
    finally:
        client.call = original
    assert calls == []


def test_an_error_of_ours_is_logged_and_the_platform_goes_on(webfilter, user, monkeypatch, caplog):
    webfilter("StudentLoginRequested", CHANGE)
    from openedx_schoolbell.filters import step

    def broken(*_, **__):
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(step, "payload", broken)
    assert run("StudentLoginRequested", {"user": user}) is user
    assert "a bug of ours" in caplog.text


def test_many_threads_may_ask_at_once(webfilter, hook, user):
    webfilter("IDVPageURLRequested", {"data": {"url": "http://other/"}})
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(run("IDVPageURLRequested", {"url": "u"}))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["http://other/"] * 16
