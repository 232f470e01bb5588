"""I3: what the checks of tags let pass, and what not; each can fail."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.tag_words import Token
from tagmesh.simulation import Checkers, Violation, World
from tagmesh.simulation.checks_tags import TagChecks
from tagmesh.simulation.rows import CLUSTER


def begun(**table: object) -> World:
    """Node 1 has the tag."""
    world = World(1, 3, settings={"sharing_tags": ["vip"]})
    world.tag_settings["vip"] = table
    checkers = Checkers(world)
    checkers.add([TagChecks(world, checkers.trouble, ["vip"])])
    world.boot_all()
    checkers.settle(30)
    world.run_for(2)
    if not world.active("vip"):
        world.activate(1, "vip")
        world.run_for(1)
    return world


def hold(world: World, node: int, token: Token) -> None:
    """What no rule allows."""
    world.processes[NodeId(node)].system.context.tags[CLUSTER, "vip"].hold(token)
    world.run_for(1)


def healed(world: World) -> None:
    checks = TagChecks(world, Checkers(world).trouble, ["vip"])
    checks.healed()


def token_of(world: World) -> tuple[int, Token]:
    ((node, token),) = world.active("vip").items()
    return node, token


def test_one_owner_passes() -> None:
    healed(begun())
    healed(begun(mode="lease"))


def test_two_nodes_in_one_epoch() -> None:
    world = begun()
    _, token = token_of(world)
    with pytest.raises(Violation, match=r"I3: vip: \(1, .*\) and \(2, .*\) in epoch 1 of node 1"):
        hold(world, 2, token)


def test_one_epoch_in_two_lives_only_by_force() -> None:
    def again(*, force: bool) -> None:
        world = begun()
        _, token = token_of(world)
        if force:
            world.forced.add((NodeId(1), "vip"))
        world.crash(1)
        world.boot(1)
        world.run_for(5)
        hold(world, 1, token)

    again(force=True)
    with pytest.raises(Violation, match=r"I3: vip: \(1, .*\) and \(1, .*\) in epoch 1 of node 1"):
        again(force=False)


def test_a_number_that_the_database_gave_twice() -> None:
    """Epochs have owners too, so they differ; unless one of the two was forced."""

    def twice(*, force: bool) -> None:
        world = begun()
        node, token = token_of(world)
        if force:
            world.forced.add((NodeId(2), "vip"))
        epoch = msgspec.structs.replace(token.epoch, owner=NodeId(node % 3 + 1))
        hold(world, node % 3 + 1, msgspec.structs.replace(token, epoch=epoch))

    twice(force=True)
    with pytest.raises(Violation, match=r"I3: vip: \(1, .*\) and \(2, .*\) were given number 1"):
        twice(force=False)


def test_a_lease_whose_epoch_falls() -> None:
    world = begun(mode="lease")
    node, token = token_of(world)
    lower = msgspec.structs.replace(token.epoch, number=0)
    with pytest.raises(Violation, match=r"epoch 0 of node \d is active after 1 of node \d"):
        hold(world, node, msgspec.structs.replace(token, epoch=lower))


def test_two_nodes_in_two_epochs_may_be_in_mode_manual_only() -> None:
    def other(world: World) -> tuple[int, Token]:
        node, token = token_of(world)
        epoch = msgspec.structs.replace(token.epoch, number=9)
        return node % 3 + 1, msgspec.structs.replace(token, epoch=epoch)

    world = begun()
    hold(world, *other(world))
    with pytest.raises(Violation, match="are active, and node 1 should be"):
        healed(world)
    world = begun(mode="lease")
    with pytest.raises(Violation, match="have the lease at one instant"):
        hold(world, *other(world))


def test_nodes_that_know_different_claims() -> None:
    world = begun()
    world.tag(3, "vip").known = None
    with pytest.raises(Violation, match="the nodes know different claims"):
        healed(world)


def test_a_lease_that_nobody_takes() -> None:
    world = begun(mode="lease")
    world.tag_store.pause(CLUSTER, "vip", paused=True)
    world.release(token_of(world)[0], "vip")
    world.run_for(30)
    with pytest.raises(Violation, match="nobody took the lease"):
        healed(world)


def test_a_node_without_the_tag() -> None:
    world = begun()
    world.processes[NodeId(2)].system.context.supervisor.stop_child(("tag", CLUSTER, "vip"))
    world.run_for(1)
    with pytest.raises(Violation, match="node 2 has no actor of it"):
        healed(world)
