"""Nodes, states and views of one capability, for the tests of its rules."""

from __future__ import annotations

from typing import Any

from tagmesh.protocol.donors import CapabilityView, Peer
from tagmesh.protocol.identity import BinsUrl, ClusterId, NodeId, NodeRecord
from tagmesh.protocol.messages import CapabilityState, CapState

NAME = "dialogs"


def record(node: int, **fields: Any) -> NodeRecord:
    """A row of the roster."""
    url = BinsUrl("host")
    return NodeRecord(cluster_id=ClusterId(1), node_id=NodeId(node), url=url, **fields)


def said(state: CapState = CapState.OK, **fields: Any) -> CapabilityState:
    """What a node says of the capability."""
    return CapabilityState(NAME, state, **fields)


def peer(
    node: int,
    state: CapState | CapabilityState | None = CapState.OK,
    *,
    hops: int = 1,
    life: int = 1,
    **row: Any,
) -> Peer:
    """Another node; a bare state stands for a `CapabilityState` with defaults."""
    word = said(state) if isinstance(state, CapState) else state
    return Peer(record=record(node, **row), incarnation=life, hops=hops, state=word)


def view(*peers: Peer, me: int = 1, **row: Any) -> CapabilityView:
    """What node ``me`` knows."""
    others = sorted(peers, key=lambda p: p.node_id)
    return CapabilityView(me=Peer(record=record(me, **row)), peers=tuple(others))
