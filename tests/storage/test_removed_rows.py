"""A removed node's row goes and its tombstone stays, in one transaction (X-1, X-5, X-6)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tagmesh.protocol.errors import Misuse, StorageUnavailable, Unknown
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.removal_messages import Removal
from tagmesh.protocol.tombstones import Stone
from tagmesh.storage import WasRemoved

if TYPE_CHECKING:
    from .conftest import Storage

ONE, ME, GONE = ClusterId(1), NodeId(1), NodeId(2)
DAY_MS = 24 * 3600 * 1000


def stone(node: int = GONE, removed_ms: int = 1000, by: str = "an operator") -> Stone:
    return ONE, Removal(node, removed_ms, 7, by)


def removals(storage: Storage) -> tuple[Stone, ...]:
    with storage.roster() as roster:
        return roster.load(ME).removals


def test_a_node_removes_another_and_all_read_who_did_it(storage: Storage) -> None:
    storage.init(storage.node(1), storage.node(2))
    with storage.roster() as roster:
        assert roster.note_removal(stone())
        snapshot = roster.load(ME)
    assert [r.node_id for r in snapshot.records] == [1]
    assert snapshot.removals == (stone(),)


def test_the_removed_node_reads_who_did_it(storage: Storage) -> None:
    """Also when nobody tells it any more (X-4)."""
    storage.init(storage.node(1), storage.node(2))
    with storage.roster() as roster:
        roster.note_removal(stone())
        with pytest.raises(WasRemoved, match=r"no row .*from cluster 1 by an operator") as caught:
            roster.load(GONE)
    assert caught.value.removals == (stone(),)


def test_a_node_removed_from_one_of_its_clusters_reads_who_did_it(storage: Storage) -> None:
    storage.init(storage.node(1), storage.node(2), storage.node(2, cluster=2))
    with storage.roster() as roster:
        roster.note_removal(stone())
        snapshot = roster.load(GONE)
    assert [r.cluster_id for r in snapshot.records] == [2]
    assert snapshot.removals == (stone(),)


def test_a_second_removal_is_none_and_changes_nothing(storage: Storage) -> None:
    storage.init(storage.node(1), storage.node(2))
    with storage.roster() as roster:
        roster.note_removal(stone())
        assert not roster.note_removal(stone(removed_ms=2000))
    assert removals(storage) == (stone(),)


def test_a_node_that_never_was_there_is_unknown(storage: Storage) -> None:
    storage.init(storage.node(1), storage.node(2))
    with storage.roster() as roster, pytest.raises(Unknown, match=r"no node 9 .*db list"):
        roster.note_removal(stone(9))
    assert removals(storage) == ()


def test_an_administrator_removes_and_provisions_again(storage: Storage) -> None:
    storage.init(storage.node(1), storage.node(2))
    with storage.provisioning() as provisioning:
        assert provisioning.remove(ONE, GONE, "tagmesh db rm")
        assert not provisioning.remove(ONE, GONE)
        ((_, removal),) = removals(storage)
        assert (removal.node_id, removal.by) == (GONE, "tagmesh db rm")
        assert abs(removal.removed_ms / 1000 - time.time()) < 60
        provisioning.add(storage.node(2))
    assert removals(storage) == ()


def test_a_row_that_is_refused_leaves_the_tombstone(storage: Storage) -> None:
    storage.init(storage.node(1), storage.node(2))
    storage.run("CREATE UNIQUE INDEX one_per_host ON clusterer (url)")
    with storage.provisioning() as provisioning:
        provisioning.remove(ONE, GONE)
        with pytest.raises(Misuse, match="or the table refuses it"):
            provisioning.add(storage.node(2, url=storage.node(1).url))
    assert len(removals(storage)) == 1


def test_tombstones_whose_time_is_over_go_with_the_next_removal(storage: Storage) -> None:
    storage.init(storage.node(1), storage.node(2), storage.node(3))
    with storage.roster() as roster:
        roster.note_removal(stone(removed_ms=1000))
        roster.note_removal(stone(3, removed_ms=1001 + DAY_MS))
    assert removals(storage) == (stone(3, removed_ms=1001 + DAY_MS),)


def test_a_database_without_the_table_removes_and_keeps_no_word(storage: Storage) -> None:
    storage.init(storage.node(1), storage.node(2))
    storage.run("DROP TABLE cluster_tombstone")
    with storage.roster() as roster:
        assert roster.note_removal(stone())
        assert [r.node_id for r in roster.load(ME).records] == [1]
        with pytest.raises(Unknown):
            roster.note_removal(stone())


def test_a_row_that_nobody_of_ours_wrote_is_left_out(storage: Storage) -> None:
    storage.init(storage.node(1))
    row = "INSERT INTO cluster_tombstone (cluster_id, node_id, incarnation, removed_ms, by_whom)"
    storage.run(f"{row} VALUES (1, 2, -1, 5, 'x')")
    assert removals(storage) == ()


def test_when_the_tombstone_cannot_be_written_the_row_stays(storage: Storage) -> None:
    storage.init(storage.node(1), storage.node(2))
    storage.run("DROP TABLE cluster_tombstone")
    storage.run("CREATE TABLE cluster_tombstone (cluster_id INTEGER, node_id INTEGER)")
    with storage.roster() as roster, pytest.raises(StorageUnavailable):
        roster.note_removal(stone())
    with storage.provisioning() as provisioning:
        assert [r.node_id for r in provisioning.rows().records] == [1, 2]
