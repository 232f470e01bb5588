"""Frames: a 4-byte big-endian length, then that many bytes of body. Pure.

Used by the TLS connections, the loopback and the simulator alike.
"""

from __future__ import annotations

from ..protocol.errors import PeerViolation

HEADER_BYTES = 4
MAX_FRAME_LENGTH = 2**32 - 1


def frame(body: bytes) -> bytes:
    """``body`` (not empty) with its length in front."""
    assert 0 < len(body) <= MAX_FRAME_LENGTH, "a frame has 1 … 2³²−1 bytes"
    return len(body).to_bytes(HEADER_BYTES, "big") + body


class FrameReader:
    """Cuts a stream of bytes into frame bodies, however the stream was split.

    A length is judged as soon as its four bytes are there, before anything of the body is kept,
    so a peer can make us hold at most ``max_frame_bytes`` plus what one `receive` brought.
    """

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self.pending = bytearray()
        """What is kept of a frame that is not complete yet."""
        self._needed = HEADER_BYTES

    def receive(self, data: bytes | bytearray) -> list[memoryview]:
        """The bodies completed by ``data``, in order: views, they stay as they are.

        Raises `PeerViolation` for a length of 0 or above the limit; the reader is of no use
        afterwards. What is incomplete is kept in a buffer that grows in place, so neither many
        small pieces nor one large frame cost more than one copy of each byte.
        """
        if self.pending:
            return self._go_on(memoryview(data))
        length = len(data) - HEADER_BYTES
        if 0 < length <= self._max_frame_bytes and data[:HEADER_BYTES] == length.to_bytes(4, "big"):
            return [memoryview(data)[HEADER_BYTES:]]  # as mostly: exactly one
        return self._cut(memoryview(data))

    def _go_on(self, data: memoryview) -> list[memoryview]:
        if len(self.pending) < HEADER_BYTES:
            missing = HEADER_BYTES - len(self.pending)
            self.pending += data[:missing]
            data = data[missing:]
            if len(self.pending) < HEADER_BYTES:
                return []
            self._needed = HEADER_BYTES + self._length(self.pending, 0)
        missing = self._needed - len(self.pending)
        if len(data) < missing:
            self.pending += data
            return []
        self.pending += data[:missing]
        first = memoryview(self.pending)[HEADER_BYTES:]
        self.pending = bytearray()
        return [first, *self._cut(data[missing:])]

    def _cut(self, data: memoryview) -> list[memoryview]:
        bodies: list[memoryview] = []
        start, end = 0, len(data)
        while end - start >= HEADER_BYTES:
            length = self._length(data, start)
            body = start + HEADER_BYTES
            if end - body < length:
                self._needed = HEADER_BYTES + length
                break
            bodies.append(data[body : body + length])
            start = body + length
        if start < end:
            self.pending = bytearray(data[start:])
        return bodies

    def _length(self, data: memoryview | bytearray, start: int) -> int:
        length = int.from_bytes(data[start : start + HEADER_BYTES], "big")
        if length == 0:
            raise PeerViolation("frame of length 0")
        if length > self._max_frame_bytes:
            raise PeerViolation(
                f"frame of {length} bytes; the longest accepted has {self._max_frame_bytes}"
                " (setting transport.max_frame)"
            )
        return length
