"""What a reader that is too slow costs everybody else: nothing, for a minute (B13, P12).

Method: three fresh node processes over loopback with mutual TLS. A thread of the writer gives
messages of `BULK_BYTES` to the slow reader as fast as they are accepted; that reader's handler
sleeps `PAUSE_S` per message, so what may wait waits all the time and the writer is told `Busy`.
Beside it another thread sends `LETTERS_PER_S` small messages a second, which carry the instant at
which they were sent: to the third node by the same capability, and to the slow reader by another
one, on the very connection that the bulk has filled. Pings go every 250 ms. Before the bulk begins
all else goes on alone for a quarter of the time: that is what is normal.

A run fails when a link changes, when nobody is told `Busy`, when more waits than may, or when a
message that was accepted does not arrive, each in its order. Memory is the peak of the writer's
process during the bulk less what it held before.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tagmesh import Capability, Node
from tagmesh.protocol.contract import Outcome

from .members import Members, tell, until, wait_for_release
from .memory import MIB, begin_peak, held_bytes, memory_bytes
from .processes import temporary_folder
from .report import BenchmarkFailed, Figure, quantile

WRITER, SLOW, OTHER = 1, 2, 3
BULK, LETTERS = "bulk", "letters"
"""Capabilities; the third node has only the first."""
SECONDS = 60.0
BULK_BYTES = 1024
PAUSE_S = 0.001
LETTERS_PER_S = 100
SAMPLE_S = 0.02
"""Far less than a ping interval: no round trip goes unseen."""
NORMAL, LOADED, OVER = "normal", "loaded", "over"
PING_BUDGET_MS, MEMORY_BUDGET_MIB, DELAY_RATIO_BUDGET = 50.0, 16.0, 2.0


class Letters(Capability):
    """Counts what comes, and how late it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pause_s = 0.0
        self.count = 0
        self.accepted = -1
        """How many there should be; -1 = not told yet."""
        self.in_order = True
        self.delays_s: dict[str, list[float]] = {NORMAL: [], LOADED: []}

    def on_message(self, message: Any, source: int) -> None:  # noqa: ARG002 - there is one source
        """``[number, phase, instant]``, with padding behind it when it is bulk."""
        number, phase, said, *_ = message
        if phase == OVER:
            self.accepted = number
            return
        self.in_order &= number == self.count
        self.count += 1
        self.delays_s[phase].append(time.monotonic() - said)
        if self.pause_s:
            time.sleep(self.pause_s)

    def all_came(self) -> bool:
        """The last message came; `BenchmarkFailed` when one before it did not, or not in order."""
        if self.accepted < 0:
            return False
        if self.count != self.accepted or not self.in_order:
            which = "in their order" if self.in_order else "in another order"
            raise BenchmarkFailed(f"{self.name}: {self.count} of {self.accepted} came, {which}")
        return True


def read(options: Mapping[str, Any]) -> None:
    """Be a reader of ``names``, with a pause after each of the bulk until it is released."""
    with Node.from_config(options["config"]) as node:
        bulk, *more = [node.cluster(1).register(Letters(name)) for name in options["names"]]
        bulk.pause_s = options["pause_s"]
        tell()
        wait_for_release()
        bulk.pause_s = 0.0
        for letters in (bulk, *more):
            until(letters.all_came, f"all messages of {letters.name} came")
        tell(delays_s=(more or [bulk])[-1].delays_s)


class Letterbox:
    """Messages of one capability to one node."""

    def __init__(self, capability: Capability, node: int) -> None:
        self._capability = capability
        self._node = node
        self.accepted = self.busy = 0

    def put(self, phase: str, *more: Any) -> bool:
        """Send one; False: `Busy`, try again later."""
        words = [self.accepted, phase, time.monotonic(), *more]
        result = self._capability.send(self._node, words)
        if result:
            self.accepted += 1
        elif result.outcome is Outcome.BUSY:
            self.busy += 1
        else:
            raise BenchmarkFailed(f"to node {self._node}: {result}")
        return bool(result)


class Writer:
    """The writer: phases, and what was seen in them."""

    def __init__(self, node: Node, bulk: Letters, letters: Letters) -> None:
        self._node = node
        self.bulk = Letterbox(bulk, SLOW)
        self.others = (Letterbox(letters, SLOW), Letterbox(bulk, OTHER))
        self.trips_s: dict[str, dict[int, list[float]]] = {}
        """Of pings, by phase and node."""

    def phase(self, name: str, seconds: float) -> None:
        """Letters to both nodes, with the bulk beside them when it is time for it."""
        end_s = time.monotonic() + seconds
        with ThreadPoolExecutor() as threads:
            works = [threads.submit(self._write, name, end_s)]
            if name == LOADED:
                works.append(threads.submit(self._fill, end_s))
            self.trips_s[name] = self._watch(end_s)
            for work in works:
                work.result()

    def end(self) -> None:
        """Say how many there were."""
        for box in (self.bulk, *self.others):
            until(partial(box.put, OVER), "there is room for the last message")

    def _write(self, phase: str, end_s: float) -> None:
        for _ in _beats(1 / LETTERS_PER_S, end_s):
            for box in self.others:
                box.put(phase)

    def _fill(self, end_s: float) -> None:
        padding = bytes(BULK_BYTES)
        while time.monotonic() < end_s:
            if not self.bulk.put(LOADED, padding):
                time.sleep(PAUSE_S)

    def _watch(self, end_s: float) -> dict[int, list[float]]:
        trips_s: dict[int, list[float]] = {SLOW: [], OTHER: []}
        for _ in _beats(SAMPLE_S, end_s):
            for peer in self._node.status().clusters[0].peers:
                trips_s[peer.node_id].append(peer.rtt_s or 0.0)
        return trips_s


def _beats(pause_s: float, end_s: float) -> Iterator[None]:
    while time.monotonic() < end_s:
        yield
        time.sleep(pause_s)


def write(options: Mapping[str, Any]) -> None:
    """Be the writer."""
    with Node.from_config(options["config"]) as node:
        bulk, letters = [node.cluster(1).register(Letters(name)) for name in (BULK, LETTERS)]
        until(lambda: _ready(node), "the other nodes have their capabilities")
        writer = Writer(node, bulk, letters)
        began = time.monotonic()
        writer.phase(NORMAL, options["seconds"] / 4)
        held = held_bytes()
        begin_peak()
        writer.phase(LOADED, options["seconds"])
        peak = memory_bytes("VmHWM")
        took = time.monotonic() - began
        steady = all(peer.since_s >= took for peer in node.status().clusters[0].peers)
        tell(
            steady=steady,
            busy=writer.bulk.busy,
            others_busy=sum(box.busy for box in writer.others),
            above_bytes=peak - held,
            trips_s=writer.trips_s,
        )
        wait_for_release()
        writer.end()
        tell()
        wait_for_release()


def _ready(node: Node) -> bool:
    names = {SLOW: {BULK, LETTERS}, OTHER: {BULK}}
    peers = node.status().clusters[0].peers
    return all(p.connected and {c.name for c in p.capabilities} >= names[p.node_id] for p in peers)


ROLES: Mapping[str, Callable[[Mapping[str, Any]], None]] = {"read": read, "write": write}


class Run(NamedTuple):
    """What one run gave: of pings and letters by phase, in seconds, and by node."""

    trips_s: dict[str, dict[str, list[float]]]
    delays_s: dict[int, dict[str, list[float]]]
    above_bytes: int


def measure(runs: int, seconds: float = SECONDS) -> list[Figure]:
    """Figures of ``runs`` runs with so many seconds of bulk in each."""
    with temporary_folder() as folder:
        return _figures([_run(folder / f"{run}", seconds) for run in range(runs)])


def _run(folder: Path, seconds: float) -> Run:
    folder.mkdir()
    with Members(folder, 3) as members:
        members.start(SLOW, "read", names=[BULK, LETTERS], pause_s=PAUSE_S)
        members.start(OTHER, "read", names=[BULK], pause_s=0.0)
        told = members.start(WRITER, "write", seconds=seconds)
        if not told["steady"]:
            raise BenchmarkFailed("a link changed")
        if not told["busy"] or told["others_busy"]:
            whom = "who wrote to nobody slow was" if told["busy"] else "nobody was"
            raise BenchmarkFailed(f"{whom} told Busy")
        members.release(WRITER)
        delays_s = {node: members.release(node)["delays_s"] for node in (SLOW, OTHER)}
    return Run(told["trips_s"], delays_s, told["above_bytes"])


def _figures(runs: Sequence[Run]) -> list[Figure]:
    figures = []
    for node, name in ((SLOW, "the slow reader"), (OTHER, "another node")):
        trips = [{phase: run.trips_s[phase][str(node)] for phase in run.trips_s} for run in runs]
        later = [1e3 * (max(t[LOADED]) - statistics.median(t[NORMAL])) for t in trips]
        what = f"slowest ping of {name} above its normal"
        figures.append(Figure(what, "ms", later, PING_BUDGET_MS))
    for node, name in ((OTHER, "another node"), (SLOW, "the slow reader, another capability")):
        delays = [run.delays_s[node] for run in runs]
        figures.append(
            Figure(
                f"messages to {name}: 99 % come within",
                "ms",
                [1e3 * quantile(d[LOADED], 0.99) for d in delays],
                ceiling=[1e3 * quantile(d[NORMAL], 0.99) for d in delays],
                ratio_budget=DELAY_RATIO_BUDGET,
            )
        )
    above = [run.above_bytes / MIB for run in runs]
    figures.append(Figure("writer's memory above what it held", "MiB", above, MEMORY_BUDGET_MIB))
    return figures
