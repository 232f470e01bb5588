"""Capabilities in a world: who has them, operators' switches, divided work."""

from __future__ import annotations

import pytest

from tagmesh.actors.partitioning import WorkPartition
from tagmesh.protocol.contract import Capability
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.messages import CapState
from tagmesh.simulation import World
from tagmesh.simulation.runtime import Disk

NAME = "calls"


class Calls(Capability):
    """Does nothing."""

    name = NAME


def booted(nodes: int = 2) -> World:
    world = World(1, nodes)
    world.provide(lambda _node: Calls())
    world.divide(NAME, lambda _node: WorkPartition())
    world.boot_all()
    world.until(world.converged, within_s=30)
    world.run_for(1)
    return world


@pytest.mark.parametrize(("disk", "after"), [("kept", CapState.DISABLED), ("lost", CapState.OK)])
def test_a_switch_is_kept_on_the_disk(disk: Disk, after: CapState) -> None:
    """C-4."""
    world = booted()
    world.switch(2, NAME, on=False)
    world.run_for(1)
    assert world.state(2, NAME) is CapState.DISABLED
    assert world.switched == {(2, NAME): (world.now - 1, False)}
    world.crash(2, disk=disk)
    assert bool(world.switched) is (disk == "kept")
    world.boot(2)
    world.run_for(1)
    assert world.state(2, NAME) is after
    assert world.state(1, NAME) is CapState.OK, "the other one was not switched"


def test_the_work_of_a_capability_is_divided_among_the_nodes() -> None:
    world = booted(3)
    views = {world.partition(node, NAME).view.id for node in world.ids}
    assert len(views) == 1
    workers = [n for n in world.ids if world.partition(n, NAME).works_on("a key")]
    assert workers == [world.partition(1, NAME).owner("a key")]


def test_what_a_node_does_not_have_cannot_be_asked_for() -> None:
    world = World(1, 2)
    with pytest.raises(Misuse, match="node 1 does not run"):
        world.state(1, NAME)
    world.boot(1)
    with pytest.raises(Misuse, match="has no capability 'calls': provide"):
        world.switch(1, NAME, on=True)
    world.provide(lambda _node: Calls())
    world.boot(2)
    with pytest.raises(Misuse, match="is not divided: divide"):
        world.partition(2, NAME)


def test_who_is_switched_off_works_on_nothing_from_that_moment() -> None:
    """P-4. Found by the swarm: a node worked on until its own word of it had gone round, 50 ms."""
    world = booted()
    key = next(k for k in range(100) if world.partition(2, NAME).works_on(k))
    world.switch(2, NAME, on=False)
    world.run_for(0.001)
    assert not world.partition(2, NAME).works_on(key)
    assert world.partition(2, NAME).my_index() == (None, 1)
    world.run_for(1)
    assert world.partition(1, NAME).works_on(key)
