"""Routes against a brute force over networkx, and the way of a trace."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.protocol.effects import Arrived, Count, SendTo
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import MAX_NODES
from tagmesh.protocol.routing import Dropped, Sent, forward_trace, outcome, shortest_paths
from tagmesh.protocol.trace_messages import Trace

Graph = dict[NodeId, set[NodeId]]


def graph(*links: tuple[int, int]) -> Graph:
    """Links in both directions."""
    result: Graph = {}
    for a, b in links:
        result.setdefault(NodeId(a), set()).add(NodeId(b))
        result.setdefault(NodeId(b), set()).add(NodeId(a))
    return result


def same_priority(size: int) -> dict[NodeId, int]:
    return {NodeId(n): 50 for n in range(1, size + 1)}


def full_mesh(size: int) -> Graph:
    nodes = {NodeId(n) for n in range(1, size + 1)}
    return {n: nodes - {n} for n in nodes}


def by_brute_force(
    me: NodeId, adjacency: Graph, priorities: Mapping[NodeId, int]
) -> dict[NodeId, tuple[NodeId, ...]]:
    """R-2 read literally: the least of all fewest-hop paths."""
    directed = networkx.DiGraph([(a, b) for a, targets in adjacency.items() for b in targets])
    directed.add_node(me)
    routes = {}
    for node in sorted(networkx.descendants(directed, me)):
        paths = [tuple(p[1:]) for p in networkx.all_shortest_paths(directed, me, node)]
        costs = {p: [priorities[n] for n in p] for p in paths}
        routes[node] = min(paths, key=lambda p: (max(costs[p]), sum(costs[p]), p))
    return routes


@st.composite
def weighted_graphs(draw: st.DrawFn) -> tuple[Graph, dict[NodeId, int]]:
    size = draw(st.integers(2, 9))
    nodes = [NodeId(n) for n in range(1, size + 1)]
    pairs = [(a, b) for a in nodes for b in nodes if a != b]
    links = draw(st.sets(st.sampled_from(pairs), max_size=len(pairs)))
    priorities = draw(st.lists(st.integers(-2, 6), min_size=size, max_size=size))
    adjacency: Graph = {}
    for a, b in links:
        adjacency.setdefault(a, set()).add(b)
    return adjacency, dict(zip(nodes, priorities, strict=True))


@st.composite
def layered_graphs(draw: st.DrawFn) -> tuple[Graph, dict[NodeId, int]]:
    """Many equal-hop paths: 1, then layers of three, completely or nearly linked."""
    depth = draw(st.integers(2, 4))
    layers = [[NodeId(1)]] + [[NodeId(2 + 3 * d + i) for i in range(3)] for d in range(depth)]
    pairs = [(a, b) for near, far in itertools.pairwise(layers) for a in near for b in far]
    missing = draw(st.sets(st.sampled_from(pairs), max_size=3))
    nodes = [n for layer in layers for n in layer]
    ids = draw(st.permutations(nodes[1:]))
    name = dict(zip(nodes, [NodeId(1), *ids], strict=True))
    priorities = draw(st.lists(st.integers(1, 5), min_size=len(nodes), max_size=len(nodes)))
    links = [(name[a], name[b]) for a, b in pairs if (a, b) not in missing]
    return graph(*links), dict(zip(nodes, priorities, strict=True))


@given(weighted_graphs())
def test_routes_of_any_graph_are_those_of_the_brute_force(
    case: tuple[Graph, dict[NodeId, int]],
) -> None:
    adjacency, priorities = case
    expected = by_brute_force(NodeId(1), adjacency, priorities)
    assert shortest_paths(NodeId(1), adjacency, priorities) == expected


@given(layered_graphs())
def test_routes_through_many_equal_layers_are_those_of_the_brute_force(
    case: tuple[Graph, dict[NodeId, int]],
) -> None:
    adjacency, priorities = case
    expected = by_brute_force(NodeId(1), adjacency, priorities)
    assert shortest_paths(NodeId(1), adjacency, priorities) == expected


def test_fewer_hops_win_over_any_priority() -> None:
    """1.23 row 6: OpenSIPS takes 2, 3 here because their priorities are lower."""
    adjacency = graph((1, 2), (2, 3), (3, 5), (1, 4), (4, 5))
    priorities = same_priority(5) | {NodeId(4): 99}
    assert shortest_paths(NodeId(1), adjacency, priorities)[NodeId(5)] == (4, 5)


def test_the_best_route_need_not_continue_the_best_route_to_its_middle() -> None:
    """To 4 the lower maximum wins (3, 4); past the worse node 5 only the sum still matters."""
    adjacency = graph((1, 2), (1, 3), (2, 6), (3, 7), (6, 4), (7, 4), (4, 5))
    priorities = {NodeId(n): p for n, p in {2: 9, 6: 1, 3: 6, 7: 6, 4: 1, 5: 20}.items()}
    routes = shortest_paths(NodeId(1), adjacency, priorities)
    assert routes[NodeId(4)] == (3, 7, 4)
    assert routes[NodeId(5)] == (2, 6, 4, 5)


def test_equal_in_all_else_the_smaller_ids_win() -> None:
    adjacency = graph((1, 3), (1, 2), (2, 9), (3, 8), (8, 10), (9, 10))
    assert shortest_paths(NodeId(1), adjacency, same_priority(10))[NodeId(10)] == (2, 9, 10)


def test_what_cannot_be_reached_has_no_route() -> None:
    adjacency = graph((1, 2), (3, 4))
    assert shortest_paths(NodeId(1), adjacency, same_priority(4)) == {NodeId(2): (2,)}
    assert shortest_paths(NodeId(5), adjacency, same_priority(4)) == {}


def test_a_link_is_used_in_its_direction_only() -> None:
    adjacency: Graph = {NodeId(1): {NodeId(2)}, NodeId(3): {NodeId(2)}}
    assert shortest_paths(NodeId(1), adjacency, same_priority(3)) == {NodeId(2): (2,)}


def two_layers(size: int) -> Graph:
    """Half of the nodes are reached through all of the other half."""
    near = range(2, size // 2 + 1)
    far = range(size // 2 + 1, size + 1)
    return graph(*[(1, n) for n in near], *[(n, f) for n in near for f in far])


@pytest.mark.parametrize(
    ("adjacency", "limit_s"),
    [(full_mesh(30), 0.005), (full_mesh(300), 0.2), (two_layers(300), 0.2)],
    ids=["mesh-30", "mesh-300", "two-layers-300"],
)
def test_routes_are_computed_fast(adjacency: Graph, limit_s: float) -> None:
    """All priorities differ, which is the most work. CPU time of this thread: others share it."""
    priorities = {node: 1000 - node for node in adjacency}
    spent = []
    for _ in range(3):
        start = time.thread_time()
        routes = shortest_paths(NodeId(1), adjacency, priorities)
        spent.append(time.thread_time() - start)
    assert len(routes) == len(adjacency) - 1
    assert min(spent) < limit_s


def trace(source: int, destination: int, ttl: int) -> Trace:
    return Trace(
        cluster_id=1, source=source, destination=destination, number=7, ttl=ttl, visited=[]
    )


def by_tables_of(at: NodeId, adjacency: Graph) -> Callable[[NodeId], NodeId | None]:
    routes = shortest_paths(at, adjacency, same_priority(len(adjacency)))
    return lambda node: routes[node][0] if node in routes else None


def walk(start: Trace, adjacency: Graph) -> tuple[list[int], Arrived | Count]:
    """Let the trace go; each node routes by its own tables. Returns every node it came to."""
    at, came = NodeId(start.source), [start.source]
    while True:
        effect = forward_trace(start, at, by_tables_of(at, adjacency))
        if not isinstance(effect, SendTo):
            return came, effect
        assert isinstance(effect.message, Trace)
        start, at = effect.message, effect.node_id
        came.append(at)


def test_a_trace_goes_there_and_back_and_names_who_it_passed() -> None:
    came, effect = walk(trace(1, 4, ttl=4), graph((1, 2), (2, 3), (3, 4)))
    assert came == [1, 2, 3, 4, 3, 2, 1]
    assert isinstance(effect, Arrived)
    assert effect.trace.visited == [2, 3, 4]
    assert effect.trace.number == 7


def test_a_trace_comes_back_another_way_when_tables_say_so() -> None:
    """The way back is not recorded: ``visited`` is the way out."""
    adjacency = {NodeId(n): {NodeId(n % 4 + 1)} for n in range(1, 5)}
    came, effect = walk(trace(1, 2, ttl=4), adjacency)
    assert came == [1, 2, 3, 4, 1]
    assert isinstance(effect, Arrived)
    assert effect.trace.visited == [2]


def test_a_trace_to_its_own_source_arrives_at_once() -> None:
    came, effect = walk(trace(1, 1, ttl=4), graph((1, 2)))
    assert came == [1]
    assert isinstance(effect, Arrived)
    assert effect.trace.visited == [1]


@pytest.mark.parametrize("ttl", range(4))
def test_a_trace_makes_as_many_hops_as_its_time_to_live_in_each_direction(ttl: int) -> None:
    came, effect = walk(trace(1, 4, ttl), graph((1, 2), (2, 3), (3, 4)))
    if ttl < 3:
        assert effect == Count("R-11")
        assert came == [1, 2, 3][: ttl + 1]
    else:
        assert isinstance(effect, Arrived)


def test_a_trace_in_a_routing_loop_ends() -> None:
    """1.23 row 4: while tables disagree, 1 and 2 may each think the other is nearer."""

    def nearer(at: NodeId) -> Callable[[NodeId], NodeId]:
        return lambda _: NodeId(3 - at)

    message, at, hops = trace(1, 3, ttl=10), NodeId(1), 0
    while isinstance(effect := forward_trace(message, at, nearer(at)), SendTo):
        assert isinstance(effect.message, Trace)
        message, at, hops = effect.message, effect.node_id, hops + 1
    assert effect == Count("R-11")
    assert hops == 10
    assert message.visited == [2, 1] * 4 + [2]


def test_a_trace_without_a_route_is_dropped() -> None:
    assert forward_trace(trace(1, 3, ttl=5), NodeId(1), lambda _: None) == Count("R-3")


def test_a_trace_that_grew_too_long_is_dropped() -> None:
    """Else the next node would refuse our message, and our connection with it."""
    full = Trace(1, 5, 6, 0, MAX_NODES, visited=[2] * (MAX_NODES - 1))
    at_limit = forward_trace(full, NodeId(1), lambda _: NodeId(3))
    assert isinstance(at_limit, SendTo)
    assert isinstance(at_limit.message, Trace)
    assert len(at_limit.message.visited) == MAX_NODES
    assert forward_trace(at_limit.message, NodeId(3), lambda _: NodeId(4)) == Count("R-11")


def test_a_trace_turned_round_stays_within_the_bounds_of_the_message() -> None:
    invented = Trace(1, 5, 1, 0, ttl=MAX_NODES, visited=[2, 3, 4])
    turned = forward_trace(invented, NodeId(1), lambda _: NodeId(4))
    assert isinstance(turned, SendTo)
    assert isinstance(turned.message, Trace)
    assert turned.message.ttl == MAX_NODES - 1


def test_what_becomes_of_something_to_send() -> None:
    """R-8."""
    me, other, route = NodeId(1), NodeId(3), (NodeId(2), NodeId(3))
    assert outcome(me, other, route, member=True) == Sent(route)
    assert outcome(me, me, (), member=True) == Sent(())
    assert outcome(me, other, (), member=True) == Dropped("no path leads to it")
    assert outcome(me, other, (), member=False) == Dropped("it is no enabled node of the cluster")
