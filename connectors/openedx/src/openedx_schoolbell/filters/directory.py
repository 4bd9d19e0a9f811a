"""Which filters have webfilters, so that the others cost nothing; and a moment of peace after a call that failed."""

import json
import logging
import threading
import time

from openedx_schoolbell import client
from openedx_schoolbell.config import config
from openedx_schoolbell.courier import courier

log = logging.getLogger(__name__)

PEACE = 5.0
MEMO = "webfilters"


class Directory:
    """What Schoolbell last said, for all threads of a process."""

    def __init__(self):
        self._counts: dict[str, int] | None = None
        self._asked_at = float("-inf")
        self._failed_at = float("-inf")
        self._refreshing = threading.Lock()

    def has_webfilters(self, filter_type: str) -> bool:
        """Whether somebody wants to be asked; after what was last heard, if Schoolbell cannot be reached."""
        age = time.monotonic() - self._asked_at
        is_old = age > config().filters_refresh or self._counts is None
        # One asks; the others go by what is known, and wait only while nothing is.
        if is_old and self._refreshing.acquire(blocking=self._counts is None):
            try:
                if time.monotonic() - self._asked_at > config().filters_refresh or self._counts is None:
                    self._refresh()
            finally:
                self._refreshing.release()
        return bool(self._counts and self._counts.get(filter_type))

    def is_resting(self) -> bool:
        """Whether a call failed just now: asking again at once would only make the platform slow."""
        return time.monotonic() - self._failed_at < PEACE

    def failed(self) -> None:
        """A call failed."""
        self._failed_at = time.monotonic()

    def _refresh(self) -> None:
        if self.is_resting() and self._counts is not None:
            return
        try:
            found = client.call("GET", "/webfilter/filter/", timeout=min(config().filters_timeout, config().timeout))
            counts = {f["type"]: f["webfilters"] for f in found["data"] if f["type"] and f["webfilters"]}
            if counts != self._counts:
                self._remember(counts)
            self._counts = counts
        except Exception as error:
            self.failed()
            log.warning("Schoolbell's webfilters cannot be read: %s", error)
            if self._counts is None:
                self._counts = self._recall()
        self._asked_at = time.monotonic()

    def _remember(self, counts: dict[str, int]) -> None:
        try:
            courier().outbox.remember(MEMO, json.dumps(counts))
        except Exception as error:
            log.warning("Schoolbell's webfilters cannot be kept on disk: %s", error)

    def _recall(self) -> dict[str, int]:
        try:
            return json.loads(courier().outbox.recall(MEMO) or "{}")
        except Exception as error:
            log.warning("Schoolbell's webfilters cannot be read from disk: %s", error)
            return {}


directory = Directory()
