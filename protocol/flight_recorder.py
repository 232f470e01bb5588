"""The flight recorder: the last frames of each link and what the rules were fed, in bounded rings.

Of every message its head is kept: when, which way, with which neighbour, which kind, of which
cluster, and the size of its payload. Messages that carry the state of the cluster (`WHOLE`) are
kept whole, because they can be fed to the rules again (`simulation.flight_replay`); they hold no
payload of an application and no secret. Payloads are never kept.

What is needed to feed them again is kept beside them: the beginning of each cluster, its members,
and the links that came and went (`Input`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from .errors import Misuse, Reason
from .events import EventRecord
from .identity import ClusterId, NodeId, NodeRecord
from .messages import (
    Description,
    Goodbye,
    LinkState,
    Message,
    Packets,
    SyncChunk,
    Want,
)
from .tag_messages import Claim, TagClaims, Vow, VowRequest
from .topology import Topology
from .wire import encode

FORMAT = "tagmesh-flight"
VERSION = 1
RING_HEADS = 32
"""Heads kept per neighbour."""
RING_WHOLE_BYTES = 1024 * 1024
"""Messages kept whole, of all neighbours together."""
RING_INPUTS = 1024
"""Inputs kept per cluster."""
WHOLE = frozenset((LinkState, Want, Description, Goodbye, TagClaims, VowRequest, Vow))
"""The kinds that are kept whole."""


class Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message."""

    order: int
    """Grows by one per frame and input of this process."""
    at_s: float
    """Seconds of the clock that never steps."""
    out: bool
    """This node sent it."""
    peer: int
    """The neighbour on the other end of the connection."""
    kind: str
    cluster_id: int = 0
    """0: about the connection itself."""
    size_bytes: int = 0
    """Of the payload, which is not kept."""
    body: bytes = b""
    """Of a message that is kept whole: a frame of it alone."""


class Input(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that the rules of a cluster were told beside messages."""

    order: int
    at_s: float
    cluster_id: int
    what: str
    """``members`` | ``link_up`` | ``link_down`` | ``claims``"""
    peer: int = 0
    incarnation: int = 0
    cause: str = ""
    members: list[NodeRecord] = []
    """All of them, this node included."""
    claims: list[Claim] = []
    """On sharing tags: made here, stored, or learned from what was written under them."""


class Began(msgspec.Struct, frozen=True, kw_only=True):
    """What the topology of a cluster was made with."""

    epoch: int
    rerouting: bool
    digest_interval_s: float


class ClusterDump(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster, and how it stood at the end."""

    cluster_id: int
    began: Began
    inputs: list[Input]
    inputs_lost: int
    adjacency: list[tuple[int, list[int]]] = []
    """As ``clusterer_list_topology`` shows it; empty = nobody asked for it."""
    routes: dict[str, list[int]] = {}
    """Node to the way to it."""
    claims: list[Claim] = []
    """The highest claim on each sharing tag, by name."""


class Flight(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept, as a file."""

    format: str = FORMAT
    version: int = VERSION
    node_id: int
    incarnation: int
    software: str
    reason: str
    """Why it was written."""
    wall_s: float
    at_s: float
    """The same moment by the clock of the frames."""
    frames: list[Frame]
    """In order."""
    lost: int
    """Messages that were kept whole and are not any more: the beginning of the story is missing."""
    clusters: list[ClusterDump]
    events: list[EventRecord]


class _Began(msgspec.Struct):
    began: Began
    inputs: deque[Input]
    count: int = 0


class FlightRecorder:
    """Of one node. Belongs to the thread of its rules; times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._order = 0
        self._heads: dict[NodeId, deque[tuple[int, float, bool, type[Message], int, int]]] = {}
        self._whole: deque[Frame] = deque()
        self._whole_bytes = 0
        self._lost = 0
        self._clusters: dict[ClusterId, _Began] = {}
        self.on_fault: Callable[[str], None] = lambda _reason: None
        """Called, from any thread, when the recording should be kept: see `fault`."""

    # What is recorded -----------------------------------------------------------------------

    def came(self, peer: NodeId, messages: Sequence[Message], at_s: float) -> None:
        """These arrived from a neighbour."""
        for message in messages:
            self._note(peer, message, at_s, out=False)

    def sent(self, peer: NodeId, message: Message, at_s: float) -> None:
        """This was given to the connection with a neighbour."""
        self._note(peer, message, at_s, out=True)

    def _note(self, peer: NodeId, message: Message, at_s: float, *, out: bool) -> None:
        kind = type(message)
        self._order += 1
        cluster: int = getattr(message, "cluster_id", 0)
        if kind in WHOLE:
            self._keep_whole(peer, message, cluster, at_s, out=out)
            return
        size_bytes = 0
        if isinstance(message, Packets):
            size_bytes = len(message.payloads)
        elif isinstance(message, SyncChunk):
            size_bytes = len(message.pieces)
        heads = self._heads.get(peer)
        if heads is None:
            heads = self._heads[peer] = deque(maxlen=RING_HEADS)
        heads.append((self._order, at_s, out, kind, cluster, size_bytes))

    def _keep_whole(
        self, peer: NodeId, message: Message, cluster: int, at_s: float, *, out: bool
    ) -> None:
        body = encode([message])
        self._whole.append(
            Frame(
                order=self._order,
                at_s=at_s,
                out=out,
                peer=peer,
                kind=type(message).__name__,
                cluster_id=cluster,
                body=body,
            )
        )
        self._whole_bytes += len(body)
        while self._whole_bytes > RING_WHOLE_BYTES:
            self._whole_bytes -= len(self._whole.popleft().body)
            self._lost += 1

    def began(self, cluster: ClusterId, began: Began) -> None:
        """The rules of a cluster were made anew."""
        self._clusters[cluster] = _Began(began, deque(maxlen=RING_INPUTS))

    def members(self, cluster: ClusterId, members: Sequence[NodeRecord], at_s: float) -> None:
        """The rules of a cluster were told its members."""
        self._input(cluster, at_s, "members", members=members)

    def link(
        self, cluster: ClusterId, peer: NodeId, at_s: float, cause: str, *, incarnation: int | None
    ) -> None:
        """The rules of a cluster were told of a link: up with a life of the peer, or down."""
        what = "link_down" if incarnation is None else "link_up"
        self._input(cluster, at_s, what, peer=peer, incarnation=incarnation or 0, cause=cause)

    def claims(self, cluster: ClusterId, claims: Sequence[Claim], at_s: float) -> None:
        """The claims of a cluster were told these, but not by a message."""
        if claims:
            self._input(cluster, at_s, "claims", claims=claims)

    def _input(
        self,
        cluster: ClusterId,
        at_s: float,
        what: str,
        *,
        peer: int = 0,
        incarnation: int = 0,
        cause: str = "",
        members: Sequence[NodeRecord] = (),
        claims: Sequence[Claim] = (),
    ) -> None:
        self._order += 1
        there = self._clusters[cluster]
        there.count += 1
        there.inputs.append(
            Input(
                order=self._order,
                at_s=at_s,
                cluster_id=cluster,
                what=what,
                peer=peer,
                incarnation=incarnation,
                cause=str(cause),
                members=list(members),
                claims=list(claims),
            )
        )

    def refused(self, reason: Reason, text: str) -> None:
        """A connection was refused; one that broke the protocol is worth a look later."""
        if reason is Reason.VIOLATION:
            self.fault(f"{reason.value}: {text}")

    def fault(self, reason: str) -> None:
        """A peer broke the protocol, or an application set something aside. From any thread."""
        self.on_fault(reason)

    # What is told ---------------------------------------------------------------------------

    def frames(self) -> list[Frame]:
        """Everything that is kept of messages, in order."""
        heads = [
            Frame(
                order=order,
                at_s=at_s,
                out=out,
                peer=peer,
                kind=kind.__name__,
                cluster_id=cluster,
                size_bytes=size_bytes,
            )
            for peer, ring in sorted(self._heads.items())
            for order, at_s, out, kind, cluster, size_bytes in ring
        ]
        return sorted([*heads, *self._whole], key=lambda frame: frame.order)

    @property
    def lost(self) -> int:
        """Messages that were kept whole, and are not any more."""
        return self._lost

    def clusters(self) -> list[ClusterDump]:
        """The inputs of each cluster."""
        return [
            ClusterDump(
                cluster_id=cluster,
                began=there.began,
                inputs=list(there.inputs),
                inputs_lost=there.count - len(there.inputs),
            )
            for cluster, there in sorted(self._clusters.items())
        ]


def state_of(rules: Topology) -> tuple[list[tuple[int, list[int]]], dict[str, list[int]]]:
    """(adjacency, routes), as `ClusterDump` has them."""
    adjacency = [(int(node), [int(n) for n in near]) for node, near in rules.adjacency()]
    routes = {str(node): [int(n) for n in rules.route(node)] for node in sorted(rules.reachable)}
    return adjacency, routes


def to_bytes(flight: Flight) -> bytes:
    """The content of a file."""
    return msgspec.msgpack.encode(flight)


def from_bytes(content: bytes) -> Flight:
    """A flight read from a file; `Misuse` when it is none, or of a newer version."""
    try:
        flight = msgspec.msgpack.decode(content, type=Flight)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Misuse(
            f"this is no recording of a flight ({error}); make one with: tagmesh ctl flight dump"
        ) from error
    if flight.format != FORMAT or flight.version > VERSION:
        raise Misuse(
            f"this is {flight.format!a} version {flight.version}; this program reads {FORMAT}"
            f" up to version {VERSION}"
        )
    return flight
