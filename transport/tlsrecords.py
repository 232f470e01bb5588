"""Where the records of TLS end in a stream of ciphertext. Pure.

A record is five bytes, the last two of them its length, and so many bytes more (RFC 8446, 5.1).
Who knows that exactly one came need not ask OpenSSL again after it has given the content: to be
told that nothing is left costs as much as the content of a small record.
"""

from __future__ import annotations

HEADER_BYTES = 5


class Records:
    """Follows one direction of a stream from its first byte on, however it was split.

    Lengths are believed as they are: OpenSSL judges them.
    """

    __slots__ = ("_header", "_missing")

    def __init__(self) -> None:
        self._header = b""
        """The beginning of a header that is not complete."""
        self._missing = 0
        """Bytes of the record under way that are still to come."""

    def one(self, data: bytes | memoryview) -> bool:
        """The next bytes of the stream: whether they are exactly one whole record."""
        if not self._missing and not self._header:
            size = len(data)
            if size > HEADER_BYTES and (data[3] << 8 | data[4]) == size - HEADER_BYTES:
                return True
        self._follow(data)
        return False

    def _follow(self, data: bytes | memoryview) -> None:
        if self._header:
            data = b"".join((self._header, data))
            self._header = b""
        at, end = self._missing, len(data)
        while end - at >= HEADER_BYTES:
            at += HEADER_BYTES + (data[at + 3] << 8 | data[at + 4])
        if at <= end:
            self._header = bytes(data[at:])
        self._missing = max(at - end, 0)
