"""The swarm with records under sharing tags: who may write, what is let in, and all have the same.

Beside the faults and moves of `test_swarm_tags` applications write, delete and let expire, mostly
where the tag is; I3, I4, M-2, M-5 and I5 are checked. Found by it:

* seed 50304: a node that got a record of a new owner before its claim kept what it had inferred,
  and never learned what the claim said beside: its mode, and which epoch was given up before it.
"""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.simulation.faults import FaultPlan
from tagmesh.simulation.fenced_traffic import fenced

SEEDS = range(24)


@pytest.mark.parametrize("seed", SEEDS)
def test_swarm_with_tagged_records(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    fenced(FaultPlan.draw(seed, tags=True))


def test_a_node_that_gets_a_record_before_the_claim_learns_the_claim() -> None:
    """Seed 50304, without the faults that do not matter."""
    plan = FaultPlan.draw(50304, 7, tags=True)
    numbers = (0, 1, 2, 3, 5, 6, 10, 11, 14, 15, 18, 19, 20)
    story = [fault for fault in plan.faults if fault.number in numbers]
    fenced(msgspec.structs.replace(plan, faults=tuple(story)))
