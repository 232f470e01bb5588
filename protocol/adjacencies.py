"""A node's own links: which are up, which of them it has yet to tell, and when.

The end of a link is told at once, and with it all that is new. A link that comes up takes three
steps (decision 9):

1. At once the peer is asked what it says now. A link that was away must not be taken for whole
   because of what its other end said before.
2. After `GATHER_S` it is told, together with those that came up meanwhile. In a cluster that starts
   all links of a node come up within a few milliseconds; told one by one, n nodes say n³ things.
   Until then the node tells nothing of itself: perhaps it had dropped the peer, which has not
   noticed and need not.
3. After as long again the peer gets the first digest. What was to be told has been told by then, so
   it brings the rest only. From then on all neighbours get one every ``digest_interval_s``.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from .because import About, Because, Cause, because
from .identity import NodeId

GATHER_S = 0.05
"""From a link that comes up until it is told: longer than a LAN needs for question and answer."""


def link_up(peer: NodeId) -> Because:
    """The news that the link with ``peer`` is up."""
    about = About("link", str(peer))
    return because(f"link with node {peer} is up", Cause.LINK_UP, about)


class Adjacencies:
    """The links of one node. Times are seconds of any clock that never steps back."""

    def __init__(self, digest_interval_s: float) -> None:
        self._digest_interval_s = digest_interval_s
        self._up: dict[NodeId, int] = {}
        self._causes: dict[NodeId, str] = {}
        """Why those came up that are not told yet."""
        self._tell_at: float | None = None
        self._first_digest_at: dict[NodeId, float] = {}
        """New neighbours, the first one due first."""
        self._digest_at: float | None = None

    @property
    def up(self) -> Mapping[NodeId, int]:
        """The peers of links that are up, each with its incarnation."""
        return self._up

    @property
    def gathering(self) -> bool:
        """There are links to be told soon."""
        return self._tell_at is not None

    @property
    def deadline(self) -> float | None:
        """When something is due; None without links."""
        first_digest_at = next(iter(self._first_digest_at.values()), None)
        times = [t for t in (self._tell_at, first_digest_at, self._digest_at) if t is not None]
        return min(times, default=None)

    def begin(self, peer: NodeId, incarnation: int, now: float, cause: str) -> None:
        """The link is up, with the peer in this life; to be told because of ``cause``."""
        self._up[peer] = incarnation
        self._causes[peer] = cause
        self._first_digest_at.pop(peer, None)
        self._first_digest_at[peer] = now + 2 * GATHER_S
        if self._digest_at is None:
            self._digest_at = now + self._digest_interval_s

    def end(self, peer: NodeId) -> None:
        """The link is up no more; nothing when it was not."""
        for of_peers in (self._up, self._causes, self._first_digest_at):
            of_peers.pop(peer, None)
        if not self._up:
            self._digest_at = None

    def must_tell(self, told: Mapping[NodeId, int], now: float, *, news: bool = False) -> bool:
        """Is it time to tell the links, when ``told`` is what was told last?

        Otherwise `deadline` says when, if there is anything to tell. Ask after each change.
        ``news``: there is something else to tell, which can wait as new links can.
        """
        if self._up == told and not news:
            self._tell_at = None
            return False
        if any(self._up.get(peer) != life for peer, life in told.items()):
            return True
        if self._tell_at is None:
            self._tell_at = now + GATHER_S
        return now >= self._tell_at

    def told(self) -> None:
        """All links have been told."""
        self._tell_at = None

    @property
    def news(self) -> str:
        """In a few words, what there is to tell of links that came up."""
        if len(self._causes) == 1:
            return link_up(min(self._causes))
        return because(f"links with {len(self._causes)} nodes are up", Cause.LINK_UP)

    def take_causes(self, told: AbstractSet[NodeId]) -> dict[NodeId, str]:
        """Why the links with these peers came up; of each once."""
        return {peer: self._causes.pop(peer) for peer in self._causes.keys() & told}

    def digests_due(self, now: float) -> list[NodeId]:
        """The peers that are to get a digest now."""
        if self._digest_at is not None and now >= self._digest_at:
            self._digest_at = now + self._digest_interval_s
            self._first_digest_at.clear()
            return sorted(self._up)
        due = [peer for peer, at in self._first_digest_at.items() if at <= now]
        for peer in due:
            del self._first_digest_at[peer]
        return due
