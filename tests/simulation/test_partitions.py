"""Two halves part for a while and meet again: each of them hears the other come back once."""

from __future__ import annotations

import itertools

import pytest

from tagmesh.protocol.events import Event
from tagmesh.simulation.world import World

ONCE_UP_DOWN_UP = [12, 20, 21, 24, 28, 29, 33, 36, 42, 45, 50, 55]


@pytest.mark.parametrize("seed", ONCE_UP_DOWN_UP)
def test_nobody_is_down_again_while_halves_meet(seed: int) -> None:
    """N-1. Found in the scenarios of healing, with 12 of the seeds 0 to 59.

    The first end of a link that came back paired with what the other end had said of it before
    the break (T-12): NODE_UP. Then the newer word of the other end arrived, that the link is gone:
    NODE_DOWN. Then its newest, that it is back: NODE_UP. All within a few milliseconds.
    """
    world = World(seed, nodes=2 + seed % 4)
    world.boot_all()
    world.until(world.converged, within_s=30.0)
    world.run_for(world.random.uniform(0.0, 8.0))
    half = len(world.ids) // 2
    across = list(itertools.product(world.ids[:half], world.ids[half:]))
    for a, b in across:
        world.cut(a, b)
    world.run_for(20.0)
    assert all(world.route(a, b) == () for a, b in across)
    heard = {node: len(world.events[node]) for node in world.ids}
    world.heal_all()
    world.until(world.converged, within_s=30.0)
    world.run_for(20.0)
    for node in world.ids:
        since = world.events[node][heard[node] :]
        assert not [str(record) for record in since if record.kind is Event.NODE_DOWN]
