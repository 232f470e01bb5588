"""The raw limits that rates and round trips of tagmesh are measured against.

Method: per run two fresh processes for each line, over loopback with mutual TLS 1.3, nothing of
tagmesh in them (`benchmarks.raw`). Every benchmark of a rate calls the functions here for its
ceiling beside each of its own runs, so that both see the same machine.

- ``one-way``: lists of messages encoded, framed in 64 KiB, written to pyOpenSSL on a blocking
  socket, and the same way back, for `SECONDS`. Two kinds of messages: byte strings, which cost
  msgpack next to nothing (the limit of TLS and copying), and small dicts, as modules send them;
- ``ping-pong``: one message of 100 B there and back, gevent under it on both sides; the median of
  `ROUNDS` round trips, and how many there were per second;
- ``sync``: records of 200 B (key and value), encoded one by one and hashed with SHA-256 at both
  ends, in chunks of 32 KiB with a CRC-32, decoded into a dict whose values stay packed.

The CPU time per message is that of the receiving process, which has more to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from . import pair
from .processes import temporary_folder
from .report import BenchmarkFailed, Figure

SECONDS = 1.0
ROUNDS = 5_000
RECORDS = 300_000
PING_BYTES = 100
RECORD_BYTES = 200
KINDS: Mapping[tuple[str, int], str] = {
    ("bytes", 100): "100 B, byte strings",
    ("dict", 100): "100 B, dicts",
    ("bytes", 1024): "1 KiB, byte strings",
    ("dict", 1024): "1 KiB, dicts",
}
"""(kind, size) of the messages measured, and what they are called."""


class Rate(NamedTuple):
    """Of one run: messages or records per second, and CPU time per one at the receiver."""

    per_s: float
    cpu_s: float


class Trips(NamedTuple):
    """Of one run: the median round trip, and how many there were per second."""

    median_s: float
    per_s: float


def one_way(folder: Path, kind: str, size: int, seconds: float = SECONDS) -> Rate:
    """Messages of one kind; ``folder`` of `pair.keys`."""
    told, _ = pair.run("raw", folder, what="messages", kind=kind, size=size, seconds=seconds)
    return Rate(told["messages"] / told["seconds"], told["cpu_s"] / told["messages"])


def ping_pong(folder: Path, rounds: int = ROUNDS, size: int = PING_BYTES) -> Trips:
    """One message at a time; ``folder`` of `pair.keys`."""
    _, told = pair.run("raw", folder, what="ping", rounds=rounds, size=size)
    return Trips(told["median_s"], told["per_s"])


def sync(folder: Path, records: int = RECORDS, size: int = RECORD_BYTES) -> Rate:
    """Records, verified; ``folder`` of `pair.keys`."""
    taken, given = pair.run("raw", folder, what="records", records=records, size=size)
    if taken["records"] != records or taken["digest"] != given["digest"]:
        raise BenchmarkFailed(f"{taken['records']} of {records} records, or not the same ones")
    return Rate(records / taken["seconds"], taken["cpu_s"] / records)


def measure(runs: int, seconds: float = SECONDS, records: int = RECORDS) -> list[Figure]:
    """Figures of ``runs`` runs of each."""
    rates: dict[str, list[Rate]] = {}
    trips: list[Trips] = []
    with temporary_folder() as folder:
        pair.keys(folder)
        for _ in range(runs):
            for (kind, size), name in KINDS.items():
                rates.setdefault(f"one-way, {name}", []).append(
                    one_way(folder, kind, size, seconds)
                )
            trips.append(ping_pong(folder))
            rates.setdefault("sync, records of 200 B", []).append(sync(folder, records))
    return [
        *(f for name, values in rates.items() for f in rate_figures(name, values)),
        Figure("ping-pong, 100 B: median", "µs", [trip.median_s * 1e6 for trip in trips]),
        Figure("ping-pong, 100 B: rate", "k/s", [trip.per_s / 1e3 for trip in trips]),
    ]


def rate_figures(name: str, rates: list[Rate]) -> list[Figure]:
    """The rate and the CPU time of the receiver."""
    return [
        Figure(name, "k/s", [rate.per_s / 1e3 for rate in rates], more_is_better=True),
        Figure(f"{name}: CPU of the receiver", "µs", [rate.cpu_s * 1e6 for rate in rates]),
    ]
