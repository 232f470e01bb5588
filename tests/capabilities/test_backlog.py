"""What nodes missed: every key once, bounded, none forgotten before it was told."""

from __future__ import annotations

from tagmesh.capabilities.backlog import MAX_MISSED_KEYS, MAX_PORTION_KEYS, Backlog
from tagmesh.capabilities.records import bucket_of, pack_key
from tagmesh.protocol.identity import NodeId

TWO, THREE = NodeId(2), NodeId(3)
MANY = [pack_key(f"user-{number}") for number in range(MAX_MISSED_KEYS + 1)]


def backlog(keys: list[bytes] = MANY) -> Backlog:
    return Backlog(lambda bucket: [key for key in keys if bucket_of(key) == bucket])


def taken(some: Backlog, node: NodeId) -> list[bytes]:
    found = []
    while keys := some.take(node):
        assert len(keys) <= MAX_PORTION_KEYS
        found += keys
    return found


def test_a_key_missed_often_is_told_once_and_only_to_who_missed_it() -> None:
    some = backlog()
    assert some.missed(TWO, [b"a"], 1.0)
    for _ in range(100):
        assert not some.missed(TWO, [b"a", b"b"], 1.0)
    assert taken(some, TWO) == [b"a", b"b"]
    assert taken(some, TWO) == taken(some, THREE) == []
    assert some.missed(TWO, [b"c"], 1.0), "nobody is after it any more"


def test_what_could_not_be_told_after_all_is_noted_again() -> None:
    some = backlog()
    some.missed(TWO, MANY[:1000], 1.0)
    keys = some.take(TWO)
    assert not some.missed(TWO, keys, 1.0)
    assert sorted(taken(some, TWO)) == sorted(MANY[:1000])


def test_above_the_limit_whole_buckets_are_told() -> None:
    more = [pack_key(f"not missed {number}") for number in range(1000)]
    some = backlog(MANY + more)
    some.missed(TWO, MANY, 1.0)
    noted = some._nodes[TWO]
    assert noted.keys == {}
    assert len(noted.buckets) <= 256
    some.missed(TWO, [b"new"], 1.0)
    assert set(taken(some, TWO)) == {*MANY, *more, b"new"}


def test_few_keys_are_told_to_whoever_comes_but_buckets_not_to_who_asks_for_a_sync_anyway() -> None:
    began_after = 2_000_001
    some = backlog()
    some.missed(TWO, MANY[:5], 2.0)
    some.missed(THREE, MANY, 2.0)
    for node in (TWO, THREE):
        some.node_up(node, began_after)
    assert taken(some, TWO) == MANY[:5]
    assert taken(some, THREE) == []
    some.missed(THREE, MANY, 2.0)
    some.node_up(THREE, 1_999_999)
    assert set(taken(some, THREE)) == set(MANY)


def test_a_node_that_need_not_be_told_is_forgotten() -> None:
    some = backlog()
    some.missed(TWO, [b"a"], 1.0)
    some.forget(TWO)
    assert taken(some, TWO) == []
