"""What the checkers look at inside a running node. No user and no rule may.

Everything private that they read stands here, so that a change of the rules breaks one module.
"""
# ruff: noqa: SLF001 - see above

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import TYPE_CHECKING, Any, NamedTuple

from ..actors.actor import Inbox, ReplyFuture
from ..actors.capability import CapabilityActor
from ..actors.context import Name
from ..actors.joining import JoinerActor
from ..actors.lane import Lane, size_of
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


class Cast(NamedTuple):
    """The actors of one process at one time."""

    refs: dict[Name, Any]
    links: dict[NodeId, LinkActor]
    """By the node at the other end."""
    peers: dict[NodeId, PeerActor]
    node: NodeActor | None
    storage: StorageActor | None
    inboxes: dict[Name, Sized]
    """The messages that wait at each."""


def _cast(process: Process, before: Cast | None) -> Cast:
    supervisor = process.system.context.supervisor
    refs = supervisor._refs
    if before is not None and before.refs == refs:
        return before
    actors = [supervisor.actor(name) for name in refs]
    return Cast(
        refs=dict(refs),
        links={a.rules.peer: a for a in actors if isinstance(a, LinkActor)},
        peers={a.peer: a for a in actors if isinstance(a, PeerActor)},
        node=next((a for a in actors if isinstance(a, NodeActor)), None),
        storage=next((a for a in actors if isinstance(a, StorageActor)), None),
        inboxes={name: _mail(ref.actor_inbox) for name, ref in refs.items()},
    )


def _mail(inbox: object) -> Sized:
    assert isinstance(inbox, Inbox)
    return inbox.waiting


class Seen:
    """What was looked at last, for all checks of one world: nothing is looked up twice."""

    def __init__(self) -> None:
        self._casts: dict[Process, Cast] = {}
        self._tables: dict[NodeActor, Tables] = {}

    def cast(self, process: Process) -> Cast:
        """Who runs there; the same object as long as they are the same."""
        now = self._casts[process] = _cast(process, self._casts.get(process))
        return now

    def tables(self, node: NodeActor) -> Tables:
        """What it holds; the same object as long as nothing was stored and no way changed."""
        now = self._tables[node] = _tables(node, self._tables.get(node))
        return now


def flap_hold_s(link: LinkActor, now: float) -> float:
    """How long the link would have to prove itself if it came back now (L-4)."""
    return link.rules._flaps.hold_s(now)


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


def is_closing(endpoint: Endpoint) -> bool:
    """Has this end been closed, and waits for the other to agree?"""
    return endpoint._close_cause is not None


def kept_bytes(endpoint: Endpoint) -> int:
    """What is kept of a frame that is not complete."""
    return endpoint._frames.pending_bytes


class Tables(NamedTuple):
    """What the topology of one node holds at one time."""

    known: dict[NodeId, LinkStateHeld]
    """The link state of each origin; its first two fields are the version."""
    routes: dict[NodeId, Path]
    """The way to each reachable node."""
    near: frozenset[NodeId]
    """With whom it has a link that counts."""
    origins: frozenset[NodeId]
    """The ids that something is held of, or that a way leads to."""
    mentioned: frozenset[NodeId]
    """These and all neighbours of theirs."""


def _tables(node: NodeActor, before: Tables | None) -> Tables:
    states, routes = node.rules._states, node.rules._reach.routes
    if (
        before is not None
        and before.known == states._said
        and before.routes == routes
        and before.near == states._mine
    ):
        return before
    known = dict(states._said)
    origins = frozenset(known) | routes.keys()
    neighbours = (said.neighbours for said in known.values())
    near = frozenset(states._mine)
    return Tables(known, dict(routes), near, origins, origins.union(*neighbours))


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
    node = process.system.context.supervisor.actor(("node", CLUSTER))
    if not isinstance(node, NodeActor):
        return {}
    held = node._transit._held
    return {flow: sum(size_of(item.message) for item in waiting) for flow, waiting in held.items()}


def lanes(process: Process) -> Iterator[tuple[Endpoint, Lane]]:
    """The connections in use, with what was sent on each."""
    for lane in process.system.context.lanes.values():
        if isinstance(lane._connection, Endpoint):
            yield lane._connection, lane


def far_end(endpoint: Endpoint) -> Endpoint | None:
    """The other end of its connection."""
    return endpoint._far


__all__ = [
    "HEADER_BYTES",
    "Cast",
    "Endpoint",
    "LinkStateHeld",
    "Seen",
    "Tables",
    "capabilities",
    "far_end",
    "flap_hold_s",
    "held",
    "held_bytes",
    "held_messages",
    "is_closing",
    "kept_bytes",
    "lanes",
    "passing_bytes",
    "priorities",
    "sessions",
    "spoken",
    "traces_of",
]
