"""Where the messages of a peer go: to the actors of the cluster they are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..protocol.because import Cause, because
from ..protocol.identity import ClusterId
from ..protocol.messages import (
    Credit,
    Goodbye,
    Message,
    Packets,
    Ping,
    Pong,
    ProbeAnswer,
    ProbeRequest,
    Routed,
    SyncChunk,
)
from .context import Context, Name
from .lane import Lane, size_of
from .mail import BulkArrived, FromPeer, PassingThrough, PeerGone, Question, RoutedArrived

_BULK = (Packets, SyncChunk)
_FROM_PEER = (FromPeer, RoutedArrived)


def deliver(
    context: Context, lane: Lane, clusters: Sequence[ClusterId], messages: Sequence[Message]
) -> None:
    """Hand on what arrived, in order per addressee, one mail each; ``clusters``: those served.

    The last thing the peer actor does with them: who rests acts at once. `PeerViolation` when
    something breaks the rules of credit; what came before is handed on all the same.
    """
    batches: dict[tuple[Name, type], list[Message]] = {}
    try:
        for message in messages:
            item: Any = message
            if isinstance(item, _BULK):
                lane.received(item)
            if item.cluster_id not in clusters:
                context.drops["G-2"] += 1
                _dropped(lane, item)
            elif (where := _addressee(context, lane, item)) is not None:
                batches.setdefault(where, []).append(item)
    finally:
        for (name, mail), batch in batches.items():
            sender = lane.peer if mail in _FROM_PEER else lane
            if not context.supervisor.hand(name, mail(sender, batch)):
                context.drops["G-8" if name[0] == "capability" else "not delivered"] += len(batch)
                for item in batch:
                    _dropped(lane, item)


def deliver_single(
    context: Context, lane: Lane, clusters: Sequence[ClusterId], message: Message
) -> bool:
    """`deliver` a message that came alone, to a peer actor that rests, by the short way: data for a
    capability here that has one. False when it is something else or the way is not free."""
    if type(message) is not Packets or message.destination != context.me:
        return False
    cluster = ClusterId(message.cluster_id)
    registration = context.registrations.get((cluster, message.capability))
    if registration is None or registration.straight is None or cluster not in clusters:
        return False
    lane.heard_at = context.runtime.monotonic()
    return registration.straight.take(lane, message)


def _addressee(context: Context, lane: Lane, item: Any) -> tuple[Name, type] | None:
    """Who gets a message in which kind of mail; None = what is to be done is done."""
    cluster = item.cluster_id
    match item:
        case Ping() | Pong():  # most of what comes when nothing happens
            return ("link", cluster, lane.peer), FromPeer
        case Packets() | SyncChunk():
            if item.destination == context.me:
                return ("capability", cluster, item.capability), BulkArrived
            return ("node", cluster), PassingThrough
        case Credit():
            lane.credited(item)
        case Routed() if item.destination == context.me:
            return ("capability", cluster, item.capability), RoutedArrived
        case ProbeAnswer():
            return ("link", cluster, item.target), FromPeer
        case ProbeRequest():
            context.supervisor.tell(
                ("link", cluster, item.target), Question(lane.peer, item.number)
            )
        case Goodbye():
            left = because(f"left: {item.cause!a}", Cause.LEFT)
            context.supervisor.tell(("link", cluster, lane.peer), PeerGone(left))
        case _:
            return ("node", cluster), FromPeer
    return None


def _dropped(lane: Lane, item: Any) -> None:
    """Nobody will deal with it: the credit it used is given back."""
    if isinstance(item, _BULK):
        lane.consumed(item.cluster_id, item.capability, size_of(item))
