"""What our actors tell each other about removed nodes; as in `mail`."""

from __future__ import annotations

from collections.abc import Sequence

from ..protocol.identity import ClusterId, NodeId
from ..protocol.removal_messages import Removal
from ..protocol.tombstones import Stone
from .actor import ReplyFuture
from .mail import Mail


class RemoveWanted(Mail, frozen=True):
    """Somebody wants a node removed, or that taken back; the reply is whether that was news, or
    the exception that says why it cannot be."""

    cluster_id: ClusterId
    node_id: NodeId
    by: str
    lifted: bool = False


class RemovalNoted(Mail, frozen=True):
    """A worker came back from noting a removal that somebody wanted."""

    stone: Stone
    news: bool | None
    error: Exception | None
    reply: ReplyFuture


class RemovalsHeard(Mail, frozen=True):
    """A member of the cluster tells who was removed."""

    cluster_id: ClusterId
    peer: NodeId
    removals: Sequence[Removal]


class RefusedAsRemoved(Mail, frozen=True):
    """A node refuses this one because it was removed, and nobody else has a connection with it."""

    peer: NodeId


class RemovalsRisen(Mail, frozen=True):
    """New here: tell the neighbours, but not who told us."""

    removals: Sequence[Removal]
    told_by: NodeId | None
