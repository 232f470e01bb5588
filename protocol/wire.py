"""Messages <-> the bytes inside a frame. Peer bytes raise `PeerViolation` or nothing (I11).

A frame's body is one msgpack array of 1 … `MAX_MESSAGES_PER_FRAME` messages. A frame without a
message is refused: no sender makes one, and it would be a life sign that costs its sender nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple, cast

import msgspec

from .errors import PeerViolation
from .message_list import MESSAGES, AnyMessage, number_of
from .messages import MAX_NUMBER, Message

MAX_MESSAGES_PER_FRAME = 65_536


class _Head(msgspec.Struct, frozen=True, array_like=True):
    """The number of a message; its other fields are skipped without being built."""

    number: Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]


_encoder = msgspec.msgpack.Encoder()
_typed = cast(  # every one of the union is a `Message`
    "msgspec.msgpack.Decoder[list[Message]]", msgspec.msgpack.Decoder(list[AnyMessage])
)
_loose = msgspec.msgpack.Decoder(list[msgspec.Raw])
_head = msgspec.msgpack.Decoder(_Head)
_by_number = {number_of(kind): msgspec.msgpack.Decoder(kind) for kind in MESSAGES}
# what the decoders are known to raise; anything else would be a bug
_MALFORMED = (msgspec.DecodeError, ValueError, OverflowError, RecursionError, MemoryError)


class Decoded(NamedTuple):
    """The messages of one frame and the numbers of those this version does not know."""

    messages: list[Message]
    unknown: list[int]


def encode(messages: Sequence[Message]) -> bytes:
    """The body of one frame (without its length)."""
    assert 1 <= len(messages) <= MAX_MESSAGES_PER_FRAME, f"a frame of {len(messages)} messages"
    return _encoder.encode(messages)


def encode_into(messages: Sequence[Message], buffer: bytearray, offset: int) -> None:
    """`encode`, behind what ``buffer`` has before ``offset``."""
    assert 1 <= len(messages) <= MAX_MESSAGES_PER_FRAME, f"a frame of {len(messages)} messages"
    _encoder.encode_into(messages, buffer, offset)


def decode(body: bytes | bytearray | memoryview) -> Decoded:
    """The messages of one frame, in order; raises `PeerViolation` and nothing else.

    The typed decoder checks every bound of `messages` in one call. Only when it objects is the
    frame looked at message by message, to tell a newer peer (unknown number: skipped and counted)
    from a broken one.
    """
    messages: list[Message] = []
    unknown: list[int] = []
    take(body, messages, unknown)
    return Decoded(messages, unknown)


def take(
    body: bytes | bytearray | memoryview, messages: list[Message], unknown: list[int] | None = None
) -> int:
    """`decode` a frame, adding its messages to ``messages``; how many are of an unknown number,
    which are added to ``unknown``."""
    first = body[0] if len(body) else 0
    count = first & 0x0F if first & 0xF0 == 0x90 else _claimed_count(body)
    if not 1 <= count <= MAX_MESSAGES_PER_FRAME:
        limit = f"1 … {MAX_MESSAGES_PER_FRAME}"
        raise PeerViolation(f"frame claims {count} messages; allowed: {limit}")
    try:
        messages += _typed.decode(body)
    except _MALFORMED:
        return _take_one_by_one(body, messages, unknown)
    return 0


def _claimed_count(body: bytes | bytearray | memoryview) -> int:
    """Length of the outer array as its header claims it, read before anything is allocated; not
    of one shorter than 16, whose header is a byte."""
    first = body[0] if len(body) else 0
    width = {0xDC: 2, 0xDD: 4}.get(first)
    if width is None or len(body) <= width:
        raise PeerViolation("frame cannot be decoded: it does not begin with an array")
    return int.from_bytes(body[1 : 1 + width], "big")


def _take_one_by_one(
    body: bytes | bytearray | memoryview, messages: list[Message], unknown: list[int] | None
) -> int:
    known: list[Message] = []
    strange: list[int] = []
    try:
        for raw in _loose.decode(body):
            number = _head.decode(raw).number
            decoder = _by_number.get(number)
            if decoder is None:
                strange.append(number)
            else:
                known.append(_decoded(decoder, raw, number))
    except _MALFORMED as error:
        raise PeerViolation(f"frame cannot be decoded: {_short(error)}") from error
    messages += known
    if unknown is not None:
        unknown += strange
    return len(strange)


def _decoded(decoder: msgspec.msgpack.Decoder[Message], raw: msgspec.Raw, number: int) -> Message:
    try:
        return decoder.decode(raw)
    except _MALFORMED as error:
        raise PeerViolation(f"message {number} cannot be decoded: {_short(error)}") from error


def _short(error: BaseException) -> str:
    return ascii(str(error))[:128]
