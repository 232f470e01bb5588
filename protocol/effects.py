"""What rules ask of the world. A shell has one ``case`` per effect and no opinion of its own."""

from __future__ import annotations

import msgspec

from .events import Event
from .identity import NodeId, NodeRecord
from .messages import Message
from .trace_messages import Trace


class Effect(msgspec.Struct, frozen=True):
    """Base of all effects."""


class Send(Effect, frozen=True):
    """Send to the peer this rules object is about."""

    message: Message


class SendTo(Effect, frozen=True):
    """Send to a direct neighbour."""

    node_id: NodeId
    message: Message


class Announce(Effect, frozen=True, kw_only=True):
    """Tell applications; the shell adds sequence number, time and cluster."""

    kind: Event
    node_id: NodeId | None = None
    incarnation: int | None = None
    before: str | None = None
    after: str | None = None
    cause: str = ""
    via: NodeId | None = None
    capability: str | None = None
    tag: str | None = None


class Count(Effect, frozen=True):
    """Something was dropped or refused; ``rule`` is the label of the rule that says so (G-15)."""

    rule: str


class RefreshRoster(Effect, frozen=True):
    """The provisioned nodes seem to have changed: read them again soon."""

    cause: str


class Arrived(Effect, frozen=True):
    """A trace that this node started has come back; ``visited`` holds the nodes on the way out."""

    trace: Trace


class Learn(Effect, frozen=True):
    """A node without a row described itself (db_mode 0, J-4): take it as a member and dial it."""

    record: NodeRecord
