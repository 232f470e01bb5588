"""Sharing tags in the database: each change is one compare-and-set of one row (P4, B4).

The condition stands in the UPDATE itself, so the database decides it while it holds the row. That
is enough at every isolation level: READ COMMITTED looks at the condition again after waiting for
the row, REPEATABLE READ and above undo the transaction instead, which is then tried again.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, get_args

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.exc import IntegrityError

from ..protocol.config import ProvisioningSettings
from ..protocol.errors import Misuse, NotProvisioned, StorageUnavailable
from ..protocol.identity import ClusterId, Incarnation, NodeId, NodeRecord
from ..protocol.lease_orphans import check_free, claimants
from ..protocol.messages import MAX_NAME_CHARS
from ..protocol.tag_claims import MAX_KNOWN_TAGS
from ..protocol.tag_messages import Claim, Mode
from ..protocol.tag_words import MAX_EPOCH_NUMBER, Owner, TagRow, check_tag
from .base import (
    MAX_PREFERRED,
    TagAnswer,
    claimant,
    next_number,
    not_enabled,
    too_many,
)
from .clock import left_ms, now_ms
from .engine import Conflict, Database
from .failures import printable
from .rows import Row, integer
from .schema import Schema

MAX_TRIES = 5
"""Of a transaction that others undo; whoever undoes one has made a change himself."""
_MODES: tuple[Mode, ...] = get_args(Mode)

_Values = dict[str, Any]


class SqlTagStore:
    """The table ``cluster_tags``; see `TagStore` and `LeaseStore`."""

    shared = True

    def __init__(self, settings: ProvisioningSettings) -> None:
        """Does not ask the database. Raises `Misuse` for a URL that can never work."""
        schema = Schema(settings)
        self._tags, self._nodes = schema.tags, schema.nodes
        self._database = Database(settings, "write")
        self.name = f"{self._database.name} ({self._tags.name})"
        c = self._tags.c
        self._left_ms = left_ms(c.lease_until_ms, c.lease_ttl_ms, server=self._database.is_server)
        self._is_free = sa.or_(c.released != 0, sa.and_(c.mode == "lease", self._left_ms <= 0))

    def check_shared(self, me: NodeRecord, others: Iterable[NodeRecord]) -> None:
        """See `LeaseStore`. A file serves the processes of one host, with one clock and its locks;
        a folder shared between hosts has neither.
        """
        if self._database.is_server:
            return
        for other in others:
            if not _same_host(me.url.host, other.url.host):
                raise Misuse(
                    f"{self._database.name} cannot say who holds a lease: node {other.node_id} at"
                    f" {other.url} is on another host than node {me.node_id} at {me.url}; let"
                    f" [provisioning] url name a PostgreSQL or MariaDB server, or activate tags by"
                    f' hand (mode = "manual")'
                )

    def load(self, cluster: ClusterId) -> tuple[TagRow, ...]:
        """See `TagStore`."""
        query = self._select(cluster).order_by(self._tags.c.tag).limit(MAX_KNOWN_TAGS)
        with self._database.transaction() as connection:
            found = connection.execute(query).mappings().all()
        return tuple(map(self._read, found))

    def read(self, cluster: ClusterId, tag: str) -> TagRow | None:
        """See `LeaseStore`."""
        with self._database.transaction() as connection:
            return self._row(connection, cluster, check_tag(tag))

    def claim(self, cluster: ClusterId, tag: str, owner: Owner, *, seen: int) -> TagAnswer:
        """See `TagStore`."""
        c = self._tags.c
        allowed = sa.and_(c.number <= seen, sa.or_(c.mode == "manual", self._is_free))
        values = _owned(owner, next_number(seen)) | _NO_LEASE
        return self._change(cluster, tag, allowed, values, insert=True)

    def keep(self, cluster: ClusterId, claim: Claim) -> TagAnswer:
        """See `TagStore`."""
        c = self._tags.c
        allowed = sa.and_(c.number <= claim.number, sa.or_(c.mode == "manual", self._is_free))
        values = _owned(claimant(claim), claim.number) | _NO_LEASE
        values["released"] = int(claim.released)
        return self._change(cluster, claim.tag, allowed, values, insert=True)

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
        """See `LeaseStore`."""
        c = self._tags.c
        mine = sa.and_(c.mode == "manual", c.owner == owner.node_id)
        allowed = sa.and_(c.number <= seen, c.paused == 0, sa.or_(self._may_take(owner), mine))
        values = _owned(owner, next_number(seen)) | _lease(ttl_s, electors)
        return self._change(cluster, tag, allowed, values, insert=True, member=owner.node_id)

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
        """See `LeaseStore`."""
        c = self._tags.c
        allowed = sa.and_(self._is_claim(owner, number), c.released == 0, c.mode == "lease")
        leased = _lease(ttl_s, electors)
        return self._change(cluster, tag, allowed, leased, member=owner.node_id)

    def release(self, cluster: ClusterId, tag: str, owner: Owner, *, number: int) -> TagAnswer:
        """See `TagStore`."""
        values = {"released": 1, "lease_until_ms": 0}
        return self._change(cluster, tag, self._is_claim(owner, number), values)

    def pause(self, cluster: ClusterId, tag: str, *, paused: bool) -> TagRow:
        """See `LeaseStore`."""
        return self._set(cluster, tag, {"paused": int(paused)})

    def prefer(self, cluster: ClusterId, tag: str, nodes: Sequence[NodeId]) -> TagRow:
        """See `LeaseStore`."""
        if len(nodes) > MAX_PREFERRED or len(set(nodes)) < len(nodes):
            raise Misuse(f"preferred nodes of a tag are at most {MAX_PREFERRED} different ones")
        return self._set(cluster, tag, {"preferred": ",".join(map(str, nodes))})

    def free(self, cluster: ClusterId, tag: str, *, stopped: Sequence[NodeId]) -> TagRow:
        """See `LeaseStore`."""
        c = self._tags.c
        of_tag = sa.and_(c.cluster_id == cluster, c.tag == check_tag(tag))
        with self._database.transaction() as connection:
            locked = self._select(cluster).where(of_tag).with_for_update()
            row = self._found(connection, locked)
            could = claimants(row) if row is not None else ()
            enabled = connection.scalars(self._enabled(cluster, could)).all()
            check_free(cluster, tag, row, enabled, stopped)
            connection.execute(self._tags.update().where(of_tag).values(released=1))
            freed = self._row(connection, cluster, tag)
        assert freed is not None
        return freed

    def close(self) -> None:
        """Give connections back."""
        self._database.close()

    def _enabled(self, cluster: ClusterId, nodes: Iterable[NodeId]) -> sa.Select[tuple[Any]]:
        """Which of them have an enabled row."""
        n = self._nodes.c
        return sa.select(n.node_id).where(
            n.cluster_id == cluster, n.node_id.in_(list(nodes)), n.state == 1
        )

    def _may_take(self, owner: Owner) -> ColumnElement[bool]:
        """It was given up, or ran out and the node is one of its electors."""
        c = self._tags.c
        everybody = sa.func.coalesce(c.electors, "") == ""
        elector = sa.or_(everybody, c.electors.contains(f",{owner.node_id},"))
        return sa.or_(c.released != 0, sa.and_(self._is_free, elector))

    def _is_claim(self, owner: Owner, number: int) -> ColumnElement[bool]:
        c = self._tags.c
        return sa.and_(
            c.number == number, c.owner == owner.node_id, c.incarnation == owner.incarnation
        )

    def _set(self, cluster: ClusterId, tag: str, values: _Values) -> TagRow:
        row = self._change(cluster, tag, sa.true(), values, insert=True).row
        assert row is not None
        return row

    def _change(
        self,
        cluster: ClusterId,
        tag: str,
        allowed: ColumnElement[bool],
        values: _Values,
        *,
        insert: bool = False,
        member: NodeId | None = None,
    ) -> TagAnswer:
        """Change the row if ``allowed``; where there is none, ``insert`` one and try again.

        Where it is ``member`` who asks: only if that node has an enabled row, else
        `NotProvisioned`. Its roster may be stale; the database knows.
        """
        check_tag(tag)
        for left in reversed(range(MAX_TRIES)):
            try:
                answer = self._update(cluster, tag, allowed, values, member)
            except Conflict:
                if not left:
                    raise
                continue
            if answer.row is not None or not insert:
                return answer
            self._insert(cluster, tag)
        raise StorageUnavailable(f"{self.name}: no row of tag {tag!r} can be stored")

    def _update(
        self,
        cluster: ClusterId,
        tag: str,
        allowed: ColumnElement[bool],
        values: _Values,
        member: NodeId | None,
    ) -> TagAnswer:
        c = self._tags.c
        of_tag = sa.and_(c.cluster_id == cluster, c.tag == tag)
        update = self._tags.update().where(of_tag, allowed).values(values)
        with self._database.transaction() as connection:
            if member is not None:
                has_row = self._enabled(cluster, [member])
                done = connection.execute(update.where(has_row.exists())).rowcount == 1
                if not done and connection.scalar(has_row) is None:
                    raise NotProvisioned(not_enabled(cluster, member))
            else:
                done = connection.execute(update).rowcount == 1
            return TagAnswer(done, self._row(connection, cluster, tag))

    def _insert(self, cluster: ClusterId, tag: str) -> None:
        """A row that nobody has claimed; nothing if another node does the same meanwhile.

        Not in the transaction of the claim: all who find no row would keep each other from it.
        """
        c = self._tags.c
        count = sa.select(sa.func.count()).select_from(self._tags).where(c.cluster_id == cluster)
        values = {"cluster_id": cluster, "tag": tag, "released": 1} | _NO_LEASE
        with suppress(Conflict), self._database.transaction() as connection:
            if (connection.scalar(count) or 0) >= MAX_KNOWN_TAGS:
                raise Misuse(too_many(cluster))
            try:
                connection.execute(self._tags.insert().values(values))
            except IntegrityError:
                raise Conflict(f"{self.name}: tag {tag!r} is there already") from None

    def _row(self, connection: Connection, cluster: ClusterId, tag: str) -> TagRow | None:
        return self._found(connection, self._select(cluster).where(self._tags.c.tag == tag))

    def _found(self, connection: Connection, query: sa.Select[*tuple[Any, ...]]) -> TagRow | None:
        found = connection.execute(query).mappings().one_or_none()
        return None if found is None else self._read(found)

    def _select(self, cluster: ClusterId) -> sa.Select[*tuple[Any, ...]]:
        tags = self._tags
        left = self._left_ms.label("left_ms")
        return sa.select(*tags.c, left).where(tags.c.cluster_id == cluster)

    def _read(self, row: Row) -> TagRow:
        """Raises `StorageUnavailable` for what only somebody's own hand can have written."""
        try:
            owner = integer(row, "owner", 0)
            incarnation = Incarnation(integer(row, "incarnation", 0, MAX_EPOCH_NUMBER))
            return TagRow(
                tag=row["tag"],
                number=integer(row, "number", 0, MAX_EPOCH_NUMBER),
                owner=Owner(NodeId(owner), incarnation) if owner else None,
                released=bool(integer(row, "released", 0, 1)),
                mode=_mode(row),
                left_s=max(0, integer(row, "left_ms", -MAX_EPOCH_NUMBER, MAX_EPOCH_NUMBER)) / 1000,
                paused=bool(integer(row, "paused", 0, 1)),
                preferred=_nodes(row["preferred"])[:MAX_PREFERRED],
                electors=_nodes(row["electors"]),
            )
        except Misuse as misuse:
            shown = printable(str(row["tag"]), MAX_NAME_CHARS)
            raise StorageUnavailable(
                f"{self.name}: the row of tag {shown!r} cannot be used: {misuse}; correct it",
                may_pass=False,
            ) from misuse


_NO_LEASE: _Values = {
    "mode": "manual",
    "lease_until_ms": 0,
    "lease_ttl_ms": 0,
    "electors": None,
}


def _owned(owner: Owner, number: int) -> _Values:
    return {
        "number": number,
        "owner": owner.node_id,
        "incarnation": owner.incarnation,
        "released": 0,
    }


def _lease(ttl_s: float, electors: Sequence[NodeId]) -> _Values:
    assert ttl_s > 0
    # One more than asked for: a clock of whole milliseconds says up to one too few.
    ttl_ms = math.ceil(ttl_s * 1000) + 1
    return {
        "mode": "lease",
        "lease_until_ms": now_ms() + ttl_ms,
        "lease_ttl_ms": ttl_ms,
        "electors": f",{','.join(map(str, electors))}," if electors else None,
    }


def _same_host(mine: str, other: str) -> bool:
    return mine.lower() == other.lower() or _is_loopback(other)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _mode(row: Row) -> Mode:
    for mode in _MODES:
        if row["mode"] == mode:
            return mode
    raise Misuse(f"mode is not {' or '.join(_MODES)}")


def _nodes(text: object) -> tuple[NodeId, ...]:
    """Parts that are no node id are left out: a slip in this list must not cost the lease."""
    parts = str(text or "").split(",")
    ids = (int(part) for part in map(str.strip, parts) if part.isascii() and part.isdigit())
    return tuple(NodeId(node) for node in dict.fromkeys(ids) if node > 0)
