"""Lists: pages in both directions, windows of time, filters."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from conftest import connect
from support.api import assert_invalid, eventually, instant, iso
from support.receiver import Answer

LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def crowd(server, receiver):
    """Eleven of everything that a list can show, in the order they were made."""
    api, hook = connect(server), receiver.hook()
    apps = [api.app(name=f"room {n}")["id"] for n in range(11)]
    app = apps[0]
    types = sorted(f"{LETTERS[n + 10]}.type" for n in range(11))
    for name in random.sample(types, len(types)):
        api.event_type(name)
    endpoints = [api.endpoint(app, hook.url, description=str(n))["id"] for n in range(11)]
    messages = [api.send(app, payload={"n": n})["id"] for n in range(11)]
    eventually(lambda: len(hook.received) == 121, 20, "not all deliveries arrived")
    eventually(lambda: len(api.get(f"/app/{app}/attempt/msg/{messages[-1]}").json()["data"]) == 11)
    first = endpoints[0]
    eventually(lambda: len(api.get(f"/app/{app}/attempt/endpoint/{first}").json()["data"]) == 11)
    lists = {
        "applications": ("/app", {}, apps),
        "applications descending": ("/app", {"order": "descending"}, apps[::-1]),
        "event types": ("/event-type", {}, types),
        "endpoints": (f"/app/{app}/endpoint", {}, endpoints[::-1]),
        "endpoints ascending": (f"/app/{app}/endpoint", {"order": "ascending"}, endpoints),
        "messages": (f"/app/{app}/msg", {}, messages[::-1]),
        "attempts by endpoint": (f"/app/{app}/attempt/endpoint/{first}", {}, None),
        "attempts by message": (f"/app/{app}/attempt/msg/{messages[0]}", {}, None),
        "attempted messages": (f"/app/{app}/endpoint/{first}/msg", {}, messages[::-1]),
        "attempted destinations": (f"/app/{app}/msg/{messages[0]}/endpoint", {}, sorted(endpoints)),
    }
    return api, lists


LISTS = [
    "applications",
    "applications descending",
    "event types",
    "endpoints",
    "endpoints ascending",
    "messages",
    "attempts by endpoint",
    "attempts by message",
    "attempted messages",
    "attempted destinations",
]


def key(item):
    return item.get("id") or item["name"]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("limit", [1, 3, 10, 11, 12])
def test_every_list_pages_forward_and_back_without_gaps(crowd, name, limit):
    api, lists = crowd
    path, query, expected = lists[name]
    whole = api.get(path, **query).json()
    keys = [key(item) for item in whole["data"]]
    assert len(keys) == 11 and whole["done"] is True
    if expected is not None:
        assert keys == expected
    else:
        assert keys == sorted(keys, reverse=True)

    pages, iterator = [], None
    for number in range(12):
        page = api.get(path, limit=limit, **query, **({"iterator": iterator} if iterator else {})).json()
        pages.append(page)
        assert [key(i) for i in page["data"]] == keys[number * limit : (number + 1) * limit]
        assert page["done"] is ((number + 1) * limit >= 11)
        assert page["iterator"] == key(page["data"][-1]) and page["prevIterator"] == "-" + key(page["data"][0])
        iterator = page["iterator"]
        if page["done"]:
            break

    # And back: each page just before the first item of the one that follows it, in the list's own order.
    position = keys.index(key(pages[-1]["data"][0]))
    back = pages[-1]["prevIterator"]
    while position > 0:
        page = api.get(path, limit=limit, iterator=back, **query).json()
        start = max(0, position - limit)
        assert [key(i) for i in page["data"]] == keys[start:position]
        assert page["done"] is (start == 0), "done speaks of the direction asked for"
        back, position = page["prevIterator"], start


@pytest.mark.parametrize("name", LISTS)
def test_the_ends_of_every_list(crowd, name):
    api, lists = crowd
    path, query, _ = lists[name]
    keys = [key(item) for item in api.get(path, **query).json()["data"]]
    past = api.get(path, iterator=keys[-1], **query).json()
    assert past["data"] == [] and past["done"] is True and past["iterator"] is None and "prevIterator" not in past
    before = api.get(path, iterator="-" + keys[0], **query).json()
    assert before["data"] == [] and before["done"] is True
    nothing = api.get(path, limit=0, **query)
    assert nothing.status_code == 200 and nothing.json()["data"] == []
    assert api.get(path, limit=250, **query).status_code == 200


def test_an_iterator_may_name_an_item_that_is_gone(api):
    apps = [api.app()["id"] for _ in range(3)]
    api.delete(f"/app/{apps[1]}")
    assert [a["id"] for a in api.get("/app", iterator=apps[1]).json()["data"]] == [apps[2]]
    assert [a["id"] for a in api.get("/app", iterator="-" + apps[1]).json()["data"]] == [apps[0]]


def test_items_made_one_after_the_other_keep_their_order(api):
    app = api.app()["id"]
    made = [m["message"]["id"] for m in api.batch(app, [{"eventType": "a.b", "payload": {}} for _ in range(200)])]
    assert made == sorted(made)
    assert [m["id"] for page in api.pages(f"/app/{app}/msg", limit=77) for m in page] == made[::-1]


def test_pages_stay_right_while_new_items_arrive(api):
    app = api.app()["id"]
    old = [api.send(app)["id"] for _ in range(10)]
    first = api.get(f"/app/{app}/msg", limit=4).json()
    for _ in range(5):
        api.send(app)
    second = api.get(f"/app/{app}/msg", limit=4, iterator=first["iterator"]).json()
    assert [m["id"] for m in first["data"] + second["data"]] == old[::-1][:8]


# --- windows of time -------------------------------------------------------------------------------------------------


def test_windows_of_time(api):
    app = api.app()["id"]
    messages = [api.send(app) for _ in range(5)]
    ids = [m["id"] for m in messages]

    def found(**query):
        return [m["id"] for m in api.get(f"/app/{app}/msg", **query).json()["data"]]

    for n, message in enumerate(messages):
        at = message["timestamp"]
        # Comparison is on the ids' ticks of 4 ms: `after` includes the item's own tick, `before` leaves it out.
        assert ids[n] in found(after=at) and ids[n] not in found(before=at)
        assert set(ids[n:]) <= set(found(after=at))
        assert set(found(before=at)) <= set(ids[:n])
        assert ids[n] in found(before=iso(instant(at) + timedelta(milliseconds=8)))
        assert ids[n] not in found(after=iso(instant(at) + timedelta(milliseconds=8)))
    whole = found(
        after=iso(instant(messages[0]["timestamp"]) - timedelta(minutes=1)),
        before=iso(instant(messages[-1]["timestamp"]) + timedelta(minutes=1)),
    )
    assert whole == ids[::-1]


def test_after_alone_gives_the_oldest_items_newest_first(api):
    app = api.app()["id"]
    messages = [api.send(app) for _ in range(5)]
    ids = [m["id"] for m in messages]
    since = iso(instant(messages[0]["timestamp"]) - timedelta(minutes=1))
    page = api.get(f"/app/{app}/msg", after=since, limit=2).json()
    assert [m["id"] for m in page["data"]] == [ids[1], ids[0]] and page["done"] is False
    forward = api.get(f"/app/{app}/msg", iterator=page["prevIterator"], limit=2).json()
    assert [m["id"] for m in forward["data"]] == [ids[3], ids[2]]


def test_windows_reach_ninety_days(api):
    app = api.app()["id"]
    api.send(app)
    assert api.get(f"/app/{app}/msg", after="2020-01-01T00:00:00Z").json()["data"] == []
    assert api.get(f"/app/{app}/msg", before="2020-01-01T00:00:00Z").json()["data"] == []


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y-%m-%d %H:%M:%SZ",
        "%Y-%m-%d %H:%M:%S UTC",
        "%Y-%m-%dT%H:%M:%S.123456Z",
        "%Y-%m-%dT%H:%M:%S%%2B00:00",
    ],
)
def test_dates_may_be_written_in_several_ways(api, form):
    app = api.app()["id"]
    sent = api.send(app)["id"]
    now = datetime.now(UTC)
    yesterday, tomorrow = ((now + timedelta(days=d)).strftime(form) for d in (-1, 1))
    query = f"after={yesterday}&before={tomorrow}"
    assert [m["id"] for m in api.get(f"/app/{app}/msg?{query}").json()["data"]] == [sent]
    assert api.get(f"/app/{app}/msg?before={yesterday}").json()["data"] == []


# --- filters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "event_types=a.a,b.b",
        "event_types=a.a&event_types=b.b",
        "event_types[]=a.a&event_types[]=b.b",
        "event_types[0]=a.a&event_types[1]=b.b",
        "event_types%5B%5D=a.a&event_types=b.b",
    ],
)
def test_event_types_may_be_listed_in_every_spelling(api, hook, query):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    wanted = {api.send(app, name)["id"] for name in ("a.a", "b.b", "c.c")} - {api.send(app, "c.c")["id"]}
    messages = api.get(f"/app/{app}/msg?{query}").json()["data"]
    assert {m["eventType"] for m in messages} == {"a.a", "b.b"}
    assert {m["id"] for m in messages} <= wanted
    hook.wait(4)
    for path in (f"/app/{app}/attempt/endpoint/{endpoint}", f"/app/{app}/endpoint/{endpoint}/msg"):
        eventually(lambda: len(api.get(f"{path}?{query}").json()["data"]) == 2)


def test_channel_filters(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    one = api.send(app, channels=["room-1", "room-2"])["id"]
    api.send(app, channels=["room-3"])
    api.send(app)
    hook.wait(3)
    assert [m["id"] for m in api.get(f"/app/{app}/msg", channel="room-2").json()["data"]] == [one]
    api.attempts(app, one)
    for path in (f"/app/{app}/endpoint/{endpoint}/msg", f"/app/{app}/attempt/endpoint/{endpoint}"):
        listed = eventually(lambda: api.get(path, channel="room-2").json()["data"])
        assert [m.get("msgId", m["id"]) for m in listed] == [one]


def test_tag_filters(api, hook):
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    one = api.send(app, tags=["spring/2", r"a\b#c"])["id"]
    two = api.batch(app, [{"eventType": "a.b", "payload": {}, "tags": ["spring/2"]}, {"eventType": "a.b", "payload": {}}])
    two = two[0]["message"]["id"]
    hook.wait(3)
    api.attempts(app, one)
    api.attempts(app, two)
    for path in (f"/app/{app}/msg", f"/app/{app}/endpoint/{endpoint}/msg", f"/app/{app}/attempt/endpoint/{endpoint}"):
        for tag, found in (("spring/2", {one, two}), (r"a\b#c", {one}), ("spring", set())):
            listed = eventually(lambda: (api.get(path, tag=tag).json(),))[0]["data"]
            assert {m.get("msgId", m["id"]) for m in listed} == found, (path, tag)
    assert len(api.get(f"/app/{app}/attempt/msg/{one}", tag="spring/2").json()["data"]) == 1
    assert api.get(f"/app/{app}/attempt/msg/{one}", tag="other").json()["data"] == []
    page = api.get(f"/app/{app}/msg", tag="spring/2", limit=1).json()
    assert [m["id"] for m in page["data"]] == [two] and page["done"] is False
    rest = api.get(f"/app/{app}/msg", tag="spring/2", iterator=page["iterator"]).json()
    assert [m["id"] for m in rest["data"]] == [one] and rest["done"] is True
    assert_invalid(api.get(f"/app/{app}/msg", tag="a b"), where="query")


def test_status_filters(api, receiver):
    app = api.app()["id"]
    good, bad, flaky = receiver.hook(), receiver.hook(), receiver.hook()
    bad.respond(404)
    flaky.respond(500, 200)
    ids = {name: api.endpoint(app, h.url)["id"] for name, h in (("good", good), ("bad", bad), ("flaky", flaky))}
    message = api.send(app)["id"]
    api.attempts(app, message, 6)

    def statuses(**query):
        return sorted(
            a["responseStatusCode"] for a in api.get(f"/app/{app}/attempt/msg/{message}", **query).json()["data"]
        )

    assert statuses() == [200, 200, 404, 404, 404, 500]
    assert statuses(status=0) == [200, 200]
    assert statuses(status=2) == [404, 404, 404, 500]
    assert statuses(status=1) == statuses(status=3) == []
    assert statuses(status_code_class=400) == [404, 404, 404]
    assert statuses(status_code_class=500) == [500]
    assert statuses(status_code_class=200, endpoint_id=ids["good"]) == [200]
    assert statuses(endpoint_id=ids["bad"]) == [404, 404, 404]

    def attempted(endpoint, **query):
        return [m["id"] for m in api.get(f"/app/{app}/endpoint/{ids[endpoint]}/msg", **query).json()["data"]]

    assert attempted("good", status=0) == attempted("flaky", status=0) == attempted("bad", status=2) == [message]
    assert attempted("good", status=2) == attempted("bad", status=0) == attempted("flaky", status=2) == []
    assert attempted("good", status=1) == attempted("bad", status=3) == []


def test_a_message_that_waits_for_its_next_try_is_sending(api, hook):
    hook.respond(500)
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url, retrySchedule=["1h"])["id"]
    message = api.send(app)["id"]
    attempt = api.attempts(app, message)[0]
    assert (attempt["status"], attempt["statusText"]) == (2, "fail")

    path = f"/app/{app}/endpoint/{endpoint}/msg"
    item = eventually(lambda: api.get(path, status=3).json()["data"])[0]
    assert (item["id"], item["status"], item["statusText"]) == (message, 3, "sending")
    wait = instant(item["nextAttempt"]) - instant(attempt["timestamp"])
    assert timedelta(minutes=47) < wait < timedelta(minutes=73)
    assert api.get(path, status=2).json()["data"] == []
    destination = api.get(f"/app/{app}/msg/{message}/endpoint").json()["data"][0]
    assert (destination["status"], destination["statusText"]) == (2, "fail")
    assert destination["nextAttempt"] == item["nextAttempt"]


def test_content_is_left_out_on_demand(api, hook):
    hook.respond(Answer(200, body=b"thanks"))
    app = api.app()["id"]
    endpoint = api.endpoint(app, hook.url)["id"]
    message = api.send(app, payload={"a": 1})
    assert message["payload"] == {"a": 1}
    created = api.post(f"/app/{app}/msg?with_content=false", {"eventType": "a.b", "payload": {"a": 1}}).json()
    assert created["payload"] == {}
    hook.wait(2)
    attempt = api.attempts(app, message["id"])[0]
    assert attempt["response"] == "thanks"
    for path, with_content, without in (
        (f"/app/{app}/msg/{message['id']}", {"a": 1}, {}),
        (f"/app/{app}/msg", {"a": 1}, {}),
        (f"/app/{app}/endpoint/{endpoint}/msg", {"a": 1}, {}),
        (f"/app/{app}/attempt/msg/{message['id']}", "thanks", "{}"),
        (f"/app/{app}/attempt/endpoint/{endpoint}", "thanks", "{}"),
    ):

        def content(**query):
            body = api.get(path, **query).json()
            item = body["data"][-1] if "data" in body else body
            return item.get("payload", item.get("response"))

        assert content() == with_content and content(with_content="true") == with_content, path
        assert content(with_content="false") == without, path
