"""Claims at the node actor: what is kept in a store, and what is inherited after a crash."""

from __future__ import annotations

from typing import Any

import pytest

from tagmesh.actors.claims import LAST_PRIORITY, STORE_RETRY_S, Claims, stored_claim
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.tag_claims import MAX_KNOWN_TAGS
from tagmesh.protocol.tag_words import TagRow, epoch_of, is_stale, rank_of
from tagmesh.simulation import World
from tagmesh.simulation.rows import CLUSTER
from tests.protocol.tag_bench import claim, me


def booted(**words: Any) -> World:
    world = World(1, 2, settings={"sharing_tags": ["vip"]}, **words)
    world.boot_all()
    world.run_for(20)
    return world


def claims_of(world: World, node: int) -> Claims:
    actor: Any = world.processes[NodeId(node)].system.context.supervisor.actor(("node", CLUSTER))
    claims = actor.claims
    assert isinstance(claims, Claims)
    return claims


def test_every_claim_under_a_number_is_above_what_is_stored_of_it() -> None:
    row = TagRow(tag="vip", number=7, owner=me(2), released=False)
    stored = stored_claim(row)
    for real in (claim(7, 2, priority=LAST_PRIORITY - 1), claim(7, 1)):
        assert rank_of(real) > rank_of(stored)
        assert not is_stale(epoch_of(real), stored)
    assert is_stale(epoch_of(claim(6)), stored)


def test_what_another_node_claims_is_kept_on_the_own_disk_as_soon_as_it_answers() -> None:
    world = booted(dynamic=True)
    store = world.tag_disk(NodeId(2))
    store._mode = lambda: "failing"
    world.activate(1, "vip")
    world.run_for(3 * STORE_RETRY_S)
    assert list(world.active("vip")) == [1]
    store._mode = lambda: "ok"
    assert store.load(CLUSTER) == ()
    world.run_for(STORE_RETRY_S + 0.1)
    assert [row.number for row in store.load(CLUSTER)] == [1]


def test_a_store_that_does_not_answer_at_the_start_is_asked_again() -> None:
    world = booted()
    world.activate(1, "vip")
    world.run_for(1)
    for node in world.ids:
        world.crash(node)
    world.boot(2)
    world.storage.mode = "failing"
    world.run_for(1)
    assert world.tag(2, "vip").known is None
    world.storage.mode = "ok"
    world.run_for(STORE_RETRY_S + 0.1)
    known = world.tag(2, "vip").known
    assert known is not None
    assert (known.number, known.owner) == (1, 1)


def test_nothing_is_asked_of_the_store_where_no_tag_is_used() -> None:
    world = World(1, 2)
    asked: list[object] = []
    world.tag_store.load = lambda cluster: asked.append(cluster) or ()  # type: ignore[method-assign,func-returns-value]  # a tap
    world.boot_all()
    world.run_for(20)
    assert asked == []
    assert claims_of(world, 1).digest == b""


def test_many_tags_of_others_leave_room_for_those_declared_here() -> None:
    world = booted()
    node = world.processes[NodeId(1)].system.context
    table = claims_of(world, 1).table
    others = [claim(1, tag=f"t{n:03}") for n in range(MAX_KNOWN_TAGS)]
    table.restore(others)
    assert len(table.claims) == MAX_KNOWN_TAGS - 1
    with pytest.raises(Misuse, match="knows 256 sharing tags already"):
        table.declare("another")
    world.disable(1)
    world.run_for(5)
    world.enable(1)
    world.run_for(20)
    assert node.supervisor.crashes == 0
    world.activate(1, "vip")
    world.run_for(1)
    assert list(world.active("vip")) == [1]
