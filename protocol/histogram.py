"""How long something took, each time: how often within which bounds, and all of it together."""

from __future__ import annotations

from bisect import bisect_left

from .status import Distribution

BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Histogram:
    """Durations, seconds. What is exactly a bound is within it."""

    __slots__ = ("_counts", "_sum_s")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0

    def add(self, duration_s: float) -> None:
        """One more."""
        self._counts[bisect_left(BOUNDS_S, duration_s)] += 1
        self._sum_s += duration_s

    def told(self) -> Distribution:
        """As a status has it."""
        return Distribution(bounds_s=list(BOUNDS_S), counts=list(self._counts), sum_s=self._sum_s)
