"""Where the messages of a peer go: to the actors of the cluster they are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
from .mail import BulkArrived, FromPeer, Heard, PassingThrough, PeerGone, Question, RoutedArrived

_OF_LINK = (Ping, Pong)


def deliver(
    context: Context, lane: Lane, clusters: Sequence[ClusterId], messages: Sequence[Message]
) -> None:
    """Hand on what arrived, in order per addressee, one mail each; ``clusters``: those served.

    Whatever came is a life sign for every link the connection carries (L-2). `PeerViolation` when
    it breaks the rules of credit; what came before is handed on all the same.
    """
    batches: dict[tuple[Name, type], list[Message]] = {}
    try:
        for message in messages:
            item: Any = message
            if isinstance(item, Packets | SyncChunk):
                lane.received(item)
            if item.cluster_id not in clusters:
                context.drops["G-2"] += 1
                _dropped(lane, item)
            elif isinstance(item, _OF_LINK):  # most of what comes when nothing happens
                name = ("link", item.cluster_id, lane.peer)
                batches.setdefault((name, FromPeer), []).append(item)
            elif (mail := _account(context, lane, item)) is not None:
                batches.setdefault((_addressee(context, item), mail), []).append(item)
    finally:
        _hand_over(context, lane, batches)
        for cluster in clusters:
            if (("link", cluster, lane.peer), FromPeer) not in batches:
                context.supervisor.tell(("link", cluster, lane.peer), Heard())


def _account(context: Context, lane: Lane, item: Any) -> type | None:
    """Do what is to be done at once; the kind of mail that brings the rest to its addressee."""
    match item:
        case Packets() | SyncChunk():
            return BulkArrived if item.destination == context.me else PassingThrough
        case Credit():
            lane.credited(item)
            return None
        case Routed():
            return RoutedArrived if item.destination == context.me else FromPeer
        case ProbeRequest():
            question = Question(lane.peer, item.number)
            context.supervisor.tell(("link", item.cluster_id, item.target), question)
            return None
        case Goodbye():
            gone = PeerGone(f"left: {item.cause!a}")
            context.supervisor.tell(("link", item.cluster_id, lane.peer), gone)
            return None
        case _:
            return FromPeer


def _addressee(context: Context, item: Any) -> Name:
    match item:
        case ProbeAnswer():
            return ("link", item.cluster_id, item.target)
        case Routed() if item.destination == context.me:
            return ("capability", item.cluster_id, item.capability)
        case _:
            return ("node", item.cluster_id)


def _hand_over(
    context: Context, lane: Lane, batches: dict[tuple[Name, type], list[Message]]
) -> None:
    for (name, mail), batch in batches.items():
        sender = lane.peer if mail in (FromPeer, RoutedArrived) else lane
        if not context.supervisor.tell(name, mail(sender, batch)):
            context.drops["G-8" if name[0] == "capability" else "not delivered"] += len(batch)
            for item in batch:
                _dropped(lane, item)


def _dropped(lane: Lane, item: Any) -> None:
    """Nobody will deal with it: the credit it used is given back."""
    if isinstance(item, Packets | SyncChunk):
        lane.consumed(item.cluster_id, item.capability, size_of(item))
