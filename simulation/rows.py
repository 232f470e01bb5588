"""The database of a simulated world: who is provisioned, and what can be wrong with asking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from ..protocol.errors import Misuse, NotProvisioned, StorageUnavailable, Unknown
from ..protocol.identity import (
    BinsUrl,
    ClusterId,
    IdentityPolicy,
    InvalidRow,
    NodeId,
    NodeRecord,
)
from ..protocol.removal_messages import Removal
from ..protocol.tombstones import Stone
from ..storage import RosterSnapshot, WasRemoved
from .runtime import StillBusy

CLUSTER = ClusterId(1)
Mode = Literal["ok", "failing", "hanging", "stale"]
MODES: tuple[Mode, ...] = ("ok", "failing", "hanging", "stale")

_Key = tuple[ClusterId, NodeId]


def record_of(node: NodeId) -> NodeRecord:
    """The row a node of a world has, unless somebody edits it."""
    return NodeRecord(
        cluster_id=CLUSTER, node_id=node, url=BinsUrl(f"node-{node}"), description=f"sim {node}"
    )


class SimulatedStorage:
    """See `storage.Roster`: the rows that all processes read.

    ``mode``: ``failing`` refuses, ``hanging`` answers when it is over, ``stale`` (a replica that
    lags) shows the rows as they were when the mode was set.
    """

    name = "simulated"

    def __init__(self, records: Mapping[NodeId, NodeRecord]) -> None:
        self.records = dict(records)
        self.identities: dict[_Key, IdentityPolicy] = {}
        self.invalid: tuple[InvalidRow, ...] = ()
        """Rows that cannot be used (D-5)."""
        self.removals: dict[NodeId, Removal] = {}
        """Who was removed by a command and has no row again."""
        self.edits = 0
        """How often the rows were changed."""
        self._mode: Mode = "ok"
        self._seen: dict[NodeId, NodeRecord] = {}
        self._before: list[dict[NodeId, NodeRecord]] = []

    @property
    def mode(self) -> Mode:
        """What asking is like now."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode not in MODES:
            raise Misuse(f"no storage mode {mode!r}; there are {', '.join(MODES)}")
        self._mode = mode
        self._seen = dict(self.records)

    def load(self, me: NodeId) -> RosterSnapshot:
        """See `storage.Roster.load`."""
        if self._mode == "failing":
            raise StorageUnavailable("the simulated database does not answer")
        if self._mode == "hanging":
            raise StillBusy
        return self.read(me, self._seen if self._mode == "stale" else self.records)

    def read(self, me: NodeId, records: Mapping[NodeId, NodeRecord]) -> RosterSnapshot:
        """What ``load`` makes of these rows."""
        if me not in records:
            text = f"node {me} has no row in the simulated database"
            if me in self.removals:
                raise WasRemoved(text, ((CLUSTER, self.removals[me]),))
            raise NotProvisioned(text)
        rows = tuple(record for _, record in sorted(records.items()))
        return RosterSnapshot(
            records=rows,
            invalid=self.invalid,
            identities=dict(self.identities),
            removals=tuple((CLUSTER, removal) for _, removal in sorted(self.removals.items())),
        )

    def note_removal(self, stone: Stone) -> bool:
        """See `storage.Roster.note_removal`."""
        if self._mode == "failing":
            raise StorageUnavailable("the simulated database does not answer")
        if self._mode == "hanging":
            raise StillBusy
        _, removal = stone
        node = NodeId(removal.node_id)
        if node not in self.records:
            if node in self.removals:
                return False
            raise Unknown(f"there is no node {node}")
        self.write(node, None)
        self.removals[node] = removal
        return True

    def close(self) -> None:
        """See `storage.Roster.close`."""

    def write(self, node: NodeId, record: NodeRecord | None) -> None:
        """Replace the row of a node; None = delete it."""
        self.edits += 1
        self._before.append(dict(self.records))
        if record is None:
            self.records.pop(node, None)
        else:
            self.records[node] = record
            self.removals.pop(node, None)

    def lose_last_write(self) -> None:
        """The server came back without its last commit; `Misuse` when there was none."""
        if not self._before:
            raise Misuse("nothing was written yet")
        self.edits += 1
        self.records = self._before.pop()

    def enabled(self) -> tuple[NodeId, ...]:
        """The nodes that may be in the cluster now, sorted."""
        return tuple(n for n, record in sorted(self.records.items()) if record.enabled)

    def admits(self, _cluster: ClusterId, node: NodeId) -> bool:
        """Whether the node may be in the cluster now."""
        return node in self.enabled()

    def set_enabled(self, node: NodeId, *, enabled: bool) -> None:
        """Edit the ``state`` column."""
        if node not in self.records:
            raise Misuse(f"node {node} has no row")
        self.write(node, msgspec.structs.replace(self.records[node], enabled=enabled))


class OwnView:
    """The rows as a process sees them that believes to be provisioned although it is not."""

    name = "a database of its own"

    def __init__(self, storage: SimulatedStorage, record: NodeRecord) -> None:
        self._storage = storage
        self._record = record

    def load(self, me: NodeId) -> RosterSnapshot:
        """See `storage.Roster.load`."""
        return self._storage.read(me, {**self._storage.records, me: self._record})

    def note_removal(self, stone: Stone) -> bool:
        """See `storage.Roster.note_removal`."""
        return self._storage.note_removal(stone)

    def close(self) -> None:
        """See `storage.Roster.close`."""
