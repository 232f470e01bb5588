"""Figures of repeated runs: median and spread against a budget, as a table and as JSON.

Rates and round trips depend on the machine, so their budget is a ratio to what was measured beside
them, in the same runs, with nothing in between: their ceiling (`benchmarks.ceiling`).
"""

from __future__ import annotations

import dataclasses
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tagmesh

DECIMALS = {"s": 3, "ms": 2, "µs": 2, "%": 2, "B": 0, "KiB": 0, "MiB": 1, "k/s": 1}
"""Units and how many decimals of them are shown."""

WITHIN = "within"
WORST_OVER = "worst run over"
OVER = "OVER"
WORST_UNDER = "worst run under"
UNDER = "UNDER"
_GRAVITY = ("", WITHIN, WORST_OVER, WORST_UNDER, OVER, UNDER)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of the values do not exceed; 1 = the largest."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class BenchmarkFailed(Exception):  # noqa: N818 - it is what happened, not a bug of the caller
    """A figure cannot be had; the text says what happened."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One quantity, measured once per run. ``budget`` is the largest value allowed, if any.

    ``more_is_better``: of a rate; then budgets are the smallest values allowed. ``ceiling``: what
    the same runs gave with nothing in between, one value per run. ``ratio_budget``: of the median
    to that of the ceiling.
    """

    name: str
    unit: str
    values: Sequence[float]
    budget: float | None = None
    more_is_better: bool = False
    ceiling: Sequence[float] | None = None
    ratio_budget: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Largest minus smallest value."""
        return max(self.values) - min(self.values)

    @property
    def ratio(self) -> float | None:
        """Of the median to that of the ceiling."""
        if self.ceiling is None:
            return None
        return self.median / statistics.median(self.ceiling)

    @property
    def verdict(self) -> str:
        """``""`` without a budget; a median over it is ``OVER``, whatever the best run was.

        ``UNDER`` where more is better. Of two budgets the one that is missed more counts.
        """
        verdicts = [self._judge(self.median, self.values, self.budget)]
        if self.ceiling is not None:
            pairs = zip(self.values, self.ceiling, strict=True)
            ratios = [value / ceiling for value, ceiling in pairs]
            assert self.ratio is not None, "there is a ceiling"
            verdicts.append(self._judge(self.ratio, ratios, self.ratio_budget))
        return max(verdicts, key=_GRAVITY.index)

    def _judge(self, median: float, values: Sequence[float], budget: float | None) -> str:
        if budget is None:
            return ""
        if self.more_is_better:
            if median < budget:
                return UNDER
            return WITHIN if min(values) >= budget else WORST_UNDER
        if median > budget:
            return OVER
        return WITHIN if max(values) <= budget else WORST_OVER


def table(figures: Sequence[Figure]) -> str:
    """One line per figure: median, smallest, largest, spread, budget, ratio, verdict."""
    with_ratio = any(figure.ceiling is not None for figure in figures)
    ratio = ("of ceiling", "budget") if with_ratio else ()
    rows: list[tuple[str, ...]] = [("", "median", "min", "max", "spread", "budget", *ratio, "")]
    for figure in figures:
        values = (figure.median, min(figure.values), max(figure.values), figure.spread)
        sign = "≥" if figure.more_is_better else "≤"
        budget, bound = figure.budget, figure.ratio_budget
        rows.append(
            (
                f"{figure.name} [{figure.unit}]",
                *(_number(value, figure.unit) for value in values),
                "" if budget is None else f"{sign} {_number(budget, figure.unit)}",
                *(_ratio(figure.ratio), "" if bound is None else f"{sign} {bound:.2f} ×")[
                    : len(ratio)
                ],
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


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f} ×"


def _number(value: float, unit: str) -> str:
    return f"{value:.{DECIMALS[unit]}f}"


def as_json(about: Mapping[str, Any], results: Mapping[str, Sequence[Figure]]) -> dict[str, Any]:
    """``{machine, benchmarks: {name: [{name, unit, values, median, …, ratio, verdict}]}}``."""
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
        "ceiling": None if figure.ceiling is None else list(figure.ceiling),
        "ratio": figure.ratio,
        "ratio_budget": figure.ratio_budget,
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
