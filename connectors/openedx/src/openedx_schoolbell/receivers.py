"""Hears every public event of the platform and hands it over."""

import logging
import os
import re
from typing import Any

import attr
from django.core.signals import request_started
from opaque_keys.edx.keys import LearningContextKey, UsageKey
from openedx_events.tooling import OpenEdxPublicSignal, load_all_signals

from openedx_schoolbell import client
from openedx_schoolbell.config import config
from openedx_schoolbell.courier import courier
from openedx_schoolbell.wire import Writer

log = logging.getLogger(__name__)

CHANNELS = 10
NAME = re.compile(r"[a-zA-Z0-9\-_.:+]{1,256}")


def connect() -> None:
    """Connects to all events that the installed library has, whatever its version."""
    load_all_signals()
    for signal in OpenEdxPublicSignal.all_events():
        signal.connect(receive, dispatch_uid="openedx_schoolbell.receive", weak=False)
    request_started.connect(_first_request, dispatch_uid="openedx_schoolbell.first_request")


def receive(signal, metadata, **kwargs) -> None:
    """Takes an event over. Never raises: the platform goes on whatever happens here."""
    try:
        event_id, body = message(signal, metadata, {name: kwargs[name] for name in signal.init_data if name in kwargs})
        courier().take(event_id, body)
    except Exception:
        log.exception("the event %s could not be handed to Schoolbell", getattr(signal, "event_type", signal))


def message(signal, metadata, data: dict[str, Any]) -> tuple[str, str]:
    """The message to publish: its event id, and the body of the call."""
    writer = Writer(config().send_credentials)
    event_id = str(metadata.id)
    payload = {
        "data": writer.members(data.items()),
        "types": {name: _class(value) for name, value in data.items()},
        "metadata": {
            "event_type": metadata.event_type,
            "id": event_id,
            "minorversion": metadata.minorversion,
            "source": metadata.source,
            "sourcehost": metadata.sourcehost,
            "time": metadata.time.isoformat(),
            "sourcelib": list(metadata.sourcelib),
        },
    }
    channels, order_key = labels(data)
    body = {"eventType": signal.event_type, "eventId": event_id, "payload": payload}
    if channels:
        body["channels"] = channels
    if order_key:
        body["orderKey"] = order_key
    return event_id, client.encoded(body)


def labels(data: dict[str, Any]) -> tuple[list[str], str | None]:
    """The courses and libraries that an event is about, as channels; and the person it is ordered with."""
    contexts: dict[str, None] = {}
    people: list[Any] = []

    def look(value: Any, name: str, depth: int) -> None:
        if isinstance(value, LearningContextKey):
            contexts[str(value)] = None
        elif isinstance(value, UsageKey):
            contexts[str(value.context_key)] = None
        elif isinstance(value, str):
            if name in ("course_id", "course_key"):
                contexts[value] = None
        elif attr.has(type(value)) and depth < 5:
            if type(value).__name__ == "UserData":
                people.append(value.id)
            for field in attr.fields(type(value)):
                look(getattr(value, field.name), field.name, depth + 1)
        elif isinstance(value, int) and name in ("user_id", "lms_user_id") and not isinstance(value, bool):
            people.append(value)

    for name, value in data.items():
        look(value, name, 0)
    channels = [c for c in contexts if NAME.fullmatch(c)][:CHANNELS]
    if people:
        return channels, f"user:{people[0]}"
    return channels, channels[0] if channels else None


def _class(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


_served: set[int] = set()


def _first_request(**_) -> None:
    """What an earlier process left in the outbox goes out with the first request of this one."""
    if os.getpid() in _served:
        return
    _served.add(os.getpid())
    try:
        if not courier().outbox.is_empty():
            courier().wake()
    except Exception:
        log.exception("Schoolbell's outbox cannot be read")
