"""The calls to Schoolbell's API. Knows HTTP and nothing of events or filters."""

import json
import threading
from typing import Any
from urllib.parse import quote

import requests

from openedx_schoolbell import __version__
from openedx_schoolbell.config import config


class Unreachable(Exception):
    """No answer, or one that says: not now. The same call may succeed later."""


class Refused(Exception):
    """An answer that says no."""

    def __init__(self, status: int, reason: str):
        super().__init__(f"{status}: {reason}")
        self.status = status


# What repeating may help against: the wrong time, too much at once, a token or an application that is not there yet.
LATER = frozenset((401, 403, 404, 408, 425, 429))



def is_final(status: int) -> bool:
    """Whether an answer says no to what was asked, so that asking again cannot help."""
    return 400 <= status < 500 and status not in LATER


_local = threading.local()


def _with_token(request):
    request.headers["Authorization"] = f"Bearer {config().token}"
    return request


def _session() -> requests.Session:
    """One per thread and server: connections are kept."""
    key = (config().url, config().token)
    if getattr(_local, "key", None) != key:
        session = requests.Session()
        session.headers.update({"Content-Type": "application/json", "User-Agent": f"openedx-schoolbell/{__version__}"})
        # As a function, so that nothing else, such as a .netrc, takes its place.
        session.auth = _with_token
        _local.key, _local.session = key, session
    return _local.session


def forget_connections() -> None:
    """After a fork: the parent's connections are the parent's."""
    _local.__dict__.clear()


def encoded(value: Any) -> str:
    """As short JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def call(method: str, path: str, body: str | None = None, timeout: float | None = None) -> Any:
    """Calls an operation of the application, and gives the JSON that comes back."""
    url = f"{config().url}/api/v1/app/{quote(config().app, safe='')}{path}"
    data = None if body is None else body.encode()
    try:
        answer = _session().request(method, url, data=data, timeout=timeout or config().timeout, allow_redirects=False)
    except requests.RequestException as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from error
    if 200 <= answer.status_code < 300:
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise Unreachable(f"an answer that is not JSON: {error}") from error
    if is_final(answer.status_code):
        raise Refused(answer.status_code, answer.text[:2000])
    raise Unreachable(f"{answer.status_code}: {answer.text[:300]}")
