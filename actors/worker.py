"""Where an application's code runs when it may block: one call at a time, in order.

Production has a thread per worker (a greenlet in a monkey-patched application, as such
applications expect), the simulator a step of virtual time, and a capability that never waits is
called in the hub itself.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Protocol

STOP_TIMEOUT_S = 5.0
"""How long `ThreadWorker.stop` waits for the call under way."""

Job = Callable[[], None]
Done = Callable[[BaseException | None], None]


class Worker(Protocol):
    """A place for calls of application code."""

    def submit(self, job: Job, done: Done) -> None:
        """Call ``job`` after those submitted before; then ``done(error)`` in the hub."""

    def stop(self) -> None:
        """Finish what waits and end."""


class InlineWorker:
    """Calls at once, in the hub."""

    def submit(self, job: Job, done: Done) -> None:
        """See `Worker.submit`."""
        done(attempt(job))

    def stop(self) -> None:
        """Nothing ever waits."""


class ThreadWorker:
    """A daemon thread of its own. Made outside the hub: a patched thread's start waits there."""

    def __init__(self, name: str, in_hub: Callable[[Callable[[], None]], None]) -> None:
        """``in_hub`` has a function called in the hub's thread; it may be called from any."""
        self._in_hub = in_hub
        self._jobs: queue.SimpleQueue[tuple[Job, Done] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Job, done: Done) -> None:
        """See `Worker.submit`."""
        self._jobs.put((job, done))

    def stop(self) -> None:
        """See `Worker.stop`; one that is stuck is left behind. A job may call it."""
        self._jobs.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(STOP_TIMEOUT_S)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            error = attempt(job)
            self._in_hub(lambda done=done, error=error: done(error))  # type: ignore[misc]  # bound now


def attempt(job: Job) -> BaseException | None:
    """Run a job; what it raised, if anything. Nothing of an application may reach an actor (H1)."""
    try:
        job()
    except BaseException as error:  # noqa: BLE001 - handed to the one who asked
        return error
    return None
