"""The load of a swarm with tags: that there is one, and that it demands an end."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.simulation import Violation
from tagmesh.simulation.faults import FaultPlan, run, tagged
from tagmesh.simulation.rows import CLUSTER
from tagmesh.simulation.tag_traffic import LEASED, MANUAL, TagTraffic


def calm(seed: int) -> FaultPlan:
    """Nothing but what people do."""
    return FaultPlan.draw(seed, 3, tags=True).only([])


def test_people_move_both_tags_under_clocks_that_are_wrong() -> None:
    plan = next(p for p in map(calm, range(9)) if not p.dynamic)
    world = tagged(plan)
    changes = [entry for entry in world.log if "tag_changed" in entry]
    for words in (f"{MANUAL} node", f"{LEASED} node", "got the lease", "handed over"):
        assert any(words in entry for entry in changes), words
    rates = {process.runtime.rate for process in world.processes.values()}
    assert len(rates) > 1
    assert max(abs(rate - 1) for rate in rates) == pytest.approx(0.05)


def test_where_nobody_is_provisioned_there_are_no_leases() -> None:
    plan = msgspec.structs.replace(calm(1), dynamic=True)
    world = plan.world()
    assert TagTraffic(world).names == [MANUAL]
    tagged(plan)


def test_a_lease_that_nobody_takes_is_told() -> None:
    plan = next(p for p in map(calm, range(9)) if not p.dynamic)
    world = plan.world()
    traffic = TagTraffic(world)
    acquire = world.tag_store.acquire

    def nobody(*words: object, seen: int, ttl_s: float) -> object:
        world.tag_store.pause(CLUSTER, LEASED, paused=True)
        return acquire(*words, seen=seen, ttl_s=ttl_s)  # type: ignore[arg-type]  # as it was called

    world.tag_store.acquire = nobody  # type: ignore[method-assign,assignment]  # a tap
    with pytest.raises(Violation, match="I3: lead: nobody took the lease, 40 s after"):
        run(plan, world, traffic=traffic)
