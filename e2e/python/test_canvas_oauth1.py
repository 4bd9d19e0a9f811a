"""A tool of the older kind: it has no token, and signs each request with OAuth 1. Played by oauthlib."""

import base64
import hashlib
import json
import time

import httpx
import pytest
from oauthlib.oauth1 import SIGNATURE_HMAC_SHA256, SIGNATURE_PLAINTEXT, Client

from support.lti import Account

PROXY = "application/vnd.ims.lti.v2.toolproxy+json"
REFUSED = (401, '{"error":"unauthorized"}')
SECRET = "0123456789abcdef with spaces & +%"
PLAIN = {
    "enabled_capability": ["User.id"],
    "security_contract": {"shared_secret": SECRET, "tool_service": []},
    "tool_profile": {"product_instance": {"product_info": {"product_name": {"default_value": "An old tool"}}}},
}


@pytest.fixture
def account(api):
    return Account(api)


class Signed:
    """A registration, and requests that are signed with its password."""

    def __init__(self, account, **of_client):
        self.form = account.api.post(f"{account.path}/registration").json()["form"]
        self.url = self.form["tc_profile_url"].replace("tool_consumer_profile", "tool_proxy")
        self.key, self.password = self.form["reg_key"], self.form["reg_password"]
        self.of_client = of_client

    def headers(self, url=None, method="POST", body=None, key=None, secret=None, **of_client):
        body = json.dumps(PLAIN) if body is None and method == "POST" else body
        client = Client(key or self.key, client_secret=secret or self.password, **{**self.of_client, **of_client})
        given = {"Content-Type": PROXY} if body is not None else {}
        _, headers, _ = client.sign(url or self.url, http_method=method, body=body, headers=given)
        return headers

    def install(self, headers=None, body=None):
        content = json.dumps(PLAIN) if body is None else body
        return httpx.post(self.url, content=content, headers=headers or self.headers())


def refused(answer):
    return (answer.status_code, answer.text) == REFUSED


def test_a_tool_registers_and_reads_its_proxy_by_signing(account):
    tool = Signed(account)
    profile = httpx.get(tool.form["tc_profile_url"], headers=tool.headers(tool.form["tc_profile_url"], "GET"))
    assert profile.status_code == 200 and "webhook" not in profile.text
    assert {
        "security_profile_name": "lti_oauth_hash_message_security",
        "digest_algorithm": "HMAC-SHA1",
    } in profile.json()["security_profile"]
    made = tool.install()
    assert made.status_code == 201, made.text
    assert made.headers["content-type"] == "application/vnd.ims.lti.v2.toolproxy.id+json"
    assert made.json()["tool_proxy_guid"] == tool.key
    # The registration is used up, and its password with it.
    assert refused(tool.install())

    own = tool.url.split("/api/lti/")[0] + f"/api/lti/tool_proxy/{tool.key}"
    shown = httpx.get(own, headers=tool.headers(own, "GET", secret=SECRET))
    assert shown.status_code == 200 and shown.json()["tool_proxy_guid"] == tool.key, shown.text
    assert shown.headers["content-type"] == PROXY and SECRET not in shown.text
    assert refused(httpx.get(own, headers=tool.headers(own, "GET"))), "the registration's password"
    # A query is signed with everything else.
    asked = f"{own}?b=2&a=%20x%26"
    assert httpx.get(asked, headers=tool.headers(asked, "GET", secret=SECRET)).status_code == 200
    assert refused(httpx.get(f"{asked}&c=3", headers=tool.headers(asked, "GET", secret=SECRET)))
    # Nobody reads another's.
    other = Signed(account)
    other.install()
    assert refused(httpx.get(own, headers=other.headers(own, "GET", secret=SECRET)))
    account.api.patch(f"{account.path}/tool-proxy/{tool.key}", {"state": "disabled"})
    assert refused(httpx.get(own, headers=tool.headers(own, "GET", secret=SECRET)))


def test_a_signature_is_good_once(account):
    tool = Signed(account)
    url = tool.form["tc_profile_url"]
    headers = tool.headers(url, "GET")
    assert httpx.get(url, headers=headers).status_code == 200
    assert refused(httpx.get(url, headers=headers))
    # The same nonce with another time is another one, as the standard has it.
    nonce = {"nonce": "once", "timestamp": str(int(time.time()))}
    assert httpx.get(url, headers=tool.headers(url, "GET", **nonce)).status_code == 200
    assert refused(httpx.get(url, headers=tool.headers(url, "GET", **nonce)))


def test_hostile_signatures_get_one_answer_and_no_hint(account):
    tool, other = Signed(account), Signed(account)
    good, now = tool.headers, int(time.time())
    signed = good()["Authorization"]

    def with_header(text):
        return {"Content-Type": PROXY, "Authorization": text}

    without_hash = Client(tool.key, client_secret=tool.password).sign(tool.url, http_method="POST")[1]
    for what, headers in {
        "another password": good(secret=other.password),
        "another registration": good(key=other.key),
        "nobody's key": good(key="nobody"),
        "no key": good(key=" "),
        "an old time": good(timestamp=str(now - 400)),
        "a time to come": good(timestamp=str(now + 400)),
        "a time that is none": good(timestamp="soon"),
        "no hash of the body": {**without_hash, "Content-Type": PROXY},
        "the hash of another body": good(body="{}"),
        "the signature of another address": good(url=tool.url + "x"),
        "the signature of another method": good(method="PUT", body=json.dumps(PLAIN)),
        "PLAINTEXT": good(signature_method=SIGNATURE_PLAINTEXT),
        "SHA-256": good(signature_method=SIGNATURE_HMAC_SHA256),
        "a huge nonce": good(nonce="x" * 300),
        "a parameter twice": with_header(signed + f', oauth_consumer_key="{other.key}"'),
        "a cut signature": with_header(signed.replace("%3D", "")),
        "no signature": with_header(signed.split(", oauth_signature=")[0]),
        "no header": with_header(""),
        "only the scheme": with_header("OAuth"),
        "nothing to read": with_header("OAuth ," * 1000),
    }.items():
        assert refused(tool.install(headers)), what
    # The developer key of a vendor signs nothing in this way.
    key = account.key()
    assert refused(tool.install(good(key=key["id"], secret=key["secret"])))
    assert account.api.get(f"{account.path}/tool-proxy").json()["data"] == []
    assert tool.install().status_code == 201, "none of these used the registration up"


def test_the_body_is_held_against_its_hash(account):
    tool = Signed(account)
    headers = tool.headers()
    changed = json.dumps({**PLAIN, "enabled_capability": ["User.id", "Context.id"]})
    assert refused(tool.install(headers, body=changed))
    # Whoever changes the hash with it breaks the signature.
    hashed = base64.b64encode(hashlib.sha1(changed.encode()).digest()).decode().replace("=", "%3D")
    parts = [f'oauth_body_hash="{hashed}"' if "body_hash" in p else p for p in headers["Authorization"].split(", ")]
    assert refused(tool.install({**headers, "Authorization": ", ".join(parts)}, body=changed))
    assert tool.install(headers).status_code == 201


def test_the_audit_log_knows_who_registered(account):
    tool = Signed(account)
    assert tool.install().status_code == 201
    entries = account.api.get("/audit", object=tool.key, order="ascending").json()["data"]
    assert [(e["action"], e["actorKind"], e["actor"]) for e in entries] == [
        ("tool.created", "token", account.api.organization),
        ("tool.created", "tool", tool.key),
    ]
    assert entries[1]["detail"] == "An old tool, registered by itself" and entries[1]["appId"] == account.id
