"""What the copies of a map tell each other beside records, which are sent as the bytes they are."""

from __future__ import annotations

from typing import Any

import msgspec

from ..protocol.tag_words import Epoch


class Vouched(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """I have the record's tag under this epoch, and this is the record I have: one that somebody
    else wrote, or I in an earlier epoch, and that you missed (H-24)."""

    epoch: Epoch
    item: bytes


MapMessage = Vouched


def read_message(message: Any) -> MapMessage:
    """A message that came; raises `msgspec.ValidationError` when it is none of these."""
    return msgspec.convert(message, MapMessage)
