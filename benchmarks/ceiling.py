"""The raw limits that rates and round trips of tagmesh are measured against.

Method: per run two fresh processes for each line, over loopback with mutual TLS 1.3, nothing of
tagmesh in them (`benchmarks.raw`). Every benchmark of a rate calls the functions here for its
ceiling beside each of its own runs, so that both see the same machine.

- ``one-way``: lists of messages encoded, framed in 64 KiB, written to pyOpenSSL on a blocking
  socket, and the same way back, for `SECONDS`. Two kinds of messages: byte strings, which cost
  msgpack next to nothing (the limit of TLS and copying), and small dicts, as modules send them;
- ``ping-pong``: one message of 100 B there and back, gevent under it on both sides; the median of
  `TRIPS` round trips, each end kept on a core of its own, and how many there were per second;
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
TRIPS = 5_000
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
    """Of one run or round: the median round trip, and how many there were per second."""

    median_s: float
    per_s: float


def one_way(folder: Path, kind: str, size: int, seconds: float = SECONDS) -> Rate:
    """Messages of one kind; ``folder`` of `pair.keys`."""
    told, _ = pair.run("raw", folder, what="messages", kind=kind, size=size, seconds=seconds)
    return Rate(told["messages"] / told["seconds"], told["cpu_s"] / told["messages"])


class PingPong:
    """One message at a time, each end on a core of its own (`pair.pin`): a context manager, so that
    rounds can be measured in turn with something else."""

    def __init__(self, folder: Path, rounds: int, trips: int, size: int = PING_BYTES) -> None:
        """``trips`` round trips in each of ``rounds`` rounds; ``folder`` of `pair.keys`."""
        options = {"what": "ping", "rounds": rounds, "trips": trips, "size": size}
        self._ends = pair.Ends("raw", folder, options)

    def __enter__(self) -> PingPong:
        self._ends.__enter__()
        self._ends.begin()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ends.__exit__(*exc_info)

    def round(self) -> Trips:
        """The next one."""
        told = self._ends.release(pair.DIALLER)
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
            with PingPong(folder, 1, TRIPS) as bare:
                trips.append(bare.round())
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
