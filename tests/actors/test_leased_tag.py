"""The tag actor in mode lease, in a simulated cluster (B4)."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import NodeId, NodeRecord
from tagmesh.simulation import World
from tagmesh.simulation.rows import CLUSTER

TTL_S = 10.0


def booted(nodes: int = 3) -> tuple[World, int]:
    """A world, and the node that took the tag by itself."""
    world = World(1, nodes, settings={"sharing_tags": ["vip"]})
    world.tag_settings["vip"] = {"mode": "lease"}
    world.boot_all()
    world.until(world.converged, within_s=30)
    world.until(lambda: len(world.active("vip")) == 1, within_s=2)
    (owner,) = world.active("vip")
    return world, owner


def test_when_the_owner_is_killed_another_node_has_the_tag_within_ttl_and_a_second() -> None:
    world, owner = booted()
    world.run_for(2 * TTL_S)
    assert list(world.active("vip")) == [owner], "it is renewed"
    world.crash(owner)
    took_s = world.until(lambda: bool(world.active("vip")), within_s=60)
    assert took_s <= TTL_S + 1
    assert owner not in world.active("vip")


def test_a_process_that_stood_still_has_no_valid_token_when_it_goes_on() -> None:
    world, owner = booted()
    token = world.active("vip")[NodeId(owner)]
    world.pause(owner)
    world.run_for(2 * TTL_S)
    (other,) = world.active("vip")
    assert other != owner, "read while the process stands still: by the clock it has none"
    assert world.active("vip")[other].epoch.rank > token.epoch.rank
    world.resume(owner)
    world.run_for(2 * TTL_S)
    assert list(world.active("vip")) == [other]


def test_it_is_told_who_may_take_the_lease_and_why_the_others_may_not() -> None:
    world, owner = booted()
    other = next(n for n in world.ids if n != owner)
    third = next(n for n in world.ids if n not in (owner, other))
    world.tag_store.prefer(CLUSTER, "vip", [NodeId(owner), third])
    world.crash(third)
    world.run_for(2 * TTL_S)
    told = world.lease(other, "vip")
    assert told.row is not None
    assert told.row.preferred == (owner, third)
    assert told.row.electors == tuple(sorted(world.ids))
    assert told.barriers == {
        owner: "",
        other: "it is not among the preferred nodes",
        third: "it is not reachable",
    }


@pytest.mark.parametrize("alone", [False, True])
def test_without_the_database_the_owner_goes_on_while_all_others_let_it(alone: bool) -> None:
    world, owner = booted()
    world.run_for(TTL_S)
    world.storage.mode = "failing"
    if alone:
        world.crash(next(n for n in world.ids if n != owner))
    world.run_for(3 * TTL_S)
    assert list(world.active("vip")) == ([] if alone else [owner])
    world.storage.mode = "ok"
    world.run_for(2 * TTL_S)
    assert len(world.active("vip")) == 1


def test_a_node_that_stops_does_not_let_the_others_wait_for_the_end_of_the_lease() -> None:
    world, owner = booted()
    world.stop(owner)
    assert world.until(lambda: bool(world.active("vip")), within_s=TTL_S) < TTL_S / 2


def test_hand_over_moves_the_lease() -> None:
    world, owner = booted()
    to = next(n for n in world.ids if n != owner)
    world.run_for(1)
    done = world.hand_over(owner, "vip", to)
    world.run_for(2)
    assert done() is None
    assert list(world.active("vip")) == [to]
    world.run_for(3 * TTL_S)
    assert list(world.active("vip")) == [to]


def test_where_the_nodes_cannot_share_the_database_nobody_takes_the_tag_and_it_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """SQLite with nodes on several hosts; what the store says is tested with it."""
    world = World(1, 2, settings={"sharing_tags": ["vip"]})
    world.tag_settings["vip"] = {"mode": "lease"}

    def several_hosts(me: NodeRecord, others: Iterable[NodeRecord]) -> None:
        if list(others):
            raise Misuse(f"a file cannot say who holds a lease: not all are on {me.url.host}")

    world.tag_store.check_shared = several_hosts  # type: ignore[method-assign]  # a tap
    world.boot_all()
    world.run_for(3 * TTL_S)
    assert world.active("vip") == {}
    said = [r.getMessage() for r in caplog.records if "does not take tag" in r.getMessage()]
    assert len(said) == 2, "once on each node"
    assert "a file cannot say who holds a lease" in said[0]
    assert world.tag(1, "vip").holding().why.startswith("a file cannot say who holds a lease")
    refused = world.activate(1, "vip")
    world.run_for(1)
    assert "a file cannot say who holds a lease" in str(refused())
