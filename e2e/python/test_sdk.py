"""The official Svix SDK, unmodified, against Schoolbell: every operation it has for the open-source paths.

Runs with version 2 and with the last version 1 of the SDK; where they name things differently, `either` picks.
"""

import asyncio
import importlib
import inspect
import json
import pkgutil
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
import standardwebhooks
import svix.api
import svix.webhooks
from svix import models
from svix.api import Svix, SvixAsync, SvixOptions
from svix.api.common import ApiBaseAsync, ApiBaseSync
from svix.exceptions import HttpError, HTTPValidationError

from support.api import eventually
from support.contract import OPERATIONS, without_names
from support.receiver import Answer
from support.server import new_organization

CALLED: "set[tuple[str, str]]" = set()


def either(owner, *names):
    """The first of these names that this version of the SDK has."""
    return next(getattr(owner, name) for name in names if hasattr(owner, name))


# Each options class sits in the module of its resource.
def options(resource, name, **values):
    return getattr(importlib.import_module(f"svix.api.{resource}"), name)(**values)


@pytest.fixture(scope="module", autouse=True)
def record_calls():
    """Notes which operations the SDK asks for."""
    sync, asynchronous = ApiBaseSync._request_sync, ApiBaseAsync._request_asyncio

    def noted(call):
        def wrapper(self, method, path, *args, **kwargs):
            CALLED.add((method.upper(), without_names(path)))
            return call(self, method, path, *args, **kwargs)

        return wrapper

    ApiBaseSync._request_sync = noted(sync)
    ApiBaseAsync._request_asyncio = noted(asynchronous)
    yield
    ApiBaseSync._request_sync, ApiBaseAsync._request_asyncio = sync, asynchronous


@pytest.fixture
def sdk(server) -> Svix:
    return Svix(server.token(new_organization()), SvixOptions(server_url=server.url))


@pytest.fixture
def app(sdk):
    return sdk.application.create(models.ApplicationIn(name="Physics 101"))


@pytest.fixture
def endpoint(sdk, app, hook):
    return sdk.endpoint.create(app.id, models.EndpointIn(url=hook.url))


def message(number=1, **fields):
    return models.MessageIn(event_type="lesson.started", payload={"number": number}, **fields)


def verify(secret: str, request) -> None:
    """Both libraries take the delivery, and neither takes another body."""
    body = request.body.decode()
    svix.webhooks.Webhook(secret).verify(body, request.headers)
    assert standardwebhooks.Webhook(secret).verify(body, request.headers) == json.loads(body)
    with pytest.raises(svix.webhooks.WebhookVerificationError):
        svix.webhooks.Webhook(secret).verify(body + " ", request.headers)


def test_application_life(sdk):
    created = sdk.application.create(models.ApplicationIn(name="one", uid="room-1", metadata={"grade": "7"}))
    assert created.name == "one" and created.metadata == {"grade": "7"}
    assert sdk.application.get("room-1") == created == sdk.application.get(created.id)

    again = sdk.application.get_or_create(models.ApplicationIn(name="other", uid="room-1"))
    assert again == created

    changed = either(sdk.application, "upsert", "update")("room-1", models.ApplicationIn(name="two", uid="room-1"))
    assert changed.id == created.id and changed.name == "two" and changed.metadata == {}

    patched = sdk.application.patch(created.id, models.ApplicationPatch(throttle_rate=7))
    assert patched.name == "two" and patched.throttle_rate == 7

    listed = sdk.application.list(
        options("application", "ApplicationListOptions", limit=10, order=models.Ordering.DESCENDING)
    )
    assert [a.id for a in listed.data] == [created.id] and listed.done

    sdk.application.delete(created.id)
    with pytest.raises(HttpError) as missing:
        sdk.application.get(created.id)
    assert missing.value.status_code == 404 and missing.value.code == "not_found"


def test_event_type_life(sdk):
    schema = {"1": {"type": "object", "examples": [{"lesson": "intro"}]}}
    created = sdk.event_type.create(models.EventTypeIn(name="lesson.started", description="It began.", schemas=schema))
    assert created.name == "lesson.started" and not created.archived

    upsert_in = either(models, "EventTypeUpsertIn", "EventTypeUpdate")
    changed = either(sdk.event_type, "upsert", "update")("lesson.started", upsert_in(description="It did begin."))
    assert changed.description == "It did begin." and changed.schemas is None

    patched = sdk.event_type.patch("lesson.started", models.EventTypePatch(schemas=schema, deprecated=True))
    assert patched.schemas == schema and patched.deprecated
    assert sdk.event_type.get("lesson.started").schemas == schema

    sdk.event_type.delete("lesson.started")
    assert sdk.event_type.list().data == []
    everything = options("event_type", "EventTypeListOptions", include_archived=True, with_content=True)
    assert [(t.name, t.archived, t.schemas) for t in sdk.event_type.list(everything).data] == [
        ("lesson.started", True, schema)
    ]

    sdk.event_type.delete("lesson.started", options("event_type", "EventTypeDeleteOptions", expunge=True))
    with pytest.raises(HttpError):
        sdk.event_type.get("lesson.started")


def test_endpoint_life(sdk, app, hook):
    # Version 1 of the SDK knows only the old name.
    types = "event_types" if "event_types" in models.EndpointIn.model_fields else "filter_types"
    sdk.event_type.create(models.EventTypeIn(name="lesson.started", description=""))
    created = sdk.endpoint.create(
        app.id,
        models.EndpointIn(
            url=hook.url,
            uid="journal",
            description="the journal",
            **{types: ["lesson.started"]},
            channels=["room-1"],
            metadata={"owner": "ann"},
        ),
    )
    assert getattr(created, types) == ["lesson.started"] and created.channels == ["room-1"]
    assert sdk.endpoint.get(app.id, "journal") == created

    upsert_in = either(models, "EndpointUpsertIn", "EndpointUpdate")
    changed = either(sdk.endpoint, "upsert", "update")(app.id, "journal", upsert_in(url=hook.url, uid="journal"))
    assert changed.id == created.id and getattr(changed, types) is None and changed.description == ""

    patched = sdk.endpoint.patch(app.id, created.id, models.EndpointPatch(disabled=True, description="off"))
    assert patched.disabled and patched.description == "off"

    listed = sdk.endpoint.list(
        app.id, options("endpoint", "EndpointListOptions", limit=5, order=models.Ordering.ASCENDING)
    )
    assert [e.id for e in listed.data] == [created.id]

    sdk.endpoint.delete(app.id, "journal")
    assert sdk.endpoint.list(app.id).data == []


def test_endpoint_headers(sdk, app, endpoint, hook):
    set_headers = either(sdk.endpoint, "set_headers", "update_headers")
    set_headers(app.id, endpoint.id, models.EndpointHeadersIn(headers={"X-Room": "12", "Authorization": "Bearer x"}))
    sdk.endpoint.patch_headers(app.id, endpoint.id, models.EndpointHeadersPatchIn(headers={"X-Floor": "2"}))
    shown = sdk.endpoint.get_headers(app.id, endpoint.id)
    assert shown.headers == {"X-Room": "12", "X-Floor": "2"}
    assert [name.lower() for name in shown.sensitive] == ["authorization"]

    sdk.message.create(app.id, message())
    headers = hook.wait()[0].headers
    assert (headers["x-room"], headers["x-floor"], headers["authorization"]) == ("12", "2", "Bearer x")


def test_secret_rotation_keeps_both_secrets_valid(sdk, app, endpoint, hook):
    old = sdk.endpoint.get_secret(app.id, endpoint.id).key
    new = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
    rotated = sdk.endpoint.rotate_secret(app.id, endpoint.id, models.EndpointSecretRotateIn(key=new))
    if rotated is not None:  # version 2 reads the new secret from the answer
        assert rotated.key == new
    assert sdk.endpoint.get_secret(app.id, endpoint.id).key == new

    sdk.message.create(app.id, message())
    request = hook.wait()[0]
    verify(new, request)
    verify(old, request)


def test_a_message_is_delivered_and_every_view_shows_it(sdk, app, endpoint, hook):
    out = sdk.message.create(
        app.id,
        message(event_id="lesson-1", channels=["room-1"], tags=["spring/2"]),
        options("message", "MessageCreateOptions", with_content=True),
    )
    assert out.payload == {"number": 1} and out.event_id == "lesson-1" and list(out.tags) == ["spring/2"]
    request = hook.wait()[0]
    verify(sdk.endpoint.get_secret(app.id, endpoint.id).key, request)
    assert request.id == out.id and json.loads(request.body) == {"number": 1}

    with_content = options("message", "MessageGetOptions", with_content=True)
    assert sdk.message.get(app.id, "lesson-1", with_content).payload == {"number": 1}
    listing = options(
        "message", "MessageListOptions", with_content=True, event_types=["lesson.started", "x"], channel="room-1"
    )
    assert [m.id for m in sdk.message.list(app.id, listing).data] == [out.id]
    for tag, found in (("spring/2", [out.id]), ("spring", [])):
        tagged = options("message", "MessageListOptions", tag=tag)
        assert [m.id for m in sdk.message.list(app.id, tagged).data] == found

    attempts = eventually(lambda: sdk.message_attempt.list_by_msg(app.id, out.id).data)
    assert [(a.status, a.response_status_code, a.endpoint_id) for a in attempts] == [
        (models.MessageStatus.SUCCESS, 200, endpoint.id)
    ]
    assert sdk.message_attempt.get(app.id, out.id, attempts[0].id).id == attempts[0].id
    by_endpoint = sdk.message_attempt.list_by_endpoint(
        app.id,
        endpoint.id,
        options(
            "message_attempt",
            "MessageAttemptListByEndpointOptions",
            status=models.MessageStatus.SUCCESS,
            status_code_class=models.StatusCodeClass(200),
            after=out.timestamp - timedelta(minutes=1),
        ),
    )
    assert [a.id for a in by_endpoint.data] == [attempts[0].id]

    messages = sdk.message_attempt.list_attempted_messages(app.id, endpoint.id).data
    assert [(m.id, m.status) for m in messages] == [(out.id, models.MessageStatus.SUCCESS)]
    destinations = sdk.message_attempt.list_attempted_destinations(app.id, out.id).data
    assert [(d.id, d.status, d.next_attempt) for d in destinations] == [
        (endpoint.id, models.MessageStatus.SUCCESS, None)
    ]

    stats = sdk.endpoint.get_stats(app.id, endpoint.id)
    assert (stats.success, stats.fail, stats.pending, stats.sending, stats.canceled) == (1, 0, 0, 0, 0)


def test_resend_and_expunge(sdk, app, endpoint, hook):
    out = sdk.message.create(app.id, message())
    hook.wait(1)
    sdk.message_attempt.resend(app.id, out.id, endpoint.id)
    first, second = hook.wait(2)
    assert first.id == second.id == out.id and first.body == second.body

    attempts = eventually(lambda: (d := sdk.message_attempt.list_by_msg(app.id, out.id).data) and len(d) == 2 and d)
    assert attempts[0].trigger_type == models.MessageAttemptTriggerType.MANUAL

    sdk.message_attempt.expunge_content(app.id, out.id, attempts[0].id)
    shown = options("message_attempt", "MessageAttemptListByMsgOptions", with_content=True)
    assert sdk.message_attempt.list_by_msg(app.id, out.id, shown).data[0].response == "EXPUNGED"

    sdk.message.expunge_content(app.id, out.id)
    with pytest.raises(HttpError) as gone:
        sdk.message_attempt.resend(app.id, out.id, endpoint.id)
    assert gone.value.status_code == 400 and gone.value.code == "missing_payload"


def test_recover_sends_what_failed_and_its_task_ends(sdk, app, endpoint, hook):
    hook.answer = lambda _: Answer(500)
    out = [sdk.message.create(app.id, message(n)) for n in range(3)]
    eventually(lambda: sdk.endpoint.get_stats(app.id, endpoint.id).fail == 9)
    before = len(hook.received)
    hook.answer = lambda _: Answer(200)

    task = sdk.endpoint.recover(app.id, endpoint.id, models.RecoverIn(since=out[0].timestamp - timedelta(seconds=1)))
    assert task.task == models.BackgroundTaskType.ENDPOINT_RECOVER
    requests = hook.wait(before + 3)
    assert {r.id for r in requests[before:]} == {m.id for m in out}

    finished = eventually(
        lambda: (t := sdk.background_task.get(task.id)).status == models.BackgroundTaskStatus.FINISHED and t
    )
    assert finished.task == models.BackgroundTaskType.ENDPOINT_RECOVER
    assert task.id in [t.id for t in sdk.background_task.list().data]
    hook.stays_at(before + 3)


def test_send_example(sdk, app, endpoint, hook):
    sdk.event_type.create(
        models.EventTypeIn(
            name="lesson.ended", description="", schemas={"1": {"type": "object", "examples": [{"grade": 1}]}}
        )
    )
    out = sdk.endpoint.send_example(app.id, endpoint.id, models.EventExampleIn(event_type="lesson.ended"))
    request = hook.wait()[0]
    assert request.id == out.id and json.loads(request.body) == {"grade": 1}


def test_portal_access_gives_a_token_of_that_application(sdk, server, app):
    access = sdk.authentication.app_portal_access(app.id, models.AppPortalAccessIn())
    assert access.url.startswith("http")
    own = Svix(access.token, SvixOptions(server_url=server.url))
    assert own.application.get(app.id).id == app.id
    with pytest.raises(HttpError) as forbidden:
        own.application.list()
    assert forbidden.value.status_code == 403
    own.authentication.logout()


def test_deprecated_dashboard_access(sdk, app):
    if not hasattr(sdk.authentication, "dashboard_access"):
        pytest.skip("this version of the SDK has no dashboard_access")
    with pytest.warns(DeprecationWarning):
        assert sdk.authentication.dashboard_access(app.id).token


def test_health(sdk):
    sdk.health.get()


def test_errors_arrive_as_the_sdks_exceptions(sdk, app, server):
    with pytest.raises(HTTPValidationError) as invalid:
        sdk.message.create(app.id, models.MessageIn(event_type="not allowed!", payload={}))
    assert invalid.value.status_code == 422 and invalid.value.detail[0].loc[0] == "body"

    sdk.application.create(models.ApplicationIn(name="x", uid="taken"))
    with pytest.raises(HttpError) as conflict:
        sdk.application.create(models.ApplicationIn(name="y", uid="taken"))
    assert conflict.value.status_code == 409 and conflict.value.code == "conflict"

    with pytest.raises(HttpError) as unauthorized:
        Svix("wrong", SvixOptions(server_url=server.url)).application.list()
    assert unauthorized.value.status_code == 401 and unauthorized.value.code == "authentication_failed"


def test_pagination_by_the_sdk(sdk):
    made = [sdk.application.create(models.ApplicationIn(name=f"room {n}")).id for n in range(7)]
    seen, iterator = [], None
    while True:
        page = sdk.application.list(options("application", "ApplicationListOptions", limit=3, iterator=iterator))
        seen += [a.id for a in page.data]
        iterator = page.iterator
        if page.done:
            break
    assert seen == made


def test_the_asynchronous_client(server, hook):
    async def journey():
        client = SvixAsync(server.token(new_organization()), SvixOptions(server_url=server.url))
        app = await client.application.create(models.ApplicationIn(name="async"))
        endpoint = await client.endpoint.create(app.id, models.EndpointIn(url=hook.url))
        sent = await asyncio.gather(*(client.message.create(app.id, message(n)) for n in range(20)))
        secret = await client.endpoint.get_secret(app.id, endpoint.id)
        return [m.id for m in sent], secret.key

    ids, secret = asyncio.run(journey())
    requests = hook.wait(20)
    assert sorted(r.id for r in requests) == sorted(ids)
    for request in requests:
        verify(secret, request)


def test_dates_in_queries_may_carry_any_zone(sdk, app, endpoint, hook):
    out = sdk.message.create(app.id, message())
    hook.wait()
    for zone in (UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))):
        since = (datetime.now(UTC) - timedelta(hours=1)).astimezone(zone)
        found = sdk.message.list(app.id, options("message", "MessageListOptions", after=since))
        assert [m.id for m in found.data] == [out.id], since


def sdk_operations():
    """All operations of this SDK: method and path of each request its synchronous client can make."""
    found = set()
    for module in pkgutil.iter_modules(svix.api.__path__):
        source = inspect.getsource(importlib.import_module(f"svix.api.{module.name}")) if not module.ispkg else ""
        for method, path in re.findall(r'method="(\w+)",\s*path="([^"]+)"', source):
            found.add((method.upper(), without_names(path)))
    return found


def test_every_operation_was_driven(request):
    """Last in this file: nothing of the SDK for our paths is left out."""
    selected = [item for item in request.session.items if item.fspath == request.node.fspath]
    if len(selected) < 15:
        pytest.skip("only a part of this file was selected")
    ours = {(o.method, without_names(f"/api/v1{o.path}")) for o in OPERATIONS}
    wanted = ours & sdk_operations()
    assert len(wanted) >= 39, "the SDK's source is not read as expected"
    assert wanted - CALLED == set()
