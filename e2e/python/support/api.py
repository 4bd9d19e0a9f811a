"""A plain HTTP client for the API, for what the SDKs hide: statuses, raw bodies, headers."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt


def eventually(read: Callable[[], Any], timeout: float = 30.0, what: str = "it did not come true") -> Any:
    """Calls `read` until it gives something true, and returns that. The time is for the slowest machine there is."""
    deadline = time.monotonic() + timeout
    pause = 0.02
    while True:
        value = read()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} within {timeout} s (last: {value!r})")
        time.sleep(pause)
        # What takes long is not to be held up by the asking.
        pause = min(pause * 1.2, 0.25)


def make_token(secret: str, subject: str | None, org: str | None = None, **claims: Any) -> str:
    """A token as any JWT library makes it with the server's secret."""
    now = int(time.time())
    body: dict[str, Any] = {"iss": "svix-server", "iat": now, "nbf": now, "exp": now + 10 * 365 * 86400}
    if subject is not None:
        body["sub"] = subject
    if org is not None:
        body["org"] = org
    body.update(claims)
    return jwt.encode({k: v for k, v in body.items() if v is not None}, secret, algorithm="HS256")


def instant(text: str) -> datetime:
    """Reads a date of the API, which is always UTC and says so with a Z."""
    assert text.endswith("Z"), f"{text} is not written in UTC"
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Api:
    """Calls with one token. Paths are relative to /api/v1 unless they begin with http."""

    def __init__(self, url: str, token: str | None, organization: str = "", secret: str = ""):
        self.base = url
        self.token = token
        self.organization = organization
        self._secret = secret
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=30, verify=False)

    def with_token(self, token: str | None) -> "Api":
        return Api(self.base, token, self.organization, self._secret)

    def for_app(self, app_id: str, **claims: Any) -> "Api":
        """The same organization, with an application's token."""
        return self.with_token(make_token(self._secret, app_id, self.organization, **claims))

    def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        return self._http.request(method, path, **kwargs)

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self._http.get(path, params=params or None)

    def post(self, path: str, json: Any = None, **kwargs: Any) -> httpx.Response:
        return self._http.post(path, json=json, **kwargs)

    def put(self, path: str, json: Any = None, **kwargs: Any) -> httpx.Response:
        return self._http.put(path, json=json, **kwargs)

    def patch(self, path: str, json: Any = None, **kwargs: Any) -> httpx.Response:
        return self._http.patch(path, json=json, **kwargs)

    def delete(self, path: str, **params: Any) -> httpx.Response:
        return self._http.delete(path, params=params or None)

    def raw(self, method: str, path: str, body: bytes, **headers: str) -> httpx.Response:
        """Sends exactly these bytes."""
        given = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self._http.request(method, path, content=body, headers=given)

    # What most tests begin with. Each fails loudly, so that a test can go on with the object.

    def app(self, **fields: Any) -> "dict[str, Any]":
        return _made(self.post("/app", {"name": "a classroom", **fields}), 201)

    def endpoint(self, app: str, url: str, **fields: Any) -> "dict[str, Any]":
        return _made(self.post(f"/app/{app}/endpoint", {"url": url, **fields}), 201)

    def event_type(self, name: str, **fields: Any) -> "dict[str, Any]":
        return _made(self.post("/event-type", {"name": name, "description": "", **fields}), 201)

    def send(
        self, app: str, event_type: str = "lesson.started", payload: Any = None, **fields: Any
    ) -> "dict[str, Any]":
        body = {"eventType": event_type, "payload": {"n": 1} if payload is None else payload, **fields}
        return _made(self.post(f"/app/{app}/msg", body), 202)

    def batch(self, app: str, messages: "list[dict[str, Any]]") -> "list[dict[str, Any]]":
        return _made(self.post(f"/app/{app}/msg/batch/", {"messages": messages}), 200)["data"]

    def secret(self, app: str, endpoint: str) -> str:
        return _made(self.get(f"/app/{app}/endpoint/{endpoint}/secret"), 200)["key"]

    def attempts(
        self, app: str, msg: str, count: int = 1, timeout: float = 30.0, **params: Any
    ) -> "list[dict[str, Any]]":
        """The attempts of a message, newest first, once there are at least so many."""

        def read() -> Any:
            data = _made(self.get(f"/app/{app}/attempt/msg/{msg}", **params), 200)["data"]
            return data if len(data) >= count else None

        return eventually(read, timeout, f"{count} attempts of {msg} were not recorded")

    def pages(self, path: str, **params: Any) -> "list[list[dict[str, Any]]]":
        """All pages of a list, followed by their iterators."""
        pages = []
        iterator = None
        while True:
            answer = _made(self.get(path, **params, **({"iterator": iterator} if iterator else {})), 200)
            pages.append(answer["data"])
            if answer["done"]:
                return pages
            assert answer["data"], "an empty page must be the last one"
            iterator = answer["iterator"]
            assert len(pages) < 1000, "the list never ends"


def _made(response: httpx.Response, status: int) -> Any:
    assert response.status_code == status, (
        f"{response.request.method} {response.request.url}: {response.status_code} {response.text}"
    )
    return response.json()


def assert_error(response: httpx.Response, status: int, code: str | None = None) -> "dict[str, Any]":
    """The ordinary error shape."""
    assert response.status_code == status, f"{response.status_code} {response.text}"
    body = response.json()
    assert set(body) >= {"code", "detail"} and all(isinstance(body[k], str) for k in ("code", "detail")), body
    if code is not None:
        assert body["code"] == code, body
    return body


def assert_invalid(response: httpx.Response, where: str = "body", field: str | None = None) -> "list[dict[str, Any]]":
    """The shape of a validation error, and that it names the field."""
    assert response.status_code == 422, f"{response.status_code} {response.text}"
    detail = response.json()["detail"]
    assert isinstance(detail, list) and detail, detail
    for item in detail:
        assert set(item) >= {"loc", "msg", "type"}, item
        assert isinstance(item["loc"], list) and all(isinstance(part, str) for part in item["loc"]), item
        assert isinstance(item["msg"], str) and item["msg"] and isinstance(item["type"], str), item
        assert item["loc"][0] == where, item
    if field is not None:
        # Spelling differs by where the rule sits: eventTypes or event_types.
        plain = field.replace("_", "").lower()
        said = " ".join(" ".join(i["loc"]) + " " + i["msg"] for i in detail).replace("_", "").lower()
        assert plain in said, f"{field} is not named in {detail}"
    return detail
