"""Calls from any thread into the thread of one hub, also in monkey-patched applications.

There the names of `threading` mean greenlets, and waiting means serving the hub. Whether two pieces
of code share a hub, and how a foreign thread waits for one, are questions about threads of the
operating system, so the originals are used here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import gevent
import gevent.monkey

from ..protocol.errors import Misuse
from .runtime import GeventRuntime

POLL_S = 0.01
"""How often one who waits looks again; state is read in memory."""
GIVE_WAY_S = 20e-6

current_thread_id: Callable[[], int] = gevent.monkey.get_original("_thread", "get_ident")
_new_lock: Callable[[], Any] = gevent.monkey.get_original("_thread", "allocate_lock")
_thread_sleep: Callable[[float], None] = gevent.monkey.get_original("time", "sleep")

T = TypeVar("T")


class Reply(Generic[T]):
    """A result on its way to another thread. The first one given counts."""

    def __init__(self) -> None:
        self._waiting = _new_lock()
        self._waiting.acquire()
        self._given = False
        self._result: T | None = None
        self._error: BaseException | None = None

    def give(self, result: T | None = None, error: BaseException | None = None) -> None:
        """Hand over the result or the exception; always from the same thread."""
        if not self._given:
            self._given = True
            self._result, self._error = result, error
            self._waiting.release()

    def wait(self, timeout_s: float) -> T:
        """The result, or its exception raised; `TimeoutError`."""
        if not self._waiting.acquire(timeout=timeout_s):
            raise TimeoutError(f"no answer of the node's thread within {timeout_s:g} s")
        self._waiting.release()
        if self._error is not None:
            raise self._error
        result: T = self._result  # type: ignore[assignment]  # None where T says so
        return result


class HubCalls:
    """The way into the hub of the thread that makes it."""

    def __init__(self, runtime: GeventRuntime, closed: str) -> None:
        """``closed``: what a caller is told who comes too late."""
        self.thread_id = current_thread_id()
        self._runtime = runtime
        self._closed_text = closed
        self._lock = _new_lock()
        self._closed = False
        self._pending: dict[Reply[Any], object] = {}
        """With the greenlet that serves it, once there is one."""

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Run in a greenlet of the hub's thread and wait for the result.

        Raises what ``function`` raises, `Misuse` when the hub is or gets closed, `TimeoutError`.
        """
        if current_thread_id() == self.thread_id:
            return function()
        reply: Reply[T] = Reply()
        with self._lock:
            if self._closed:
                raise Misuse(self._closed_text)
            self._pending[reply] = None

        def work() -> None:
            self._pending[reply] = gevent.getcurrent()
            try:
                reply.give(function())
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                reply.give(error=error)

        self._runtime.call_soon(lambda: _ignore(gevent.spawn(work)))
        try:
            return reply.wait(timeout_s)
        finally:
            with self._lock:
                self._pending.pop(reply, None)

    def close(self) -> None:
        """Nobody is served any more; who waits is told so, but for the call that closes."""
        with self._lock:
            self._closed = True
            pending = list(self._pending.items())
        for reply, greenlet in pending:
            if greenlet is not gevent.getcurrent():
                reply.give(error=Misuse(self._closed_text))


class Turn:
    """One at a time, for threads and for greenlets of one hub alike: waiting blocks no hub."""

    def __init__(self) -> None:
        self._lock = _new_lock()

    @contextmanager
    def taken(self, sleep: Callable[[float], None]) -> Iterator[None]:
        """Wait for it with ``sleep``, keep it inside."""
        while not self._lock.acquire(blocking=False):
            sleep(POLL_S)
        try:
            yield
        finally:
            self._lock.release()


def threads_are_greenlets() -> bool:
    """Is this a gevent application that has monkey-patched `threading`?"""
    return bool(gevent.monkey.is_module_patched("threading"))


def sleep_in(hub_thread: int | None, seconds: float) -> None:
    """Wait without stopping the hub, should this be its thread."""
    if current_thread_id() == hub_thread:
        gevent.sleep(seconds)
    else:
        _thread_sleep(seconds)


def give_way() -> None:
    """Let the hub have the interpreter; not for the hub's own thread.

    A thread that never waits keeps the interpreter for 5 ms whenever the hub lets go of it, as
    every call of OpenSSL or of a socket does.
    """
    _thread_sleep(GIVE_WAY_S)


def _ignore(_value: object) -> None:
    """A callback has no result."""
