"""Whose work it is (P-3, P-4): what the check puts up with, and what it does not."""

from __future__ import annotations

from typing import cast

import pytest

from tagmesh.protocol.events import Event, EventRecord
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.link import State
from tagmesh.protocol.messages import CapState
from tagmesh.simulation import World
from tagmesh.simulation.check import Violation
from tagmesh.simulation.checkers import Checkers
from tagmesh.simulation.checks_partition import PartitionChecks
from tagmesh.simulation.records import NOTES, Duty, provide_all

ALL = 4096


def working(nodes: int = 2, up: int | None = None) -> tuple[World, Checkers]:
    world = World(1, nodes)
    provide_all(world)
    checkers = Checkers(world)
    checkers.add([PartitionChecks(world, checkers.trouble)])
    here = world.ids[:up]
    for node in here:
        world.boot(node)
    checkers.settle(30)
    world.until(lambda: all(world.state(n, NOTES) is CapState.OK for n in here), within_s=30)
    world.run_for(5)
    return world, checkers


def duty(world: World, node: int) -> Duty:
    return cast("Duty", world.partition(node, NOTES))


def both_work_on(world: World) -> int:
    return len(duty(world, 1).slots & duty(world, 2).slots)


def test_sides_of_a_partition_that_have_not_heard_of_each_other_share_nothing() -> None:
    """Seed 3020: the links were up again, and the way was clogged before the news."""
    world, _ = working(3)
    world.switch(1, NOTES, on=False)
    world.run_for(1)
    for other in (1, 3):
        world.cut(2, other)
    world.until(lambda: len(duty(world, 2).slots) == ALL, within_s=30)
    world.switch(1, NOTES, on=True)
    world.until(lambda: both_work_on(world) > 0, within_s=30)
    world.heal(1, 2)
    world.until(lambda: world.link(1, 2) is State.UP and world.link(2, 1) is State.UP, within_s=30)
    world.clog(1, 2)
    world.run_for(2)
    assert both_work_on(world) > 0, "what node 1 says is on its way"
    world.unclog(1, 2)
    world.run_for(2)
    assert both_work_on(world) == 0


def test_who_has_not_heard_that_another_begins_to_work_goes_on() -> None:
    """Seed 23384: a node that had arrived was alone before the others heard so, worked on
    everything, and found its way back to one that was deaf and had never lost sight of it.
    """
    world, _ = working(4, up=3)
    world.crash(1)
    world.run_for(10)
    world.boot(1)
    world.until(lambda: world.state(1, NOTES) is CapState.OK, within_s=30)
    world.run_for(0.2)
    assert not duty(world, 1).slots, "node 4 might be there"
    for other in (2, 3):
        world.cut(1, other)
    world.run_for(7.6)
    world.clog(3, 2)
    world.until(lambda: len(duty(world, 1).slots) == ALL, within_s=3)
    world.heal(1, 3)
    world.until(lambda: bool(world.route(1, 2)), within_s=4)
    assert world.route(2, 1)
    world.run_for(1.5)
    assert both_work_on(world) > 0, "what node 1 says does not reach node 2"
    for pair in ((1, 2), (3, 2)):
        world.heal(*pair)
    world.run_for(20)
    assert both_work_on(world) == 0


def test_who_was_alone_between_two_looks_has_a_turn_to_let_go() -> None:
    """Seed 3150: two nodes knew each other at every look, and had lost each other in between."""
    world, checkers = working()
    check = PartitionChecks(world, checkers.trouble)
    check.look()
    duty(world, 2).slots.update(duty(world, 1).slots)
    check.event(NodeId(1), found(2))
    check.look()
    with pytest.raises(Violation, match="P-3"):
        world.run_for(2)


def test_who_takes_more_after_it_found_another_node_is_a_violation() -> None:
    """However little it has heard of it."""
    world, checkers = working()
    check = PartitionChecks(world, checkers.trouble)
    check.look()
    check.event(NodeId(1), found(2))
    duty(world, 2).slots.add(min(duty(world, 1).slots))
    with pytest.raises(Violation, match="P-3: nodes 1 and 2 both work on 1 slots"):
        check.look()


def found(node: int) -> EventRecord:
    return EventRecord(sequence=1, wall_s=0.0, kind=Event.NODE_UP, node_id=NodeId(node))


def test_who_works_on_what_it_knows_to_be_anothers_is_a_violation() -> None:
    world, _ = working()
    mine = duty(world, 1).slots
    duty(world, 2).slots.add(min(mine))
    with pytest.raises(Violation, match="P-3: nodes 1 and 2 both work on 1 slots"):
        world.run_for(2)


def test_who_works_without_data_is_a_violation() -> None:
    world, _ = working()
    kept = set(duty(world, 2).slots)
    world.switch(2, NOTES, on=False)
    world.run_for(0.5)
    duty(world, 2).slots |= kept
    with pytest.raises(Violation, match="P-4: node 2 takes part in the work while it is disabled"):
        world.run_for(2)
