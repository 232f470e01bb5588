"""What a node knows of one cluster, as one immutable snapshot that any thread may read.

The node actor replaces it whenever something in it changes; ``Context.views`` holds the newest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from ..protocol.contract import KeyedCapability
from ..protocol.donors import CapabilityView, Peer
from ..protocol.identity import ClusterId, NodeId, NodeRecord
from ..protocol.lease_words import LeaseView
from ..protocol.messages import CapabilityState, CapState
from ..protocol.routing import Path
from ..protocol.tag_words import TagView

if TYPE_CHECKING:
    from ..protocol.topology import Topology
    from .context import Context
    from .registration import Registration


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


def view_of(cluster: ClusterId, context: Context, topology: Topology) -> View:
    """What the rules know now."""
    nodes = sorted(topology.reachable)
    return View(
        cluster_id=cluster,
        me=context.me,
        incarnation=context.incarnation,
        members=topology.members,
        routes={node: topology.route(node) for node in nodes},
        incarnations={node: topology.incarnation_of(node) or 0 for node in nodes},
        capabilities={node: {s.name: s for s in topology.capabilities_of(node)} for node in nodes},
    )


def fit_nodes(view: View, registered: Iterable[Registration]) -> frozenset[NodeId]:
    """The nodes, me included, that have all the records with tags that I am to have, complete."""
    mine = [r for r in registered if isinstance(r.capability, KeyedCapability)]
    fit = {
        node
        for node, states in view.capabilities.items()
        if all(r.name in states and states[r.name].state is CapState.OK for r in mine)
    }
    if all(r.said.state is CapState.OK for r in mine):
        fit.add(view.me)
    return frozenset(fit)


def tag_view(view: View, fit: frozenset[NodeId]) -> TagView:
    """What the view of a cluster says to a sharing tag."""
    return TagView(lives=view.incarnations, fit=fit, others=len(view.members) - 1)


def lease_view(view: View, fit: frozenset[NodeId]) -> LeaseView:
    """What it says to the lease on one."""
    return LeaseView(members=tuple(sorted(view.members)), lives=view.incarnations, fit=fit)


def capability_view(view: View, name: str) -> CapabilityView:
    """What the view of a cluster says of one capability."""
    peers = {
        node: Peer(
            record=record,
            incarnation=view.incarnations.get(node, 0),
            hops=len(view.routes.get(node, ())),
            state=view.capabilities.get(node, {}).get(name),
        )
        for node, record in sorted(view.members.items())
    }
    me = peers.pop(view.me)
    return CapabilityView(me=me, peers=tuple(peers.values()))
