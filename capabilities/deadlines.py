"""Which keys need attention when: expiry of records and of tombstones.

Keys are kept together by the second, so that a key is found again when its record is overwritten,
and nothing of outdated deadlines remains. They are told up to a second late, never early.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

SLOT_MS = 1000


class Deadlines:
    """At most one deadline per key, in milliseconds."""

    def __init__(self) -> None:
        self.slots: dict[int, dict[bytes, None]] = {}
        """By the second in which their keys are due; none is empty."""
        self._order: list[int] = []
        """A heap of slots; some may be gone by now and some there twice."""

    def add(self, deadline_ms: int, key: bytes) -> None:
        """The key has no deadline yet."""
        number = deadline_ms // SLOT_MS + 1
        slot = self.slots.get(number)
        if slot is None:
            self.slots[number] = {key: None}
            heappush(self._order, number)
            if len(self._order) > 2 * len(self.slots) + 64:
                self._order = list(self.slots)
                heapify(self._order)
        else:
            slot[key] = None

    def discard(self, deadline_ms: int, key: bytes) -> None:
        """The key has that deadline no longer, if it had it."""
        number = deadline_ms // SLOT_MS + 1
        slot = self.slots.get(number)
        if slot is not None:
            slot.pop(key, None)
            if not slot:
                del self.slots[number]

    def under_way(self, now_ms: int) -> Iterator[bytes]:
        """Keys whose deadline is in this second, passed or not."""
        return iter(self.slots.get(now_ms // SLOT_MS + 1, ()))

    def due(self, now_ms: int, limit: int) -> list[bytes]:
        """Keys whose deadline has passed, at most ``limit``; they have none any more."""
        found: list[bytes] = []
        while len(found) < limit and self._order and self._order[0] * SLOT_MS <= now_ms:
            slot = self.slots.pop(self._order[0], {})
            while slot and len(found) < limit:
                found.append(slot.popitem()[0])
            if slot:
                self.slots[self._order[0]] = slot
            else:
                heappop(self._order)
        return found
