"""Batches of application messages: joined without packing, decoded whole or refused (I11)."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh import Misuse
from tagmesh.protocol import payloads
from tagmesh.protocol.errors import PeerViolation
from tagmesh.protocol.messages import MAX_BATCH, MAX_BATCH_BYTES, MAX_PAYLOAD_BYTES
from tagmesh.protocol.payloads import (
    BATCH_BYTES,
    BadPayloads,
    Joined,
    array_header,
    pack,
    pack_many,
    unpack_payloads,
)

MEMORY_BYTES = 16 * 1024**2
encode = msgspec.msgpack.encode
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
    | st.binary(max_size=20) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.lists(values, min_size=1, max_size=40))
def test_what_is_packed_one_by_one_is_unpacked_at_once(messages: list[Any]) -> None:
    payloads = array_header(len(messages)) + b"".join(map(encode, messages))
    assert payloads == encode(messages)
    assert unpack_payloads(payloads, len(messages)) == messages


@pytest.mark.parametrize("count", [1, 15, 16, 65_535, MAX_BATCH])
def test_batches_of_every_size(count: int) -> None:
    """The count stands in one, three or five bytes."""
    assert unpack_payloads(array_header(count) + b"\x07" * count, count) == [7] * count


@pytest.mark.parametrize("count", [0, MAX_BATCH + 1])
def test_no_batch_is_made_that_a_peer_must_refuse(count: int) -> None:
    with pytest.raises(AssertionError, match=f"a batch of {count}"):
        array_header(count)


@given(st.lists(st.one_of(values, st.integers(1, 40_000).map(bytes)), max_size=1200))
def test_many_are_packed_as_each_of_them_is(messages: list[Any]) -> None:
    """Joined as far as a batch holds them."""
    joined = pack_many(messages)
    assert b"".join(piece.payloads for piece in joined) == b"".join(map(pack, messages))
    assert sum(piece.count for piece in joined) == len(messages)
    assert all(len(piece.payloads) <= BATCH_BYTES or piece.count == 1 for piece in joined)


@pytest.mark.parametrize(("count", "size", "pieces"), [(200, 100, 1), (600, 60, 2), (100, 1000, 5)])
def test_small_ones_are_packed_in_few_calls(count: int, size: int, pieces: int) -> None:
    assert len(pack_many([bytes(size)] * count)) == pieces


@pytest.mark.parametrize("size", [60, 100, 500, 1000, 3000, 10_000])
def test_pieces_of_equal_messages_fill_a_batch(size: int) -> None:
    """As far as whole messages can."""
    size_bytes = [len(piece.payloads) for piece in pack_many([bytes(size)] * 2000)][:-1]
    at_once = BATCH_BYTES // max(size_bytes)
    assert min(size_bytes) == max(size_bytes)
    assert BATCH_BYTES - at_once * max(size_bytes) <= at_once * (size + 5)


def test_each_piece_is_as_long_as_the_first_of_its_messages_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So little is packed twice, whatever comes behind what."""
    packed: list[bytes] = []

    def noted(what: Any) -> bytes:
        packed.append(encode(what))
        return packed[-1]

    monkeypatch.setattr(payloads, "encode", noted)
    messages = [bytes(30_000), *[b"x" * 100] * 100, *[bytes(3000)] * 10]
    pack_many(messages)
    assert sum(map(len, packed)) < 2 * len(encode(messages))


@pytest.mark.parametrize("message", [object(), 2**70, {1: {2: lambda: None}}])
def test_what_msgpack_cannot_carry_is_a_mistake(message: object) -> None:
    with pytest.raises(Misuse, match="cannot be sent as it is"):
        pack(message)
    with pytest.raises(Misuse, match=f"a {type(message).__name__} cannot be sent as it is"):
        pack_many([1, message, 2])


def test_a_message_that_can_be_sent_alone_can_be_sent_with_others() -> None:
    """However deeply it is nested."""
    nested: list[Any] = []
    deepest = nested
    with suppress(Misuse):
        while pack_many([nested]):
            deepest, nested = nested, [nested]
    assert b"".join(piece.payloads for piece in pack_many([deepest, 1])) == pack(deepest) + pack(1)


def test_the_longest_message_fits_and_one_byte_more_does_not() -> None:
    longest = b"x" * (MAX_PAYLOAD_BYTES - 3)
    assert len(pack(longest)) == MAX_PAYLOAD_BYTES
    assert pack_many([1, longest]) == [Joined(1, b"\x01"), Joined(1, pack(longest))]
    with pytest.raises(Misuse, match="split it"):
        pack(longest + b"x")
    with pytest.raises(Misuse, match="split it"):
        pack_many([longest + b"x"])


BAD = {
    "nothing": b"",
    "no array": b"\x01",
    "a map": b"\x81\x01\x02",
    "too few": encode([1]),
    "too many": encode([1, 2, 3]),
    "cut": encode([1, "text"])[:-1],
    "trailing byte": encode([1, 2]) + b"\x00",
    "reserved byte": b"\x92\x01\xc1",
    "invalid UTF-8": b"\x92\x01\xa1\xff",
    "extension type": b"\x92\x01\xd4\x05\x00",
    "huge timestamp": b"\x92\x01\xc7\x0c\xff" + b"\xff" * 12,
    "map with a map as key": b"\x92\x01\x81\x81\x01\x02\x03",
    "4 G messages": b"\xdd\xff\xff\xff\xff" + b"\x01" * 1000,
    "map of 4 G": b"\x92\x01\xdf\xff\xff\xff\xff",
    "text of 4 GiB": b"\x92\x01\xdb\xff\xff\xff\xffabc",
    "90,000 deep": b"\x92\x01" + b"\x91" * 90_000,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_batch_of_that_count_is_refused_in_bounded_memory(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadPayloads) as raised:
            unpack_payloads(BAD[name], 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(raised.value, PeerViolation)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 250
    assert peak < MEMORY_BYTES


def test_the_biggest_batch_takes_bounded_memory() -> None:
    count = 65_535
    payloads = array_header(count) + b"\x80" * count
    assert len(payloads) <= MAX_BATCH_BYTES
    tracemalloc.start()
    try:
        assert unpack_payloads(payloads, count) == [{}] * count
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()


def test_timestamps_are_plain_msgencode() -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert unpack_payloads(encode([when]), 1) == [when]


@given(st.binary(max_size=60), st.integers(1, 20))
def test_random_bytes_are_a_batch_or_refused(payloads: bytes, count: int) -> None:
    for candidate in (payloads, array_header(count) + payloads):
        try:
            messages = unpack_payloads(candidate, count)
        except BadPayloads:
            continue
        assert len(messages) == count
