"""What whole clusters on virtual time cost: CPU seconds per virtual minute, and their checks.

Method: one process, in turn: a world of seed 0 boots all its nodes at once into a full mesh and
runs until 60 virtual seconds have passed; CPU time of this process, not wall time, so a busy
machine matters little. The 100 nodes have 4,950 links. They run once, whatever ``runs`` says: the
history is the same each time. A run is given up after `MAX_CPU_S`, twice the budget: then its
figure is what it took until there, and the truth is more.

Checks: the histories of the swarm's first seeds, with their faults, a second time under every
checker; the histories are the same. What is asked after healing is not among it.
"""

from __future__ import annotations

import gc
import logging
import time

from tagmesh.simulation import Checkers, FaultPlan, World, run

from .report import BenchmarkFailed, Figure

VIRTUAL_S = 60.0
BUDGET_NODES, BUDGET_S = 100, 30.0
SMALLER = (5, 15, 30)
MAX_STEPS = 100_000_000
MAX_CPU_S = 2 * BUDGET_S
SLICE_S = 1.0
"""Virtual seconds between two looks at `MAX_CPU_S`."""

SWARM_SEEDS = range(20)
CHECKS_BUDGET_PERCENT = 30.0


def measure(runs: int) -> list[Figure]:
    """One figure per size of the cluster, and one of the checks."""
    logging.getLogger("tagmesh").setLevel(logging.CRITICAL)
    figures = [
        Figure(_name(nodes), "s", [_minute_s(nodes) for _ in range(runs)]) for nodes in SMALLER
    ]
    figures.append(Figure(_name(BUDGET_NODES), "s", [_minute_s(BUDGET_NODES)], BUDGET_S))
    checks = [_checks_percent() for _ in range(runs)]
    figures.append(Figure("what checks add to swarms", "%", checks, CHECKS_BUDGET_PERCENT))
    return figures


def _name(nodes: int) -> str:
    return f"virtual minute of {nodes} nodes"


def _minute_s(nodes: int) -> float:
    begin = time.process_time()
    world = World(0, nodes)
    world.max_steps = MAX_STEPS
    world.boot_all()
    took = 0.0
    while world.now < VIRTUAL_S and took < MAX_CPU_S:
        world.run_for(SLICE_S)
        took = time.process_time() - begin
    if took < MAX_CPU_S and not world.converged():
        raise BenchmarkFailed(f"{nodes} nodes did not agree within {VIRTUAL_S:g} virtual seconds")
    return took


def _checks_percent() -> float:
    plain_s = checked_s = 0.0
    for seed in SWARM_SEEDS:
        plain_s += _swarm_s(seed, checked=False)
        checked_s += _swarm_s(seed, checked=True)
    return 100.0 * (checked_s / plain_s - 1.0)


def _swarm_s(seed: int, *, checked: bool) -> float:
    plan = FaultPlan.draw(seed)
    world = plan.world()
    if checked:
        Checkers(world)
    gc.collect()
    begin = time.process_time()
    run(plan, world, checked=False)
    return time.process_time() - begin
