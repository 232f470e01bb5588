"""What the copies of a map tell each other: read back as it was, or refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tagmesh.capabilities.map_messages import (
    Forward,
    Forwarded,
    MapMessage,
    Vouched,
    Write,
    read_message,
)
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.tag_words import Epoch

VOUCHED = Vouched(Epoch(3, NodeId(2), 50), b"item")

FORWARD = Forward(1, 2, "vip", VOUCHED.epoch, Write("put", b"k", None, b"v", 1.5))


def carried(message: Any) -> Any:
    """As it comes out of a batch."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(message))


@pytest.mark.parametrize("message", [VOUCHED, FORWARD, Forwarded(1, 2, "Busy", "full")])
def test_a_message_comes_back_as_it_was(message: MapMessage) -> None:
    assert read_message(carried(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        None,
        1,
        "x",
        {},
        [],
        [0],
        [1],
        [1, [3, 0, 50], b""],
        [1, [3, 2], b""],
        [2, 1, 1, "vip", [3, 2, 50], ["drop", b"k"]],
    ],
)
def test_anything_else_is_refused(message: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        read_message(carried(message))
