"""The swarm with sharing tags: 60 seeds in which clocks are wrong and people move the tags.

Each draws the faults of `test_seeds` and machines that do not reach the database, or lose its
answers, or get them late; pauses are up to six leases long. Every monotonic clock, the database's
too, is wrong by up to 5 %. I3 is checked after every step, and all other checks run as well.
`make soak ARGS=--tags` goes on with other seeds. Found by it:

* seed 51: a node read from the database that somebody who is no member had claimed the tag, kept
  that as the highest claim, and refused the owner that all others knew. Its story is in
  `test_tag_claims`.
* seed 20015: a node in failsafe went on alone, because its roster, which it could not read,
  had the others disabled; one of them was enabled meanwhile and took the lease that ran out.
* seed 60057: the only node that was preferred was no elector of the lease that ran out, and its
  electors were not preferred, so nobody ever took it.
"""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.simulation.faults import FaultPlan, tagged

SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_swarm_with_tags(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    tagged(FaultPlan.draw(seed, tags=True))


def test_a_node_enabled_while_the_owner_is_without_database_takes_no_lease() -> None:
    """Seed 20015, without the faults that do not matter."""
    plan = FaultPlan.draw(20015, 3, tags=True)
    story = [fault for fault in plan.faults if fault.number in (6, 7, 11, 12)]
    tagged(msgspec.structs.replace(plan, faults=tuple(story)))


def test_who_may_not_have_a_lease_frees_it_for_who_may_not_take_it() -> None:
    """Seed 60057, without the faults that do not matter."""
    plan = FaultPlan.draw(60057, 5, tags=True)
    story = [fault for fault in plan.faults if fault.number in (21, 26, 32)]
    tagged(msgspec.structs.replace(plan, faults=tuple(story)))
