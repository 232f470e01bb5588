"""This node's copy of a map's records, and how it stays the same as the copies of the others.

A record that is written here is told to all others; nobody waits for it. A node that was busy or
unreachable is told later what it missed, of every key the newest record (`backlog`). A node that
joins asks for a sync, and what a sync or a comparison (`protocol.verifying`) finds different it
repairs. Records carry versions, so it does not matter how often and in which order they come.

Records with a tag are told by the node that has the tag, and by nobody else: what it wrote, as it
is; what it finds in its copy and somebody else may lack, with the epoch under which it vouches for
it. What may count of it, `record_fence` knows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import msgspec

from ..protocol.contract import Delivery, KeyedCapability, Outcome, Port, SyncReport
from ..protocol.errors import CapabilityDisabled, Misuse, PeerViolation
from ..protocol.identity import NodeId
from ..protocol.messages import CapState, Section
from ..protocol.tag_words import Epoch, Rank
from .background import Run
from .backlog import Backlog
from .map_messages import Vouched
from .observers import Observers
from .record_fence import RecordFence
from .records import Head, pack_head, read_head, read_record
from .table import Broken, Table, keys_of, read_items
from .timer import Timer
from .write_behind import Store, WriteBehind

SWEEP_S = 1.0
"""How often expired records are looked for."""
MAX_SWEPT_RECORDS = 5_000
"""In one turn of the hub."""
MAX_OVERDUE = 500
"""Expired records with tags deleted in one turn of the hub: each is told to all nodes."""
MAX_PUSHED_BYTES = 256 * 1024
"""Told at once to a node that missed something."""
RETRY_S = 2.0
"""Until a node that was switched off is told again what it missed."""
_OFF = CapState.DISABLED
_SENT, _QUEUED, _DISABLED = Outcome.SENT, Outcome.QUEUED, Outcome.DISABLED


class Replica(KeyedCapability):
    """The side of a replicated map that faces the cluster."""

    startup_sync = True
    inline = True
    delivery: Delivery = "at_least_once"

    def __init__(self, name: str, store: Store | None, run: Run | None) -> None:
        """See `replicated_map.ReplicatedMap`."""
        self.name = name
        self._lock = threading.Lock()
        self._table = Table()
        self._backlog = Backlog(self._keys_in)
        self._observers = Observers(self._value_of, run)
        self._behind: WriteBehind | None = None
        if store is not None:
            self._behind = WriteBehind(store, self._items_of, self, run)
        self._later: set[NodeId] = set()
        """Nodes that are told again after `RETRY_S`."""
        self._sweeper = Timer(self, self._sweep)
        self._fence = RecordFence(self, self._items)

    # Messages and nodes --------------------------------------------------------------------------

    def on_state(self, state: CapState, reason: str) -> None:  # noqa: ARG002 - any state will do
        """See `Capability.on_state`. Called when there is a port, so what waits for time can go on:
        records that were loaded, or were here before the node was stopped and started again."""
        if self._table.perishable:
            self._sweeper.arm(SWEEP_S)
        if self._behind is not None:
            self._behind.resume()

    def on_batch(self, messages: Sequence[Any], source: NodeId) -> None:
        """See `Capability.on_batch`: almost every message is a packed record, see `map_messages`.
        Takes those that can be read, and then raises `PeerViolation` if there were others."""
        records = [message for message in messages if type(message) is bytes]
        broken = self._take(records, source)
        if len(records) < len(messages):
            for message in messages:
                if type(message) is not bytes:
                    broken += self._hear_other(message, source)
        if broken:
            raise PeerViolation(
                f"{len(broken)} of {len(messages)} messages are none of a map: {broken[0][1]}"
            )

    def on_node_up(self, node: NodeId, incarnation: int) -> None:
        """See `Capability.on_node_up`."""
        self._backlog.node_up(node, incarnation)
        self._push_again(node)

    def on_room(self, node: NodeId) -> None:
        """See `Capability.on_room`."""
        self._push(node)

    # Syncs ---------------------------------------------------------------------------------------

    def position(self) -> int:
        """See `Capability.position`: the newest counter, so about a time in microseconds."""
        return self._table.newest

    def sections(self, tags: Sequence[str]) -> list[Section]:
        """See `KeyedCapability.sections`."""
        with self._lock:
            self._table.written = set()
            return self._table.sections(tags)

    def section_items(self, tag: str, bucket: int) -> list[bytes]:
        """See `KeyedCapability.section_items`."""
        with self._lock:
            return self._table.section(tag, bucket)

    def key_of(self, item: bytes) -> tuple[bytes, bool]:
        """See `KeyedCapability.key_of`."""
        head = read_head(item)
        return head.key, head.deleted

    def take_items(
        self,
        tag: str,
        items: Sequence[msgspec.Raw],
        *,
        epoch: Epoch | None = None,
        forced: bool = False,
    ) -> Broken:
        """See `KeyedCapability.take_items`."""
        heads, good, broken = read_items(map(bytes, items), tag)
        vouched = None
        if tag:
            heads, good = self._fence.synced(tag, heads, good, epoch, forced=forced)
            vouched = epoch.rank if epoch is not None else None
        self._accept(zip(heads, good, strict=True), None, vouched)
        return broken

    def extra_keys(self, tag: str, bucket: int, items: Sequence[msgspec.Raw]) -> list[bytes]:
        """See `KeyedCapability.extra_keys`: heads, so with versions. Tombstones are no records
        that could be dropped."""
        with self._lock:
            written = self._table.written
            if written is None:
                return []  # any of them may have been
            heads = map(read_head, self._table.section(tag, bucket))
            mine = {h.key: pack_head(h) for h in heads if not h.deleted and h.key not in written}
        return sorted(mine[key] for key in mine.keys() - keys_of(items))

    def drop(self, tag: str, keys: Sequence[bytes]) -> list[bytes]:
        """See `KeyedCapability.drop`."""
        dropped = {}
        with self._lock:
            for head in map(read_head, keys):
                item = self._table.get(head.key)
                if item is not None and head.tag == tag and read_head(item) == head:
                    self._table.remove(head, item)
                    dropped[head.key] = item
        self._changed(list(dropped), None)
        return list(dropped.values())

    def restore(self, tag: str, items: Sequence[bytes]) -> int:
        """See `KeyedCapability.restore`. A key that was deleted since stays deleted."""
        restored = []
        with self._lock:
            for item in items:
                head = read_head(item)
                if head.tag == tag and self._table.get(head.key) is None:
                    restored += self._table.take(((head, item),))
        self._changed(restored, None)
        return len(restored)

    def sync_done(self, report: SyncReport) -> None:
        """See `Capability.sync_done`."""
        super().sync_done(report)
        with self._lock:
            self._table.written = None

    # For the side that faces the application -----------------------------------------------------

    def _registered(self) -> Port:
        try:
            return self.port
        except AttributeError:
            raise Misuse(
                f"map {self.name!a} is not registered yet: register it with a cluster first"
            ) from None

    def _writable(self) -> Port:
        try:
            port = self.port
        except AttributeError:
            port = self._registered()
        if port.state() is _OFF:
            raise CapabilityDisabled(f"map {self.name!a} is switched off on this node")
        return port

    def _tell(self, port: Port, key: bytes, item: bytes, source: NodeId | None) -> None:
        """A record was written here, by ``source`` as those hear who watch; None = it expired."""
        self._changed((key,), source)
        for node, result in port.broadcast(item).items():
            outcome = result.outcome
            if outcome is _SENT or outcome is _QUEUED:
                continue
            if self._backlog.missed(node, (key,), port.wall()):
                self._push(node)

    def _take(self, items: Iterable[bytes], source: NodeId) -> Broken:
        """Take what a node wrote and tells; what is broken."""
        heads, good, broken = read_items(items)
        if any(head.tag for head in heads):
            heads, good = self._fence.told(heads, good, source)
        self._accept(zip(heads, good, strict=True), source)
        return broken

    def _hear_other(self, message: Any, source: NodeId) -> Broken:
        """A message that is no record; what is broken."""
        raise NotImplementedError

    def _vouched(self, heard: Vouched, source: NodeId) -> Broken:
        """The node that has a tag says which record it has under a key."""
        heads, good, broken = read_items([heard.item])
        for head, item in zip(heads, good, strict=True):
            if head.epoch is None or head.epoch.rank > heard.epoch.rank:
                broken.append((item, f"vouched for under epoch {heard.epoch}"))
            elif self.port.judge(source, head.tag, heard.epoch):
                self._accept([(head, item)], source, heard.epoch.rank)
        return broken

    def _accept(
        self,
        records: Iterable[tuple[Head, bytes]],
        source: NodeId | None,
        vouched: Rank | None = None,
    ) -> None:
        """Take records that may count."""
        with self._lock:
            changed = self._table.take(records, vouched)
        self._changed(changed, source)

    def _expire(self, limit: int = 2**63 - 1) -> bool:
        """Expired records without a tag become tombstones; whether there are more of them."""
        now_ms = self._now_ms()
        with self._lock:
            expired, more = self._table.expire(now_ms, limit)
        self._changed(expired, None)
        return more

    def _delete_overdue(self, tag: str, keys: Sequence[bytes]) -> None:
        """Delete records that expired, of a tag that is active here (M-5)."""
        raise NotImplementedError

    def _expire_tagged(self) -> bool:
        """What has expired of the tags that are active here is deleted; whether there is more."""
        left = MAX_OVERDUE
        for tag in sorted(self._table.overdue):
            if left and self.port.tag(tag).active:
                with self._lock:
                    keys = list(islice(self._table.overdue.get(tag, ()), left))
                left -= len(keys)
                self._delete_overdue(tag, keys)
        return not left

    def _item(self, key: bytes) -> bytes | None:
        with self._lock:
            return self._table.get(key)

    def _now_ms(self) -> int:
        return int(self._registered().wall() * 1000)

    # ---------------------------------------------------------------------------------------------

    def _changed(self, keys: Sequence[bytes], source: NodeId | None) -> None:
        if not keys:
            return
        if self._observers.functions:
            self._observers.changed(keys, source)
        if self._behind is not None:
            self._behind.changed(keys)
        if self._table.perishable and not self._sweeper.armed():
            self._sweeper.arm(SWEEP_S)

    def _sweep(self) -> None:
        more = self._expire(MAX_SWEPT_RECORDS)
        more = self._expire_tagged() or more
        if self._table.perishable:
            self._sweeper.arm(0.0 if more else SWEEP_S)

    def _push(self, node: NodeId) -> None:
        """Tell a node something of what it missed; the rest in another turn of the hub."""
        keys = self._backlog.take(node)
        if not keys:
            return
        items: list[bytes | Vouched] = []
        size = told = 0
        for item in self._items_of(keys).values():
            size += len(item or b"")
            if size > MAX_PUSHED_BYTES and items:
                break
            told += 1
            message = self._message_of(item) if item is not None else None
            if message is not None:
                items.append(message)
        result = self.port.send_many(node, items)
        left = keys[told:] if result else keys
        self._backlog.missed(node, left, self.port.wall())
        if result:
            self.port.call(lambda: self._push(node))
        elif result.outcome is _DISABLED:
            self._push_later(node)

    def _message_of(self, item: bytes) -> bytes | Vouched | None:
        """What tells another node that a record is here; of a tag that is not active here its
        owner tells, so nothing."""
        tag = read_head(item).tag
        if not tag:
            return item
        token = self.port.tag(tag).token
        return Vouched(token.epoch, item) if token is not None else None

    def _push_later(self, node: NodeId) -> None:
        """The node is switched off, as far as is known here: it may be on again, and its sync over.

        Of one that misses very much nothing is kept: it asks for a sync when it is switched on.
        """
        if self._backlog.is_long(node):
            self._backlog.forget(node)
        elif node not in self._later:
            self._later.add(node)
            self.port.call_later(RETRY_S, lambda: self._push_again(node))

    def _push_again(self, node: NodeId) -> None:
        self._later.discard(node)
        self._push(node)

    def _items_of(self, keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
        keys = list(keys)
        return dict(zip(keys, self._items(keys), strict=True))

    def _items(self, keys: Iterable[bytes]) -> list[bytes | None]:
        with self._lock:
            return [self._table.get(key) for key in keys]

    def _keys_in(self, bucket: int) -> list[bytes]:
        with self._lock:
            return [read_head(item).key for item in self._table.bucket(bucket)]

    def _value_of(self, key: bytes) -> Any:
        """The value of a packed key, None when it has none."""
        item = self._item(key)
        record = read_record(item) if item is not None else None
        return record.value if record is not None and record.lives(self._now_ms()) else None
