"""Real processes, real TLS: a joiner receives 100,000 records while writes go on (issue of B6).

The donor is killed, the link is cut, the joiner restarts: in the end all nodes have the same
records, by digest.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tagmesh.control.workspace import Workspace

RECORDS = 100_000
UPDATES_PER_S = 1_000
FIRST, SECOND, JOINER = 1, 2, 3
PATIENCE_S = 90.0


class Nodes:
    """Up to three processes of `sync_node`."""

    def __init__(self, folder: Path) -> None:
        # one chunk at a time, so that there is a middle of the sync to strike at
        settings: dict[str, str | int] = {"seed_fallback_interval": "500ms", "sync_window": 1}
        self._space = Workspace(folder, 3, admin=False, timing=settings)
        self._running: dict[int, subprocess.Popen[str]] = {}

    def start(self, node: int) -> None:
        config = str(self._space.config(node))
        self._running[node] = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.sync_node", config],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read(node)

    def ask(self, node: int, do: str, **words: Any) -> dict[str, Any]:
        stdin = self._running[node].stdin
        assert stdin is not None
        stdin.write(json.dumps({"do": do, **words}) + "\n")
        stdin.flush()
        return self._read(node)

    def _read(self, node: int) -> dict[str, Any]:
        stdout = self._running[node].stdout
        assert stdout is not None
        line = stdout.readline()
        assert line, f"node {node} ended with {self._running[node].wait(10)}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def kill(self, node: int) -> None:
        process = self._running.pop(node)
        process.kill()
        process.communicate()

    def end(self) -> None:
        for node in list(self._running):
            self.kill(node)

    def until(self, node: int, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a state of the node."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition(state := self.ask(node, "state")):
            assert time.monotonic() < deadline, f"node {node}: {state}"
            time.sleep(0.002)
        return state


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
