"""The events of the node as a stream for browsers and programs (``GET /events``, SSE).

Each event is one message: its place as ``id``, the event as JSON as ``data``. A browser that comes
back says the id of the last one it had in ``Last-Event-ID`` and gets what it missed; others may
write ``?after=<id>``, or ``?after=0`` for everything that is kept. Without either the stream begins
now. A message of type ``lost`` tells how many events the node no longer had.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

import gevent
import msgspec

from . import event_pages
from .asking import Asking
from .port import NodePort

MAX_STREAMS = 16
"""Open at the same time; each costs a look at the node per `POLL_S`."""
POLL_S = 0.2
"""How late an event may arrive."""
QUIET_S = 15.0
"""After so long without an event a comment shows whether the reader is still there."""
RETRY_MS = 1000
"""How soon a browser tries again."""

_log = logging.getLogger("tagmesh.http")


class _Start(NamedTuple):
    life: int
    place: str


class Streams:
    """Those of one server."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._open = 0

    @property
    def full(self) -> bool:
        """No further one may begin."""
        return self._open >= MAX_STREAMS

    def begin(self, after: str | None) -> Iterator[bytes]:
        """The bytes of one stream, without an end unless the node stops."""
        self._open += 1
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            start = self._asking.call(lambda port: _start(port, after))
            if start is not None:
                yield from self._messages(start.life, start.place)
        finally:
            self._open -= 1

    def _messages(self, life: int, place: str) -> Iterator[bytes]:
        quiet_s = 0.0
        while True:
            page = self._asking.call(lambda port, place=place: _read(port, life, place))  # type: ignore[misc]  # mypy sees no default of a lambda
            if page is None:
                return
            if page.lost:
                yield f'event: lost\ndata: {{"lost":{page.lost}}}\n\n'.encode()
            for event in page.events:
                data = msgspec.json.encode(event)
                yield (
                    f"id: {event_pages.place(life, event.sequence)}\ndata: ".encode()
                    + data
                    + b"\n\n"
                )
            quiet_s = 0.0 if page.events else quiet_s + POLL_S
            if quiet_s >= QUIET_S:
                yield b": nothing happened\n\n"
                quiet_s = 0.0
            place = page.next
            gevent.sleep(POLL_S)


def _start(port: NodePort, after: str | None) -> _Start | None:
    try:
        life = port.status().incarnation
        return _Start(life, event_pages.newest(port) if after is None else after)
    except Exception:  # noqa: BLE001 - the node stops or is broken; the stream ends
        _log.debug("no events", exc_info=True)
        return None


def _read(port: NodePort, life: int, place: str) -> event_pages.Page | None:
    try:
        return event_pages.read(port, life, place)
    except Exception:  # noqa: BLE001 - the node stops or is broken; the stream ends
        _log.debug("no events", exc_info=True)
        return None
