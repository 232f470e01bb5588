"""Removing nodes by command, and taking that back (X-1, X-5, X-6)."""

from __future__ import annotations

import pytest

from tagmesh.control.command import CommandError
from tagmesh.control.commands import COMMANDS
from tagmesh.protocol.errors import Misuse, StorageUnavailable, TimedOut
from tests.control.fake_node import FakeNode

REMOVE, READMIT = COMMANDS["clusterer_remove_node"], COMMANDS["tagmesh_readmit_node"]


def failure(name: str, node: FakeNode, cluster: int, peer: int) -> tuple[int, str, str]:
    with pytest.raises(CommandError) as caught:
        COMMANDS[name].run(node, cluster_id=cluster, node_id=peer)
    return caught.value.code, caught.value.message, caught.value.data


def test_a_second_removal_succeeds_too() -> None:
    node = FakeNode()
    assert REMOVE.run(node, cluster_id=1, node_id=2) == "OK"
    assert REMOVE.run(node, cluster_id=1, node_id=2) == "already removed"
    assert node.removed == {(1, 2)}


def test_a_removal_is_taken_back_once() -> None:
    node = FakeNode()
    REMOVE.run(node, cluster_id=1, node_id=2)
    assert READMIT.run(node, cluster_id=1, node_id=2) == "OK"
    assert READMIT.run(node, cluster_id=1, node_id=2) == "was not removed"
    assert node.removed == set()


def test_what_cannot_be_removed() -> None:
    node = FakeNode()
    code, message, data = failure("clusterer_remove_node", node, 1, 1)
    assert (code, message) == (400, "Bad value for 'node_id'")
    assert "ask another" in data
    assert failure("clusterer_remove_node", node, 1, 9)[:2] == (400, "Bad value for 'node_id'")
    assert failure("clusterer_remove_node", node, 5, 2)[:2] == (404, "Cluster id not found")
    assert node.removed == set()


@pytest.mark.parametrize("error", [StorageUnavailable("it is gone"), TimedOut("it is slow")])
def test_a_storage_that_fails(error: Exception) -> None:
    node = FakeNode()
    node.broken_rows = error
    said = str(error)
    assert failure("clusterer_remove_node", node, 1, 2) == (500, "Failed to remove", said)
    assert failure("tagmesh_readmit_node", node, 1, 2) == (500, "Failed to readmit", said)


def test_nothing_is_taken_back_where_rows_decide() -> None:
    node = FakeNode()
    node.broken_rows = Misuse("the database says who may join")
    assert failure("tagmesh_readmit_node", node, 1, 2)[:2] == (400, "Running in DB mode")
