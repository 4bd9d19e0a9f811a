"""The plugin's settings, read and checked once."""

import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from openedx_schoolbell.settings.common import DEFAULTS

# Tutor keeps this folder on the host, so that what is in it survives a new container.
KEPT = Path("/openedx/data")


@dataclass(frozen=True)
class Config:
    """What the operator decided."""

    url: str
    token: str
    app: str
    timeout: float
    is_async: bool
    outbox: str
    outbox_max_bytes: int
    send_credentials: bool
    filters_timeout: float
    halts_when_unreachable: bool
    filters_message: str
    filters_refresh: float

    @property
    def is_complete(self) -> bool:
        """Whether there is a server to talk to."""
        return bool(self.url and self.token and self.app)

    def __repr__(self) -> str:
        return f"Config({self.url}, app={self.app})"


def _switch(name: str, value) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "on": True, "1": True, "yes": True, "false": False, "off": False, "0": False, "no": False}
    try:
        return words[str(value).strip().lower()]
    except KeyError:
        raise ImproperlyConfigured(f"{name} is {value!r}: use true or false") from None


def _choice(name: str, value, *choices: str) -> str:
    if value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}: use {' or '.join(choices)}")
    return value


def _number(name: str, value) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number < 1e9:
        raise ImproperlyConfigured(f"{name} is {value!r}: use a number")
    return number


def _outbox() -> str:
    """Where events wait if nobody says. Known only when all settings are there: the service's name comes late."""
    folder = KEPT if os.access(KEPT, os.W_OK) else Path(tempfile.gettempdir())
    service = getattr(settings, "SERVICE_VARIANT", None) or "platform"
    return str(folder / f"schoolbell-outbox-{service}.sqlite3")


@lru_cache(maxsize=1)
def config() -> Config:
    """The settings. `config.cache_clear()` reads them again."""

    def get(name: str):
        return getattr(settings, name, DEFAULTS[name])

    def number(name: str) -> float:
        return _number(name, get(name))

    return Config(
        url=str(get("SCHOOLBELL_URL")).rstrip("/"),
        token=str(get("SCHOOLBELL_TOKEN")),
        app=str(get("SCHOOLBELL_APP")),
        timeout=number("SCHOOLBELL_TIMEOUT") or 10.0,
        is_async=_choice("SCHOOLBELL_HANDOVER", get("SCHOOLBELL_HANDOVER"), "async", "sync") == "async",
        outbox=str(get("SCHOOLBELL_OUTBOX")) or _outbox(),
        outbox_max_bytes=int(number("SCHOOLBELL_OUTBOX_MAX_MB") * 1024 * 1024),
        send_credentials=_switch("SCHOOLBELL_SEND_CREDENTIALS", get("SCHOOLBELL_SEND_CREDENTIALS")),
        filters_timeout=number("SCHOOLBELL_FILTERS_TIMEOUT") or 12.0,
        halts_when_unreachable=_choice(
            "SCHOOLBELL_FILTERS_WHEN_UNREACHABLE", get("SCHOOLBELL_FILTERS_WHEN_UNREACHABLE"), "pass", "halt"
        )
        == "halt",
        filters_message=str(get("SCHOOLBELL_FILTERS_MESSAGE")),
        filters_refresh=number("SCHOOLBELL_FILTERS_REFRESH"),
    )
