"""What is done with the data of an answer: each key by its effect, on the arguments that the platform handed in.

What does not fit is logged and left out; it never reaches the platform as an error.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.http import QueryDict
from opaque_keys.edx.keys import CourseKey

from openedx_schoolbell.filters.request import profile_of

log = logging.getLogger(__name__)

EDUCATION = frozenset(("p", "m", "b", "a", "hs", "jhs", "el", "none", "other"))
GENDER = frozenset(("m", "f", "o"))


class Misfit(Exception):
    """A value that cannot be applied."""


def apply(filter_name: str, arguments: dict[str, Any], data: dict[str, Any], effects: dict[str, str]) -> dict[str, Any]:
    """The arguments that change, for the next step of the pipeline."""
    changed: dict[str, Any] = {}
    for key, value in data.items():
        effect = effects.get(key, "replace")
        try:
            EFFECTS[effect](filter_name, arguments, key, value, changed)
        except Exception as error:
            log.error(
                "the webfilters of %s asked for a %s of %s that cannot be made: %s", filter_name, effect, key, error
            )
    return changed


def _target(arguments: dict[str, Any], key: str) -> Any:
    """The object that a key stands for, also where it is not an argument itself."""
    if key in arguments:
        return arguments[key]
    owner = arguments.get("user") or arguments.get("enrollment") or arguments.get("current_membership")
    user = owner if owner is arguments.get("user") else getattr(owner, "user", None)
    return user if key == "user" else profile_of(user) if key in ("profile", "user_profile") else None


def _save(_name: str, arguments: dict[str, Any], key: str, value: Any, changed: dict[str, Any]) -> None:
    target = _target(arguments, key)
    if target is None:
        raise Misfit("there is no such object here")
    if not isinstance(value, dict):
        raise Misfit("it has to be an object")
    columns = _columns(target)
    fields = []
    for name, new in value.items():
        if name not in columns:
            continue
        old = getattr(target, name, None)
        new = _as_time(name, old, new)
        if new != old:
            setattr(target, name, new)
            fields.append(columns[name])
    if fields:
        target.save(update_fields=fields)
    if key in arguments:
        changed[key] = target


def _columns(target: Any) -> dict[str, str]:
    """The columns that may be set: not keys and not relations."""
    meta = getattr(target, "_meta", None)
    if meta is None:
        return {name: name for name in vars(target) if not name.startswith("_") and name != "id"}
    return {f.attname: f.name for f in meta.concrete_fields if not f.primary_key and not f.is_relation}


def _as_time(name: str, old: Any, new: Any) -> Any:
    if not isinstance(old, datetime) or new is None:
        return new
    try:
        return datetime.fromisoformat(new)
    except (TypeError, ValueError):
        raise Misfit(f"{name} has to be a time in ISO 8601") from None


def _memory(_name: str, arguments: dict[str, Any], key: str, value: Any, changed: dict[str, Any]) -> None:
    target = _target(arguments, key)
    if target is None or isinstance(target, str | int | float | bool):
        raise Misfit("there is no such object here")
    if not isinstance(value, dict):
        raise Misfit("it has to be an object")
    columns = _columns(target)
    for name, new in value.items():
        if name not in columns:
            continue
        old = getattr(target, name, None)
        if isinstance(old, bool) and not isinstance(new, bool):
            if str(new).lower() not in ("true", "false"):
                log.error("%s.%s has to be true or false", key, name)
                continue
            new = str(new).lower() == "true"
        setattr(target, name, _as_time(name, old, new))
    if key in arguments:
        changed[key] = target


def _merge(name: str, arguments: dict[str, Any], key: str, value: Any, changed: dict[str, Any]) -> None:
    if not isinstance(value, dict):
        raise Misfit("it has to be an object")
    old = arguments.get(key)
    if name == "CourseAboutRenderStarted":
        # Objects of the platform, which an answer cannot make.
        value = {k: v for k, v in value.items() if k not in ("course", "course_details")}
    if isinstance(old, QueryDict):
        _check_registration(value)
        new = old.copy()
        for field, one in value.items():
            new.setlist(field, [_field(v) for v in (one if isinstance(one, list) else [one])])
    elif isinstance(old, dict) or old is None:
        new = {**(old or {}), **value}
    else:
        raise Misfit(f"what is there is a {type(old).__name__}")
    changed[key] = new


def _field(value: Any) -> Any:
    """A form's field is a text."""
    return {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value


def _check_registration(fields: dict[str, Any]) -> None:
    def one_of(name: str, choices: frozenset[str]) -> None:
        if fields.get(name) not in (None, "") and fields[name] not in choices:
            raise Misfit(f"{name} has to be one of {', '.join(sorted(choices))}")

    one_of("level_of_education", EDUCATION)
    one_of("gender", GENDER)
    if "terms_of_service" in fields and str(fields["terms_of_service"]).lower() not in ("true", "false"):
        raise Misfit("terms_of_service has to be true or false")


def _replace(_name: str, arguments: dict[str, Any], key: str, value: Any, changed: dict[str, Any]) -> None:
    if key == "course_key" and isinstance(arguments.get(key), CourseKey):
        value = CourseKey.from_string(value)
    changed[key] = value


def _narrow(_name: str, arguments: dict[str, Any], key: str, value: Any, changed: dict[str, Any]) -> None:
    # The filters with a query set have it as their only argument.
    (argument,) = arguments
    if not isinstance(value, dict):
        raise Misfit("it has to be an object of look-ups")
    changed[argument] = arguments[argument].filter(**value)


def _add(_name: str, arguments: dict[str, Any], key: str, value: Any, changed: dict[str, Any]) -> None:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise Misfit("it has to be a list of texts")
    changed[key] = set(arguments.get(key) or ()) | set(value)


Effect = Callable[[str, dict[str, Any], str, Any, dict[str, Any]], None]

EFFECTS: dict[str, Effect] = {
    "save": _save,
    "memory": _memory,
    "merge": _merge,
    "replace": _replace,
    "narrow": _narrow,
    "add": _add,
}
