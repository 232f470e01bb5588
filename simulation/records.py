"""Capabilities for worlds, which write into a ledger what the checks want to know.

Three that are unlike each other: `Post` (messages, at most once or reliable), `Notes` (a plain one
that begins with a sync, its records without versions) and `Records` (a replicated map).
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..actors.partitioning import Slots, WorkPartition
from ..capabilities.records import NO_EPOCH, Head, Key, Version, pack_key, read_head
from ..capabilities.replicated_map import ReplicatedMap
from ..protocol.contract import Capability, Result, SyncReport
from ..protocol.identity import NodeId
from ..protocol.messages import CapState, Section

if TYPE_CHECKING:
    from .world import World

LETTERS, REGISTERED, NOTES, RECORDS = "letters", "registered", "notes", "records"
NAMES = (LETTERS, REGISTERED, NOTES, RECORDS)
NEVER: Version = (-1, NO_EPOCH, 0, 0)
"""Older than every record."""
KEPT_SNAPSHOTS = 32
"""Per node and capability: what donors had, the newest."""


class Snapshot(NamedTuple):
    """What a node had at a moment: of a map the versions by key, of notes the notes."""

    at_s: float
    life: int
    """Of the object that had it."""
    content: dict[Any, Any]


class Ledger:
    """What the capabilities of one world saw; it outlives their processes."""

    def __init__(self, now: Callable[[], float]) -> None:
        """``now``: virtual seconds."""
        self.now = now
        self.wrong: list[tuple[str, str]] = []
        """(invariant, what happened), in order."""
        self.lives = itertools.count(1)
        """Numbers the objects."""
        self.first: dict[tuple[int, str], int] = {}
        """(node, capability) → the first object's number."""
        self.forgetful = False
        """A clock is so far off that what was deleted is forgotten at once (guarantees)."""
        self.notes = itertools.count(1)
        self.written: dict[bytes, tuple[Version, bool]] = {}
        """By key, the newest version that an application wrote, and whether it was deleted."""
        self._snapshots: dict[tuple[int, str], deque[Snapshot]] = {}

    def snapshot(self, node: int, name: str, life: int, content: dict[Any, Any]) -> None:
        """A node was asked for its data, and has this."""
        kept = self._snapshots.setdefault((node, name), deque(maxlen=KEPT_SNAPSHOTS))
        kept.append(Snapshot(self.now(), life, content))

    def first_since(self, node: int, name: str, since_s: float) -> dict[Any, Any]:
        """What a node, as it lives now, had when it was first asked after a moment."""
        kept = self._snapshots.get((node, name), ())
        late = [s for s in kept if s.at_s >= since_s]
        return next((s.content for s in late if s.life == late[-1].life), {})


class Watched(Capability):
    """What all of them do: watch their state, and what comes when none may come."""

    def __init__(self, node: NodeId, ledger: Ledger) -> None:
        self.node = node
        self.ledger = ledger
        self.life = next(ledger.lives)
        ledger.first.setdefault((node, self.name), self.life)
        self.state_now = CapState.DISABLED
        self.since_s = ledger.now()
        """When `state_now` began."""
        self.complete = False
        """A sync ended well since it was switched on."""
        self._syncing_since_s: float | None = None
        """Of the sync under way, if it began with its state; one of a node that is OK does not."""

    def on_state(self, state: CapState, reason: str) -> None:
        """See `Capability.on_state`."""
        super().on_state(state, reason)
        self.state_now, self.since_s = state, self.ledger.now()
        if state is CapState.DISABLED:
            self.complete = False
        if state is CapState.SYNCING:
            self._syncing_since_s = self.since_s

    def donor_had(self, report: SyncReport) -> dict[Any, Any]:
        """What the donor of a sync that is over had when it began, at least."""
        began_s, self._syncing_since_s = self._syncing_since_s, None
        self.complete = self.complete or report.ok
        if not report.ok or report.donor is None or began_s is None:
            return {}
        return self.ledger.first_since(report.donor, self.name, began_s)

    def came(self, source: NodeId) -> None:
        """Something arrived from another node."""
        if self.port.state() is CapState.DISABLED:
            self.says("I7", f"hears from {source} while it is switched off")

    def says(self, invariant: str, text: str) -> None:
        """Something is wrong."""
        self.ledger.wrong.append((invariant, f"{self.name} of node {self.node} {text}"))


class Post(Watched):
    """Numbered letters; each destination has numbers of its own."""

    def __init__(self, node: NodeId, ledger: Ledger, *, reliable: bool = False) -> None:
        self.name = REGISTERED if reliable else LETTERS
        super().__init__(node, ledger)
        self.delivery = "at_least_once" if reliable else "at_most_once"
        self.posted: dict[int, int] = {}
        """Destination → the last number that was accepted."""
        self.heard: dict[tuple[int, int], int] = {}
        """(source, life of its object) → the last number that came."""
        self.gaps: dict[tuple[int, int], int] = {}
        """The same → letters that did not come before a later one did."""

    def post(self, to: int, size_bytes: int = 0) -> bool:
        """Send the next letter; whether it was accepted."""
        return bool(self.try_to_post(to, size_bytes))

    def try_to_post(self, to: int, size_bytes: int = 0) -> Result:
        """Send the next letter; what became of it."""
        number = self.posted.get(to, 0) + 1
        off = self.port.state() is CapState.DISABLED
        result = self.send(to, [self.life, number, b"x" * size_bytes])
        if result:
            self.posted[to] = number
            if off:
                self.says("I7", f"sends to {to} while it is switched off")
        return result

    def on_message(self, message: Any, source: NodeId) -> None:
        """See `Capability.on_message`: in order, and none twice (R-9)."""
        self.came(source)
        life, number, _ = message
        last = self.heard.get((source, life), 0)
        if number <= last:
            self.says("I5", f"hears number {number} of {source} after number {last}")
        if last and number > last + 1:
            self.gaps[source, life] = self.gaps.get((source, life), 0) + number - last - 1
        self.heard[source, life] = number


class Duty(WorkPartition):
    """The part of the work that a node's application believes to be its own."""

    def __init__(self, *, two_phase: bool = True) -> None:
        super().__init__(on_gained=self._gain, on_lost=self._lose, two_phase=two_phase)
        self.slots: set[int] = set()

    def _gain(self, slots: Slots) -> None:
        self.slots.update(slots)

    def _lose(self, slots: Slots) -> None:
        self.slots.difference_update(slots)


class Notes(Watched):
    """A set that only grows; what comes while records are on their way has to wait (S-23)."""

    name = NOTES
    startup_sync = True

    def __init__(self, node: NodeId, ledger: Ledger) -> None:
        super().__init__(node, ledger)
        self.notes: dict[int, None] = {}
        self.last = 0
        """The newest one of this object."""

    def position(self) -> int:
        """See `Capability.position`."""
        return len(self.notes)

    def add(self) -> bool:
        """A new note, for all who hear it; whether everybody will."""
        note = self.last = next(self.ledger.notes)
        self.notes[note] = None
        accepted = all(self.broadcast([self.node, note]).values())
        self.port.changed()
        return accepted

    def on_message(self, message: Any, source: NodeId) -> None:
        """See `Capability.on_message`."""
        self.came(source)
        if self.state_now is self.port.state() is CapState.SYNCING:
            self.says("S-23", f"hears from {source} in the middle of a sync")
        writer, note = message
        if writer != source:
            self.says("G-12", f"hears from {source} what {writer} sent")
        self.notes[note] = None

    def sync_items(self, tags: Sequence[str]) -> Iterator[Any]:  # noqa: ARG002 - it has no tags
        """See `Capability.sync_items`."""
        self.ledger.snapshot(self.node, self.name, self.life, dict(self.notes))
        yield from list(self.notes)

    def sync_item(self, item: Any) -> None:
        """See `Capability.sync_item`."""
        self.notes[item] = None

    def sync_done(self, report: SyncReport) -> None:
        """See `Capability.sync_done`: everything that the donor had is here (I5)."""
        missing = sorted(self.donor_had(report).keys() - self.notes.keys())
        if missing:
            self.says("I5", f"lacks {missing} after a sync from {report.donor}")


class Records(ReplicatedMap, Watched):
    """A replicated map that checks what a sync brings."""

    def __init__(self, node: NodeId, ledger: Ledger) -> None:
        ReplicatedMap.__init__(self, RECORDS, run=lambda function: function())
        Watched.__init__(self, node, ledger)

    def on_state(self, state: CapState, reason: str) -> None:
        """See `Capability.on_state`."""
        ReplicatedMap.on_state(self, state, reason)
        Watched.on_state(self, state, reason)

    def on_batch(self, messages: Sequence[Any], source: NodeId) -> None:
        """See `Capability.on_batch`."""
        self.came(source)
        super().on_batch(messages, source)

    def sections(self, tags: Sequence[str]) -> list[Section]:
        """See `KeyedCapability.sections`."""
        kept = self.versions(tombstones=not self.ledger.forgetful)
        self.ledger.snapshot(self.node, self.name, self.life, kept)
        return super().sections(tags)

    def head(self, packed: bytes) -> Head | None:
        """All but the value of what is kept under a packed key."""
        item = self._item(packed)
        return read_head(item) if item is not None else None

    def versions(self, *, tombstones: bool = True) -> dict[bytes, Version]:
        """The version of each record by packed key."""
        heads: list[Head] = [read_head(item) for item in self._all()]
        shown = [head for head in heads if tombstones or not head.deleted]
        return {head.key: head.version for head in shown}

    def sync_done(self, report: SyncReport) -> None:
        """See `Capability.sync_done`: nothing is older here than the donor had it (I5), and as
        nobody asks for a mirror nothing is dropped (S-26)."""
        super().sync_done(report)
        if report.dropped or report.plan_id is not None:
            self.says("S-26", f"drops {report.dropped} records in a sync from {report.donor}")
        had = self.donor_had(report)
        here = self.versions()
        missing = [key for key, version in had.items() if here.get(key, NEVER) < version]
        if missing:
            self.says("I5", f"lacks {sorted(missing)} after a sync from {report.donor}")

    def wrote(self, key: Key) -> None:
        """An application wrote a key here, and was told that it is done."""
        packed = pack_key(key)
        item = self._item(packed)
        assert item is not None, "a delete leaves a tombstone"
        head = read_head(item)
        newest = head.version, head.deleted
        written = self.ledger.written
        written[packed] = max(newest, written.get(packed, newest))


def provide_all(world: World) -> Ledger:
    """Every process that boots from now on has all of them."""
    ledger = Ledger(lambda: world.now)
    world.provide(lambda node: Post(node, ledger))
    world.provide(lambda node: Post(node, ledger, reliable=True))
    world.provide(lambda node: Notes(node, ledger))
    world.provide(lambda node: Records(node, ledger))
    world.divide(NOTES, lambda _node: Duty())
    return ledger


__all__ = [
    "LETTERS",
    "NAMES",
    "NOTES",
    "RECORDS",
    "REGISTERED",
    "Duty",
    "Ledger",
    "Notes",
    "Post",
    "Records",
    "Watched",
    "provide_all",
]
