"""Benchmarks of rates: raw limits, the transport beside them, ratios. How fast is no test."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

from benchmarks import ceiling, latency, pair, raw, report, throughput, transport
from benchmarks.report import OVER, UNDER, WITHIN, WORST_OVER, WORST_UNDER, BenchmarkFailed, Figure


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary folders of benchmarks are made here; one kind of messages is enough."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ceiling, "KINDS", {("dict", 100): "100 B, dicts"})
    return tmp_path


def test_ceiling(folder: Path) -> None:
    figures = ceiling.measure(1, seconds=0.05, records=1_000)
    assert len(figures) == 2 + 2 + 2
    assert len({figure.name for figure in figures}) == len(figures)
    assert all(figure.median > 0 for figure in figures)
    assert list(folder.iterdir()) == []


def test_transport(folder: Path) -> None:
    figures = transport.measure(1, seconds=0.1)
    assert all(figure.median > 0 for figure in figures)
    assert [(figure.unit, bool(figure.ratio)) for figure in figures] == [
        ("k/s", True),
        ("µs", True),
        ("ms", False),
        ("ms", False),
    ]
    assert list(folder.iterdir()) == []


def test_throughput(folder: Path) -> None:
    """Every message is sent and counted, in both ways."""
    figures = throughput.measure(1, {("dict", 100): 20_000}, 0.05)
    names = [f"100 B, dicts, {way}" for way in ("one by one", "by the hundred")]
    ends = ["", ": CPU of the receiver", ": CPU of the sender"]
    assert [figure.name for figure in figures] == [name + end for name in names for end in ends]
    assert all(figure.median > 0 for figure in figures)
    assert [figure.ratio_budget for figure in figures if figure.ratio] == [0.5, 0.5]
    assert list(folder.iterdir()) == []


def test_latency(folder: Path) -> None:
    """Requests and the bare ping-pong, in turn."""
    one, many = latency.measure(1, rounds=2, trips=20, many=200)
    assert (one.unit, one.ratio_budget, many.ratio_budget) == ("µs", 1.5, 15.0)
    assert all(figure.median > 0 for figure in (one, many))
    assert one.ratio
    assert many.ratio
    assert list(folder.iterdir()) == []


def test_the_round_with_the_median_ratio_stands_for_the_run() -> None:
    rounds = [latency.Round(3.0, 1.0), latency.Round(8.0, 4.0), latency.Round(9.0, 1.0)]
    assert latency._middle(rounds) == (3.0, 1.0)
    assert latency._middle(rounds[:2]) == (8.0, 4.0)


def test_ends_are_kept_on_cores_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[set[int]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: kept.append(cores))
    for cores in ({3, 5}, {7}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: cores)
        pair.pin(0)
        pair.pin(1)
    assert kept == [{3}, {5}, {7}, {7}]


@pytest.mark.parametrize(("kind", "size"), ceiling.KINDS)
def test_messages_have_the_size_they_are_called_by(kind: str, size: int) -> None:
    values = raw.VALUES[kind](size, 200)
    assert len(values) == 200
    assert len({str(value) for value in values}) == 200
    assert len(raw.encoder.encode(values)) == pytest.approx(200 * size, abs=10)


def test_an_end_that_fails_is_told_with_its_last_words(folder: Path) -> None:
    with pytest.raises(
        BenchmarkFailed, match=r"(?s)listener of raw ended with status 1: .*'nonsense'"
    ):
        pair.run("raw", pair.keys(folder), what="nonsense")


def test_records_that_do_not_arrive_are_a_failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"records": 9, "seconds": 1.0, "cpu_s": 1.0, "digest": "1"}
    monkeypatch.setattr(pair, "run", lambda *_, **__: (told, {"digest": "1"}))
    with pytest.raises(BenchmarkFailed, match="9 of 10 records"):
        ceiling.sync(folder, 10)
    told["records"], told["digest"] = 10, "2"
    with pytest.raises(BenchmarkFailed, match="not the same"):
        ceiling.sync(folder, 10)


def rate(*values: float, **more: float) -> Figure:
    return Figure(
        "rate",
        "k/s",
        values,
        budget=more.get("budget"),
        more_is_better=True,
        ceiling=[100.0] * len(values),
        ratio_budget=more.get("ratio"),
    )


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (rate(40.0, 50.0, 60.0), ""),
        (rate(50.0, 55.0, 60.0, ratio=0.5), WITHIN),
        (rate(40.0, 55.0, 60.0, ratio=0.5), WORST_UNDER),
        (rate(40.0, 45.0, 60.0, ratio=0.5), UNDER),
        (rate(50.0, 55.0, 60.0, ratio=0.5, budget=70.0), UNDER),
        (rate(50.0, 55.0, 60.0, ratio=0.6, budget=10.0), UNDER),
        (Figure("trip", "µs", [3.0, 3.0], ceiling=[2.0, 2.0], ratio_budget=1.5), WITHIN),
        (Figure("trip", "µs", [3.0, 3.0], ceiling=[2.0, 2.0], ratio_budget=1.4), OVER),
        (
            Figure("trip", "µs", [2.0, 2.0, 9.0], ceiling=[2.0, 2.0, 2.0], ratio_budget=1.5),
            WORST_OVER,
        ),
    ],
)
def test_verdicts_about_ratios(figure: Figure, verdict: str) -> None:
    assert figure.verdict == verdict


def test_ratios_are_shown_and_written() -> None:
    figures = [rate(40.0, 45.0, 60.0, ratio=0.5), Figure("free", "s", [1.0])]
    head, line, free = report.table(figures).splitlines()
    assert head.split()[-4:] == ["budget", "of", "ceiling", "budget"]
    assert line.split()[-6:] == ["0.45", "×", "≥", "0.50", "×", UNDER]
    assert free.split() == ["free", "[s]", "1.000", "1.000", "1.000", "0.000"]
    told = json.loads(json.dumps(report.as_json({}, {"rates": figures})))["benchmarks"]["rates"]
    assert told[0]["ratio"] == 0.45
    assert told[0]["ceiling"] == [100.0, 100.0, 100.0]
    assert told[0]["ratio_budget"] == 0.5
    assert told[1]["ratio"] is None
