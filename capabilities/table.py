"""The records of a replicated map: in sections, with their digests, counts and deadlines.

A section is what has one tag in one bucket. A key is once in the map, whatever its tag: a newer
record with another tag moves it. Nothing here is locked and nothing knows the time.

The digest of a section is the sum of its records' hashes (`sync_pieces`). No hash is kept: what
came and what went is noted, and added and subtracted some at a time, which costs less than one by
one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zlib import crc32

import msgspec

from ..protocol import messages
from ..protocol.errors import PeerViolation
from ..protocol.messages import BUCKETS
from ..protocol.sync_pieces import digest_of, sum_of
from ..protocol.tag_words import Rank
from .deadlines import Deadlines
from .records import (
    TOMBSTONE_S,
    UNREADABLE,
    Head,
    Version,
    read_any,
    read_head,
    tombstone,
    unpack_key,
)

PLAIN_KEYS = {str, int, bytes}
"""Keys that need no closer look."""
MAX_UNSUMMED = 64
"""Records noted per section before their hashes are added up."""
MAX_WRITTEN_KEYS = 50_000
"""Noted for a mirror step; with more writes than that during a sync nothing is dropped."""
TOMBSTONE_MS = TOMBSTONE_S * 1000

Broken = list[tuple[bytes, str]]
"""Records that cannot be read, and why."""


class Section:
    """Records of one tag in one bucket."""

    __slots__ = ("_told", "_total", "gone", "new", "records")

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}
        """By packed key, each with its whole bytes; tombstones too."""
        self._total = 0
        self._told: messages.Section | None = None
        """What `told` said, while it holds."""
        self.new: list[bytes] = []
        """Came since the hashes were added up."""
        self.gone: list[bytes] = []
        """Went since then."""

    def total(self) -> int:
        """The sum of the hashes, give or take multiples of the modulus."""
        self._told = None
        self._total += sum_of(self.new) - sum_of(self.gone)
        self.new.clear()
        self.gone.clear()
        return self._total

    def told(self, tag: str, bucket: int) -> messages.Section:
        """Its count and digest. Kept: with very many sections, most have not changed since."""
        if self._told is None or self.new or self.gone:
            digest = digest_of(self.total())
            self._told = messages.Section(tag, bucket, len(self.records), digest)
        return self._told


class Table:
    """All records of a map."""

    def __init__(self) -> None:
        self._buckets: list[dict[str, Section]] = [{} for _ in range(BUCKETS)]
        self.deadlines = Deadlines()
        self.size = 0
        """Records, tombstones included."""
        self.dead = 0
        """Tombstones."""
        self.newest = 0
        """The highest counter seen."""
        self.overdue: dict[str, dict[bytes, None]] = {}
        """By tag, the keys of records that have expired and are to be deleted by whoever has the
        tag (M-5); none is empty."""
        self.written: set[bytes] | None = None
        """Keys that changed since somebody set this to an empty set; None = nobody knows."""

    @property
    def perishable(self) -> bool:
        """Something of it changes when time passes."""
        return bool(self.deadlines.slots or self.overdue)

    def get(self, key: bytes) -> bytes | None:
        """The record of a packed key, which may be a tombstone."""
        for section in self._buckets[crc32(key) % BUCKETS].values():
            item = section.records.get(key)
            if item is not None:
                return item
        return None

    def bucket(self, number: int) -> list[bytes]:
        """The records in a bucket."""
        home = self._buckets[number].values()
        return [item for section in home for item in section.records.values()]

    def section(self, tag: str, bucket: int) -> list[bytes]:
        """The records of a section."""
        section = self._buckets[bucket].get(tag)
        return list(section.records.values()) if section else []

    def sections(self, tags: Sequence[str]) -> list[messages.Section]:
        """Count and digest of every section that is not empty, by tag and bucket."""
        found: dict[str, list[messages.Section]] = {}
        for number, home in enumerate(self._buckets):
            for tag, section in home.items():
                if not tags or tag in tags:
                    found.setdefault(tag, []).append(section.told(tag, number))
        return [section for tag in sorted(found) for section in found[tag]]

    def merge(self, items: Iterable[bytes]) -> tuple[list[bytes], Broken]:
        """Take strangers' records; (keys that changed, what is broken)."""
        heads, good, broken = read_items(items)
        return self.take(zip(heads, good, strict=True)), broken

    def take(
        self, records: Iterable[tuple[Head, bytes]], vouched: Rank | None = None
    ) -> list[bytes]:
        """Take the records that are newer than those here; the keys that changed.

        ``vouched``: the rank of the epoch under which the owner of their tag says that these are
        the records. Then what was written under an earlier epoch gives way, newer or not (H-24).
        The inner loop of all that writes, so it is written out.
        """
        buckets = self._buckets
        newest = self.newest
        changed: list[bytes] = []
        for head, item in records:
            key = head.key
            tag = head.tag
            if head.counter > newest:
                newest = head.counter
            home = buckets[crc32(key) % BUCKETS]
            old = None
            for section in home.values():
                old = section.records.get(key)
                if old is not None:
                    break
            if old is not None:
                if old == item:
                    continue
                before = read_head(old)
                if _order(head, item) < _order(before, old) and not (
                    vouched is not None and before.tag == tag and before.version[1] < vouched
                ):
                    continue
                if before.tag == tag:
                    self._subtract(before, old, section)
                else:
                    self.remove(before, old)
            here = home.get(tag)
            if here is None:
                here = home[tag] = Section()
            here.records[key] = item
            new = here.new
            new.append(item)
            if len(new) > MAX_UNSUMMED:
                here.total()
            if head.deleted:
                self.dead += 1
            if head.expires_ms:
                self.deadlines.add(head.expires_ms, key)
            changed.append(key)
            self.size += 1
        self.newest = newest
        if self.written is not None:
            self.written.update(changed)
            if len(self.written) > MAX_WRITTEN_KEYS:
                self.written = None
        return changed

    def remove(self, head: Head, item: bytes) -> None:
        """Forget a record that is here."""
        home = self._buckets[crc32(head.key) % BUCKETS]
        section = home[head.tag]
        self._subtract(head, item, section)
        del section.records[head.key]
        if not section.records:
            del home[head.tag]

    def alive(self, now_ms: int) -> int:
        """How many records readers see; what was due before this second has been expired."""
        overdue = 0
        for key in self.deadlines.under_way(now_ms):
            item = self.get(key)
            assert item is not None, "a deadline of a record that is not here"
            head = read_head(item)
            overdue += not head.deleted and not head.lives(now_ms)
        return self.size - self.dead - overdue - sum(map(len, self.overdue.values()))

    def expire(self, now_ms: int, limit: int) -> tuple[list[bytes], bool]:
        """Turn expired records without a tag into tombstones, note those with one as `overdue`, and
        forget old tombstones; (keys that changed, whether ``limit`` keeps more from it)."""
        due = self.deadlines.due(now_ms, limit)
        changed: list[bytes] = []
        for key in due:
            item = self.get(key)
            assert item is not None, "a deadline of a record that is not here"
            head = read_head(item)
            if head.tag and not head.deleted:
                self.overdue.setdefault(head.tag, {})[key] = None
                continue
            changed.append(key)
            forgotten_ms = head.expires_ms if head.deleted else head.expires_ms + TOMBSTONE_MS
            if forgotten_ms <= now_ms:
                self.remove(head, item)
            else:
                dead = tombstone(head, forgotten_ms)
                self.take(((read_head(dead), dead),))
        return changed, len(due) == limit

    def _subtract(self, head: Head, item: bytes, section: Section) -> None:
        """A record leaves its section, and all that is counted."""
        section.gone.append(item)
        if len(section.gone) > MAX_UNSUMMED:
            section.total()
        if head.deleted:
            self.dead -= 1
        if head.expires_ms:
            self.deadlines.discard(head.expires_ms, head.key)
            waiting = self.overdue.get(head.tag)
            if waiting is not None:
                waiting.pop(head.key, None)
                if not waiting:
                    del self.overdue[head.tag]
        self.size -= 1


def read_items(
    items: Iterable[bytes], tag: str | None = None
) -> tuple[list[Head], list[bytes], Broken]:
    """The records among strangers' bytes, with their heads, and what is broken.

    With ``tag`` a record of another tag is broken too.
    """
    items = list(items)
    try:
        heads = list(map(read_head, items))
        kinds = {type(read_any(head.key)) for head in heads}
    except UNREADABLE:
        return _sift(items, tag)
    odd = [head for head in heads if (head.era is None) == (head.tag != "")]
    if odd or not kinds <= PLAIN_KEYS or (tag is not None and {h.tag for h in heads} - {tag}):
        return _sift(items, tag)
    return heads, items, []


def _sift(items: Iterable[bytes], tag: str | None) -> tuple[list[Head], list[bytes], Broken]:
    """The records that can be read, with their heads, and those that cannot."""
    heads: list[Head] = []
    good: list[bytes] = []
    broken: Broken = []
    for item in items:
        try:
            head = read_head(item)
            unpack_key(head.key)
        except (*UNREADABLE, PeerViolation) as error:
            broken.append((item, str(error)))
            continue
        if tag is not None and head.tag != tag:
            broken.append((item, f"a record of tag {head.tag!a} among those of {tag!a}"))
        elif (head.epoch is None) == (head.tag != ""):
            broken.append((item, f"a record of tag {head.tag!a} under epoch {head.epoch}"))
        else:
            heads.append(head)
            good.append(item)
    return heads, good, broken


def keys_of(items: Iterable[bytes | msgspec.Raw]) -> set[bytes]:
    """The packed keys of records; of those that cannot be read, none."""
    keys = set()
    for item in items:
        try:
            keys.add(read_head(item).key)
        except UNREADABLE:
            continue
    return keys


def _order(head: Head, item: bytes) -> tuple[Version, bool, bytes]:
    """Orders the records of a key, all of them. One that expired shares its version with the
    tombstone it became; nothing else should be equal, and if it is the bytes decide."""
    return head.version, head.deleted, item
