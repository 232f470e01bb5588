"""What actors may ask of a transport. TLS, loopback and simulated networks all look like this.

Everything here happens in one hub thread; callbacks are called there, never re-entrantly from
inside the call that registered them, and must not block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from ..protocol.errors import Reason
from ..protocol.identity import BinsUrl, NodeId, PeerIdentity
from ..protocol.messages import Message


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """Why a connection, or the attempt to make one, ended."""

    cause: str
    """A short phrase for people, e.g. ``closed by the peer``, ``connection refused``."""
    clean: bool = False
    """Both sides agreed on the end (TLS close_notify)."""
    nobody_there: bool = False
    """Proof that trying again at once is vain: nothing listens there (ECONNREFUSED), or the test
    switch blocks it."""
    reason: Reason | None = None
    """The refusal, when TLS or the identity check refused; None for mere trouble."""
    by_peer: bool = False
    """The refusal is the other side's verdict (it came as a TLS alert)."""
    node_id: NodeId | None = None
    """The id the peer's certificate proved, if it got that far."""


class Connection(Protocol):
    """One authenticated connection. Made by a `Transport`; TLS has proved `identity` already."""

    identity: PeerIdentity
    dialled: bool
    """True when this side opened it."""
    address: str
    """``host:port`` of the other end, for people."""
    on_room: Callable[[], None] | None
    """For whoever sends, None at first: called once after `send` said that the queue is full, as
    soon as at most half of it waits. Later, from the loop; not when the connection ends before."""

    def start(
        self,
        on_messages: Callable[[Sequence[Message]], None],
        on_end: Callable[[Ending], None],
    ) -> None:
        """Begin to deliver. ``on_end`` comes exactly once, after the last ``on_messages``.

        What arrived before `start` is kept (bounded) and delivered after it returns.
        """

    def send(self, messages: Sequence[Message]) -> bool:
        """Queue messages, in order, control before data; False when the queue is full or it ended.

        Either all of them are queued or none; `on_room` tells when it is worth another try. Data
        (`sendqueue.DATA_KINDS`) may fill only a part of the queue, so that control has room too.
        Raises `Misuse` for what can never be sent: a message longer than a frame may be, a batch
        larger than the send queue.
        """

    def at_once(self, messages: Sequence[Message]) -> bool:
        """`send`, if nothing waits and nothing was sent in this turn of the loop, so that they are
        written now; False, and nothing happened, if not."""

    def close(self, cause: str) -> None:
        """Flush what is queued, shut TLS down and drain to end of file, all within close_timeout.

        ``on_end`` is called with ``cause`` when it is over; what still arrives until then is
        discarded. A second call does nothing.
        """

    def abort(self, cause: str) -> None:
        """Drop the connection now, without flushing. ``on_end`` follows."""

    def pause(self) -> None:
        """Stop reading: the consumer's inbox is full."""

    def resume(self) -> None:
        """Read again."""

    @property
    def queued_bytes(self) -> int:
        """Bytes waiting to be written."""


class Dial(Protocol):
    """An attempt to connect, under way."""

    def cancel(self) -> None:
        """Give up; no callback follows."""


class Listener(Protocol):
    """A listening socket."""

    url: BinsUrl
    """The url in use; the port is the real one when 0 was asked for."""

    def close(self) -> None:
        """Stop listening and drop every half-open connection."""


class Transport(Protocol):
    """Makes authenticated connections."""

    def listen(
        self,
        url: BinsUrl,
        on_connection: Callable[[Connection], None],
        on_refused: Callable[[str, Ending], None],
    ) -> Listener:
        """Listen at ``url``. Raises `Misuse` saying why when the address cannot be had.

        ``on_connection`` gets each connection whose TLS handshake and identity check succeeded;
        ``on_refused(address, ending)`` each incoming attempt that failed on the way.
        """

    def dial(
        self,
        url: BinsUrl,
        expected: NodeId,
        on_connection: Callable[[Connection], None],
        on_failure: Callable[[Ending], None],
    ) -> Dial:
        """Connect to ``url`` and demand that the certificate there is that of node ``expected``.

        Exactly one callback follows, later, unless cancelled. Names are resolved anew each time
        and every address is tried (D-3).
        """

    def block(self, node: NodeId) -> None:
        """Test switch: end connections with ``node`` and refuse new ones in both directions."""

    def unblock(self, node: NodeId) -> None:
        """Undo `block`."""

    def close(self) -> None:
        """Close listeners and connections."""
