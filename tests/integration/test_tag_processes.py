"""Real processes, real TLS, real databases: who has a tag by a lease is killed, or stands still.

Each of three nodes has a writer that makes 500 updates a second under the tag, while it has it.
Every attempt is logged with its epoch by a clock that all processes share.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from tagmesh.control.workspace import Workspace
from tests.integration.tag_node import NAME, TAG, UPDATES_PER_S
from tests.integration.told_nodes import ToldNodes
from tests.servers import DatabaseServer, MariaDbServer, PostgresServer

TTL_S = 2.0
LEASE = {
    "ttl": f"{TTL_S:g}s",
    "renew": "400ms",
    "retry": "300ms",
    "safety": "300ms",
    "rank_delay": "100ms",
}
NODES = (1, 2, 3)
WORKS_S = 1.5
"""The writer has been at work for so long when something happens."""
VERIFY_S = 2.0
"""So often stores are compared: what was written last before the owner was struck was not told."""
EQUAL_S = 20.0
"""After so long all stores are equal."""
DEAF_S = 0.3
"""What goes on after a pause hears nothing for so long."""


class Write(NamedTuple):
    """One line of a log."""

    began: float
    ended: float
    number: int
    """Of the epoch; 0 = refused, -1 = the tag came or went."""
    node: int


@contextmanager
def cluster(folder: Path, server: DatabaseServer) -> Iterator[ToldNodes]:
    """Three nodes, all linked and synchronised, one with the tag."""
    server.empty()
    space = Workspace(folder, len(NODES), admin=False, leases={TAG: LEASE}, database=server.url)
    for node in NODES:
        with space.config(node).open("a") as config:
            config.write(f'[capability."{NAME}"]\nverify_interval = "{VERIFY_S:g}s"\n')
    nodes = ToldNodes(space, "tests.integration.tag_node")
    try:
        for node in NODES:
            nodes.start(node)
        for node in NODES:
            nodes.until(node, lambda s: s["state"] == "ok" and s["peers"] == len(NODES) - 1)
        nodes.until(1, lambda s: s["holder"] is not None)
        time.sleep(WORKS_S)
        yield nodes
    finally:
        nodes.end()


def owner_of(nodes: ToldNodes, *among: int) -> int:
    (owner,) = [node for node in among or NODES if nodes.ask(node, "state")["active"]]
    return owner


def writes(nodes: ToldNodes) -> list[Write]:
    """Of all nodes, sorted by when they began."""
    found = []
    for node in NODES:
        log = nodes.space.config(node).with_name("writes")
        for line in log.read_text().splitlines():
            began, ended, number = line.split()
            found.append(Write(float(began), float(ended), int(number), node))
    return sorted(found)


def accepted(log: list[Write]) -> list[Write]:
    """Those that were made; never under two owners at once, and epochs only rise."""
    made = [write for write in log if write.number > 0]
    for one, other in pairwise(made):
        assert one.number <= other.number, (one, other)
        assert one.node == other.node or one.ended < other.began, (one, other)
    owners = {(write.number, write.node) for write in made}
    assert len(owners) == len({number for number, _ in owners}), owners
    return made


def gap_s(log: list[Write], since: float, *, without: int) -> float:
    """How long nobody could write after that moment, at which ``without`` was struck."""
    return min(w.began for w in accepted(log) if w.began > since and w.node != without) - since


def settled(nodes: ToldNodes) -> None:
    """The writers rest, and all have the same."""
    for node in NODES:
        nodes.ask(node, "rest")
    deadline = time.monotonic() + EQUAL_S
    while True:
        contents = [nodes.ask(node, "content") for node in NODES]
        if all(content == contents[0] for content in contents):
            break
        assert time.monotonic() < deadline, contents
        time.sleep(0.1)
    assert contents[0]["count"] > 0


def moved(server: DatabaseServer, folder: Path) -> None:
    """The owner is killed under load, and comes back."""
    with cluster(folder, server) as nodes:
        owner = owner_of(nodes)
        others = [node for node in NODES if node != owner]
        struck = time.monotonic()
        nodes.kill(owner)
        time.sleep(TTL_S + 1)
        next_owner = owner_of(nodes, *others)
        log = writes(nodes)
        assert TTL_S / 2 < gap_s(log, struck, without=owner) <= TTL_S + 1
        before = [w for w in accepted(log) if struck - 1 < w.began < struck]
        assert len(before) > UPDATES_PER_S / 2, "there was a load"
        nodes.start(owner)
        nodes.until(owner, lambda s: s["state"] == "ok" and s["holder"] == next_owner)
        settled(nodes)
        accepted(writes(nodes))


@pytest.mark.postgres
def test_the_owner_is_killed_with_postgres(postgres_server: PostgresServer, tmp_path: Path) -> None:
    moved(postgres_server, tmp_path)


@pytest.mark.mariadb
def test_the_owner_is_killed_with_mariadb(mariadb_server: MariaDbServer, tmp_path: Path) -> None:
    moved(mariadb_server, tmp_path)


@pytest.mark.postgres
def test_the_owner_stands_still_for_longer_than_its_lease(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """When it goes on it hears of nobody, neither nodes nor database, and refuses its own writes
    all the same, from the first one on.
    """
    with cluster(tmp_path, postgres_server) as nodes:
        owner = owner_of(nodes)
        others = [node for node in NODES if node != owner]
        struck = time.monotonic()
        nodes.signal(owner, signal.SIGSTOP)
        time.sleep(TTL_S + 1)
        new_owner = owner_of(nodes, *others)
        for node in others:
            nodes.ask(node, "cut", peer=owner)
        postgres_server.freeze()
        goes_on = time.monotonic()
        nodes.signal(owner, signal.SIGCONT)
        time.sleep(DEAF_S)
        heard = time.monotonic()
        postgres_server.thaw()
        for node in others:
            nodes.ask(node, "heal", peer=owner)
        nodes.until(owner, lambda s: s["peers"] == 2 and s["holder"] == new_owner)
        log = writes(nodes)
        assert gap_s(log, struck, without=owner) <= TTL_S + 1
        alone = [w for w in log if w.node == owner and goes_on <= w.began < heard]
        assert len(alone) > UPDATES_PER_S * DEAF_S / 10
        assert not any(w.number > 0 for w in log if w.node == owner and w.ended > goes_on)
        settled(nodes)
        accepted(writes(nodes))
