"""What whole clusters on virtual time cost: CPU seconds per virtual minute.

Method: one process, in turn: a world of seed 0 boots all its nodes at once into a full mesh and
runs until 60 virtual seconds have passed; CPU time of this process, not wall time, so a busy
machine matters little. The 100 nodes have 4,950 links. They run once, whatever ``runs`` says: the
history is the same each time. A run is given up after `MAX_CPU_S`, twice the budget: then its
figure is what it took until there, and the truth is more.
"""

from __future__ import annotations

import logging
import time

from tagmesh.simulation import World

from .report import BenchmarkFailed, Figure

VIRTUAL_S = 60.0
BUDGET_NODES, BUDGET_S = 100, 30.0
SMALLER = (5, 15, 30)
MAX_STEPS = 100_000_000
MAX_CPU_S = 2 * BUDGET_S
SLICE_S = 1.0
"""Virtual seconds between two looks at `MAX_CPU_S`."""


def measure(runs: int) -> list[Figure]:
    """One figure per size of the cluster."""
    logging.getLogger("tagmesh").setLevel(logging.CRITICAL)
    figures = [
        Figure(_name(nodes), "s", [_minute_s(nodes) for _ in range(runs)]) for nodes in SMALLER
    ]
    figures.append(Figure(_name(BUDGET_NODES), "s", [_minute_s(BUDGET_NODES)], BUDGET_S))
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
