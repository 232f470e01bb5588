"""A record of a replicated map: its bytes, its version, and which of two is the newer (M-1).

A record is one msgpack array ``[key, tag, era, counter, node, expires_ms, deleted, value]``. The
same bytes are stored, sent, synchronised, hashed and written behind, so nothing is packed twice;
the value at the end is not looked at before somebody reads it. A tombstone has no value.

Versions are (moves, epoch, counter, node), the larger one wins, whatever order they arrive in. The
counter is a hybrid logical clock: above every counter seen, and at least the writer's wall clock in
microseconds. So a write that knew of another one beats it whatever the clocks say, and of two
writes that knew nothing of each other the later one wins as far as clocks agree. The epoch is the
one of the tag under which it was written: who has the tag later beats whoever had it before,
whatever their clocks say. Epochs of different tags have nothing to do with each other, so a record
counts how often its key has been moved to another tag. Both make its era; most have none.

Expiry is part of the record: when ``expires_ms`` has passed nobody reads it any more, and it
becomes a tombstone: of one without a tag at every node by itself, everywhere the same one; one with
a tag is deleted by the node that has the tag (M-5). A tombstone is forgotten at its own
``expires_ms``, an hour after the deletion. The limit of that: a node that was cut off for longer,
and lived on, may bring back what was deleted meanwhile. So may one that did not hear of a deletion
when the clock of some node is off by more than an hour.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias
from zlib import crc32

import msgspec

from ..protocol.errors import Misuse, PeerViolation
from ..protocol.messages import BUCKETS, MAX_PAYLOAD_BYTES, U63, Id, Tag
from ..protocol.tag_words import Epoch

MAX_KEY_BYTES = 512
"""A key, packed."""
MAX_RECORD_BYTES = MAX_PAYLOAD_BYTES - 5
"""Key, version and value, packed; with five bytes around it a record is a message."""
TOMBSTONE_S = 3600
"""How long deletions are remembered (M-1)."""

Key: TypeAlias = str | int | bytes | tuple["Key", ...]
"""What may be a key. Integers have 64 bits."""
Counter = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
"""Bounded far below what the format can carry, so that there is always a next one."""


Version: TypeAlias = tuple[int, tuple[int, int, int], int, int]
"""Of a record: (moves, rank of the epoch, counter, node); the larger one is newer."""
NO_EPOCH = (-1, 0, 0)
"""Below the rank of every epoch."""


class Era(msgspec.Struct, frozen=True, array_like=True):
    """Of a record that has a tag, or once had another one."""

    moves: Counter
    """How often the key has got another tag, or lost one."""
    epoch: Epoch | None
    """Of its tag, when it was written; None without a tag."""


class Head(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Everything of a record but its value."""

    key: Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_KEY_BYTES)]
    """Packed."""
    tag: Tag
    era: Era | None
    counter: Counter
    node: Id
    """Who wrote it."""
    expires_ms: U63
    """Milliseconds since the epoch of Unix; 0 = never."""
    deleted: bool

    @property
    def epoch(self) -> Epoch | None:
        """Of its tag, when it was written; None without a tag."""
        return self.era.epoch if self.era is not None else None

    @property
    def version(self) -> Version:
        """Orders the records of a key."""
        era = self.era
        if era is None:
            return 0, NO_EPOCH, self.counter, self.node
        rank = NO_EPOCH if era.epoch is None else era.epoch.rank
        return era.moves, rank, self.counter, self.node

    def lives(self, now_ms: int) -> bool:
        """Whether readers see it."""
        return not self.deleted and (not self.expires_ms or now_ms < self.expires_ms)


class Record(Head, frozen=True, array_like=True, gc=False):
    """A record with its value."""

    value: Any = None


_pack = msgspec.msgpack.Encoder().encode
read_head = msgspec.msgpack.Decoder(Head).decode
"""The head of a packed record. Raises one of `UNREADABLE`; the value is skipped."""
read_any = msgspec.msgpack.Decoder().decode
_read_record = msgspec.msgpack.Decoder(Record).decode
_ARRAY_OF_EIGHT = b"\x98"
"""A record; a head alone is an array of seven."""
UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""What reading somebody else's bytes may raise; a `msgspec.ValidationError` is a DecodeError."""


def read_record(item: bytes) -> Record:
    """A packed record with its value, which nobody looked at before: may be `PeerViolation`."""
    try:
        return _read_record(item)
    except UNREADABLE as error:
        head = read_head(item)
        raise PeerViolation(
            f"the value that node {head.node} wrote under key {unpack_key(head.key)!a} cannot be"
            f" read: {error}"
        ) from error


def pack_value(value: Any) -> bytes:
    """The bytes of a value; `Misuse` when it has none."""
    try:
        return _pack(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Misuse(
            f"a {type(value).__name__} cannot be a value of a map as it is ({error}): use numbers,"
            " texts, bytes, lists and dicts of such"
        ) from error


def pack_record(head: Head, value: bytes) -> bytes:
    """The bytes of a record with a packed value; `Misuse` when there are too many.

    Put together from its parts: what the encoder makes keeps a quarter of its memory in reserve.
    """
    item = b"".join((_ARRAY_OF_EIGHT, _pack(head)[1:], value))
    if len(item) > MAX_RECORD_BYTES:
        raise Misuse(
            f"a record of {len(item)} bytes is longer than {MAX_RECORD_BYTES}: split the value"
        )
    return item


def pack_head(head: Head) -> bytes:
    """The bytes of a head alone; `read_head` reads them."""
    return _pack(head)


def tombstone(head: Head, expires_ms: int) -> bytes:
    """The packed tombstone of a record, with its version."""
    return pack_head(
        Head(
            head.key,
            head.tag,
            head.era,
            head.counter,
            head.node,
            expires_ms,
            deleted=True,
        )
    )


def bucket_of(key: bytes) -> int:
    """The bucket of a packed key, the same on every node."""
    return crc32(key) % BUCKETS


def pack_key(key: Key) -> bytes:
    """The bytes of a key, the same on every node; `Misuse` for what cannot be a key."""
    if type(key) is not str and not is_key(key):
        raise Misuse(
            f"{_brief(key)} cannot be a key: keys are texts, integers, bytes, and tuples of those"
        )
    try:
        packed = _pack(key)
    except (ValueError, OverflowError, RecursionError) as error:
        raise Misuse(f"{_brief(key)} cannot be a key: {error}") from error
    if len(packed) > MAX_KEY_BYTES:
        raise Misuse(f"key {_brief(key)}… is longer than {MAX_KEY_BYTES} bytes")
    return packed


def unpack_key(packed: bytes) -> Key:
    """The key of some bytes that `pack_key` made; `PeerViolation` for others."""
    try:
        key = _frozen(read_any(packed))
    except UNREADABLE as error:
        raise PeerViolation(f"a key cannot be read: {error}") from error
    if not is_key(key):
        raise PeerViolation(f"a {type(key).__name__} is no key")
    return key  # type: ignore[no-any-return]  # just checked


def is_key(key: object) -> bool:
    """Whether it may be a key. Exactly these types: True would be found again as 1, or not."""
    kind = type(key)
    if kind is str or kind is int or kind is bytes:
        return True
    return kind is tuple and all(map(is_key, key))  # type: ignore[call-overload]  # a tuple


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if type(value) is list else value


def _brief(key: object) -> str:
    return ascii(key)[:80]
