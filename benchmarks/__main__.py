"""``python -m benchmarks``: measure, print tables, and write JSON when asked."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from . import (
    capabilities,
    ceiling,
    detection,
    failover,
    idle,
    imports,
    latency,
    simulation,
    slow_reader,
    startup,
    sync,
    throughput,
    transport,
)
from .report import BenchmarkFailed, Figure, as_json, machine, table

RUNS = 5
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 130, 143

BENCHMARKS: Mapping[str, Callable[[int], list[Figure]]] = {
    "imports": imports.measure,
    "startup": startup.measure,
    "detection": detection.measure,
    "failover": failover.measure,
    "idle": idle.measure,
    "simulation": simulation.measure,
    "ceiling": ceiling.measure,
    "transport": transport.measure,
    "throughput": throughput.measure,
    "latency": latency.measure,
    "sync": sync.measure,
    "slow_reader": slow_reader.measure,
    "capabilities": capabilities.measure,
}
"""A new benchmark is one line here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 also when a budget is missed: that is a figure, not an error."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))  # so that all is undone
    about = machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    results: dict[str, Sequence[Figure]] = {}
    failed = False
    for name in options.names or BENCHMARKS:
        print(f"\n{name}, {options.runs} runs", flush=True)
        try:
            results[name] = BENCHMARKS[name](options.runs)
        except BenchmarkFailed as error:
            failed = True
            print(f"FAILED: {error}", file=sys.stderr)
        else:
            print(table(results[name]), flush=True)
    if options.json is not None:
        text = json.dumps(as_json(about, results), indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")
    return EXIT_FAILED if failed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the budgets of tagmesh. What each figure means: docs/topics/"
        "performance.md, and the docstring of benchmarks/NAME.py.",
    )
    known = ", ".join(BENCHMARKS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{known}; all by default")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"values per figure ({RUNS})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {known}")
    if options.runs < 1:
        parser.error(f"--runs is 1 or more, not {options.runs}")
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
