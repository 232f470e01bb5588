"""What the checkers look at inside a running node. No user and no rule may.

Everything private that they read stands here, so that a change of the rules breaks one module.
"""
# ruff: noqa: SLF001 - see above

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..actors.actor import ReplyFuture
from ..actors.capability import CapabilityActor
from ..actors.context import Name
from ..actors.joining import JoinerActor
from ..actors.lane import size_of
from ..actors.link import LinkActor
from ..actors.node import NodeActor
from ..actors.peer import PeerActor
from ..actors.storage import StorageActor
from ..protocol.greeting import Versions
from ..protocol.identity import NodeId
from ..protocol.linkstates import Said as LinkStateHeld
from ..protocol.routing import Path
from ..transport.frames import HEADER_BYTES
from ..transport.loopback_connection import Endpoint
from .rows import CLUSTER

if TYPE_CHECKING:
    from .world import Process


def inboxes(process: Process) -> Iterator[tuple[Name, int]]:
    """How many messages wait at each actor."""
    for name, ref in process.system.context.supervisor._refs.items():
        yield name, len(ref.actor_inbox)  # type: ignore[arg-type]


def links(process: Process) -> Iterator[LinkActor]:
    """The link actors that run."""
    supervisor = process.system.context.supervisor
    for name in supervisor._refs:
        if name[0] == "link":
            actor = supervisor.actor(name)
            if isinstance(actor, LinkActor):
                yield actor


def flap_hold_s(link: LinkActor, now: float) -> float:
    """How long the link would have to prove itself if it came back now (L-4)."""
    return link.rules._flaps.hold_s(now)


def peers(process: Process) -> Iterator[PeerActor]:
    """The peer actors that run."""
    supervisor = process.system.context.supervisor
    for name in supervisor._refs:
        if name[0] == "peer":
            actor = supervisor.actor(name)
            if isinstance(actor, PeerActor):
                yield actor


def node_of(process: Process, cluster: int) -> NodeActor | None:
    """The node actor, when it runs."""
    actor = process.system.context.supervisor.actor(("node", cluster))
    return actor if isinstance(actor, NodeActor) else None


def storage_of(process: Process) -> StorageActor | None:
    """The storage actor, when it runs."""
    actor = process.system.context.supervisor.actor(("storage",))
    return actor if isinstance(actor, StorageActor) else None


def held(peer: PeerActor) -> Endpoint | None:
    """The connection that links use."""
    key = peer.rules.established
    connection = peer._connections.get(key) if key is not None else None
    return connection if isinstance(connection, Endpoint) else None


def spoken(peer: PeerActor) -> tuple[int, Versions] | None:
    """The protocol version of the connection in use, and which ones the peer's HELLO named."""
    key = peer.rules.established
    if key is None:
        return None
    greeting = peer.rules._connections[key]
    return greeting.protocol, (greeting.hello.protocol_min, greeting.hello.protocol_max)


def kept_bytes(endpoint: Endpoint) -> int:
    """What is kept of a frame that is not complete."""
    return endpoint._frames.pending_bytes


def known(node: NodeActor) -> Mapping[NodeId, LinkStateHeld]:
    """The link state of each origin that is held; its first two fields are the version."""
    return node.rules._states._said


def mentioned(node: NodeActor) -> set[NodeId]:
    """Every id in the topology tables: origins, their neighbours, destinations."""
    ids = origins(node)
    for state in known(node).values():
        ids.update(state.neighbours)
    return ids


def origins(node: NodeActor) -> set[NodeId]:
    """The ids that the topology holds something of or leads to."""
    return set(known(node)) | set(routes(node))


def routes(node: NodeActor) -> Mapping[NodeId, Path]:
    """The way to each reachable node."""
    return node.rules._reach.routes


def priorities(node: NodeActor) -> Mapping[NodeId, int]:
    """The priority of each member."""
    return {n: record.priority for n, record in node.rules._members.items()}


def traces_of(node: NodeActor) -> Mapping[int, ReplyFuture]:
    """The traces that have not come back."""
    return node._traces


def capabilities(process: Process) -> Iterator[CapabilityActor]:
    """The capability actors that run."""
    supervisor = process.system.context.supervisor
    for name in supervisor._refs:
        if name[0] == "capability":
            actor = supervisor.actor(name)
            if isinstance(actor, CapabilityActor):
                yield actor


def sessions(process: Process) -> Iterator[tuple[Name, int]]:
    """The joiners and donors that run, each with what tells it from others of its name."""
    supervisor = process.system.context.supervisor
    for name in supervisor._refs:
        if name[0] == "joiner":
            actor = supervisor.actor(name)
            yield name, actor._session if isinstance(actor, JoinerActor) else 0
        elif name[0] == "donor":
            yield name, 0


def held_messages(actor: CapabilityActor) -> int:
    """Messages that wait for the end of a sync."""
    return actor._intake._held_messages


def held_bytes(actor: CapabilityActor) -> int:
    """The same in bytes."""
    return actor._intake._held_bytes


def passing_bytes(process: Process) -> Mapping[tuple[NodeId, str], int]:
    """(next hop, capability) → what waits for room there, on its way through this node."""
    node = node_of(process, CLUSTER)
    if node is None:
        return {}
    held = node._transit._held
    return {flow: sum(size_of(item.message) for item in waiting) for flow, waiting in held.items()}


__all__ = [
    "HEADER_BYTES",
    "Endpoint",
    "LinkStateHeld",
    "capabilities",
    "flap_hold_s",
    "held",
    "held_bytes",
    "held_messages",
    "inboxes",
    "kept_bytes",
    "known",
    "links",
    "mentioned",
    "node_of",
    "origins",
    "passing_bytes",
    "peers",
    "priorities",
    "routes",
    "sessions",
    "spoken",
    "storage_of",
    "traces_of",
]
