"""The stream of sections in a sync: cut into chunks by the donor, tallied by the joiner (S-25).

Sections come one after the other, in ascending order of (tag, bucket), each once; a section is a
run of pieces of which the last is closed. Both sides sum up the same records: per section, for
``Piece.closed``, and per tag, for ``SyncEnd.tags``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate, islice

from .errors import Misuse, PeerViolation
from .messages import (
    BUCKETS,
    MAX_NAME_CHARS,
    MAX_PAYLOAD_BYTES,
    MAX_SECTIONS,
    MAX_TAGS,
    Section,
)
from .sync_pieces import (
    DIGEST_BYTES,
    MAX_CHUNK_PIECES,
    MAX_PIECE_RECORDS,
    Piece,
    digest_of,
    encode_chunk,
    encode_piece,
    sum_of,
)

SectionKey = tuple[str, int]
"""(tag, bucket)"""
MAX_NAMED_BYTES = 96 * 1024
"""Sections named in one request, packed: with its other fields it fits every node's frames."""
SECTION_BYTES = 40
"""What a named section takes beside its tag, at most."""
PIECE_BYTES = 32
"""What a piece weighs beside its records, about."""
TagTotal = tuple[str, int, bytes]
"""(tag, records, digest)"""


def check_sections(sections: Iterable[Section]) -> None:
    """`Misuse` for a section that cannot be told to anybody."""
    for section in sections:
        named = len(section.tag) <= MAX_NAME_CHARS and 0 <= section.bucket < BUCKETS
        if not (named and 0 <= section.count < 2**63 and len(section.digest) == DIGEST_BYTES):
            raise Misuse(
                f"{section!a}: a section has a tag of at most {MAX_NAME_CHARS} characters, a bucket"
                f" of 0 … {BUCKETS - 1}, a count and a digest of {DIGEST_BYTES} bytes"
            )


def nameable(tags: Iterable[str]) -> int:
    """How many sections, the first ones, fit into a request; ``tags``: of each section."""
    sizes = accumulate(len(tag.encode()) + SECTION_BYTES for tag in tags)
    return sum(1 for size in islice(sizes, MAX_SECTIONS) if size <= MAX_NAMED_BYTES)


def portion(sections: Sequence[Section], first: int) -> tuple[list[Section], list[int]]:
    """The sections of as many buckets, from ``first`` on, as can be named in a request, and these
    buckets; none = all. Of the first bucket there may be more than can be named."""
    homes: list[list[Section]] = [[] for _ in range(BUCKETS)]
    for section in sections:
        homes[section.bucket].append(section)
    order = [(first + step) % BUCKETS for step in range(BUCKETS)]
    ends = list(accumulate(len(homes[bucket]) for bucket in order))
    named = nameable(section.tag for bucket in order for section in homes[bucket])
    if named == ends[-1]:
        return list(sections), []
    buckets = order[: max(bisect_right(ends, named), 1)]
    return [section for bucket in buckets for section in homes[bucket]], sorted(buckets)


MAX_ASKED_RECORDS = 512
"""Small sections are asked of the donor's application together, up to so many records."""


def grouped(sections: Sequence[SectionKey], counts: Sequence[int]) -> deque[tuple[SectionKey, ...]]:
    """Neighbouring sections in groups of few records, so that few questions are asked."""
    groups: deque[tuple[SectionKey, ...]] = deque()
    group: list[SectionKey] = []
    room = MAX_ASKED_RECORDS
    for section, count in zip(sections, counts, strict=True):
        if group and count > room:
            groups.append(tuple(group))
            group, room = [], MAX_ASKED_RECORDS
        group.append(section)
        room -= count
    if group:
        groups.append(tuple(group))
    return groups


class Totals:
    """Records and the sum of their hashes, per tag, of closed sections."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._sums)

    def __contains__(self, tag: str) -> bool:
        return tag in self._sums

    def add(self, tag: str, count: int, total: int) -> None:
        """One more section."""
        before = self._sums.get(tag, (0, 0))
        self._sums[tag] = (before[0] + count, before[1] + total)

    def listed(self) -> list[TagTotal]:
        """As in ``SyncEnd.tags``, by tag."""
        return [(tag, n, digest_of(total)) for tag, (n, total) in sorted(self._sums.items())]


class _Batch:
    """Records of a section that are to be cut."""

    def __init__(self, section: SectionKey, records: Sequence[bytes], *, closes: bool) -> None:
        """`Misuse` for a record that no chunk can carry."""
        lengths = list(map(len, records))
        if lengths and not 0 < min(lengths) <= max(lengths) <= MAX_PAYLOAD_BYTES:
            raise Misuse(
                f"a packed record must have 1 … {MAX_PAYLOAD_BYTES} bytes; those of section"
                f" {section!a} have {min(lengths)} … {max(lengths)}"
            )
        self.section = section
        self.records = records
        self.closes = closes
        self.ends = list(accumulate(lengths))
        """Where each record would end if they stood one after the other."""
        self.next = 0

    @property
    def start(self) -> int:
        """Where the next record begins."""
        return self.ends[self.next - 1] if self.next else 0

    @property
    def bytes(self) -> int:
        """What is left."""
        return (self.ends[-1] if self.ends else 0) - self.start + PIECE_BYTES


class Cutter:
    """The donor's side: sections in, chunks out."""

    def __init__(self, packet_bytes: int) -> None:
        self._packet_bytes = packet_bytes
        self._batches: deque[_Batch] = deque()
        self._count = 0
        self._sum = 0
        self.totals = Totals()
        self.records = 0
        """Cut so far."""
        self.waiting_bytes = 0
        """Not cut yet, about."""

    def add(self, section: SectionKey, records: Sequence[bytes], *, closes: bool) -> None:
        """The next records of a section, which they close or not; empty ones may close it too.

        `Misuse` for a record that no chunk can carry.
        """
        batch = _Batch(section, records, closes=closes)
        if records or closes:
            self._batches.append(batch)
            self.waiting_bytes += batch.bytes

    def cut(self, *, flush: bool) -> bytes | None:
        """The next chunk's pieces; None when what waits does not fill one, unless ``flush``."""
        if not self._batches or (self.waiting_bytes < self._packet_bytes and not flush):
            return None
        pieces: list[bytes] = []
        room = self._packet_bytes
        while self._batches and room > 0 and len(pieces) < MAX_CHUNK_PIECES:
            batch = self._batches[0]
            limit = min(len(batch.records), batch.next + MAX_PIECE_RECORDS)
            stop = bisect_right(batch.ends, batch.start + room, batch.next, limit)
            if stop == batch.next < limit:
                if pieces:
                    break  # the next record is for the next chunk
                stop += 1  # longer than a chunk should be: alone in its own
            pieces.append(self._piece(batch, stop))
            room -= len(pieces[-1])
        return encode_chunk(pieces)

    def _piece(self, batch: _Batch, stop: int) -> bytes:
        records = batch.records[batch.next : stop]
        before = batch.bytes
        batch.next = stop
        self._count += len(records)
        self._sum += sum_of(records)
        self.records += len(records)
        closed = None
        if stop < len(batch.records):
            self.waiting_bytes -= before - batch.bytes
        else:
            self.waiting_bytes -= before
            self._batches.popleft()
            if batch.closes:
                closed = (self._count, digest_of(self._sum))
                self.totals.add(batch.section[0], self._count, self._sum)
                self._count = self._sum = 0
        return encode_piece(*batch.section, records, closed)


class Tally:
    """The joiner's side: what arrived, and whether it is what was sent."""

    def __init__(self) -> None:
        self._last: SectionKey | None = None
        self._open = False
        self._count = 0
        self._sum = 0
        self._declared = Totals()
        """What the donor says of the sections that it closed."""
        self.records = 0
        """Arrived."""
        self.verified = 0
        """Records of the sections whose count and digest were right."""
        self.sections = 0
        """Sections whose count and digest were right."""
        self.failed: list[SectionKey] = []
        """The other ones, in order."""

    def take(self, piece: Piece) -> bool:
        """True when the piece closes a section and all its records are there.

        `PeerViolation` for a piece that cannot come now.
        """
        section = (piece.tag, piece.bucket)
        if self._open and section != self._last:
            raise PeerViolation(f"section {self._last!a} is not closed before {section!a}")
        if not self._open and self._last is not None and section <= self._last:
            raise PeerViolation(f"section {section!a} comes after {self._last!a}")
        if piece.tag not in self._declared and len(self._declared) == MAX_TAGS:
            raise PeerViolation(f"more than {MAX_TAGS} tags in one session")
        self._last, self._open = section, True
        self._count += len(piece.records)
        self._sum += sum_of(piece.records)
        self.records += len(piece.records)
        return piece.closed is not None and self._close(section, piece.closed)

    def complete(self, tags: Iterable[TagTotal]) -> bool:
        """Every section came that the donor says it sent; some may have `failed`."""
        return not self._open and self._declared.listed() == sorted(tags)

    def _close(self, section: SectionKey, closed: tuple[int, bytes]) -> bool:
        right = closed == (self._count, digest_of(self._sum))
        if right:
            self.verified += self._count
            self.sections += 1
        else:
            self.failed.append(section)
        count, digest = closed
        self._declared.add(section[0], count, int.from_bytes(digest, "little"))
        self._open, self._count, self._sum = False, 0, 0
        return right
