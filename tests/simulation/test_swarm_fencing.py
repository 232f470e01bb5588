"""The swarm with records under sharing tags: who may write, what is let in, and all have the same.

Beside the faults and moves of `test_swarm_tags` applications write, delete and let expire, mostly
where the tag is; I3, M-2, K-7 and I5 are checked.
"""

from __future__ import annotations

import pytest

from tagmesh.simulation.faults import FaultPlan
from tagmesh.simulation.fenced_traffic import fenced

SEEDS = range(24)


@pytest.mark.parametrize("seed", SEEDS)
def test_swarm_with_tagged_records(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    fenced(FaultPlan.draw(seed, tags=True))
