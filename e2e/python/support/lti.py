"""A tool that was written for Canvas: it signs assertions with PyJWT, gets tokens, and calls the subscription API."""

import json
import secrets
import time
import uuid
from typing import Any

import httpx
import jwt

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ALL = "vnd.instructure.webhooks.root_account.all"


def capability(context: str, event: str) -> str:
    return f"vnd.instructure.webhooks.{context}.{event}"


class Tool:
    """One subject of assertions: an installed tool, a developer key, or a registration."""

    def __init__(self, server: str, subject: "str | int", secret: str, account: str = "self"):
        self.server = server
        self.subject = subject
        self.secret = secret
        self.account = account
        self.http = httpx.Client(base_url=server, timeout=20)
        self._token: str | None = None

    @property
    def authorize_url(self) -> str:
        return f"{self.server}/api/lti/accounts/{self.account}/authorize"

    def claims(self, url: str | None = None, **change: Any) -> "dict[str, Any]":
        now = int(time.time())
        claims = {
            "iss": "tool.example",
            "sub": self.subject,
            "aud": url or self.authorize_url,
            "iat": now,
            "exp": now + 60,
            "jti": str(uuid.uuid4()),
        }
        claims.update(change)
        return {name: value for name, value in claims.items() if value is not None}

    def assertion(self, url: str | None = None, algorithm: str = "HS256", key: Any = None, **change: Any) -> str:
        # PyJWT takes a number as `sub` only if it does not look.
        claims = self.claims(url, **change)
        signer = jwt.PyJWS()
        payload = json.dumps(claims).encode()
        return signer.encode(payload, key if key is not None else self.secret, algorithm, {"typ": "JWT"})

    def ask(self, assertion: str | None = None, url: str | None = None, **fields: Any) -> httpx.Response:
        """The grant itself, form-encoded."""
        url = url or self.authorize_url
        form = {"grant_type": GRANT, "assertion": assertion or self.assertion(url), **fields}
        return self.http.post(url, data={k: v for k, v in form.items() if v is not None})

    def token(self, **fields: Any) -> str:
        answer = self.ask(**fields)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    @property
    def headers(self) -> "dict[str, str]":
        if self._token is None:
            self._token = self.token()
        return {"authorization": f"Bearer {self._token}"}

    def call(self, method: str, path: str = "", **kwargs: Any) -> httpx.Response:
        headers = {**self.headers, **kwargs.pop("headers", {})}
        return self.http.request(method, f"/api/lti/subscriptions{path}", headers=headers, **kwargs)

    def subscribe(self, **fields: Any) -> httpx.Response:
        return self.call("POST", json={"subscription": fields})

    def subscribed(self, **fields: Any) -> "dict[str, Any]":
        answer = self.subscribe(**fields)
        assert answer.status_code == 200, answer.text
        return answer.json()


class Account:
    """A root account of Canvas: an application, with what its operator does about tools."""

    def __init__(self, api: Any, **names: Any):
        self.api = api
        self.id = api.app(name="Example High", platform="canvas")["id"]
        self.path = f"/app/{self.id}/lti"
        if names:
            answer = api.patch(f"{self.path}/account", names)
            assert answer.status_code == 200, answer.text
        self.names = api.get(f"{self.path}/account").json()
        self.uuid = self.names["uuid"]

    def key(self, **fields: Any) -> "dict[str, Any]":
        answer = self.api.post(f"{self.path}/developer-key", {"name": "Vendor", **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def install(
        self, capabilities: "list[str] | None" = None, key: "dict[str, Any] | None" = None, **fields: Any
    ) -> Tool:
        key = key or self.key()
        body = {"name": "Checker", "developerKey": key["id"], **fields}
        if capabilities is not None:
            body["capabilities"] = capabilities
        answer = self.api.post(f"{self.path}/tool-proxy", body)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        tool = Tool(self.api.base, made["guid"], made["sharedSecret"], self.uuid)
        tool.made = made
        tool.key = key
        return tool

    def publish(self, event: str, body: "dict[str, Any]", channels: "list[str] | None" = None, **metadata: Any) -> str:
        """An event as Canvas would publish it, in the contexts that it happened in."""
        payload = {
            "metadata": {
                "event_name": event,
                "event_time": "2026-05-01T08:30:05.120Z",
                "producer": "canvas",
                "root_account_uuid": self.uuid,
                **metadata,
            },
            "body": body,
        }
        channels = [f"root_account:{self.uuid}", *(channels or [])]
        return self.api.send(self.id, event, payload, channels=channels)["id"]


def submission(**change: Any) -> "dict[str, Any]":
    """The body of a submission event."""
    return {
        "submission_id": "21070000000000012",
        "assignment_id": "21070000000000565",
        "user_id": "21070000000000001",
        "attempt": 1,
        "body": "An essay.",
        "grade": None,
        "graded_at": None,
        "group_id": None,
        "late": False,
        "missing": False,
        "lti_assignment_id": str(uuid.uuid4()),
        "lti_user_id": secrets.token_hex(20),
        "score": None,
        "submission_type": "online_text_entry",
        "submitted_at": "2026-05-01T08:30:05Z",
        "updated_at": "2026-05-01T08:30:05Z",
        "url": None,
        "workflow_state": "submitted",
        **change,
    }
