"""Values of the platform as JSON can hold them, in the shape that receivers of its webhooks know.

Never fails and never asks the database, and what it makes is bounded: in depth, and in the number of values.
"""

import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import attr
from opaque_keys import OpaqueKey

DEPTH = 15
VALUES = 20_000
TOO_DEEP = "<nested too deeply>"
TOO_MUCH = "<too many values>"
AGAIN = "<contains itself>"

# Never sent, unless the operator says so: whoever reads a webhook must not be able to sign in as its subject.
CREDENTIALS = frozenset(
    (
        "password", "password1", "password2", "old_password", "new_password", "token", "id_token", "access_token",
        "refresh_token", "client_secret", "authorization", "cookie", "csrfmiddlewaretoken",
    )
)  # fmt: skip


class Writer:
    """Turns one thing into JSON values."""

    def __init__(self, with_credentials: bool = False):
        self._with_credentials = with_credentials
        self._left = VALUES
        self._path: set[int] = set()

    def value(self, value: Any, depth: int = 0) -> Any:
        """The value for JSON."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        if isinstance(value, str):
            return _text(value)
        if value is dict or value is list:
            # A default that openedx-events 11.2.0 forgot to call.
            return value()
        self._left -= 1
        if self._left < 0:
            return TOO_MUCH
        if isinstance(value, datetime | date | time | UUID | Decimal | OpaqueKey | bytes | type) or callable(value):
            return _text(value)
        if depth >= DEPTH:
            return TOO_DEEP
        if id(value) in self._path:
            return AGAIN
        self._path.add(id(value))
        try:
            return self._container(value, depth + 1)
        finally:
            self._path.discard(id(value))

    def members(self, pairs, depth: int = 1) -> dict[str, Any]:
        """An object of these members."""
        found = {}
        for name, member in pairs:
            name = _text(name)
            if name.startswith("_") or (not self._with_credentials and name.lower() in CREDENTIALS):
                continue
            found[name] = self.value(member, depth)
            if self._left < 0:
                break
        return found

    def row(self, instance: Any) -> dict[str, Any]:
        """A row of the database as its columns; foreign keys are their ids."""
        # The user of a request is looked up at the first use.
        instance = vars(instance).get("_wrapped", instance)
        fields = instance._meta.concrete_fields
        return self.members((f.attname, instance.__dict__.get(f.attname)) for f in fields)

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            # A form may hold a field several times: the last value is the one that counts.
            items = value.items() if hasattr(value, "items") else ((k, value[k]) for k in value)
            return self.members(items, depth)
        if isinstance(value, list | tuple | set | frozenset):
            items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
            found = []
            for item in items:
                found.append(self.value(item, depth))
                if self._left < 0:
                    break
            return found
        if attr.has(type(value)):
            return self.members(((f.name, getattr(value, f.name)) for f in attr.fields(type(value))), depth)
        if hasattr(value, "_meta") and hasattr(value._meta, "concrete_fields"):
            return self.row(value)
        # Query sets and texts that are translated when they are shown have attributes, but are not their attributes.
        if type(value).__module__.startswith(("django.", "builtins")) or not hasattr(value, "__dict__"):
            return _text(value) if not hasattr(value, "iterator") else f"<{type(value).__name__}>"
        return self.members(vars(value).items(), depth)


def _text(value: Any) -> str:
    try:
        text = value if type(value) is str else str(value)
    except Exception as error:
        text = f"<{type(value).__name__}: {type(error).__name__}>"
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair is no character, and no server would take it.
        text = text.encode("utf-8", "replace").decode()
    return text
