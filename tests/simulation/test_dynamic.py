"""db_mode 0 (J-4): nodes that know one neighbour learn all the others."""

from __future__ import annotations

import pytest

from tagmesh.protocol.events import Event
from tagmesh.simulation.world import World


@pytest.mark.parametrize("seed", range(5))
def test_everybody_learns_everybody(seed: int) -> None:
    world = World(seed, nodes=5, dynamic=True)
    world.boot_all()
    world.until(world.converged, within_s=20)
    added = [r.node_id for r in world.events[world.ids[4]] if r.kind is Event.ROSTER_CHANGED]
    assert sorted(n for n in added if n is not None) == [1, 2, 3, 4, 5]


def test_a_late_joiner_is_learned_by_all() -> None:
    world = World(1, nodes=4, dynamic=True)
    for node in (1, 2, 3):
        world.boot(node)
    world.until(lambda: world.route(2, 3) == (3,), within_s=20)
    world.boot(4)
    world.until(world.converged, within_s=20)
    assert world.route(2, 4) == (4,)


def test_a_learned_node_comes_back_after_a_crash() -> None:
    world = World(2, nodes=3, dynamic=True)
    world.boot_all()
    world.until(world.converged, within_s=20)
    world.crash(3)
    world.until(lambda: world.route(1, 3) == (), within_s=20)
    world.boot(3)
    world.until(world.converged, within_s=20)


def test_the_first_neighbour_may_be_gone_once_all_know_each_other() -> None:
    world = World(3, nodes=4, dynamic=True)
    world.boot_all()
    world.until(world.converged, within_s=20)
    world.crash(1)
    world.run_for(5)
    assert world.route(2, 4) == (4,)
