"""One end of a loopback connection: the real queue, wire and frames over a simulated TCP stream."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Protocol

import msgspec

from ..protocol import wire
from ..protocol.config import TransportSettings
from ..protocol.errors import PeerViolation, Reason
from ..protocol.identity import NodeId, PeerIdentity
from ..protocol.messages import Message
from .base import Ending
from .frames import FrameReader
from .sendqueue import SendQueue
from .tls import CLOSED_BY_PEER

WINDOW_BYTES = 256 * 1024
"""Bytes on the way or unread at the receiver before the sender's queue must keep them."""
RESEND_FIRST_S = 0.2
RESEND_CAP_S = 3.2
"""A lost chunk is sent again after 0.2, 0.4, … 3.2, 3.2 s, as TCP does."""
RESET_BYTES = 64
RESET = Ending(cause="connection lost: Connection reset by peer")


class ItemKind(Enum):
    """What travels in one direction of a stream, in order; a RESET overtakes everything."""

    OPEN = "open"
    DATA = "data"
    CLOSE = "close"
    """Orderly end, as TLS close_notify with TCP's FIN."""
    END = "end"
    """End without close_notify: the process died."""
    RESET = "reset"


class Item:
    """One thing on its way."""

    def __init__(
        self,
        kind: ItemKind,
        data: bytes = b"",
        opened: Callable[[], Ending | None] | None = None,
    ) -> None:
        self.kind = kind
        self.data = data
        self.opened = opened
        """Of an OPEN: the other side judges the dialler; None, or the refusal it hears of."""
        self.arrived = False


class Path(Protocol):
    """What happens to bytes on the way. Asked for every chunk, and again when one is resent."""

    def delay_s(self, source: NodeId, target: NodeId, size_bytes: int) -> float | None:
        """Seconds until the bytes arrive; None = they are lost (or the path is cut).

        Infinity = they wait on the way until the path lets them go: `hold` is called next.
        """

    def hold(self, source: NodeId, target: NodeId, action: Callable[[], None]) -> None:
        """Keep what is to happen when the bytes arrive; call it when the path moves again."""


def carry(
    path: Path,
    defer: Callable[[float, Callable[[], None]], None],
    source: NodeId,
    target: NodeId,
    size_bytes: int,
    action: Callable[[], None],
) -> bool:
    """Do ``action`` when ``size_bytes`` have come over the path; False when they are lost."""
    delay_s = path.delay_s(source, target, size_bytes)
    if delay_s is None:
        return False
    if delay_s == math.inf:
        path.hold(source, target, action)
    else:
        defer(delay_s, action)
    return True


class Endpoint:
    """See `base.Connection`."""

    def __init__(
        self,
        node: NodeId,
        peer_node: NodeId,
        identity: PeerIdentity,
        *,
        dialled: bool,
        address: str,
        settings: TransportSettings,
        defer: Callable[[float, Callable[[], None]], None],
        path: Path,
        on_closed: Callable[[Endpoint], None],
        on_sent: Callable[[Endpoint, Sequence[Message]], None] | None = None,
    ) -> None:
        self.identity = identity
        self.dialled = dialled
        self.address = address
        self.unknown_messages = 0
        self.on_room: Callable[[], None] | None = None
        self.node = node
        self.peer_node = peer_node
        """The node at the other end, whatever its certificate says."""
        self._on_sent = on_sent
        self._settings = settings
        self._defer = defer
        self._path = path
        self._on_closed = on_closed
        self._queue = SendQueue(settings.send_queue_bytes, settings.max_frame_bytes)
        self._frames = FrameReader(settings.max_frame_bytes)
        self._far: Endpoint | None = None
        self._under_way: deque[Item] = deque()
        self._window_bytes = 0
        self._unread: deque[Item] = deque()
        self._reading = False
        self._paused = False
        self._stalled = False
        self._started = False
        self._dead = False
        self._close_cause: str | None = None
        self._close_sent = False
        self._ending: Ending | None = None
        self._on_messages: Callable[[Sequence[Message]], None] | None = None
        self._on_end: Callable[[Ending], None] | None = None

    def start(
        self,
        on_messages: Callable[[Sequence[Message]], None],
        on_end: Callable[[Ending], None],
    ) -> None:
        assert not self._started, "start() is called once"
        self._started = True
        self._on_messages = on_messages
        self._on_end = on_end
        if self._ending is not None:
            self._defer(0.0, self._tell_end)
        self._read_soon()

    def send(self, messages: Sequence[Message]) -> bool:
        if self._ending is not None or self._close_cause is not None:
            return False
        if not messages:
            return True
        if self.at_once(messages):
            return True
        if not self._queue.offer(messages):
            return False
        if self._on_sent is not None:
            self._on_sent(self, messages)
        self._flush()
        return True

    def at_once(self, messages: Sequence[Message]) -> bool:
        if self._ending is not None or self._close_cause is not None:
            return False
        room = self._window_bytes < WINDOW_BYTES
        framed = bytes(self._queue.straight(messages)) if room else b""
        if framed:
            if self._on_sent is not None:
                self._on_sent(self, messages)
            self.emit(Item(ItemKind.DATA, framed))
        return bool(framed)

    def close(self, cause: str) -> None:
        if self._ending is not None or self._close_cause is not None:
            return
        self._close_cause = cause
        self._defer(self._settings.close_timeout_s, lambda: self._finish(Ending(cause=cause)))
        self._read_soon()
        self._flush()

    def abort(self, cause: str) -> None:
        if self._ending is None:
            self._emit_reset()
            self._finish(Ending(cause=cause))

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._read_soon()

    def stall(self, *, on: bool) -> None:
        """Fault: this end does not read, whatever its consumer wants; undone by ``on=False``."""
        self._stalled = on
        self._read_soon()

    def inject(self, messages: Sequence[Message]) -> bool:
        """Fault: deliver messages the peer has not sent; False when nobody listens (any more)."""
        if self._on_messages is None or self._ending is not None or self._close_cause is not None:
            return False
        self._on_messages(messages)
        return True

    @property
    def queued_bytes(self) -> int:
        return self._queue.queued_bytes

    def die(self) -> None:
        """The process is gone; its kernel tells the peer."""
        self._dead = True
        if self._ending is None:
            self._queue.clear()
            self._under_way_end(ItemKind.END)
            self._finish(Ending(cause="the node was killed"))

    def join(self, far: Endpoint) -> None:
        """Tie this accepting end and the dialling one together."""
        self._far = far
        far._far = self

    # the direction from here to there

    def emit(self, item: Item) -> None:
        """Send ``item`` behind everything already on its way."""
        self._under_way.append(item)
        self._window_bytes += len(item.data)
        self._transmit(item, RESEND_FIRST_S)

    def _flush(self) -> None:
        """Put on the way what the window allows."""
        while self._queue.queued_bytes and self._window_bytes < WINDOW_BYTES:
            self.emit(Item(ItemKind.DATA, bytes(self._queue.take())))
        if self._close_cause is not None and not self._queue.queued_bytes:
            self._under_way_end(ItemKind.CLOSE)
        if self._queue.has_room_again():
            self._defer(0.0, self._tell_room)

    def _tell_room(self) -> None:
        if self._ending is None and self._close_cause is None and self.on_room is not None:
            self.on_room()

    def _under_way_end(self, kind: ItemKind) -> None:
        if not self._close_sent:
            self._close_sent = True
            self.emit(Item(kind))

    def _transmit(self, item: Item, resend_s: float) -> None:
        if item not in self._under_way:
            return  # a reset made it pointless
        if self._carry(len(item.data), partial(self._arrive, item)):
            return
        if self._ending is not None:
            self._under_way.clear()  # nobody is left to send it again
        else:
            later_s = min(resend_s * 2, RESEND_CAP_S)
            self._defer(resend_s, lambda: self._transmit(item, later_s))

    def _carry(self, size_bytes: int, action: Callable[[], None]) -> bool:
        return carry(self._path, self._defer, self.node, self.peer_node, size_bytes, action)

    def _carry_back(self, size_bytes: int, action: Callable[[], None]) -> None:
        carry(self._path, self._defer, self.peer_node, self.node, size_bytes, action)

    def _arrive(self, item: Item) -> None:
        """An item came through; what it was waiting for, or what waited for it, is delivered."""
        item.arrived = True
        while self._under_way and self._under_way[0].arrived:
            self._deliver(self._under_way.popleft())

    def _deliver(self, item: Item) -> None:
        if item.kind is ItemKind.OPEN:
            assert item.opened is not None
            refusal = item.opened() if self._ending is None else None
            if refusal is not None:
                self._carry_back(RESET_BYTES, lambda: self._refused(refusal))
            return
        far = self._far
        if far is not None:
            far._receive(item)  # noqa: SLF001 - the other end of the same thing

    def _emit_reset(self) -> None:
        """A reset is sent once; on a cut path the peer never hears of it."""
        self._under_way.clear()
        far = self._far
        if far is not None:
            self._carry(RESET_BYTES, lambda: far._refused(RESET))  # noqa: SLF001 - the other end

    def _refused(self, ending: Ending) -> None:
        """A reset or a TLS alert of the peer came: whatever was on its way is pointless."""
        self._under_way.clear()
        self._finish(ending)

    # the direction from there to here

    def _receive(self, item: Item) -> None:
        if self._ending is not None:
            if item.kind is ItemKind.DATA:
                self._emit_reset()
            return
        self._unread.append(item)
        self._read()

    def _read_soon(self) -> None:
        if self._unread and not self._reading:
            self._reading = True
            self._defer(0.0, self._read_deferred)

    def _read_deferred(self) -> None:
        self._reading = False
        self._read()

    def _read(self) -> None:
        discard = self._close_cause is not None
        while self._unread and self._ending is None:
            if self._stalled or (not discard and (self._paused or not self._started)):
                return
            self._consume(self._unread.popleft(), discard)
            discard = self._close_cause is not None

    def _consume(self, item: Item, discard: bool) -> None:
        if item.kind is ItemKind.DATA:
            if self._far is not None:
                self._far._credit(len(item.data))  # noqa: SLF001 - the other end
            if not discard:
                self._hand_over(item.data)
            return
        clean = item.kind is ItemKind.CLOSE
        cause = CLOSED_BY_PEER
        if clean and self._frames.pending_bytes and not discard:
            clean, cause = False, f"{CLOSED_BY_PEER} in the middle of a frame"
        if item.kind is ItemKind.CLOSE:
            self._queue.clear()
            self._under_way_end(ItemKind.CLOSE)
        self._finish(Ending(cause=cause, clean=clean))

    def _credit(self, size_bytes: int) -> None:
        """The other end read: its acknowledgement costs nothing and is never lost."""
        self._window_bytes -= size_bytes
        if self._ending is None and (self._queue.queued_bytes or self._close_cause is not None):
            self._flush()

    def _hand_over(self, data: bytes) -> None:
        messages: list[Message] = []
        violation = None
        try:
            for body in self._frames.receive((data,)):
                self.unknown_messages += wire.take(body, messages)
        except PeerViolation as error:
            violation = Ending(cause=str(error), reason=Reason.VIOLATION)
        if messages and self._on_messages is not None:
            self._on_messages(messages)
        if violation is not None and self._ending is None:
            self._emit_reset()
            self._finish(violation)

    # ending

    def _finish(self, ending: Ending) -> None:
        if self._ending is not None:
            return
        if self._close_cause is not None:
            ending = msgspec.structs.replace(ending, cause=self._close_cause)
        self._ending = msgspec.structs.replace(ending, node_id=self.identity.node_id)
        self._queue.clear()
        self._unread.clear()
        self._on_closed(self)
        if self._started:
            self._defer(0.0, self._tell_end)

    def _tell_end(self) -> None:
        if self._dead:
            return
        on_end, ending = self._on_end, self._ending
        assert on_end is not None
        assert ending is not None
        on_end(ending)
