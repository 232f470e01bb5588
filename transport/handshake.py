"""The TLS handshake on a connected socket, for both sides, driven by watchers.

Ends in exactly one of two ways: the peer's identity is proved and socket and session are handed
on, or it failed, the peer got its alert, and nothing is left.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any

from ..protocol.errors import Reason
from .base import Ending
from .tls import TlsSession

MAX_PREAUTH_BYTES = 32 * 1024
"""Read from a stranger before it proved who it is (S8)."""

READ = 1
WRITE = 2
_READ_AT_ONCE_BYTES = 4096
_RECORD_HEADER_BYTES = 5

_log = logging.getLogger("tagmesh.transport")


class Handshake:
    """One handshake under way.

    ``admit`` (acceptor only) is asked once, when the first TLS record is complete and before any
    cryptography is done for the stranger; while it says no the handshake waits for `proceed`.
    ``on_done(handshake, ending)``: ``ending`` None = success; the taker calls `release`.
    ``on_closed(handshake)``: the socket was closed here, some time after a failure.
    """

    def __init__(
        self,
        loop: Any,
        sock: socket.socket,
        session: TlsSession,
        timeout_s: float,
        on_done: Callable[[Handshake, Ending | None], None],
        on_closed: Callable[[Handshake], None] = lambda _: None,
        admit: Callable[[Handshake], bool] | None = None,
    ) -> None:
        self.session = session
        self.sock: socket.socket | None = sock
        self.plaintext: list[bytes] = []
        """What the peer sent right behind its handshake; not looked at yet."""
        self._on_done = on_done
        self._on_closed = on_closed
        self._admit = admit
        self._held = b""
        self._waiting = False
        self._read_bytes = 0
        self._over = False
        self._output = b""
        self._reader = loop.io(sock.fileno(), READ)
        self._writer = loop.io(sock.fileno(), WRITE)
        self._timer = loop.timer(timeout_s)
        self._timer.start(self._on_timeout, timeout_s)
        self._reader.start(self._guarded, self._on_readable)
        self._flush()

    def proceed(self) -> None:
        """`admit` may be taken as said now."""
        if self._waiting and self.sock is not None:
            self._waiting = False
            self._admit = None
            self._reader.start(self._guarded, self._on_readable)
            self._guarded(self._feed_held)

    def release(self) -> socket.socket:
        """Give up watchers and timer and hand the socket over."""
        assert self.sock is not None
        sock, self.sock = self.sock, None
        for watcher in (self._reader, self._writer, self._timer):
            watcher.stop()
            watcher.close()
        return sock

    def fail(self, ending: Ending) -> None:
        """End with this failure, unless there was a verdict already, and close the socket."""
        self._end(ending)
        self.drop()

    def drop(self) -> None:
        """Close the socket now; `on_done` does not follow."""
        self._over = True
        if self.sock is not None:
            self.release().close()
            self._on_closed(self)

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:  # noqa: BLE001 - nothing may escape into the hub
            _log.exception("handshake failed in a way nobody thought of")
            self.fail(Ending(cause="internal error in the handshake", reason=Reason.TLS_ERROR))

    def _on_timeout(self, timeout_s: float) -> None:
        ending = Ending(cause=f"no TLS handshake within {timeout_s:g} s (handshake_timeout)")
        self._guarded(lambda: self.fail(ending))

    def _on_readable(self) -> None:
        assert self.sock is not None
        try:
            data = self.sock.recv(_READ_AT_ONCE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            cause = f"connection lost during the TLS handshake: {error.strerror}"
            self.fail(Ending(cause=cause))
            return
        self._read_bytes += len(data)
        if not data:
            self.session.receive_eof()
            self._end(self.session.ending)
            self.drop()
        elif self._over:
            # lingering: close only when the peer had the time to read why, but not for ever
            if self._read_bytes > MAX_PREAUTH_BYTES:
                self.drop()
        elif self._admit is not None:
            self._held += data
            self._ask()
        else:
            self._feed(data)

    def _ask(self) -> None:
        """Wait for a whole record, then for the permission to spend CPU on it."""
        length = int.from_bytes(self._held[3:_RECORD_HEADER_BYTES], "big")
        looks_like_tls = self._held[0] == 0x16
        whole = len(self._held) >= _RECORD_HEADER_BYTES + length
        if looks_like_tls and (len(self._held) < _RECORD_HEADER_BYTES or not whole):
            self._check_budget()
            return
        assert self._admit is not None
        if self._admit(self):
            self._admit = None
            self._feed_held()
        else:
            self._waiting = True
            self._reader.stop()

    def _feed_held(self) -> None:
        held, self._held = self._held, b""
        self._feed(held)

    def _feed(self, data: bytes) -> None:
        self.plaintext += self.session.receive(data)
        self._flush()
        if self.sock is None:
            return
        ending, known = self.session.ending, self.session.identity is not None
        if ending is not None and not (known and ending.clean):
            self._end(ending)
            self._linger()
        elif not known:
            self._check_budget()
        elif not self._output:
            # over in good order already, perhaps: what it said before is for the connection's owner
            self._end(None)

    def _check_budget(self) -> None:
        if self._read_bytes > MAX_PREAUTH_BYTES:
            cause = f"more than {MAX_PREAUTH_BYTES} bytes before it proved who it is"
            self.fail(Ending(cause=cause, reason=Reason.TLS_ERROR))

    def _flush(self) -> None:
        """Write what TLS wants written; the writer watches only while the socket is full."""
        assert self.sock is not None
        self._output += self.session.output()
        try:
            if self._output:
                self._output = self._output[self.sock.send(self._output) :]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._output = b""  # the reader will learn why, and what the peer said before
        if self._output:
            self._writer.start(self._guarded, self._on_writable)
        else:
            self._writer.stop()

    def _on_writable(self) -> None:
        self._flush()
        if self._output:
            return
        if self._over:
            self._linger()
        elif self.session.identity is not None:
            self._end(None)

    def _linger(self) -> None:
        """The alert is out: wait for the peer's end, so that no reset destroys it."""
        if self.sock is None or self._output:
            return
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop()

    def _end(self, ending: Ending | None) -> None:
        if self._over:
            return
        self._over = True
        self._on_done(self, ending)
