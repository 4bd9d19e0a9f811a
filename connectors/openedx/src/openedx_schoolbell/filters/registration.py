"""Which filters there are, and the step in the pipeline of each."""

import importlib
import logging
import pkgutil

import openedx_filters
from django.conf import settings
from openedx_filters.exceptions import OpenEdxFilterException
from openedx_filters.tooling import OpenEdxPublicFilter

log = logging.getLogger(__name__)

STEP = "openedx_schoolbell.filters.step.AskSchoolbell"

# The only filter that Studio runs and the original plugin offers there.
STUDIO = frozenset(("org.openedx.content_authoring.lms.page.url.requested.v1",))


def known() -> dict[str, type[OpenEdxPublicFilter]]:
    """Every filter of the installed library by its type, whatever the library's version."""
    for module in pkgutil.walk_packages(openedx_filters.__path__, "openedx_filters."):
        if module.name.endswith(".filters") and ".tests." not in module.name:
            importlib.import_module(module.name)
    found: dict[str, type[OpenEdxPublicFilter]] = {}
    waiting = list(OpenEdxPublicFilter.__subclasses__())
    while waiting:
        one = waiting.pop()
        waiting.extend(one.__subclasses__())
        if one.filter_type:
            found[one.filter_type] = one
    return found


def exceptions_of(filter_class: type[OpenEdxPublicFilter]) -> dict[str, type[OpenEdxFilterException]]:
    """The exceptions that a filter may raise, by name."""
    members = ((name, getattr(filter_class, name)) for name in dir(filter_class))
    return {n: m for n, m in members if isinstance(m, type) and issubclass(m, OpenEdxFilterException)}


def register() -> None:
    """Puts the step behind the steps of others. Doing it twice changes nothing."""
    if not hasattr(settings, "OPEN_EDX_FILTERS_CONFIG"):
        settings.OPEN_EDX_FILTERS_CONFIG = {}
    in_studio = getattr(settings, "SERVICE_VARIANT", None) == "cms"
    for filter_type in sorted(known()):
        if in_studio and filter_type not in STUDIO:
            continue
        configured = settings.OPEN_EDX_FILTERS_CONFIG
        configured[filter_type] = with_step(configured.get(filter_type))


def with_step(configured):
    """A filter's configuration with our step in it, in whichever of its three forms it is written."""
    if not configured:
        return {"fail_silently": True, "pipeline": [STEP]}
    if isinstance(configured, str):
        return configured if configured == STEP else [configured, STEP]
    pipeline = configured.get("pipeline", []) if isinstance(configured, dict) else configured
    if STEP in pipeline:
        return configured
    pipeline = [*pipeline, STEP]
    return {**configured, "pipeline": pipeline} if isinstance(configured, dict) else pipeline
