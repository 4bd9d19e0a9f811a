"""Canvas's API for tools: registration, tokens, subscriptions, and what reaches them. The tool is played by PyJWT."""

import base64
import json
import time
import uuid

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.api import assert_error, assert_invalid, eventually
from support.lti import ALL, GRANT, Account, Tool, capability, submission

CREATED = capability("assignment", "submission_created")
UNAUTHENTICATED = {"status": "unauthenticated", "errors": [{"message": "user authorization required"}]}
UNAUTHORIZED = {"error": "Unauthorized subscription"}


@pytest.fixture
def account(api):
    return Account(api)


def wanted(account, hook, **change):
    """A subscription to all of a root account."""
    fields = {
        "ContextId": account.uuid,
        "ContextType": "root_account",
        "EventTypes": ["submission_created", "plagiarism_resubmit"],
        "Format": "live-event",
        "TransportType": "https",
        "TransportMetadata": {"Url": hook.url},
        **change,
    }
    return {name: value for name, value in fields.items() if value is not None}


# Tokens.


def test_a_tool_gets_a_token_as_the_documentation_shows(account):
    tool = account.install()
    answer = tool.ask()
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "access_token": answer.json()["access_token"],
        "token_type": "bearer",
        "expires_in": "3600",
    }
    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    assert claims["iss"] == "Canvas" and claims["sub"] == tool.subject and claims["aud"] == ["127.0.0.1"]
    assert claims["exp"] - claims["iat"] == 3600 and claims["iat"] - claims["nbf"] == 30 and claims["jti"]
    assert claims["reg_key"] == tool.subject
    for place in ("/api/lti/authorize", "/api/lti/accounts/1/authorize", "/api/lti/courses/2/authorize"):
        assert tool.ask(url=tool.server + place).status_code == 200, place
    assert tool.ask(grant_type="authorization_code").status_code == 200


def test_a_grant_may_come_as_multipart_or_json(account):
    tool = account.install()
    parts = {"grant_type": (None, GRANT), "assertion": (None, tool.assertion())}
    assert tool.http.post(tool.authorize_url, files=parts).status_code == 200
    body = {"grant_type": GRANT, "assertion": tool.assertion()}
    assert tool.http.post(tool.authorize_url, json=body).status_code == 200


def hostile_assertions(tool, account, other):
    """Every one is signed by somebody who should not get a token, or says what it should not."""
    now = int(time.time())
    good = tool.assertion()
    head, body, _ = good.split(".")
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    yield "alg none", f"{none}.{body}."
    yield "alg none with a signature", f"{none}.{body}.{good.split('.')[2]}"
    yield "HS384", tool.assertion(algorithm="HS384")
    yield "RS256", tool.assertion(algorithm="RS256", key=private)
    # PyJWT refuses to sign with what looks like a key of another kind, so the text is changed a little.
    yield "HS256 with a public key", tool.assertion(key=base64.b64encode(pem).decode())
    yield "an empty secret", tool.assertion(key=" ")
    yield "the other tool's secret", tool.assertion(key=other.secret)
    yield "the vendor's secret", tool.assertion(key=tool.key["secret"])
    yield "somebody unknown", tool.assertion(sub=str(uuid.uuid4()))
    yield (
        "a developer key without a code",
        Tool(tool.server, int(tool.key["id"]), tool.key["secret"], account.uuid).assertion(),
    )
    yield "an iat in the future", tool.assertion(iat=now + 30)
    yield "an old iat", tool.assertion(iat=now - 400)
    yield "an exp that is over", tool.assertion(exp=now - 30)
    yield "an exp far ahead", tool.assertion(exp=now + 120)
    yield "another audience", tool.assertion(url="https://canvas.example/api/lti/accounts/1/authorize")
    yield "the audience of another path", tool.assertion(url=f"{tool.server}/api/lti/courses/1/authorize")
    yield "another port", tool.assertion(url=tool.authorize_url.replace(":", ":1", 2))
    for claim in ("sub", "aud", "exp", "iat", "jti"):
        yield f"no {claim}", tool.assertion(**{claim: None})
    yield "a jti that never ends", tool.assertion(jti="x" * 300)
    yield "times that are no numbers", tool.assertion(exp="soon")
    yield "a cut signature", good[:-4]
    yield "no JWT", "abc"
    yield "nothing", ""
    yield "a huge one", tool.assertion(more="x" * 20_000)
    critical = {"typ": "JWT", "crit": ["x"], "x": 1}
    claims = json.dumps(tool.claims()).encode()
    yield "an extension that has to be understood", jwt.PyJWS().encode(claims, tool.secret, "HS256", critical)


def test_hostile_assertions_are_refused_with_one_answer_and_no_hint(account, api):
    tool, other = account.install(), account.install()
    for what, assertion in hostile_assertions(tool, account, other):
        answer = tool.http.post(tool.authorize_url, data={"grant_type": GRANT, "assertion": assertion})
        assert (answer.status_code, answer.text) == (400, '{"error":"invalid_grant"}'), what
    for form in (
        {},
        {"grant_type": GRANT},
        {"assertion": tool.assertion()},
        {"grant_type": "password", "assertion": tool.assertion()},
    ):
        answer = tool.http.post(tool.authorize_url, data=form)
        assert (answer.status_code, answer.text) == (400, '{"error":"invalid_grant"}'), form


def test_an_assertion_is_good_once_also_after_a_restart(new_server):
    from conftest import connect

    server = new_server().start()
    tool = Account(connect(server)).install()
    assertion = tool.assertion()
    # Refused for another reason, it is not used up.
    assert tool.ask(assertion, grant_type="password").status_code == 400
    assert tool.ask(assertion).status_code == 200
    refused = tool.ask(assertion)
    assert (refused.status_code, refused.json()) == (400, {"error": "invalid_grant"})
    jti = jwt.decode(assertion, options={"verify_signature": False})["jti"]
    assert tool.ask(tool.assertion(jti=jti)).status_code == 400, "another assertion with the same id"
    server.stop()
    server.start()
    assert tool.ask(assertion).status_code == 400
    assert tool.ask().status_code == 200


def test_a_tool_gets_no_token_in_another_account(api):
    mine, theirs = Account(api), Account(api, uuid="theirs", id="20990000000000001")
    tool = mine.install()
    for account in (theirs.uuid, theirs.id, theirs.names["id"]):
        url = f"{tool.server}/api/lti/accounts/{account}/authorize"
        assert tool.ask(url=url).json() == {"error": "invalid_grant"}, account
    for account in (mine.uuid, mine.id, mine.names["id"]):
        assert tool.ask(url=f"{tool.server}/api/lti/accounts/{account}/authorize").status_code == 200, account


def test_tools_and_keys_that_are_switched_off_get_nothing(account):
    tool = account.install()
    assert tool.call("GET").status_code == 200
    for path in (f"tool-proxy/{tool.subject}", f"developer-key/{tool.key['id']}"):
        off, on = (
            ({"state": "disabled"}, {"state": "active"}) if "tool" in path else ({"active": False}, {"active": True})
        )
        assert account.api.patch(f"{account.path}/{path}", off).status_code == 200
        assert tool.ask().json() == {"error": "invalid_grant"}
        refused = tool.call("GET")
        assert (refused.status_code, refused.json()) == (401, UNAUTHENTICATED)
        assert account.api.patch(f"{account.path}/{path}", on).status_code == 200
        assert tool.call("GET").status_code == 200
    assert account.api.delete(f"{account.path}/developer-key/{tool.key['id']}").status_code == 204
    assert tool.ask().json() == {"error": "invalid_grant"}


def test_a_secret_that_was_made_anew_ends_the_old_one(account):
    tool = account.install()
    made = account.api.patch(f"{account.path}/tool-proxy/{tool.subject}", {"newSecret": True}).json()
    assert tool.ask().status_code == 400
    tool.secret = made["sharedSecret"]
    assert tool.ask().status_code == 200
    assert "sharedSecret" not in account.api.get(f"{account.path}/tool-proxy/{tool.subject}").json()


# Calls with tokens that are not good.


def test_calls_without_a_good_token_are_refused_as_documented(account, api):
    tool = account.install()
    own = tool.token()
    head, body, signature = own.split(".")
    claims = jwt.decode(own, options={"verify_signature": False})
    forged = jwt.encode(claims, "a secret of somebody else", algorithm="HS256")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    for token in (None, "x", own[:-3], f"{none}.{body}.", forged, api.token, tool.assertion()):
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        for method, path in (("GET", ""), ("POST", ""), ("GET", "/x"), ("PUT", "/x"), ("DELETE", "/x")):
            answer = tool.http.request(method, f"/api/lti/subscriptions{path}", headers=headers)
            assert (answer.status_code, answer.json()) == (401, UNAUTHENTICATED), token
            assert answer.headers["www-authenticate"] == 'Bearer realm="canvas-lms"'
    assert tool.http.get("/api/lti/subscriptions", params={"access_token": own}).status_code == 200
    # A tool's token opens nothing of the other API.
    assert_error(api.with_token(own).get(f"/app/{account.id}"), 401, "authentication_failed")


def test_the_contract_decides_which_methods_a_tool_may_use(account, hook):
    reads = [{"service": "vnd.Canvas.webhooksSubscription", "action": ["GET"]}]
    tool = account.install(services=reads)
    assert tool.call("GET").status_code == 200
    assert tool.subscribe(**wanted(account, hook)).json() == UNAUTHENTICATED
    assert tool.call("DELETE", "/x").status_code == 401
    assert (
        account.install(services=[{"service": "vnd.Canvas.submission", "action": ["GET"]}]).call("GET").status_code
        == 401
    )


# Subscriptions.


def test_a_subscription_is_created_shown_changed_listed_and_deleted(account, hook):
    tool = account.install()
    made = tool.subscribed(**wanted(account, hook))
    assert made["Id"] == str(uuid.UUID(made["Id"]))
    expected = {
        "Id": made["Id"],
        "ContextId": account.uuid,
        "ContextType": "root_account",
        "EventTypes": ["plagiarism_resubmit", "submission_created"],
        "Format": "live-event",
        "TransportType": "https",
        "TransportMetadata": {"Url": hook.url},
        "RootAccountId": account.names["id"],
        "RootAccountUUID": account.uuid,
        "DeveloperKey": tool.key["id"],
        "State": "Active",
        "CreatedAt": made["CreatedAt"],
        "UpdatedAt": made["UpdatedAt"],
    }
    assert made == expected
    assert tool.call("GET", f"/{made['Id']}").json() == made
    listed = tool.call("GET")
    assert listed.json() == [made] and "endkey" not in listed.headers

    change = wanted(
        account, hook, EventTypes=["quiz_submitted"], ContextType="course", ContextId="45", Format="caliper"
    )
    changed = tool.call("PUT", f"/{made['Id']}", json={"subscription": change})
    assert changed.status_code == 200
    new = {"EventTypes": ["quiz_submitted"], "ContextType": "course", "ContextId": "45", "Format": "caliper"}
    assert changed.json() == {**made, **new, "UpdatedAt": changed.json()["UpdatedAt"]}

    removed = tool.call("DELETE", f"/{made['Id']}")
    assert (removed.status_code, removed.json()) == (200, {})
    for method in ("GET", "DELETE"):
        gone = tool.call(method, f"/{made['Id']}")
        assert (gone.status_code, gone.json()) == (404, {})
    assert tool.call("PUT", f"/{made['Id']}", json={"subscription": change}).status_code == 404
    assert tool.call("GET").json() == []


def test_rails_spelling_is_taken(account, hook):
    tool = account.install()
    form = {
        "subscription[ContextId]": account.uuid,
        "subscription[ContextType]": "ROOT_ACCOUNT",
        "subscription[EventTypes][]": ["SUBMISSION_CREATED", "QUIZ_SUBMITTED"],
        "subscription[Format]": "live-event",
        "subscription[TransportType]": "https",
        "subscription[TransportMetadata][Url]": hook.url,
        "subscription[SomethingNew]": "x",
    }
    made = tool.call("POST", data=form)
    assert made.status_code == 200, made.text
    assert made.json()["EventTypes"] == ["quiz_submitted", "submission_created"]
    assert made.json()["ContextType"] == "root_account"
    assert tool.call("PUT", f"/{made.json()['Id']}", data=form).status_code == 200


def test_the_capability_for_all_opens_every_name_also_in_capitals(account, hook):
    tool = account.install([ALL])
    newer = ["Quiz_Export_Complete", "SUBMISSION_CREATED"]
    made = tool.subscribed(**wanted(account, hook, EventTypes=newer))
    assert made["EventTypes"] == ["quiz_export_complete", "submission_created"]
    account.publish("quiz_export_complete", {"assignment": {}})
    assert json.loads(hook.wait()[0].body)["metadata"]["event_name"] == "quiz_export_complete"
    for name in ("", "a b", "x" * 300):
        assert tool.subscribe(**wanted(account, hook, EventTypes=[name])).json() == UNAUTHORIZED
    # Caliper has no form of it.
    answer = tool.subscribe(**wanted(account, hook, EventTypes=newer, Format="caliper"))
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid subscription")
    caliper = wanted(account, hook, EventTypes=["plagiarism_resubmit", "submission_created"], Format="caliper")
    assert tool.subscribe(**caliper).status_code == 200


def test_what_is_wrong_is_answered_as_documented(account, hook):
    tool = account.install([CREATED])
    ok = wanted(account, hook, EventTypes=["submission_created"])
    assert tool.subscribe(**ok).status_code == 200
    for nothing in ({}, {"subscription": {}}, {"subscription": None}, {"other": 1}):
        answer = tool.call("POST", json=nothing)
        assert (answer.status_code, answer.json()) == (400, {"errors": [{"message": "subscription is missing"}]})
    for change in (
        {"EventTypes": ["plagiarism_resubmit"]},
        {"EventTypes": ["submission_created", "grade_change"]},
        {"EventTypes": ["no_such_event"]},
        {"EventTypes": ["all"]},
        {"EventTypes": ["course_created"]},
        {"EventTypes": [""]},
        {"ContextId": "another-uuid"},
        {"ContextId": "99990000000000001"},
        {"AssociatedIntegrationId": "another"},
        # Capabilities are looked at first.
        {"EventTypes": ["grade_change"], "ContextType": "section"},
    ):
        answer = tool.subscribe(**{**ok, **change})
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED), change
    for field, values in {
        "EventTypes": [None, []],
        "ContextType": [None, "section", ""],
        "ContextId": [None, ""],
        "Format": [None, "xml", "standard"],
        "TransportType": [None, "http", "ftp"],
        "TransportMetadata": [
            None,
            {},
            {"Url": ""},
            {"Url": "no url"},
            {"Url": "ftp://x"},
            {"Url": "http://10.0.0.1/"},
        ],
    }.items():
        for value in values:
            answer = tool.subscribe(**{name: v for name, v in {**ok, field: value}.items() if v is not None})
            assert answer.status_code == 400 and answer.json()["error"] == "Invalid subscription", (field, value)
            assert answer.json()["detail"]
    assert len(tool.call("GET").json()) == 1


def test_one_capability_is_enough_for_its_event_type_whatever_the_context(account, hook):
    tool = account.install([capability("assignment", "attachment_created")])
    for context, id in (("root_account", account.uuid), ("account", "sub"), ("course", "7"), ("assignment", "8")):
        change = {"EventTypes": ["ATTACHMENT_CREATED"], "ContextType": context, "ContextId": id}
        assert tool.subscribe(**wanted(account, hook, **change)).status_code == 200, context
    every = account.install([ALL])
    assert every.subscribed(**wanted(account, hook, EventTypes=["all"]))["EventTypes"] == ["all"]
    assert every.subscribe(**wanted(account, hook, EventTypes=["course_created", "grade_change"])).status_code == 200


def test_a_list_has_pages_of_a_hundred(account, hook):
    tool = account.install()
    made = [tool.subscribed(**wanted(account, hook, ContextType="course", ContextId=str(n)))["Id"] for n in range(205)]
    pages, start = [], None
    while True:
        answer = tool.call("GET", headers={"StartKey": start} if start else {})
        pages.append([s["Id"] for s in answer.json()])
        start = answer.headers.get("EndKey")
        if start is None:
            break
        key = json.loads(start)
        assert key == {"Id": pages[-1][-1], "DeveloperKey": tool.key["id"]}
        # The one behind which the next page begins may be gone by then.
        if len(pages) == 1:
            assert tool.call("DELETE", f"/{key['Id']}").status_code == 200
    assert [len(page) for page in pages] == [100, 100, 5]
    assert sorted(sum(pages, [])) == sorted(made)
    for odd in ("{", "[]", '{"Id": 3}', '{"Id": "a b"}'):
        assert tool.call("GET", headers={"StartKey": odd}).status_code == 400


def test_a_subscription_is_an_endpoint_of_the_application(account, hook):
    tool = account.install()
    made = tool.subscribed(**wanted(account, hook))
    (endpoint,) = account.api.get(f"/app/{account.id}/endpoint").json()["data"]
    assert endpoint["uid"] == made["Id"] and endpoint["url"] == hook.url and endpoint["format"] == "live-event"
    assert endpoint["channels"] == [f"root_account:{account.uuid}"]
    assert endpoint["eventTypes"] == made["EventTypes"]
    assert endpoint["subscription"]["id"] == made["Id"] and endpoint["subscription"]["tool"] == tool.subject
    assert endpoint["retrySchedule"] == ["30s"] * 5
    # A PUT of Svix's API keeps it a subscription.
    changed = account.api.put(
        f"/app/{account.id}/endpoint/{endpoint['id']}", {"url": hook.url, "channels": ["course:1"]}
    )
    assert changed.json()["subscription"]["id"] == made["Id"]
    assert tool.call("GET", f"/{made['Id']}").json()["EventTypes"] == ["all"]
    # What a person wrote into it stays when the tool changes it.
    mine = {"filter": ".body.late == false", "description": "Ask before you change it", "throttleRate": 5}
    assert account.api.patch(f"/app/{account.id}/endpoint/{endpoint['id']}", mine).status_code == 200
    again = tool.call("PUT", f"/{made['Id']}", json={"subscription": wanted(account, hook)})
    assert again.json()["EventTypes"] == made["EventTypes"]
    shown = account.api.get(f"/app/{account.id}/endpoint/{endpoint['id']}").json()
    assert {name: shown[name] for name in mine} == mine and shown["channels"] == endpoint["channels"]
    # Switched off by a person, the tool sees it.
    account.api.patch(f"/app/{account.id}/endpoint/{endpoint['id']}", {"disabled": True})
    assert tool.call("GET").json()[0]["State"] == "Inactive"
    account.api.delete(f"/app/{account.id}/endpoint/{endpoint['id']}")
    assert tool.call("GET").json() == []


# Delivery.


def test_each_delivery_names_its_subscription_and_is_logged_and_replayed(account, hook):
    tool = account.install()
    made = tool.subscribed(**wanted(account, hook))
    hook.respond(500, 200)
    body = submission()
    message = account.publish("submission_created", body)
    (first,) = hook.wait(1)
    sent = json.loads(first.body)
    assert first.headers["content-type"] == "application/json"
    assert sent["subscription"] == {"id": made["Id"]} and list(sent) == ["metadata", "body", "subscription"]
    assert sent["body"] == body and sent["metadata"]["event_time"] == "2026-05-01T08:30:05.120Z"
    (failed,) = account.api.attempts(account.id, message, 1)
    assert failed["responseStatusCode"] == 500
    endpoint = account.api.get(f"/app/{account.id}/endpoint/{made['Id']}").json()["id"]
    assert account.api.post(f"/app/{account.id}/msg/{message}/endpoint/{endpoint}/resend").status_code == 202
    again = hook.wait(2)[1]
    assert json.loads(again.body) == sent and again.id == first.id


@pytest.mark.parametrize(
    ("context", "id", "channels", "fits"),
    [
        ("assignment", "565", ["assignment:565"], True),
        ("assignment", "565", ["assignment:21070000000000565"], True),
        ("assignment", "21070000000000565", ["assignment:565"], True),
        ("assignment", "565", ["assignment:20990000000000565"], False),
        ("assignment", "565", ["course:565"], False),
        ("course", "45", ["course:45", "assignment:1"], True),
        ("course", "45", ["course:450"], False),
        ("account", "sub-uuid", ["account:sub-uuid"], True),
        ("account", "sub-uuid", ["account:other"], False),
        ("account", "the-root", [], True),
        ("root_account", "21070000000000001", ["course:1"], True),
    ],
)
def test_a_subscription_gets_the_events_of_its_context(api, hook, context, id, channels, fits):
    account = Account(api, uuid="the-root", id="21070000000000001")
    tool = account.install()
    tool.subscribed(**wanted(account, hook, ContextType=context, ContextId=id))
    account.publish("submission_created", submission(), channels)
    # Of another type: never.
    account.publish("quiz_submitted", {"submission_id": "1", "quiz_id": "2"}, channels)
    if fits:
        (got,) = hook.wait(1)
        assert json.loads(got.body)["metadata"]["event_name"] == "submission_created"
        hook.stays_at(1, 0.2)
    else:
        hook.stays_at(0, 0.3)


def test_one_message_per_subscription_without_dedup(account, receiver):
    tool, hook = account.install(), receiver.hook()
    ids = {tool.subscribed(**wanted(account, hook))["Id"] for _ in range(3)}
    account.publish("submission_created", submission())
    account.publish("submission_created", submission())
    got = hook.wait(6)
    named = sorted(json.loads(r.body)["subscription"]["id"] for r in got)
    assert named == sorted(list(ids) * 2)


def test_caliper_is_sent_to_those_who_asked_for_it(account, hook):
    tool = account.install()
    made = tool.subscribed(**wanted(account, hook, Format="caliper", EventTypes=["submission_created"]))
    account.publish("submission_created", submission(), user_id="21070000000000001", hostname="lms.example")
    (got,) = hook.wait(1)
    sent = json.loads(got.body)
    assert sent["dataVersion"] == "http://purl.imsglobal.org/ctx/caliper/v1p1"
    assert sent["data"][0]["type"] == "AssignableEvent" and sent["subscription"] == {"id": made["Id"]}


# Two tools, two accounts.


def test_nothing_of_one_tool_or_account_is_seen_by_or_sent_to_another(api, receiver):
    accounts = [Account(api), Account(api)]
    tools = [account.install() for account in accounts for _ in range(2)]
    hooks = [receiver.hook() for _ in tools]
    owner = [accounts[0], accounts[0], accounts[1], accounts[1]]
    made = [t.subscribed(**wanted(a, h)) for t, a, h in zip(tools, owner, hooks, strict=True)]
    for i, tool in enumerate(tools):
        assert [s["Id"] for s in tool.call("GET").json()] == [made[i]["Id"]]
        for j, other in enumerate(made):
            if i == j:
                continue
            path, body = f"/{other['Id']}", {"subscription": wanted(owner[i], hooks[i])}
            for answer in (tool.call("GET", path), tool.call("PUT", path, json=body), tool.call("DELETE", path)):
                assert (answer.status_code, answer.json()) == (404, {})
    # The other account's contexts are not there.
    crossing = tools[0].subscribe(**wanted(accounts[1], hooks[0]))
    assert (crossing.status_code, crossing.json()) == (401, UNAUTHORIZED)
    accounts[0].publish("submission_created", submission())
    for hook in hooks[:2]:
        hook.wait(1)
    for hook in hooks[2:]:
        hook.stays_at(0, 0.2)
    # A token of one vendor's tool does not become another's by naming it.
    forged = Tool(tools[0].server, tools[1].subject, tools[0].secret, accounts[0].uuid)
    assert forged.ask().json() == {"error": "invalid_grant"}


def test_a_removed_tool_takes_its_subscriptions_with_it(account, hook):
    tool, other = account.install(), account.install()
    tool.subscribed(**wanted(account, hook))
    stays = other.subscribed(**wanted(account, hook, ContextType="course", ContextId="1"))
    assert account.api.delete(f"{account.path}/tool-proxy/{tool.subject}").status_code == 204
    left = account.api.get(f"/app/{account.id}/endpoint").json()["data"]
    assert [e["uid"] for e in left] == [stays["Id"]]
    assert tool.call("GET").status_code == 401 and tool.ask().status_code == 400


# Registration.


def proxy(hook, half="ab" * 64, **change):
    """What the reference tool of the plagiarism platform sends, with subscriptions in its contract."""
    service = {"@type": "RestServiceProfile"}
    return {
        "@context": ["http://purl.imsglobal.org/ctx/lti/v2/ToolProxy"],
        "@type": "ToolProxy",
        "lti_version": "LTI-2p0",
        "enabled_capability": ["Security.splitSecret", "Canvas.placements.similarityDetection", CREATED],
        "security_contract": {
            "tp_half_shared_secret": half,
            "tool_service": [
                {**service, "service": "vnd.Canvas.submission", "action": ["GET"]},
                {**service, "service": "vnd.Canvas.OriginalityReport", "action": ["GET", "POST", "PUT"]},
                {**service, "service": "vnd.Canvas.webhooksSubscription", "action": ["POST", "GET", "PUT", "DELETE"]},
            ],
        },
        "tool_profile": {
            "product_instance": {"product_info": {"product_name": {"default_value": "Similarity"}}},
            "service_offered": [
                {
                    "@type": "RestService",
                    "@id": "http://tool.example/lti/v2/services#vnd.Canvas.SubmissionEvent",
                    "action": ["POST"],
                    "endpoint": hook.url,
                }
            ],
        },
        **change,
    }


PROXY = {"content-type": "application/vnd.ims.lti.v2.toolproxy+json"}


def test_a_tool_registers_itself_and_is_subscribed_to_what_it_checks(account, hook):
    key = account.key()
    account.api.patch(f"{account.path}/account", {"platformUrl": "https://lms.example"})
    made = account.api.post(f"{account.path}/registration").json()
    form = made["form"]
    assert form["lti_message_type"] == "ToolProxyRegistrationRequest" and form["lti_version"] == "LTI-2p0"
    vendor = Tool(account.api.base, key["id"], key["secret"], account.uuid)
    url = form["oauth2_access_token_url"]
    # Without the code, and with somebody else's, a vendor gets nothing.
    assert vendor.ask(url=url).status_code == 400
    assert vendor.ask(url=url, code=str(uuid.uuid4())).status_code == 400
    granted = vendor.ask(url=url, code=form["reg_key"])
    assert granted.status_code == 200, granted.text
    bearer = {"authorization": f"Bearer {granted.json()['access_token']}"}

    assert httpx.get(form["tc_profile_url"]).status_code == 401
    answer = httpx.get(form["tc_profile_url"], headers=bearer)
    assert answer.headers["content-type"] == "application/vnd.ims.lti.v2.toolconsumerprofile+json"
    profile = answer.json()
    assert profile["@type"] == "ToolConsumerProfile" and profile["lti_version"] == "LTI-2p0"
    assert {"Canvas.placements.similarityDetection", "Security.splitSecret", ALL} <= set(profile["capability_offered"])
    services = {s["@id"].split("#")[1]: s for s in profile["service_offered"]}
    assert services["vnd.Canvas.webhooksSubscription"]["endpoint"] == f"{account.api.base}/api/lti/subscriptions"
    assert services["vnd.Canvas.submission"]["endpoint"].startswith("https://lms.example/api/lti/assignments/")
    to = next(
        s["endpoint"]
        for s in profile["service_offered"]
        if PROXY["content-type"] in s["format"] and "POST" in s["action"]
    )
    assert httpx.get(profile["@id"], headers=bearer).json() == profile

    installed = httpx.post(to, json=proxy(hook), headers={**bearer, **PROXY})
    assert installed.status_code == 201, installed.text
    assert installed.headers["content-type"] == "application/vnd.ims.lti.v2.toolproxy.id+json"
    answer = installed.json()
    assert answer["@type"] == "ToolProxy" and answer["@id"] is None and answer["tool_proxy_guid"] == form["reg_key"]
    assert len(answer["tc_half_shared_secret"]) == 128
    entries = account.api.get("/audit", object=form["reg_key"], order="ascending").json()["data"]
    assert [(e["action"], e["actorKind"], e["actor"]) for e in entries] == [
        ("tool.created", "token", account.api.organization),
        ("tool.created", "tool", form["reg_key"]),
    ]
    assert entries[1]["detail"] == "Similarity, registered by itself"
    # Its first subscription is its own doing too.
    subscribed = account.api.get("/audit", action="endpoint.created").json()["data"]
    assert [(e["actorKind"], e["actor"]) for e in subscribed] == [("tool", form["reg_key"])]
    # The invitation is used up.
    assert httpx.post(to, json=proxy(hook), headers={**bearer, **PROXY}).json() == {"error": "unauthorized"}
    assert vendor.ask(url=url, code=form["reg_key"]).status_code == 400

    guid, secret = answer["tool_proxy_guid"], answer["tc_half_shared_secret"] + "ab" * 64
    tool = Tool(account.api.base, guid, secret, account.uuid)
    own = httpx.get(f"{tool.server}/api/lti/tool_proxy/{guid}", headers=tool.headers)
    assert own.status_code == 200 and own.json()["tool_proxy_guid"] == guid and secret not in own.text
    (automatic,) = tool.call("GET").json()
    assert automatic["AssociatedIntegrationId"] == guid and automatic["TransportMetadata"] == {"Url": hook.url}
    assert "assignment_updated" in automatic["SystemEventTypes"]
    assert automatic["SystemEventTypes"] == automatic["UserEventTypes"]

    # Only of assignments that this tool checks.
    account.publish("submission_created", submission())
    account.publish("submission_created", submission(associated_integration_id="another"))
    account.publish("submission_created", submission(associated_integration_id=guid))
    (got,) = hook.wait(1)
    assert json.loads(got.body)["body"]["associated_integration_id"] == guid
    hook.stays_at(1, 0.2)
    # It was given one capability, and may use that one.
    assert tool.subscribe(**wanted(account, hook, EventTypes=["submission_created"])).status_code == 200
    assert tool.subscribe(**wanted(account, hook)).json() == UNAUTHORIZED

    path = f"{account.path}/tool-proxy/{guid}"
    account.api.patch(path, {"state": "disabled"})
    account.publish("submission_created", submission(associated_integration_id=guid))
    hook.stays_at(1, 0.2)
    account.api.patch(path, {"state": "active"})
    account.publish("submission_created", submission(associated_integration_id=guid))
    assert len(hook.wait(3)) == 3, "both of its subscriptions"


def test_a_proxy_that_wants_what_is_not_offered_is_refused_with_its_problems(account, hook):
    key = account.key(capabilities=[CREATED])
    form = account.api.post(f"{account.path}/registration", {"context": "courses/7"}).json()["form"]
    assert "/api/lti/courses/7/" in form["tc_profile_url"]
    vendor = Tool(account.api.base, int(key["id"]), key["secret"], account.uuid)
    token = vendor.token(url=form["oauth2_access_token_url"], code=form["reg_key"])
    to = form["tc_profile_url"].replace("tool_consumer_profile", "tool_proxy")
    headers = {"authorization": f"Bearer {token}", **PROXY}
    answer = httpx.post(to, json=proxy(hook), headers=headers)
    assert answer.status_code == 400 and answer.json() == {
        "invalid_capabilities": ["Canvas.placements.similarityDetection"]
    }
    small = proxy(hook, half="short", enabled_capability=["Security.splitSecret", CREATED])
    assert "invalid_security_contract" in httpx.post(to, json=small, headers=headers).json()
    small = proxy(hook, enabled_capability=["Security.splitSecret", CREATED])
    small["security_contract"]["tool_service"][0]["action"] = ["DELETE"]
    assert "invalid_services" in httpx.post(to, json=small, headers=headers).json()
    for odd in (b"", b"{", b"[]", b"null"):
        assert httpx.post(to, content=odd, headers=headers).status_code == 400
    for token in ("x", account.install().token(), account.api.token):
        refused = httpx.post(to, json=small, headers={**PROXY, "authorization": f"Bearer {token}"})
        assert (refused.status_code, refused.json()) == (401, {"error": "unauthorized"})
    assert [t["name"] for t in account.api.get(f"{account.path}/tool-proxy").json()["data"]] == ["Checker"]


def test_a_registration_without_a_developer_key_sees_less_and_gets_no_tokens(account, hook):
    form = account.api.post(f"{account.path}/registration").json()["form"]
    guest = Tool(account.api.base, form["reg_key"], form["reg_password"], account.uuid)
    token = guest.token(url=form["oauth2_access_token_url"])
    headers = {"authorization": f"Bearer {token}"}
    profile = httpx.get(form["tc_profile_url"], headers=headers).json()
    assert "webhook" not in json.dumps(profile)
    to = form["tc_profile_url"].replace("tool_consumer_profile", "tool_proxy")
    plain = {
        "enabled_capability": ["User.id"],
        "security_contract": {"shared_secret": "0123456789abcdef", "tool_service": []},
    }
    answer = httpx.post(to, json=plain, headers={**headers, **PROXY})
    assert answer.status_code == 201 and "tc_half_shared_secret" not in answer.json()
    assert Tool(account.api.base, form["reg_key"], "0123456789abcdef", account.uuid).ask().status_code == 400


# What the operator does.


def test_management_is_the_operators_and_secrets_are_shown_once(account, api):
    key = account.key(name="Checkers Inc.")
    assert key["secret"] and len(key["capabilities"]) == 13
    made = account.install(key=key).made
    assert len(made["sharedSecret"]) == 256
    for path, hidden in (
        ("developer-key", key["secret"]),
        ("tool-proxy", made["sharedSecret"]),
        ("registration", "form"),
    ):
        listed = api.get(f"{account.path}/{path}")
        assert listed.status_code == 200 and hidden not in listed.text
    portal = api.for_app(account.id)
    for path in ("account", "developer-key", "tool-proxy", "registration"):
        assert_error(portal.get(f"{account.path}/{path}"), 403)
    for path in ("developer-key", "tool-proxy", "registration"):
        assert_error(portal.post(f"{account.path}/{path}", {"name": "x", "developerKey": key["id"]}), 403)
    other = Account(api)
    assert_invalid(api.post(f"{other.path}/tool-proxy", {"name": "x", "developerKey": key["id"]}), field="developerKey")
    assert_error(api.get(f"{other.path}/tool-proxy/{made['guid']}"), 404)
    assert_error(api.delete(f"{other.path}/developer-key/{key['id']}"), 404)
    assert_invalid(api.post(f"{account.path}/developer-key", {"name": ""}), field="name")
    assert_invalid(
        api.post(f"{account.path}/developer-key", {"name": "x", "capabilities": ["root"]}), field="capabilities"
    )
    for odd in ({"uuid": "a b"}, {"id": "x"}, {"guid": ""}, {"platformUrl": "ftp://x"}):
        assert_invalid(api.patch(f"{account.path}/account", odd))
    assert_invalid(api.post(f"{account.path}/registration", {"context": "sections/1"}), field="context")
    invitation = api.post(f"{account.path}/registration").json()["regKey"]
    assert api.delete(f"{account.path}/registration/{invitation}").status_code == 204
    assert api.get(f"{account.path}/registration").json() == {"data": []}


def test_an_account_deleted_is_an_account_gone(account, hook):
    tool = account.install()
    tool.subscribed(**wanted(account, hook))
    assert account.api.delete(f"/app/{account.id}").status_code == 204
    assert tool.ask().json() == {"error": "invalid_grant"}
    assert eventually(lambda: tool.call("GET").status_code == 401)


# The page for people.


def test_the_dashboard_makes_keys_tools_and_invitations_and_shows_secrets_once(new_server, hook):
    import html
    import re

    from conftest import connect

    server = new_server().start()
    api = connect(server, "org_23rb8YdGqMT0qIzpgGwdXfHirMu")
    account = Account(api)
    browser = httpx.Client(base_url=server.url, follow_redirects=True, timeout=20)
    browser.headers["origin"] = server.url
    link = server.command("sign-in").stdout.strip().splitlines()[-1].split()[-1]
    page = browser.post("/sign-in", data={"token": link})
    assert "Sign out" in page.text, page.text
    path = f"/applications/{account.id}/tools"
    assert f'href="{path}"' in browser.get(f"/applications/{account.id}").text

    made = browser.post(f"{path}/keys", data={"name": "<b>Vendor</b>"})
    id, secret = re.findall(r'<code class="secret">([^<]+)</code>', made.text)
    assert "&#60;b&#62;Vendor" in made.text or "&lt;b&gt;Vendor" in made.text
    assert secret not in browser.get(path).text
    made = browser.post(f"{path}/installed", data={"name": "Checker", "key": id})
    guid, shared = re.findall(r'<code class="secret">([^<]+)</code>', made.text)
    assert shared not in browser.get(path).text
    tool = Tool(server.url, guid, shared, account.uuid)
    tool.subscribed(**wanted(account, hook))
    assert "1 subscription" in browser.get(path).text
    browser.post(f"{path}/installed/{guid}/state", data={"to": "off"})
    assert tool.ask().status_code == 400
    browser.post(f"{path}/installed/{guid}/state", data={"to": "on"})
    assert tool.ask().status_code == 200

    invited = browser.post(f"{path}/invitations", data={"registration_url": "https://tool.example/register"})
    assert "form-action 'self' https://tool.example;" in invited.headers["content-security-policy"]
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', invited.text))
    vendor = Tool(server.url, int(id), secret, account.uuid)
    assert vendor.ask(url=html.unescape(form["oauth2_access_token_url"]), code=form["reg_key"]).status_code == 200
    odd = browser.post(f"{path}/invitations", data={"registration_url": "javascript:alert(1)"})
    assert "must begin with https" in odd.text and "tool.example" not in odd.headers["content-security-policy"]

    browser.post(
        f"{path}/account", data={"uuid": "new-uuid", "id": "21070000000000001", "guid": "g", "platform_url": ""}
    )
    assert api.get(f"{account.path}/account").json()["uuid"] == "new-uuid"
    browser.post(f"{path}/installed/{guid}/delete")
    browser.post(f"{path}/keys/{id}/delete")
    assert (
        api.get(f"{account.path}/tool-proxy").json() == api.get(f"{account.path}/developer-key").json() == {"data": []}
    )
    # Of a platform without tools there is no such page in the rail.
    plain = api.app()["id"]
    assert "/tools" not in browser.get(f"/applications/{plain}").text


def test_the_commands_of_the_documentation_work(new_server):
    import subprocess
    from pathlib import Path

    from conftest import connect

    server = new_server().start()
    page = (Path(__file__).parents[2] / "docs" / "platforms" / "canvas-lti.md").read_text()
    commands = "\n".join(part.split("```")[0] for part in page.split("```sh\n")[1:])
    commands = commands.replace("$(schoolbell token)", server.command("token").stdout.strip())
    commands = commands.replace("http://127.0.0.1:8484", server.url)
    head = 'set -eu\ncurl() { command curl -sS --fail-with-body -H "content-type: application/json" "$@"; }\n'
    done = subprocess.run(["bash", "-c", head + commands], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert (
        connect(server, "org_23rb8YdGqMT0qIzpgGwdXfHirMu")
        .get("/app/high/lti/account")
        .json()["uuid"]
        .startswith("VicY")
    )
