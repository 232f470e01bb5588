"""Each benchmark runs once and gives figures. How large they are is no test: machines differ."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from benchmarks import __main__ as command
from benchmarks import capabilities, detection, failover, idle, imports, startup
from benchmarks.processes import Nodes
from benchmarks.report import OVER, WITHIN, WORST_OVER, BenchmarkFailed, Figure, table
from tagmesh.protocol.lease_words import LeaseSettings

ROOT = Path(__file__).parents[1]
QUICK = detection.Profile("quick", 0.2, 0.05)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary folders of benchmarks are made in ``tmp_path``."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def check(figures: Sequence[Figure], runs: int = 1) -> None:
    assert figures
    assert len({figure.name for figure in figures}) == len(figures)
    for figure in figures:
        assert len(figure.values) == runs
        assert 0 < min(figure.values) <= figure.median <= max(figure.values) < 1e6, figure
        assert figure.name in table(figures)


def test_startup(tmp_path: Path) -> None:
    figures = startup.measure(1)
    check(figures)
    assert [f.budget for f in figures] == [None, None, 1.5]
    assert list(tmp_path.iterdir()) == []


def test_detection(tmp_path: Path) -> None:
    figures = detection.measure(1, [QUICK])
    check(figures)
    assert [f.budget for f in figures] == [0.2, 1.0, pytest.approx(0.2 + 4 * 0.05)]
    killed, _, stopped = figures
    assert stopped.median > QUICK.ping_timeout_s, "silence is noticed by missing pongs only"
    assert killed.name != stopped.name
    assert list(tmp_path.iterdir()) == []


def test_failover(tmp_path: Path) -> None:
    lease = LeaseSettings(ttl_s=1.0, renew_s=0.2, retry_s=0.2, safety_s=0.2, rank_delay_s=0.05)
    figures = failover.measure(1, lease)
    check(figures)
    assert [f.budget for f in figures] == [2.0]
    assert figures[0].median > 0.5, "the lease of who was killed is waited for"
    assert list(tmp_path.iterdir()) == []


def test_idle(tmp_path: Path) -> None:
    figures = idle.measure(1, links=2, window_s=1.1, settle_s=0.2)
    cpu = [figure for figure in figures if figure.unit == "%"]
    per_link = [figure for figure in figures if "per link" in figure.name]
    rest = [figure for figure in figures if figure not in (*cpu, *per_link)]
    check([cpu[0], *rest])
    assert len(cpu) == 4
    assert all(0 <= figure.median < 100 for figure in cpu)  # a node alone may sleep throughout
    assert [figure.budget for figure in per_link] == [100.0, 100.0, 100.0]
    # two links are fewer than what Python's allocator may differ by from process to process
    assert all(len(figure.values) == 1 for figure in per_link)
    assert list(tmp_path.iterdir()) == []


def test_capabilities() -> None:
    figures = capabilities.measure(1, records=500, memory_records=20_000)
    check(figures)
    by_name = {figure.name: figure for figure in figures}
    assert by_name["digest"].budget == 0.4
    assert by_name["memory of a record of 200 B"].median > 200, "the data itself"


class Restless:
    """In place of `Nodes`: this process, with links that always changed a moment ago."""

    space = types.SimpleNamespace(ids=(1, 2))

    def pid(self, _node: int) -> int:
        return os.getpid()

    def wait_links(self, _pairs: object, _state: str) -> float:
        return time.monotonic()

    def fail(self, what: str) -> BenchmarkFailed:
        return BenchmarkFailed(what)


def test_a_window_that_was_not_idle_does_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    clusters = [cast("Nodes", Restless())]
    with pytest.raises(BenchmarkFailed, match=f"in each of {idle.MAX_WINDOWS} windows"):
        idle._window(clusters, clusters, window_s=0.001, settle_s=0)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == idle.MAX_WINDOWS
    assert "was not idle" in said[0]


def test_cpu_and_memory_are_those_of_the_process() -> None:
    before = idle.cpu_s(os.getpid())
    sum(range(1_000_000))
    own = sum(os.times()[:2])
    assert before < idle.cpu_s(os.getpid())
    assert idle.cpu_s(os.getpid()) == pytest.approx(own, abs=0.1)
    memory = idle.memory_kib(os.getpid(), "Anonymous")
    with mmap.mmap(-1, 8 * 1024**2, flags=mmap.MAP_PRIVATE) as ballast:  # malloc may have some left
        for page in range(0, len(ballast), mmap.PAGESIZE):
            ballast[page] = 1
        grown = idle.memory_kib(os.getpid(), "Anonymous") - memory
        assert grown == pytest.approx(8192, rel=0.5)
    with pytest.raises(BenchmarkFailed, match="no line 'Nonsense'"):
        idle.memory_kib(os.getpid(), "Nonsense")


def test_imports_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    file = tmp_path / "figures.json"
    try:
        assert command.main(["imports", "--runs", "2", "--json", str(file)]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    told = json.loads(file.read_text())
    assert told["machine"]["cores"] >= 1
    (figures,) = told["benchmarks"].values()
    assert {"python -c pass", "import tagmesh", "tagmesh ctl status"} <= {
        f["name"] for f in figures
    }
    for figure in figures:
        assert figure["min"] <= figure["median"] <= figure["max"]
        assert figure["spread"] == pytest.approx(figure["max"] - figure["min"])
        assert len(figure["values"]) == 2
        assert figure["name"] in capsys.readouterr().out or figure is not figures[0]


def test_a_missed_budget_is_said_and_is_no_failure() -> None:
    slow = Figure("slow", "s", [0.1, 0.3, 0.4], 0.2)
    unlucky = Figure("unlucky", "s", [0.1, 0.1, 0.4], 0.2)
    fine = Figure("fine", "s", [0.1, 0.2, 0.1], 0.2)
    free = Figure("free", "s", [9.0])
    assert [f.verdict for f in (slow, unlucky, fine, free)] == [OVER, WORST_OVER, WITHIN, ""]
    head, *lines = table([slow, unlucky, fine, free]).splitlines()
    assert head.split() == ["median", "min", "max", "spread", "budget"]
    assert lines[0].split() == [
        "slow",
        "[s]",
        "0.300",
        "0.100",
        "0.400",
        "0.300",
        "≤",
        "0.200",
        OVER,
    ]
    assert [line.endswith(WORST_OVER) for line in lines] == [False, True, False, False]


def test_a_benchmark_that_fails_is_an_error_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_runs: int) -> list[Figure]:
        raise BenchmarkFailed("node 1 ended with status 1")

    def slow(runs: int) -> list[Figure]:
        return [Figure("slow", "s", [2.0] * runs, 1.0)]

    monkeypatch.setattr(command, "BENCHMARKS", {"broken": broken, "slow": slow})
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert command.main([]) == command.EXIT_FAILED
        captured = capsys.readouterr()
        assert "FAILED: node 1 ended with status 1" in captured.err
        assert "slow [s]" in captured.out
        assert OVER in captured.out
        assert command.main(["slow"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["imprts"], "no benchmark imprts; there are imports"), (["--runs", "0"], "1 or more")],
)
def test_wrong_arguments(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == command.EXIT_USAGE
    assert says in capsys.readouterr().err


def test_imports_reports_a_command_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "_TAGMESH", (sys.executable, "-c", "raise SystemExit('oh')"))
    with pytest.raises(BenchmarkFailed, match="status 1: oh"):
        imports.measure(1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_it_is_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "detection"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    children: list[int] = []
    try:
        while len(children) < detection.NODES:
            assert process.poll() is None
            listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            children = [int(child) for child in listed.split()]
        assert list(tmp_path.iterdir()) != []
        process.send_signal(number)
        assert process.wait(20) == 128 + number
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert list(tmp_path.iterdir()) == []
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []
