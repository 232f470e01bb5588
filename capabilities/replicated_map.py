"""A map that every node of the cluster has: writes anywhere, reads locally, the last writer wins.

Applications mostly use it as a dict, see `replicated_dict`; the methods here take a tag with every
write. The tag labels a record: who may write it, and with what it is synchronised (M-2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from ..protocol.errors import CapabilityDisabled, Misuse, NodeDown, NotTagOwner, Unreachable
from ..protocol.identity import NodeId
from ..protocol.messages import BUCKETS, CapState
from .background import Run
from .forwarding import Forwarding
from .map_messages import Forward, Vouched, Write, read_message
from .map_writes import Writes
from .observers import OnChange
from .records import Key, pack_key, pack_value, read_any, read_head, read_record, unpack_key
from .table import Broken
from .write_behind import Store

MAX_RECORDS = 10_000_000
"""Of one map, tombstones included; writes beyond are refused where they are made."""
MAX_LOADED_RECORDS = 1000
"""Taken from the store at once."""


class ReplicatedMap(Writes):
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
        forward: bool = False,
    ) -> None:
        """``store`` keeps the records beyond the life of the node, see `load`. ``run`` has it, and
        functions given to `on_change`, called where they may block; without, in own threads.

        ``forward``: what may not be written here, because another node has the tag, is done there,
        at most once. Then a write waits for the other node, so not in the hub, and raises also
        `NodeDown`, `Unreachable`, `TimedOut` (it may have been done) and `RemoteError`.
        """
        super().__init__(name, store, run, max_records)
        self.store = store
        self.forward = forward
        self.forwarding = Forwarding(self, self._do)

    # Writing -------------------------------------------------------------------------------------

    def put(
        self, key: Key, value: Any, *, tag: str | None = None, ttl_s: float | None = None
    ) -> None:
        """Set the value of a key, for ``ttl_s`` seconds or for good.

        ``tag`` None keeps the tag that the record has, if there is one.
        """
        packed, packed_value = pack_key(key), pack_value(value)
        try:
            self._put(packed, packed_value, tag, ttl_s)
        except NotTagOwner as refused:
            self._by_owner(refused, Write("put", packed, tag, packed_value, ttl_s))

    def patch(self, key: Key, fields: Mapping[str, Any], *, tag: str | None = None) -> None:
        """Set some fields of a value that is a dict, or begin such a value. Its expiry stays.

        The others get the whole value: when two nodes patch the same key at the same time, the
        later one wins with all its fields.
        """
        packed = pack_key(key)
        try:
            self._patch(packed, fields, tag)
        except NotTagOwner as refused:
            self._by_owner(refused, Write("patch", packed, tag, pack_value(dict(fields))))

    def delete(self, key: Key) -> None:
        """Delete a key on all nodes; `KeyError` when it has no value here."""
        packed = pack_key(key)
        try:
            self._delete(packed)
        except NotTagOwner as refused:
            self._by_owner(refused, Write("delete", packed))

    def _by_owner(self, refused: NotTagOwner, write: Write) -> None:
        """Have the owner of the tag do what may not be done here, and wait for it."""
        if not self.forward or refused.holder is None:
            raise refused
        self.forwarding.ask(refused.holder, refused.tag, write).result()

    def _do(self, write: Write) -> None:
        """What another node asks for, because the tag is active here."""
        if write.kind == "put":
            self._put(write.key, write.value, write.tag, write.ttl_s)
        elif write.kind == "patch":
            fields = read_any(write.value)
            if not isinstance(fields, dict):
                raise Misuse("the fields of a patch are no dict")
            self._patch(write.key, fields, write.tag)
        else:
            self._delete(write.key)

    # What the node calls -------------------------------------------------------------------------

    def _hear_other(self, message: Any, source: NodeId) -> Broken:
        try:
            heard = read_message(message)
        except msgspec.ValidationError as error:
            return [(b"", str(error))]
        if isinstance(heard, Vouched):
            return self._vouched(heard, source)
        if isinstance(heard, Forward):
            self.forwarding.asked(heard, source)
        else:
            self.forwarding.answered(heard, source)
        return []

    def on_node_down(self, node: NodeId, cause: str) -> None:
        """See `Capability.on_node_down`: what was asked of it will not be answered."""
        super().on_node_down(node, cause)
        self.forwarding.fail(NodeDown(f"node {node} went down: {cause}"), node)

    def on_state(self, state: CapState, reason: str) -> None:
        """See `Capability.on_state`."""
        super().on_state(state, reason)
        if state is CapState.DISABLED:
            self.forwarding.fail(CapabilityDisabled(f"map {self.name!a} is off: {reason}"))

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
        self.forwarding.fail(Unreachable("this node was stopped before an answer came"))
        self.flush()

    # ---------------------------------------------------------------------------------------------

    def _all(self) -> Iterator[bytes]:
        for number in range(BUCKETS):
            with self._lock:
                items = self._table.bucket(number)
            yield from items
