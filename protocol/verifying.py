"""When a node compares its records with those of another one, and with which (B7, anti-entropy).

Messages and syncs leave a rest: a writer that dies before it has told everybody, or writes while
its cluster is left, makes copies differ, and nobody notices. So a node that is OK compares itself
with one other OK node after the other, by the order of their ids: a sync of what differs, during
which it stays OK. Records have versions, so it only ever gets newer ones; what the other one lacks,
that one fetches in the same way.

Each pair is compared in both directions once in ``interval`` × (n - 1), and news spreads from node
to node meanwhile. A node that appears, because a partition heals or because it was started, is
compared with soon, and when several appear, as the halves of a partition do, with one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from .donors import Peer, Stint
from .identity import NodeId
from .messages import BUCKETS

SOON_S = 5.0
"""At most, until a node that appeared is compared with."""
LEAST_SHARE = 0.5
"""Of the interval, and of `SOON_S`: pauses are drawn from there on, so that nodes do not keep
step."""


class Comparison(msgspec.Struct, frozen=True):
    """What to compare, and with which node."""

    node_id: NodeId
    first_bucket: int
    """Of the sections that are compared: when there are very many, not all are at once."""


class Verifying:
    """The comparisons of one capability. Times are seconds of a monotonic clock."""

    def __init__(self, interval_s: float, draw: Callable[[], float]) -> None:
        """``draw`` gives numbers in [0, 1)."""
        self.deadline: float | None = None
        """When to ask `due`; None = there is nobody to compare with."""
        self._interval_s = interval_s
        self._draw = draw
        self._peers: tuple[Stint, ...] = ()
        """By node id."""
        self._newcomer: NodeId | None = None
        self._last = NodeId(0)
        """Compared with last, of those whose turn it was."""

    def see(self, peers: Sequence[Peer], now: float) -> None:
        """These are OK now; none while this node itself is not."""
        known, self._peers = self._peers, tuple(sorted(peer.stint for peer in peers))
        appeared = [stint[0] for stint in self._peers if stint not in known]
        if not peers:
            self.deadline = self._newcomer = None
        elif appeared and self._newcomer is None:
            self._newcomer = appeared[int(self._draw() * len(appeared))]
            soon = now + self._pause(min(SOON_S, self._interval_s))
            self.deadline = soon if self.deadline is None else min(soon, self.deadline)

    def due(self, now: float) -> Comparison | None:
        """What to compare now; None = it is not time."""
        if self.deadline is None or now < self.deadline:
            return None
        self.deadline = now + self._pause(self._interval_s)
        nodes = [stint[0] for stint in self._peers]
        node, self._newcomer = self._newcomer, None
        if node not in nodes:
            node = self._last = next((n for n in nodes if n > self._last), nodes[0])
        return Comparison(node, int(self._draw() * BUCKETS))

    def _pause(self, longest_s: float) -> float:
        return longest_s * (LEAST_SHARE + (1 - LEAST_SHARE) * self._draw())
