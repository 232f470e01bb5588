"""Writes into a map, done on this node: who may, under which epoch, with which version.

A record with a tag is written where the tag is active, under the epoch that is active there (M-2).
It gets another tag, or loses its tag, where both are active.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..protocol.contract import Port
from ..protocol.errors import Busy, Misuse, NotTagOwner
from ..protocol.messages import MAX_NAME_CHARS
from ..protocol.tag_words import Epoch
from .background import Run
from .records import (
    TOMBSTONE_S,
    Era,
    Head,
    pack_record,
    pack_value,
    read_head,
    read_record,
    tombstone,
    unpack_key,
)
from .replica import Replica
from .write_behind import Store

MAX_TTL_S = 100 * 366 * 86_400


class Writes(Replica):
    """The side of a replicated map that changes it. Keys are packed."""

    def __init__(self, name: str, store: Store | None, run: Run | None, max_records: int) -> None:
        """See `replicated_map.ReplicatedMap`."""
        super().__init__(name, store, run)
        self._max_records = max_records

    def _put(self, key: bytes, value: bytes, tag: str | None, ttl_s: float | None) -> None:
        """Set the packed value of a packed key here; raises unless that may be done here."""
        port = self._writable()
        wall_s = port.wall()
        expires_ms = 0 if ttl_s is None else _after(wall_s, ttl_s)
        with self._lock:
            old = self._table.get(key)
            head = self._next(port, wall_s, key, old, tag, expires_ms)
            item = pack_record(head, value)
            self._table.take(((head, item),))
        self._tell(port, key, item, port.node_id)

    def _patch(self, key: bytes, fields: Mapping[str, Any], tag: str | None) -> None:
        """Set some fields of a value here; raises unless that may be done here."""
        port = self._writable()
        wall_s = port.wall()
        with self._lock:
            old = self._table.get(key)
            before = read_record(old) if old is not None else None
            if before is None or not before.lives(int(wall_s * 1000)):
                value, expires_ms = {}, 0
            else:
                value, expires_ms = before.value, before.expires_ms
            if not isinstance(value, dict):
                raise Misuse(
                    f"the value of key {unpack_key(key)!a} is no dict, so it has no fields: use put"
                )
            head = self._next(port, wall_s, key, old, tag, expires_ms)
            item = pack_record(head, pack_value({**value, **fields}))
            self._table.take(((head, item),))
        self._tell(port, key, item, port.node_id)

    def _delete(self, key: bytes) -> None:
        """Delete a key here; raises unless that may be done here, `KeyError` without a value."""
        port = self._writable()
        wall_s = port.wall()
        with self._lock:
            old = self._table.get(key)
            if old is None or not read_head(old).lives(int(wall_s * 1000)):
                raise KeyError(unpack_key(key))
            item = self._tombstone(port, wall_s, key, old)
        self._tell(port, key, item, port.node_id)

    def _next(
        self,
        port: Port,
        wall_s: float,
        key: bytes,
        old: bytes | None,
        tag: str | None,
        expires_ms: int,
    ) -> Head:
        """The head of what a write puts in the place of ``old``; raises unless it may. Locked."""
        newest = self._table.newest
        before = read_head(old) if old is not None else None
        if before is None and self._table.size >= self._max_records:
            raise Busy(f"map {self.name!a} is full: it has {self._max_records} records")
        moves = 0
        if before is not None:
            if tag is None:
                tag = before.tag
            moves = before.era.moves if before.era is not None else 0
            if tag != before.tag:
                moves += 1
                self._epoch_to_write(port, before.tag)
        tag = tag or ""
        epoch = self._epoch_to_write(port, tag)
        counter = int(wall_s * 1_000_000)
        if counter <= newest:
            counter = newest + 1
        era = Era(moves, epoch) if tag or moves else None
        return Head(key, tag, era, counter, port.node_id, expires_ms, False)

    def _epoch_to_write(self, port: Port, tag: str) -> Epoch | None:
        """Under which epoch records of a tag are written here; raises unless they may be (M-2)."""
        if not tag:
            return None
        if len(tag) > MAX_NAME_CHARS:
            raise Misuse(
                f"tag {tag[:MAX_NAME_CHARS]!a}… is longer than {MAX_NAME_CHARS} characters"
            )
        stands = port.tag(tag)
        if stands.token is not None:
            return stands.token.epoch
        if stands.holder is None:
            raise NotTagOwner(
                f"tag {tag!a} is active nowhere ({stands.why}): activate it where records of map"
                f" {self.name!a} are to be written with it",
                tag=tag,
            )
        raise NotTagOwner(
            f"tag {tag!a} is active on node {stands.holder}, and records of map {self.name!a} are"
            " written with it there: write there, hand the tag over, or make the map with"
            " forward=True",
            tag=tag,
            holder=stands.holder,
        )

    def _delete_overdue(self, tag: str, keys: Sequence[bytes]) -> None:
        """Delete records that expired, of a tag that is active here (M-5)."""
        port = self.port
        wall_s = port.wall()
        for key in keys:
            with self._lock:
                old = self._table.get(key)
                if old is None or key not in self._table.overdue.get(tag, ()):
                    continue
                try:
                    item = self._tombstone(port, wall_s, key, old)
                except NotTagOwner:
                    return
            self._tell(port, key, item, None)

    def _tombstone(self, port: Port, wall_s: float, key: bytes, old: bytes) -> bytes:
        """Delete the record ``old``; raises unless that may be done here. Locked."""
        head = self._next(port, wall_s, key, old, None, 0)
        item = tombstone(head, _after(wall_s, TOMBSTONE_S))
        self._table.take(((read_head(item), item),))
        return item


def _after(wall_s: float, ttl_s: float) -> int:
    """When a record expires, in milliseconds since the epoch of Unix."""
    if not 0 < ttl_s <= MAX_TTL_S:
        raise Misuse(f"ttl_s is {ttl_s}: it must be above 0 and at most {MAX_TTL_S} seconds")
    return int((wall_s + ttl_s) * 1000) + 1
