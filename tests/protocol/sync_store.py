"""A small keyed capability, for the tests of syncs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from zlib import crc32

import msgspec

from tagmesh.protocol.messages import BUCKETS, Section
from tagmesh.protocol.sync_pieces import digest_of, sum_of

Record = tuple[int, str]
"""(version, value)"""


def pack(key: str, record: Record) -> bytes:
    return msgspec.msgpack.encode((key, *record))


def bucket_of(key: str, buckets: int = BUCKETS) -> int:
    return crc32(key.encode()) % buckets


class Store:
    """A small keyed capability: tag and key to a version and a value."""

    def __init__(self, records: dict[tuple[str, str], Record] | None = None) -> None:
        self.records = dict(records or {})
        self.buckets = BUCKETS
        self.refuses: Callable[[str], bool] = lambda key: False
        self.written: set[tuple[str, str]] = set()
        """Since `sections` was asked last."""
        self.writes = 0
        self._stamp: tuple[int, ...] | None = None
        self._found: dict[tuple[str, int], list[bytes]] = {}

    def by_section(self) -> dict[tuple[str, int], list[bytes]]:
        stamp = (self.writes, len(self.records), self.buckets)
        if stamp == self._stamp:
            return self._found
        found: dict[tuple[str, int], list[bytes]] = {}
        for (tag, key), record in self.records.items():
            section = (tag, bucket_of(key, self.buckets))
            found.setdefault(section, []).append(pack(key, record))
        self._stamp, self._found = stamp, found
        return found

    def write(self, tag: str, key: str, record: Record) -> None:
        """A live message."""
        if record > self.records.get((tag, key), (-1, "")):
            self.records[tag, key] = record
        self.written.add((tag, key))
        self.writes += 1

    def sections(self, tags: Sequence[str]) -> list[Section]:
        self.written.clear()
        return [
            Section(tag, bucket, len(items), digest_of(sum_of(items)))
            for (tag, bucket), items in sorted(self.by_section().items())
            if not tags or tag in tags
        ]

    def take(self, tag: str, items: Iterable[bytes]) -> int:
        self.writes += 1
        refused = 0
        for item in items:
            key, version, value = msgspec.msgpack.decode(item)
            if self.refuses(key):
                refused += 1
            elif (version, value) > self.records.get((tag, key), (-1, "")):
                self.records[tag, key] = (version, value)
        return refused

    def extra_keys(self, tag: str, bucket: int, items: Iterable[bytes]) -> list[bytes]:
        theirs = {msgspec.msgpack.decode(item)[0] for item in items}
        return [
            msgspec.msgpack.encode((key, version))
            for (t, key), (version, _value) in self.records.items()
            if (t, bucket_of(key, self.buckets)) == (tag, bucket)
            if key not in theirs and (t, key) not in self.written
        ]

    def drop(self, tag: str, keys: Iterable[bytes]) -> list[bytes]:
        self.writes += 1
        dropped = []
        for key, version in map(msgspec.msgpack.decode, keys):
            record = self.records.get((tag, key))
            if record is not None and record[0] == version:
                dropped.append(pack(key, self.records.pop((tag, key))))
        return dropped
