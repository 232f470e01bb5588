"""The listening socket: accepts, limits what strangers can cost, runs handshakes (S8).

Idle strangers cost a slot of the half-open table, and the oldest loses it (a queue would make
honest nodes wait for idle ones). Strangers that do speak TLS cost a token each, taken when their
first record is complete; without a token accepting stops, and the kernel's backlog holds the rest.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from ..protocol.config import TransportSettings
from ..protocol.errors import Misuse
from ..protocol.identity import BinsUrl
from .addresses import shown_address
from .base import Ending
from .handshake import READ, Handshake
from .tls import TlsContext, TlsSession

LISTEN_BACKLOG = 128
ACCEPTS_PER_TURN = 64
NO_DESCRIPTORS_PAUSE_S = 0.2
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_log = logging.getLogger("tagmesh.transport")


class TokenBucket:
    """``rate`` tokens a second, at most ``burst`` saved up."""

    def __init__(self, rate: float, burst: float, now_s: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_s = now_s

    def take(self, now_s: float) -> bool:
        """Take one token if there is one."""
        self._tokens = min(self._burst, self._tokens + (now_s - self._filled_s) * self._rate)
        self._filled_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    @property
    def wait_s(self) -> float:
        """Seconds until a token is there, counted from the last `take`."""
        return max(0.0, (1.0 - self._tokens) / self._rate)


class TlsListener:
    """See `base.Listener`. ``on_done(handshake, address, ending)`` gets every handshake's outcome;
    with ``ending`` None the taker releases the handshake's socket."""

    def __init__(
        self,
        loop: Any,
        sock: socket.socket,
        url: BinsUrl,
        context: TlsContext,
        settings: TransportSettings,
        on_done: Callable[[Handshake, str, Ending | None], None],
    ) -> None:
        self.url = url
        self._loop = loop
        self._sock = sock
        self._context = context
        self._settings = settings
        self._on_done = on_done
        self._half_open: dict[Handshake, str] = {}
        self._waiting: dict[Handshake, None] = {}
        self._tokens = TokenBucket(settings.handshakes_per_s, settings.handshake_burst, loop.now())
        self._closed = False
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._acceptor = loop.io(sock.fileno(), READ)
        self._token_timer = loop.timer(0.0)
        self._pause_timer = loop.timer(NO_DESCRIPTORS_PAUSE_S)
        self._accept_on()

    @property
    def half_open(self) -> int:
        """Connections whose peer has not proved yet who it is."""
        return len(self._half_open)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for watcher in (self._acceptor, self._token_timer, self._pause_timer):
            watcher.stop()
            watcher.close()
        self._sock.close()
        if self._spare is not None:
            os.close(self._spare)
        for handshake in list(self._half_open):
            handshake.drop()
        self._half_open.clear()
        self._waiting.clear()

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            if not self._closed:
                act()
        except Exception:  # noqa: BLE001 - nothing may escape into the hub
            _log.exception("listener at %s failed", self.url)

    def use(self, context: TlsContext) -> None:
        """Handshakes that begin from now on have this own side."""
        self._context = context

    def _accept_on(self) -> None:
        self._acceptor.start(self._guarded, self._on_acceptable)

    def _on_acceptable(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            if self._closed or self._waiting:
                return
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._refuse_for_lack(error)
                return
            self._begin(sock, shown_address(address))

    def _begin(self, sock: socket.socket, address: str) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while len(self._half_open) >= self._settings.half_open:
            self._evict()
        handshake = Handshake(
            self._loop,
            sock,
            TlsSession(self._context, accepted=True),
            self._settings.handshake_timeout_s,
            self._on_handshake,
            self._on_closed,
            admit=self._admit,
        )
        self._half_open[handshake] = address

    def _evict(self) -> None:
        oldest = next(iter(self._half_open))
        cause = f"evicted: {self._settings.half_open} connections in handshake (half_open)"
        oldest.fail(Ending(cause=cause))

    def _admit(self, handshake: Handshake) -> bool:
        if not self._waiting and self._tokens.take(self._loop.now()):
            return True
        self._waiting[handshake] = None
        self._acceptor.stop()
        if not self._token_timer.active:
            self._wait_for_token()
        return False

    def _wait_for_token(self) -> None:
        self._token_timer.close()
        self._token_timer = self._loop.timer(self._tokens.wait_s)
        self._token_timer.start(self._guarded, self._on_token)

    def _on_token(self) -> None:
        self._token_timer.stop()
        while self._waiting and self._tokens.take(self._loop.now()):
            handshake = next(iter(self._waiting))
            del self._waiting[handshake]
            handshake.proceed()
        if self._waiting:
            self._wait_for_token()
        elif not self._pause_timer.active:
            self._accept_on()

    def _on_handshake(self, handshake: Handshake, ending: Ending | None) -> None:
        address = self._half_open[handshake]
        if ending is None:
            self._forget(handshake)
        self._on_done(handshake, address, ending)

    def _on_closed(self, handshake: Handshake) -> None:
        self._forget(handshake)

    def _forget(self, handshake: Handshake) -> None:
        self._half_open.pop(handshake, None)
        if handshake in self._waiting:
            del self._waiting[handshake]
            if not self._waiting:
                self._guarded(self._on_token)  # nobody waits: accept again

    def _refuse_for_lack(self, error: OSError) -> None:
        """No descriptor left: give the spare one to the stranger just long enough to hang up."""
        self._acceptor.stop()
        self._pause_timer.close()
        self._pause_timer = self._loop.timer(NO_DESCRIPTORS_PAUSE_S)
        self._pause_timer.start(self._guarded, self._after_pause)
        if error.errno not in _NO_DESCRIPTORS:
            _log.warning("accept at %s failed: %s", self.url, error)
            return
        _log.warning("accept at %s: %s; raise the limit of open files", self.url, error.strerror)
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        try:
            sock, _ = self._sock.accept()
            sock.close()
        except OSError:
            pass
        self._take_spare()

    def _after_pause(self) -> None:
        self._pause_timer.stop()
        self._take_spare()
        if not self._waiting:
            self._accept_on()

    def _take_spare(self) -> None:
        if self._spare is None:
            try:
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                self._spare = None  # tried again after the pause


def bind(address: tuple[Any, ...], family: int, url: BinsUrl) -> socket.socket:
    """A non-blocking listening socket; `Misuse` says why there is none."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(LISTEN_BACKLOG)
    except OSError as error:
        sock.close()
        raise Misuse(f"cannot listen at {url}: {_why(error)}") from error
    return sock


def _why(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "the address is in use. Stop the program that listens there or take another port"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address. Correct the host in node.url"
        case errno.EACCES:
            return "not allowed. Take a port above 1023 or run with the right to use it"
    return str(error.strerror or error)
