"""A path that fails, in one direction or both, while another one is left."""

from __future__ import annotations

import pytest

from tagmesh.protocol.events import Event
from tagmesh.protocol.link import State
from tagmesh.simulation.world import World

DETECT_S = 4.0 + (3 + 1) * 1.0  # P + (R + 1)·T with the settings a world has
TELL_S = 0.1  # a link state on its way over two hops


@pytest.mark.parametrize("nodes", [3, 5])
@pytest.mark.parametrize("cut", ["1>3", "3>1", "1>3 3>1"])
@pytest.mark.parametrize("seed", range(3))
def test_both_ends_go_round_as_soon_as_one_knows(seed: int, cut: str, nodes: int) -> None:
    """T-12. The end that knows first tells the other, which still counts retries."""
    world = World(seed, nodes=nodes)
    world.boot_all()
    world.until(world.converged, within_s=30.0)
    world.run_for(world.random.uniform(0.0, 8.0))
    for direction in cut.split():
        source, target = map(int, direction.split(">"))
        world.path.cut(world.ids[source - 1], world.ids[target - 1])
    ends = [(1, 3), (3, 1)]
    known_s = world.until(
        lambda: any(world.link(*end) is State.DOWN for end in ends), within_s=DETECT_S + TELL_S
    )
    assert known_s > 1.0, "nobody can know at once"
    world.until(lambda: all(len(world.route(*end)) == 2 for end in ends), within_s=TELL_S)
    world.run_for(60.0)
    assert all(len(world.route(*end)) == 2 for end in ends)
    world.heal_all()
    world.until(world.converged, within_s=60.0)
    for heard in world.events.values():
        assert not [str(record) for record in heard if record.kind is Event.NODE_DOWN]
