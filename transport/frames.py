"""Frames: a 4-byte big-endian length, then that many bytes of body. Pure.

Used by the TLS connections, the loopback and the simulator alike.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ..protocol.errors import PeerViolation

HEADER_BYTES = 4
MAX_FRAME_LENGTH = 2**32 - 1

_length_of = struct.Struct("!I").unpack_from
_SMALL_BYTES = 4096
"""Shorter pieces are kept together: an object for each would take more memory than they do."""


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
        self.pending_bytes = 0
        """What is kept of a frame that is not complete yet."""
        self._kept: list[bytes | bytearray] = []
        self._needed = HEADER_BYTES
        """How many bytes complete it, or tell how many do."""

    def receive(self, pieces: Sequence[bytes]) -> list[memoryview]:
        """The bodies completed by ``pieces`` of the stream, in order: views, they stay as they are.

        Raises `PeerViolation` for a length of 0 or above the limit; the reader is of no use
        afterwards. What is incomplete is kept in pieces that are joined once, and small ones grow
        in place, so neither many of them nor one large frame cost more than a copy of each byte,
        or two.
        """
        if not self.pending_bytes and len(pieces) == 1:
            data = pieces[0]
            length = len(data) - HEADER_BYTES
            if 0 < length <= self._max_frame_bytes and _length_of(data)[0] == length:
                return [memoryview(data)[HEADER_BYTES:]]  # as mostly: exactly one
        self.pending_bytes += sum(map(len, pieces))
        if self.pending_bytes < self._needed:
            self._keep(pieces)
            return []
        kept, self._kept = self._kept, []
        return self._cut(memoryview(b"".join((*kept, *pieces))))

    def _keep(self, pieces: Sequence[bytes]) -> None:
        kept = self._kept
        for piece in pieces:
            last = kept[-1] if kept else b""
            if len(piece) >= _SMALL_BYTES:
                kept.append(piece)
            elif isinstance(last, bytearray):
                last += piece
            else:
                kept.append(bytearray(piece))

    def _cut(self, data: memoryview) -> list[memoryview]:
        bodies: list[memoryview] = []
        start, end = 0, len(data)
        self._needed = HEADER_BYTES
        while end - start >= HEADER_BYTES:
            length = self._length(data, start)
            body = start + HEADER_BYTES
            if end - body < length:
                self._needed = HEADER_BYTES + length
                break
            bodies.append(data[body : body + length])
            start = body + length
        self.pending_bytes = end - start
        if start < end:
            self._kept = [bytes(data[start:])]
        return bodies

    def _length(self, data: memoryview, start: int) -> int:
        length = int.from_bytes(data[start : start + HEADER_BYTES], "big")
        if length == 0:
            raise PeerViolation("frame of length 0")
        if length > self._max_frame_bytes:
            raise PeerViolation(
                f"frame of {length} bytes; the longest accepted has {self._max_frame_bytes}"
                " (setting transport.max_frame)"
            )
        return length
