"""Requests in the stream of bytes that a management fifo is: ``:reply_fifo:{json}``, as OpenSIPS.

Clients write one request each, of one piece while it is short, and nothing marks its end: some send
a line end and some none. So a request ends with the object it carries. What cannot become a request
ends with its line, or when the writer has been silent for a while (`FifoRequests.give_up`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .mi import MAX_REQUEST_BYTES

MAX_NAME_BYTES = 255
"""Of the reply fifo: the longest name of a file."""

_START = re.compile(rb"\s*:([^:\n\0]*):\s*")
_STEP = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)
"""A string, also one without its end, or what opens and closes."""


class FifoRequest(NamedTuple):
    """One request."""

    reply_name: str
    """As the client wrote it: nothing about it is checked. Empty: no reply wanted."""
    body: bytes
    """The JSON text, or what stands in its place."""


class FifoRequests:
    """Cuts the stream. Bytes that belong to no request are dropped, at most a buffer of them."""

    def __init__(self) -> None:
        self._buffer = b""
        self._skips = False
        """A request was too long: what follows belongs to it, up to its line end."""

    @property
    def unfinished(self) -> bool:
        """Part of a request is there; call `give_up` if the rest does not come."""
        return bool(self._buffer) or self._skips

    def feed(self, data: bytes) -> list[FifoRequest]:
        """The requests that end in ``data``."""
        self._buffer += data
        return list(self._whole())

    def give_up(self) -> list[FifoRequest]:
        """The writer is silent: what is there will not become a request; the last one is told."""
        match = _START.match(self._buffer)
        self._skips = False
        rest, self._buffer = self._buffer, b""
        return [_request(match, rest[match.end() :])] if match else []

    def _whole(self) -> Iterator[FifoRequest]:
        while self._buffer:
            if self._skips:
                self._drop_line()
                continue
            match = _START.match(self._buffer)
            if match is None:
                if b"\n" not in self._buffer and len(self._buffer) <= MAX_NAME_BYTES:
                    return  # the name of the reply fifo is still coming
                self._drop_line()
                continue
            end = self._end(match)
            if end is not None:
                yield _request(match, self._buffer[match.end() : end])
                self._buffer = self._buffer[end:].lstrip()
            elif len(self._buffer) - match.end() > MAX_REQUEST_BYTES:
                yield _request(match, self._buffer[match.end() :])
                self._skips = True
            else:
                return

    def _end(self, match: re.Match[bytes]) -> int | None:
        """Where the request ends that begins with ``match``; None: not here yet."""
        if match.end() == len(self._buffer):
            return None
        if self._buffer[match.end()] in b"{[":
            return end_of_value(self._buffer, match.end())
        line = self._buffer.find(b"\n", match.end())
        return None if line < 0 else line

    def _drop_line(self) -> None:
        """Drop up to the end of the line; without one, everything and what follows of it."""
        _, ended, self._buffer = self._buffer.partition(b"\n")
        self._skips = not ended


def end_of_value(text: bytes, start: int) -> int | None:
    """Behind the bracket that closes the one at ``start``; None: it is not there."""
    depth = 0
    for step in _STEP.finditer(text, start):
        if step[0] in (b"{", b"["):
            depth += 1
        elif step[0] in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                return step.end()
    return None


def _request(match: re.Match[bytes], body: bytes) -> FifoRequest:
    name = match[1].strip().decode("utf-8", "surrogateescape")
    return FifoRequest(name, body[: MAX_REQUEST_BYTES + 1])
