"""Reachability: routes over the links that count, and each edge told once (N-1)."""

from __future__ import annotations

from collections.abc import Iterable

from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.linkstates import LinkStates, Said
from tagmesh.protocol.reachability import Reachability
from tests.protocol.topology_bench import DOWN, MOVED, UP, edges

ME = NodeId(1)
PRIORITIES = {NodeId(n): 50 for n in range(1, 6)}


class Graph:
    """Links that both ends report, all nodes in life 100 unless ``lives`` says another."""

    def __init__(self, *, rerouting: bool = True) -> None:
        self.states = LinkStates(ClusterId(1), ME)
        self.reach = Reachability(ME, self.states, rerouting=rerouting)
        self.lives: dict[int, int] = {}

    def settle(
        self, links: Iterable[tuple[int, int]], own: dict[NodeId, str] | None = None
    ) -> list[tuple[Event, int | None, int | None, str]]:
        """What is announced when these are all the links there are."""
        both = [*links, *((b, a) for a, b in links)]
        for node in PRIORITIES:
            near = {NodeId(b): self.lives.get(b, 100) for a, b in both if a == node}
            said = Said(100, 0, self.lives.get(node, 100), near)
            self.states.store(node, said, lambda _: False)
        return edges([*self.reach.settle(PRIORITIES, "news", own or {})])


def test_up_with_the_first_path_and_down_with_the_last() -> None:
    graph = Graph()
    assert graph.settle([(1, 2), (2, 3)], {NodeId(2): "answered"}) == [
        (UP, 2, 2, "answered"),
        (UP, 3, 2, "path found: news"),
    ]
    assert graph.reach.routes == {2: (2,), 3: (2, 3)}
    assert [graph.reach.distance(NodeId(n)) for n in (1, 2, 3, 4)] == [0, 1, 2, -1]
    assert graph.settle([(1, 2), (2, 3), (1, 3)]) == [(MOVED, 3, 3, "news")]
    assert graph.settle([(1, 2), (1, 3)]) == []
    assert graph.settle([(1, 3)], {NodeId(2): "cut"}) == [(DOWN, 2, 2, "cut")]
    assert graph.settle([]) == [(DOWN, 3, 3, "path lost: news")]
    assert graph.reach.routes == {}


def test_a_restart_while_reachable_is_down_then_up() -> None:
    graph = Graph()
    graph.settle([(1, 2), (2, 3)])
    graph.lives[3] = 101
    assert graph.settle([(1, 2), (2, 3)]) == [(DOWN, 3, 2, "restarted"), (UP, 3, 2, "restarted")]


def test_without_rerouting_only_direct_links_lead_anywhere() -> None:
    """R-6."""
    graph = Graph(rerouting=False)
    assert graph.settle([(1, 2), (2, 3)]) == [(UP, 2, 2, "path found: news")]


def test_whoever_was_up_is_down_after_leaving() -> None:
    graph = Graph()
    graph.settle([(1, 2), (2, 3)])
    assert edges([*graph.reach.lose_all("I left")]) == [
        (DOWN, 2, 2, "I left"),
        (DOWN, 3, 2, "I left"),
    ]
    assert graph.reach.routes == {}
    assert graph.reach.lose_all("I left") == []
