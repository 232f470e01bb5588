"""The messages between nodes, each declared once: its number, its fields, their bounds.

Those of sharing tags are in `tag_messages`, all together are listed in `message_list`.

On the wire a message is a msgpack array ``[number, field, …]``. Numbers are never reused and
fields are only ever appended, with a default (rolling upgrades: a decoder ignores fields it does
not know). Bounds stand in the types, so the decoder checks them before any rule sees a value.
"""

from __future__ import annotations

from enum import IntEnum
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
MAX_CAPABILITIES = 64
"""Capabilities of one node in one cluster."""
MAX_NAME_CHARS = 64  # of a capability or a tag
MAX_PAYLOAD_BYTES = 65_535
"""One application message, packed; OpenSIPS allows as much in a packet (behaviour 1.1)."""
MAX_BATCH_BYTES = 96 * 1024
"""The payloads of one `Packets`, or the pieces of one `SyncChunk`: fits every node's frames."""
MAX_BATCH = 65_536  # payloads in one `Packets`
BUCKETS = 256
"""Records of a keyed capability are spread over as many buckets, each with its digest (B6)."""
MAX_WEIGHT = 16
"""Of a node's share in the work of a capability."""
MAX_TAGS = 64
"""Tags in one sync session."""
MAX_LACKING = 16
"""Tags named in what a node says of a capability; of more it says that it lacks all."""
MAX_SECTIONS = 1024
"""Sections named in one request, so that it fits every node's frames."""
MAX_WINDOW = 1024  # chunks on their way in one sync session

Id = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
U63 = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Hops = Annotated[int, msgspec.Meta(ge=0, le=MAX_HOPS)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARS)]
Ids = Annotated[list[Id], msgspec.Meta(max_length=MAX_NODES)]
Session = Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]
Tag = Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]
"""A sharing tag; empty = records without one."""
Bucket = Annotated[int, msgspec.Meta(ge=0, lt=BUCKETS)]
DigestBytes = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Version = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Weight = Annotated[int, msgspec.Meta(ge=0, le=MAX_WEIGHT)]
"""Of a capability's data format."""
Ttl = Annotated[int, msgspec.Meta(ge=0, le=MAX_NODES)]


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


class CapState(IntEnum):
    """State of a capability on one node, as its peers see it (behaviour 1.14, Ours)."""

    DISABLED = 0
    """Switched off by an operator: neither sends nor delivers."""
    UNSYNCED = 1
    """Its data may be incomplete and nothing is done about it."""
    PENDING = 2
    """It wants a sync and waits: for a donor, or for the next attempt."""
    SYNCING = 3
    """A session with a donor is under way."""
    OK = 4
    """Its data is complete: it may be a donor and takes part in work partitioning."""
    DEGRADED = 5
    """It was OK, and a sync that should have repaired something failed."""


class CapabilityState(msgspec.Struct, frozen=True, array_like=True):
    """What a node says of one of its capabilities. Holds for the life that said it (C-3)."""

    name: Name
    state: CapState
    version_min: Version = 1
    version_max: Version = 1
    """Data formats it reads and writes."""
    position: U63 = 0
    """How new its data is, by its own count; compared only when nobody is OK (S-28)."""
    without_data: bool = False
    """It declared itself OK without a donor: a donor of last resort (S-27)."""
    reason: Text = ""
    """Why it is in this state."""
    view: U63 = 0
    """The partition view it follows, member or not: what it lost by it, it has let go (P-3)."""
    generation: U63 = 0
    """Grows each time it becomes OK in a life: who left and came back is another member (P-3)."""
    weight: Weight = 0
    """Its share of the capability's work while it is OK (P-5); 0 = it takes no part."""
    lacking: Annotated[list[Tag], msgspec.Meta(max_length=MAX_LACKING)] = []
    """Sharing tags whose records are not complete here though it is OK (K-4); [""] = all tags."""


class LinkState(Message, frozen=True, tag=20):
    """The whole neighbour set of ``origin``, with a version (T-9, T-11). Flooded.

    The states of the origin's capabilities travel in it: they change as rarely, and are repaired,
    outdated by a restart and forgotten by the same rules.
    """

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
    capabilities: Annotated[list[CapabilityState], msgspec.Meta(max_length=MAX_CAPABILITIES)] = []


class Digest(Message, frozen=True, tag=21):
    """What I know: (origin, epoch, sequence) of each link state I hold (T-11)."""

    cluster_id: Id
    entries: Annotated[list[tuple[Id, U63, U63]], msgspec.Meta(max_length=MAX_NODES)]
    tags: Annotated[bytes, msgspec.Meta(max_length=16)] = b""
    """Digest of the claims I know (H-22); empty = I know nothing of sharing tags."""


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


class Routed(Message, frozen=True):
    """Base of what travels from ``source`` to ``destination``, through others if need be (R-1)."""

    cluster_id: Id
    source: Id
    incarnation: U63
    """Of the source: nothing of an earlier life is taken."""
    destination: Id
    ttl: Ttl
    """Hops it may still make (R-11)."""
    capability: Name


class Packets(Routed, frozen=True, tag=40):
    """Application messages of one capability, in order (R-9). Data lane."""

    stream: U63
    """Numbering they belong to; a source begins a new one, above the last, with number 0."""
    number: U63
    """Of the first payload; each further one counts one up."""
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_BATCH)]
    payloads: Annotated[bytes, msgspec.Meta(max_length=MAX_BATCH_BYTES)]
    """One msgpack array of ``count`` values; only the destination's capability decodes it."""
    reliable: bool = False
    """At least once: the destination acknowledges with `Taken`."""
    floor: U63 = 0
    """Nothing below this number comes any more: it was acknowledged, given up, or meant for an
    earlier life of the destination. Who does not know the stream begins here."""


class Taken(Routed, frozen=True, tag=41):
    """Acknowledges a reliable stream: everything below ``number`` was taken (R-9)."""

    life: U63
    """Incarnation of the stream's source."""
    stream: U63
    number: U63


class Credit(Message, frozen=True, tag=42):
    """You may send me this many bytes of the capability's data lane in all (R-10)."""

    cluster_id: Id
    capability: Name
    limit_bytes: U63
    """Counted from the start of the connection; only grows."""


class SyncId(msgspec.Struct, frozen=True, array_like=True):
    """A sync session (S-20)."""

    joiner: Id
    incarnation: U63
    """Of the joiner."""
    counter: U63


class Section(msgspec.Struct, frozen=True, array_like=True):
    """The records of one tag in one bucket: how many, and the sum of their hashes."""

    tag: Tag
    bucket: Bucket
    count: U63
    digest: DigestBytes


class TagTerm(msgspec.Struct, frozen=True, array_like=True):
    """A sharing tag that somebody claimed, and its latest epoch as the sender knows it (K-1)."""

    tag: Name
    number: U63
    owner: Id
    priority: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


Moved = Annotated[list[tuple[Name, U63]], msgspec.Meta(max_length=MAX_TAGS)]
"""(tag, the node that has it; 0 = nobody): the sender does not have these (K-1, K-6)."""
Sections = Annotated[list[Section], msgspec.Meta(max_length=MAX_SECTIONS)]


class SyncRequest(Routed, frozen=True, tag=50):
    """Joiner to donor: send me what I lack (S-21)."""

    session: SyncId
    version_min: Version
    version_max: Version
    tags: Annotated[list[Tag], msgspec.Meta(max_length=MAX_TAGS)]
    """Wanted; none = everything the donor may serve: see ``terms``."""
    have: Sections
    """What I have already: sections that are the same at the donor are left out."""
    only: Annotated[list[tuple[Tag, Bucket]], msgspec.Meta(max_length=MAX_SECTIONS)]
    """Second try after a failed verification: these sections and no others; none = all."""
    buckets: Annotated[list[Bucket], msgspec.Meta(max_length=BUCKETS)] = []
    """Only of these; none = all."""
    terms: Annotated[list[TagTerm], msgspec.Meta(max_length=MAX_TAGS)] = []
    """Sharing tags of which the donor is thought to be the owner, and that are wanted. Of those
    that somebody claimed no other is served (K-1)."""
    unowned: bool = False
    """Nobody that can be reached has the tags of ``terms``, or the joiner itself: whoever has
    records of them may serve (K-4, K-7)."""


class SyncAnswer(Routed, frozen=True, tag=51):
    """Donor to joiner: accepted, or refused and why (S-21)."""

    session: SyncId
    refusal: Text
    """Empty = accepted; else ``not_ok``, ``disabled``, ``not_tag_owner``, ``busy``, ``version``."""
    total: U63
    """Records to come, an estimate."""
    version: Version
    """Data format of the records."""
    tags: Annotated[list[Tag], msgspec.Meta(max_length=MAX_TAGS)]
    """Served."""
    position: U63 = 0
    """See `CapabilityState.position`."""
    unserved: Moved = []
    """Of the request's terms."""
    held: Annotated[list[tuple[Tag, U63, DigestBytes]], msgspec.Meta(max_length=MAX_TAGS)] = []
    """(tag, records, digest) of all that is here of the terms that are served; when it is known."""


class SyncChunk(Routed, frozen=True, tag=52):
    """Donor to joiner: a numbered piece of the data (S-24). Data lane."""

    session: SyncId
    number: U63
    checksum: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
    """CRC-32 of ``pieces``."""
    pieces: Annotated[bytes, msgspec.Meta(max_length=MAX_BATCH_BYTES)]
    """One msgpack array of pieces; see `sync_pieces`."""


class SyncAck(Routed, frozen=True, tag=53):
    """Joiner to donor: every chunk below ``next`` is applied (S-24)."""

    session: SyncId
    next: U63
    window: Annotated[int, msgspec.Meta(ge=0, le=MAX_WINDOW)]
    """Chunks from ``next`` on that may be on their way."""
    resend: bool = False
    """Nothing came for a while: send again from ``next``."""


class SyncEnd(Routed, frozen=True, tag=54):
    """Donor to joiner: that was all; compare (S-25)."""

    session: SyncId
    chunks: U63
    tags: Annotated[list[tuple[Tag, U63, DigestBytes]], msgspec.Meta(max_length=MAX_TAGS)]
    """(tag, records, digest) of everything sent in this session."""


class SyncStop(Routed, frozen=True, tag=55):
    """Either way: the session is over for me."""

    session: SyncId
    reason: Text
    """``done`` from a joiner that verified; anything else is an abort and says why."""
    moved: Moved = []
    """With ``tag_moved``: these are not the donor's any more; the rest can be asked for (K-6)."""
