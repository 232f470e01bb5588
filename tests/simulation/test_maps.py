"""Replicated maps on virtual time: what syncs and mirror steps do to records that are written."""

from __future__ import annotations

from tagmesh.actors.mail import PlanDecision, SyncWanted
from tagmesh.capabilities.records import bucket_of, pack_key
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tagmesh.protocol.capability_words import SyncWish
from tagmesh.protocol.messages import CapState
from tagmesh.simulation import World
from tests.capabilities.map_bench import lose

NAME = "records"


def booted(nodes: int = 2) -> World:
    """A cluster at peace with one map."""
    world = World(5, nodes, settings={"ping_interval": "1s", "ping_timeout": "250ms"})
    world.provide(lambda node: ReplicatedMap(NAME, run=lambda function: function()))
    world.boot_all()
    world.until(lambda: all(world.state(n, NAME) is CapState.OK for n in world.ids), within_s=60)
    world.run_for(1)
    return world


def records(world: World, node: int) -> ReplicatedMap:
    capability = world.capability(node, NAME)
    assert isinstance(capability, ReplicatedMap)
    return capability


def tell(world: World, node: int, mail: object) -> None:
    world.processes[world.ids[node - 1]].system.context.supervisor.tell(
        ("capability", 1, NAME), mail
    )


def test_a_mirror_drops_nothing_that_was_written_during_its_sync() -> None:
    """The donor was asked before it heard of it."""
    world = booted()
    stale = next(n for n in range(10_000) if bucket_of(pack_key(n)) == bucket_of(pack_key("fresh")))
    records(world, 2).put(stale, 1)
    world.run_for(1)
    lose(records(world, 1), {stale})  # so this section is compared key by key
    world.slow(1, 2, 0.2)
    tell(world, 2, SyncWanted(SyncWish(mirror=True)))
    world.run_for(0.3)
    assert world.state(2, NAME) is CapState.SYNCING
    records(world, 2).put("fresh", 1)
    world.until(lambda: world.state(2, NAME) is CapState.OK, within_s=10)
    world.run_for(1)
    assert [dict(records(world, node).items()) for node in (1, 2)] == [{"fresh": 1}] * 2


def test_a_late_confirmation_drops_nothing_that_was_written_since() -> None:
    world = booted()
    records(world, 2).put("stale", 1)
    records(world, 2).put("fresh", 1)
    world.run_for(1)
    lose(records(world, 1), {"stale", "fresh"})
    tell(world, 2, SyncWanted(SyncWish(mirror=True, dry_run=True)))
    world.run_for(5)
    records(world, 2).put("fresh", 2)
    tell(world, 2, PlanDecision(1, "confirm"))
    world.run_for(5)
    assert dict(records(world, 2).items()) == {"fresh": 2}
