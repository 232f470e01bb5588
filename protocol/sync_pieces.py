"""The records inside a sync chunk, and the digests that tell whether two sets of them are equal.

``SyncChunk.pieces`` is one msgpack array of pieces, each ``[tag, bucket, [record, …], closed]``:
some records of one section (one tag in one bucket). ``closed`` is nil, or ``[count, digest]`` of
the whole section with its last piece. Records are packed by the application; here they are bytes
that nobody unpacks.

The digest of a set of records is the sum, modulo 2¹²⁸, of the first 16 bytes of the SHA-256 of
each, read as little-endian numbers. So it does not depend on the order, one record more or less
is one addition or subtraction, and the sum over a whole digest's 32 bytes has the same low half.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import repeat
from typing import Annotated, Any
from zlib import crc32

import msgspec

from .errors import PeerViolation
from .messages import U63, Bucket, DigestBytes, Tag

MAX_CHUNK_PIECES = 4096
MAX_PIECE_RECORDS = 4096
"""Bounds what one turn of the hub hashes and hands over, however short the records are."""
MAX_PIECE_HEAD_BYTES = 512
"""What a piece, and the chunk's own array, take beside the records."""
DIGEST_BYTES = 16
MODULUS = 1 << 128


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Some records of a section."""

    tag: Tag
    bucket: Bucket
    records: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_PIECE_RECORDS)]
    closed: tuple[U63, DigestBytes] | None
    """Count and digest of the section, with its last piece."""


_decoder = msgspec.msgpack.Decoder(
    Annotated[list[Piece], msgspec.Meta(max_length=MAX_CHUNK_PIECES)]
)
_encode = msgspec.msgpack.Encoder().encode
_number: Any = int.from_bytes  # its type asks for literals, which repeat() does not give
_MALFORMED = (msgspec.DecodeError, ValueError, OverflowError, RecursionError, MemoryError)


def encode_piece(
    tag: str, bucket: int, records: Sequence[bytes], closed: tuple[int, bytes] | None
) -> bytes:
    """One piece, packed; the records go in as they are."""
    head = b"\x94" + _encode(tag) + _encode(bucket) + _array_head(len(records))
    return b"".join((head, *records, _encode(closed)))


def encode_chunk(pieces: Sequence[bytes]) -> bytes:
    """``SyncChunk.pieces`` of packed pieces."""
    return b"".join((_array_head(len(pieces)), *pieces))


def decode_chunk(data: bytes) -> list[Piece]:
    """The pieces of a chunk; `PeerViolation` when they are none."""
    try:
        pieces: list[Piece] = _decoder.decode(data)
    except _MALFORMED as error:
        raise PeerViolation(f"sync chunk cannot be decoded: {ascii(str(error))[:128]}") from error
    return pieces


def checksum(data: bytes) -> int:
    """``SyncChunk.checksum``."""
    return crc32(data)


def sum_of(records: Iterable[bytes]) -> int:
    """Sum of the hashes of packed records, 0 … 2¹²⁸−1."""
    digests = [sha256(record).digest() for record in records]
    total: int = sum(map(_number, digests, repeat("little")))
    return total % MODULUS


def digest_of(total: int) -> bytes:
    """A sum of hashes as it travels; the sum may be any number, also negative."""
    return (total % MODULUS).to_bytes(DIGEST_BYTES, "little")


def _array_head(count: int) -> bytes:
    if count < 16:
        return bytes((0x90 | count,))
    assert count < 65_536
    return b"\xdc" + count.to_bytes(2, "big")
