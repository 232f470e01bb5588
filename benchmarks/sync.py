"""A sync of a million records of 200 B between two nodes, through the public API.

Method: per run two fresh node processes over loopback with mutual TLS, and beside it the ceiling
(`benchmarks.ceiling.sync`). One node writes the records into a replicated map; then the other one
starts. The rate is that of the joiner's own report, from the request to the verified end; both
digests must be equal. Memory above the data: the peak of the process during the sync, less what
it holds before (donor) or after (joiner). Pings go every 250 ms; the slowest round trip that either
end saw during the sync counts. ``python -m benchmarks.sync`` shows one run with a progress bar.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tagmesh import Node
from tagmesh.capabilities.replicated_map import ReplicatedMap

from . import ceiling, pair
from .members import FIRST, SECOND, Members, tell, until, wait_for_release
from .memory import MIB, begin_peak, held_bytes, memory_bytes
from .processes import temporary_folder
from .report import BenchmarkFailed, Figure

NAME = "records"
RECORDS = 1_000_000
VALUE = bytes(160)  # with its key, version and headers a record of about 200 B
RATIO_BUDGET, MEMORY_BUDGET_MIB, PING_BUDGET_MS = 0.4, 64.0, 50.0
SAMPLE_S = 0.05
"""A fifth of the ping interval: a look at the status costs both ends something."""
BAR = 40


class Watch:
    """Samples the round trips of a node's links and the memory of this process."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._running = True
        self.slowest_ping_s = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True)
        begin_peak()
        self._thread.start()

    def stop(self) -> None:
        self._running = False
        self._thread.join()

    def _work(self) -> None:
        while self._running:
            peers = [p for c in self._node.status().clusters for p in c.peers]
            self.slowest_ping_s = max([self.slowest_ping_s, *(p.rtt_s or 0.0 for p in peers)])
            time.sleep(SAMPLE_S)


def digest(records: ReplicatedMap) -> str:
    """Of the whole content."""
    return hashlib.sha256(msgspec.json.encode(records.sections(()))).hexdigest()


def give(options: Mapping[str, Any]) -> None:
    """Be the donor."""
    with Node.from_config(options["config"]) as node:
        records = node.cluster(1).register(ReplicatedMap(NAME))
        until(lambda: _state(node) == "ok", "the first node is OK")
        for number in range(options["records"]):
            records.put(number, VALUE)
        before = held_bytes()
        watch = Watch(node)
        tell(digest=digest(records))
        wait_for_release()
        watch.stop()
        above = memory_bytes("VmHWM") - before
        tell(above_bytes=above, slowest_ping_s=watch.slowest_ping_s)


def take(options: Mapping[str, Any]) -> None:
    """Be the joiner."""
    with Node.from_config(options["config"]) as node:
        watch = Watch(node)
        records = node.cluster(1).register(ReplicatedMap(NAME))
        while _state(node) != "ok":
            if options["bar"]:
                _show(node)
            time.sleep(0.05)
        peak = memory_bytes("VmHWM")
        watch.stop()
        report = node.cluster(1).status(NAME).last_report
        assert report is not None, "it is OK after a sync"
        tell(
            digest=digest(records),
            items=report.items,
            seconds=report.seconds,
            above_bytes=peak - held_bytes(),
            slowest_ping_s=watch.slowest_ping_s,
        )


def _state(node: Node) -> str:
    return node.cluster(1).status(NAME).state


def _show(node: Node) -> None:
    progress = node.cluster(1).status(NAME).progress
    if progress is None or not progress.total:
        return
    share = min(progress.done / progress.total, 1.0)
    bar = "#" * round(share * BAR)
    rate = progress.done / progress.seconds / 1e3 if progress.seconds else 0.0
    sys.stderr.write(
        f"\r[{bar:<{BAR}}] {share:4.0%} {progress.done:>9,} of {progress.total:,} {rate:5.0f} k/s"
    )
    sys.stderr.flush()


ROLES: Mapping[str, Callable[[Mapping[str, Any]], None]] = {"donor": give, "joiner": take}


def measure(runs: int, records: int = RECORDS, *, bar: bool = False) -> list[Figure]:
    """Figures of ``runs`` runs."""
    limits, told = [], []
    with temporary_folder() as folder:
        pair.keys(folder)
        for run in range(runs):
            limits.append(ceiling.sync(folder))
            told.append(_sync(folder / f"{run}", records, bar=bar))
    name = f"sync of {records:,} records of 200 B"
    donor_mib = [donor["above_bytes"] / MIB for donor, _ in told]
    joiner_mib = [joiner["above_bytes"] / MIB for _, joiner in told]
    pings = [1e3 * max(a["slowest_ping_s"], b["slowest_ping_s"]) for a, b in told]
    return [
        Figure(
            name,
            "k/s",
            [joiner["items"] / joiner["seconds"] / 1e3 for _, joiner in told],
            more_is_better=True,
            ceiling=[limit.per_s / 1e3 for limit in limits],
            ratio_budget=RATIO_BUDGET,
        ),
        Figure(f"{name}: donor's memory above the data", "MiB", donor_mib, MEMORY_BUDGET_MIB),
        Figure(f"{name}: joiner's memory above the data", "MiB", joiner_mib, MEMORY_BUDGET_MIB),
        Figure(f"{name}: slowest ping", "ms", pings, PING_BUDGET_MS),
    ]


def _sync(folder: Path, records: int, *, bar: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    folder.mkdir()
    with Members(folder) as members:
        had = members.start(FIRST, "donor", records=records)
        joiner = members.start(SECOND, "joiner", bar=bar)
        donor = members.release(FIRST)
    if joiner["items"] != records or joiner["digest"] != had["digest"]:
        raise BenchmarkFailed(f"{joiner['items']} of {records} records, or not the same ones")
    return donor, joiner


def main() -> None:
    """One run, with a progress bar."""
    from .report import table

    figures = measure(1, bar=True)
    sys.stderr.write("\n")
    print(table(figures))


if __name__ == "__main__":
    main()
