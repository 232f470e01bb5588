"""One connection of tagmesh's transport against the raw pipeline: no actors, no public API.

Method: per run, for each kind of messages, the ceiling and then the connection, two fresh processes
each (`benchmarks.raw`, `benchmarks.link_ends`), for `SECONDS`; once more with a ping every
`PING_INTERVAL_S` while the data lane is kept as full as credit allows (B13). All pings of a run
count, those sent while another was under way too.

The budgets here are this project's own, stricter than what the whole way is held to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import ceiling, pair
from .ceiling import Rate
from .processes import temporary_folder
from .report import Figure, quantile

SECONDS = 1.0
PING_INTERVAL_S = 0.002
RATIO_BUDGET = 0.9
LATEST_PING_BUDGET_MS = 50.0


def measure(runs: int, seconds: float = SECONDS) -> list[Figure]:
    """Figures of ``runs`` runs of each."""
    figures: list[Figure] = []
    with temporary_folder() as folder:
        pair.keys(folder)
        for (kind, size), name in ceiling.KINDS.items():
            figures += _measure(folder, runs, name, {"kind": kind, "size": size}, seconds)
    return figures


def _measure(
    folder: Path, runs: int, name: str, what: dict[str, Any], seconds: float
) -> list[Figure]:
    raw: list[Rate] = []
    ours: list[Rate] = []
    trips: list[list[float]] = []
    for _ in range(runs):
        raw.append(ceiling.one_way(folder, **what, seconds=seconds))
        told, _ = pair.run("link_ends", folder, **what, seconds=seconds, ping_interval_s=0)
        ours.append(Rate(told["messages"] / told["seconds"], told["cpu_s"] / told["messages"]))
        _, told = pair.run(
            "link_ends", folder, **what, seconds=seconds, ping_interval_s=PING_INTERVAL_S
        )
        trips.append(told["trips_s"])
    return [
        Figure(
            f"one-way, {name}",
            "k/s",
            [rate.per_s / 1e3 for rate in ours],
            more_is_better=True,
            ceiling=[rate.per_s / 1e3 for rate in raw],
            ratio_budget=RATIO_BUDGET,
        ),
        Figure(
            f"one-way, {name}: CPU of the receiver",
            "µs",
            [rate.cpu_s * 1e6 for rate in ours],
            ceiling=[rate.cpu_s * 1e6 for rate in raw],
        ),
        Figure(f"ping meanwhile, {name}: median", "ms", [quantile(t, 0.5) * 1e3 for t in trips]),
        Figure(
            f"ping meanwhile, {name}: 99.9 %",
            "ms",
            [quantile(t, 0.999) * 1e3 for t in trips],
            LATEST_PING_BUDGET_MS,
        ),
    ]
