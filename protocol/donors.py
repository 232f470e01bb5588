"""Which node may be a donor of a capability, which one is the best, and why not the others (S-22).

A joiner looks at what the cluster's view says of its capability. A node may be a donor when it is
enabled and reachable, has the capability, meets the joiner's condition, knows a data format that
the joiner knows, and said in its current life that it is OK (N-2: what an earlier life said is
forgotten). Of these the best is the one that has data at all (S-27), then the one with the fewest
hops, then with the highest data position, then with the lowest node id.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from .contract import Condition
from .identity import NodeId, NodeRecord
from .messages import CapabilityState, CapState
from .tag_words import TagHere

Life = tuple[NodeId, int]
"""(node, incarnation): one life of a node."""
Stint = tuple[NodeId, int, int]
"""(node, incarnation, generation): from one time it became OK to the next."""


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the cluster and what it says of one capability."""

    record: NodeRecord
    incarnation: int = 0
    """Of its current life; 0 = never heard of."""
    hops: int = 0
    """How far it is; 0 = unreachable, or me."""
    state: CapabilityState | None = None
    """What its current life said; None: it does not have the capability, or is unreachable."""

    @property
    def node_id(self) -> NodeId:
        """Whose this is."""
        return self.record.node_id

    @property
    def life(self) -> Life:
        """This node in this life."""
        return self.record.node_id, self.incarnation

    @property
    def stint(self) -> Stint:
        """This node since it became OK; of a node that has the capability."""
        return *self.life, self.said.generation

    @property
    def said(self) -> CapabilityState:
        """``state`` of a node that has the capability."""
        assert self.state is not None, "asked only of nodes that have it"
        return self.state


class CapabilityView(msgspec.Struct, frozen=True, kw_only=True):
    """What the view of a cluster says of one capability. Replaced whole, never changed."""

    me: Peer
    peers: tuple[Peer, ...] = ()
    """Every other row of the roster, by node id."""
    tags: tuple[TagHere, ...] = ()
    """The sharing tags that somebody claimed, by name; of capabilities with tagged records."""

    def quorum(self, share: float) -> bool:
        """Do I see, myself included, more than this share of the enabled nodes (1 = all)?"""
        enabled = 1 + sum(p.record.enabled for p in self.peers)
        visible = 1 + sum(p.record.enabled and p.hops > 0 for p in self.peers)
        return visible >= min(enabled, math.floor(share * enabled) + 1)


class Wants(msgspec.Struct, frozen=True):
    """What a joiner demands of a donor."""

    condition: Condition = "any"
    version_min: int = 1
    version_max: int = 1
    """Data formats it can read."""


class Rejection(StrEnum):
    """Why a node is no donor. Shown by ``explain_donor``."""

    NODE_DISABLED = "node_disabled"
    UNREACHABLE = "unreachable"
    NO_CAPABILITY = "no_capability"
    """It has not registered the capability."""
    CONDITION = "condition"
    """The capability's ``sync_condition`` excludes it."""
    VERSION = "version"
    """No data format that both know."""
    NOT_OK = "not_ok"
    """Its data is not complete, or the capability is switched off there."""
    NOT_TAG_OWNER = "not_tag_owner"
    """Another node has the sharing tag that is asked about, or nobody has (K-1)."""
    TRIED = "tried"
    """It refused or failed a moment ago; asked again after a pause."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is thought of one node as a donor."""

    node_id: NodeId
    place: int | None = None
    """1 = asked first; None = rejected."""
    rejection: Rejection | None = None
    detail: str = ""

    @property
    def accepted(self) -> bool:
        """It may be a donor."""
        return self.rejection is None


def candidates(view: CapabilityView, wants: Wants) -> list[Peer]:
    """The nodes that may be donors, the best one first (S-22)."""
    fit = [peer for peer in view.peers if _fault(view, wants, peer) is None]
    return sorted(fit, key=_order)


def fellows(view: CapabilityView, wants: Wants) -> list[Peer]:
    """The nodes that could be donors for me if they were OK, by node id; switched off ones not."""
    return [
        peer
        for peer in view.peers
        if _bar(view, wants, peer) is None and peer.said.state is not CapState.DISABLED
    ]


def explain_donor(
    view: CapabilityView, wants: Wants, tried: Mapping[Stint, str] | None = None
) -> list[Verdict]:
    """Every other node with its place, or the reason of its rejection; accepted ones first.

    ``tried``: who failed in this round since it became OK, and with which reason.
    """
    tried = tried or {}
    fit = candidates(view, wants)
    able = [peer for peer in fit if peer.stint not in tried]
    rejected = {p.node_id: (Rejection.TRIED, tried[p.stint]) for p in fit if p.stint in tried}
    for peer in view.peers:
        fault = _fault(view, wants, peer)
        if fault is not None:
            rejected[peer.node_id] = fault
    return [
        *(
            Verdict(node_id=peer.node_id, place=place, detail=_merits(peer))
            for place, peer in enumerate(able, 1)
        ),
        *(
            Verdict(node_id=node, rejection=rejection, detail=detail)
            for node, (rejection, detail) in sorted(rejected.items())
        ),
    ]


def of_tag(verdicts: Sequence[Verdict], tag: TagHere) -> list[Verdict]:
    """What becomes of ``verdicts`` for the records of a tag: only its owner gives them (K-1)."""
    holder = tag.holder.node_id if tag.holder is not None else None
    who = f"node {holder} has {tag.tag}" if holder is not None else f"nobody has {tag.tag}"
    able = [v for v in verdicts if v.accepted and v.node_id == holder and not tag.active]
    rest = [
        Verdict(
            node_id=v.node_id,
            rejection=Rejection.NOT_TAG_OWNER if v.accepted else v.rejection,
            detail=f"{who}: {tag.why}".removesuffix(": ") if v.accepted else v.detail,
        )
        for v in verdicts
        if v not in able
    ]
    placed = [
        Verdict(node_id=v.node_id, place=1, detail=f"{v.detail}, has {tag.tag}") for v in able
    ]
    return [*placed, *sorted(rest, key=lambda v: v.node_id)]


_Fault = tuple[Rejection, str]


def _order(peer: Peer) -> tuple[bool, int, int, NodeId]:
    said = peer.said
    return said.without_data, peer.hops, -said.position, peer.node_id


def _merits(peer: Peer) -> str:
    said = peer.said
    resort = ", without data" if said.without_data else ""
    return f"{peer.hops} hop{'s' if peer.hops > 1 else ''}, position {said.position}{resort}"


def _fault(view: CapabilityView, wants: Wants, peer: Peer) -> _Fault | None:
    """Why this node may not be a donor now; None = it may."""
    bar = _bar(view, wants, peer)
    if bar is not None:
        return bar
    said = peer.said
    if said.state is not CapState.OK:
        reason = f": {said.reason}" if said.reason else ""
        return Rejection.NOT_OK, f"{said.state.name.lower()}{reason}"
    return None


def _bar(view: CapabilityView, wants: Wants, peer: Peer) -> _Fault | None:
    """Why this node could not be a donor whatever the state of its data; None = it could."""
    if not peer.record.enabled:
        return Rejection.NODE_DISABLED, "its row says so"
    if peer.hops == 0:
        return Rejection.UNREACHABLE, "no path leads to it"
    if peer.state is None:
        return Rejection.NO_CAPABILITY, "it has not registered the capability"
    unmet = _unmet(wants.condition, view.me.record, peer.record)
    if unmet:
        return Rejection.CONDITION, unmet
    said = peer.state
    if max(said.version_min, wants.version_min) > min(said.version_max, wants.version_max):
        theirs = f"{said.version_min} to {said.version_max}"
        return (
            Rejection.VERSION,
            f"it knows {theirs}, this node {wants.version_min} to {wants.version_max}",
        )
    return None


def _unmet(condition: Condition, mine: NodeRecord, theirs: NodeRecord) -> str:
    """What of the condition is not met; empty = it is. Null equals nothing, null included."""
    if callable(condition):
        try:
            met = condition(mine, theirs)
        except Exception as error:  # noqa: BLE001 - the application's function; it may raise anything
            return f"the condition raised {type(error).__name__}: {error}"
        return "" if met else "the application's condition is not met"
    if condition == "any":
        return ""
    same = mine.sip_addr is not None and mine.sip_addr == theirs.sip_addr
    if same == (condition == "same_sip_addr"):
        return ""
    shown = [f"{a!a}" if (a := row.sip_addr) is not None else "null" for row in (mine, theirs)]
    return f"{condition} wanted; sip_addr is {shown[0]} here and {shown[1]} there"
