"""What the tests of sharing tags call things, and how they look at them."""

from __future__ import annotations

from tagmesh.protocol.identity import ClusterId, Incarnation, NodeId
from tagmesh.protocol.tag_words import Owner, TagRow
from tagmesh.storage import SqlTagStore

C1, C2 = ClusterId(1), ClusterId(2)
VIP = "vip1"
A, B = Owner(NodeId(1), Incarnation(10)), Owner(NodeId(2), Incarnation(20))
C = Owner(NodeId(3), Incarnation(30))
A_RESTARTED = Owner(NodeId(1), Incarnation(11))
TTL_S = 60.0
SLACK_S = 2.0
"""What a busy machine may add to a bounded wait."""


def row_of(tags: SqlTagStore, tag: str = VIP) -> TagRow:
    """The stored row, which is there."""
    row = tags.read(C1, tag)
    assert row is not None
    return row
