"""What waits to be sent on one connection: bounded, in two lanes, packed into frames. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ..protocol import wire
from ..protocol.errors import Misuse
from ..protocol.messages import Message
from .frames import HEADER_BYTES, frame

MAX_CHUNK_BYTES = 64 * 1024
"""A frame is filled up to this, its length included; a longer message has a frame of its own."""

_ENCODE_AT_ONCE = 256  # messages per call of the encoder: a bulk of small ones fits one frame
_ARRAY_HEADER_BYTES = 5  # the longest msgpack array header


DATA_KINDS: frozenset[type[Message]] = frozenset()
"""The message types that travel in the data lane; all others are control."""


class _Unit(NamedTuple):
    """Messages encoded together: the body of a frame, if nothing else were waiting."""

    messages: int
    body: bytes


class SendQueue:
    """Messages in, chunks of framed bytes out.

    ``limit_bytes`` bounds what waits (I10). ``max_frame_bytes`` is the longest frame the other
    side accepts.
    """

    def __init__(
        self,
        limit_bytes: int,
        max_frame_bytes: int,
        data_kinds: frozenset[type[Message]] = DATA_KINDS,
    ) -> None:
        self._limit_bytes = limit_bytes
        self._max_frame_bytes = max_frame_bytes
        self._data_kinds = data_kinds
        # control before data, so that pings are never stuck behind bulk data
        self._lanes: tuple[deque[_Unit], deque[_Unit]] = (deque(), deque())
        self._rest: memoryview = memoryview(b"")
        self.queued_bytes = 0
        """Bytes waiting, frame lengths included."""

    def offer(self, messages: Sequence[Message], taken_bytes: int = 0) -> bool:
        """Queue all of ``messages``, or none and return False when they do not fit now.

        ``taken_bytes``: what was taken already but could not be written yet; counts as waiting.
        Raises `Misuse` for what can never be sent: a message longer than a frame may be, a batch
        larger than the queue.
        """
        lanes = self._encode(messages)
        size = sum(HEADER_BYTES + len(unit.body) for units in lanes for unit in units)
        if size > self._limit_bytes:
            raise Misuse(
                f"{size} bytes can never fit the send queue of {self._limit_bytes}"
                " (transport.send_queue): send less at once"
            )
        if self.queued_bytes + taken_bytes + size > self._limit_bytes:
            return False
        for queue, units in zip(self._lanes, lanes, strict=True):
            queue.extend(units)
        self.queued_bytes += size
        return True

    def take(self) -> bytes | memoryview:
        """The next at most `MAX_CHUNK_BYTES` to write; empty when nothing waits."""
        if self._rest:
            chunk, self._rest = self._rest[:MAX_CHUNK_BYTES], self._rest[MAX_CHUNK_BYTES:]
            self.queued_bytes -= len(chunk)
            return chunk
        units, waiting_bytes = self._gather()
        if not units:
            return b""
        framed = frame(_merge(units) if len(units) > 1 else units[0].body)
        # merging saves headers: count what waited, not what is written
        self.queued_bytes -= waiting_bytes
        if len(framed) > MAX_CHUNK_BYTES:
            view = memoryview(framed)
            self._rest = view[MAX_CHUNK_BYTES:]
            self.queued_bytes += len(self._rest)
            return view[:MAX_CHUNK_BYTES]
        return framed

    def clear(self) -> None:
        """Forget everything."""
        for queue in self._lanes:
            queue.clear()
        self._rest = memoryview(b"")
        self.queued_bytes = 0

    def _gather(self) -> tuple[list[_Unit], int]:
        units: list[_Unit] = []
        count, waiting_bytes, room = 0, 0, MAX_CHUNK_BYTES - HEADER_BYTES - _ARRAY_HEADER_BYTES
        for queue in self._lanes:
            while queue:
                unit = queue[0]
                count += unit.messages
                room -= len(unit.body)
                if units and (room < 0 or count > wire.MAX_MESSAGES_PER_FRAME):
                    return units, waiting_bytes
                units.append(queue.popleft())
                waiting_bytes += HEADER_BYTES + len(unit.body)
        return units, waiting_bytes

    def _encode(self, messages: Sequence[Message]) -> tuple[list[_Unit], list[_Unit]]:
        if not self._data_kinds:
            return self._units(messages), []
        data = [message for message in messages if type(message) in self._data_kinds]
        control = [message for message in messages if type(message) not in self._data_kinds]
        return self._units(control), self._units(data)

    def _units(self, messages: Sequence[Message]) -> list[_Unit]:
        units: list[_Unit] = []
        for start in range(0, len(messages), _ENCODE_AT_ONCE):
            self._add_units(messages[start : start + _ENCODE_AT_ONCE], units)
        return units

    def _add_units(self, messages: Sequence[Message], units: list[_Unit]) -> None:
        """Encode ``messages``, halved as often as needed to fit a frame."""
        body = wire.encode(messages)
        if HEADER_BYTES + len(body) > MAX_CHUNK_BYTES and len(messages) > 1:
            half = len(messages) // 2
            self._add_units(messages[:half], units)
            self._add_units(messages[half:], units)
            return
        if len(body) > self._max_frame_bytes:
            raise Misuse(
                f"a {type(messages[0]).__name__} of {len(body)} bytes is longer than a frame may be"
                f" ({self._max_frame_bytes}, transport.max_frame): split it"
            )
        units.append(_Unit(len(messages), body))


def _merge(units: Sequence[_Unit]) -> bytes:
    """One body with the messages of all units: a new array header before their joined items."""
    count = sum(unit.messages for unit in units)
    items = [unit.body[len(_array_header(unit.messages)) :] for unit in units]
    return b"".join([_array_header(count), *items])


def _array_header(count: int) -> bytes:
    if count < 16:
        return bytes([0x90 | count])
    if count < 65_536:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")
