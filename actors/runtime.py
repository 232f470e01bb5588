"""The first port: time, timers, randomness and a pool for blocking calls.

Actors see only the `Runtime` interface. `GeventRuntime` is production; the simulator brings its
own on virtual time. Everything but `call_soon` belongs to the hub's thread (H16).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import gevent
import gevent.event
import gevent.threadpool

from ..protocol.histogram import Histogram
from .worker import ThreadWorker, Worker

T = TypeVar("T")

POOL_THREADS = 1  # one worker owns the database (H13): queries queue, they never overlap


class Timer(Protocol):
    """A callback that is still to come."""

    def cancel(self) -> None:
        """It will not come."""


class Runtime(Protocol):
    """What actors may ask of the machine they run on."""

    random: random.Random
    stopped: bool
    """Nothing may happen in this process now: a simulated one can be."""
    straight: bool
    """Single messages may take the short way (`actors.straight`)."""

    def monotonic(self) -> float:
        """Seconds on a clock that only goes forward."""

    def wall(self) -> float:
        """Seconds since the epoch; for people and for incarnations, never for decisions."""

    def in_hub(self) -> bool:
        """Is this the hub's thread? There nobody may wait."""

    def worker(self, name: str) -> Worker:
        """A place for calls of application code; made outside the hub."""

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call in the hub's thread, after what is scheduled already; from any thread."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call in the hub's thread after ``delay_s`` seconds."""

    def call_in_pool(
        self, function: Callable[[], T], done: Callable[[T | None, Exception | None], None]
    ) -> None:
        """Run a blocking function in a worker; ``done(result, error)`` comes back in the hub."""


class GeventRuntime:
    """A `Runtime` on the gevent hub of the thread that makes it. Nothing is monkey-patched."""

    stopped = False
    straight = True

    def __init__(self) -> None:
        self.random = random.Random()  # noqa: S311 - jitter, not secrets
        self._hub = gevent.get_hub()
        self._thread = threading.get_ident()
        self._pool = gevent.threadpool.ThreadPool(POOL_THREADS, hub=self._hub)
        self._closed = False
        self.pool_calls = Histogram()
        """How long what was called in the pool took."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    def in_hub(self) -> bool:
        """See `Runtime.in_hub`."""
        return threading.get_ident() == self._thread

    def worker(self, name: str) -> Worker:
        """See `Runtime.worker`."""
        return ThreadWorker(name, self.call_soon)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """See `Runtime.call_soon`."""
        if self._closed:
            return
        if threading.get_ident() == self._thread:
            self._hub.loop.run_callback(callback)
        else:
            self._hub.loop.run_callback_threadsafe(callback)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """See `Runtime.call_later`."""
        return _GeventTimer(self._hub.loop, max(delay_s, 0.0), callback)

    def call_in_pool(
        self, function: Callable[[], T], done: Callable[[T | None, Exception | None], None]
    ) -> None:
        """See `Runtime.call_in_pool`."""

        def guarded() -> tuple[T | None, Exception | None, float]:
            # gevent prints the traceback of whatever escapes here
            begin_s = time.monotonic()
            value, error = None, None
            try:
                value = function()
            except Exception as raised:  # noqa: BLE001 - handed to the caller
                error = raised
            return value, error, time.monotonic() - begin_s

        def finished(result: Any) -> None:
            if result.exception is None:
                value, error, took_s = result.value
                self.pool_calls.add(took_s)
                done(value, error)
            else:
                done(None, RuntimeError(f"worker ended with {result.exception!r}"))

        self._pool.spawn(guarded).rawlink(finished)

    def close(self) -> None:
        """Let the pool go. Called in the hub's thread, last."""
        self._closed = True
        self._pool.kill()


class _GeventTimer:
    def __init__(self, loop: Any, delay_s: float, callback: Callable[[], None]) -> None:
        self._watcher = loop.timer(delay_s)
        self._callback: Callable[[], None] | None = callback
        # update: the loop's idea of now is as old as its last iteration
        self._watcher.start(self._fire, update=True)

    def _fire(self) -> None:
        callback = self._callback
        self.cancel()
        if callback is not None:
            callback()

    def cancel(self) -> None:
        if self._callback is not None:
            self._callback = None
            self._watcher.stop()
            self._watcher.close()


def in_pool(runtime: GeventRuntime, function: Callable[[], T]) -> T:
    """Run in the worker and wait, in a greenlet."""
    result: gevent.event.AsyncResult = gevent.event.AsyncResult()

    def done(value: T | None, error: Exception | None) -> None:
        if error is not None:
            result.set_exception(error)
        else:
            result.set(value)

    runtime.call_in_pool(function, done)
    value: T = result.get()
    return value
