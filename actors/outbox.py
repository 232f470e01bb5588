"""What waits for one destination until the hub takes it: in order, and bounded.

Most messages are small, and one thread sends them. Taking a lock for each would cost about as much
as packing it, so they are put into ``loose`` without one: `list.append` is one step for every
other thread, and so are taking a part of a list and deleting it. The rest is done under the lock
of the port, once for `MAX_LOOSE` messages: they are joined, and counted by bytes.

The limit holds although nobody counts loose messages: there is a reserve for them. While less than
that is left, ``open`` is False and every message is counted under the lock. A thread may have
looked at ``open`` just before it became False, and puts one message more; then it meets the lock.
So the reserve is enough for `LOOSE_RESERVE_BYTES` / `LOOSE_BYTES` − `MAX_LOOSE` threads at that
same point at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..protocol.contract import Outcome, Result
from ..protocol.identity import NodeId
from ..protocol.payloads import BATCH_BYTES, Joined

LOOSE_BYTES = 1280
"""Longer messages are never loose."""
MAX_LOOSE = BATCH_BYTES // LOOSE_BYTES
"""Loose messages; one more, and they are joined. A batch holds them, however long they are."""
LOOSE_RESERVE_BYTES = 160 * 1024
AHEAD_BYTES = 256 * 1024
"""More than this makes nothing faster: what waits longer is no more in the processor's cache when
it is sent."""


class Verdict(NamedTuple):
    """What becomes of a message for one destination, as things stand."""

    accepted: bool
    first: Result
    """When nothing waits for that destination."""
    behind: Result
    """When something does."""


def verdict_of(outcome: Outcome, route: Sequence[NodeId] = (), detail: str = "") -> Verdict:
    """The verdict with this outcome for a message that nothing waits before."""
    result = Result(outcome, tuple(route), detail)
    accepted = outcome is Outcome.SENT
    behind = Result(Outcome.QUEUED, tuple(route)) if accepted else result
    return Verdict(bool(result), result, behind)


class Outbox:
    """Of one destination. Everything but looking, and appending to ``loose``, needs the lock."""

    __slots__ = (
        "_joined",
        "_joined_bytes",
        "_limit_bytes",
        "_singles",
        "_waiting_bytes",
        "behind",
        "loose",
        "moves",
        "open",
        "result",
        "told_busy",
        "verdict",
    )
    result: Result
    """What the sender of the first loose message is told."""
    behind: Result
    """What those behind it are told."""
    verdict: Verdict

    def __init__(self, limit_bytes: int, verdict: Verdict) -> None:
        self.loose: list[bytes | memoryview] = []
        """Packed messages, not counted, each of at most `LOOSE_BYTES`; the same list for ever."""
        self.open = False
        """Small messages may be put into ``loose``."""
        self.told_busy = False
        """Somebody was, and wants to know when there is room."""
        self._limit_bytes = limit_bytes
        self._waiting_bytes = 0
        self._joined: list[Joined] = []
        self._joined_bytes = 0
        self.moves = True
        """When last somebody waited for half of it to be sent, that was soon."""
        self._singles: list[bytes | memoryview] = []
        """Counted, not joined yet: behind all that are joined, before all loose ones."""
        self.judge(verdict)

    @property
    def ahead(self) -> bool:
        """More waits to be sent than is of use."""
        return self._waiting_bytes > AHEAD_BYTES

    @property
    def overdue(self) -> bool:
        """So much waits to be taken: the hub would like to, and does not get its turn."""
        return self._joined_bytes > AHEAD_BYTES

    def judge(self, verdict: Verdict) -> None:
        """This is what becomes of messages now."""
        self.verdict, self.behind = verdict, verdict.behind
        self._settle()

    def count(self) -> int:
        """Bytes that were accepted and are not sent, all of them."""
        return self._waiting_bytes + sum(map(len, self.loose))

    def put(self, pieces: Sequence[Joined]) -> Result:
        """Accept messages, behind all others, that fit: see `count`."""
        if self.loose:
            self.join()
        result = self.result
        size_bytes = sum([len(piece.payloads) for piece in pieces])
        if len(pieces) == 1 and pieces[0].count == 1 and size_bytes <= LOOSE_BYTES:
            self._singles.append(pieces[0].payloads)
            if len(self._singles) == MAX_LOOSE:
                self._join_singles()
        else:
            self._join_singles()
            self._joined += pieces
            self._joined_bytes += size_bytes
        self._waiting_bytes += size_bytes
        self._settle()
        return result

    def take(self) -> list[Joined]:
        """What was accepted since the last call, in order. It counts until it is `released`."""
        if self.loose or self._singles:
            self.join()
            self._join_singles()
        pieces, self._joined = self._joined, []
        self._joined_bytes = 0
        return pieces

    def released(self, size_bytes: int) -> None:
        """So much of what was taken waits no longer."""
        self._waiting_bytes -= size_bytes
        self._settle()

    def join(self) -> None:
        """Count the loose messages. They go from one list to the other in two steps without a call
        in between, where Ctrl-C could end it."""
        if self.loose:
            self._join_singles()
        while self.loose:
            count = min(len(self.loose), MAX_LOOSE)
            piece = Joined(count, b"".join(self.loose[:count]))
            size = len(piece.payloads)
            self._joined += [piece]
            del self.loose[:count]
            self._waiting_bytes += size
            self._joined_bytes += size
        self._settle()

    def _join_singles(self) -> None:
        """In the same way."""
        count = len(self._singles)
        if count:
            piece = Joined(count, b"".join(self._singles))
            self._joined += [piece]
            del self._singles[:]

    def _settle(self) -> None:
        waiting = self._waiting_bytes
        self.result = self.behind if waiting else self.verdict.first
        fits = waiting + LOOSE_RESERVE_BYTES <= self._limit_bytes
        self.open = fits and self.verdict.accepted
