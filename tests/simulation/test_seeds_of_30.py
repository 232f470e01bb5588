"""The swarm with 30 nodes: 20 seeds; see `test_seeds`.

As many faults of as many kinds as with few nodes, in 25 to 50 virtual seconds instead of 40 to 160.
What a big cluster shows is not a longer time but more of everything at once: hundreds of links that
part and meet again, floods that cross, syncs of a table of 30 link states.
"""

from __future__ import annotations

import pytest

from tagmesh.simulation import FaultPlan, run

NODES = 30
SEEDS = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_swarm_of_30(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    run(FaultPlan.draw(seed, NODES))
