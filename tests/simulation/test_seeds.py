"""Random cuts, crashes, restarts and pauses; after them every seed must converge (I2)."""

from __future__ import annotations

import itertools

import pytest

from tagmesh.protocol.events import Event
from tagmesh.simulation.world import World

SEEDS = range(20)
NODES = 5
FAULTS = 12
CONVERGE_S = 2 * 4.0 + 60.0  # I2: 2 ping intervals + node_timeout


def trouble(world: World) -> None:
    """One random fault, or the end of one."""
    down = [n for n in world.ids if n not in world.processes]
    pairs = list(itertools.combinations(world.ids, 2))
    kind = world.random.choice(["cut", "cut", "heal", "crash", "boot", "pause"])
    if kind == "cut":
        world.cut(*world.random.choice(pairs))
    elif kind == "heal":
        world.heal(*world.random.choice(pairs))
    elif kind == "crash" and len(world.processes) > 2:
        world.crash(world.random.choice(sorted(world.processes)))
    elif kind == "boot" and down:
        world.boot(world.random.choice(down))
    elif kind == "pause":
        node = world.random.choice(sorted(world.processes))
        world.pause(node)
        world.run_for(world.random.uniform(0.1, 20.0))
        world.resume(node)


def history(seed: int) -> World:
    world = World(seed, nodes=NODES)
    world.boot_all()
    for _ in range(FAULTS):
        world.run_for(world.random.expovariate(1 / 5.0))
        trouble(world)
    world.heal_all()
    world.boot_all()
    world.until(world.converged, within_s=CONVERGE_S)
    return world


@pytest.mark.parametrize("seed", SEEDS)
def test_converges_after_random_faults(seed: int) -> None:
    world = history(seed)
    for node in world.processes:
        assert_edges_alternate(world, node)
        assert world.processes[node].system.context.supervisor.crashes == 0


def assert_edges_alternate(world: World, node: int) -> None:
    """I8: UP and DOWN per peer in turn, beginning with UP, since the last boot."""
    last: dict[int, Event] = {}
    system = world.processes[world.ids[node - 1]].system
    for record in system.context.events.ring:
        if record.kind in (Event.NODE_UP, Event.NODE_DOWN):
            assert record.node_id is not None
            before = last.get(record.node_id, Event.NODE_DOWN)
            assert record.kind is not before, f"node {node}: {record} after {before}"
            last[record.node_id] = record.kind


def test_same_seed_same_history() -> None:
    """I12."""
    assert history(3).log_hash == history(3).log_hash != history(4).log_hash
