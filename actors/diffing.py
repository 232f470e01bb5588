"""The comparisons that somebody asked a capability for, until each is answered (B7)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..protocol.capability_words import Answer
from ..protocol.diffing import Differences
from ..protocol.sync_words import Why
from .actor import ReplyFuture

if TYPE_CHECKING:
    from .mail import DiffWanted


@dataclasses.dataclass
class Asked:
    """One comparison with one node; ``reply`` gets a `NodeDiff`."""

    differences: Differences
    reply: ReplyFuture

    def end(self, reason: str = "") -> None:
        """Answer it; ``reason``: why it came to nothing."""
        if not self.reply.ready:
            self.reply.set(self.differences.result(reason))


class Diffing:
    """Belongs to a capability actor; runs in its turns."""

    def __init__(self) -> None:
        self._asked: Asked | None = None
        """The rules were asked for it just now."""
        self._running: dict[int, Asked] = {}
        """By session."""

    def wanted(self, wanted: DiffWanted) -> Asked:
        """Somebody wants one; `started` or `Asked.end` follows in the same turn."""
        self._asked = Asked(Differences(wanted.node_id, wanted.limit), ReplyFuture())
        return self._asked

    def answered(self, answer: Answer | None) -> None:
        """What the rules said to that."""
        asked, self._asked = self._asked, None
        if asked is not None and answer is not Answer.TAKEN:
            asked.end(str(answer))

    def started(self, session: int) -> Differences:
        """Its session begins: what to tell the records to."""
        assert self._asked is not None, "nobody asked"
        self._running[session] = self._asked
        return self._asked.differences

    def ended(self, session: int, reason: str) -> None:
        """A session is over, of a comparison maybe."""
        asked = self._running.pop(session, None)
        if asked is not None:
            asked.end(reason)

    def end(self) -> None:
        """The capability's actor ends."""
        for session in list(self._running):
            self.ended(session, Why.DISABLED)
