"""The tag actor in a simulated cluster: what its application and the other nodes notice."""

from __future__ import annotations

from typing import Any

import pytest

from tagmesh.actors.tag_entry import TagListener
from tagmesh.actors.worker import InlineWorker
from tagmesh.protocol.errors import Misuse, TagRefused
from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.tag_words import Token
from tagmesh.simulation import World
from tagmesh.simulation.rows import CLUSTER


def booted(nodes: int = 3, tags: list[str] | None = None, **words: Any) -> World:
    world = World(1, nodes, settings={"sharing_tags": tags or ["vip"], **words})
    world.boot_all()
    world.until(world.converged, within_s=30)
    return world


def run(world: World, seconds: float = 1.0) -> list[NodeId]:
    """Who has the tag after a while."""
    world.run_for(seconds)
    return list(world.active("vip"))


def test_everybody_knows_who_has_the_tag_and_only_one_has_it() -> None:
    world = booted()
    assert run(world) == []
    first = world.activate(1, "vip")
    assert run(world) == [1]
    assert first() is None
    assert [world.tag(n, "vip").holding().node_id for n in world.ids] == [1, 1, 1]
    second = world.activate(2, "vip")
    assert run(world) == [2]
    assert second() is None
    assert [world.tag(n, "vip").holding().node_id for n in world.ids] == [2, 2, 2]
    changes = [
        (e.tag, e.before, e.after) for e in world.events[NodeId(1)] if e.kind is Event.TAG_CHANGED
    ]
    assert changes == [("vip", "backup", "active"), ("vip", "active", "backup")]


def test_a_late_joiner_learns_who_has_the_tag() -> None:
    """H-22; row 20 of behaviour 1.23."""
    world = booted()
    world.crash(3)
    world.activate(1, "vip")
    run(world)
    world.boot(3)
    world.run_for(3)
    assert world.tag(3, "vip").holding().node_id == 1


def test_hand_over_and_release() -> None:
    world = booted()
    world.activate(1, "vip")
    run(world)
    done = world.hand_over(1, "vip", 3)
    assert run(world) == [3]
    assert done() is None
    wrong, released = world.hand_over(1, "vip", 2), world.release(3, "vip")
    assert run(world) == []
    assert isinstance(wrong(), Misuse), "it is not active there"
    assert released() is None
    assert world.tag(2, "vip").holding() == (None, "node 3 released it: asked")


def test_without_the_store_only_force_activates() -> None:
    """P4."""
    world = booted()
    world.storage.mode = "failing"
    refused = world.activate(1, "vip")
    assert run(world) == []
    with pytest.raises(TagRefused, match="does not answer; by force one epoch might"):
        raise refused() or AssertionError("it was done")
    world.activate(1, "vip", force=True)
    assert run(world) == [1]
    world.storage.mode = "ok"
    run(world, 5)
    (row,) = world.tag_store.load(CLUSTER)
    assert (row.number, row.owner) == (1, world.tag(1, "vip").me), "kept when it answered"


def test_what_starts_active_waits_and_does_not_steal() -> None:
    """H-23; row 19 of behaviour 1.23."""
    world = World(1, 3, settings={"sharing_tags": ["vip"]})
    world.boot(1, settings={"sharing_tags": ["vip=active"]})
    world.boot(2)
    assert run(world, 3) == []
    assert run(world, 10) == [1]
    world.crash(1)
    run(world)
    world.activate(2, "vip")
    assert run(world) == [2]
    world.boot(1, settings={"sharing_tags": ["vip=active"]})
    assert run(world, 30) == [2]


def test_the_epochs_go_on_after_everybody_restarted() -> None:
    world = booted(2)
    for node in (1, 2, 1):
        world.activate(node, "vip")
        run(world)
    for node in (1, 2):
        world.crash(node)
    world.boot_all()
    world.until(world.converged, within_s=60)
    world.activate(2, "vip")
    assert run(world) == [2]
    assert world.active("vip")[NodeId(2)].epoch.number == 4


def test_both_sides_of_a_partition_and_one_owner_after_it() -> None:
    """H-21; row 18 of behaviour 1.23."""
    world = booted(3, tags=["vip"])
    world.cut(1, 2)
    world.cut(1, 3)
    world.run_for(15)
    world.activate(1, "vip")
    world.activate(2, "vip")
    assert run(world) == [1, 2]
    tokens = {token.epoch for token in world.active("vip").values()}
    assert len(tokens) == 2
    world.heal_all()
    world.until(world.converged, within_s=120)
    assert len(run(world)) == 1
    (owner,) = world.active("vip")
    assert {world.tag(n, "vip").holding().node_id for n in world.ids} == {owner}


def test_after_a_crash_of_the_actor_the_tag_comes_back_under_another_epoch() -> None:
    world = booted()
    world.activate(1, "vip")
    run(world)
    heard: list[tuple[bool, int]] = []
    context = world.processes[NodeId(1)].system.context
    entry = context.tags[CLUSTER, "vip"]

    def note(active: bool) -> Any:
        def function(token: Token) -> None:
            heard.append((active, token.epoch.number))

        return TagListener(active, function, InlineWorker())

    entry._listeners += [note(True), note(False)]
    context.supervisor.tell(("tag", CLUSTER, "vip"), "no mail")
    world.run_for(0.05)
    assert heard == [(False, 1)]
    assert entry.token is None
    assert run(world) == [1]
    assert heard == [(False, 1), (True, 2)]
    assert world.tag(2, "vip").holding().node_id == 1


def test_after_a_crash_of_the_node_actor_nothing_is_forgotten() -> None:
    world = booted()
    world.activate(1, "vip")
    run(world)
    for node in world.ids:
        world.processes[node].system.context.supervisor.tell(("node", CLUSTER), "no mail")
    world.run_for(0.01)
    world.activate(2, "vip")
    assert run(world, 3) == [2]
    assert [world.tag(n, "vip").holding().node_id for n in world.ids] == [2, 2, 2]


def test_a_disabled_node_gives_the_tag_up() -> None:
    """E-2."""
    world = booted()
    world.activate(1, "vip")
    run(world)
    world.disable(1)
    assert run(world, 5) == []
    world.activate(2, "vip")
    assert run(world) == [2]


def test_without_a_database_each_machine_keeps_its_own() -> None:
    world = World(1, 3, settings={"sharing_tags": ["vip"]}, dynamic=True)
    world.boot_all()
    world.run_for(20)
    world.activate(1, "vip")
    run(world)
    world.activate(2, "vip")
    assert run(world) == [2]
    for node in world.ids:
        (row,) = world.tag_disk(node).load(CLUSTER)
        assert (row.number, row.owner) == (2, world.tag(2, "vip").me)
