"""Which records two nodes do not have alike: counted all, listed up to a limit, never kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from tagmesh.protocol.diffing import MAX_LISTED_KEYS, Differences, KeyDiff, NodeDiff, Unlike
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.sync_pieces import Piece

TWO = NodeId(2)
pack = msgspec.msgpack.encode


def record(key: Any, value: int | None) -> bytes:
    """None = deleted."""
    return pack([pack(key), value])


def key_of(item: bytes) -> tuple[bytes, bool]:
    key, value = msgspec.msgpack.decode(item)
    return key, value is None


def piece(bucket: int, *items: bytes, closes: bool = True) -> Piece:
    raw = [msgspec.Raw(item) for item in items]
    return Piece("vip", bucket, raw, (len(items), bytes(16)) if closes else None)


Here = Mapping[int, Sequence[bytes]]


def compared(here: Here, *chunks: Sequence[Piece], limit: int = 100) -> NodeDiff:
    made = Differences(TWO, limit)
    for pieces in chunks:
        made.take(pieces, lambda _tag, bucket: here.get(bucket, []), key_of)
    return made.result()


def counts(found: NodeDiff) -> tuple[int, int, int]:
    return found.missing, found.extra, found.different


def test_missing_extra_and_different_are_told_by_key() -> None:
    here = {7: [record("alice", 1), record("bob", 1), record("same", 1)]}
    found = compared(here, [piece(7, record("bob", 2), record("carol", 1), record("same", 1))])
    assert found == NodeDiff(
        node_id=TWO,
        compared=True,
        missing=1,
        extra=1,
        different=1,
        keys=(
            KeyDiff("bob", Unlike.DIFFERENT),
            KeyDiff("alice", Unlike.MISSING),
            KeyDiff("carol", Unlike.EXTRA),
        ),
    )
    assert not found.alike


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        (1, None, (1, 0, 0)),
        (None, 1, (0, 1, 0)),
        (None, None, (0, 0, 0)),
    ],
)
def test_a_deleted_record_counts_as_none(
    here: int | None, there: int | None, expected: tuple[int, int, int]
) -> None:
    assert counts(compared({1: [record("k", here)]}, [piece(1, record("k", there))])) == expected


def test_a_deletion_that_only_one_remembers_is_no_difference() -> None:
    assert compared({1: [record("k", None)]}, [piece(1)]).alike
    assert compared({}, [piece(1, record("k", None))]).alike


def test_a_section_may_come_in_pieces_of_several_chunks() -> None:
    here = {1: [record(n, n) for n in range(4)], 2: [record("b", 1)]}
    first = [piece(1, record(0, 0), record(1, 1), closes=False)]
    second = [piece(1, record(2, 2), record(3, 9)), piece(2, record("b", 1))]
    found = compared(here, first, second)
    assert (counts(found), found.keys) == ((0, 0, 1), (KeyDiff(3, Unlike.DIFFERENT),))


def test_a_section_that_came_damaged_is_compared_again() -> None:
    here = {1: [record("a", 1)]}
    found = compared(here, [piece(1, record("b", 1))], [piece(1, record("a", 1))])
    assert found.alike
    assert found.keys == ()


def test_all_are_counted_and_as_many_listed_as_were_asked_for() -> None:
    here = {bucket: [record((bucket, n), 1) for n in range(10)] for bucket in (1, 2)}
    found = compared(here, [piece(1), piece(2)], limit=13)
    assert (found.missing, len(found.keys)) == (20, 13)
    assert compared(here, [piece(1), piece(2)], limit=0).keys == ()
    many = {1: [record(n, 1) for n in range(MAX_LISTED_KEYS + 1)]}
    found = compared(many, [piece(1)], limit=MAX_LISTED_KEYS)
    assert (found.missing, len(found.keys)) == (MAX_LISTED_KEYS + 1, MAX_LISTED_KEYS)


def test_nothing_came_all_is_alike_and_a_failure_is_none_of_that() -> None:
    assert compared({1: [record("a", 1)]}).alike
    failed = Differences(TWO).result("busy")
    assert (failed.compared, failed.alike, failed.reason) == (False, False, "busy")


def test_a_key_that_is_not_packed_is_shown_as_it_is() -> None:
    made = Differences(TWO)
    made.take([piece(1)], lambda _tag, _bucket: [b"x"], lambda _item: (b"\xc1", False))
    assert made.result().keys == (KeyDiff(b"\xc1", Unlike.MISSING),)
