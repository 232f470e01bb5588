"""How tags stand, as a capability's port tells it while nodes live and die."""

from __future__ import annotations

from typing import Any

from tagmesh.capabilities.replicated_map import ReplicatedMap
from tagmesh.protocol.tag_words import TagStanding
from tagmesh.simulation import World


def booted(**settings: Any) -> World:
    world = World(1, 3, settings={"sharing_tags": ["vip"], **settings})
    world.provide(lambda _node: ReplicatedMap("calls", run=lambda function: function()))
    world.boot_all()
    world.run_for(20)
    return world


def seen(world: World, node: int, tag: str = "vip") -> TagStanding:
    return world.capability(node, "calls").port.tag(tag)


def test_every_node_knows_who_has_a_tag_and_under_which_epoch() -> None:
    world = booted()
    assert seen(world, 1).state == "backup"
    assert (seen(world, 1).epoch, seen(world, 1).holder) == (None, None)
    world.activate(2, "vip")
    world.run_for(1)
    found = {int(node): seen(world, node) for node in world.ids}
    assert {node: one.state for node, one in found.items()} == {
        1: "backup",
        2: "active",
        3: "backup",
    }
    assert {one.holder for one in found.values()} == {2}
    assert {str(one.epoch) for one in found.values()} == {"1 of node 2"}
    assert found[2].token == world.active("vip")[world.ids[1]]
    assert seen(world, 1, "other").state == "undeclared"


def test_nobody_has_the_tag_of_a_node_that_is_gone() -> None:
    world = booted()
    world.activate(2, "vip")
    world.run_for(1)
    world.crash(2)
    world.run_for(30)
    assert (seen(world, 1).holder, seen(world, 1).why) == (
        None,
        "node 2 had it last and is unreachable",
    )
    world.boot(2)
    world.run_for(20)
    assert (seen(world, 2).state, seen(world, 2).holder) == ("backup", None)
    assert str(seen(world, 2).epoch) == "1 of node 2"
