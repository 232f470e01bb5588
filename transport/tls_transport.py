"""The transport of production: `bins:` links over mutual TLS, in one gevent hub."""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent

from ..protocol.config import TlsSettings, TransportSettings
from ..protocol.errors import Misuse
from ..protocol.identity import BinsUrl, NodeId
from .addresses import resolve
from .base import Connection, Dial, Ending, Listener
from .connection import READ_AT_ONCE_BYTES, TlsConnection
from .dialer import TlsDial
from .handshake import Handshake
from .listener import TlsListener, bind
from .tally import Tally
from .tls import TlsContext, TlsSession, load_tls

BLOCKED = "blocked by the test switch"
_CLOSED = "the transport was closed"
_log = logging.getLogger("tagmesh.transport")


class TlsTransport:
    """See `base.Transport`. Made and used in the thread of one hub only (H16).

    Raises `Misuse` when the files of ``[tls]`` cannot serve as node ``me``'s. ``user_timeout_s``:
    TCP_USER_TIMEOUT of the connections, None = the system's default.
    """

    def __init__(
        self,
        tls: TlsSettings,
        settings: TransportSettings,
        me: NodeId,
        *,
        user_timeout_s: float | None = None,
    ) -> None:
        self._hub = gevent.get_hub()
        self._tls, self._me = tls, me
        self._context: TlsContext = load_tls(tls, me)
        self._settings = settings
        self._user_timeout_s = user_timeout_s
        self._read_buffer = bytearray(READ_AT_ONCE_BYTES)
        self._listeners: list[TlsListener] = []
        self._dials: dict[TlsDial, NodeId] = {}
        self._connections: dict[TlsConnection, None] = {}
        self._blocked: set[NodeId] = set()
        self._closed = False
        self.tally = Tally()

    @property
    def crl_next_update_wall_s(self) -> float | None:
        """When the revocation list goes stale and nobody joins any more; None = no list (S7)."""
        return self._context.crl_next_update_wall_s

    @property
    def certificate_ends_wall_s(self) -> float:
        """When the own certificate expires and no new link is made."""
        return self._context.certificate_ends_wall_s

    @property
    def connections(self) -> int:
        """Connections that are not over yet, those being closed included."""
        return len(self._connections)

    def reload(self) -> None:
        """Read the files of ``[tls]`` again; connections made from now on use them.

        Raises `Misuse` when they are not good, and changes nothing then.
        """
        self._context = load_tls(self._tls, self._me)
        for listener in self._listeners:
            listener.use(self._context)

    def listen(
        self,
        url: BinsUrl,
        on_connection: Callable[[Connection], None],
        on_refused: Callable[[str, Ending], None],
    ) -> Listener:
        self._check()

        def on_done(handshake: Handshake, address: str, ending: Ending | None) -> None:
            reason = ending.reason if ending is not None else None
            self.tally.shook(dialled=False, ended=ending is not None, reason=reason)
            if ending is None:
                ending = self._taken(handshake, address, on_connection)
            if ending is not None:
                self._later(on_refused, address, ending)

        error = Misuse(f"cannot listen at {url}: no address")
        for address in resolve(url):
            try:
                sock = bind(address.sockaddr, address.family, url)
            except Misuse as why:
                error = why
                continue
            real = BinsUrl(url.host, sock.getsockname()[1])
            loop = self._hub.loop
            listener = TlsListener(loop, sock, real, self._context, self._settings, on_done)
            self._listeners.append(listener)
            return listener
        raise error

    def dial(
        self,
        url: BinsUrl,
        expected: NodeId,
        on_connection: Callable[[Connection], None],
        on_failure: Callable[[Ending], None],
    ) -> Dial:
        self._check()

        def on_done(dial: TlsDial, handshake: Handshake, address: str) -> None:
            del self._dials[dial]
            self.tally.shook(dialled=True, ended=False, reason=None)
            self._connected(handshake, address, True, on_connection)

        def on_failed(dial: TlsDial, ending: Ending) -> None:
            if dial.shook:
                self.tally.shook(dialled=True, ended=True, reason=ending.reason)
            if self._dials.pop(dial, None) is not None:
                self._now(on_failure, ending)

        def session() -> TlsSession:
            return TlsSession(self._context, accepted=False, expected=expected)

        dial = TlsDial(self._hub.loop, url, session, self._settings, on_done, on_failed)
        self._dials[dial] = expected
        if expected in self._blocked:
            dial.fail(Ending(cause=BLOCKED, nobody_there=True))
        else:
            dial.begin()
        return _Cancellable(self._dials, dial)

    def block(self, node: NodeId) -> None:
        self._blocked.add(node)
        for dial, expected in list(self._dials.items()):
            if expected == node:
                dial.fail(Ending(cause=BLOCKED, nobody_there=True))
        for connection in list(self._connections):
            if connection.identity.node_id == node:
                connection.abort(BLOCKED)

    def unblock(self, node: NodeId) -> None:
        self._blocked.discard(node)

    def close(self) -> None:
        self._closed = True
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for dial in self._dials:
            dial.cancel()
        self._dials.clear()
        for connection in list(self._connections):
            connection.abort(_CLOSED)

    def _check(self) -> None:
        if self._closed:
            raise Misuse("the transport was closed; make a new one")
        if gevent.get_hub() is not self._hub:
            raise Misuse("a transport is used in the thread it was made in, and only there")

    def _taken(
        self, handshake: Handshake, address: str, on_connection: Callable[[Connection], None]
    ) -> Ending | None:
        """Make an incoming handshake a connection, unless the test switch forbids it."""
        identity = handshake.session.identity
        assert identity is not None
        if identity.node_id in self._blocked:
            handshake.drop()
            return Ending(cause=BLOCKED, node_id=identity.node_id)
        self._connected(handshake, address, False, on_connection)
        return None

    def _connected(
        self,
        handshake: Handshake,
        address: str,
        dialled: bool,
        on_connection: Callable[[Connection], None],
    ) -> None:
        connection = TlsConnection(
            self._hub.loop,
            handshake.release(),
            handshake.session,
            self._settings,
            dialled=dialled,
            address=address,
            tally=self.tally,
            read_buffer=self._read_buffer,
            plaintext=handshake.plaintext,
            on_closed=self._forget,
            user_timeout_s=self._user_timeout_s,
        )
        self._connections[connection] = None
        self._now(on_connection, connection)

    def _forget(self, connection: TlsConnection) -> None:
        self._connections.pop(connection, None)

    def _later(self, callback: Callable[..., None], *args: object) -> None:
        self._hub.loop.run_callback(self._now, callback, *args)

    def _now(self, callback: Callable[..., None], *args: object) -> None:
        """Call our user; what it raises must not reach the hub."""
        try:
            callback(*args)
        except Exception:  # noqa: BLE001 - nothing may escape into the hub
            _log.exception("a callback of the transport's user failed")


class _Cancellable:
    """The `base.Dial` handed out: forgets the attempt when it is cancelled."""

    def __init__(self, dials: dict[TlsDial, NodeId], dial: TlsDial) -> None:
        self._dials = dials
        self._dial = dial

    def cancel(self) -> None:
        if self._dials.pop(self._dial, None) is not None:
            self._dial.cancel()
