"""One node's topology with scripted neighbours, for the tests of the topology."""

from __future__ import annotations

from collections.abc import Iterable

from tagmesh.protocol.adjacencies import GATHER_S
from tagmesh.protocol.effects import Announce, Effect, SendTo
from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import BinsUrl, ClusterId, NodeId, NodeRecord
from tagmesh.protocol.messages import Digest, LinkState, Message, Want
from tagmesh.protocol.topology import Topology

DIGEST_S = 10.0
UP, DOWN, MOVED = Event.NODE_UP, Event.NODE_DOWN, Event.ROUTE_CHANGED


def roster(*nodes: int, priorities: dict[int, int] | None = None) -> dict[NodeId, NodeRecord]:
    return {
        NodeId(n): NodeRecord(
            cluster_id=ClusterId(1),
            node_id=NodeId(n),
            url=BinsUrl("host", n),
            priority=(priorities or {}).get(n, 50),
        )
        for n in nodes
    }


def linked(*to: int, members: Iterable[int] = range(1, 6), rerouting: bool = True) -> Topology:
    """Node 1 in incarnation 100, its links with ``to`` up at both ends, the peers in 100 too.

    The links came up before second 0, one after the other, so that each was told by itself.
    """
    node = Topology(
        cluster_id=ClusterId(1),
        me=NodeId(1),
        incarnation=100,
        members=roster(*members),
        rerouting=rerouting,
        digest_interval_s=DIGEST_S,
    )
    for position, peer in enumerate(to):
        comes_up(node, peer, now=float(position - len(to)))
        hear(node, peer, state(peer, (100, 0), 1))
    return node


def comes_up(node: Topology, peer: int, life: int = 100, now: float = 0.0) -> list[Effect]:
    """The link with ``peer`` is up, it is told, and the digest follows."""
    return [
        *node.link_up(NodeId(peer), life, now, "answered"),
        *node.tick(now + GATHER_S),
        *node.tick(now + 2 * GATHER_S),
    ]


def state(
    origin: int,
    version: tuple[int, int],
    *neighbours: int | tuple[int, int],
    life: int | None = None,
    hops: int = 0,
) -> LinkState:
    """``neighbours`` are in incarnation 100 unless they say another, the origin in its epoch."""
    return LinkState(
        cluster_id=1,
        origin=origin,
        incarnation=version[0] if life is None else life,
        epoch=version[0],
        sequence=version[1],
        neighbours=[(n, 100) if isinstance(n, int) else n for n in neighbours],
        hops=hops,
    )


def hear(node: Topology, sender: int, *messages: LinkState | Digest | Want) -> list[Effect]:
    return [e for m in messages for e in node.receive(NodeId(sender), m, 0.0)]


def edges(effects: list[Effect]) -> list[tuple[Event, int | None, int | None, str]]:
    """(kind, node, via, cause) of each announcement."""
    return [(e.kind, e.node_id, e.via, e.cause) for e in effects if isinstance(e, Announce)]


def sent(effects: list[Effect]) -> list[tuple[int, Message]]:
    return [(e.node_id, e.message) for e in effects if isinstance(e, SendTo)]


def lives(effects: list[Effect]) -> list[tuple[Event, int | None, int | None]]:
    return [(e.kind, e.node_id, e.incarnation) for e in effects if isinstance(e, Announce)]


def via_2() -> Topology:
    """1 – 2 – 3 – 4, all links reported by both ends."""
    node = linked(2)
    hear(node, 2, state(2, (100, 2), 1, 3), state(3, (100, 2), 2, 4), state(4, (100, 1), 3))
    return node
