"""What the copies of a map tell each other beside records, which are sent as the bytes they are."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ..protocol.tag_words import Epoch


class Vouched(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """I have the record's tag under this epoch, and this is the record I have: one that somebody
    else wrote, or I in an earlier epoch, and that you missed (H-24)."""

    epoch: Epoch
    item: bytes


class Write(msgspec.Struct, frozen=True, array_like=True):
    """What an application wants to be written."""

    kind: Literal["put", "patch", "delete"]
    key: bytes
    """Packed."""
    tag: str | None = None
    value: bytes = b""
    """Packed: the value, or the fields of a patch."""
    ttl_s: float | None = None


class Forward(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """You have ``tag`` under ``epoch``: write this for me (M-2)."""

    life: int
    number: int
    """With ``life`` it names the request."""
    tag: str
    epoch: Epoch
    write: Write


class Forwarded(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """What became of a `Forward`."""

    life: int
    number: int
    error: str = ""
    """The name of the error; empty = it is done."""
    text: str = ""


MapMessage = Vouched | Forward | Forwarded


def read_message(message: Any) -> MapMessage:
    """A message that came; raises `msgspec.ValidationError` when it is none of these."""
    heard: MapMessage = msgspec.convert(message, MapMessage)
    return heard
