"""Threads for the functions of an application that may block: who answers requests, who observes.

As many as have something to do, up to a few, and one more that waits. They are never started from
the hub, which in a monkey-patched application would have to wait for it: each starts the next.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from .worker import STOP_TIMEOUT_S, attempt

MAX_THREADS = 8

logger = logging.getLogger("tagmesh.handlers")

Job = Callable[[], object]


class Handlers:
    """One per node. `run` is for any thread; what is given to it before `start` waits for that."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0

    def run(self, job: Job) -> None:
        """Call soon, in one of the threads."""
        self._jobs.put(job)

    def start(self) -> None:
        """The node starts; not in a callback of its hub."""
        with self._lock:
            self._add()

    def stop(self) -> None:
        """Finish what was given to `run` and end; what is stuck is left behind. A job may call."""
        with self._lock:
            threads, self._threads = self._threads, []
            self._idle = 0
            jobs, self._jobs = self._jobs, queue.SimpleQueue()
        for _ in threads:
            jobs.put(None)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(STOP_TIMEOUT_S)

    def _add(self) -> None:
        """One more thread. Locked."""
        work = threading.Thread(target=self._work, args=(self._jobs,), name=self._name, daemon=True)
        self._threads.append(work)
        self._idle += 1
        work.start()

    def _work(self, jobs: queue.SimpleQueue[Job | None]) -> None:
        while (job := jobs.get()) is not None:
            self._busy(jobs, 1)
            error = attempt(job)  # type: ignore[arg-type]  # its result is of no interest
            if error is not None:
                logger.error("a function of the application failed", exc_info=error)
            self._busy(jobs, -1)

    def _busy(self, jobs: queue.SimpleQueue[Job | None], more: int) -> None:
        with self._lock:
            if jobs is not self._jobs:
                return  # stopped
            self._idle -= more
            if self._idle == 0 and len(self._threads) < MAX_THREADS:
                self._add()
