"""Requests under way: what will come of each, and one timer for all of them."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from typing import Any

from ..protocol.contract import Capability
from ..protocol.errors import TimedOut
from .timer import Timer

GRACE_S = 1.0
"""`Reply.result` waits so much longer than the request may take: the node may be busy then."""
PAUSE_S = 0.01
"""All requests are looked at to find those whose time is over, but not more often: they end so much
later at most."""
Error = Exception | None


class Reply:
    """What will come of a request. Any thread may wait for it, but nobody in the node's hub."""

    __slots__ = ("_callbacks", "_done", "_error", "_result", "due_s", "node", "timeout_s")

    def __init__(self, node: int, timeout_s: float) -> None:
        self.node = node
        self.timeout_s = timeout_s
        self.due_s = math.inf
        """On the clock of its port; who keeps it sets this."""
        self._result: Any = None
        self._error: Error = None
        self._callbacks: list[Callable[[Reply], None]] = []
        self._done = False

    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._done

    def result(self, timeout_s: float | None = None) -> Any:
        """The reply, waited for. Raises what became of the request otherwise, `TimedOut` too when
        ``timeout_s`` is over before that is known."""
        if not self._done:
            self._wait(self.timeout_s + GRACE_S if timeout_s is None else timeout_s)
        if self._error is not None:
            raise self._error
        return self._result

    def _wait(self, timeout_s: float) -> None:
        latch = threading.Lock()  # not before somebody waits: most replies are never waited for
        latch.acquire()
        self.add_done_callback(lambda _: latch.release())
        if not latch.acquire(timeout=timeout_s):
            raise TimedOut(f"node {self.node} did not answer in {timeout_s} s")

    def add_done_callback(self, function: Callable[[Reply], None]) -> None:
        """Have a function called when it is done, in the hub, where nothing may wait; at once when
        it is done already."""
        self._callbacks.append(function)  # first this: whoever ends it looks afterwards
        if self._done:
            self._call_back()

    def finish(self, result: Any, error: Error) -> None:
        """It is done; to be called once."""
        self._result = result
        self._error = error
        self._done = True
        if self._callbacks:
            self._call_back()

    def _call_back(self) -> None:
        while self._callbacks:
            try:
                function = self._callbacks.pop(0)
            except IndexError:
                return  # the other thread took the last one
            function(self)


class Pending:
    """The requests under way, by number; a bounded number of them. Any thread may use it."""

    def __init__(self, limit: int, owner: Capability) -> None:
        """``owner`` has a port when the first request begins."""
        self._limit = limit
        self._owner = owner
        self._replies: dict[int, Reply] = {}
        self._numbers = itertools.count(1)
        self._timer = Timer(owner, self._due)
        """Never later than the first deadline; mostly its request is done by then."""
        self.timed_out = 0

    def __len__(self) -> int:
        return len(self._replies)

    def begin(self, reply: Reply) -> int | None:
        """A number for a request; None when there are too many."""
        reply.due_s = due_s = self._owner.port.now() + reply.timeout_s
        number = next(self._numbers)
        self._replies[number] = reply  # first this: two threads see each other, there is no lock
        if len(self._replies) > self._limit:
            self._replies.pop(number, None)
            return None
        self._timer.arm_at(due_s)
        return number

    def finish(self, number: object, result: Any, error: Error = None) -> bool:
        """The end of a request; False when there is none of that number."""
        reply = self._replies.pop(number, None) if type(number) is int else None
        if reply is None:
            return False
        reply.finish(result, error)
        return True

    def fail(self, error: Exception, node: int | None = None) -> None:
        """The end of all requests, or of all to one node."""
        for number, reply in self._replies.copy().items():
            if node in (None, reply.node):
                self.finish(number, None, error)

    def _due(self) -> None:
        now_s = self._owner.port.now()
        late: list[tuple[int, Reply]] = []
        next_s = math.inf
        for number, reply in self._replies.copy().items():  # a step that no thread interrupts
            if reply.due_s <= now_s:
                late.append((number, reply))
            else:
                next_s = min(next_s, reply.due_s)
        if next_s < math.inf:
            self._timer.arm_at(max(next_s, now_s + PAUSE_S))
        for number, reply in late:
            error = TimedOut(f"node {reply.node} did not answer in {reply.timeout_s} s")
            self.timed_out += self.finish(number, None, error)
