"""The link of a node with another, as that node sees it: for people at a prompt."""

from __future__ import annotations

from collections.abc import Callable

from ..protocol.errors import Misuse
from ..protocol.status import PeerStatus, Status
from .tables import plain


class LinkView:
    """Always the present state; ``print(link)`` explains it."""

    def __init__(self, status: Callable[[], Status], node_id: int, cluster: int | None) -> None:
        """Raises `Misuse` when the node knows no such node."""
        self._status = status
        self._node_id = node_id
        self._cluster = cluster
        self.peer  # noqa: B018 - raises

    @property
    def peer(self) -> PeerStatus:
        """The other node, in the first cluster that has it unless one was named."""
        status = self._status()
        clusters = [c for c in status.clusters if self._cluster in (None, c.cluster_id)]
        for cluster in clusters:
            for peer in cluster.peers:
                if peer.node_id == self._node_id:
                    return peer
        known = sorted({p.node_id for c in clusters for p in c.peers})
        raise Misuse(f"node {status.node_id} knows no node {self._node_id}; it knows {known}")

    def explain(self) -> str:
        """``Down for 4 s: cut by the test switch; reachable via 2 (2 hops)``."""
        peer = self.peer
        why = f": {plain(peer.why)}" if peer.why else ""
        return f"{peer.link} for {peer.since_s:.0f} s{why}; {_route(peer)}"

    def __repr__(self) -> str:
        return self.explain()


def _route(peer: PeerStatus) -> str:
    if peer.next_hop is None:
        return "not reachable"
    if peer.next_hop == peer.node_id:
        rtt = f", {peer.rtt_s * 1000:.1f} ms there and back" if peer.rtt_s is not None else ""
        return f"reached directly{rtt}"
    return f"reachable via {peer.next_hop} ({len(peer.route)} hops)"
