"""Work that must not happen in the hub: done by other threads, some at a time, none lost.

Waking costs next to nothing when work is already under way, so a burst needs one job only.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_LOGGED = 10
"""The first mistakes of handlers have a line each, then every power of two."""
_log = logging.getLogger("tagmesh.capabilities")

Run = Callable[[Callable[[], None]], object]
"""Has a function called somewhere soon: ``executor.submit``, or ``port.call`` for the hub."""


class Background:
    """Does steps of work for as long as there are any."""

    def __init__(self, step: Callable[[], bool], run: Run | None = None, parallel: int = 1) -> None:
        """``step`` does a piece of work and answers True, or False when there is none.

        At most ``parallel`` steps happen at a time. Without ``run`` there are as many threads,
        begun when first needed.
        """
        self._step = step
        self._run = run
        self._parallel = parallel
        self._lock = threading.Lock()
        self._active = 0
        self._woken = False
        self.failures = 0
        """Calls that raised."""

    def wake(self) -> None:
        """There is work: to be called after it can be found."""
        with self._lock:
            self._woken = True
            if self._active == self._parallel:
                return  # whoever ends looks again
            self._active += 1
            if self._run is None:
                pool = ThreadPoolExecutor(self._parallel, thread_name_prefix="tagmesh-handlers")
                self._run = pool.submit
        self._run(self._work)

    def attempt(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call an application's code; True when it raised, which is counted and logged."""
        try:
            return function(*args)
        except BaseException as error:  # noqa: BLE001 - an application's mistake ends nothing (H1)
            self.failures += 1
            if self.failures <= _LOGGED or self.failures & (self.failures - 1) == 0:
                _log.error("a handler failed, %d so far", self.failures, exc_info=error)
            return True

    def _work(self) -> None:
        while True:
            self._woken = False
            while self.attempt(self._step):
                pass
            with self._lock:
                if not self._woken:
                    self._active -= 1
                    return
