"""Connecting on a loopback network: TCP and TLS as flights over a `Path`, certificates judged.

As in TLS 1.3 the dialler is done before the acceptor has judged its certificate: the acceptor's
verdict then arrives on what looks established.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..protocol.errors import Reason
from ..protocol.identity import BinsUrl, NodeId, PeerIdentity
from .base import Connection, Ending
from .loopback_connection import RESET, Endpoint, Item, ItemKind, carry
from .verdicts import ALERT_CERTIFICATE_EXPIRED, X509_EXPIRED, of_alert, of_x509_error

if TYPE_CHECKING:
    from .loopback import LoopbackListener, LoopbackTransport

HELLO_BYTES = 1024
"""Size told to the `Path` for each flight of a handshake."""
BLOCKED = "blocked by the test switch"

_Objection = tuple[Ending, Ending]
"""Why the other side's certificate is refused: what is noted here, and what its alert says there"""


class LoopbackDial:
    """See `base.Dial`: TCP and TLS as four flights, each asking the `Path`."""

    def __init__(
        self,
        owner: LoopbackTransport,
        url: BinsUrl,
        expected: NodeId,
        on_connection: Callable[[Connection], None],
        on_failure: Callable[[Ending], None],
    ) -> None:
        self.expected = expected
        self._owner = owner
        self._url = url
        self._on_connection = on_connection
        self._on_failure = on_failure
        self._defer = owner.network.defer
        self._stage = object()

    def begin(self) -> None:
        """Set out; called once."""
        if self._owner.blocks(self.expected):
            self.fail(Ending(cause=BLOCKED, nobody_there=True))
            return
        settings = self._owner.network.settings
        self._limit(settings.connect_timeout_s, "TCP connection", "connect_timeout")
        self._defer(0.0, self._syn)

    def cancel(self) -> None:
        self._owner.forget_dial(self)

    def fail(self, ending: Ending) -> None:
        """End the attempt; the callback follows later, unless it is cancelled first."""
        self._defer(0.0, lambda: self._tell_failure(ending))

    def _tell_failure(self, ending: Ending) -> None:
        if self._owner.forget_dial(self):
            self._on_failure(ending)

    def _limit(self, limit_s: float, what: str, setting: str) -> None:
        stage = self._stage = object()
        ending = Ending(cause=f"no {what} within {limit_s:g} s ({setting})")

        def strike() -> None:
            if self._stage is stage:
                self._tell_failure(ending)

        self._defer(limit_s, strike)

    def _flight(self, source: NodeId, target: NodeId, action: Callable[[], None]) -> None:
        """Carry one flight if the path lets it; after a lost one the limit strikes."""
        carry(self._owner.network.path, self._defer, source, target, HELLO_BYTES, action)

    def _syn(self) -> None:
        target = self._owner.network.find(self._url)
        # nobody listens: the machine of the expected node says so, if the path to it is whole
        node = target.owner.node if target else self.expected
        self._flight(self._owner.node, node, lambda: self._syn_arrived(node))

    def _syn_arrived(self, node: NodeId) -> None:
        if self._owner.network.find(self._url) is None:
            refused = Ending(cause="connection refused", nobody_there=True)
            self._flight(node, self._owner.node, lambda: self._tell_failure(refused))
        else:
            self._flight(node, self._owner.node, lambda: self._connected(node))

    def _connected(self, node: NodeId) -> None:
        settings = self._owner.network.settings
        self._limit(settings.handshake_timeout_s, "TLS handshake", "handshake_timeout")
        self._flight(self._owner.node, node, lambda: self._hello_arrived(node))

    def _hello_arrived(self, node: NodeId) -> None:
        listener = self._owner.network.find(self._url)
        if listener is not None:
            self._flight(node, self._owner.node, lambda: self._judge(listener))

    def _judge(self, listener: LoopbackListener) -> None:
        """The acceptor showed its certificate: is it good, and of the node that was dialled?"""
        if not self._owner.alive or not self._owner.forget_dial(self):
            return
        me, peer = self._owner, listener.owner.identity
        address = f"{self._url.host}:{self._url.port}"
        objection = _date_objection(me, peer) or _id_objection(peer, self.expected)
        if objection is not None:
            ours, theirs = objection
            self._on_failure(ours)
            self._flight(
                me.node,
                listener.owner.node,
                lambda: listener.on_refused(f"node-{me.node}:0", theirs),
            )
            return
        mine = me.endpoint(peer, listener.owner.node, address, dialled=True)
        mine.emit(Item(ItemKind.OPEN, opened=lambda: _accept(listener, mine, me)))
        self._on_connection(mine)


def _date_objection(judge: LoopbackTransport, identity: PeerIdentity) -> _Objection | None:
    """None = the certificate is good by the judge's clock. Says what OpenSSL's verdict becomes."""
    if not judge.ended(identity):
        return None
    reason, cause = of_x509_error(X509_EXPIRED)
    told, alert = of_alert(ALERT_CERTIFICATE_EXPIRED)
    return Ending(cause=cause, reason=reason), Ending(cause=alert, reason=told, by_peer=True)


def _id_objection(identity: PeerIdentity, expected: NodeId) -> _Objection | None:
    """None = the certificate is that of the node that was dialled."""
    shown, reason = identity.node_id, Reason.CERT_IDENTITY
    if shown == expected:
        return None
    cause = f"its certificate is that of node {shown}; node {expected} was dialled"
    alert = "the peer refused us: our certificate is not that of the node it dialled"
    return (
        Ending(cause=cause, reason=reason, node_id=shown),
        Ending(cause=alert, reason=reason, by_peer=True),
    )


def _accept(listener: LoopbackListener, far: Endpoint, dialler: LoopbackTransport) -> Ending | None:
    """The dialler's last flight arrived: None = it is taken, else the refusal that it hears of."""
    owner, identity = listener.owner, dialler.identity
    address = f"node-{dialler.node}:0"
    if not owner.alive or owner.network.find(listener.url) is not listener:
        return RESET
    objection = _date_objection(owner, identity)
    if objection is not None:
        ours, theirs = objection
        listener.on_refused(address, ours)
        return theirs
    if owner.blocks(identity.node_id):
        listener.on_refused(address, Ending(cause=BLOCKED, node_id=identity.node_id))
        return RESET
    near = owner.endpoint(identity, dialler.node, address, dialled=False)
    near.join(far)
    listener.on_connection(near)
    return None
