"""What applications hear. Each event is declared once; its docstring is its documentation."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from .identity import ClusterId, NodeId


class Event(StrEnum):
    """The kinds an application can subscribe to: ``@node.on(Event.NODE_DOWN)``."""

    NODE_UP = "node_up"
    """The first path to a node appeared."""
    NODE_DOWN = "node_down"
    """The last path to a node disappeared."""
    LINK_CHANGED = "link_changed"
    """The state of my direct link with a node changed."""
    ROUTE_CHANGED = "route_changed"
    """A reachable node is now reached through another next hop."""
    JOIN_REFUSED = "join_refused"
    """A connection was refused, by me or by the other side."""
    ROSTER_CHANGED = "roster_changed"
    """The provisioned nodes changed, or the storage was lost or came back."""
    EXPELLED = "expelled"
    """This node was removed from a cluster: its links are closed and it has no tags there."""
    CAPABILITY_CHANGED = "capability_changed"
    """The state of a capability on this node changed."""
    SYNC_STARTED = "sync_started"
    """A sync begins; the node is the donor asked first."""
    SYNC_PROGRESS = "sync_progress"
    """How far a sync is: records done and expected, bytes, rate."""
    SYNC_DONE = "sync_done"
    """A sync is complete and verified."""
    SYNC_FAILED = "sync_failed"
    """A sync ended otherwise; it is tried again."""
    REPAIRED = "repaired"
    """A comparison with another node found records that differ, and took the newer ones."""
    SYNCED_WITHOUT_DATA = "synced_without_data"
    """A capability declared itself OK without a donor: a seed, or the one with the newest data."""
    TAG_CHANGED = "tag_changed"
    """A sharing tag became active on this node, or backup again."""
    WRITE_REFUSED = "write_refused"
    """Records with a sharing tag came that may not count: their epoch is over, or the tag is active
    here. Once per node, tag and epoch."""


class EventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One event. Per peer NODE_UP and NODE_DOWN alternate, each edge exactly once (N-1)."""

    sequence: int
    """Grows by one per event of this process."""
    wall_s: float
    """Seconds since the epoch; for people, never used in a decision."""
    kind: Event
    cluster_id: ClusterId | None = None
    node_id: NodeId | None = None
    incarnation: int | None = None
    before: str | None = None
    after: str | None = None
    cause: str = ""
    """Why, in one short phrase."""
    via: NodeId | None = None
    """Next hop, where the event is about a route."""
    capability: str | None = None
    tag: str | None = None

    def __str__(self) -> str:
        where = "".join(
            [
                f" cluster {self.cluster_id}" if self.cluster_id is not None else "",
                f" {self.capability}" if self.capability is not None else "",
                f" {self.tag}" if self.tag is not None else "",
                f" node {self.node_id}" if self.node_id is not None else "",
                f" {self.before}>{self.after}" if self.after is not None else "",
                f" via {self.via}" if self.via is not None else "",
            ]
        )
        return f"{self.kind.value}{where}{': ' + self.cause if self.cause else ''}"
