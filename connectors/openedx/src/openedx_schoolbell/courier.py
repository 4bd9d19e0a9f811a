"""Brings events to Schoolbell: through the outbox in the background, or at once with the outbox behind it.

Order: what waits goes first, and one process at a time sends. Nothing is lost: an event leaves the outbox when
Schoolbell has said that it has it; in doubt it is sent again, with the same event id, which Schoolbell takes once.
"""

import atexit
import json
import logging
import os
import threading

from openedx_schoolbell import client
from openedx_schoolbell.client import Refused, Unreachable
from openedx_schoolbell.config import config
from openedx_schoolbell.outbox import Event, Full, Outbox

log = logging.getLogger(__name__)

BATCH = 100
BATCH_BYTES = 256 * 1024
PAUSES = (0.2, 0.5, 1, 2, 5, 10, 30)


class Courier:
    """One for each process."""

    def __init__(self, outbox: Outbox):
        self.outbox = outbox
        self._awake = threading.Event()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None
        self._draining = threading.Lock()

    def take(self, event_id: str, body: str) -> None:
        """Takes an event over. Whatever happens, the caller goes on."""
        if not config().is_async and self._sent_at_once(event_id, body):
            return
        try:
            self.outbox.add(event_id, body)
        except Exception as error:
            # No room or no disk: the last chance is to send it now, out of turn.
            log.error("Schoolbell's outbox cannot take event %s (%s): sending it at once", event_id, error)
            try:
                client.call("POST", "/msg/?with_content=false", body)
            except Exception as failure:
                log.critical("event %s is lost: no room in the outbox, and Schoolbell said %s", event_id, failure)
            return
        self.wake()

    def wake(self) -> None:
        """Has the background send what waits."""
        with self._start:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="schoolbell", daemon=True)
                self._thread.start()
        self._awake.set()

    def drain(self) -> bool:
        """Sends all that waits, and whether nothing is left. False too if another process is at it."""
        with self._draining, self.outbox.alone() as alone:
            if not alone:
                return self.outbox.is_empty()
            while events := self.outbox.first(BATCH, BATCH_BYTES):
                self._send(events)
        return True

    def _sent_at_once(self, event_id: str, body: str) -> bool:
        try:
            if not self.outbox.is_empty():
                return False
            client.call("POST", "/msg/?with_content=false", body)
        except Refused as error:
            log.error("Schoolbell refuses event %s: %s", event_id, error)
            try:
                self.outbox.refuse(event_id, body, str(error))
            except Full as full:
                log.critical("event %s is lost: Schoolbell refuses it, and the outbox is full (%s)", event_id, full)
            return True
        except Exception as error:
            log.warning("Schoolbell cannot be reached (%s): event %s goes to the outbox", error, event_id)
            return False
        return True

    def _send(self, events: list[Event]) -> None:
        """Sends these in order. Raises `Unreachable` if the rest has to wait."""
        if len(events) == 1:
            return self._send_one(events[0])
        try:
            body = '{"messages":[' + ",".join(e.body for e in events) + "]}"
            results = client.call("POST", "/msg/batch/", body)["data"]
        except Refused:
            # One of them may be at fault, or all together are too large.
            for event in events:
                self._send_one(event)
            return None
        for event, result in zip(events, results, strict=True):
            if 200 <= result["status"] < 300:
                self.outbox.sent([event])
            elif client.is_final(result["status"]):
                self._reject(event, json.dumps(result.get("error")))
            else:
                raise Unreachable(f"{result['status']}: {result.get('error')}")
        return None

    def _send_one(self, event: Event) -> None:
        try:
            client.call("POST", "/msg/?with_content=false", event.body)
        except Refused as error:
            self._reject(event, str(error))
        else:
            self.outbox.sent([event])

    def _reject(self, event: Event, reason: str) -> None:
        log.error("Schoolbell refuses event %s, which is set aside: %s", event.event_id, reason)
        self.outbox.reject(event, reason)

    def _run(self) -> None:
        failures = 0
        while True:
            self._awake.clear()
            try:
                done = self.drain()
                failures = 0 if done else failures
                # Another process sends: look again soon whether all is gone.
                pause = None if done else 1.0
            except Exception as error:
                pause = PAUSES[min(failures, len(PAUSES) - 1)]
                failures += 1
                if failures in (1, 10) or failures % 100 == 0:
                    log.warning("Schoolbell cannot be reached (%s): events wait in %s", error, self.outbox.path)
            if pause is None:
                self._awake.wait()
            else:
                threading.Event().wait(pause)

    def flush(self, seconds: float) -> None:
        """Gives what waits a moment to leave; it stays in the outbox otherwise."""
        done = threading.Thread(target=self._try_to_drain, daemon=True)
        done.start()
        done.join(seconds)

    def _try_to_drain(self) -> None:
        try:
            self.drain()
        except Exception as error:
            log.info("events stay in %s: %s", self.outbox.path, error)


_courier: Courier | None = None
_made = threading.Lock()


def courier() -> Courier:
    """This process's courier."""
    global _courier
    with _made:
        if _courier is None:
            _courier = Courier(Outbox(config().outbox, config().outbox_max_bytes))
            atexit.register(_at_exit, _courier)
    return _courier


def _at_exit(mine: Courier) -> None:
    # Commands that end at once should not leave their events to the next one, if it costs nothing.
    if mine is _courier and mine._thread is not None:
        mine.flush(2.0)


def _after_fork() -> None:
    """The parent's threads, locks and connections are not ours."""
    global _courier, _made
    _courier, _made = None, threading.Lock()
    client.forget_connections()


os.register_at_fork(after_in_child=_after_fork)
