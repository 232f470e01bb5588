"""Work that must not happen in the hub: done by other threads, some at a time, none lost.

Waking costs next to nothing when work is already under way, so a burst needs one job only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Run = Callable[[Callable[[], None]], object]
"""Has a function called somewhere soon: ``executor.submit``, or ``port.call`` for the hub."""


class Background:
    """Does steps of work for as long as there are any."""

    def __init__(self, step: Callable[[], bool], run: Run | None = None, parallel: int = 1) -> None:
        """``step`` does a piece of work, or answers False when there is none; it never raises.

        At most ``parallel`` steps happen at a time. Without ``run`` there are as many threads,
        begun when first needed.
        """
        self._step = step
        self._run = run
        self._parallel = parallel
        self._lock = threading.Lock()
        self._active = 0
        self._woken = False

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

    def _work(self) -> None:
        while True:
            self._woken = False
            while self._step():
                pass
            with self._lock:
                if not self._woken:
                    self._active -= 1
                    return
