"""Where the records of TLS end in a stream of ciphertext. Pure.

A record is five bytes, the last two of them its length, and so many bytes more (RFC 8446, 5.1).
Who knows how many came whole need not ask OpenSSL again after it has given their content: to be
told that nothing is left costs as much as the content of a small record.
"""

from __future__ import annotations

HEADER_BYTES = 5
MAX_RECORD_BYTES = HEADER_BYTES + 16 * 1024 + 256
"""The longest that TLS 1.3 allows; no cipher of TLS 1.2 that is used here needs more."""

_OF_DATA = 23
"""How a header begins; also, in TLS 1.3, that of anything else once the handshake is over."""


class Records:
    """Follows one direction of a stream from its first byte on, however it was split.

    Lengths are believed as they are: OpenSSL judges them.
    """

    __slots__ = ("_header", "_missing", "_unusual")

    def __init__(self) -> None:
        self._header = b""
        """The beginning of a header that is not complete."""
        self._missing = 0
        """Bytes of the record under way that are still to come."""
        self._unusual = False
        """The record under way is for OpenSSL to judge, before all of it is there."""

    def ended(self, data: bytes | memoryview) -> int | None:
        """How many records the next bytes of the stream end, when all that is known of them, and of
        what is begun behind them, is what data has; else None: OpenSSL has to be asked until it
        says that nothing is left."""
        if not self._missing and not self._header:
            size = len(data)
            if size > HEADER_BYTES and (data[3] << 8 | data[4]) == size - HEADER_BYTES:
                return 1  # as mostly
        return self._follow(data)

    def _follow(self, data: bytes | memoryview) -> int | None:
        if self._header:
            data = b"".join((self._header, data))
            self._header = b""
        at, end = self._missing, len(data)
        ended, unusual = 0, self._unusual
        if 0 < at <= end:
            ended, self._unusual = 1, False
        while end - at >= HEADER_BYTES:
            size = HEADER_BYTES + (data[at + 3] << 8 | data[at + 4])
            usual = HEADER_BYTES < size <= MAX_RECORD_BYTES and data[at] == _OF_DATA
            at += size
            unusual |= not usual
            ended += at <= end
            self._unusual = not usual and at > end
        if at <= end:
            self._header = bytes(data[at:])
        self._missing = max(at - end, 0)
        return None if unusual else ended
