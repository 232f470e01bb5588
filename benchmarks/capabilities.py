"""What replicated maps and requests cost by themselves: CPU time in their own code, and memory.

Method: a map or a pair of requesters on ports that do nothing, so what the node and its links cost
comes on top. `RECORDS` records of about 200 bytes; each figure is the CPU time of a pass over all
of them, by record, and the best of `PASSES` passes is the run's value: on a shared machine the
others measure the neighbours.

- ``put``: a new key, told to two nodes; ``put again``: a key that is there;
- ``take``: records of a sync that are new here; ``take again``: those that are here already;
- ``list section``: what a donor reads; ``digest``: adding one record to a section's digest, of
  which the SHA-256 alone is the line below;
- ``fetch``: reading a value, ``on_batch``: records of another node that are new here;
- ``request``: one side's request, the other side's handler in the hub, the reply;
- ``memory``: of a fresh process that takes `MEMORY_RECORDS` records of 200 bytes, by record.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from tagmesh.capabilities.records import Head, pack_key, pack_record, pack_value
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tagmesh.capabilities.requests import Requests
from tagmesh.protocol.contract import Outcome, Result
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.messages import CapState
from tagmesh.protocol.sync_pieces import sum_of
from tagmesh.protocol.tag_words import Epoch, TagStanding

from .idle import memory_kib
from .report import Figure

RECORDS = 10_000
PASSES = 30
MEMORY_RECORDS = 1_000_000
VALUE = {"ip": "10.0.0.7", "port": 5060, "state": "confirmed", "blob": "y" * 110}
ONE, TWO = NodeId(1), NodeId(2)


class NoPort:
    """A port to two nodes that take everything at once."""

    cluster_id = ClusterId(1)

    def __init__(self, node: NodeId = ONE) -> None:
        self.node_id = node
        self._sent = Result(Outcome.SENT, (TWO,))
        self._all = {TWO: self._sent, NodeId(3): self._sent}
        self.sent: list[Any] = []

    def send(self, _node: int, message: Any, _timeout: float = 0.0) -> Result:
        self.sent.append(message)
        return self._sent

    def send_many(self, _node: int, messages: Iterable[Any], _timeout: float = 0.0) -> Result:
        self.sent.extend(messages)
        return self._sent

    def broadcast(self, _message: Any, _timeout: float = 0.0) -> dict[NodeId, Result]:
        return self._all

    def request_sync(self, **_wanted: Any) -> None:
        """Never asked."""

    def state(self) -> CapState:
        return CapState.OK

    def tag(self, name: str) -> TagStanding:
        return TagStanding(tag=name)

    def judge(self, _source: NodeId, _tag: str, _epoch: Epoch, _records: int = 1) -> bool:
        return True

    def refused(self, *_words: Any) -> None:
        """Never called."""

    def changed(self) -> None:
        """Nobody looks."""

    def call(self, function: Callable[[], None]) -> None:
        function()

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def call_later(self, _delay_s: float, _function: Callable[[], None]) -> None:
        """Time does not pass."""


def measure(
    runs: int, records: int = RECORDS, memory_records: int = MEMORY_RECORDS
) -> list[Figure]:
    """Figures of ``runs`` runs."""
    values = [_run(records) for _ in range(runs)]
    figures = [
        Figure(name, "µs", [run[name] for run in values], budget)
        for name, budget in BUDGETS_US.items()
    ]
    memory = [_memory_in_a_fresh_process(memory_records) for _ in range(runs)]
    return [*figures, Figure("memory of a record of 200 B", "B", memory, 500.0)]


BUDGETS_US: dict[str, float | None] = {
    "put": 1 / 0.3,
    "put again": None,
    "fetch": None,
    "on_batch": None,
    "take": 1 / 0.6,
    "take again": None,
    "list section": 1.0,
    "digest": 0.4,
    "SHA-256 alone": None,
    "request": 6.0,
}


def registered() -> ReplicatedMap:
    """A map that may be written to."""
    some = ReplicatedMap("users")
    some.port = NoPort()
    return some


def items(count: int, value: object = VALUE) -> Iterator[bytes]:
    """Packed records of another node."""
    for number in range(count):
        key = pack_key(f"user-{number:07d}")
        yield pack_record(Head(key, "", None, 1 + number, TWO, 0, False), pack_value(value))


def _run(records: int) -> dict[str, float]:
    """Microseconds per record."""
    packed = list(items(records))
    raw = [msgspec.Raw(item) for item in packed]
    full = registered()
    keys = [f"user-{number:07d}" for number in range(records)]
    _put(full, keys)
    passes: dict[str, Callable[[], Callable[[], object]]] = {
        "put": lambda: _on(registered(), lambda some: _put(some, keys)),
        "put again": lambda: lambda: _put(full, keys),
        "fetch": lambda: lambda: [full.fetch(key) for key in keys],
        "on_batch": lambda: _on(registered(), lambda some: _in_batches(some, packed)),
        "take": lambda: _on(registered(), lambda some: _in_chunks(some, raw)),
        "take again": lambda: lambda: _in_chunks(full, raw),
        "list section": lambda: lambda: [full.section_items("", n) for n in range(256)],
        "digest": lambda: lambda: [sum_of(packed[n : n + 64]) for n in range(0, records, 64)],
        "SHA-256 alone": lambda: lambda: [hashlib.sha256(item).digest() for item in packed],
        "request": lambda: lambda: _ask(records),
    }
    return {name: _best_us(prepare, records) for name, prepare in passes.items()}


def _best_us(prepare: Callable[[], Callable[[], object]], records: int) -> float:
    best = float("inf")
    for _ in range(PASSES):
        work = prepare()
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best / records * 1e6


def _on(some: ReplicatedMap, work: Callable[[ReplicatedMap], object]) -> Callable[[], object]:
    return lambda: work(some)


def _put(some: ReplicatedMap, keys: Sequence[str]) -> None:
    for key in keys:
        some.put(key, VALUE)
    some.sections([])  # what is not hashed yet is hashed now


def _in_batches(some: ReplicatedMap, packed: Sequence[bytes]) -> None:
    for start in range(0, len(packed), 128):  # 32 KiB
        some.on_batch(packed[start : start + 128], TWO)
    some.sections([])


def _in_chunks(some: ReplicatedMap, raw: Sequence[msgspec.Raw]) -> None:
    for start in range(0, len(raw), 128):
        some.take_items("", raw[start : start + 128])
    some.sections([])


def _ask(count: int) -> None:
    """Requests 64 at a time, so that both sides work on batches."""
    asking, answering = Requests(), Requests()
    here, there = NoPort(ONE), NoPort(TWO)
    asking.port, answering.port = here, there
    answering.on_request(lambda payload, _source: payload, inline=True)
    for _ in range(0, count, 64):
        replies = [asking.request(2, b"check user 42") for _ in range(64)]
        answering.on_batch(here.sent, ONE)
        asking.on_batch(there.sent, TWO)
        here.sent.clear()
        there.sent.clear()
        for reply in replies:
            reply.result()


def memory_b(count: int) -> float:
    """Bytes of private memory per record, the value being 200 bytes."""
    some = registered()
    before = memory_kib(os.getpid(), "Anonymous")
    for number in range(0, count, 1000):
        portion = range(number, min(number + 1000, count))
        _put_two_hundred(some, portion)
    return (memory_kib(os.getpid(), "Anonymous") - before) * 1024 / count


def _put_two_hundred(some: ReplicatedMap, numbers: Iterable[int]) -> None:
    for number in numbers:
        some.put(f"user-{number:07d}", b"%0200d" % number)


def _memory_in_a_fresh_process(count: int) -> float:
    code = f"from benchmarks.capabilities import memory_b; print(memory_b({count}))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=300
    )
    return float(done.stdout)
