"""Greeting: what both ends of one new connection say, and how this end judges it (J-1).

Each side says HELLO as soon as TLS and admission are through, and judges the other's. Then WELCOME
goes both ways: the node with the lower id says it first and thereby *chooses* this connection, the
other one answers it. Only one side chooses, so two simultaneous dials cannot end with each side
keeping another connection, and none that is in use is given up for one that is not.

A connection is in one phase:

======================  =========================================================================
phase                   what moves it on
======================  =========================================================================
GREETING                our HELLO is out; waits for the peer's HELLO and judges it
WAITING                 their HELLO was good; waits for their WELCOME (ours is out if we choose)
CONTESTED               all was good, but an older process of that id holds a connection (J-2)
ESTABLISHED             both WELCOMEs are through: links use it
======================  =========================================================================

A HELLO that is not good is refused with a reason; what comes out of turn is a `PeerViolation`
(W17, W18). Of the protocol versions that both ends speak the highest is taken, so nodes of two
versions work together while a cluster is upgraded one node after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from .errors import PeerViolation, Reason
from .identity import ClusterId, Incarnation, NodeId
from .messages import PROTOCOL_VERSION, ClusterOffer, Description, Hello, Refusal, Welcome

Versions = tuple[int, int]
"""The lowest and the highest protocol version that a process speaks."""
OUR_VERSIONS: Versions = (PROTOCOL_VERSION, PROTOCOL_VERSION)

MAX_SOFTWARE_CHARS = 64
MAX_DETAIL_CHARS = 128
"""What is kept of a text the peer wrote (S12)."""

ConnectionKey = int
"""The shell's name for a connection; grows with each one."""


class Phase(StrEnum):
    """Where a connection is on its way to being established."""

    GREETING = "greeting"
    WAITING = "waiting"
    CONTESTED = "contested"
    ESTABLISHED = "established"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What this process says of itself in HELLO, the same on every connection."""

    node_id: NodeId
    incarnation: Incarnation
    max_frame_bytes: int
    software: str
    versions: Versions = OUR_VERSIONS
    descriptions: Mapping[ClusterId, Description] = {}
    """Of this node, for peers that may not know it (dynamic mode)."""


class Greeting:
    """One connection. It changes its own phase only where a message of the peer does."""

    def __init__(
        self, key: ConnectionKey, session: bytes, *, dialled: bool, opened_at: float
    ) -> None:
        self.key = key
        self.session = session
        """What our HELLO carried and the peer's WELCOME must repeat; 8 random bytes."""
        self.dialled = dialled
        self.since = opened_at
        """When the phase that is timed began: opened, chosen, established."""
        self.phase = Phase.GREETING
        self.clusters: tuple[ClusterId, ...] = ()
        """The clusters both offer; once welcomed, those both serve."""
        self.protocol = 0
        """The version spoken here; 0 until their HELLO was good."""
        self._hello: Hello | None = None

    @property
    def hello(self) -> Hello:
        """The peer's HELLO; a bug when it has not come yet."""
        assert self._hello is not None, "only greeted connections are looked into"
        return self._hello

    @property
    def missing(self) -> str:
        """The message that did not come in time."""
        return "HELLO" if self._hello is None else "WELCOME"

    @property
    def dialler_session(self) -> bytes:
        """The session by which both ends can name this connection later."""
        return self.session if self.dialled else self.hello.session

    def say_hello(
        self, me: Identity, offers: Mapping[ClusterId, str], *, lost_session: bytes
    ) -> Hello:
        """Our first message."""
        return Hello(
            protocol_min=me.versions[0],
            protocol_max=me.versions[1],
            node_id=me.node_id,
            incarnation=me.incarnation,
            session=self.session,
            lost_session=lost_session,
            clusters=[
                ClusterOffer(cluster, digest, me.descriptions.get(cluster))
                for cluster, digest in sorted(offers.items())
            ],
            max_frame_bytes=me.max_frame_bytes,
            software=me.software[:MAX_SOFTWARE_CHARS],
        )

    def take_hello(
        self, hello: Hello, me: Identity, peer: NodeId, offers: Mapping[ClusterId, str]
    ) -> tuple[Reason, str] | None:
        """The peer's HELLO: None when it is good, else why it is refused."""
        if self._hello is not None:
            raise PeerViolation("a second HELLO")
        self._hello = hello
        if hello.node_id != peer:
            detail = f"HELLO of node {hello.node_id}, certificate of node {peer}"
            return Reason.CERT_IDENTITY, detail
        theirs_min, theirs_max = hello.protocol_min, hello.protocol_max
        highest = min(me.versions[1], theirs_max)
        if highest < max(me.versions[0], theirs_min):
            ours, spoken = _shown(*me.versions), _shown(theirs_min, theirs_max)
            return Reason.VERSION, f"you speak protocol {spoken}, we speak {ours}"
        theirs = {offer.cluster_id: offer.config_digest for offer in hello.clusters}
        common = [cluster for cluster in sorted(offers) if cluster in theirs]
        if not common:
            detail = f"we share clusters {sorted(offers)} with you, you offer {sorted(theirs)}"
            return Reason.NO_COMMON_CLUSTER, detail[:MAX_DETAIL_CHARS]
        differing = [cluster for cluster in common if theirs[cluster] != offers[cluster]]
        if differing:
            return Reason.CONFIG_MISMATCH, f"settings of cluster {differing[0]} differ (rerouting)"
        self.clusters = tuple(common)
        self.protocol = highest
        self.phase = Phase.WAITING
        return None

    def say_welcome(self) -> Welcome:
        """Our acceptance of the peer's HELLO."""
        return Welcome(self.protocol, self.hello.session, list(self.clusters))

    def take_welcome(self, welcome: Welcome) -> None:
        """The peer's acceptance of our HELLO."""
        if self.phase is not Phase.WAITING:
            raise PeerViolation("a WELCOME out of turn")
        if welcome.session != self.session:
            raise PeerViolation("a WELCOME of another session")
        if welcome.protocol != self.protocol:
            raise PeerViolation(f"a WELCOME to protocol {welcome.protocol}")
        served = tuple(cluster for cluster in self.clusters if cluster in welcome.clusters)
        if not served:
            raise PeerViolation("a WELCOME to none of our common clusters")
        self.clusters = served


def _shown(low: int, high: int) -> str:
    """Versions for people."""
    return str(low) if low == high else f"{low} to {high}"


def reason_of(refusal: Refusal) -> tuple[Reason, str]:
    """Code and sentence of the peer's REFUSAL, made safe for logs (S12).

    A code that a newer peer knows and we do not is a VIOLATION with that code in the sentence.
    """
    try:
        reason = Reason(refusal.reason)
    except ValueError:
        return Reason.VIOLATION, f"unknown reason {refusal.reason!a}"[:MAX_DETAIL_CHARS]
    return reason, ascii(refusal.detail)[1:-1][:MAX_DETAIL_CHARS]
