"""The store of sharing tags of a simulated world: who owns them, and what can be wrong with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from ..protocol.errors import StorageUnavailable
from ..protocol.identity import ClusterId, NodeId, NodeRecord
from ..protocol.tag_messages import Claim
from ..protocol.tag_words import Owner, TagRow, check_tag
from ..storage.base import TagAnswer, claimant, next_number
from .rows import Mode
from .runtime import StillBusy


class SimulatedTagStore:
    """See `storage.LeaseStore`: the database of a world, or the disk of one machine.

    It is as wrong as the database says (``mode``), and loses nothing. Its clock is virtual time.
    """

    name = "simulated"

    def __init__(
        self, now: Callable[[], float], mode: Callable[[], Mode] = lambda: "ok", *, shared: bool
    ) -> None:
        self.shared = shared
        self._now = now
        self._mode = mode
        self._rows: dict[tuple[ClusterId, str], TagRow] = {}
        self._until_s: dict[tuple[ClusterId, str], float] = {}
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
        return self._end(row, allowed, cluster, mode="manual", **_owned(owner, next_number(seen)))

    def keep(self, cluster: ClusterId, claim: Claim) -> TagAnswer:
        """See `storage.TagStore`."""
        row = self._begin(cluster, claim.tag)
        allowed = row.number <= claim.number and (row.mode == "manual" or _free(row))
        owned = _owned(claimant(claim), claim.number) | {"released": claim.released}
        return self._end(row, allowed, cluster, mode="manual", **owned)

    def release(self, cluster: ClusterId, tag: str, owner: Owner, *, number: int) -> TagAnswer:
        """See `storage.TagStore`."""
        row = self._begin(cluster, tag)
        allowed = (row.owner, row.number) == (owner, number)
        return self._end(row, allowed, cluster, released=True)

    def acquire(
        self, cluster: ClusterId, tag: str, owner: Owner, *, seen: int, ttl_s: float
    ) -> TagAnswer:
        """See `storage.LeaseStore`."""
        row = self._begin(cluster, tag)
        mine = row.mode == "manual" and row.owner is not None and row.owner[0] == owner[0]
        allowed = row.number <= seen and not row.paused and (_free(row) or mine)
        words = _owned(owner, next_number(seen))
        return self._end(row, allowed, cluster, ttl_s=ttl_s, mode="lease", **words)

    def renew(
        self, cluster: ClusterId, tag: str, owner: Owner, *, number: int, ttl_s: float
    ) -> TagAnswer:
        """See `storage.LeaseStore`."""
        row = self._begin(cluster, tag)
        mine = (row.owner, row.number, row.released, row.mode)
        return self._end(row, mine == (owner, number, False, "lease"), cluster, ttl_s=ttl_s)

    def pause(self, cluster: ClusterId, tag: str, *, paused: bool) -> TagRow:
        """See `storage.LeaseStore`."""
        return self._set(cluster, tag, paused=paused)

    def prefer(self, cluster: ClusterId, tag: str, nodes: Sequence[NodeId]) -> TagRow:
        """See `storage.LeaseStore`."""
        return self._set(cluster, tag, preferred=tuple(nodes))

    def close(self) -> None:
        """See `storage.TagStore`."""

    def _set(self, cluster: ClusterId, tag: str, **values: Any) -> TagRow:
        row = self._end(self._begin(cluster, tag), True, cluster, **values).row
        assert row is not None
        return row

    def _answer(self) -> None:
        if self._mode() == "failing":
            raise StorageUnavailable("the simulated database does not answer")
        if self._mode() == "hanging":
            raise StillBusy

    def _row(self, key: tuple[ClusterId, str]) -> TagRow:
        left_s = max(0.0, self._until_s.get(key, -math.inf) - self._now())
        return msgspec.structs.replace(self._rows[key], left_s=left_s)

    def _begin(self, cluster: ClusterId, tag: str) -> TagRow:
        """The row as it is, or a new one that nobody has claimed."""
        self._answer()
        key = (cluster, check_tag(tag))
        return self._row(key) if key in self._rows else TagRow(
            tag=tag, number=0, owner=None, released=True
        )  # fmt: skip

    def _end(
        self,
        row: TagRow,
        allowed: bool,
        cluster: ClusterId,
        ttl_s: float | None = None,
        **values: Any,
    ) -> TagAnswer:
        """Write the row if ``allowed``; ``ttl_s``: of a lease, from now on."""
        key = (cluster, row.tag)
        if not allowed:
            return TagAnswer(done=False, row=row if key in self._rows else None)
        self._rows[key] = msgspec.structs.replace(row, **values)
        if ttl_s is not None:
            self._until_s[key] = self._now() + ttl_s
        elif "mode" in values or "released" in values:
            self._until_s.pop(key, None)
        return TagAnswer(done=True, row=self._row(key))


def _free(row: TagRow) -> bool:
    return row.released or (row.mode == "lease" and row.left_s <= 0)


def _owned(owner: Owner, number: int) -> dict[str, Any]:
    return {"number": number, "owner": owner, "released": False}
