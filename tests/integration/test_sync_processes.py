"""Real processes, real TLS: a joiner receives 100,000 records while writes go on (issue of B6).

The donor is killed, the link is cut, the joiner restarts: in the end all nodes have the same
records, by digest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tagmesh.control.workspace import Workspace
from tests.integration.told_nodes import PATIENCE_S, ToldNodes

RECORDS = 100_000
UPDATES_PER_S = 1_000
FIRST, SECOND, JOINER = 1, 2, 3


class Nodes(ToldNodes):
    """Up to three processes of `sync_node`."""

    def __init__(self, folder: Path) -> None:
        # one chunk at a time, so that there is a middle of the sync to strike at
        settings: dict[str, str | int] = {"seed_fallback_interval": "500ms", "sync_window": 1}
        space = Workspace(folder, 3, admin=False, timing=settings)
        super().__init__(space, "tests.integration.sync_node")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    running = Nodes(tmp_path)
    try:
        yield running
    finally:
        running.end()


def loaded(nodes: Nodes) -> None:
    """Two nodes with all records; one of them writes on."""
    nodes.start(FIRST)
    nodes.until(FIRST, lambda s: s["state"] == "OK")
    nodes.ask(FIRST, "load", count=RECORDS)
    nodes.start(SECOND)
    nodes.until(SECOND, lambda s: s["state"] == "OK")
    nodes.ask(SECOND, "update", rate=UPDATES_PER_S, keys=RECORDS)


def joins(nodes: Nodes, share: float) -> dict[str, Any]:
    """Start the joiner and wait until so much of its sync is done."""
    nodes.start(JOINER)
    state = nodes.until(JOINER, lambda s: s["donor"] is not None and s["count"] >= share * RECORDS)
    assert state["state"] == "SYNCING", "the sync was over before it was half done"
    return state


def all_equal(nodes: Nodes, *members: int) -> None:
    """The joiner becomes OK, the writing ends, and everybody has the same."""
    nodes.until(JOINER, lambda s: s["state"] == "OK")
    for node in members:
        nodes.ask(node, "update", rate=0, keys=RECORDS)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        contents = [nodes.ask(node, "content") for node in members]
        if contents[0]["count"] == RECORDS and all(c == contents[0] for c in contents):
            return
        assert time.monotonic() < deadline, contents
        time.sleep(0.1)


def test_a_joiner_receives_everything_while_writes_go_on(nodes: Nodes) -> None:
    loaded(nodes)
    joins(nodes, 0.0)
    all_equal(nodes, FIRST, SECOND, JOINER)


def test_the_donor_is_killed_at_30_percent(nodes: Nodes) -> None:
    loaded(nodes)
    donor = joins(nodes, 0.3)["donor"]
    other = FIRST + SECOND - donor
    nodes.kill(donor)
    nodes.ask(other, "update", rate=UPDATES_PER_S, keys=RECORDS)
    all_equal(nodes, other, JOINER)


def test_the_link_is_cut_for_two_seconds_at_50_percent(nodes: Nodes) -> None:
    loaded(nodes)
    donor = joins(nodes, 0.5)["donor"]
    nodes.ask(JOINER, "cut", peer=donor)
    time.sleep(2)
    nodes.ask(JOINER, "heal", peer=donor)
    all_equal(nodes, FIRST, SECOND, JOINER)


def test_the_joiner_restarts_at_70_percent(nodes: Nodes) -> None:
    loaded(nodes)
    joins(nodes, 0.7)
    nodes.kill(JOINER)
    nodes.start(JOINER)
    all_equal(nodes, FIRST, SECOND, JOINER)
