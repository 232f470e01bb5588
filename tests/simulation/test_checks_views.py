"""I2, I8, I9: what nodes must hold of each other and tell, and what the references are."""

from __future__ import annotations

import pytest

from tagmesh.actors.actor import ReplyFuture
from tagmesh.actors.node import NodeActor
from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.topology import Topology
from tagmesh.simulation.check import Violation
from tagmesh.simulation.checkers import SURVEY_S
from tagmesh.simulation.checks_views import AGREE_S, ViewChecks, all_paths, distances
from tagmesh.simulation.world import CLUSTER, World
from tests.simulation.histories import begin
from tests.simulation.taps import announce

DIGEST_S = 10.0
LONG_S = 60.0


def rules_of(world: World, node: int) -> Topology:
    actor = world.processes[NodeId(node)].system.context.supervisor.actor(("node", CLUSTER))
    assert isinstance(actor, NodeActor)
    return actor.rules


def forget_what_was_said(world: World, node: int, origin: int) -> None:
    """``node`` holds what ``origin`` said one message ago, as if the last one had been lost."""
    states = rules_of(world, node)._states
    said = states.of(NodeId(origin))
    states.store(NodeId(origin), said._replace(sequence=said.sequence - 1), lambda _: False)


@pytest.fixture
def no_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lost stays lost."""
    monkeypatch.setattr(Topology, "_on_digest", lambda *_: [])


def test_what_was_lost_comes_with_the_next_digest() -> None:
    """T-11. Until then nodes that reach each other may hold different things."""
    world, checkers = begin(1, nodes=3)
    world.run_for(LONG_S)
    world.reset(1, 3)
    forget_what_was_said(world, 1, 3)
    world.run_for(LONG_S)
    checkers.after_healing()


def test_what_is_lost_although_nothing_happened_is_a_violation() -> None:
    world, _ = begin(1, nodes=3)
    world.run_for(LONG_S)
    forget_what_was_said(world, 1, 3)
    with pytest.raises(Violation, match="I2: node 1 holds"):
        world.run_for(DIGEST_S / 2)


@pytest.mark.usefixtures("no_digests")
def test_what_does_not_come_with_the_next_digest_is_a_violation() -> None:
    world, _ = begin(1, nodes=3)
    forget_what_was_said(world, 1, 3)
    with pytest.raises(Violation, match=r"I2: node 1 holds .* of node 3, which says"):
        world.run_for(DIGEST_S + AGREE_S + 4.0)


@pytest.mark.usefixtures("no_digests")
@pytest.mark.parametrize("where", ["slow", "lose"])
def test_while_a_path_is_neither_whole_nor_dead_nothing_is_demanded(where: str) -> None:
    """Nobody can say how late a message is there. Afterwards it must have come."""
    world, _ = begin(1, nodes=3)
    forget_what_was_said(world, 1, 3)
    if where == "slow":
        world.slow(2, 3, 0.3)
    else:
        world.lose(2, 3, 1e-9)
    world.run_for(LONG_S)
    world.heal(2, 3)
    with pytest.raises(Violation, match="node 1 holds"):
        world.run_for(LONG_S)


def test_who_cannot_read_that_a_node_joined_refuses_what_is_said_of_it() -> None:
    """Seed 61719 with tags (S11). Afterwards it must know."""
    world, checkers = begin(1, nodes=4)
    world.remove(4)
    world.run_for(LONG_S)
    world.processes[NodeId(1)].runtime.database = "failing"
    world.provision(4)
    world.run_for(LONG_S)
    assert world.route(2, 4)
    assert not world.route(1, 4)
    world.processes[NodeId(1)].runtime.database = "ok"
    world.run_for(LONG_S)
    checkers.after_healing()


@pytest.mark.usefixtures("no_digests")
@pytest.mark.parametrize("who", ["pause", "slow reader"])
def test_who_does_not_read_is_no_excuse_for_the_others(who: str) -> None:
    """Its links are down before a digest has to have come."""
    world, _ = begin(1, nodes=4)
    world.pause(4) if who == "pause" else world.slow_reader(4)
    world.run_for(LONG_S)
    forget_what_was_said(world, 1, 3)
    with pytest.raises(Violation, match="node 1 holds"):
        world.run_for(LONG_S)


# Events -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "node", "later_life", "cause", "wrong"),
    [
        (Event.NODE_UP, 2, 0, "answers", "hears twice in a row"),
        (Event.NODE_DOWN, 2, 0, "", "without a cause"),
        (Event.NODE_DOWN, 2, 1, "left", "of a life that was not announced"),
        (Event.NODE_UP, 1, 0, "answers", "hears of itself"),
    ],
)
def test_an_edge_that_cannot_be_is_a_violation(
    kind: Event, node: int, later_life: int, cause: str, wrong: str
) -> None:
    world, _ = begin(1, nodes=3)
    incarnation = world.processes[NodeId(node)].system.context.incarnation + later_life
    announce(world, 1, kind=kind, node_id=NodeId(node), incarnation=incarnation, cause=cause)
    with pytest.raises(Violation, match=f"I8: node 1 .*{wrong}"):
        world.run_for(5.0)


# Ways ---------------------------------------------------------------------------------------------


def put_route(world: World, node: int, path: tuple[int, ...]) -> None:
    """Whatever the links say."""
    routes = vars(vars(rules_of(world, node))["_reach"])["_routes"]
    routes[NodeId(path[-1])] = tuple(map(NodeId, path))


def test_tables_that_were_right_are_looked_at_again_when_something_is_stored() -> None:
    """I9: also when nothing was said for long."""
    world, _ = begin(1, nodes=3)
    world.run_for(LONG_S)
    put_route(world, 1, (2, 3))
    with pytest.raises(Violation, match="I9: node 1 reaches node 3 in 2 hops"):
        world.run_for(2 * SURVEY_S + 2.0)


def healed_line() -> tuple[World, ViewChecks]:
    """1 - 2 - 3, and what is checked when everything is over."""
    world, checkers = begin(1, nodes=3)
    world.cut(1, 3)
    world.run_for(LONG_S)
    (check,) = (c for c in vars(checkers)["_checks"] if isinstance(c, ViewChecks))
    check.healed()
    return world, check


def test_a_route_over_a_link_that_is_none_is_a_violation() -> None:
    world, _ = healed_line()
    put_route(world, 1, (3,))
    with pytest.raises(Violation, match=r"I9: node 1: route \(3,\) to 3 uses a link that is none"):
        world.run_for(5.0)


def test_a_circle_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-5: each hop decides by its own tables."""
    world, check = healed_line()
    monkeypatch.setattr(rules_of(world, 2), "next_hop", lambda _target: NodeId(1))
    with pytest.raises(Violation, match=r"I9: from node 1 to node 3: \[1, 2\], then 1"):
        check.healed()


def test_a_trace_that_leaves_the_route_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-11."""
    _, check = healed_line()
    monkeypatch.setattr(ReplyFuture, "get", lambda _future, timeout: (NodeId(3), timeout))
    with pytest.raises(Violation, match="I9: a trace from node 1 to node 2 passed"):
        check.healed()


# The references -----------------------------------------------------------------------------------


def test_distances_and_paths_of_a_ring() -> None:
    ids = [NodeId(n) for n in range(1, 6)]
    ring = {n: {ids[i - 1], ids[(i + 1) % 5]} for i, n in enumerate(ids)}
    assert distances(ids[0], ring) == {1: 0, 2: 1, 5: 1, 3: 2, 4: 2}
    assert all_paths(ids[0], ids[2], ring, 2) == [(2, 3)]
    assert all_paths(ids[0], ids[2], ring, 3) == [(5, 4, 3)]
