"""What a node knows of one cluster, as one immutable snapshot that any thread may read.

The node actor replaces it whenever something in it changes; ``Context.views`` holds the newest.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..protocol.identity import ClusterId, NodeId, NodeRecord
from ..protocol.messages import CapabilityState
from ..protocol.routing import Path


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster as seen from this node."""

    cluster_id: ClusterId
    me: NodeId
    incarnation: int
    """Mine."""
    members: Mapping[NodeId, NodeRecord]
    """The enabled nodes, me included."""
    routes: Mapping[NodeId, Path]
    """Of the reachable nodes; the first of a path is the next hop."""
    incarnations: Mapping[NodeId, int]
    """Of the reachable nodes."""
    capabilities: Mapping[NodeId, Mapping[str, CapabilityState]]
    """Of the reachable nodes, as the life that runs said them (N-2)."""

    @property
    def ttl(self) -> int:
        """Hops that anything may make (R-11)."""
        return len(self.members)
