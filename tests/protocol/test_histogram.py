"""Durations, counted within bounds."""

from __future__ import annotations

import pytest

from tagmesh.protocol.histogram import BOUNDS_S, Histogram


@pytest.mark.parametrize(
    ("duration_s", "place"),
    [(0.0, 0), (0.0005, 0), (0.0006, 1), (1.0, 10), (2.5, 11), (2.6, 12), (1e9, 12)],
)
def test_each_duration_is_in_one_place(duration_s: float, place: int) -> None:
    histogram = Histogram()
    histogram.add(duration_s)
    told = histogram.told()
    assert told.counts == [int(n == place) for n in range(len(BOUNDS_S) + 1)]
    assert told.sum_s == duration_s


def test_what_was_told_does_not_change_any_more() -> None:
    histogram = Histogram()
    histogram.add(0.25)
    told = histogram.told()
    histogram.add(0.25)
    assert sum(told.counts) == 1
    assert histogram.told().sum_s == 0.5
    assert told.bounds_s == sorted(told.bounds_s)
