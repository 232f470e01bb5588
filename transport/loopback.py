"""A network without sockets: the same contract as `TlsTransport`, on any clock, deterministic.

Messages pass through the real wire, frames and send queue. What TCP does for a stream is kept:
bytes arrive in order or not at all, lost ones are sent again with growing pauses, a receiver that
does not read stops the sender. Time exists only as the delays given to ``defer``; there is no
randomness here. A simulator brings both by its `Path`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from ..protocol.config import TransportSettings
from ..protocol.errors import Misuse
from ..protocol.identity import BinsUrl, NodeId, PeerIdentity
from ..protocol.messages import Message
from .base import Connection, Dial, Ending, Listener
from .loopback_connection import Endpoint, Path
from .loopback_dial import BLOCKED, LoopbackDial

FIRST_FREE_PORT = 40_000
"""Ports given out for port 0, counting up."""
_CLOSED = "the transport was closed"

Defer = Callable[[float, Callable[[], None]], None]


class CertificateEnded(Misuse):
    """No node starts with a certificate that has ended."""


class DirectPath:
    """Everything arrives, at once."""

    def delay_s(self, source: NodeId, target: NodeId, size_bytes: int) -> float | None:  # noqa: ARG002
        return 0.0

    def hold(self, source: NodeId, target: NodeId, action: Callable[[], None]) -> None:  # noqa: ARG002
        raise AssertionError("a direct path holds nothing")


class LoopbackNetwork:
    """Where loopback transports meet. ``defer(delay_s, action)`` runs ``action`` later."""

    def __init__(
        self,
        defer: Defer,
        path: Path | None = None,
        settings: TransportSettings | None = None,
    ) -> None:
        self.defer = defer
        self.path: Path = path or DirectPath()
        self.settings = settings or TransportSettings()
        self.on_sent: Callable[[Endpoint, Sequence[Message]], None] | None = None
        """Hears of every batch a connection took to send; set it before transports are made."""
        self._listeners: dict[BinsUrl, LoopbackListener] = {}
        self._transports: dict[NodeId, LoopbackTransport] = {}
        self._ports = itertools.count(FIRST_FREE_PORT)

    def transport(
        self, node: NodeId, identity: PeerIdentity, wall: Callable[[], float] | None = None
    ) -> LoopbackTransport:
        """The transport of a (new incarnation of a) node whose certificate proves ``identity``.

        ``wall``: its clock, in seconds since the epoch, for the dates of certificates; None = no
        certificate ever ends. Raises `CertificateEnded` when its own has.
        """
        if node in self._transports:
            raise Misuse(f"node {node} has a transport here already; kill or close it first")
        transport = LoopbackTransport(self, node, identity, wall or (lambda: -math.inf))
        if transport.ended(identity):
            raise CertificateEnded(f"the certificate of node {node} expired. Renew it")
        self._transports[node] = transport
        return transport

    def kill(self, node: NodeId) -> None:
        """End a node's process: its own callbacks never come, its peers' kernels hear of it."""
        transport = self._transports.get(node)
        if transport is None:
            raise Misuse(f"node {node} has no transport here")
        transport.die()

    def free_port(self) -> int:
        """A port that no listener of this network has had."""
        return next(self._ports)

    def add(self, listener: LoopbackListener) -> None:
        """It listens from now on; `Misuse` when its address is in use."""
        if listener.url in self._listeners:
            raise Misuse(
                f"cannot listen at {listener.url}: the address is in use. Stop what listens there"
                " or take another port"
            )
        self._listeners[listener.url] = listener

    def find(self, url: BinsUrl) -> LoopbackListener | None:
        """Who listens at ``url``; None = nobody."""
        return self._listeners.get(url)

    def remove(self, listener: LoopbackListener) -> None:
        """It listens no more."""
        self._listeners.pop(listener.url, None)

    def forget(self, node: NodeId) -> None:
        """The transport of a node is over."""
        self._transports.pop(node, None)


class LoopbackListener:
    """See `base.Listener`."""

    def __init__(
        self,
        owner: LoopbackTransport,
        url: BinsUrl,
        on_connection: Callable[[Connection], None],
        on_refused: Callable[[str, Ending], None],
    ) -> None:
        self.url = url
        self.owner = owner
        self.on_connection = on_connection
        self.on_refused = on_refused
        owner.network.add(self)

    def close(self) -> None:
        self.owner.network.remove(self)


class LoopbackTransport:
    """See `base.Transport`. Made by `LoopbackNetwork.transport`."""

    def __init__(
        self,
        network: LoopbackNetwork,
        node: NodeId,
        identity: PeerIdentity,
        wall: Callable[[], float],
    ) -> None:
        self.network = network
        self.node = node
        self.identity = identity
        """What its certificate proves to whoever connects from now on."""
        self._wall = wall
        self.alive = True
        self._listeners: list[LoopbackListener] = []
        self._dials: dict[LoopbackDial, None] = {}
        self._endpoints: dict[Endpoint, None] = {}
        self._blocked: dict[NodeId, None] = {}
        self._stalled = False

    @property
    def connections(self) -> int:
        """Connections that are not over yet."""
        return len(self._endpoints)

    def endpoints(self) -> list[Endpoint]:
        """The ends here of connections that are not over yet, oldest first."""
        return list(self._endpoints)

    def stall(self, *, on: bool) -> None:
        """Fault: no connection of this node is read, those to come neither."""
        self._stalled = on
        for endpoint in self.endpoints():
            endpoint.stall(on=on)

    def listen(
        self,
        url: BinsUrl,
        on_connection: Callable[[Connection], None],
        on_refused: Callable[[str, Ending], None],
    ) -> Listener:
        self._check()
        if url.port == 0:
            url = BinsUrl(url.host, self.network.free_port())
        listener = LoopbackListener(self, url, on_connection, on_refused)
        self._listeners.append(listener)
        return listener

    def dial(
        self,
        url: BinsUrl,
        expected: NodeId,
        on_connection: Callable[[Connection], None],
        on_failure: Callable[[Ending], None],
    ) -> Dial:
        self._check()
        dial = LoopbackDial(self, url, expected, on_connection, on_failure)
        self._dials[dial] = None
        dial.begin()
        return dial

    def block(self, node: NodeId) -> None:
        self._blocked[node] = None
        for dial in list(self._dials):
            if dial.expected == node:
                dial.fail(Ending(cause=BLOCKED, nobody_there=True))
        for endpoint in list(self._endpoints):
            if endpoint.identity.node_id == node:
                endpoint.abort(BLOCKED)

    def unblock(self, node: NodeId) -> None:
        self._blocked.pop(node, None)

    def close(self) -> None:
        self._stop()
        for endpoint in list(self._endpoints):
            endpoint.abort(_CLOSED)

    def die(self) -> None:
        """The process is gone: nothing is called here any more, the peers see the end."""
        self._stop()
        for endpoint in list(self._endpoints):
            endpoint.die()

    def blocks(self, node: NodeId) -> bool:
        """Is the path to ``node`` blocked here?"""
        return node in self._blocked

    def ended(self, identity: PeerIdentity) -> bool:
        """Has this certificate ended by the clock here?"""
        return self._wall() >= identity.not_after_wall_s

    def endpoint(
        self, peer: PeerIdentity, peer_node: NodeId, address: str, *, dialled: bool
    ) -> Endpoint:
        """A new end of a connection with ``peer``."""
        endpoint = Endpoint(
            self.node,
            peer_node,
            peer,
            dialled=dialled,
            address=address,
            settings=self.network.settings,
            defer=self.network.defer,
            path=self.network.path,
            on_closed=self._forget_endpoint,
            on_sent=self.network.on_sent,
        )
        endpoint.stall(on=self._stalled)
        self._endpoints[endpoint] = None
        return endpoint

    def forget_dial(self, dial: LoopbackDial) -> bool:
        """True when ``dial`` was still under way."""
        return self._dials.pop(dial, dial) is None

    def _forget_endpoint(self, endpoint: Endpoint) -> None:
        self._endpoints.pop(endpoint, None)

    def _check(self) -> None:
        if not self.alive:
            raise Misuse("the transport was closed; make a new one")

    def _stop(self) -> None:
        if self.alive:
            self.alive = False
            self.network.forget(self.node)
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self._dials.clear()
