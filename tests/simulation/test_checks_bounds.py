"""I10, I16: limits of inboxes and of steps."""

from __future__ import annotations

import pytest

from tagmesh.actors.mail import TraceRoute
from tagmesh.actors.peer import PAUSE_AT
from tagmesh.simulation.check import Violation
from tagmesh.simulation.checks_bounds import PEER_SLACK, STEPS_FREE_S, STEPS_PER_SQUARE_S
from tagmesh.simulation.world import CLUSTER, World
from tests.simulation.histories import begin

MOST_STEPS = STEPS_FREE_S + STEPS_PER_SQUARE_S * 3**2
"""Of a world of 3 nodes in a second."""


def make_steps(world: World, count: int) -> None:
    """So many at the next moment in which something happens: time stands still meanwhile."""
    for _ in range(count):
        world.scheduler.at(world.now, lambda: None)


def test_a_storm_is_a_violation_also_when_time_stands_still() -> None:
    world, _ = begin(1, nodes=3)
    world.run_for(20.0)
    now = world.now
    make_steps(world, 2 * MOST_STEPS)
    with pytest.raises(Violation, match=f"I16: more than {MOST_STEPS} steps in one virtual second"):
        world.run_for(1.0)
    assert world.now == now


def test_many_steps_in_many_seconds_are_no_storm() -> None:
    world, _ = begin(1, nodes=3)
    for _ in range(10):
        world.run_for(2.0)
        make_steps(world, MOST_STEPS - STEPS_FREE_S)
    world.run_for(1.0)


def test_what_a_history_sends_is_no_storm() -> None:
    """A thousand traces are thousands of steps, as many as were asked for."""
    world, _ = begin(1, nodes=3)
    supervisor = world.processes[world.ids[0]].system.context.supervisor
    for number in range(1000):
        supervisor.tell(("node", CLUSTER), TraceRoute(world.ids[1], number))
    before = world.scheduler.steps
    world.run_for(1.0)
    assert world.scheduler.steps - before > MOST_STEPS


def test_an_inbox_over_its_limit_is_a_violation() -> None:
    """H3: a peer that is not read any more has no more mail than this."""
    world, _ = begin(1, nodes=3)
    world.pause(1)
    supervisor = world.processes[world.ids[0]].system.context.supervisor
    for _ in range(PAUSE_AT + PEER_SLACK + 1):
        supervisor.tell(("peer", world.ids[1]), "mail")
    with pytest.raises(Violation, match=r"I10: .* wait at actor \('peer', 2\) of node 1"):
        world.run_for(20.0)
