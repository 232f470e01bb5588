"""Messages that wait for the end of a sync (S-23), bounded in number and bytes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from ..protocol.identity import NodeId


class Held(msgspec.Struct, frozen=True):
    """A batch of messages, still packed."""

    payloads: bytes
    count: int
    skip: int
    """The first ones that are not to be delivered."""
    source: NodeId


class Holding:
    """The batches of one capability, in the order in which they came."""

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._batches: deque[Held] = deque()
        self._messages = 0
        self._bytes = 0

    def keep(self, batch: Held) -> bool:
        """Hold one more; False when that would be more than may be held."""
        messages = self._messages + batch.count - batch.skip
        size = self._bytes + len(batch.payloads)
        if messages > self._max_messages or size > self._max_bytes:
            return False
        self._messages, self._bytes = messages, size
        self._batches.append(batch)
        return True

    def release(self) -> list[Held]:
        """Everything held; nothing is, then."""
        batches, self._batches = list(self._batches), deque()
        self._messages = self._bytes = 0
        return batches
