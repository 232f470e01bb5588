"""A batch of application messages: one msgpack array, joined by the sender, decoded at the end.

Messages are packed when the application sends them, several at once in one call. A batch is an
array header and the packed messages behind it, so making one copies bytes and packs nothing; nodes
on the way pass it on as it is, and the destination's capability decodes it in one call.

Payloads are plain msgpack: no pickled objects and no extension types, save the timestamp that
msgpack itself defines. Their size is bounded by `messages.MAX_BATCH_BYTES`; how deeply they are
nested by the interpreter, which stops at about a thousand levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import msgspec

from .errors import Misuse, PeerViolation
from .messages import MAX_BATCH, MAX_PAYLOAD_BYTES

BATCH_BYTES = 60 * 1024
"""Messages are joined up to this; a longer one has a batch of its own. With what is around it, it
fits a write of 64 KiB."""
_PIECE_BYTES = 20 * 1024
"""What is packed at once: a batch takes three such pieces, and is full."""
_PACK_AT_ONCE = 512
"""Messages per call of the encoder: many small ones fill a batch."""
_MAX_SHOWN_CHARS = 128


class Joined(msgspec.Struct, frozen=True, gc=False):
    """Packed messages, one behind the other: at most `BATCH_BYTES`, or a single one."""

    count: int
    payloads: bytes | memoryview


class BadPayloads(PeerViolation):
    """A batch that no sender of ours makes.

    It may have come through others, so it says nothing against the connection it came on: the
    capability counts it and sets it aside.
    """


def pack(message: Any) -> bytes:
    """The payload of a message; `Misuse` for what cannot be carried."""
    try:
        payload = encode(message)
    except UNPACKABLE as error:
        raise Misuse(
            f"a {type(message).__name__} cannot be sent as it is ({error}): use numbers, texts,"
            " bytes, lists and dicts of such"
        ) from error
    return checked(payload)


def checked(payload: bytes) -> bytes:
    """The payload, which is not longer than any may be; else `Misuse`."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Misuse(
            f"a message of {len(payload)} bytes is longer than {MAX_PAYLOAD_BYTES}: split it"
        )
    return payload


def pack_many(messages: Sequence[Any]) -> list[Joined]:
    """Several messages, packed and joined, in order; `Misuse` as `pack`.

    A call of the encoder takes as many as fill a piece, if all are as long as the first of them;
    what does not fit is packed again in halves.
    """
    joined: list[Joined] = []
    start = 0
    while start < len(messages):
        size = len(pack(messages[start]))
        count = min(max(_PIECE_BYTES // size, 1), _PACK_AT_ONCE)
        _join(list(messages[start : start + count]), joined)
        start += count
    return joined


def _join(messages: list[Any], joined: list[Joined]) -> None:
    """Pack in one call, halving as often as needed to fit a batch."""
    count = len(messages)
    try:
        packed = encode(messages)
    except UNPACKABLE:  # `pack` tells which one it was
        joined += [Joined(1, pack(message)) for message in messages]
        return
    payloads = memoryview(packed)[len(array_header(count)) :]
    if len(payloads) <= BATCH_BYTES:
        joined.append(Joined(count, payloads))
    elif count == 1:
        joined.append(Joined(1, checked(bytes(payloads))))
    else:
        _join(messages[: count // 2], joined)
        _join(messages[count // 2 :], joined)


def array_header(count: int) -> bytes:
    """The beginning of a msgpack array of ``count`` items, 1 … `messages.MAX_BATCH`."""
    assert 1 <= count <= MAX_BATCH, f"a batch of {count}"
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + count.to_bytes(2, "big") if count < 65_536 else b"\xdd\x00\x01\x00\x00"


def unpack_payloads(payloads: bytes, count: int) -> list[Any]:
    """The ``count`` messages of a batch, in order; raises `BadPayloads` and nothing else."""
    try:
        messages = _decode(payloads)
    except _MALFORMED as error:
        raise BadPayloads(
            f"batch cannot be decoded: {ascii(str(error))[:_MAX_SHOWN_CHARS]}"
        ) from error
    if len(messages) != count:
        raise BadPayloads(f"batch of {len(messages)} messages that claims {count}")
    return messages


def _refuse_extension(code: int, _data: memoryview) -> NoReturn:
    raise ValueError(f"extension type {code}")


encode = msgspec.msgpack.Encoder().encode
"""The bytes of a message, without the checks of `pack`; raises one of `UNPACKABLE`."""
UNPACKABLE = (TypeError, ValueError, OverflowError, RecursionError)
_decode = msgspec.msgpack.Decoder(list[Any], ext_hook=_refuse_extension).decode
# what the decoder is known to raise; anything else would be a bug
_MALFORMED = (msgspec.DecodeError, ValueError, OverflowError, RecursionError, MemoryError)
