"""Members and views of work partitioning, for the tests of its rules."""

from __future__ import annotations

from tagmesh.protocol.donors import CapabilityView, Peer
from tagmesh.protocol.identity import BinsUrl, ClusterId, NodeId, NodeRecord
from tagmesh.protocol.messages import CapabilityState, CapState
from tagmesh.protocol.partition import (
    Partition,
    PartitionView,
)

OK, UNSYNCED = CapState.OK, CapState.UNSYNCED


def record(node: int, enabled: bool = True) -> NodeRecord:
    return NodeRecord(
        cluster_id=ClusterId(1), node_id=NodeId(node), url=BinsUrl("h"), enabled=enabled
    )


def said(
    state: CapState = OK, view: int = 0, generation: int = 1, weight: int = 1
) -> CapabilityState:
    return CapabilityState("jobs", state, view=view, generation=generation, weight=weight)


def peer(node: int, state: CapabilityState | None = None, hops: int = 1, life: int = 7) -> Peer:
    return Peer(record=record(node), incarnation=life, hops=hops, state=state or said())


def around(me: int, *peers: Peer) -> CapabilityView:
    return CapabilityView(me=Peer(record=record(me)), peers=peers)


def view_of(*nodes: int, me: int | None = None, **options: int) -> PartitionView:
    """The view of these OK nodes, as the first of them computes it, or ``me``."""
    me = nodes[0] if me is None else me
    part = Partition(NodeId(me), 7)
    own = said() if me in nodes else said(UNSYNCED, generation=0)
    part.see(own, around(me, *(peer(n) for n in nodes if n != me)))
    return part.view
