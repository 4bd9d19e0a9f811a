"""The step that stands in every filter's pipeline."""

import logging
from functools import lru_cache
from typing import Any

from openedx_filters.exceptions import OpenEdxFilterException
from openedx_filters.filters import PipelineStep
from openedx_filters.tooling import OpenEdxPublicFilter

from openedx_schoolbell import client
from openedx_schoolbell.config import config
from openedx_schoolbell.filters import raising, registration
from openedx_schoolbell.filters.apply import apply
from openedx_schoolbell.filters.directory import directory
from openedx_schoolbell.filters.request import payload
from openedx_schoolbell.wire import Writer

log = logging.getLogger(__name__)

# The longest that Schoolbell lets a run take, in milliseconds.
LONGEST = 60_000


@lru_cache(maxsize=1)
def _filters() -> dict[str, type[OpenEdxPublicFilter]]:
    return registration.known()


class AskSchoolbell(PipelineStep):
    """Asks the webfilters of this filter, and does what they say.

    Raises nothing but the filter's own exceptions, on purpose: an error of ours is logged, and the platform goes on.
    """

    def run_filter(self, **kwargs: Any) -> dict[str, Any]:
        """The arguments that change."""
        try:
            return self._run(kwargs)
        except OpenEdxFilterException:
            raise
        except Exception:
            log.exception("Schoolbell could not be asked about %s", self.filter_type)
            return {}

    def _run(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if not directory.has_webfilters(self.filter_type):
            return {}
        filter_class = _filters()[self.filter_type]
        name = filter_class.__name__
        try:
            if directory.is_resting():
                raise client.Unreachable("it could not be reached a moment ago")
            answer = self._ask(payload(name, Writer(config().send_credentials), arguments))
        except (client.Unreachable, client.Refused) as error:
            return self._without_answer(filter_class, error)
        changed = apply(name, arguments, answer.get("data") or {}, answer.get("effects") or {})
        raised = answer.get("exception")
        if raised:
            exception = raising.exception(filter_class, raised["name"], raised.get("arguments") or {})
            if exception is not None:
                raise exception
        return changed

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        seconds = config().filters_timeout
        # Schoolbell answers in time, with what it has; the call itself waits a little longer.
        deadline = min(max(int(seconds * 900), 1), LONGEST)
        body = {"filter": self.filter_type, "payload": request, "deadlineMs": deadline}
        try:
            return client.call("POST", "/webfilter/run/", client.encoded(body), timeout=seconds)
        except client.Unreachable:
            directory.failed()
            raise

    def _without_answer(self, filter_class: type[OpenEdxPublicFilter], error: Exception) -> dict[str, Any]:
        if config().halts_when_unreachable:
            exception = raising.halting(filter_class, config().filters_message)
            if exception is not None:
                log.error("%s is halted, because Schoolbell cannot be asked: %s", filter_class.__name__, error)
                raise exception
        log.error("%s passes, because Schoolbell cannot be asked: %s", filter_class.__name__, error)
        return {}
