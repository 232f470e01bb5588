"""Requests and replies through the public API: one at a time, and 64 under way.

Method: per run two fresh node processes over loopback with mutual TLS, and beside it the bare
ping-pong of gevent and pyOpenSSL (`benchmarks.ceiling`). Both nodes run in the hub of a gevent
application (``start(inline=True)``), as the bare one does. One greenlet asks and waits, `ROUNDS`
times; then `IN_FLIGHT` requests are kept under way, each reply begins the next one. The other node
answers with what it got, in its hub.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gevent
import gevent.event

from tagmesh import Node

from . import ceiling, pair
from .members import FIRST, SECOND, Members, tell
from .processes import TIMEOUT_S, temporary_folder
from .report import BenchmarkFailed, Figure

ROUNDS = 5_000
WARM_UP = 500
IN_FLIGHT = 64
MANY = 100_000
PAYLOAD = bytes(98)
MEDIAN_RATIO, RATE_RATIO = 1.5, 15.0


def answer(options: Mapping[str, Any]) -> None:
    """Be the node that answers, until the process is killed."""
    node = Node.from_config(options["config"])
    node.start(inline=True)
    node.cluster(1).on_request(lambda payload, _source: payload, inline=True)
    tell(ready=True)
    gevent.sleep(TIMEOUT_S)


def ask(options: Mapping[str, Any]) -> None:
    """Be the node that asks."""
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
        trips = [_trip(cluster) for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
        tell(median_s=statistics.median(trips), per_s=_flood(cluster))
    node.stop()


def _trip(cluster: Any) -> float:
    begin = time.perf_counter()
    cluster.request(FIRST, PAYLOAD)
    return time.perf_counter() - begin


def _flood(cluster: Any) -> float:
    """Replies per second with `IN_FLIGHT` requests under way."""
    over = gevent.event.Event()
    left, done = MANY, 0
    request = cluster.requests.request

    def replied(reply: Any) -> None:
        nonlocal left, done
        assert reply.result() == PAYLOAD
        done += 1
        if left:
            left -= 1
            request(FIRST, PAYLOAD).add_done_callback(replied)
        elif done == MANY:
            over.set()

    begin = time.perf_counter()
    for _ in range(IN_FLIGHT):
        left -= 1
        request(FIRST, PAYLOAD).add_done_callback(replied)
    over.wait()
    return MANY / (time.perf_counter() - begin)


ROLES: Mapping[str, Callable[[Mapping[str, Any]], None]] = {"answer": answer, "ask": ask}


def measure(runs: int) -> list[Figure]:
    """Figures of ``runs`` runs."""
    bare, ours = [], []
    with temporary_folder() as folder:
        pair.keys(folder)
        for run in range(runs):
            bare.append(ceiling.ping_pong(folder, ROUNDS))
            ours.append(_trips(folder / f"{run}"))
    return [
        Figure(
            "request and reply, one in flight: median",
            "µs",
            [trips.median_s * 1e6 for trips in ours],
            ceiling=[trips.median_s * 1e6 for trips in bare],
            ratio_budget=MEDIAN_RATIO,
        ),
        Figure(
            f"request and reply, {IN_FLIGHT} in flight",
            "k/s",
            [trips.per_s / 1e3 for trips in ours],
            more_is_better=True,
            ceiling=[trips.per_s / 1e3 for trips in bare],
            ratio_budget=RATE_RATIO,
        ),
    ]


def _trips(folder: Path) -> ceiling.Trips:
    folder.mkdir()
    with Members(folder) as members:
        members.start(FIRST, "answer")
        members.start(SECOND, "ask")
        told = members.read(SECOND)
    return ceiling.Trips(told["median_s"], told["per_s"])
