"""A node elsewhere, at a prompt: over its management interface and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tagmesh.control.client import MiClient, MiError, NoAnswer
from tagmesh.control.connected import ConnectedNode, Watch
from tests.actors.leftovers import until
from tests.control.fake_node import FakeNode, event, served


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
def connected(node: FakeNode) -> Iterator[ConnectedNode]:
    with served(node) as url:
        yield ConnectedNode(MiClient(url))


def test_what_can_be_seen_and_done(connected: ConnectedNode, node: FakeNode) -> None:
    assert connected.node_id == 1
    assert "seen from node 1" in repr(connected)
    assert "vip1" in repr(connected.tags())
    assert "reached directly" in repr(connected.link(2))
    assert connected.mi("tagmesh_tag_release", "vip1/1") == "OK"
    assert connected.mi("which", command="version") == [[]]
    with pytest.raises(MiError, match="Method not found"):
        connected.mi("nothing")


def test_nobody_is_there() -> None:
    with pytest.raises(NoAnswer):
        ConnectedNode(MiClient("http://127.0.0.1:1"))


def test_events_are_told_once_as_they_come(node: FakeNode) -> None:
    said: list[str] = []
    node.records = [event(1)]
    with served(node) as url:
        connected = ConnectedNode(MiClient(url))
        with Watch(connected, said.append):
            node.records.append(event(2, cause="no pong\x1b for 2 s"))
            until(lambda: len(said) == 1)
            node.broken = RuntimeError("a moment")
            until(lambda: len(said) == 2 or node.broken is None)
            node.broken = None
            node.records.append(event(3))
            until(lambda: any("2 s" in line and "x1b" not in line for line in said))
    assert said[0].startswith("node 1 ")
    assert "node_down cluster 1 node 3: no pong\\x1b for 2 s" in said[0]
    assert "tagmesh-watch" not in {thread.name for thread in threading.enumerate()}
