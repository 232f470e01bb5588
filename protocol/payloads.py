"""A batch of application messages: one msgpack array, joined by the sender, decoded at the end.

Each message is packed when the application sends it. A batch is an array header and the packed
messages behind it, so making one copies bytes and packs nothing; nodes on the way pass it on as it
is, and the destination's capability decodes it in one call.

Payloads are plain msgpack: no pickled objects and no extension types, save the timestamp that
msgpack itself defines. Their size is bounded by `messages.MAX_BATCH_BYTES`; how deeply they are
nested by the interpreter, which stops at about a thousand levels.
"""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from .errors import PeerViolation
from .messages import MAX_BATCH

_MAX_SHOWN_CHARS = 128


class BadPayloads(PeerViolation):
    """A batch that no sender of ours makes.

    It may have come through others, so it says nothing against the connection it came on: the
    capability counts it and sets it aside.
    """


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


_decode = msgspec.msgpack.Decoder(list[Any], ext_hook=_refuse_extension).decode
# what the decoder is known to raise; anything else would be a bug
_MALFORMED = (msgspec.DecodeError, ValueError, OverflowError, RecursionError, MemoryError)
