"""One authenticated TLS connection on a non-blocking socket: watchers, no greenlet of its own.

Reading: io watcher → recv → tls.receive → frames → wire.decode → one ``on_messages`` per batch.
Writing: at once when nothing waits; what is sent later in the same turn of the loop is queued and
leaves together at the end of the turn, so that many small sends become few records (H11).
All callbacks come from the loop, never from inside a call of this class.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ..protocol import wire
from ..protocol.config import TransportSettings
from ..protocol.errors import PeerViolation, Reason
from ..protocol.identity import PeerIdentity
from ..protocol.messages import Message
from .base import Ending
from .frames import FrameReader
from .handshake import READ, WRITE
from .sendqueue import MAX_CHUNK_BYTES, SendQueue
from .socketoptions import reset_at_close, set_options
from .tally import Tally
from .tls import TlsSession

READ_AT_ONCE_BYTES = 64 * 1024
MAX_READ_PER_TURN_BYTES = 256 * 1024
"""After this much the loop gets its turn, whatever is left in the socket."""
MAX_WRITE_PER_TURN_BYTES = 256 * 1024
MAX_UNREAD_REPLY_BYTES = 256 * 1024
"""Ciphertext a peer may make us owe it (key updates) without reading any (T20)."""
FRAME_TIMEOUT_S = 10.0
"""A frame once begun must be complete within this (W3)."""

_log = logging.getLogger("tagmesh.transport")


class TlsConnection:
    """See `base.Connection`. Made from a finished handshake; owns the socket from then on.

    ``read_buffer`` is used in the turn of a read only, so connections of one hub share it.
    ``plaintext`` is what arrived right behind the handshake. ``on_closed`` (for the owner) is
    called when the socket is closed. ``user_timeout_s``: TCP_USER_TIMEOUT, None = the system's.
    """

    def __init__(
        self,
        loop: Any,
        sock: socket.socket,
        session: TlsSession,
        settings: TransportSettings,
        *,
        dialled: bool,
        address: str,
        tally: Tally,
        read_buffer: bytearray,
        plaintext: Sequence[bytes] = (),
        on_closed: Callable[[TlsConnection], None],
        user_timeout_s: float | None = None,
    ) -> None:
        assert session.identity is not None, "a connection begins when the peer is known"
        self.identity: PeerIdentity = session.identity
        self.dialled = dialled
        self.address = address
        self._tally = tally
        self.unknown_messages = 0
        """Messages of a number this version does not know: skipped."""
        self.on_room: Callable[[], None] | None = None
        self._loop = loop
        self._sock = sock
        self._session = session
        self._buffer = memoryview(read_buffer)
        self._close_timeout_s = settings.close_timeout_s
        self._on_closed = on_closed
        self._on_messages: Callable[[Sequence[Message]], None] | None = None
        self._on_end: Callable[[Ending], None] | None = None
        self._early = list(plaintext)
        self._frames = FrameReader(settings.max_frame_bytes)
        self._frame_since_s: float | None = None
        self._queue = SendQueue(settings.send_queue_bytes, settings.max_frame_bytes)
        self._out: bytes | memoryview = b""
        self._wrote_s = 0.0
        """The turn of the loop, by its time, that has written already."""
        self._corked = False
        self._paused = False
        self._broken = False
        self._close_cause: str | None = None
        self._shutdown_said = False
        self._ending: Ending | None = None
        set_options(sock, user_timeout_s)
        self._reader = loop.io(sock.fileno(), READ)
        self._writer = loop.io(sock.fileno(), WRITE)
        self._close_timer = loop.timer(settings.close_timeout_s)

    def start(
        self,
        on_messages: Callable[[Sequence[Message]], None],
        on_end: Callable[[Ending], None],
    ) -> None:
        assert self._on_end is None, "start() is called once"
        self._on_messages = on_messages
        self._on_end = on_end
        if self._ending is not None:
            self._loop.run_callback(self._tell_end)
        else:
            self._read_on()

    def send(self, messages: Sequence[Message]) -> bool:
        if self._ending is not None or self._close_cause is not None or self._broken:
            return False
        if not messages:
            return True
        if self.at_once(messages):
            return True
        if not self._queue.offer(messages, len(self._out)):
            return False
        self._tally.went(messages)
        if not self._out:
            self._write_soon()
        return True

    def at_once(self, messages: Sequence[Message]) -> bool:
        turn_s = self._loop.now()  # as old as the turn
        if self._out or turn_s == self._wrote_s or self._broken:
            return False
        if self._ending is not None or self._close_cause is not None:
            return False
        self._wrote_s = turn_s
        framed = self._queue.straight(messages)
        if not framed:
            return False
        self._tally.went(messages)
        if not self._write(self._session.sealed(framed)) and not self._broken:
            self._writer.start(self._guarded, self._flush)
        return True

    def close(self, cause: str) -> None:
        if self._ending is not None or self._close_cause is not None:
            return
        self._close_cause = cause
        self._close_timer.start(self._guarded, self._close_timed_out)
        self._early.clear()
        self._reader.start(self._on_readable)  # drained and discarded, paused or not
        self._flush()

    def abort(self, cause: str) -> None:
        if self._ending is None:
            reset_at_close(self._sock)
            self._finish(Ending(cause=cause, node_id=self.identity.node_id))

    def pause(self) -> None:
        self._paused = True
        if self._ending is None and self._close_cause is None:
            self._reader.stop()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._frame_since_s = None  # the pause was ours, not the peer's
            if self._on_messages is not None and self._ending is None:
                self._read_on()

    @property
    def queued_bytes(self) -> int:
        return self._queue.queued_bytes + len(self._out)

    # reading

    def _read_on(self) -> None:
        if self._paused or self._close_cause is not None:
            return
        self._reader.start(self._on_readable)
        if self._early or self._session.ending is not None:
            self._loop.run_callback(self._guarded, self._deliver_early)

    def _deliver_early(self) -> None:
        """What came behind the handshake; the end may be part of it."""
        if self._ending is None and not self._paused:
            early, self._early = self._early, []
            messages: list[Message] = []
            self._decode(early, messages)
            self._deliver(messages)
            self._conclude()

    def _on_readable(self) -> None:
        try:
            if self._early:  # what came first is delivered first
                self._deliver_early()
                return
            messages: list[Message] = []
            session, read = self._session, 0
            while read < MAX_READ_PER_TURN_BYTES and session.ending is None:
                try:
                    size = self._sock.recv_into(self._buffer)
                except (BlockingIOError, InterruptedError):
                    break
                except OSError as error:
                    session.ending = Ending(cause=f"connection lost: {error.strerror or error}")
                    break
                if not size:
                    session.receive_eof()
                    break
                self._decode(session.receive(self._buffer[:size]), messages)
                read += size
                if size < READ_AT_ONCE_BYTES:
                    break
            self._tally.bytes_received += read
            if messages and (on_messages := self._on_messages) is not None:
                self._tally.came(messages)
                on_messages(messages)
            if session.owes or session.ending is not None:
                self._conclude()
        except Exception as error:  # noqa: BLE001 - nothing may escape into the hub
            self._fail(error)

    def _decode(self, chunks: Sequence[bytes], messages: list[Message]) -> None:
        """Append what ``chunks`` complete; a violation ends the connection after it."""
        if self._close_cause is not None:
            return
        completed = False
        try:
            for body in self._frames.receive(chunks):
                self.unknown_messages += wire.take(body, messages)
                completed = True
            if self._frame_since_s is not None or self._frames.pending_bytes:
                self._check_frame_time(completed)
        except PeerViolation as error:
            self._session.ending = Ending(cause=str(error), reason=Reason.VIOLATION)

    def _deliver(self, messages: Sequence[Message]) -> None:
        """Hand over all that a turn brought in one call."""
        if messages:
            assert self._on_messages is not None
            self._tally.came(messages)
            self._on_messages(messages)

    def _check_frame_time(self, completed: bool) -> None:
        if not self._frames.pending_bytes:
            self._frame_since_s = None
            return
        now_s = self._loop.now()
        if completed or self._frame_since_s is None:
            self._frame_since_s = now_s
        elif now_s - self._frame_since_s > FRAME_TIMEOUT_S:
            raise PeerViolation(f"a frame was not complete within {FRAME_TIMEOUT_S:g} s")

    def _conclude(self) -> None:
        """After reading: end if TLS or the peer did, else write what reading made TLS say (H9)."""
        if self._ending is not None:
            return
        if self._session.ending is not None:
            self._end_of_session(self._session.ending)
        elif not self._session.owes:
            return
        elif self._out:
            self._out = bytes(self._out) + self._session.output()
            if len(self._out) > MAX_UNREAD_REPLY_BYTES:
                cause = "it makes TLS answer and reads no answer"
                self._finish(Ending(cause=cause, reason=Reason.VIOLATION))
        else:
            self._flush()

    def _end_of_session(self, ending: Ending) -> None:
        if ending.clean and self._frames.pending_bytes and self._close_cause is None:
            ending = Ending(cause=f"{ending.cause} in the middle of a frame")
        if ending.reason is not None or ending.clean:
            self._session.shutdown()
            self._say_last_words()
        self._finish(ending)

    def _say_last_words(self) -> None:
        """Our close_notify or alert; nobody waits for it."""
        try:
            if not self._out:
                self._sock.send(self._session.output())
        except OSError:
            pass

    # writing

    def _flush(self) -> None:
        """Write until nothing waits or the socket is full; the writer watches only then."""
        left = MAX_WRITE_PER_TURN_BYTES
        while not self._broken:
            if not self._out:
                if left <= 0 and self._queue.queued_bytes:
                    break
                self._out = self._next_ciphertext()
                if not self._out:
                    break
            left -= len(self._out)
            if not self._write(self._out):
                break
        if self._out or self._queue.queued_bytes:
            self._writer.start(self._guarded, self._flush)
        else:
            self._writer.stop()
        if self._queue.has_room_again(len(self._out)):
            self._loop.run_callback(self._guarded, self._tell_room)

    def _write(self, data: bytes | memoryview) -> bool:
        """Give the socket what it takes; True when that is all, the rest is in ``_out``."""
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._break()
            return False
        self._tally.bytes_sent += sent
        self._out = memoryview(data)[sent:] if sent < len(data) else b""
        return not self._out

    def _tell_room(self) -> None:
        if self._ending is None and self._close_cause is None and self.on_room is not None:
            self.on_room()

    def _next_ciphertext(self) -> bytes:
        room = MAX_CHUNK_BYTES
        while room and (chunk := self._queue.take(room)):
            self._session.send(chunk)
            room -= len(chunk)
        if room == MAX_CHUNK_BYTES:
            if self._close_cause is not None and not self._shutdown_said:
                self._shutdown_said = True
                self._session.shutdown()
            elif not self._session.owes:
                return b""
        return self._session.output()

    def _break(self) -> None:
        """The socket takes nothing any more. Reading goes on: it tells what the peer said last."""
        self._broken = True
        self._out = b""
        self._queue.clear()
        self._writer.stop()

    def _write_soon(self) -> None:
        """With what else is sent in this turn of the loop, at its end, unless it is enough now."""
        if self._queue.queued_bytes >= MAX_CHUNK_BYTES:
            self._flush()
        elif not self._corked:
            self._corked = True
            self._loop.run_callback(self._guarded, self._uncork)

    def _uncork(self) -> None:
        self._corked = False
        if self._ending is None and not self._out and self._queue.queued_bytes:
            self._flush()

    # ending

    def _close_timed_out(self) -> None:
        self._finish(Ending(cause=f"not over within {self._close_timeout_s:g} s"))

    def _finish(self, ending: Ending) -> None:
        """Release everything; `on_end` follows from the loop. The first ending counts."""
        if self._ending is not None:
            return
        if self._close_cause is not None:
            ending = msgspec.structs.replace(ending, cause=self._close_cause)
        self._ending = msgspec.structs.replace(ending, node_id=self.identity.node_id)
        for watcher in (self._reader, self._writer, self._close_timer):
            watcher.stop()
            watcher.close()
        self._sock.close()
        self._out = b""
        self._queue.clear()
        self._early.clear()
        self._on_closed(self)
        if self._on_end is not None:
            self._loop.run_callback(self._tell_end)

    def _tell_end(self) -> None:
        on_end, ending = self._on_end, self._ending
        assert on_end is not None
        assert ending is not None
        self._on_messages = None
        try:
            on_end(ending)
        except Exception:  # noqa: BLE001 - nothing may escape into the hub
            _log.exception("the owner of a connection failed in on_end")

    def _guarded(self, act: Callable[[], None]) -> None:
        """Run one step for the loop. Nothing may escape into the hub."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - nothing may escape into the hub
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        _log.error("connection with node %d failed", self.identity.node_id, exc_info=error)
        self._finish(Ending(cause=f"internal error: {type(error).__name__}"))
