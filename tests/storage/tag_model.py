"""What a store of sharing tags does, in a few lines: the database is compared with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.tag_messages import Claim
from tagmesh.protocol.tag_words import Owner, TagRow
from tagmesh.storage import TagAnswer
from tagmesh.storage.base import claimant


class _Entry(msgspec.Struct):
    row: TagRow
    until_ms: int = 0


class TagModel:
    """A `LeaseStore` in memory, for one process at a time. ``now_ms`` is the clock that judges."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._entries: dict[tuple[ClusterId, str], _Entry] = {}

    def load(self, cluster: ClusterId) -> tuple[TagRow, ...]:
        tags = sorted(tag for of, tag in self._entries if of == cluster)
        return tuple(row for tag in tags if (row := self.read(cluster, tag)))

    def read(self, cluster: ClusterId, tag: str) -> TagRow | None:
        entry = self._entries.get((cluster, tag))
        if entry is None:
            return None
        left_s = max(0, entry.until_ms - self._now_ms()) / 1000
        return msgspec.structs.replace(entry.row, left_s=left_s)

    def claim(self, cluster: ClusterId, tag: str, owner: Owner, *, seen: int) -> TagAnswer:
        row = self._row(cluster, tag)
        allowed = row.number <= seen and (row.mode == "manual" or self._is_free(row))
        return self._own(allowed, cluster, tag, owner, seen + 1)

    def keep(self, cluster: ClusterId, claim: Claim) -> TagAnswer:
        row = self._row(cluster, claim.tag)
        allowed = row.number <= claim.number and (row.mode == "manual" or self._is_free(row))
        owner, released = claimant(claim), claim.released
        return self._own(allowed, cluster, claim.tag, owner, claim.number, released=released)

    def acquire(
        self, cluster: ClusterId, tag: str, owner: Owner, *, seen: int, ttl_s: float
    ) -> TagAnswer:
        row = self._row(cluster, tag)
        mine = row.mode == "manual" and row.owner is not None
        mine = mine and row.owner is not None and row.owner.node_id == owner.node_id
        allowed = row.number <= seen and not row.paused and (mine or self._is_free(row))
        return self._own(allowed, cluster, tag, owner, seen + 1, ttl_s=ttl_s)

    def renew(
        self, cluster: ClusterId, tag: str, owner: Owner, *, number: int, ttl_s: float
    ) -> TagAnswer:
        row = self.read(cluster, tag)
        if row is None or not _is_claim(row, owner, number) or row.released or row.mode != "lease":
            return TagAnswer(done=False, row=row)
        return self._put(cluster, row, ttl_s)

    def release(self, cluster: ClusterId, tag: str, owner: Owner, *, number: int) -> TagAnswer:
        row = self.read(cluster, tag)
        if row is None or not _is_claim(row, owner, number):
            return TagAnswer(done=False, row=row)
        return self._put(cluster, msgspec.structs.replace(row, released=True), 0)

    def pause(self, cluster: ClusterId, tag: str, *, paused: bool) -> TagRow:
        return self._set(cluster, msgspec.structs.replace(self._row(cluster, tag), paused=paused))

    def prefer(self, cluster: ClusterId, tag: str, nodes: Sequence[NodeId]) -> TagRow:
        row = self._row(cluster, tag)
        return self._set(cluster, msgspec.structs.replace(row, preferred=tuple(nodes)))

    def _row(self, cluster: ClusterId, tag: str) -> TagRow:
        """The row, made if it is not there."""
        empty = TagRow(tag=tag, number=0, owner=None, released=True)
        self._entries.setdefault((cluster, tag), _Entry(empty))
        row = self.read(cluster, tag)
        assert row is not None
        return row

    def _is_free(self, row: TagRow) -> bool:
        return row.released or (row.mode == "lease" and not row.left_s)

    def _own(
        self,
        allowed: bool,
        cluster: ClusterId,
        tag: str,
        owner: Owner,
        number: int,
        *,
        released: bool = False,
        ttl_s: float = 0,
    ) -> TagAnswer:
        row = self._row(cluster, tag)
        if not allowed:
            return TagAnswer(done=False, row=row)
        mode = "lease" if ttl_s else "manual"
        row = msgspec.structs.replace(row, owner=owner, number=number, released=released, mode=mode)
        return self._put(cluster, row, ttl_s)

    def _put(self, cluster: ClusterId, row: TagRow, ttl_s: float) -> TagAnswer:
        until_ms = self._now_ms() + round(ttl_s * 1000) + 1 if ttl_s else 0
        self._entries[cluster, row.tag] = _Entry(row, until_ms)
        return TagAnswer(done=True, row=self.read(cluster, row.tag))

    def _set(self, cluster: ClusterId, row: TagRow) -> TagRow:
        self._entries[cluster, row.tag].row = row
        return self._row(cluster, row.tag)


def _is_claim(row: TagRow, owner: Owner, number: int) -> bool:
    return (row.owner, row.number) == (owner, number)
