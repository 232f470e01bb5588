"""Defects of what nodes tell each other about links, and of the routes they make of it."""
# ruff: noqa: SLF001 - a defect is put in where the rule is

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Set
from typing import Any

import msgspec

from ..actors import node
from ..protocol import reachability
from ..protocol.adjacencies import Adjacencies
from ..protocol.effects import Announce, Count, Effect, SendTo
from ..protocol.events import Event
from ..protocol.identity import NodeId
from ..protocol.linkstates import LinkStates, Said, said_in
from ..protocol.messages import LinkState
from ..protocol.reachability import Reachability
from ..protocol.routing import Path, forward_trace, shortest_paths
from ..protocol.topology import Topology
from ..protocol.trace_messages import Trace
from . import machines
from .defect import Replace, mutant


@mutant(
    "no incarnation",
    rule="row 1, noinc; T-9",
    defect="a node that restarts counts its updates from 0, and nothing tells its lives apart",
    history="deaf",
    dies="I2",
)
def no_incarnation(replace: Replace) -> None:
    """OpenSIPS: deaf to the node until its counter catches up."""
    inner = Topology.__init__

    def init(self: Topology, **kwargs: Any) -> None:
        inner(self, **kwargs)
        self._store(self._me, self._states.of(self._me)._replace(epoch=0))

    replace(Topology, "__init__", init)
    replace(Topology, "_defend", lambda *_: [Count("T-9")])


@mutant(
    "wall-clock order",
    rule="row 36; T-9, B2",
    defect="updates of two lives are ordered by the wall clock alone",
    history="clock back",
    dies="I2",
)
def wall_order(replace: Replace) -> None:
    """The clock of a machine was put back while its node was away."""
    replace(machines, "next_incarnation", lambda _previous, wall_s: int(wall_s * 1e6))
    replace(Topology, "_defend", lambda *_: [Count("T-9")])


@mutant(
    "no self-defence",
    rule="T-9, B2",
    defect="a node whose disk was rolled back is content with updates nobody accepts",
    history="clock back",
    dies="I2",
)
def no_defence(replace: Replace) -> None:
    """Something newer is about in its name."""
    replace(Topology, "_defend", lambda *_: [Count("T-9")])


@mutant(
    "one end is enough",
    rule="T-12",
    defect="a link counts as soon as one end reports it",
    history="ways round",
    dies="T-12",
)
def one_end(replace: Replace) -> None:
    """OpenSIPS requires no second report."""

    def either(self: LinkStates, origin: NodeId, said: Said, node: NodeId) -> bool:
        return node in self._said and (
            node in said.neighbours or origin in self._said[node].neighbours
        )

    replace(LinkStates, "_both", either)


@mutant(
    "stale links kept",
    rule="row 26; T-11",
    defect="links that an origin no longer reports stay in the tables",
    history="ways round",
    dies="T-12",
)
def stale_links(replace: Replace) -> None:
    """OpenSIPS 3.2 did not reset its list between two entries."""
    inner = Topology._store

    def store(self: Topology, origin: NodeId, new: Said) -> bool:
        old = self._states.of(origin).neighbours
        return inner(self, origin, new._replace(neighbours={**old, **new.neighbours}))

    replace(Topology, "_store", store)


@mutant(
    "no first digest",
    rule="T-11",
    defect="a new neighbour is not told what else is known",
    history="bridge",
    dies="T-11",
)
def no_first_digest(replace: Replace) -> None:
    """It waits for the periodic one."""
    inner = Adjacencies.begin

    def begin(self: Adjacencies, peer: NodeId, *args: Any) -> None:
        inner(self, peer, *args)
        self._first_digest_at.clear()

    replace(Adjacencies, "begin", begin)


@mutant(
    "no digest",
    rule="T-11, B2",
    defect="what was lost with a connection is never asked for again",
    history="lost update",
    dies="I2",
)
def no_digest(replace: Replace) -> None:
    """No anti-entropy."""
    inner = Topology.tick

    def tick(self: Topology, now: float) -> list[Effect]:
        inner(self, now)
        return []

    replace(Topology, "tick", tick)


@mutant(
    "strangers in link states",
    rule="S11, T-7",
    defect="a link state about nodes without a row is believed",
    history="hostile messages",
    dies="I1",
)
def strangers_believed(replace: Replace) -> None:
    """One member with a wrong idea spreads it."""
    inner = Topology._on_link_state

    def on_link_state(
        self: Topology, sender: NodeId, message: LinkState, now: float
    ) -> list[Effect]:
        neighbours = {NodeId(n): life for n, life in message.neighbours}
        if not {NodeId(message.origin), *neighbours} - self._members.keys():
            return inner(self, sender, message, now)
        self._store(NodeId(message.origin), said_in(message))
        return []

    replace(Topology, "_on_link_state", on_link_state)


@mutant(
    "endless forwarding",
    rule="refwd; T-10, I16",
    defect="an update that is not new is flooded on all the same",
    history="sparse",
    dies="I16",
)
def endless_forwarding(replace: Replace) -> None:
    """No duplicate suppression; with OpenSIPS only the path in the message ends it."""
    inner = Topology._on_link_state

    def on_link_state(
        self: Topology, sender: NodeId, message: LinkState, now: float
    ) -> list[Effect]:
        effects = inner(self, sender, message, now)
        if effects != [Count("T-10")]:
            return effects
        again = msgspec.structs.replace(message, hops=0)
        return [SendTo(n, again) for n in sorted(self.neighbours - {sender})]

    replace(Topology, "_on_link_state", on_link_state)


# Events ---------------------------------------------------------------------------------------


@mutant(
    "UP again and again",
    rule="N-1, I8",
    defect="each change of the routes announces every reachable node",
    history="quiet",
    dies="I8",
)
def up_repeated(replace: Replace) -> None:
    """Applications must guess what is new."""
    inner = Reachability.settle

    def settle(
        self: Reachability, priorities: Mapping[NodeId, int], cause: str, own: Mapping[NodeId, str]
    ) -> list[Announce]:
        told = inner(self, priorities, cause, own)
        for peer, path in self._routes.items():
            life = self._announced[peer]
            told.append(reachability._edge(Event.NODE_UP, peer, life, cause, path))
        return told

    replace(Reachability, "settle", settle)


@mutant(
    "restart not announced",
    rule="row 12 in part; N-1, N-2",
    defect="a node that restarts while it stays reachable is never announced DOWN",
    history="half noticed",
    dies="I8",
)
def restart_unnoticed(replace: Replace) -> None:
    """What was known of its earlier life goes on being believed."""
    inner = Reachability._edges

    def edges(self: Reachability, peer: NodeId, *args: Any) -> list[Announce]:
        if peer in self._routes and peer in self._announced:
            self._announced[peer] = self._states.of(peer).incarnation
        return inner(self, peer, *args)

    replace(Reachability, "_edges", edges)


@mutant(
    "event lost",
    rule="row 25; N-1",
    defect="when several nodes change at once only the first is announced",
    history="swarm",
    dies="I8",
)
def event_lost(replace: Replace) -> None:
    """OpenSIPS: the loop advances wrongly."""
    inner = Topology._settle

    def settle(self: Topology, *args: Any) -> list[Effect]:
        return inner(self, *args)[:1]

    replace(Topology, "_settle", settle)


@mutant(
    "no cause",
    rule="N-1, I8",
    defect="an event does not say why",
    history="quiet",
    dies="I8",
)
def no_cause(replace: Replace) -> None:
    """Nobody can ask why."""
    inner = reachability._edge

    def edge(*args: Any) -> Announce:
        return msgspec.structs.replace(inner(*args), cause="")

    replace(reachability, "_edge", edge)


# Routes ---------------------------------------------------------------------------------------


@mutant(
    "routes by priority",
    rule="row 6; R-2",
    defect="nodes are taken out of one queue by priority and id, however far away they are",
    history="sparse",
    dies="I9",
)
def routes_by_priority(replace: Replace) -> None:
    """OpenSIPS: the code does not do what the documentation says."""

    def paths(
        me: NodeId, adjacency: Mapping[NodeId, Set[NodeId]], priorities: Mapping[NodeId, int]
    ) -> dict[NodeId, Path]:
        found: dict[NodeId, Path] = {me: ()}
        queue: list[tuple[int, NodeId]] = [(0, me)]
        while queue:
            _, at = heapq.heappop(queue)
            for near in sorted(adjacency.get(at, frozenset()) - found.keys()):
                found[near] = (*found[at], near)
                heapq.heappush(queue, (priorities[near], near))
        del found[me]
        return found

    replace(reachability, "shortest_paths", paths)


@mutant(
    "priorities ignored",
    rule="R-2",
    defect="among ways of equal length the smallest ids win, whatever the priorities",
    history="sparse",
    dies="I9",
)
def priorities_ignored(replace: Replace) -> None:
    """The tie-break of the documentation."""
    inner = shortest_paths

    def paths(
        me: NodeId, adjacency: Mapping[NodeId, Set[NodeId]], priorities: Mapping[NodeId, int]
    ) -> dict[NodeId, Path]:
        return inner(me, adjacency, dict.fromkeys(priorities, 50))

    replace(reachability, "shortest_paths", paths)


@mutant(
    "rerouting off sees nobody",
    rule="row 7; R-6",
    defect="with rerouting off not even direct neighbours have a next hop",
    history="no rerouting",
    dies="I2, I9",
)
def sees_nobody(replace: Replace) -> None:
    """OpenSIPS 4.0."""
    inner = shortest_paths

    def paths(me: NodeId, adjacency: Mapping[NodeId, Set[NodeId]], priorities: Any) -> Any:
        return {} if adjacency.keys() == {me} else inner(me, adjacency, priorities)

    replace(reachability, "shortest_paths", paths)


@mutant(
    "routes not computed anew",
    rule="R-1, I9",
    defect="a change of somebody else's links does not move routes",
    history="sparse",
    dies="I9",
)
def routes_kept(replace: Replace) -> None:
    """What was reachable stays so."""
    inner = Topology._store

    def store(self: Topology, *args: Any) -> bool:
        inner(self, *args)
        return False

    replace(Topology, "_store", store)


@mutant(
    "no time to live",
    rule="row 4; R-11",
    defect="what is routed is passed on for ever while tables disagree",
    history="circle",
    dies="R-11",
)
def no_ttl(replace: Replace) -> None:
    """OpenSIPS: relayed packets have no hop limit."""

    def forward(trace: Trace, me: NodeId, next_hop: Callable[[NodeId], NodeId | None]) -> Any:
        kept = msgspec.structs.replace(trace, ttl=max(trace.ttl, 1))
        return forward_trace(kept, me, next_hop)

    replace(node, "forward_trace", forward)
