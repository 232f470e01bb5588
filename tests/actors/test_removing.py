"""Removing nodes: what must be so before anything is told or done (X-1, X-3)."""

from __future__ import annotations

from typing import Any

import pytest

from tagmesh.actors.mail import RosterWanted
from tagmesh.actors.removal_mail import RemovalsHeard, RemoveWanted
from tagmesh.protocol.errors import StorageUnavailable, Unknown
from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.removal_messages import Removal, Removals
from tagmesh.simulation import World
from tagmesh.simulation.rows import CLUSTER


def booted(*, dynamic: bool = False) -> World:
    world = World(seed=1, nodes=3, dynamic=dynamic)
    world.boot_all()
    world.until(world.converged, within_s=10.0)
    return world


def actor(world: World, node: int, *name: str | int) -> Any:
    return world.processes[NodeId(node)].system.context.supervisor.actor(name)


def answer(world: World, node: int, gone: int, *, lifted: bool = False) -> object:
    """What comes of asking ``node`` to remove ``gone``."""
    wanted = RemoveWanted(CLUSTER, NodeId(gone), "an operator", lifted=lifted)
    future = actor(world, node, "storage").on_receive(wanted)
    world.until(lambda: future.ready, within_s=10.0)
    return future.get(timeout=0.0)


def members(world: World, node: int) -> list[int]:
    records = actor(world, node, "storage").rules.records
    return [int(n) for _, n in records]


def test_word_of_a_removal_removes_nobody_who_has_a_row() -> None:
    world = booted()
    removals = [Removal(3, int(world.processes[NodeId(1)].runtime.wall() * 1000))]
    told = RemovalsHeard(CLUSTER, NodeId(2), removals)
    world.processes[NodeId(1)].system.context.supervisor.tell(("storage",), told)
    world.run_for(10.0)
    assert world.converged()
    assert [members(world, node) for node in (1, 2, 3)] == [[1, 2, 3]] * 3


def test_a_database_that_fails_removes_nobody_and_nobody_is_told() -> None:
    world = booted()
    world.storage.mode = "failing"
    assert isinstance(answer(world, 1, 3), StorageUnavailable)
    world.storage.mode = "ok"
    world.run_for(10.0)
    assert world.converged()
    assert not any(kind == "Removals" for *_, kind in world.sent)


def test_who_is_no_member_removes_nobody() -> None:
    world = booted(dynamic=True)
    message = Removals(CLUSTER, [Removal(3, int(world.processes[NodeId(1)].runtime.wall() * 1000))])
    node = actor(world, 1, "node", CLUSTER)
    node._from_peer(NodeId(9), message)
    world.run_for(10.0)
    assert members(world, 1) == [1, 2, 3]
    assert node.context.drops["X-1"] == 1


@pytest.mark.parametrize("dynamic", [False, True])
def test_what_was_removed_is_told_apart_from_what_never_was(dynamic: bool) -> None:
    world = booted(dynamic=dynamic)
    assert answer(world, 1, 3) is True
    world.run_for(1.0)
    assert [answer(world, node, 3) for node in (1, 2)] == [False, False]
    assert isinstance(answer(world, 1, 9), Unknown)


def test_nothing_is_taken_back_that_was_not_done() -> None:
    world = booted(dynamic=True)
    assert answer(world, 1, 3, lifted=True) is False
    assert members(world, 1) == [1, 2, 3]


def test_a_node_that_nobody_tells_reads_who_removed_it() -> None:
    """Its rows may come before the message, or instead of it (X-4)."""
    world = booted()
    for other in (1, 2):
        world.cut(3, other)
    assert answer(world, 1, 3) is True
    actor(world, 3, "storage").on_receive(RosterWanted("a test"))
    world.until(lambda: not members(world, 3), within_s=10.0)
    expelled = [r.cause for r in world.events[NodeId(3)] if r.kind is Event.EXPELLED]
    assert expelled == ["removed by an operator: bins:node-3:5556"]
