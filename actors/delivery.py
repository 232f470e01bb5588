"""Where the messages of a peer go: to the links and node actors of the cluster they are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..protocol.identity import ClusterId, NodeId
from ..protocol.messages import Goodbye, Message, Ping, Pong, ProbeAnswer, ProbeRequest
from .context import Context, Name
from .mail import FromPeer, Heard, PeerGone, Question


def deliver(
    context: Context, peer: NodeId, clusters: Sequence[ClusterId], messages: Sequence[Message]
) -> None:
    """Hand on what arrived, in order per addressee, one mail each; ``clusters``: those served.

    Whatever came is a life sign for every link the connection carries (L-2).
    """
    tell = context.supervisor.tell
    batches: dict[Name, list[Message]] = {}
    for message in messages:
        item: Any = message
        if item.cluster_id not in clusters:
            context.drops["G-2"] += 1
            continue
        match item:
            case ProbeRequest():
                tell(("link", item.cluster_id, item.target), Question(peer, item.number))
            case Goodbye():
                tell(("link", item.cluster_id, peer), PeerGone(f"left: {item.cause!a}"))
            case _:
                batches.setdefault(_addressee(peer, item), []).append(item)
    for name, batch in batches.items():
        tell(name, FromPeer(peer, batch))
    for cluster in clusters:
        if ("link", cluster, peer) not in batches:
            tell(("link", cluster, peer), Heard())


def _addressee(peer: NodeId, message: Any) -> Name:
    match message:
        case Ping() | Pong():
            return ("link", message.cluster_id, peer)
        case ProbeAnswer():
            return ("link", message.cluster_id, message.target)
        case _:
            return ("node", message.cluster_id)
