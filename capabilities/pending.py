"""Requests under way: what will come of each, and one timer for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

from ..protocol.contract import Capability
from ..protocol.errors import TimedOut
from .timer import Timer

GRACE_S = 1.0
"""`Reply.result` waits so much longer than the request may take: the node may be busy then."""
SPARE_DEADLINES = 64
"""Deadlines of requests that have ended are forgotten when there are more of them than requests
under way and so many more."""
Error = Exception | None


class Reply:
    """What will come of a request. Any thread may wait for it, but nobody in the node's hub."""

    __slots__ = ("_callbacks", "_done", "_error", "_result", "node", "timeout_s")

    def __init__(self, node: int, timeout_s: float) -> None:
        self.node = node
        self.timeout_s = timeout_s
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
        self._lock = threading.Lock()
        self._replies: dict[int, Reply] = {}
        self._deadlines: list[tuple[float, int]] = []
        """A heap; most of its requests are done long before, so it is cleared of them often: a
        small one stays in the cache of the CPU."""
        self._next = 0
        self._timer = Timer(owner, self._due)
        self.timed_out = 0

    def __len__(self) -> int:
        return len(self._replies)

    def begin(self, reply: Reply) -> int | None:
        """A number for a request; None when there are too many."""
        deadline_s = self._owner.port.now() + reply.timeout_s
        with self._lock:
            if len(self._replies) >= self._limit:
                return None
            number = self._next = self._next + 1
            self._replies[number] = reply
            heappush(self._deadlines, (deadline_s, number))
            if len(self._deadlines) > 2 * len(self._replies) + SPARE_DEADLINES:
                self._deadlines = [entry for entry in self._deadlines if entry[1] in self._replies]
                heapify(self._deadlines)
        self._timer.arm_at(deadline_s)
        return number

    def finish(self, number: int, result: Any, error: Error = None) -> bool:
        """The end of a request; False when there is none of that number."""
        reply = self._replies.pop(number, None)
        if reply is None:
            return False
        reply.finish(result, error)
        return True

    def fail(self, error: Exception, node: int | None = None) -> None:
        """The end of all requests, or of all to one node."""
        for number, reply in list(self._replies.items()):
            if node in (None, reply.node):
                self.finish(number, None, error)

    def _due(self) -> None:
        now_s = self._owner.port.now()
        late: list[int] = []
        with self._lock:
            while self._deadlines:
                deadline_s, number = self._deadlines[0]
                if number in self._replies:
                    if deadline_s > now_s:
                        self._timer.arm_at(deadline_s)
                        break
                    late.append(number)
                heappop(self._deadlines)
        for number in late:
            reply = self._replies.get(number)
            if reply is not None:
                error = TimedOut(f"node {reply.node} did not answer in {reply.timeout_s} s")
                self.timed_out += self.finish(number, None, error)
