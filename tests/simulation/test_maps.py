"""Replicated maps on virtual time: what syncs and mirror steps do to records that are written."""

from __future__ import annotations

from tagmesh.actors.mail import PlanDecision, SyncWanted
from tagmesh.capabilities.records import bucket_of, pack_key
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tagmesh.protocol.capability_words import SyncWish
from tagmesh.protocol.events import Event
from tagmesh.protocol.messages import CapState
from tagmesh.simulation import World
from tests.capabilities.map_bench import lose

NAME = "records"


def booted(nodes: int = 2, verify_interval: str | None = None) -> World:
    """A cluster at peace with one map, with one record."""
    world = World(5, nodes, settings={"ping_interval": "1s", "ping_timeout": "250ms"})
    if verify_interval is not None:
        world.capability_settings[NAME] = {"verify_interval": verify_interval}
    world.provide(lambda node: ReplicatedMap(NAME, run=lambda function: function()))
    world.boot_all()
    world.until(lambda: all(world.state(n, NAME) is CapState.OK for n in world.ids), within_s=60)
    records(world, 1).put("known to all", 1)
    world.run_for(10)
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
    expected = {"known to all": 1, "fresh": 1}
    assert [dict(records(world, node).items()) for node in (1, 2)] == [expected] * 2


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
    assert dict(records(world, 2).items()) == {"known to all": 1, "fresh": 2}


# Comparisons ------------------------------------------------------------------------------------


def differing(verify_interval: str | None = None) -> World:
    """A writer died before it had told everybody: node 2 has its record, node 3 has not."""
    world = booted(3, verify_interval)
    world.cut(1, 3)
    records(world, 1).put("last words", 1)
    records(world, 1).delete("known to all")
    world.run_for(0.1)
    world.crash(1)
    world.heal_all()
    assert [records(world, node).has("last words") for node in (2, 3)] == [True, False]
    assert [records(world, node).has("known to all") for node in (2, 3)] == [False, True]
    return world


def test_what_a_writer_told_only_some_before_it_died_comes_to_all() -> None:
    world = differing()
    world.until(lambda: records(world, 3).has("last words"), within_s=130)
    assert not records(world, 3).has("known to all"), "deletions as well"
    repaired = [e for e in world.events[world.ids[2]] if e.kind is Event.REPAIRED]
    assert [(e.node_id, e.capability) for e in repaired] == [(2, NAME)]


def test_without_comparisons_the_difference_stays() -> None:
    world = differing("0s")
    world.run_for(600)
    assert not records(world, 3).has("last words")


def test_what_was_written_while_the_cluster_was_left_comes_to_all() -> None:
    world = booted(3)
    world.disable(1)
    world.run_for(15)
    records(world, 1).put("written alone", 1)
    world.enable(1)
    world.until(lambda: all(records(world, n).has("written alone") for n in (2, 3)), within_s=150)


def test_both_halves_of_a_partition_have_the_same_soon_after_it() -> None:
    """Nobody has to wait for an interval of an hour."""
    world = booted(4, "1h")
    for a, b in ((1, 3), (1, 4), (2, 3), (2, 4)):
        world.cut(a, b)
    world.run_for(15)
    for node in (1, 3):
        records(world, node).put(f"half of {node}", 1)
        world.run_for(1)
        world.crash(node)
    world.heal_all()
    world.run_for(60)
    assert [len(records(world, node)) for node in (2, 4)] == [3] * 2


def requests(world: World) -> int:
    """Syncs and comparisons that were asked for."""
    return sum(count for (_, _, kind), count in world.sent.items() if kind == "SyncRequest")


def test_comparing_is_quiet() -> None:
    """Nobody is told of a comparison that finds nothing, and no state changes."""
    world = booted(3)
    before = {node: len(world.events[node]) for node in world.ids}
    asked = requests(world)
    world.run_for(300)
    assert {node: len(world.events[node]) for node in world.ids} == before
    assert 3 * 5 <= requests(world) - asked <= 3 * 10, "one of each node in 30 to 60 s"


def test_a_sync_that_is_asked_for_during_a_comparison_goes_first() -> None:
    world = booted()
    world.slow(1, 2, 0.5)
    before = world.sent[2, 1, "SyncRequest"]
    world.until(lambda: world.sent[2, 1, "SyncRequest"] > before, within_s=130)
    assert world.state(2, NAME) is CapState.OK
    seen = len(world.events[world.ids[1]])
    tell(world, 2, SyncWanted(SyncWish()))
    world.run_for(0.1)
    assert world.state(2, NAME) is CapState.SYNCING
    world.until(lambda: world.state(2, NAME) is CapState.OK, within_s=15)
    kinds = [event.kind for event in world.events[world.ids[1]][seen:]]
    assert kinds.count(Event.SYNC_STARTED) == kinds.count(Event.SYNC_DONE) == 1
    assert world.processes[world.ids[1]].system.context.supervisor.crashes == 0
