"""A map that every node of the cluster has: writes anywhere, reads locally, the last writer wins.

Applications mostly use it as a dict, see `replicated_dict`; the methods here take a tag with every
write. The tag labels a record: who may write it, and with what it is synchronised (M-2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from ..protocol.contract import Port
from ..protocol.errors import Busy, Misuse, NotTagOwner
from ..protocol.messages import BUCKETS, MAX_NAME_CHARS
from ..protocol.tag_words import Epoch
from .background import Run
from .observers import OnChange
from .records import (
    TOMBSTONE_S,
    Era,
    Head,
    Key,
    pack_key,
    pack_record,
    pack_value,
    read_head,
    read_record,
    tombstone,
    unpack_key,
)
from .replica import Replica
from .write_behind import Store

MAX_RECORDS = 10_000_000
"""Of one map, tombstones included; writes beyond are refused where they are made."""
MAX_TTL_S = 100 * 366 * 86_400
MAX_LOADED_RECORDS = 1000
"""Taken from the store at once."""


class ReplicatedMap(Replica):
    """The capability behind replicated dicts. All methods may be called from any thread.

    Writes raise `CapabilityDisabled` (switched off on this node), `NotTagOwner`, `Busy` (the map is
    full) and `Misuse` (what cannot be a key or a value); then nothing has happened.
    """

    def __init__(
        self,
        name: str,
        *,
        store: Store | None = None,
        run: Run | None = None,
        max_records: int = MAX_RECORDS,
    ) -> None:
        """``store`` keeps the records beyond the life of the node, see `load`. ``run`` has it, and
        functions given to `on_change`, called where they may block; without, in own threads."""
        super().__init__(name, store, run)
        self.store = store
        self._max_records = max_records

    # Writing -------------------------------------------------------------------------------------

    def put(
        self, key: Key, value: Any, *, tag: str | None = None, ttl_s: float | None = None
    ) -> None:
        """Set the value of a key, for ``ttl_s`` seconds or for good.

        ``tag`` None keeps the tag that the record has, if there is one.
        """
        packed = pack_key(key)
        packed_value = pack_value(value)
        port = self._writable()
        wall_s = port.wall()
        expires_ms = 0 if ttl_s is None else _after(wall_s, ttl_s)
        with self._lock:
            old = self._table.get(packed)
            head = self._next(port, wall_s, packed, old, tag, expires_ms)
            item = pack_record(head, packed_value)
            self._table.take(((head, item),))
        self._tell(port, packed, item, port.node_id)

    def patch(self, key: Key, fields: Mapping[str, Any], *, tag: str | None = None) -> None:
        """Set some fields of a value that is a dict, or begin such a value. Its expiry stays.

        The others get the whole value: when two nodes patch the same key at the same time, the
        later one wins with all its fields.
        """
        packed = pack_key(key)
        port = self._writable()
        wall_s = port.wall()
        with self._lock:
            old = self._table.get(packed)
            before = read_record(old) if old is not None else None
            if before is None or not before.lives(int(wall_s * 1000)):
                value, expires_ms = {}, 0
            else:
                value, expires_ms = before.value, before.expires_ms
            if not isinstance(value, dict):
                raise Misuse(f"the value of key {key!a} is no dict, so it has no fields: use put")
            head = self._next(port, wall_s, packed, old, tag, expires_ms)
            item = pack_record(head, pack_value({**value, **fields}))
            self._table.take(((head, item),))
        self._tell(port, packed, item, port.node_id)

    def delete(self, key: Key) -> None:
        """Delete a key on all nodes; `KeyError` when it has no value here."""
        packed = pack_key(key)
        port = self._writable()
        wall_s = port.wall()
        with self._lock:
            old = self._table.get(packed)
            if old is None or not read_head(old).lives(int(wall_s * 1000)):
                raise KeyError(key)
            item = self._tombstone(port, wall_s, packed, old)
        self._tell(port, packed, item, port.node_id)

    # Reading -------------------------------------------------------------------------------------

    def fetch(self, key: Key) -> Any:
        """The value of a key; `KeyError` when it has none. `PeerViolation` when the node that wrote
        it made something of it that nobody can read."""
        item = self._item(pack_key(key))
        if item is not None:
            record = read_record(item)
            if not record.deleted and (not record.expires_ms or record.lives(self._now_ms())):
                return record.value
        raise KeyError(key)

    def has(self, key: Key) -> bool:
        """Whether a key has a value."""
        item = self._item(pack_key(key))
        return item is not None and read_head(item).lives(self._now_ms())

    def __len__(self) -> int:
        """How many keys have a value."""
        self._expire()
        with self._lock:
            return self._table.alive(self._now_ms())

    def keys(self) -> Iterator[Key]:
        """Every key that has a value, in no order; of what is written meanwhile some or none."""
        now_ms = self._now_ms()
        for item in self._all():
            head = read_head(item)
            if head.lives(now_ms):
                yield unpack_key(head.key)

    def items(self) -> Iterator[tuple[Key, Any]]:
        """Every key with its value, in no order; of what is written meanwhile some or none."""
        now_ms = self._now_ms()
        for item in self._all():
            if read_head(item).lives(now_ms):
                record = read_record(item)
                yield unpack_key(record.key), record.value

    def on_change(self, function: OnChange) -> OnChange:
        """Have a function called after a value changed, wherever it was written. A decorator."""
        self._observers.add(function)
        return function

    # Beyond the life of the node -----------------------------------------------------------------

    def load(self) -> int:
        """Take what the store kept, before registering; how many records. Blocks."""
        if self.store is None:
            raise Misuse(f"map {self.name!a} has no store to load from")
        records = iter(self.store.load())
        while portion := list(islice(records, MAX_LOADED_RECORDS)):
            with self._lock:
                _, broken = self._table.merge(portion)
            if broken:
                raise Misuse(
                    f"the store of map {self.name!a} has no record of a map: {broken[0][1]}"
                )
        return self._table.size

    def flush(self) -> None:
        """Give the store everything that it lacks, now. Blocks; raises what the store raises."""
        if self._behind is not None:
            self._behind.flush()

    def on_stop(self) -> None:
        """See `Capability.on_stop`."""
        self.flush()

    # ---------------------------------------------------------------------------------------------

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

    def _all(self) -> Iterator[bytes]:
        for number in range(BUCKETS):
            with self._lock:
                items = self._table.bucket(number)
            yield from items


def _after(wall_s: float, ttl_s: float) -> int:
    """When a record expires, in milliseconds since the epoch of Unix."""
    if not 0 < ttl_s <= MAX_TTL_S:
        raise Misuse(f"ttl_s is {ttl_s}: it must be above 0 and at most {MAX_TTL_S} seconds")
    return int((wall_s + ttl_s) * 1000) + 1
