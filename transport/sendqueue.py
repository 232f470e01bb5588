"""What waits to be sent on one connection: bounded, in two lanes, packed into frames. Pure."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ..protocol import wire
from ..protocol.errors import Misuse
from ..protocol.messages import Message, Packets, SyncChunk
from .frames import HEADER_BYTES, frame

MAX_CHUNK_BYTES = 64 * 1024
"""A frame is filled up to this, its length included; a longer message has a frame of its own."""

MAX_DATA_BYTES = 256 * 1024
"""Of data that waits; also never more than `DATA_SHARE` of the queue. Enough to keep the socket
busy; more would only wait here instead of at whoever sends, and fall out of the CPU's cache."""
DATA_SHARE = 0.75
"""The rest is for control (B13)."""

_ENCODE_AT_ONCE = 256  # messages per call of the encoder: a bulk of small ones fits one frame
_MERGE_BELOW_BYTES = 4096  # longer ones are not worth the copying
_put_length = struct.Struct("!I").pack_into
_ARRAY_HEADER_BYTES = 5  # the longest msgpack array header

DATA_KINDS: frozenset[type[Message]] = frozenset({Packets, SyncChunk})
"""The message types that travel in the data lane; all others are control."""


class _Unit(NamedTuple):
    """Messages encoded together: a frame, if nothing small is merged into it."""

    messages: int
    frame: bytes | bytearray


class SendQueue:
    """Messages in, frames out.

    ``limit_bytes`` bounds what waits (I10). ``max_frame_bytes`` is the longest frame the other
    side accepts.
    """

    def __init__(self, limit_bytes: int, max_frame_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._data_limit_bytes = min(MAX_DATA_BYTES, int(limit_bytes * DATA_SHARE))
        self._straight_bytes = min(MAX_CHUNK_BYTES, self._data_limit_bytes)
        self._max_frame_bytes = max_frame_bytes
        # control before data, so that pings are never stuck behind bulk data
        self._control: deque[_Unit] = deque()
        self._data: deque[_Unit] = deque()
        self._rest: memoryview = memoryview(b"")
        self._data_bytes = 0
        self._refused = False
        self._buffer = bytearray(HEADER_BYTES)
        """Of frames that go straight: as long as the last one."""
        self.queued_bytes = 0
        """Bytes waiting, frame lengths included."""

    def straight(self, messages: Sequence[Message]) -> bytes | bytearray:
        """The frame of ``messages`` when nothing waits that they must come after, and they fit one
        chunk: they need not wait. Valid until the next call. Empty: `offer` them."""
        if self.queued_bytes or len(messages) > _ENCODE_AT_ONCE:
            return b""
        framed = _frame_into(self._buffer, messages)
        return framed if len(framed) <= self._straight_bytes else b""

    def offer(self, messages: Sequence[Message], taken_bytes: int = 0) -> bool:
        """Queue all of ``messages``, or none and return False when they do not fit now.

        ``taken_bytes``: what was taken already but could not be written yet; counts as waiting.
        Raises `Misuse` for what can never be sent: a message longer than a frame may be, a batch
        larger than the queue.
        """
        control, data = self._encode(messages)
        data_bytes = _size(data)
        size = _size(control) + data_bytes
        if size > self._limit_bytes or data_bytes > self._data_limit_bytes:
            raise Misuse(
                f"{size} bytes, {data_bytes} of them data, can never fit the send queue: it takes"
                f" {self._limit_bytes} (transport.send_queue), and {self._data_limit_bytes} of"
                " data. Send less at once"
            )
        if (
            self.queued_bytes + taken_bytes + size > self._limit_bytes
            or self._data_bytes + data_bytes > self._data_limit_bytes
        ):
            self._refused = True
            return False
        self._control.extend(control)
        self._data.extend(data)
        self._data_bytes += data_bytes
        self.queued_bytes += size
        return True

    def has_room_again(self, taken_bytes: int = 0) -> bool:
        """Whether at most half of what may wait does, for the first time since `offer` refused."""
        if (
            self._refused
            and self.queued_bytes + taken_bytes <= self._limit_bytes // 2
            and self._data_bytes <= self._data_limit_bytes // 2
        ):
            self._refused = False
            return True
        return False

    def take(self, room_bytes: int = MAX_CHUNK_BYTES) -> bytes | bytearray | memoryview:
        """The next frame, many small ones merged into one; empty when nothing waits, or fits.

        A frame longer than `MAX_CHUNK_BYTES` comes in pieces of at most ``room_bytes``.
        """
        if not self._rest:
            lane = self._control or self._data
            if not lane or room_bytes < len(lane[0].frame) <= MAX_CHUNK_BYTES:
                return b""
            framed = self._next_frame(room_bytes)
            if len(framed) <= room_bytes:
                return framed
            self._rest = memoryview(framed)
            self.queued_bytes += len(framed)
        chunk, self._rest = self._rest[:room_bytes], self._rest[room_bytes:]
        self.queued_bytes -= len(chunk)
        return chunk

    def clear(self) -> None:
        """Forget everything."""
        self._control.clear()
        self._data.clear()
        self._rest = memoryview(b"")
        self._data_bytes = 0
        self._refused = False
        self.queued_bytes = 0

    def _next_frame(self, room_bytes: int) -> bytes | bytearray:
        first = self._pop()
        if len(first.frame) >= _MERGE_BELOW_BYTES:
            return first.frame
        units = [first]
        count, room = first.messages, room_bytes - len(first.frame) - _ARRAY_HEADER_BYTES
        while lane := self._control or self._data:
            unit = lane[0]
            count += unit.messages
            room -= len(unit.frame)
            if (
                room < 0
                or count > wire.MAX_MESSAGES_PER_FRAME
                or len(unit.frame) >= _MERGE_BELOW_BYTES
            ):
                break
            units.append(self._pop())
        return _merge(units) if len(units) > 1 else first.frame

    def _pop(self) -> _Unit:
        """The unit to go next, control before data."""
        if self._control:
            unit = self._control.popleft()
        else:
            unit = self._data.popleft()
            self._data_bytes -= len(unit.frame)
        self.queued_bytes -= len(unit.frame)
        return unit

    def _encode(self, messages: Sequence[Message]) -> tuple[list[_Unit], list[_Unit]]:
        if len(messages) == 1:
            units = self._units(messages)
            return ([], units) if type(messages[0]) in DATA_KINDS else (units, [])
        data = [message for message in messages if type(message) in DATA_KINDS]
        control = [message for message in messages if type(message) not in DATA_KINDS]
        return self._units(control), self._units(data)

    def _units(self, messages: Sequence[Message]) -> list[_Unit]:
        units: list[_Unit] = []
        for start in range(0, len(messages), _ENCODE_AT_ONCE):
            self._add_units(messages[start : start + _ENCODE_AT_ONCE], units)
        return units

    def _add_units(self, messages: Sequence[Message], units: list[_Unit]) -> None:
        """Encode ``messages``, halved as often as needed to fit a frame."""
        framed = _frame_into(bytearray(HEADER_BYTES), messages)
        if len(framed) > MAX_CHUNK_BYTES and len(messages) > 1:
            half = len(messages) // 2
            self._add_units(messages[:half], units)
            self._add_units(messages[half:], units)
            return
        size = len(framed) - HEADER_BYTES
        if size > self._max_frame_bytes:
            raise Misuse(
                f"a {type(messages[0]).__name__} of {size} bytes is longer than a frame may be"
                f" ({self._max_frame_bytes}, transport.max_frame): split it"
            )
        units.append(_Unit(len(messages), framed))


def _frame_into(buffer: bytearray, messages: Sequence[Message]) -> bytearray:
    """The frame of ``messages``, encoded where it is to be: the whole of ``buffer``, which has room
    for a header at least."""
    wire.encode_into(messages, buffer, HEADER_BYTES)
    _put_length(buffer, 0, len(buffer) - HEADER_BYTES)
    return buffer


def _size(units: Sequence[_Unit]) -> int:
    return sum([len(unit.frame) for unit in units]) if units else 0


def _merge(units: Sequence[_Unit]) -> bytes:
    """One frame with the messages of all units: a new array header before their joined items."""
    count = sum(unit.messages for unit in units)
    items = [unit.frame[HEADER_BYTES + len(_array_header(unit.messages)) :] for unit in units]
    return frame(b"".join([_array_header(count), *items]))


def _array_header(count: int) -> bytes:
    if count < 16:
        return bytes([0x90 | count])
    if count < 65_536:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")
