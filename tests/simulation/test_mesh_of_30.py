"""30 nodes: what one link change costs a full mesh."""

from __future__ import annotations

import itertools

from tagmesh.protocol.link import State
from tagmesh.simulation import World

NODES = 30
LINKS = NODES * (NODES - 1) // 2
STATE_MESSAGES = ("LinkState", "Want")


def state_messages(world: World) -> int:
    return sum(count for (_, _, kind), count in world.sent.items() if kind in STATE_MESSAGES)


def test_one_link_change_costs_at_most_three_messages_per_link() -> None:
    world = World(1, NODES)
    for node in world.ids:  # one after the other: cheaper than all at once
        world.boot(node)
        world.run_for(0.1)
    world.until(world.converged, within_s=30.0)
    world.run_for(1.0)
    before = state_messages(world)
    world.cut(1, 2)
    world.until(lambda: {world.link(1, 2), world.link(2, 1)} == {State.DOWN}, within_s=12.0)
    world.run_for(1.0)
    down = state_messages(world) - before
    assert 0 < down <= 3 * LINKS
    world.heal(1, 2)
    world.until(world.converged, within_s=70.0)
    world.run_for(1.0)
    up = state_messages(world) - before - down
    assert 0 < up <= 3 * LINKS
    others = itertools.combinations(world.ids[2:], 2)
    assert all(world.link(a, b) is State.UP for a, b in others)
