"""Histories in which mutants of sharing tags die."""

from __future__ import annotations

from tagmesh.protocol.identity import NodeId
from tagmesh.simulation.checkers import Checkers
from tagmesh.simulation.checks_tags import TagChecks
from tagmesh.simulation.faults import FaultPlan, tagged
from tagmesh.simulation.fenced_traffic import fenced
from tagmesh.simulation.world import World
from tests.simulation.histories import SETTLE_S, unless

TAG = "vip"
START_S = 15.0
"""A node that starts alone, and is configured to have the tag, has it by then (H-23)."""


def tags(seed: int) -> World:
    """The swarm with tags: any faults, wrong clocks, machines out of the database's reach."""
    return tagged(FaultPlan.draw(seed, tags=True))


def tagged_records(seed: int) -> World:
    """The swarm with records under tags."""
    return fenced(FaultPlan.draw(seed, tags=True))


def _world(
    seed: int, nodes: int = 3, *, start: str = TAG, dynamic: bool = False
) -> tuple[World, Checkers]:
    world = World(seed, nodes, settings={"sharing_tags": [start]}, dynamic=dynamic)
    checkers = Checkers(world)
    checkers.add([TagChecks(world, checkers.trouble, [TAG])])
    return world, checkers


def _active(world: World) -> list[NodeId]:
    return sorted(world.active(TAG))


def both_activate(seed: int) -> World:
    """Two nodes on both sides of a cut path activate the tag at the same time."""
    world, checkers = _world(seed)
    world.boot_all()
    checkers.settle(SETTLE_S)
    for other in (2, 3):
        world.cut(1, other)
    world.run_for(START_S)
    world.activate(1, TAG)
    world.activate(2, TAG)
    world.run_for(5.0)
    world.heal_all()
    world.run_for(SETTLE_S)
    checkers.after_healing()
    return world


def read_late(seed: int) -> World:
    """Two nodes cannot read who had the tag; later one of them can, and the other hears of it."""
    world, checkers = _world(seed)
    world.boot(1)
    world.run_for(world.random.uniform(1.0, 5.0))
    world.activate(1, TAG)
    world.run_for(1.0)
    world.crash(1)
    for node in (2, 3):
        world.boot(node)
        world.database(node, "hanging")
    world.run_for(START_S)
    world.database(2, "ok")
    world.run_for(SETTLE_S)
    for node in (2, 3):
        known = world.tag(node, TAG).known
        text = f"node {node} knows {known}, and node 1 had the tag"
        unless(known is not None and known.owner == 1, "H-22", text, world)
    world.mend_databases()
    world.boot_all()
    world.run_for(SETTLE_S)
    checkers.after_healing()
    return world


def owner_returns(seed: int) -> World:
    """A node that is configured to have the tag dies; another one takes it; the first returns."""
    world, checkers = _world(seed, start=f"{TAG}=active")
    world.boot(1)
    world.run_for(START_S)
    world.boot(2)
    world.run_for(world.random.uniform(1.0, START_S))
    world.crash(1)
    world.run_for(1.0)
    world.activate(2, TAG)
    world.run_for(5.0)
    world.boot_all()
    world.run_for(SETTLE_S)
    unless(_active(world) == [2], "H-23", f"{_active(world)} have the tag, and 2 had it", world)
    checkers.after_healing()
    return world


def late_joiner(seed: int) -> World:
    """A node has the tag when another one joins, and there is no database to read that from."""
    world, checkers = _world(seed, dynamic=True)
    world.boot(1)
    world.run_for(1.0)
    world.activate(1, TAG)
    world.run_for(world.random.uniform(1.0, 20.0))
    world.boot_all()
    world.run_for(SETTLE_S)
    for node in (2, 3):
        known = world.tag(node, TAG).known
        text = f"node {node} knows {known}, and node 1 has the tag"
        unless(known is not None and known.owner == 1, "H-22", text, world)
    checkers.after_healing()
    return world


def owner_cut_off(seed: int) -> World:
    """The owner of a lease, alone, hears answers of the database late, then none."""
    world, checkers = _world(seed)
    failsafe = world.random.random() < 0.5
    world.tag_settings[TAG] = {"mode": "lease", "failsafe": failsafe}
    world.boot_all()
    checkers.settle(SETTLE_S)
    world.run_for(world.random.uniform(5.0, 9.0))
    (owner,) = _active(world)
    world.database(owner, "late")
    world.run_for(world.random.uniform(6.0, 9.0))
    world.database(owner, "failing")
    world.run_for(60.0)
    world.mend_databases()
    world.run_for(SETTLE_S)
    checkers.after_healing()
    return world


def store_away(seed: int) -> World:
    """An activation fails, as the database is away; the next one does not."""
    world, checkers = _world(seed)
    world.boot_all()
    checkers.settle(SETTLE_S)
    node = world.random.choice(world.ids)
    world.storage.mode = "failing"
    world.activate(node, TAG)
    world.run_for(world.random.uniform(1.0, 10.0))
    unless(_active(world) == [], "H-20", "a tag is active without a number", world)
    world.storage.mode = "ok"
    world.activate(node, TAG)
    world.run_for(5.0)
    unless(_active(world) == [node], "H-20", f"node {node} cannot have the tag any more", world)
    checkers.after_healing()
    return world


def alone_again(seed: int) -> World:
    """Without a database a node has the tag, dies, and has it again before it meets anybody."""
    world, checkers = _world(seed, dynamic=True)
    for other in (2, 3):
        world.cut(1, other)
    for _ in range(2):
        world.boot(1)
        world.run_for(1.0)
        world.activate(1, TAG)
        world.run_for(world.random.uniform(1.0, 5.0))
        unless(_active(world) == [1], "H-20", "the tag cannot be activated", world)
        world.crash(1)
        world.run_for(1.0)
    world.heal_all()
    world.boot_all()
    world.run_for(SETTLE_S)
    checkers.after_healing()
    return world
