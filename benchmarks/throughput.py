"""One-way messages through the public API: from `Capability.send` to `Capability.on_message`.

Method: per run two fresh node processes over loopback with mutual TLS, and beside it the ceiling of
the same kind of message (`benchmarks.ceiling`). An application thread of the sender calls ``send``
per message, waiting for room when as much waits as may; the receiver's ``on_message`` is called per
message, in the capability's worker thread, and counts. The rate is that of the receiver, from the
first message to the last; every message must have come, in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tagmesh import Capability, Node

from . import ceiling, pair
from .members import FIRST, SECOND, Members, tell, until, wait_for_release
from .processes import temporary_folder
from .raw import VALUES
from .report import BenchmarkFailed, Figure

MESSAGES: Mapping[tuple[str, int], int] = {
    ("bytes", 100): 600_000,
    ("dict", 100): 400_000,
    ("bytes", 1024): 200_000,
}
"""(kind, size) of the messages measured, and how many are sent."""
RATIO_BUDGET = 0.5
PATIENCE_S = 30.0
DIFFERENT = 1000


class Counting(Capability):
    """Counts messages and checks that none is missing."""

    name = "benchmark"

    def __init__(self) -> None:
        self.count = 0
        self.first_at = self.last_at = 0.0
        self.cpu_s = 0.0
        self.expected = 0

    def on_message(self, message: Any, source: int) -> None:  # noqa: ARG002 - there is one source
        if not self.count:
            self.first_at = time.monotonic()
            self.cpu_s = time.process_time()
        self.count += 1
        if self.count == self.expected:
            self.last_at = time.monotonic()
            self.cpu_s = time.process_time() - self.cpu_s


def take(options: Mapping[str, Any]) -> None:
    """Be the receiver."""
    with Node.from_config(options["config"]) as node:
        counting = node.cluster(1).register(Counting())
        counting.expected = options["messages"]
        tell(ready=True)
        until(lambda: counting.last_at > 0, "all messages came")
        tell(seconds=counting.last_at - counting.first_at, cpu_s=counting.cpu_s)
        wait_for_release()


def give(options: Mapping[str, Any]) -> None:
    """Be the sender."""
    different = VALUES[options["kind"]](options["size"], DIFFERENT)
    rounds = options["messages"] // DIFFERENT
    with Node.from_config(options["config"]) as node:
        send = node.cluster(1).register(Counting()).send
        until(lambda: _reached(node), "the other node has the capability")
        tell(ready=True)
        wait_for_release()
        cpu_s = time.process_time()
        for _ in range(rounds):
            for message in different:
                if not send(FIRST, message, PATIENCE_S):
                    raise BenchmarkFailed("a message was not accepted")
        tell(cpu_s=time.process_time() - cpu_s)
        wait_for_release()


def _reached(node: Node) -> bool:
    return any(
        v.node_id == FIRST and v.accepted for v in node.cluster(1).explain_donor("benchmark")
    )


ROLES: Mapping[str, Callable[[Mapping[str, Any]], None]] = {"take": take, "give": give}


def measure(runs: int) -> list[Figure]:
    """Figures of ``runs`` runs of each kind of message."""
    figures = []
    with temporary_folder() as folder:
        pair.keys(folder)
        for (kind, size), messages in MESSAGES.items():
            limits, rates = [], []
            for run in range(runs):
                limits.append(ceiling.one_way(folder, kind, size))
                rates.append(_rate(folder / f"{kind}-{size}-{run}", kind, size, messages))
            name = ceiling.KINDS[kind, size]
            figures.append(
                Figure(
                    f"one-way, {name}",
                    "k/s",
                    [rate.per_s / 1e3 for rate in rates],
                    more_is_better=True,
                    ceiling=[limit.per_s / 1e3 for limit in limits],
                    ratio_budget=RATIO_BUDGET,
                )
            )
            cpu = [rate.cpu_s * 1e6 for rate in rates]
            figures.append(Figure(f"one-way, {name}: CPU of the receiver", "µs", cpu))
    return figures


def _rate(folder: Path, kind: str, size: int, messages: int) -> ceiling.Rate:
    folder.mkdir()
    with Members(folder) as members:
        members.start(FIRST, "take", messages=messages)
        members.start(SECOND, "give", kind=kind, size=size, messages=messages)
        members.release(SECOND)
        took = members.read(FIRST)
    return ceiling.Rate(messages / took["seconds"], took["cpu_s"] / messages)
