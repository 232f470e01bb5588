"""Figures of repeated runs: median and spread against a budget, as a table and as JSON."""

from __future__ import annotations

import dataclasses
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tagmesh

DECIMALS = {"s": 3, "%": 2, "KiB": 0}
"""Units and how many decimals of them are shown."""

WITHIN = "within"
WORST_OVER = "worst run over"
OVER = "OVER"


class BenchmarkFailed(Exception):  # noqa: N818 - it is what happened, not a bug of the caller
    """A figure cannot be had; the text says what happened."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One quantity, measured once per run. ``budget`` is the largest value allowed, if any."""

    name: str
    unit: str
    values: Sequence[float]
    budget: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Largest minus smallest value."""
        return max(self.values) - min(self.values)

    @property
    def verdict(self) -> str:
        """``""`` without a budget; a median over it is ``OVER``, whatever the best run was."""
        if self.budget is None:
            return ""
        if self.median > self.budget:
            return OVER
        return WITHIN if max(self.values) <= self.budget else WORST_OVER


def table(figures: Iterable[Figure]) -> str:
    """One line per figure: median, smallest, largest, spread, budget, verdict."""
    rows: list[tuple[str, ...]] = [("", "median", "min", "max", "spread", "budget", "")]
    for figure in figures:
        values = (figure.median, min(figure.values), max(figure.values), figure.spread)
        budget = "" if figure.budget is None else f"{_number(figure.budget, figure.unit)}"
        rows.append(
            (
                f"{figure.name} [{figure.unit}]",
                *(_number(value, figure.unit) for value in values),
                budget and f"≤ {budget}",
                figure.verdict,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, len(row) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _number(value: float, unit: str) -> str:
    return f"{value:.{DECIMALS[unit]}f}"


def as_json(about: Mapping[str, Any], results: Mapping[str, Sequence[Figure]]) -> dict[str, Any]:
    """``{machine, benchmarks: {name: [{name, unit, values, median, …, budget, verdict}]}}``."""
    return {
        "machine": about,
        "benchmarks": {
            name: [_as_json(figure) for figure in figures] for name, figures in results.items()
        },
    }


def _as_json(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "unit": figure.unit,
        "values": list(figure.values),
        "median": figure.median,
        "min": min(figure.values),
        "max": max(figure.values),
        "spread": figure.spread,
        "budget": figure.budget,
        "verdict": figure.verdict or None,
    }


def machine() -> dict[str, Any]:
    """Where the figures come from; ``load_1m`` is the load average at this moment."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "tagmesh": tagmesh.__version__,
        "load_1m": os.getloadavg()[0],
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()
