"""Runs the application's event callbacks in a thread of their own, so that they may block."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from ..protocol.events import Event, EventRecord

MAX_WAITING = 10_000
"""Events waiting for slow callbacks; more are dropped and counted."""
STOP_TIMEOUT_S = 5.0
"""How long the node's stop waits for the callbacks of events that happened before it."""

logger = logging.getLogger("tagmesh.callbacks")

Callback = Callable[[EventRecord], None]


class CallbackWorker:
    """One thread, there while the node runs and somebody wants to hear.

    It is never started from the hub: in a monkey-patched application that would have to wait there.
    """

    def __init__(self, name: str) -> None:
        self.dropped = 0
        self._name = name
        self._registered: list[tuple[Callback, frozenset[Event]]] = []
        self._lock = threading.Lock()
        self._running = False
        self._worker: _Worker | None = None

    def register(self, callback: Callback, kinds: frozenset[Event]) -> None:
        """Call ``callback(record)`` for events of these kinds; from any thread."""
        with self._lock:
            self._registered.append((callback, kinds))
            self._start_if_wanted()

    def start(self) -> None:
        """The node starts."""
        with self._lock:
            self._running = True
            self._start_if_wanted()

    def put(self, record: EventRecord) -> None:
        """An event happened; called in the hub, never waits."""
        worker = self._worker
        if worker is None or not any(record.kind in kinds for _, kinds in self._registered):
            return
        try:
            worker.waiting.put_nowait(record)
        except queue.Full:
            self.dropped += 1
            if self.dropped & (self.dropped - 1) == 0:
                logger.warning("event callbacks are too slow: %d events dropped", self.dropped)

    def stop(self) -> None:
        """Finish what waits, then end the thread; one that is stuck is left behind after a while.

        A callback may call it.
        """
        with self._lock:
            self._running = False
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()

    def _start_if_wanted(self) -> None:
        if self._running and self._registered and self._worker is None:
            self._worker = _Worker(self._name, self._registered)


class _Worker:
    """One thread and what waits for it."""

    def __init__(self, name: str, registered: list[tuple[Callback, frozenset[Event]]]) -> None:
        self.waiting: queue.Queue[EventRecord | None] = queue.Queue(MAX_WAITING)
        self._registered = registered
        self._given_up = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        try:
            self.waiting.put_nowait(None)
        except queue.Full:
            self._given_up = True  # it will not get through them in any useful time
        if self._thread is not threading.current_thread():
            self._thread.join(STOP_TIMEOUT_S)
            self._given_up = True

    def _work(self) -> None:
        while (record := self.waiting.get()) is not None and not self._given_up:
            for callback, kinds in list(self._registered):
                if record.kind in kinds:
                    try:
                        callback(record)
                    except Exception:
                        logger.exception("event callback %r failed on %s", callback, record)
