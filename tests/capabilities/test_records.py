"""Records: what may be a key or a value, what their bytes are, and what strangers' bytes do."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.capabilities.records import (
    MAX_KEY_BYTES,
    MAX_RECORD_BYTES,
    Era,
    Head,
    Key,
    bucket_of,
    pack_key,
    pack_record,
    pack_value,
    read_head,
    read_record,
    tombstone,
    unpack_key,
)
from tagmesh.protocol.errors import Misuse, PeerViolation
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import BUCKETS, MAX_PAYLOAD_BYTES
from tagmesh.protocol.tag_words import Epoch

SIMPLE_KEYS = st.text(max_size=20) | st.binary(max_size=20) | st.integers(-(2**63), 2**64 - 1)
EPOCH = Epoch(3, NodeId(2), 50)
KEYS = st.recursive(SIMPLE_KEYS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=5)


def head(expires_ms: int = 0) -> Head:
    return Head(pack_key("k"), "vip1", Era(0, EPOCH), 17, 2, expires_ms, False)


def record(value: Any) -> bytes:
    return pack_record(head(), pack_value(value))


@given(KEYS)
def test_a_key_comes_back_as_it_was(key: Key) -> None:
    assert unpack_key(pack_key(key)) == key


@given(KEYS, KEYS)
def test_different_keys_have_different_bytes(one: Key, other: Key) -> None:
    assert (pack_key(one) == pack_key(other)) == (one == other)


@pytest.mark.parametrize("key", [None, True, 1.5, ["a"], ("a", [1]), {"a": 1}, 2**64, "\ud800"])
def test_what_cannot_be_a_key_is_the_callers_mistake(key: Any) -> None:
    with pytest.raises(Misuse, match="cannot be a key"):
        pack_key(key)


def test_keys_are_bounded() -> None:
    longest = "x" * (MAX_KEY_BYTES - 3)
    assert len(pack_key(longest)) == MAX_KEY_BYTES
    with pytest.raises(Misuse, match="longer than 512 bytes"):
        pack_key(longest + "x")


@pytest.mark.parametrize("packed", [b"", b"\xc0", b"\xc3", b"\xa5abc", b"\x91\xc0", b"\xc1", b"aa"])
def test_bytes_that_are_no_key_violate_the_protocol(packed: bytes) -> None:
    with pytest.raises(PeerViolation):
        unpack_key(packed)


def test_keys_are_spread_over_the_buckets_and_always_in_the_same_way() -> None:
    spread = Counter(bucket_of(pack_key(f"user-{number}")) for number in range(25_600))
    assert set(spread) == set(range(BUCKETS))
    assert max(spread.values()) < 200
    assert [bucket_of(pack_key(key)) for key in ("alice", 7, b"x", ("a", 1))] == [164, 46, 193, 20]


@given(st.none() | st.integers(-5, 5) | st.text() | st.lists(st.binary()))
def test_a_record_comes_back_as_it_was(value: Any) -> None:
    kept = read_record(record(value))
    assert kept.value == value
    assert read_head(record(value)) == head()
    assert [getattr(kept, name) for name in Head.__struct_fields__] == [
        getattr(head(), name) for name in Head.__struct_fields__
    ]


def test_a_tombstone_has_the_version_of_its_record_and_no_value() -> None:
    dead = read_record(tombstone(head(), 5000))
    assert (dead.version, dead.tag) == (head().version, "vip1")
    assert (dead.deleted, dead.expires_ms, dead.value) == (True, 5000, None)


def test_readers_see_a_record_until_it_expires() -> None:
    assert head().lives(10**15)
    assert head(expires_ms=5000).lives(4999)
    assert not head(expires_ms=5000).lives(5000)
    assert not read_head(tombstone(head(), 5000)).lives(1)


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("value", [object(), 2**64, deep(5000), "\ud800", {1: object()}])
def test_what_cannot_be_a_value_is_the_callers_mistake(value: Any) -> None:
    with pytest.raises(Misuse, match="cannot be a value"):
        pack_value(value)


def test_records_are_bounded_so_that_they_fit_a_message() -> None:
    head_bytes = len(record(b"x" * 60_000)) - 60_000
    item = record(b"x" * (MAX_RECORD_BYTES - head_bytes))
    assert len(item) == MAX_RECORD_BYTES
    assert len(msgspec.msgpack.encode(item)) <= MAX_PAYLOAD_BYTES
    with pytest.raises(Misuse, match="split the value"):
        (record(b"x" * (MAX_RECORD_BYTES - head_bytes + 1)))


NOT_TEXT, NO_MAP_KEY, NO_TIME = b"\xa1\xff", b"\x81\x80\x01", b"\xd4\xffa"


@pytest.mark.parametrize("value", [NOT_TEXT, NO_MAP_KEY, NO_TIME])
def test_a_value_that_nobody_can_read_is_its_writers_fault(value: bytes) -> None:
    """The head is read when it arrives; what the value hides shows when somebody wants it."""
    item = (record(None))[:-1] + value
    assert read_head(item).node == 2
    with pytest.raises(PeerViolation, match="value that node 2 wrote under key 'k'"):
        read_record(item)
