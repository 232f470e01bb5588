"""The store of sharing tags of a simulated world: who owns them, and what can be wrong with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

from ..protocol.errors import NotProvisioned, StorageUnavailable
from ..protocol.identity import ClusterId, NodeId, NodeRecord
from ..protocol.lease_candidates import is_elector
from ..protocol.lease_orphans import check_free, claimants
from ..protocol.tag_messages import Claim
from ..protocol.tag_messages import Mode as TagMode
from ..protocol.tag_words import Owner, TagRow, check_tag
from ..storage.base import TagAnswer, claimant, next_number, not_enabled
from .rows import Mode
from .runtime import StillBusy


class SimulatedTagStore:
    """See `storage.LeaseStore`: the database of a world, or the disk of one machine.

    It is as wrong as the database says (``mode``), and loses nothing. Its answers are those of
    `storage.SqlTagStore`, which a test compares with it.
    """

    name = "simulated"

    def __init__(
        self,
        now_ms: Callable[[], int],
        mode: Callable[[], Mode] = lambda: "ok",
        enabled: Callable[[ClusterId, NodeId], bool] = lambda _cluster, _node: True,
        *,
        shared: bool,
    ) -> None:
        """``now_ms``: the clock that judges leases; ``enabled``: which rows of nodes are."""
        self.shared = shared
        self._enabled = enabled
        self._now_ms = now_ms
        self._mode = mode
        self._rows: dict[tuple[ClusterId, str], TagRow] = {}
        self._until_ms: dict[tuple[ClusterId, str], int] = {}
        """When leases end."""

    def check_shared(self, me: NodeRecord, others: Iterable[NodeRecord]) -> None:
        """See `storage.LeaseStore`; all processes of a world have it before them."""

    def load(self, cluster: ClusterId) -> tuple[TagRow, ...]:
        """See `storage.TagStore`."""
        self._answer()
        return tuple(self._row(key) for key in sorted(self._rows) if key[0] == cluster)

    def read(self, cluster: ClusterId, tag: str) -> TagRow | None:
        """See `storage.LeaseStore`."""
        self._answer()
        return self._row((cluster, tag)) if (cluster, tag) in self._rows else None

    def claim(self, cluster: ClusterId, tag: str, owner: Owner, *, seen: int) -> TagAnswer:
        """See `storage.TagStore`."""
        row = self._begin(cluster, tag)
        allowed = row.number <= seen and (row.mode == "manual" or _free(row))
        return self._own(allowed, cluster, row, owner, next_number(seen))

    def keep(self, cluster: ClusterId, claim: Claim) -> TagAnswer:
        """See `storage.TagStore`."""
        row = self._begin(cluster, claim.tag)
        allowed = row.number <= claim.number and (row.mode == "manual" or _free(row))
        owner, released = claimant(claim), claim.released
        return self._own(allowed, cluster, row, owner, claim.number, released=released)

    def acquire(
        self,
        cluster: ClusterId,
        tag: str,
        owner: Owner,
        *,
        seen: int,
        ttl_s: float,
        electors: Sequence[NodeId] = (),
    ) -> TagAnswer:
        """See `storage.LeaseStore`."""
        self._check_enabled(cluster, owner)
        row = self._begin(cluster, tag)
        mine = row.mode == "manual" and row.owner is not None and row.owner[0] == owner[0]
        to_take = _free(row) and is_elector(owner.node_id, row)
        allowed = row.number <= seen and not row.paused and (to_take or mine)
        row = msgspec.structs.replace(row, electors=tuple(electors)) if allowed else row
        return self._own(allowed, cluster, row, owner, next_number(seen), ttl_s=ttl_s)

    def renew(
        self,
        cluster: ClusterId,
        tag: str,
        owner: Owner,
        *,
        number: int,
        ttl_s: float,
        electors: Sequence[NodeId] = (),
    ) -> TagAnswer:
        """See `storage.LeaseStore`."""
        self._check_enabled(cluster, owner)
        row = self.read(cluster, tag)
        if row is None or not _is_claim(row, owner, number) or row.released or row.mode != "lease":
            return TagAnswer(done=False, row=row)
        return self._put(cluster, msgspec.structs.replace(row, electors=tuple(electors)), ttl_s)

    def release(self, cluster: ClusterId, tag: str, owner: Owner, *, number: int) -> TagAnswer:
        """See `storage.TagStore`."""
        row = self.read(cluster, tag)
        if row is None or not _is_claim(row, owner, number):
            return TagAnswer(done=False, row=row)
        return self._put(cluster, msgspec.structs.replace(row, released=True))

    def pause(self, cluster: ClusterId, tag: str, *, paused: bool) -> TagRow:
        """See `storage.LeaseStore`."""
        return self._set(cluster, msgspec.structs.replace(self._begin(cluster, tag), paused=paused))

    def prefer(self, cluster: ClusterId, tag: str, nodes: Sequence[NodeId]) -> TagRow:
        """See `storage.LeaseStore`."""
        row = self._begin(cluster, tag)
        return self._set(cluster, msgspec.structs.replace(row, preferred=tuple(nodes)))

    def free(self, cluster: ClusterId, tag: str, *, stopped: Sequence[NodeId]) -> TagRow:
        """See `storage.LeaseStore`."""
        row = self.read(cluster, tag)
        could = claimants(row) if row is not None else ()
        enabled = [node for node in could if self._enabled(cluster, node)]
        check_free(cluster, tag, row, enabled, stopped)
        assert row is not None
        return self._set(cluster, msgspec.structs.replace(row, released=True))

    def close(self) -> None:
        """See `storage.TagStore`."""

    def _check_enabled(self, cluster: ClusterId, owner: Owner) -> None:
        self._answer()
        if not self._enabled(cluster, owner.node_id):
            raise NotProvisioned(not_enabled(cluster, owner.node_id))

    def _answer(self) -> None:
        if self._mode() == "failing":
            raise StorageUnavailable("the simulated database does not answer")
        if self._mode() == "hanging":
            raise StillBusy

    def _row(self, key: tuple[ClusterId, str]) -> TagRow:
        left_ms = max(0, self._until_ms.get(key, 0) - self._now_ms())
        return msgspec.structs.replace(self._rows[key], left_s=left_ms / 1000)

    def _begin(self, cluster: ClusterId, tag: str) -> TagRow:
        """The row as it is, made if it is not there: by whoever asks, also when that is refused."""
        self._answer()
        key = (cluster, check_tag(tag))
        self._rows.setdefault(key, TagRow(tag=tag, number=0, owner=None, released=True))
        return self._row(key)

    def _own(
        self,
        allowed: bool,
        cluster: ClusterId,
        row: TagRow,
        owner: Owner,
        number: int,
        *,
        released: bool = False,
        ttl_s: float | None = None,
    ) -> TagAnswer:
        """Give it to ``owner`` if that is ``allowed``; ``ttl_s``: by a lease."""
        if not allowed:
            return TagAnswer(done=False, row=row)
        mode: TagMode = "manual" if ttl_s is None else "lease"
        words = {"number": number, "owner": owner, "released": released, "mode": mode}
        if ttl_s is None:
            words["electors"] = ()
        return self._put(cluster, msgspec.structs.replace(row, **words), ttl_s)

    def _put(self, cluster: ClusterId, row: TagRow, ttl_s: float | None = None) -> TagAnswer:
        """Write the row; a lease lasts ``ttl_s`` from now on, and is over without it."""
        until_ms = self._now_ms() + math.ceil(ttl_s * 1000) + 1 if ttl_s is not None else 0
        self._until_ms[cluster, row.tag] = until_ms
        return TagAnswer(done=True, row=self._set(cluster, row))

    def _set(self, cluster: ClusterId, row: TagRow) -> TagRow:
        self._rows[cluster, row.tag] = row
        return self._row((cluster, row.tag))


def _free(row: TagRow) -> bool:
    return row.released or (row.mode == "lease" and row.left_s <= 0)


def _is_claim(row: TagRow, owner: Owner, number: int) -> bool:
    return (row.owner, row.number) == (owner, number)
