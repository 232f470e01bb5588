"""Runs the application's event callbacks in a thread of their own, so that they may block."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from ..protocol.events import Event, EventRecord

MAX_WAITING = 10_000
"""Events waiting for slow callbacks; more are dropped and counted."""

logger = logging.getLogger("tagmesh.callbacks")

Callback = Callable[[EventRecord], None]


class CallbackWorker:
    """One thread, started with the first event that somebody wants to hear."""

    def __init__(self, name: str) -> None:
        self.dropped = 0
        self._name = name
        self._registered: list[tuple[Callback, frozenset[Event]]] = []
        self._queue: queue.Queue[EventRecord | None] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None

    def register(self, callback: Callback, kinds: frozenset[Event]) -> None:
        """Call ``callback(record)`` for events of these kinds; from any thread."""
        self._registered.append((callback, kinds))

    def put(self, record: EventRecord) -> None:
        """An event happened; called in the hub, never waits."""
        if not any(record.kind in kinds for _, kinds in self._registered):
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1
            if self.dropped & (self.dropped - 1) == 0:
                logger.warning("event callbacks are too slow: %d events dropped", self.dropped)

    def stop(self) -> None:
        """Finish what waits, then end the thread."""
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            self._queue.put(None)
            thread.join(5.0)

    def _work(self) -> None:
        while (record := self._queue.get()) is not None:
            for callback, kinds in list(self._registered):
                if record.kind in kinds:
                    try:
                        callback(record)
                    except Exception:
                        logger.exception("event callback %r failed on %s", callback, record)
