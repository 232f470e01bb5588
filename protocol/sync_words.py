"""The words of a sync session: states, reasons, times, and what its rules ask of the world.

The machines that use them, with their theory, are `sync_joiner` and `sync_donor`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import StrEnum

import msgspec

from .contract import Progress, SyncReport
from .effects import Effect
from .errors import Misuse
from .identity import NodeId
from .messages import (
    MAX_BATCH_BYTES,
    MAX_NAME_CHARS,
    MAX_PAYLOAD_BYTES,
    MAX_TAGS,
    MAX_WINDOW,
    Routed,
    TagTerm,
)
from .sync_pieces import MAX_PIECE_HEAD_BYTES, Piece

MIN_PACKET_BYTES = 1024
MAX_PACKET_BYTES = MAX_BATCH_BYTES - MAX_PIECE_HEAD_BYTES
"""A chunk is full at `SyncSettings.packet_bytes`; what is put in last may pass that by a head."""
assert MAX_PAYLOAD_BYTES + MAX_PIECE_HEAD_BYTES <= MAX_BATCH_BYTES, "one record fits a chunk"

PROGRESS_INTERVAL_S = 0.5
"""Between two reports of progress without a change of state (S-29)."""


class JoinerState(StrEnum):
    """Where a joiner is (S-20)."""

    CHOOSING = "choosing"
    REQUESTED = "requested"
    RECEIVING = "receiving"
    VERIFYING = "verifying"
    APPLYING = "applying"
    DONE = "done"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """Nothing can happen any more."""
        return self in (JoinerState.DONE, JoinerState.FAILED)


class TryState(StrEnum):
    """Where a joiner's session with one donor is."""

    REQUESTED = "requested"
    RECEIVING = "receiving"
    COMPLETE = "complete"
    LOST = "lost"
    """This donor is given up."""
    STUCK = "stuck"
    """The joiner's own application takes no chunks."""

    @property
    def over(self) -> bool:
        """Nothing can happen any more."""
        return self not in (TryState.REQUESTED, TryState.RECEIVING)


class TryTrigger(StrEnum):
    """What can happen in a joiner's session with one donor."""

    ANSWER = "answer"
    CHUNK = "chunk"
    END = "end"
    STOP = "stop"
    TAKEN = "taken"
    GONE = "gone"
    BACK = "back"
    RESTARTED = "restarted"
    TICK = "tick"


class JoinerTrigger(StrEnum):
    """What else can happen to a joiner."""

    SECTIONS = "sections"
    EXTRAS = "extras"
    MIRRORED = "mirrored"
    TICK = "tick"


class DonorState(StrEnum):
    """Where a donor is (S-20)."""

    ACCEPTED = "accepted"
    SNAPSHOTTING = "snapshotting"
    SENDING = "sending"
    FINISHED = "finished"
    ABORTED = "aborted"

    @property
    def over(self) -> bool:
        """Nothing can happen any more."""
        return self in (DonorState.FINISHED, DonorState.ABORTED)


class DonorTrigger(StrEnum):
    """What can happen to a donor."""

    START = "start"
    SECTIONS = "sections"
    ITEMS = "items"
    REQUEST = "request"
    ACK = "ack"
    STOP = "stop"
    GONE = "gone"
    BACK = "back"
    RESTARTED = "restarted"
    TICK = "tick"


class Why(StrEnum):
    """Why a session was refused, given up or failed. Travels on the wire and stands in reports."""

    DONE = "done"
    """The joiner's last word when all is well."""
    NO_DONOR = "no_donor"
    NOT_OK = "not_ok"
    DISABLED = "disabled"
    BUSY = "busy"
    VERSION = "version"
    """No data format that both know."""
    TOO_MANY_TAGS = "too_many_tags"
    """More than a session can carry; name the tags wanted."""
    TIMEOUT = "timeout"
    """No answer, or no progress."""
    UNREACHABLE = "unreachable"
    RESTARTED = "restarted"
    MALFORMED = "malformed"
    """What the donor sent breaks the rules of a session."""
    VERIFY = "verify"
    """Count or digest differ, and did again at the second try (S-25)."""
    APPLICATION = "application"
    """The joiner's own code does not answer."""
    DONOR_APPLICATION = "donor_application"
    """The donor's code raised, or gave a record that no chunk can carry."""
    INTERNAL = "internal"
    """A defect in tagmesh: the session's actor crashed."""
    NOT_TAG_OWNER = "not_tag_owner"
    """The donor does not have the tag, or the joiner knows a later epoch (K-1)."""
    NO_OWNER = "no_owner"
    """Nobody that can be reached has the tag (K-4)."""
    TAG_MOVED = "tag_moved"
    """The tag went to another node in the middle (K-6)."""
    ACTIVE_HERE = "active_here"
    """The tag is active on this node: it gives, and does not take (K-7)."""
    SUPERSEDED = "superseded"
    """The joiner has begun another session."""


class SyncSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times and sizes of sync sessions, the same for joiner and donor."""

    request_timeout_s: float = 2.0
    """A request is answered within this (repeated once at half of it); the joiner's patience in
    silence before it asks for what is missing."""
    resume_timeout_s: float = 5.0
    """How long the other end may be unreachable (S-24)."""
    sync_timeout_s: float = 15.0
    """Longest time without progress."""
    packet_bytes: int = 32 * 1024
    """A chunk is cut when it is as full as this; a longer record has a chunk of its own."""
    window_chunks: int = 8
    """Chunks on their way or not taken by the application yet."""

    def __post_init__(self) -> None:
        if not MIN_PACKET_BYTES <= self.packet_bytes <= MAX_PACKET_BYTES:
            limits = f"{MIN_PACKET_BYTES} … {MAX_PACKET_BYTES}"
            raise Misuse(f"packet_bytes is {self.packet_bytes}: it must be {limits}")
        if not 1 <= self.window_chunks <= MAX_WINDOW:
            raise Misuse(f"window_chunks is {self.window_chunks}: it must be 1 … {MAX_WINDOW}")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What to sync."""

    keyed: bool
    """The capability has sections: only what differs is sent."""
    version_min: int
    version_max: int
    tags: tuple[str, ...] = ()
    """None = all."""
    mirror: bool = False
    """Drop what the donor does not have (S-26)."""
    dry_run: bool = False
    first_bucket: int | None = None
    """Compare what can be named in one request, beginning here; None = everything."""
    terms: tuple[TagTerm, ...] = ()
    """Sharing tags that the donor has (K-1)."""
    foreign: frozenset[str] = frozenset()
    """Sharing tags that somebody claimed: none but those in ``terms`` are taken."""
    unowned: bool = False
    """Nobody that can be reached has the tags of ``terms``, or this node itself."""
    forced: bool = False
    """They are active here, and taken all the same (K-7)."""

    def __post_init__(self) -> None:
        check_tags(self.tags)
        assert self.keyed or not self.mirror, "records without keys cannot be dropped"

    def covers(self, tag: str) -> bool:
        """Records with this tag are wanted, and may be taken."""
        named = not self.tags or tag in self.tags
        return named and (tag not in self.foreign or any(t.tag == tag for t in self.terms))

    def without(self, tags: Collection[str]) -> Wish | None:
        """What is left to wish for when these are not to be had; None = nothing."""
        left = tuple(tag for tag in self.tags if tag not in tags)
        if self.tags and not left:
            return None
        terms = tuple(term for term in self.terms if term.tag not in tags)
        return msgspec.structs.replace(self, tags=left, terms=terms)


def check_tags(tags: Sequence[str]) -> None:
    """`Misuse` when these tags cannot be asked for in one session."""
    if len(tags) > MAX_TAGS:
        raise Misuse(f"{len(tags)} tags in one sync; ask for at most {MAX_TAGS}, or for all: ()")
    for tag in tags:
        if len(tag) > MAX_NAME_CHARS:
            raise Misuse(
                f"tag {tag[:MAX_NAME_CHARS]!a}… is longer than {MAX_NAME_CHARS} characters"
            )


class Here(msgspec.Struct, frozen=True, kw_only=True):
    """Whose sessions these are: this node, this life, one capability of one cluster."""

    cluster_id: int
    node_id: int
    incarnation: int
    capability: str
    ttl: int
    """Hops a message may make (R-11)."""

    def head(self, destination: int) -> tuple[int, int, int, int, int, str]:
        """The first fields of every message of ours, see `Routed`."""
        return (
            self.cluster_id,
            self.node_id,
            self.incarnation,
            destination,
            self.ttl,
            self.capability,
        )


class Candidate(msgspec.Struct, frozen=True):
    """A node that may be a donor, in the life in which it said so."""

    node_id: NodeId
    incarnation: int


Choose = Callable[[frozenset[NodeId]], Candidate | None]
"""The best donor there is now without these (S-22); None = there is none."""


class SendRouted(Effect, frozen=True):
    """Send to ``message.destination``. A chunk that still waits here is not queued again."""

    message: Routed


class AskSections(Effect, frozen=True):
    """Ask a keyed capability for its sections with these tags (none = all)."""

    tags: tuple[str, ...]


class AskItems(Effect, frozen=True):
    """Ask for the packed records of these sections; of a plain capability, for the next ones."""

    sections: tuple[tuple[str, int], ...]


class Apply(Effect, frozen=True):
    """Give the application the records of a chunk; `Joiner.applied` hears that it took them."""

    session: int
    number: int
    pieces: list[Piece]


class AskExtraKeys(Effect, frozen=True):
    """Ask what the application has in a section beside these records."""

    session: int
    tag: str
    bucket: int
    items: list[msgspec.Raw]


class TagExtras(msgspec.Struct, frozen=True):
    """Records of one tag that are here and that the donor does not have."""

    tag: str
    keys: tuple[bytes, ...]
    local: int
    """Records of the tag that were here before the sync."""


class MirrorStep(Effect, frozen=True):
    """The data is verified: what the donor does not have may go (`mirror`)."""

    extras: tuple[TagExtras, ...]
    dry_run: bool


class Progressed(Effect, frozen=True):
    """How far it is (S-29)."""

    progress: Progress


class Finished(Effect, frozen=True):
    """The joiner's session is over."""

    report: SyncReport


class Ended(Effect, frozen=True, kw_only=True):
    """The donor's session is over."""

    ok: bool
    reason: str
    records: int
    bytes: int
