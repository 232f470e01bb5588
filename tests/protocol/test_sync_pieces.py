"""Pieces of a chunk as bytes, and the arithmetic of digests."""

from __future__ import annotations

import contextlib
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.protocol.errors import PeerViolation
from tagmesh.protocol.messages import BUCKETS, MAX_BATCH_BYTES, MAX_NAME_CHARS
from tagmesh.protocol.sync_pieces import (
    MAX_CHUNK_PIECES,
    MAX_PIECE_HEAD_BYTES,
    MAX_PIECE_RECORDS,
    Piece,
    checksum,
    decode_chunk,
    digest_of,
    encode_chunk,
    encode_piece,
    sum_of,
)

RECORDS = st.lists(st.binary(max_size=300).map(msgspec.msgpack.encode), max_size=40)
PIECES = st.tuples(
    st.text(max_size=MAX_NAME_CHARS),
    st.integers(0, BUCKETS - 1),
    RECORDS,
    st.none() | st.tuples(st.integers(0, 2**63 - 1), st.binary(min_size=16, max_size=16)),
)


def plain(piece: Piece) -> tuple[str, int, list[bytes], tuple[int, bytes] | None]:
    return piece.tag, piece.bucket, [bytes(record) for record in piece.records], piece.closed


@given(st.lists(PIECES, max_size=20))
def test_what_goes_in_comes_out(
    pieces: list[tuple[str, int, list[bytes], tuple[int, bytes] | None]],
) -> None:
    data = encode_chunk([encode_piece(*piece) for piece in pieces])
    assert [plain(piece) for piece in decode_chunk(data)] == pieces


@pytest.mark.parametrize("count", [0, 15, 16, MAX_PIECE_RECORDS])
def test_any_number_of_records_up_to_the_limit(count: int) -> None:
    (piece,) = decode_chunk(encode_chunk([encode_piece("", 0, [b"\x01"] * count, None)]))
    assert len(piece.records) == count


@pytest.mark.parametrize("count", [0, 15, 16, MAX_CHUNK_PIECES])
def test_any_number_of_pieces_up_to_the_limit(count: int) -> None:
    assert len(decode_chunk(encode_chunk([encode_piece("", 0, [], None)] * count))) == count


def test_the_head_of_a_piece_is_short() -> None:
    """So that one record of the greatest length fits a chunk."""
    longest = encode_piece("🦀" * MAX_NAME_CHARS, BUCKETS - 1, [], (2**63 - 1, bytes(16)))
    assert len(encode_chunk([longest])) + 4 <= MAX_PIECE_HEAD_BYTES


BROKEN = [
    b"",
    b"\xc0",
    b"\xc1",
    b"\x91",
    b"\x91\xc0",
    b"\x90\x90",  # something follows
    b"\xdd\xff\xff\xff\xff",  # 4 G pieces
    encode_chunk([encode_piece("", 0, [], None)] * (MAX_CHUNK_PIECES + 1)),
    encode_chunk([encode_piece("", 0, [b"\x01"] * (MAX_PIECE_RECORDS + 1), None)]),
    b"\x91\x94\xa0\x00\xdd\xff\xff\xff\xff",  # 4 G records
    b"\x91\x94\xa0\x00\x91" + b"\x91" * 100_000,  # nested deep
    b"\x91\x94\xa0\x00\x91\xc1\xc0",  # a record that is no msgpack
    b"\x91\x93\xa0\x00\x90",  # a field is missing
    encode_chunk([encode_piece("x" * (MAX_NAME_CHARS + 1), 0, [], None)]),
    encode_chunk([encode_piece("", BUCKETS, [], None)]),
    encode_chunk([encode_piece("", -1, [], None)]),
    encode_chunk([encode_piece("", 0, [], (-1, bytes(16)))]),
    encode_chunk([encode_piece("", 0, [], (0, bytes(15)))]),
]


@pytest.mark.parametrize("data", BROKEN)
def test_broken_chunks_are_the_peers_fault(data: bytes) -> None:
    with pytest.raises(PeerViolation, match="sync chunk cannot be decoded"):
        decode_chunk(data)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(PeerViolation):
        decode_chunk(data)


def test_a_digest_is_the_sum_of_the_halves_of_the_hashes() -> None:
    records = [b"one", b"two", b"three"]
    by_hand = sum(int.from_bytes(sha256(r).digest()[:16], "little") for r in records) % 2**128
    assert sum_of(records) == by_hand
    assert digest_of(sum_of(records)) == by_hand.to_bytes(16, "little")
    assert digest_of(sum_of([])) == bytes(16)


@given(st.lists(st.binary(min_size=1), max_size=20), st.binary(min_size=1))
def test_digests_do_not_know_an_order_and_are_kept_by_adding(
    records: list[bytes], other: bytes
) -> None:
    assert sum_of(records) == sum_of(records[::-1])
    both = digest_of(sum_of(records) + sum_of([other]))
    assert both == digest_of(sum_of([*records, other]))
    assert both != digest_of(sum_of(records))
    assert digest_of(sum_of([*records, other]) - sum_of([other])) == digest_of(sum_of(records))
    assert digest_of(-sum_of([other]) + sum_of([other])) == bytes(16), "sums may be negative"


def test_records_of_a_chunk_are_hashed_as_they_are() -> None:
    records = [msgspec.msgpack.encode(["key", n]) for n in range(5)]
    (piece,) = decode_chunk(encode_chunk([encode_piece("", 0, records, None)]))
    assert sum_of(piece.records) == sum_of(records)


def test_a_changed_byte_changes_the_checksum() -> None:
    data = encode_chunk([encode_piece("tag", 7, [b"\x01", b"\x02"], (2, bytes(16)))])
    assert len(data) < MAX_BATCH_BYTES
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        assert checksum(bytes(changed)) != checksum(data)
