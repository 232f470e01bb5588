"""Who wants to hear of this node's events by datagram, as the event interface of OpenSIPS has it.

A subscriber names one event and a socket, and is forgotten when its time is over. An event is one
JSON-RPC notification in one datagram; it is lost when nobody reads there, as with OpenSIPS. Those
who must not miss one read ``GET /events`` or ``tagmesh_events``, where they have numbers.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from ..protocol.errors import Misuse

EVENTS = (
    "E_CLUSTERER_REQ_RECEIVED",
    "E_CLUSTERER_RPL_RECEIVED",
    "E_CLUSTERER_NODE_STATE_CHANGED",
    "E_CLUSTERER_SHARING_TAG_CHANGED",
)
"""In the order of their ids."""
EXPIRE_S = 3600
"""How long a subscription lasts that does not say."""
MAX_SUBSCRIPTIONS = 100
MAX_PATH_BYTES = 107
"""Of a Unix socket, in Linux."""

_log = logging.getLogger("tagmesh.mi")


class Subscription(NamedTuple):
    """One event for one socket."""

    event: str
    socket: str
    """As OpenSIPS writes it: ``udp:127.0.0.1:9000``, ``unix:/run/panel.sock``."""
    expire_s: int
    ends: float
    """On the clock of `Subscriptions`."""


class _Target(NamedTuple):
    family: int
    address: Any


class Subscriptions:
    """Those of one node. Everything is for any thread; nothing waits for a subscriber."""

    def __init__(
        self,
        begin: Callable[[], None] = lambda: None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``begin``: called before each new subscription; from then on `publish` is called."""
        self._begin = begin
        self._now = now
        self._lock = threading.Lock()
        self._subscribers: dict[tuple[str, str], tuple[Subscription, _Target]] = {}
        self._sockets: dict[int, socket.socket] = {}

    def subscribe(self, event: str, address: str, expire_s: int = EXPIRE_S) -> None:
        """Send an event to ``address`` for so long; 0 ends a subscription, if there is one.

        Raises `Misuse` for an event or an address that is none, or one subscription too many.
        """
        if event not in EVENTS:
            raise Misuse(f"{event!a} is no event of this node: {', '.join(EVENTS)}")
        name, target = _parse(address)
        if expire_s == 0:
            with self._lock:
                self._subscribers.pop((event, name), None)
            return
        self._begin()
        one = Subscription(event, name, expire_s, self._now() + expire_s)
        with self._lock:
            self._forget_old()
            if (event, name) not in self._subscribers and len(
                self._subscribers
            ) >= MAX_SUBSCRIPTIONS:
                raise Misuse(
                    f"there are {MAX_SUBSCRIPTIONS} subscriptions already: end one with expire 0"
                )
            self._subscribers[event, name] = (one, target)

    def listed(self, event: str | None = None) -> list[Subscription]:
        """Those that are not over, of one event or all; in the order in which they came."""
        with self._lock:
            self._forget_old()
            return [s for s, _ in self._subscribers.values() if event in (None, s.event)]

    def find(self, event: str, address: str) -> Subscription | None:
        """The subscription of ``address``. Raises `Misuse` when that is no address."""
        name, _ = _parse(address)
        return next((s for s in self.listed(event) if s.socket == name), None)

    def left_s(self, subscription: Subscription) -> int:
        """How long it will last."""
        return max(0, round(subscription.ends - self._now()))

    def publish(self, event: str, params: Mapping[str, Any]) -> None:
        """Tell those who want to hear; what cannot be sent at once is lost for them."""
        notice = {"jsonrpc": "2.0", "method": event, "params": params}
        data = msgspec.json.encode(notice)
        with self._lock:
            self._forget_old()
            targets = [t for (kind, _), (_, t) in self._subscribers.items() if kind == event]
            for target in targets:
                self._send(data, target)

    def close(self) -> None:
        """Forget all."""
        with self._lock:
            self._subscribers.clear()
            for one in self._sockets.values():
                one.close()
            self._sockets.clear()

    def _forget_old(self) -> None:
        now = self._now()
        over = [key for key, (one, _) in self._subscribers.items() if one.ends <= now]
        for key in over:
            del self._subscribers[key]

    def _send(self, data: bytes, target: _Target) -> None:
        try:
            if target.family not in self._sockets:
                made = socket.socket(target.family, socket.SOCK_DGRAM)
                made.setblocking(False)
                self._sockets[target.family] = made
            self._sockets[target.family].sendto(data, target.address)
        except OSError as error:
            _log.debug("event not sent: %s", error, extra={"event": "mi_event_lost"})


def _parse(address: str) -> tuple[str, _Target]:
    """(its usual spelling, what the kernel needs). Raises `Misuse`; may ask the resolver."""
    kind, _, place = address.partition(":")
    if address.startswith("/"):  # so opensips-event names a Unix socket
        kind, place = "unix", address
    if kind == "unix" and "\0" not in place and 0 < len(os.fsencode(place)) <= MAX_PATH_BYTES:
        return f"unix:{place}", _Target(socket.AF_UNIX, place)
    host, _, number = place.rpartition(":")
    good = host and number.isascii() and number.isdigit() and 0 < int(number[:6]) <= 65535
    if kind != "udp" or not good:
        raise Misuse(f"{address!a}: must have the form udp:address:port or unix:path")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        found = socket.getaddrinfo(bare, int(number), type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise Misuse(f"{address!a}: there is no such address: {error}") from error
    family, _, _, _, there = found[0]
    return f"udp:{host}:{int(number)}", _Target(family, there)
