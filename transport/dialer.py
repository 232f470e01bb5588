"""One attempt to connect: name → addresses → TCP → TLS → the right node. Retrying is a rule's job.

Each address is tried until TCP connects; what TLS says there is final.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

import gevent

from ..protocol.config import TransportSettings
from ..protocol.errors import Misuse
from ..protocol.identity import BinsUrl
from .addresses import Address, literal, resolve, shown_address
from .base import Ending
from .handshake import WRITE, Handshake
from .tls import TlsSession

_log = logging.getLogger("tagmesh.transport")


class TlsDial:
    """See `base.Dial`. Exactly one of the callbacks comes, from the loop, unless cancelled.

    ``session`` makes the dialling TLS session once TCP is connected. ``on_done(dial, handshake,
    address)``: the taker releases the handshake's socket.
    """

    def __init__(
        self,
        loop: Any,
        url: BinsUrl,
        session: Callable[[], TlsSession],
        settings: TransportSettings,
        on_done: Callable[[TlsDial, Handshake, str], None],
        on_failed: Callable[[TlsDial, Ending], None],
    ) -> None:
        self._loop = loop
        self._url = url
        self._session = session
        self._settings = settings
        self._on_done = on_done
        self._on_failed = on_failed
        self._over = False
        self._addresses: list[Address] = []
        self._sock: socket.socket | None = None
        self._watchers: list[Any] = []
        self._handshake: Handshake | None = None

    def begin(self) -> None:
        """Go. A name is looked up in a greenlet of its own."""
        address = literal(self._url)
        if address is None:
            gevent.spawn(self._guarded, self._look_up)
        else:
            self._addresses = [address]
            self._loop.run_callback(self._guarded, self._next_address, Ending(cause="no address"))

    @property
    def shook(self) -> bool:
        """There was a TCP connection: a handshake began."""
        return self._handshake is not None

    def fail(self, ending: Ending) -> None:
        """End the attempt; `on_failed` follows from the loop."""
        if not self._over:
            self.cancel()
            self._loop.run_callback(self._on_failed, self, ending)

    def cancel(self) -> None:
        self._over = True
        self._drop_socket()
        if self._handshake is not None:
            self._handshake.drop()

    def _guarded(self, act: Callable[..., None], *args: Any) -> None:
        try:
            if not self._over:
                act(*args)
        except Exception as error:  # noqa: BLE001 - nothing may escape into the hub
            _log.exception("dial of %s failed in a way nobody thought of", self._url)
            self.fail(Ending(cause=f"internal error: {type(error).__name__}"))

    def _look_up(self) -> None:
        try:
            self._addresses = resolve(self._url)
        except Misuse as error:
            self.fail(Ending(cause=str(error)))
            return
        if not self._over:
            self._next_address(Ending(cause="no address"))

    def _next_address(self, last: Ending) -> None:
        """Try the next address, or end with how the last one ended."""
        if not self._addresses:
            self.fail(last)
            return
        address = self._addresses.pop(0)
        sock = self._sock = socket.socket(address.family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = sock.connect_ex(address.sockaddr)
        if number not in (0, errno.EINPROGRESS):
            self._tcp_failed(number)
            return
        writable = self._loop.io(sock.fileno(), WRITE)
        timer = self._loop.timer(self._settings.connect_timeout_s)
        self._watchers = [writable, timer]
        writable.start(self._guarded, self._on_connected, address)
        timer.start(self._guarded, self._on_timeout)

    def _on_timeout(self) -> None:
        limit = f"{self._settings.connect_timeout_s:g} s (connect_timeout)"
        self._drop_socket()
        self._next_address(Ending(cause=f"no TCP connection within {limit}"))

    def _on_connected(self, address: Address) -> None:
        assert self._sock is not None
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._tcp_failed(number)
            return
        sock, self._sock = self._sock, None
        self._drop_watchers()
        shown = shown_address(address.sockaddr)
        self._handshake = Handshake(
            self._loop,
            sock,
            self._session(),
            self._settings.handshake_timeout_s,
            lambda handshake, ending: self._on_handshake(handshake, ending, shown),
        )

    def _on_handshake(self, handshake: Handshake, ending: Ending | None, address: str) -> None:
        if self._over:
            return
        self._over = True
        if ending is None:
            self._on_done(self, handshake, address)
        else:
            handshake.drop()  # the acceptor's flight is read, so no reset can overtake our alert
            self._loop.run_callback(self._on_failed, self, ending)

    def _tcp_failed(self, number: int) -> None:
        self._drop_socket()
        if number == errno.ECONNREFUSED:
            self._next_address(Ending(cause="connection refused", nobody_there=True))
        else:
            self._next_address(Ending(cause=f"no TCP connection: {os.strerror(number)}"))

    def _drop_watchers(self) -> None:
        for watcher in self._watchers:
            watcher.stop()
            watcher.close()
        self._watchers = []

    def _drop_socket(self) -> None:
        self._drop_watchers()
        if self._sock is not None:
            self._sock.close()
            self._sock = None
