"""One crash and one restart: each observer hears UP, DOWN, UP of that node and nothing else."""

from __future__ import annotations

import pytest

from tagmesh.protocol.events import Event
from tagmesh.simulation.world import World

RESTARTED = 2
CONVERGE_S = 30.0
LONGEST_ABSENCE_S = 12.0  # from "nobody noticed" to "all links have long been DOWN"


def edges(world: World, observer: int, peer: int) -> list[tuple[Event, int | None]]:
    return [
        (record.kind, record.incarnation)
        for record in world.events[world.ids[observer - 1]]
        if record.node_id == peer and record.kind in (Event.NODE_UP, Event.NODE_DOWN)
    ]


@pytest.mark.parametrize("nodes", [3, 5])
@pytest.mark.parametrize("seed", range(20))
def test_a_crash_and_a_restart_are_up_down_up(seed: int, nodes: int) -> None:
    """N-1, T-12. What the others still hold of the dead life brings it back for nobody."""
    world = World(seed, nodes=nodes)
    world.boot_all()
    world.until(world.converged, within_s=CONVERGE_S)
    before = world.processes[world.ids[RESTARTED - 1]].system.context.incarnation
    world.crash(RESTARTED)
    world.run_for(8.0 if seed % 2 else world.random.uniform(0.0, LONGEST_ABSENCE_S))
    world.boot(RESTARTED)
    world.until(world.converged, within_s=CONVERGE_S)
    after = world.processes[world.ids[RESTARTED - 1]].system.context.incarnation
    for observer in world.ids:
        for peer in world.ids:
            if peer == RESTARTED != observer:
                assert edges(world, observer, peer) == [
                    (Event.NODE_UP, before),
                    (Event.NODE_DOWN, before),
                    (Event.NODE_UP, after),
                ]
            elif RESTARTED not in (peer, observer) and peer != observer:
                assert [kind for kind, _ in edges(world, observer, peer)] == [Event.NODE_UP]
