"""Exceptions of the platform, made from what an answer says."""

import inspect
import logging
from typing import Any

from django.http import HttpResponse
from openedx_filters.exceptions import OpenEdxFilterException
from openedx_filters.tooling import OpenEdxPublicFilter

from openedx_schoolbell.filters.registration import exceptions_of

log = logging.getLogger(__name__)


def exception(
    filter_class: type[OpenEdxPublicFilter], name: str, arguments: dict[str, Any]
) -> OpenEdxFilterException | None:
    """The exception of this name; none if the installed library does not have it."""
    kind = exceptions_of(filter_class).get(name)
    if kind is None:
        log.error("%s has no exception %s in the installed openedx-filters", filter_class.__name__, name)
        return None
    given = dict(arguments)
    if isinstance(given.get("response"), dict):
        given["response"] = HttpResponse(**given["response"])
    parameters = inspect.signature(kind).parameters.values()
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        # Versions of the library differ in what their constructors take.
        given = {p.name: given[p.name] for p in parameters if p.name in given}
    for parameter in parameters:
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            given.setdefault(parameter.name, "")
    return kind(**given)


def halting(filter_class: type[OpenEdxPublicFilter], message: str) -> OpenEdxFilterException | None:
    """What stops a filter when nobody can be asked; none for a filter that cannot be stopped."""
    names = list(exceptions_of(filter_class))
    preferred = ("Prevent", "RenderInvalidDashboard", "RenderInvalidTemplate", "RedirectToPage")
    for beginning in preferred:
        for name in names:
            if name.startswith(beginning):
                return exception(filter_class, name, {"message": message})
    return exception(filter_class, names[0], {"message": message}) if names else None
