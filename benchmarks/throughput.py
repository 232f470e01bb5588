"""One-way messages through the public API: from `Capability.send` to `Capability.on_message`.

Method: per run two fresh node processes over loopback with mutual TLS, and just before them the
ceiling of the same kind of message (`benchmarks.ceiling`), for each way of sending. An application
thread of the sender calls ``send`` per message ("one by one") or ``send_many`` per hundred of them
("by the hundred"), waiting for room when as much waits as may; the receiver's ``on_message`` is
called per message, in the capability's worker thread, and counts. The rate is that of the receiver,
from the first message to the last; every message must have come. CPU is that of the whole process,
by message.

Each node is kept on a core of its own, with all its threads: only one of them has the interpreter
at a time, and where two cores are all there are, a thread that is woken on the other one waits
until that wakes up. The ceiling's processes have one thread each and stay where the system puts
them: kept on a core they are as fast on a quiet machine and much slower beside other work.

The budget is that of messages which are objects, dicts here: the ceiling makes them from the bytes,
too. Byte strings cost msgpack next to nothing, so their ceiling is that of TLS alone, and what a
call of a Python function per message costs is most of what is measured beside it: no budget.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tagmesh import Capability, Node
from tagmesh.protocol.contract import Result

from . import ceiling, pair
from .members import FIRST, SECOND, Members, tell, until, wait_for_release
from .processes import temporary_folder
from .raw import VALUES
from .report import BenchmarkFailed, Figure

MESSAGES: Mapping[tuple[str, int], int] = {
    ("dict", 100): 600_000,
    ("bytes", 100): 1_000_000,
    ("dict", 1024): 200_000,
    ("bytes", 1024): 300_000,
}
"""(kind, size) of the messages measured, and how many are sent."""
WAYS: Mapping[str, int] = {"one by one": 1, "by the hundred": 100}
"""How many are given to one call."""
RATIO_BUDGETS: Mapping[str, float] = {"dict": 0.5}
"""Of the kinds that have one."""
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
    pair.pin(0)
    with Node.from_config(options["config"]) as node:
        counting = node.cluster(1).register(Counting())
        counting.expected = options["messages"]
        tell(ready=True)
        until(lambda: counting.last_at > 0, "all messages came")
        tell(seconds=counting.last_at - counting.first_at, cpu_s=counting.cpu_s)
        wait_for_release()


def give(options: Mapping[str, Any]) -> None:
    """Be the sender."""
    pair.pin(1)
    different = VALUES[options["kind"]](options["size"], DIFFERENT)
    rounds, at_once = options["messages"] // DIFFERENT, options["at_once"]
    portions = [different[n : n + at_once] for n in range(0, DIFFERENT, at_once)]
    with Node.from_config(options["config"]) as node:
        counting = node.cluster(1).register(Counting())
        until(lambda: _reached(node), "the other node has the capability")
        tell(ready=True)
        wait_for_release()
        began_s = time.process_time()
        for _ in range(rounds):
            if at_once == 1:
                _all_sent(counting.send, different)
            else:
                _all_sent(counting.send_many, portions)
        tell()
        wait_for_release()
        tell(cpu_s=time.process_time() - began_s)


def _all_sent(send: Callable[[int, Any, float], Result], what: Sequence[Any]) -> None:
    for one in what:
        if not send(FIRST, one, PATIENCE_S):
            raise BenchmarkFailed("a message was not accepted")


def _reached(node: Node) -> bool:
    return any(
        v.node_id == FIRST and v.accepted for v in node.cluster(1).explain_donor("benchmark")
    )


ROLES: Mapping[str, Callable[[Mapping[str, Any]], None]] = {"take": take, "give": give}


class Taken(NamedTuple):
    """Of one run: messages per second, and CPU time per one at each end."""

    per_s: float
    receiver_s: float
    sender_s: float


def measure(
    runs: int, messages: Mapping[tuple[str, int], int] = MESSAGES, seconds: float = ceiling.SECONDS
) -> list[Figure]:
    """Figures of ``runs`` runs of each kind of message, sent in each way."""
    figures = []
    with temporary_folder() as folder:
        pair.keys(folder)
        for what, count in messages.items():
            limits: dict[str, list[float]] = {way: [] for way in WAYS}
            taken: dict[str, list[Taken]] = {way: [] for way in WAYS}
            for _ in range(runs):
                for way, at_once in WAYS.items():
                    limits[way].append(ceiling.one_way(folder, *what, seconds).per_s / 1e3)
                    taken[way].append(_rate(folder, *what, count, at_once))
            for way, runs_of_it in taken.items():
                name = f"{ceiling.KINDS[what]}, {way}"
                figures += _figures(name, runs_of_it, limits[way], RATIO_BUDGETS.get(what[0]))
    return figures


def _figures(
    name: str, runs: Sequence[Taken], limits: Sequence[float], budget: float | None
) -> list[Figure]:
    rates = [run.per_s / 1e3 for run in runs]
    receiver, sender = [run.receiver_s * 1e6 for run in runs], [run.sender_s * 1e6 for run in runs]
    return [
        Figure(name, "k/s", rates, more_is_better=True, ceiling=limits, ratio_budget=budget),
        Figure(f"{name}: CPU of the receiver", "µs", receiver),
        Figure(f"{name}: CPU of the sender", "µs", sender),
    ]


def _rate(folder: Path, kind: str, size: int, messages: int, at_once: int) -> Taken:
    place = folder / f"{kind}-{size}-{at_once}"
    place.mkdir()
    with Members(place) as members:
        members.start(FIRST, "take", messages=messages)
        what = {"kind": kind, "size": size, "messages": messages, "at_once": at_once}
        members.start(SECOND, "give", **what)
        members.release(SECOND)
        took = members.read(FIRST)
        gave = members.release(SECOND)
    shutil.rmtree(place)
    return Taken(messages / took["seconds"], took["cpu_s"] / messages, gave["cpu_s"] / messages)
