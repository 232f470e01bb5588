"""Records with tags between nodes of a simulated cluster: what is refused, counted and told."""

from __future__ import annotations

from typing import Any

import pytest

from tagmesh.actors import fencing
from tagmesh.actors.fencing import Fence
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.tag_words import Epoch
from tagmesh.simulation import World

ONE, TWO = NodeId(1), NodeId(2)


def booted(**settings: str) -> World:
    world = World(1, 3, settings={"sharing_tags": ["vip"]})
    world.capability_settings["calls"] = dict(settings)
    world.provide(lambda _node: ReplicatedMap("calls", run=lambda function: function()))
    world.boot_all()
    world.run_for(20)
    return world


def calls(world: World, node: int) -> ReplicatedMap:
    found = world.capability(node, "calls")
    assert isinstance(found, ReplicatedMap)
    return found


def fence(world: World, node: int) -> Fence:
    port: Any = calls(world, node).port
    assert isinstance(port.fence, Fence)
    return port.fence


def refused(world: World, node: int) -> list[tuple[int | None, str]]:
    records = world.processes[NodeId(node)].system.context.events.ring
    return [(r.node_id, r.cause) for r in records if r.kind is Event.WRITE_REFUSED]


def test_a_write_makes_its_epoch_known_before_the_claim_comes() -> None:
    """H-24, H-27: to everybody, not only to the node that got it."""
    world = booted()
    assert fence(world, 1).judge(TWO, "strange", Epoch(3, TWO, 50))
    world.run_for(1)
    for node in world.ids:
        assert str(fence(world, node).tag("strange").epoch) == "3 of node 2"
        assert fence(world, node).tag("strange").state == "undeclared"


def test_the_tag_steps_down_when_a_write_says_that_a_later_epoch_began() -> None:
    world = booted()
    world.activate(1, "vip")
    world.run_for(1)
    assert fence(world, 1).judge(TWO, "vip", Epoch(9, TWO, 50))
    assert not fence(world, 1).tag("vip").active, "at once"
    world.run_for(1)
    assert world.active("vip") == {}


def test_a_refusal_is_counted_per_record_and_told_once() -> None:
    """G-15."""
    world = booted()
    world.activate(1, "vip")
    world.run_for(1)
    old = Epoch(0, TWO, 50)
    assert not fence(world, 3).judge(TWO, "vip", old, 5)
    assert not fence(world, 3).judge(TWO, "vip", old, 2)
    assert not fence(world, 1).judge(TWO, "vip", old)
    assert fence(world, 3).counts == {"H-24": 7}
    assert fence(world, 1).counts == {"K-7": 1}
    assert world.processes[NodeId(3)].system.context.drops["H-24"] == 7
    assert refused(world, 3) == [(2, "H-24: epoch 0 of node 2 is over: 1 of node 1 is known")]
    assert refused(world, 1) == [(2, "K-7: epoch 0 of node 2 is over: 1 of node 1 is active here")]


def test_what_was_told_is_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fencing, "MAX_TOLD", 2)
    world = booted()
    for tag in ("a", "b", "c", "a"):
        fence(world, 1).refused("H-24", tag, "a test says so")
    assert len(refused(world, 1)) == 4
    fence(world, 1).refused("H-24", "a", "a test says so")
    assert len(refused(world, 1)) == 4


def test_a_partition_in_which_both_sides_write() -> None:
    """The write of the side that has the lower epoch comes nowhere, once both are heard."""
    world = booted()
    world.activate(1, "vip")
    world.run_for(1)
    calls(world, 1).put("k", "before", tag="vip")
    world.run_for(1)
    world.cut(1, 2)
    world.cut(1, 3)
    world.run_for(120)
    world.activate(2, "vip")
    world.run_for(1)
    calls(world, 1).put("k", "of the former owner")
    calls(world, 2).put("k", "of the owner")
    world.heal_all()
    world.run_for(120)
    assert [calls(world, node).fetch("k") for node in world.ids] == ["of the owner"] * 3
    assert sorted(world.active("vip")) == [2]


def test_what_the_owner_has_replaces_what_a_former_owner_wrote_too_late() -> None:
    """H-24: newer or not, and although the owner has not written since it has the tag."""
    world = booted(verify_interval="5s")
    world.activate(1, "vip")
    world.run_for(1)
    calls(world, 1).put("k", "before", tag="vip")
    world.run_for(1)
    world.cut(1, 3)
    world.cut(2, 3)
    world.activate(3, "vip")
    world.run_for(0.1)
    calls(world, 1).put("k", "too late")
    world.run_for(0.5)
    assert [calls(world, node).fetch("k") for node in world.ids] == ["too late"] * 2 + ["before"]
    world.heal_all()
    world.run_for(60)
    assert [calls(world, node).fetch("k") for node in world.ids] == ["before"] * 3
