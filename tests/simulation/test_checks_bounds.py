"""I8, I10, I16: limits of inboxes, queues, connections and steps."""

from __future__ import annotations

import math

import pytest

from tagmesh.actors.mail import TraceRoute
from tagmesh.actors.peer import PAUSE_AT
from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import NodeId, PeerIdentity
from tagmesh.simulation.check import Violation
from tagmesh.simulation.checks_bounds import (
    PEER_SLACK,
    STEPS_FREE_S,
    STEPS_PER_PAIR_S,
    BoundChecks,
)
from tagmesh.simulation.world import CLUSTER, World
from tests.simulation.histories import begin
from tests.simulation.taps import announce, end_of

MOST_STEPS = STEPS_FREE_S + STEPS_PER_PAIR_S * 3 * 3
"""Of a world of 3 nodes in a second in which nobody begins."""


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


def test_who_begins_may_make_more_steps() -> None:
    """Seed 5078 (6 nodes with capabilities): one crashed and began again while all were finding
    each other, in one second. Two seconds later that is no excuse any more.
    """
    world, _ = begin(1, nodes=3)
    world.run_for(20.0)
    world.crash(3)
    world.boot(3)
    world.run_for(1.0)
    make_steps(world, MOST_STEPS + STEPS_PER_PAIR_S)
    world.run_for(4.0)
    make_steps(world, MOST_STEPS + STEPS_PER_PAIR_S)
    with pytest.raises(Violation, match=f"I16: more than {MOST_STEPS} steps"):
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


def test_a_queue_over_its_limit_is_a_violation() -> None:
    world, _ = begin(1, nodes=3)
    limit = world.processes[NodeId(1)].system.context.config.transport.send_queue_bytes
    vars(end_of(world, 1, 2))["_queue"].queued_bytes = limit + 1
    text = f"I10: {limit + 1} bytes wait for node 2 at node 1; the limit is {limit}"
    with pytest.raises(Violation, match=text):
        world.run_for(5.0)


def test_a_connection_that_is_left_over_is_a_violation() -> None:
    """After healing each pair has one; whoever dialled besides has none."""
    world, checkers = begin(1, nodes=3)
    world.run_for(1.0)
    check = BoundChecks(world, checkers.trouble)
    check.healed()
    identity = PeerIdentity(node_id=NodeId(2), fingerprint="2", not_after_wall_s=math.inf)
    transport = world.processes[NodeId(1)].transport
    transport.endpoint(identity, NodeId(2), "node-2:0", dialled=False)
    text = r"I10: node 1 holds connections with \[2, 2, 3\], not with \[2, 3\]"
    with pytest.raises(Violation, match=text):
        check.healed()


def test_a_change_that_is_none_is_a_violation() -> None:
    world, _ = begin(1, nodes=3)
    announce(world, 1, kind=Event.LINK_CHANGED, node_id=NodeId(2), before="Up", after="Up")
    with pytest.raises(Violation, match="I8: node 1 hears of a change that is none"):
        world.run_for(5.0)
