"""What a replication module implements: `Capability`, and what it is given: `Port`.

A capability is a named service of a cluster, registered on each node that takes part: the unit of
packet dispatch, of switching on and off, and of synchronisation. Subclass, set ``name``, implement
what you need, and register: ``node.cluster(1).register(Calls())``.

Where the calls happen: in one worker thread per capability, one call at a time, in order; they may
block. With ``inline = True`` they happen in the node's hub, which is quicker and simpler, but then
they must never wait for anything. A message or record whose handler raises is set aside
(`Quarantined`), counted and logged; the node goes on (C-1, issue of crashing backups).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, Literal, Protocol

import msgspec

from .errors import Misuse
from .identity import ClusterId, NodeId, NodeRecord
from .messages import MAX_NAME_CHARS, CapState, Section
from .routing import Path
from .tag_words import Epoch, TagStanding

Condition = (
    Literal["any", "same_sip_addr", "different_sip_addr"] | Callable[[NodeRecord, NodeRecord], bool]
)
"""Which nodes may be donors; a function gets (my row, the donor's row) and is pure."""
Delivery = Literal["at_most_once", "at_least_once"]


class Outcome(Enum):
    """What became of a message for one destination (R-8)."""

    SENT = "sent"
    """On its way: nothing waits before it."""
    QUEUED = "queued"
    """Accepted; it waits for room on the way, or for the destination to become reachable."""
    BUSY = "busy"
    """Not accepted: as much as may wait is waiting. Try again after `Capability.on_room`."""
    DISABLED = "disabled"
    """Not accepted: the capability is switched off, here or there."""
    UNREACHABLE = "unreachable"
    """Not accepted: no path leads there, or it is no enabled node of the cluster."""


class Result(msgspec.Struct, frozen=True):
    """The outcome for one destination. True when the message was accepted."""

    outcome: Outcome
    route: Path = ()
    """The nodes on the way as known here, the destination last."""
    detail: str = ""

    def __bool__(self) -> bool:
        return self.outcome is _QUEUED or self.outcome is _SENT

    @property
    def code(self) -> int:
        """As ``cluster_send_req`` of OpenSIPS: 1, −1 disabled, −2 unreachable, −3 error."""
        return _CODES[self.outcome]


_SENT, _QUEUED = Outcome.SENT, Outcome.QUEUED
_CODES = {
    Outcome.SENT: 1,
    Outcome.QUEUED: 1,
    Outcome.DISABLED: -1,
    Outcome.UNREACHABLE: -2,
    Outcome.BUSY: -3,
}


class TagEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """How the records of one sharing tag were synced last (K-4)."""

    tag: str
    donor: NodeId
    epoch: int
    """Number of the epoch that was known then."""
    count: int = 0
    """Records of the tag at the donor, and the sum of their hashes; empty = not told."""
    digest: bytes = b""
    at_s: float
    """By the monotonic clock of this node."""
    confirmed: bool = True
    """The donor had the tag."""


class SyncReport(msgspec.Struct, frozen=True, kw_only=True):
    """A sync that is over (S-25, B5)."""

    ok: bool
    reason: str = ""
    """Why it failed; empty when it did not."""
    donor: NodeId | None = None
    """None: synced without data (S-27)."""
    items: int = 0
    """Records received and verified."""
    bytes: int = 0
    seconds: float = 0.0
    dropped: int = 0
    """Records removed because the donor does not have them (mirror)."""
    sections: int = 0
    """Sections that differed and were sent."""
    quarantined: int = 0
    plan_id: int | None = None
    """The plan of the mirror step: it waits for confirmation when nothing was dropped (S-26), and
    can be undone when something was. None = there was nothing to drop."""
    evidence: tuple[TagEvidence, ...] = ()
    """Of each sharing tag that an owner served, or, unconfirmed, somebody else."""
    pending: tuple[tuple[str, str], ...] = ()
    """(tag, why): sharing tags that wait for their owner (K-4)."""

    @property
    def rate(self) -> float:
        """Records per second."""
        return self.items / self.seconds if self.seconds > 0 else 0.0

    def plus(self, part: SyncReport) -> SyncReport:
        """With another part of the same sync, by another donor maybe (K-2)."""
        return msgspec.structs.replace(
            self,
            donor=part.donor if part.donor is not None else self.donor,
            items=self.items + part.items,
            bytes=self.bytes + part.bytes,
            seconds=self.seconds + part.seconds,
            dropped=self.dropped + part.dropped,
            sections=self.sections + part.sections,
            quarantined=self.quarantined + part.quarantined,
            plan_id=part.plan_id if part.plan_id is not None else self.plan_id,
            evidence=self.evidence + part.evidence,
        )


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A sync under way (S-29)."""

    donor: NodeId
    state: str
    """``requested`` | ``receiving`` | ``verifying`` | ``applying``"""
    done: int
    total: int
    """An estimate of the donor."""
    bytes: int
    seconds: float


class Quarantined(msgspec.Struct, frozen=True):
    """A message or record that its handler refused by raising."""

    source: NodeId
    kind: str
    """``message`` | ``record``"""
    payload: bytes
    """Packed, cut to `MAX_QUARANTINE_BYTES`."""
    error: str


MAX_QUARANTINE = 100
"""Set-aside payloads kept per capability, the newest; all are counted."""
MAX_QUARANTINE_BYTES = 4096


class Port(Protocol):
    """A registered capability's way to the cluster. Every method may be called from any thread."""

    node_id: NodeId
    cluster_id: ClusterId

    def send(self, node: int, message: Any, timeout: float = 0.0) -> Result:
        """Send to one node; ``message`` is anything msgpack can carry, at most 65,535 bytes of it.

        ``timeout``: seconds to wait for room when as much waits as may; not in the hub. Raises
        `Misuse` for what cannot be sent at all.
        """

    def send_many(self, node: int, messages: Iterable[Any], timeout: float = 0.0) -> Result:
        """Send several, in order, at once; all are accepted or none."""

    def broadcast(self, message: Any, timeout: float = 0.0) -> dict[NodeId, Result]:
        """Send to every other enabled node of the cluster (R-4: one unicast each)."""

    def request_sync(
        self, *, tags: Sequence[str] = (), mirror: bool = False, dry_run: bool = False
    ) -> None:
        """Ask for a sync; `Capability.sync_done` hears how it ended. One at a time."""

    def state(self) -> CapState:
        """The capability's state on this node."""

    def tag(self, name: str) -> TagStanding:
        """How a sharing tag stands on this node at this moment; quick, for every record (M-2)."""

    def judge(self, source: NodeId, tag: str, epoch: Epoch, records: int = 1) -> bool:
        """May ``records`` records with a tag count here that ``source`` wrote, or vouches for,
        under ``epoch``? (H-24, K-7) To be called in the hub, as capabilities with `inline` are.

        The epoch is heard of by this, if it is later than those known. A refusal is counted, and
        is an event once per node, tag and epoch.
        """

    def refused(
        self, rule: str, tag: str, why: str, records: int = 1, source: NodeId | None = None
    ) -> None:
        """Records with a tag were refused because of ``rule``: count and tell it. In the hub."""

    def changed(self) -> None:
        """The capability's `position` moved or its data became complete by other means."""

    def call(self, function: Callable[[], None]) -> None:
        """Call soon where the capability's other calls happen."""

    def now(self) -> float:
        """Seconds on the clock that only goes forward."""

    def wall(self) -> float:
        """Seconds since the epoch."""

    def call_later(self, delay_s: float, function: Callable[[], None]) -> None:
        """Call later, where the capability's other calls happen."""


class Capability:
    """Base class of replication modules. See the module's docstring for threads and errors."""

    name: str = ""
    startup_sync: bool = False
    """Begin unsynced and ask for a sync at the start; else the capability is OK at once."""
    inline: bool = False
    """My methods never wait: call them in the node's hub."""
    versioned: bool = False
    """My records carry versions, so that an old one after a new one does nothing: messages that
    arrive during a sync are handed over at once. Else they wait until it is over (S-23)."""
    delivery: Delivery = "at_most_once"
    sync_condition: Condition = "any"
    version_min: int = 1
    version_max: int = 1
    """Data formats that can be read; the highest both know is used."""
    companions: Sequence[Capability] = ()
    """Registered together with this one, in the same cluster."""
    port: Port
    """Set by registration."""

    # calls for the application

    def send(self, node: int, message: Any, timeout: float = 0.0) -> Result:
        """See `Port.send`."""
        return self.port.send(node, message, timeout)

    def send_many(self, node: int, messages: Iterable[Any], timeout: float = 0.0) -> Result:
        """See `Port.send_many`."""
        return self.port.send_many(node, messages, timeout)

    def broadcast(self, message: Any, timeout: float = 0.0) -> dict[NodeId, Result]:
        """See `Port.broadcast`."""
        return self.port.broadcast(message, timeout)

    def sync(
        self, *, tags: Sequence[str] = (), mirror: bool = False, dry_run: bool = False
    ) -> None:
        """See `Port.request_sync`."""
        self.port.request_sync(tags=tags, mirror=mirror, dry_run=dry_run)

    # messages

    def on_message(self, message: Any, source: NodeId) -> None:
        """One message of another node, in order per source."""
        raise NotImplementedError

    on_batch: Callable[[Sequence[Any], NodeId], None] | None = None
    """Instead of `on_message`: several messages of one source at once. When it raises, the whole
    batch is set aside."""

    def on_room(self, node: NodeId) -> None:
        """After a `Outcome.BUSY`: there is room again."""

    def on_node_up(self, node: NodeId, incarnation: int) -> None:
        """A node of the cluster became reachable."""

    def on_node_down(self, node: NodeId, cause: str) -> None:
        """A node of the cluster is no longer reachable."""

    def on_state(self, state: CapState, reason: str) -> None:
        """My own state changed."""

    def on_stop(self) -> None:
        """The node has stopped in order: the last moment to keep something. It may block."""

    # being a donor

    def sync_items(self, tags: Sequence[str]) -> Iterator[Any]:
        """My records with these tags (none = all), one by one; a generator is best.

        It is advanced between other calls, so the data may change meanwhile; what is changed after
        it was given out must also be told by messages, as always.
        """
        raise NotImplementedError

    def position(self) -> int:
        """How new my data is, by my own count, never going back (S-28)."""
        return 0

    # being a joiner

    def sync_item(self, item: Any) -> None:
        """One record of the donor. Nothing may be deleted because of it (S-26)."""
        raise NotImplementedError

    def sync_done(self, report: SyncReport) -> None:
        """A sync is over, well or badly."""


class KeyedCapability(Capability):
    """A capability whose records have keys: syncs only what differs, mirrors, resumes elsewhere.

    Records are spread over `messages.BUCKETS` buckets by their key; a section is the records of
    one tag in one bucket. The record hashes of a section add up to its digest, see `digest`.
    """

    versioned = True

    def sections(self, tags: Sequence[str]) -> list[Section]:
        """Count and digest of each section that is not empty, in order."""
        raise NotImplementedError

    def section_items(self, tag: str, bucket: int) -> list[bytes]:
        """The packed records of one section, as of now; deleted ones that are still known, too."""
        raise NotImplementedError

    def take_items(
        self,
        tag: str,
        items: Sequence[msgspec.Raw],
        *,
        epoch: Epoch | None = None,
        forced: bool = False,
    ) -> list[tuple[bytes, str]]:
        """Packed records of the donor, older ones ignored; those that are broken, and why.

        ``epoch``: the donor has the tag under it, so its records replace those that were written
        under earlier ones, newer or not (H-24). None = nobody vouches for them, or there is no tag.
        Of a tag that is active here nothing is replaced, unless ``forced`` (K-7).
        """
        raise NotImplementedError

    def key_of(self, item: bytes) -> tuple[bytes, bool]:
        """The packed key of a packed record, and whether it is a deletion (`diffing`)."""
        raise NotImplementedError

    def extra_keys(self, tag: str, bucket: int, items: Sequence[msgspec.Raw]) -> list[bytes]:
        """The packed keys I have in a section that are not among ``items``, without those written
        since I was last asked for `sections`: the donor may not know of them yet (S-26).

        They are mine to read: with the version in it, `drop` can tell what was written since.
        """
        raise NotImplementedError

    def drop(self, tag: str, keys: Sequence[bytes]) -> list[bytes]:
        """Remove records for good (mirror step), but for those written since `extra_keys` named
        them; returns the packed records, for `restore`. It may come minutes later (`confirm`)."""
        raise NotImplementedError

    def restore(self, tag: str, items: Sequence[bytes]) -> int:
        """Undo `drop` for records whose keys were not written since; returns how many."""
        raise NotImplementedError


def is_name(text: str) -> bool:
    """Can a capability be called so?"""
    return 0 < len(text) <= MAX_NAME_CHARS and text.isascii() and text.isprintable()


def check_capability(capability: Capability) -> None:
    """`Misuse` when a capability cannot be registered as it is."""
    name = capability.name
    kind = type(capability).__name__
    if not is_name(name):
        raise Misuse(
            f"{kind}.name is {name!a}: a capability needs a name of 1 to 64 printable ASCII"
            " characters, the same on every node"
        )
    if not 0 <= capability.version_min <= capability.version_max <= 65_535:
        raise Misuse(
            f"{kind}: version_min {capability.version_min} and version_max"
            f" {capability.version_max} must be 0 … 65535, the smaller one first"
        )
    if capability.delivery not in ("at_most_once", "at_least_once"):
        raise Misuse(f"{kind}.delivery is {capability.delivery!r}: at_most_once or at_least_once")
