"""Histories in which mutants of sharing tags die."""

from __future__ import annotations

from tagmesh.actors.mail import PlanDecision, SyncWanted
from tagmesh.protocol.capability_words import SyncWish
from tagmesh.protocol.identity import NodeId
from tagmesh.simulation.checkers import Checkers
from tagmesh.simulation.checks_fencing import FencingChecks
from tagmesh.simulation.checks_served import ServedChecks
from tagmesh.simulation.checks_tags import TagChecks
from tagmesh.simulation.faults import FaultPlan, tagged
from tagmesh.simulation.fenced_traffic import fenced
from tagmesh.simulation.rows import CLUSTER
from tagmesh.simulation.tagged_records import TAGGED, TaggedRecords, provide_tagged
from tagmesh.simulation.world import World
from tests.capabilities.map_bench import lose
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


def newcomer(seed: int) -> World:
    """A node is provisioned, and reaches the database, while those that were there do not."""
    world, checkers = _world(seed)
    world.tag_settings[TAG] = {"mode": "lease"}
    world.disable(3)
    world.boot(1)
    world.boot(2)
    checkers.settle(SETTLE_S)
    for node in (1, 2):
        world.database(node, "failing")
    world.run_for(world.random.uniform(0.0, 30.0))
    world.enable(3)
    world.boot(3)
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


# Syncs of tags ------------------------------------------------------------------------------------


class Owned:
    """A checked world in which node 1 has the tag and everybody its records."""

    def __init__(self, seed: int) -> None:
        self.world, self.checkers = world, checkers = _world(seed)
        ledger = provide_tagged(world, [TAG])
        checkers.add([FencingChecks(world, checkers.trouble, ledger)])
        checkers.add([ServedChecks(world, checkers.trouble)])
        world.boot_all()
        checkers.settle(SETTLE_S)
        self.activate(1)
        self.keys = [str(number) for number in range(world.random.randrange(2, 19))]
        for key in self.keys:
            self.map(1).put(key, 1, tag=TAG)
        world.run_for(SETTLE_S)

    def activate(self, node: int) -> None:
        self.world.activate(node, TAG)
        self.world.run_for(1.0)

    def map(self, node: int) -> TaggedRecords:
        found = self.world.capability(node, TAGGED)
        assert isinstance(found, TaggedRecords)
        return found

    def tell(self, node: int, mail: SyncWanted | PlanDecision) -> None:
        context = self.world.processes[NodeId(node)].system.context
        assert context.supervisor.tell(("capability", CLUSTER, TAGGED), mail)
        self.world.run_for(1.0)

    def plan(self, node: int) -> int:
        """The mirror plan that the last sync made."""
        context = self.world.processes[NodeId(node)].system.context
        report = context.registrations[CLUSTER, TAGGED].last_report
        assert report is not None
        assert report.plan_id is not None, report
        return report.plan_id

    def over(self) -> World:
        self.world.heal_all()
        self.world.run_for(SETTLE_S)
        self.checkers.after_healing()
        return self.world


def owner_moved(seed: int) -> World:
    """A node asks for the records of a tag where it was until a moment ago."""
    owned = Owned(seed)
    world = owned.world
    for node in (1, 2):
        world.slow(node, 3, world.random.uniform(0.2, 0.5))
    world.run_for(SETTLE_S)
    world.activate(2, TAG)
    world.run_for(world.random.uniform(0.05, 0.2))
    lose(owned.map(3), set(owned.keys[1:]))
    owned.tell(3, SyncWanted(SyncWish(tags=(TAG,))))
    world.run_for(5.0)
    missing = [key for key in owned.keys if not owned.map(3).has(key)]
    unless(not missing, "K-2", f"node 3 asked for {TAG} and lacks {missing}", world)
    return owned.over()


def late_mirror(seed: int) -> World:
    """What a mirror is to drop waits until the tag is active where it would be dropped."""
    owned = Owned(seed)
    lose(owned.map(2), set(owned.keys[: owned.world.random.randrange(1, len(owned.keys))]))
    owned.activate(2)
    owned.tell(3, SyncWanted(SyncWish(tags=(TAG,), mirror=True, dry_run=True)))
    owned.activate(3)
    owned.tell(3, PlanDecision(owned.plan(3), "confirm"))
    return owned.over()
