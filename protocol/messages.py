"""Every message between nodes, declared once: its number, its fields, their bounds.

On the wire a message is a msgpack array ``[number, field, …]``. Numbers are never reused and
fields are only ever appended, with a default (rolling upgrades: a decoder ignores fields it does
not know). Bounds stand in the types, so the decoder checks them before any rule sees a value.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

PROTOCOL_VERSION = 1
MIN_FRAME_BYTES = 128 * 1024
"""Every node accepts frames of this size, so what control needs never has to be split."""
MAX_HOPS = 25  # behaviour 1.1: hops of a flooded message
MAX_CLUSTERS = 256
MAX_NODES = 1024  # per cluster: bounds every list of node ids
MAX_TEXT_CHARS = 256
MAX_NUMBER = 65_535  # of a message

Id = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
U63 = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Hops = Annotated[int, msgspec.Meta(ge=0, le=MAX_HOPS)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARS)]
Ids = Annotated[list[Id], msgspec.Meta(max_length=MAX_NODES)]
Session = Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]


class Message(msgspec.Struct, frozen=True, array_like=True):
    """Base of all messages."""


class ClusterOffer(msgspec.Struct, frozen=True, array_like=True):
    """What a node says of one cluster in its HELLO."""

    cluster_id: Id
    config_digest: Text
    """Digest of the settings that must agree in a cluster; another value is `config_mismatch`."""
    description: Description | None = None
    """Who I am, for a receiver that may not know me (db_mode 0, J-4)."""


class Hello(Message, frozen=True, tag=1):
    """First message of both sides after TLS and admission: who I am and what I can do (J-1)."""

    protocol_min: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    protocol_max: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    node_id: Id
    incarnation: U63
    session: Session
    """Random; the peer's WELCOME must repeat it, so a recorded session cannot be replayed."""
    lost_session: Annotated[bytes, msgspec.Meta(max_length=8)]
    """Dialler's session of the last connection with the receiver that ended for me, or empty:
    tells a receiver which still holds that connection that it is dead."""
    clusters: Annotated[list[ClusterOffer], msgspec.Meta(max_length=MAX_CLUSTERS)]
    max_frame_bytes: Annotated[int, msgspec.Meta(ge=MIN_FRAME_BYTES, le=2**31 - 1)]
    software: Text


class Welcome(Message, frozen=True, tag=2):
    """I accept you on this connection. A link may come up only after both sides said it."""

    protocol: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    session: Session
    clusters: Annotated[list[Id], msgspec.Meta(max_length=MAX_CLUSTERS)]
    """The clusters both of us serve on this connection."""


class Refusal(Message, frozen=True, tag=3):
    """I do not accept you, and why; the connection closes after it."""

    reason: Text
    detail: Text = ""


class Ping(Message, frozen=True, tag=10):
    """Are you there? Cluster 0 asks the process, not a link (the probe of J-2 `duplicate_id`)."""

    cluster_id: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    number: U63


class Pong(Message, frozen=True, tag=11):
    """Answer to the ping of that number (L-1)."""

    cluster_id: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    number: U63


class ProbeRequest(Message, frozen=True, tag=12):
    """I get no answer from ``target``: do you reach it? (L-3)"""

    cluster_id: Id
    target: Id
    number: U63


class ProbeAnswer(Message, frozen=True, tag=13):
    """Whether my own link with ``target`` is up and fresh."""

    cluster_id: Id
    target: Id
    number: U63
    reached: bool


class LinkState(Message, frozen=True, tag=20):
    """The whole neighbour set of ``origin``, with a version (T-9, T-11). Flooded."""

    cluster_id: Id
    origin: Id
    incarnation: U63
    """The one of the origin's HELLO: the life that has these links."""
    epoch: U63
    """First half of the version: the incarnation, or above it when that was contested."""
    sequence: U63
    neighbours: Annotated[list[tuple[Id, U63]], msgspec.Meta(max_length=MAX_NODES)]
    """(node, incarnation of its HELLO): the lives that the links are with (T-12)."""
    hops: Hops = 0


class Digest(Message, frozen=True, tag=21):
    """What I know: (origin, epoch, sequence) of each link state I hold (T-11)."""

    cluster_id: Id
    entries: Annotated[list[tuple[Id, U63, U63]], msgspec.Meta(max_length=MAX_NODES)]


class Want(Message, frozen=True, tag=22):
    """Send me your link states of these origins; mine are older or missing."""

    cluster_id: Id
    origins: Ids


class Description(Message, frozen=True, tag=23):
    """A node that joined dynamically (db_mode 0, J-4), told to those who lack it. Flooded."""

    cluster_id: Id
    origin: Id
    incarnation: U63
    url: Text
    priority: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    ping_retries: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    sip_addr: Text | None = None
    description: Text | None = None
    hops: Hops = 0


class Goodbye(Message, frozen=True, tag=24):
    """I leave on purpose; do not wait for my pings."""

    cluster_id: Id
    cause: Text


class Trace(Message, frozen=True, tag=30):
    """Routed there and back, noting each node passed (R-11)."""

    cluster_id: Id
    source: Id
    destination: Id
    number: U63
    ttl: Annotated[int, msgspec.Meta(ge=0, le=MAX_NODES)]
    visited: Ids
    returning: bool = False


MESSAGES: tuple[type[Message], ...] = (
    Hello, Welcome, Refusal, Ping, Pong, ProbeRequest, ProbeAnswer,
    LinkState, Digest, Want, Description, Goodbye, Trace,
)  # fmt: skip
"""Every message type, in the order of their numbers."""

AnyMessage = (
    Hello | Welcome | Refusal | Ping | Pong | ProbeRequest | ProbeAnswer
    | LinkState | Digest | Want | Description | Goodbye | Trace
)  # fmt: skip


def number_of(kind: type[Message]) -> int:
    """The message's number on the wire."""
    tag = kind.__struct_config__.tag
    assert isinstance(tag, int)
    return tag
