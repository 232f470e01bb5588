"""How the faces ask the node: in worker threads, so that the hub never waits for it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

from gevent.threadpool import ThreadPool

from . import mi
from .commands import TABLE
from .port import NodePort

QUICK_WORKERS = 2
WAITING_WORKERS = 8
"""Calls that wait for other nodes at the same time; more of them queue, other requests do not."""

_Result = TypeVar("_Result")


class Asking:
    """Each face has one. It belongs to the thread that made it.

    It makes no difference whether the node runs in this hub, in another thread's hub or not under
    gevent at all. What is passed to `call` must not raise: gevent would print it.
    """

    def __init__(self, port: NodePort, who: str, *, read_only: bool = False) -> None:
        """``who`` asks, for the audit; ``read_only``: what changes something is refused."""
        self._port = port
        self._who = who
        self._read_only = read_only
        self._quick = ThreadPool(QUICK_WORKERS)
        self._waiting = ThreadPool(WAITING_WORKERS)

    def call(self, function: Callable[[NodePort], _Result], *, waits: bool = False) -> _Result:
        """What ``function`` returns; ``waits``: it may take seconds."""
        pool = self._waiting if waits else self._quick
        result: _Result = pool.apply(function, (self._port,))
        return result

    def manage(self, request: bytes) -> bytes | None:
        """The reply to a JSON-RPC request; None when there is none to send. Raises nothing."""
        call = mi.parse(request, TABLE)
        if not isinstance(call, mi.Call):
            return call
        if self._read_only and call.command.changing:
            self._port.note(self._who, call.command.name, call.shown(), "refused: read only")
            return mi.refuse(call, mi.READ_ONLY)
        answer = functools.partial(mi.answer, call, who=self._who)
        return self.call(answer, waits=call.command.waits)

    def close(self) -> None:
        """End the worker threads; calls under way are given up."""
        self._quick.kill()
        self._waiting.kill()
