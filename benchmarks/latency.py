"""Requests and replies through the public API: one at a time, and 64 under way.

Method: per run two fresh node processes over loopback with mutual TLS, and beside them the bare
ping-pong of gevent and pyOpenSSL (`benchmarks.ceiling`), both there all the time. They are measured
in turn, in `ROUNDS` short rounds each, so that both see the same machine; and of both, the end that
asks is kept on one core and the end that answers on another (`pair.pin`), so that neither is lucky
with the core it gets. Of a run, the round whose ratio is the median counts.

Both nodes run in the hub of a gevent application (``start(inline=True)``), as the bare one does.
One greenlet asks and waits, `TRIPS` times in each round; then `IN_FLIGHT` requests are kept under
way, each reply begins the next one. The other node answers with what it got, in its hub.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gevent
import gevent.event

from tagmesh import Node

from . import ceiling, pair
from .members import FIRST, SECOND, Members, tell
from .processes import TIMEOUT_S, temporary_folder
from .raw import timed
from .report import BenchmarkFailed, Figure

ROUNDS = 20
TRIPS = 250
"""In one round."""
IN_FLIGHT = 64
MANY = 5_000
"""Requests of one round with that many under way."""
PAYLOAD = bytes(98)
MEDIAN_RATIO, RATE_RATIO = 1.5, 15.0


def answer(options: Mapping[str, Any]) -> None:
    """Be the node that answers, until the process is killed."""
    pair.pin(0)
    node = Node.from_config(options["config"])
    node.start(inline=True)
    node.cluster(1).on_request(lambda payload, _source: payload, inline=True)
    tell(ready=True)
    gevent.sleep(TIMEOUT_S)


def ask(options: Mapping[str, Any]) -> None:
    """Be the node that asks: a round for each `Members.release`."""
    pair.pin(1)
    node = Node.from_config(options["config"])
    node.start(inline=True)
    cluster = node.cluster(1)
    with gevent.Timeout(TIMEOUT_S, BenchmarkFailed("no answer")):
        while True:
            try:
                cluster.request(FIRST, PAYLOAD)
                break
            except Exception:  # noqa: BLE001 - until the other node is there
                gevent.sleep(0.02)
        tell(ready=True)
        while _released():
            trips = timed(lambda: cluster.request(FIRST, PAYLOAD), options["trips"])
            tell(median_s=trips["median_s"], many_per_s=_flood(cluster, options["many"]))
    node.stop()


def _released() -> bool:
    """`wait_for_release`, while the hub goes on."""
    return bool(gevent.get_hub().threadpool.apply(sys.stdin.readline))


def _flood(cluster: Any, many: int) -> float:
    """Replies per second with `IN_FLIGHT` requests under way."""
    over = gevent.event.Event()
    left, done = many, 0
    request = cluster.requests.request

    def replied(reply: Any) -> None:
        nonlocal left, done
        assert reply.result() == PAYLOAD
        done += 1
        if left:
            left -= 1
            request(FIRST, PAYLOAD).add_done_callback(replied)
        elif done == many:
            over.set()

    begin = time.perf_counter()
    for _ in range(IN_FLIGHT):
        left -= 1
        request(FIRST, PAYLOAD).add_done_callback(replied)
    over.wait()
    return many / (time.perf_counter() - begin)


ROLES: Mapping[str, Callable[[Mapping[str, Any]], None]] = {"answer": answer, "ask": ask}


class Round(NamedTuple):
    """What one round gave, and the bare ping-pong beside it."""

    ours: float
    bare: float

    @property
    def ratio(self) -> float:
        return self.ours / self.bare


def measure(runs: int, rounds: int = ROUNDS, trips: int = TRIPS, many: int = MANY) -> list[Figure]:
    """Figures of ``runs`` runs."""
    medians, rates = [], []
    with temporary_folder() as folder:
        pair.keys(folder)
        for run in range(runs):
            measured = list(_rounds(folder, folder / f"{run}", rounds, trips, many))
            medians.append(_middle([median for median, _ in measured]))
            rates.append(_middle([rate for _, rate in measured]))
    return [
        Figure(
            "request and reply, one in flight: median",
            "µs",
            [median.ours * 1e6 for median in medians],
            ceiling=[median.bare * 1e6 for median in medians],
            ratio_budget=MEDIAN_RATIO,
        ),
        Figure(
            f"request and reply, {IN_FLIGHT} in flight",
            "k/s",
            [rate.ours / 1e3 for rate in rates],
            more_is_better=True,
            ceiling=[rate.bare / 1e3 for rate in rates],
            ratio_budget=RATE_RATIO,
        ),
    ]


def _rounds(
    keys: Path, folder: Path, rounds: int, trips: int, many: int
) -> Iterator[tuple[Round, Round]]:
    """Of each round the median round trips, and the rates."""
    folder.mkdir()
    with ceiling.PingPong(keys, rounds, trips) as bare, Members(folder) as members:
        members.start(FIRST, "answer")
        members.start(SECOND, "ask", trips=trips, many=many)
        for _ in range(rounds):
            beside = bare.round()
            told = members.release(SECOND)
            yield (
                Round(told["median_s"], beside.median_s),
                Round(told["many_per_s"], beside.per_s),
            )


def _middle(rounds: Sequence[Round]) -> Round:
    """The one with the median ratio, the lower one of two."""
    return sorted(rounds, key=lambda one: one.ratio)[(len(rounds) - 1) // 2]
