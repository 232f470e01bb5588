"""Which reachable nodes lack a capability for good, as far as anybody can tell.

What is sent `at_least_once` to a node that is reachable and has not registered the capability
waits: the node may be about to. One that goes on without it for `PATIENCE_S` in one life will not
get it by itself, so nothing waits for it any longer: what waits is given up, and senders are told.
When it registers the capability after all, it is sent to like any other.
"""

from __future__ import annotations

from collections.abc import Mapping

from .identity import NodeId

PATIENCE_S = 60.0


class Lacking:
    """The nodes without one capability. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self.for_good: frozenset[NodeId] = frozenset()
        """Those that nothing waits for."""
        self._since: dict[NodeId, tuple[int, float]] = {}
        """Each with its life, and since when it has been known to lack it."""

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called."""
        waits = (since for node, (_, since) in self._since.items() if node not in self.for_good)
        first = min(waits, default=None)
        return first + PATIENCE_S if first is not None else None

    def see(self, lives: Mapping[NodeId, int], now: float) -> None:
        """These are reachable without the capability, each in this life."""
        self._since = {
            node: known if (known := self._since.get(node)) and known[0] == life else (life, now)
            for node, life in lives.items()
        }
        self._judge(now)

    def tick(self, now: float) -> bool:
        """The deadline passed: whether `for_good` is another one."""
        before = self.for_good
        self._judge(now)
        return self.for_good != before

    def _judge(self, now: float) -> None:
        late = (n for n, (_, since) in self._since.items() if since + PATIENCE_S <= now)
        self.for_good = frozenset(late)
