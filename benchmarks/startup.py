"""How long nodes take to start, and to find each other.

Method: a workspace of `NODES` provisioned nodes is made once. Per run one process is spawned
alone, then all three at the same time, all fresh. Measured from just before the spawn to the
instant the (last) node's port listens, read from the kernel every 2 ms, and from there to the last
of the six log lines with which each node shows its link with each other one Up. The figure that a
poll of the port can add to one and take from the other is 2 ms. Three processes on two cores
share them, so the last of three is later than one alone.
"""

from __future__ import annotations

from tagmesh.control.workspace import Workspace

from .processes import Nodes, mesh, temporary_folder
from .report import Figure

NODES = 3
ALL_UP_BUDGET_S = 1.5


def measure(runs: int) -> list[Figure]:
    """Figures of ``runs`` starts."""
    alone: list[float] = []
    together: list[float] = []
    all_up: list[float] = []
    with temporary_folder() as folder:
        space = Workspace(folder, NODES)
        for _ in range(runs):
            with Nodes(space) as nodes:
                begin = nodes.start(1)
                alone.append(nodes.wait_listening(1) - begin)
            with Nodes(space) as nodes:
                begin = nodes.start(*space.ids)
                listening = nodes.wait_listening(*space.ids)
                together.append(listening - begin)
                all_up.append(nodes.wait_links(mesh(space.ids), "Up") - listening)
    return [
        Figure("one process: spawn to listening", "s", alone),
        Figure(f"{NODES} processes at once: spawn to the last listening", "s", together),
        Figure("last one listening to all links Up", "s", all_up, ALL_UP_BUDGET_S),
    ]
