"""Whom a node reaches, by which route, and what applications hear of it (N-1, R-1).

Applications hear NODE_UP when the first path appears and NODE_DOWN when the last disappears, per
node strictly in turn. A node that restarts while it stays reachable is DOWN, then UP.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import msgspec

from .because import Cause, because, reworded
from .effects import Announce
from .events import Event
from .identity import NodeId
from .linkstates import LinkStates
from .routing import Path, shortest_paths

RESTARTED = because("restarted", Cause.RESTARTED)


class Reachability:
    """The routes of node ``me`` over the links in ``states`` that count."""

    def __init__(self, me: NodeId, states: LinkStates, *, rerouting: bool) -> None:
        """Without ``rerouting`` only direct links lead anywhere (R-6)."""
        self._me = me
        self._states = states
        self._rerouting = rerouting
        self._routes: dict[NodeId, Path] = {}
        self._announced: dict[NodeId, int] = {}
        """Who is UP for applications, in which life."""

    @property
    def routes(self) -> Mapping[NodeId, Path]:
        """The way to each other node that is reachable."""
        return self._routes

    def distance(self, node: NodeId) -> int:
        """Hops from me; −1 = unreachable."""
        return 0 if node == self._me else len(self._routes.get(node, ())) or -1

    def settle(
        self, priorities: Mapping[NodeId, int], cause: str, own_cause: Mapping[NodeId, str]
    ) -> list[Announce]:
        """Compute the routes anew and announce what changed, by node id (N-1).

        ``own_cause`` is for the nodes the change is about; the others have it from ``cause``.
        ``priorities`` has an entry for each node that could be reachable.
        """
        links: Mapping[NodeId, Set[NodeId]] = self._states
        if not self._rerouting:
            links = {self._me: links[self._me]}
        known = {node: priorities[node] for node in self._states if node in priorities}
        before, self._routes = self._routes, shortest_paths(self._me, links, known)
        announced: list[Announce] = []
        for node in sorted(before.keys() | self._routes.keys()):
            old = before.get(node, ())
            life = self._states.of(node).incarnation
            if old != self._routes.get(node) or life != self._announced.get(node):
                announced += self._edges(node, old, cause, own_cause.get(node))
        return announced

    def lose_all(self, cause: str) -> list[Announce]:
        """Whoever was UP is DOWN."""
        before, self._routes = self._routes, {}
        return [edge for n in sorted(before) for edge in self._edges(n, before[n], "", cause)]

    def _edges(self, node: NodeId, before: Path, cause: str, own: str | None) -> list[Announce]:
        """The announcements about one node whose route was ``before``."""
        after = self._routes.get(node, ())
        if not after:
            life = self._announced.pop(node)
            return [
                _edge(
                    Event.NODE_DOWN,
                    node,
                    life,
                    own or reworded(cause, f"path lost: {cause}"),
                    before,
                )
            ]
        life = self._states.of(node).incarnation
        announced = self._announced.get(node)
        self._announced[node] = life
        if announced is None:
            return [
                _edge(
                    Event.NODE_UP, node, life, own or reworded(cause, f"path found: {cause}"), after
                )
            ]
        if announced != life:
            return [
                _edge(Event.NODE_DOWN, node, announced, RESTARTED, before),
                _edge(Event.NODE_UP, node, life, RESTARTED, after),
            ]
        if before[0] == after[0]:
            return []
        moved = _edge(Event.ROUTE_CHANGED, node, life, own or cause, after)
        return [msgspec.structs.replace(moved, before=str(before[0]), after=str(after[0]))]


def _edge(kind: Event, node: NodeId, incarnation: int, cause: str, path: Path) -> Announce:
    return Announce(kind=kind, node_id=node, incarnation=incarnation, cause=cause, via=path[0])
