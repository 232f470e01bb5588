"""Processes that fight for one tag in one database: ``python -m tests.storage.tag_race``.

``claims``: each claims the tag again and again, having seen what it was last told. No number may be
given twice (P4). ``leases``: each takes the lease when it can, and holds it by its own clock until
its call's start plus ttl. The processes are on one host, so their monotonic clocks are one, and the
times they held the tag for must not overlap.

Without a URL: ``FULL_TRIES`` claims and some leases, on SQLite and each server of this machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tagmesh.protocol.config import ProvisioningSettings
from tagmesh.protocol.errors import StorageUnavailable
from tagmesh.protocol.identity import BinsUrl, ClusterId, Incarnation, NodeId, NodeRecord
from tagmesh.protocol.tag_words import Owner
from tagmesh.storage import Provisioning, SqlTagStore
from tests.servers import MariaDbServer, PostgresServer

PROCESSES = 8
FULL_TRIES = 10_000
FULL_LEASES = 400
TTL_S = 0.05
CLUSTER, TAG = ClusterId(1), "vip1"


def claims(url: str, node: int, tries: int) -> dict[str, Any]:
    """The numbers this process was given, and how many tries had no answer."""
    store, me = SqlTagStore(_settings(url)), Owner(NodeId(node), Incarnation(1))
    given, unknown, seen = [], 0, 0
    for _ in range(tries):
        try:
            answer = store.claim(CLUSTER, TAG, me, seen=seen)
        except StorageUnavailable:  # SQLite has no queue for its lock: somebody may never get it
            unknown += 1
            continue
        assert answer.row is not None
        seen = answer.row.number
        if answer.done:
            given.append(seen)
    store.close()
    return {"given": given, "unknown": unknown}


def leases(url: str, node: int, tries: int) -> dict[str, Any]:
    """When this process held the tag: (from, until) on the host's monotonic clock, s."""
    store, me = SqlTagStore(_settings(url)), Owner(NodeId(node), Incarnation(1))
    held, seen = [], 0
    for _ in range(tries):
        begun_s = time.monotonic()
        try:
            answer = store.acquire(CLUSTER, TAG, me, seen=seen, ttl_s=TTL_S)
        except StorageUnavailable:
            continue
        assert answer.row is not None
        seen = answer.row.number
        if answer.done:
            held.append((time.monotonic(), begun_s + TTL_S))
        else:
            time.sleep(answer.row.left_s)
    store.close()
    return {"held": held}


RACES = {"claims": claims, "leases": leases}


def race(kind: str, url: str, tries: int) -> list[dict[str, Any]]:
    """What each of `PROCESSES` processes reports. The table must be there."""
    context = multiprocessing.get_context("fork")  # this program has one thread
    gate = context.Event()
    runners = []
    for node in range(1, PROCESSES + 1):
        mine, theirs = context.Pipe(duplex=False)

        def run(node: int = node, theirs: Connection = theirs) -> None:
            gate.wait()
            theirs.send(RACES[kind](url, node, tries // PROCESSES))

        process = context.Process(target=run)
        process.start()
        theirs.close()  # so that the end of the process is the end of what it sends
        runners.append((process, mine))
    gate.set()
    reports = [mine.recv() for _, mine in runners]
    for process, _ in runners:
        process.join()
    return reports


def judge_claims(reports: list[dict[str, Any]], last: int) -> str:
    """One line about a race; an assertion fails when a number was given twice or lost."""
    given = sorted(itertools.chain.from_iterable(report["given"] for report in reports))
    unknown = sum(report["unknown"] for report in reports)
    assert len(set(given)) == len(given), "a number was given twice"
    assert set(given) <= set(range(1, last + 1))
    assert last - len(given) <= unknown, "a number was given to nobody"
    return f"{len(given)} numbers given, {unknown} tries without an answer"


def judge_leases(reports: list[dict[str, Any]]) -> str:
    """One line about a race; an assertion fails when two held the tag at one instant."""
    held = [(begin, end) for report in reports for begin, end in report["held"] if begin < end]
    held.sort()
    for (_, end), (begin, _) in itertools.pairwise(held):
        assert end <= begin, f"two owners for {(end - begin) * 1000:.3f} ms"
    owners = sum(bool(report["held"]) for report in reports)
    return f"held {len(held)} times by {owners} processes"


def _settings(url: str) -> ProvisioningSettings:
    return ProvisioningSettings(url=url, query_timeout_s=5.0)


def _full(url: str) -> None:
    provisioning = Provisioning(_settings(url))
    provisioning.init()
    for node in range(1, PROCESSES + 1):
        url_of = BinsUrl("127.0.0.1", 5000 + node)
        provisioning.add(NodeRecord(cluster_id=CLUSTER, node_id=NodeId(node), url=url_of))
    provisioning.close()
    store = SqlTagStore(_settings(url))
    for kind, tries in (("claims", FULL_TRIES), ("leases", FULL_LEASES)):
        begun_s = time.monotonic()
        reports = race(kind, url, tries)
        row = store.read(CLUSTER, TAG)
        assert row is not None
        said = judge_claims(reports, row.number) if kind == "claims" else judge_leases(reports)
        took_s = time.monotonic() - begun_s
        print(f"{store.name}: {tries} {kind} in {took_s:.1f} s: {said}", flush=True)
        if kind == "claims":  # else nobody may take it
            assert row.owner is not None
            store.release(CLUSTER, TAG, row.owner, number=row.number)
    store.close()


@contextmanager
def _databases() -> Iterator[Iterator[str]]:
    with tempfile.TemporaryDirectory() as folder:

        def urls() -> Iterator[str]:
            yield f"sqlite:///{Path(folder, 'nodes.db')}"
            for kind in (PostgresServer, MariaDbServer):
                binaries = kind.binaries()
                if binaries is None:
                    print(f"no {kind.name} on this machine", file=sys.stderr)
                    continue
                server = kind(binaries)
                try:
                    server.create()
                    server.start()
                    yield server.url
                finally:
                    server.remove()

        yield urls()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--kind", choices=RACES, default="claims")
    parser.add_argument("--tries", type=int, default=FULL_TRIES)
    options = parser.parse_args()
    if options.url is not None:
        print(json.dumps(race(options.kind, options.url, options.tries)))
        return
    with _databases() as urls:
        for url in urls:
            _full(url)


if __name__ == "__main__":
    main()
