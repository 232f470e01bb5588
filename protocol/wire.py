"""Messages <-> the bytes inside a frame. Peer bytes raise `PeerViolation` or nothing (I11)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from .errors import PeerViolation
from .messages import MESSAGES, AnyMessage, Message, number_of

MAX_MESSAGES_PER_FRAME = 65_536

_encoder = msgspec.msgpack.Encoder()
_typed = msgspec.msgpack.Decoder(list[AnyMessage])
_loose = msgspec.msgpack.Decoder(list[msgspec.Raw])
_head = msgspec.msgpack.Decoder(tuple[int, ...])
_by_number = {number_of(kind): msgspec.msgpack.Decoder(kind) for kind in MESSAGES}


class Decoded(NamedTuple):
    """The messages of one frame and the numbers of those this version does not know."""

    messages: list[Message]
    unknown: list[int]


def encode(messages: Iterable[Message]) -> bytes:
    """The body of one frame (without its length)."""
    return _encoder.encode(list(messages))


def decode(body: bytes | bytearray | memoryview) -> Decoded:
    """The messages of one frame, in order; raises `PeerViolation` and nothing else.

    The typed decoder checks every bound of `messages` in one call. Only when it objects is the
    frame looked at message by message, to tell a newer peer (unknown number: skipped and counted)
    from a broken one.
    """
    try:
        return Decoded(list(_typed.decode(body)), [])
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        first = error
    try:
        return _decode_one_by_one(body)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise PeerViolation(f"frame cannot be decoded: {_short(error)}") from first


def _decode_one_by_one(body: bytes | bytearray | memoryview) -> Decoded:
    messages: list[Message] = []
    unknown: list[int] = []
    for raw in _loose.decode(body):
        number = _number(raw)
        decoder = _by_number.get(number)
        if decoder is None:
            unknown.append(number)
        else:
            messages.append(decoder.decode(raw))
    return Decoded(messages, unknown)


_NUMBER_ONLY = msgspec.msgpack.Decoder(msgspec.Raw)


def _number(raw: msgspec.Raw) -> int:
    fields = msgspec.msgpack.decode(raw, type=list[msgspec.Raw])
    if not fields:
        raise PeerViolation("frame cannot be decoded: a message without a number")
    return msgspec.msgpack.decode(fields[0], type=int)


def _short(error: BaseException) -> str:
    return ascii(str(error))[:128]
