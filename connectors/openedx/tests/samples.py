"""Objects of the event library's classes, with the values of the catalogue's samples."""

import json
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID

import attr
from opaque_keys.edx.keys import CourseKey, UsageKey
from opaque_keys.edx.locator import (
    LibraryCollectionLocator,
    LibraryContainerLocator,
    LibraryLocatorV2,
    LibraryUsageLocatorV2,
)

ROOT = Path(__file__).parents[3]
CATALOG = json.loads((ROOT / "crates/platforms/src/openedx/events.json").read_text())
EVENTS = {event["eventType"]: event for event in CATALOG["events"]}


def opaque_key(text):
    kinds = {
        "lib-collection": LibraryCollectionLocator,
        "lct": LibraryContainerLocator,
        "lib": LibraryLocatorV2,
        "lb": LibraryUsageLocatorV2,
        "block-v1": UsageKey,
    }
    return kinds.get(text.split(":")[0], CourseKey).from_string(text)


def of_wire(wire, value):
    if value is None:
        return None
    if isinstance(wire, dict):
        ((kind, inner),) = wire.items()
        if kind == "ref":
            return None
        return [of_wire(inner, v) for v in value] if kind == "list" else value
    if wire == "string:datetime":
        return datetime.fromisoformat(value)
    if wire == "string:uuid":
        return UUID(value)
    return opaque_key(value) if wire == "string:opaque-key" else value


def build(cls, sample):
    """An instance, and the sample as this version of the library has it: with fewer fields, or in another order."""
    wires = {f["name"]: f["wire"] for f in CATALOG["types"][f"{cls.__module__}.{cls.__qualname__}"]}
    values, seen = {}, {}
    for field in attr.fields(cls):
        if field.name in sample:
            values[field.name], seen[field.name] = one(wires[field.name], sample[field.name])
    return cls(**values), seen


def one(wire, value):
    if isinstance(wire, dict) and "ref" in wire:
        return build(class_of(wire["ref"]), value)
    if isinstance(wire, dict) and isinstance(wire.get("list"), dict) and "ref" in wire["list"]:
        pairs = [build(class_of(wire["list"]["ref"]), v) for v in value]
        return [p[0] for p in pairs], [p[1] for p in pairs]
    return of_wire(wire, value), value


def class_of(name):
    module, _, cls = name.rpartition(".")
    return getattr(__import__(module, fromlist=[cls]), cls)


def flat(value, key=""):
    """A form as the original's documentation describes it."""
    if isinstance(value, dict):
        found = {}
        for name, member in value.items():
            found.update(flat(member, f"{key}_{name}" if key else name))
        return found
    return {key: str(value)}


def bodies(signal, seen, metadata):
    """What has to arrive, by wire version and encoding, written by Python itself."""
    cls = EVENTS[signal.event_type]["class"]
    argument = EVENTS[signal.event_type]["argument"]
    meta = {
        "event_type": signal.event_type,
        "id": str(metadata.id),
        "minorversion": metadata.minorversion,
        "source": "openedx/lms/web",
        "sourcehost": metadata.sourcehost,
        "time": str(metadata.time),
        "sourcelib": list(metadata.sourcelib),
    }
    tuples = {**meta, "sourcelib": metadata.sourcelib}
    return {
        ("openedx-v22", "json"): json.dumps({cls: seen, "event_metadata": meta}),
        ("openedx-v21", "json"): json.dumps({cls: seen, "event_metadata": meta}),
        ("openedx-v1", "json"): json.dumps({argument: seen, "event_metadata": meta}),
        ("openedx-v22", "form"): urlencode(flat({cls: seen, "event_metadata": meta})),
        ("openedx-v21", "form"): urlencode(flat({cls: seen, "event_metadata": tuples})),
    }
