"""Bulk for a slow reader beside other traffic (B13), for seconds here; how late is no test."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from benchmarks import slow_reader
from benchmarks.report import BenchmarkFailed
from benchmarks.slow_reader import NORMAL, OVER, Letters


def test_busy_is_told_and_nobody_else_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`measure` fails when a link changes, nobody is told Busy, or a message is missing."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    *times, memory = slow_reader.measure(1, seconds=4.0)
    assert [figure.budget or figure.ratio_budget for figure in times] == [50.0, 50.0, 2.0, 2.0]
    assert memory.budget is not None
    assert memory.median <= memory.budget, "what waits for the slow reader is bounded"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("numbers", "told"), [([0, 2], "2 of 2 came, in another order"), ([0], "1 of 2 came")]
)
def test_a_message_that_is_missing_or_out_of_order_is_noticed(
    numbers: list[int], told: str
) -> None:
    letters = Letters("bulk")
    for number in numbers:
        letters.on_message([number, NORMAL, 0.0], 1)
    assert not letters.all_came()
    letters.on_message([2, OVER, 0.0], 1)
    with pytest.raises(BenchmarkFailed, match=told):
        letters.all_came()
