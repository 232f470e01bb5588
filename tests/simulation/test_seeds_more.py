"""The swarm: the odd seeds; see `test_seeds`. A file of its own, so that two workers share them."""

from __future__ import annotations

import pytest

from tagmesh.simulation import FaultPlan, run

SEEDS = range(1, 320, 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_swarm(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    run(FaultPlan.draw(seed))
