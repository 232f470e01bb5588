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
from ..protocol.tag_words import TagHere, TagView

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


def fit_nodes(view: View, registered: Iterable[Registration], tag: str = "") -> frozenset[NodeId]:
    """The nodes, me included, whose capabilities of those with tagged records here are all OK.

    With a ``tag`` those of them that do not lack its records (H-25); when all do, all of them:
    somebody is to have the tag.
    """
    mine = [r for r in registered if isinstance(r.capability, KeyedCapability)]
    said = dict(view.capabilities)
    said[view.me] = {r.name: r.said for r in mine}
    names = [r.name for r in mine]
    fit = {
        node
        for node, states in said.items()
        if all(name in states and states[name].state is CapState.OK for name in names)
    }
    complete = tag and {
        node for node in fit if not any({tag, ""} & set(said[node][n].lacking) for n in names)
    }
    return frozenset(complete or fit)


def tag_view(view: View, fit: frozenset[NodeId]) -> TagView:
    """What the view of a cluster says to a sharing tag."""
    return TagView(lives=view.incarnations, fit=fit, others=len(view.members) - 1)


def lease_view(view: View, fit: frozenset[NodeId], complete: frozenset[NodeId]) -> LeaseView:
    """What it says to the lease on one."""
    members = tuple(sorted(view.members))
    return LeaseView(members=members, lives=view.incarnations, fit=fit, complete=complete)


def capability_view(view: View, name: str, tags: Iterable[TagHere] = ()) -> CapabilityView:
    """What the view of a cluster says of one capability; ``tags``: if its records have some."""
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
    return CapabilityView(me=me, peers=tuple(peers.values()), tags=tuple(tags))
