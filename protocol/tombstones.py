"""Which nodes were removed, and for how long that is remembered (X-1, X-3, X-5).

A tombstone is the last word on a node: the removal with the latest time, or that it was taken back,
which is remembered as long so that an older removal heard again does not count. It holds for every
life of the node: what a removed process does next is to start again. A row in the database is above
it, since whoever writes one provisions the node anew.

Times are those of wall clocks, since a tombstone outlives processes. A time in the future counts as
now for how long it lasts.
"""

from __future__ import annotations

from collections.abc import Iterable

from .identity import ClusterId, NodeId
from .removal_messages import MAX_WALL_MS, Removal

MAX_TOMBSTONES = 1024
"""Of one process; the oldest goes first."""

Key = tuple[ClusterId, NodeId]
Stone = tuple[ClusterId, Removal]
"""A removal and the cluster it is of."""


class Tombstones:
    """The removals that one process knows, each for ``life_s`` seconds."""

    def __init__(self, life_s: float) -> None:
        self._life_ms = int(life_s * 1000)
        self._known: dict[Key, Removal] = {}
        self._over_ms: dict[Key, int] = {}
        """When each is forgotten."""

    def take(self, stones: Iterable[Stone], wall_s: float) -> list[Stone]:
        """Note what is new and not over; those, in the order given."""
        self.expire(wall_s)
        news = []
        for cluster, removal in stones:
            key, now_ms = (cluster, NodeId(removal.node_id)), int(wall_s * 1000)
            over_ms = min(removal.removed_ms, now_ms) + self._life_ms
            known = self._known.get(key)
            if over_ms <= now_ms or (known is not None and _rank(removal) <= _rank(known)):
                continue
            self._known[key], self._over_ms[key] = removal, over_ms
            news.append((cluster, removal))
        while len(self._known) > MAX_TOMBSTONES:
            self._forget(min(self._known, key=lambda key: (self._over_ms[key], key)))
        return news

    def expire(self, wall_s: float) -> None:
        """Forget those whose time is over."""
        now_ms = int(wall_s * 1000)
        for key in [key for key, over_ms in self._over_ms.items() if over_ms <= now_ms]:
            self._forget(key)

    def standing(self, cluster: ClusterId, node: NodeId) -> Removal | None:
        """The removal of a node that counts now; None = it was not removed, or may join again."""
        known = self._known.get((cluster, node))
        return known if known is not None and not known.lifted else None

    def removed_from(self, node: NodeId) -> list[ClusterId]:
        """The clusters that a node was removed from, sorted."""
        return sorted(
            c for (c, n), removal in self._known.items() if n == node and not removal.lifted
        )

    def of(self, cluster: ClusterId) -> list[Removal]:
        """All that is known of a cluster, what was taken back too, by node."""
        return [
            removal for (c, _), removal in sorted(self._known.items(), key=_key) if c == cluster
        ]

    def later(self, cluster: ClusterId, node: NodeId, wall_s: float) -> int:
        """A time in ms for the next word on a node: now, and after the last one."""
        known = self._known.get((cluster, node))
        after = known.removed_ms + 1 if known is not None else 0
        return min(max(int(wall_s * 1000), after), MAX_WALL_MS)

    def _forget(self, key: Key) -> None:
        del self._known[key], self._over_ms[key]


def _rank(removal: Removal) -> tuple[int, bool, int, str]:
    return (removal.removed_ms, not removal.lifted, removal.incarnation, removal.by)


def _key(item: tuple[Key, Removal]) -> Key:
    return item[0]
