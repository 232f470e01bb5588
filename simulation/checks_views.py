"""I2, I8, I9: nodes agree with each other, tell applications the truth, and take shortest ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from ..actors.mail import TraceRoute
from ..actors.node import NodeActor
from ..protocol.events import Event, EventRecord
from ..protocol.identity import NodeId
from ..protocol.routing import Path
from . import inside
from .check import Check
from .inside import LinkStateHeld, Seen, Tables
from .trouble import Trouble

if TYPE_CHECKING:
    from .world import World

AGREE_S = 2.0
"""Beyond the digest interval: nothing moved for so long, so who reaches each other knows the same.
A link state that was lost with its connection is made good by the digest."""
TRACE_S = 2.0
MOST_PATHS_NODES = 8
"""Up to this many nodes all shortest paths are tried out."""
FIRST_TRACE = 2**40
"""Numbers of the traces that checks send; no history has so many of its own."""
EDGES = (Event.NODE_UP, Event.NODE_DOWN)


class ViewChecks(Check):
    """What each node believes, against the others and against itself."""

    def __init__(self, world: World, trouble: Trouble, seen: Seen | None = None) -> None:
        super().__init__(world, trouble, seen)
        self._last: dict[NodeId, dict[NodeId, EventRecord]] = {}
        """Observer → peer → the last edge it announced in this life."""
        self._own: dict[NodeId, LinkStateHeld] = {}
        self._moved_at = 0.0
        self._short: dict[NodeId, Tables] = {}
        """The tables of each node whose ways were found short."""
        self._agreed: Mapping[NodeId, Tables] = {}
        """The tables of all nodes when they were found to agree."""
        self._traces = FIRST_TRACE

    def booted(self, node: NodeId) -> None:
        """A new observer has heard of nobody."""
        self._last[node] = {}

    def event(self, node: NodeId, record: EventRecord) -> None:
        """I8: edges alternate, beginning with UP; each has a cause and is about one life (N-1)."""
        peer = record.node_id
        if record.kind not in EDGES or peer is None:
            return
        before = self._last[node].get(peer)
        up_before = before is not None and before.kind is Event.NODE_UP
        if up_before == (record.kind is Event.NODE_UP):
            self.fail("I8", f"node {node} hears twice in a row: {record}")
        if not record.cause:
            self.fail("I8", f"node {node} hears {record} without a cause")
        if up_before and before is not None and before.incarnation != record.incarnation:
            self.fail("I8", f"node {node} hears {record} of a life that was not announced")
        if peer == node:
            self.fail("I8", f"node {node} hears of itself: {record}")
        self._last[node][peer] = record

    # Every now and then -------------------------------------------------------------------------

    def survey(self) -> None:
        """The tables of each node, and what those who reach each other hold of each other.

        Tables in which nothing was stored since they were found right are right.
        """
        actors = dict(self._actors())
        tables = {n: self.seen.tables(actor) for n, actor in actors.items()}
        own = {n: held.known[n] for n, held in tables.items()}
        if own != self._own or self.trouble.sick():
            self._own, self._moved_at = own, self.world.now
        for node, held in tables.items():
            if held is not self._short.get(node):
                self._shortest(node, actors[node], held)
                self._short[node] = held
        quiet_s = self.world.now - max(self._moved_at, self.trouble.last)
        if quiet_s >= AGREE_S and not _same(tables, self._agreed):
            digests_s = [self.settings(p).digest_interval_s for _, p in self.running()]
            agree_s = max(digests_s, default=0.0) + AGREE_S
            if quiet_s >= agree_s:
                knowing = self._knowing(tables, self.world.now - agree_s)
                self._agree(knowing, own)
                self._agreed = tables if len(knowing) == len(tables) else {}

    def _knowing(self, tables: Mapping[NodeId, Tables], since: float) -> dict[NodeId, Tables]:
        """Those who could read all rows before ``since``: others refuse what is said of nodes that
        they cannot know (S11)."""
        edited_until = self.trouble.edited_until
        return {n: held for n, held in tables.items() if edited_until(by=(n,)) <= since}

    def _actors(self) -> Iterator[tuple[NodeId, NodeActor]]:
        for node, process in self.running():
            actor = self.seen.cast(process).node
            if actor is not None:
                yield node, actor

    def _agree(self, tables: Mapping[NodeId, Tables], own: Mapping[NodeId, LinkStateHeld]) -> None:
        """I2, T-11."""
        for node, held in tables.items():
            for origin in own.keys() & held.routes.keys():
                if held.known[origin] != own[origin]:
                    text = f"node {node} holds {_short(held.known[origin])} of node {origin}"
                    self.fail("I2", f"{text}, which says {_short(own[origin])}; nothing moves")

    def _shortest(self, node: NodeId, actor: NodeActor, held: Tables) -> None:
        """I9: each route is a path of links that count, as short as can be."""
        routes = held.routes
        if held.near == held.origins - {node} and routes == {n: (n,) for n in held.near}:
            return  # everybody is near
        near: dict[NodeId, AbstractSet[NodeId]] = {node: held.near}
        if self.settings(self.world.processes[node]).rerouting:
            near = {n: set(links) for n, links in actor.rules.adjacency()}
        hops = distances(node, near)
        if routes.keys() != hops.keys() - {node}:
            odd = sorted(routes.keys() ^ (hops.keys() - {node}))
            self.fail("I9", f"node {node}: route and links differ about node {odd[0]}")
        for target, path in routes.items():
            steps = zip((node, *path), path, strict=False)
            if path[-1] != target or any(b not in near.get(a, ()) for a, b in steps):
                self.fail("I9", f"node {node}: route {path} to {target} uses a link that is none")
            if len(path) != hops[target]:
                text = f"node {node} reaches node {target} in {len(path)} hops: {path}"
                self.fail("I9", f"{text}; {hops[target]} would do")

    # After healing ----------------------------------------------------------------------------

    def healed(self) -> None:
        """Everything agrees: events told what is, ways end where they should, traces follow."""
        actors = dict(self._actors())
        for node, actor in actors.items():
            self._told_truly(node, actor)
            self._best(node, actor)
        for node in actors:
            for target in actors:
                if target != node:
                    self._arrives(actors, node, target)
        self._trace(actors)

    def _told_truly(self, node: NodeId, actor: NodeActor) -> None:
        last = self._last[node]
        told = {n: r.incarnation for n, r in last.items() if r.kind is Event.NODE_UP}
        lives = {
            n: self.world.processes[n].system.context.incarnation
            for n in actor.rules.reachable
            if n in self.world.processes
        }
        if told != lives:
            self.fail("I8", f"node {node} told its application {told}; reachable are {lives}")

    def _best(self, node: NodeId, actor: NodeActor) -> None:
        """R-2 by trying out: smallest maximum, then sum of priorities, then ids."""
        near = {n: set(links) for n, links in actor.rules.adjacency()}
        if len(near) > MOST_PATHS_NODES or not self.settings(self.world.processes[node]).rerouting:
            return
        cost = inside.priorities(actor)
        for target, path in self.seen.tables(actor).routes.items():
            ways = all_paths(node, target, near, len(path))
            best = min(ways, key=lambda w: (max(cost[n] for n in w), sum(cost[n] for n in w), w))
            if path != best:
                self.fail("I9", f"node {node} takes {path} to node {target}; better is {best}")

    def _arrives(self, actors: Mapping[NodeId, NodeActor], node: NodeId, target: NodeId) -> None:
        """Hop by hop, each with its own table: no circle (R-5)."""
        at, passed = node, [node]
        while at != target:
            hop = actors[at].rules.next_hop(target) if at in actors else None
            if hop is None or hop in passed:
                self.fail("I9", f"from node {node} to node {target}: {passed}, then {hop}")
            passed.append(hop)
            at = hop

    def _trace(self, actors: Mapping[NodeId, NodeActor]) -> None:
        """R-11: a trace comes back, along the route."""
        node = min(actors)
        targets = sorted(actors.keys() - {node})
        supervisor = self.world.processes[node].system.context.supervisor
        numbers = dict.fromkeys(range(self._traces, self._traces + len(targets)))
        self._traces += len(targets)
        for target, number in zip(targets, numbers, strict=True):
            supervisor.tell(("node", actors[node].cluster), TraceRoute(target, number))
        self.world.run_for(0.0)
        waiting = {n: inside.traces_of(actors[node])[n] for n in numbers}
        self.world.run_for(TRACE_S)
        for target, number in zip(targets, numbers, strict=True):
            if number in inside.traces_of(actors[node]):
                self.fail("I9", f"the trace from node {node} to node {target} did not come back")
            passed = waiting[number].get(timeout=0)
            way = self.seen.tables(actors[node]).routes[target]
            if tuple(passed) != way:
                text = f"a trace from node {node} to node {target} passed {passed}"
                self.fail("I9", f"{text}; its route is {way}")


def _same(tables: Mapping[NodeId, Tables], before: Mapping[NodeId, Tables]) -> bool:
    same = tables.keys() == before.keys()
    return same and all(held is before[node] for node, held in tables.items())


def _short(said: LinkStateHeld) -> str:
    return f"({said.epoch}, {said.sequence}: {', '.join(map(str, sorted(said.neighbours)))})"


def distances(node: NodeId, near: Mapping[NodeId, AbstractSet[NodeId]]) -> dict[NodeId, int]:
    """Hops from ``node`` to everybody it can reach."""
    hops, frontier = {node: 0}, [node]
    while frontier:
        reached = {n for at in frontier for n in near.get(at, ())} - hops.keys()
        frontier = sorted(reached)
        hops |= dict.fromkeys(frontier, hops[node] if not hops else max(hops.values()) + 1)
    return hops


def all_paths(
    node: NodeId, target: NodeId, near: Mapping[NodeId, AbstractSet[NodeId]], length: int
) -> list[Path]:
    """Every path of ``length`` hops, without the start."""
    if length == 0:
        return [()] if node == target else []
    return [
        (hop, *rest)
        for hop in sorted(near.get(node, ()))
        for rest in all_paths(hop, target, near, length - 1)
    ]
