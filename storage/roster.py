"""The two rosters: provisioned rows in a database (db_mode 1), or a configuration (db_mode 0)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from ..protocol.config import MAX_CLUSTERS, MAX_NODES, Config, ProvisioningSettings
from ..protocol.errors import NotProvisioned, StorageUnavailable
from ..protocol.identity import BinsUrl, ClusterId, IdentityPolicy, InvalidRow, NodeId, NodeRecord
from ..protocol.tombstones import MAX_TOMBSTONES, Stone
from .base import RemovalShelf, RosterSnapshot, WasRemoved
from .engine import Database
from .removal_file import RemovalMemory, newest_of_each
from .removed_rows import read_tombstones, remove_node, select_tombstones
from .rows import Row, Sorted, sort_rows
from .schema import MAX_TEXT_CHARS, Schema

MAX_ROWS = MAX_CLUSTERS * MAX_NODES
"""Rows read at once from one table, so that a huge one cannot fill the memory."""


class SqlRoster:
    """The rows of the clusters this node is in; see `Roster`. SQLite, PostgreSQL or MySQL."""

    def __init__(self, settings: ProvisioningSettings) -> None:
        """Does not ask the database. Raises `Misuse` for a URL that can never work."""
        self._schema = Schema(settings)
        self._settings = settings
        self._database = Database(settings, "read")
        self._writable = Database(settings, "write")
        self.name = f"{self._database.name} ({settings.table})"

    def load(self, me: NodeId) -> RosterSnapshot:
        """One consistent state of the rows (D-1, D-2, D-5).

        A bad row of ``me`` takes this node out of that cluster only; when none is usable
        `NotProvisioned` says why. More than `MAX_NODES` rows in a cluster are
        `StorageUnavailable`: using some of them would cut nodes off by chance.
        """
        nodes, identity = self._schema.nodes, self._schema.identity
        mine = sa.select(nodes.c.cluster_id).where(nodes.c.node_id == me)
        involved = sa.or_(nodes.c.node_id == me, nodes.c.cluster_id.in_(mine))
        with self._database.transaction() as connection:
            query = select_rows(self._schema).where(involved).limit(MAX_ROWS + 1)
            rows: Sequence[Row] = connection.execute(query).mappings().all()
            policies: Mapping[tuple[ClusterId, NodeId], IdentityPolicy] = {}
            if self._schema.has_identity(connection):
                pinned = select_identities(self._schema).where(identity.c.cluster_id.in_(mine))
                policies = read_policies(connection.execute(pinned.limit(MAX_ROWS + 1)))
            removals: tuple[Stone, ...] = ()
            if self._schema.has_tombstones(connection):
                newest = select_tombstones(self._schema).limit(MAX_TOMBSTONES)
                removals = read_tombstones(connection.execute(newest))
        self._check_counts(rows)
        return self._snapshot(me, sort_rows(rows), policies, removals)

    def note_removal(self, stone: Stone) -> bool:
        """See `Roster`."""
        with self._writable.transaction() as connection:
            return remove_node(connection, self._schema, self._settings, stone)

    def close(self) -> None:
        """Give connections back."""
        self._database.close()
        self._writable.close()

    def _check_counts(self, rows: Sequence[Row]) -> None:
        counts = Counter(row["cluster_id"] for row in rows)
        for cluster, count in counts.items():
            if count > MAX_NODES:
                raise StorageUnavailable(
                    f"{self.name} has more than {MAX_NODES} rows of cluster {cluster};"
                    f" a cluster has at most {MAX_NODES} nodes: remove rows with `tagmesh db rm`",
                    may_pass=False,
                )
        if len(counts) > MAX_CLUSTERS:
            raise StorageUnavailable(
                f"{self.name} puts this node in more than {MAX_CLUSTERS} clusters, the most"
                f" possible: remove rows with `tagmesh db rm`",
                may_pass=False,
            )

    def _snapshot(
        self,
        me: NodeId,
        rows: Sorted,
        policies: Mapping[tuple[ClusterId, NodeId], IdentityPolicy],
        removals: tuple[Stone, ...],
    ) -> RosterSnapshot:
        clusters = {record.cluster_id for record in rows.records if record.node_id == me}
        mine = tuple(stone for stone in removals if stone[1].node_id == me)
        if not clusters and mine:
            raise WasRemoved(self._why_not(me, rows.invalid), mine)
        if not clusters:
            raise NotProvisioned(self._why_not(me, rows.invalid))
        records = tuple(record for record in rows.records if record.cluster_id in clusters)
        return RosterSnapshot(
            records=records,
            invalid=tuple(
                row for row in rows.invalid if row.cluster_id in clusters or row.node_id == me
            ),
            identities={key: policy for key, policy in policies.items() if key[0] in clusters},
            removals=tuple(stone for stone in removals if stone[0] in clusters or stone in mine),
            warnings=tuple(_warnings(records)),
        )

    def _why_not(self, me: NodeId, invalid: Iterable[InvalidRow]) -> str:
        bad = [f"row {row.db_id}: {row.reason}" for row in invalid if row.node_id == me]
        if bad:
            return (
                f"node {me} cannot use its own row in {self.name}: {'; '.join(bad)};"
                f" correct it, or replace it with `tagmesh db rm` and `tagmesh db add`"
            )
        return (
            f"node {me} has no row in {self.name}, so there is no cluster it may join;"
            f" add it with `tagmesh db add --cluster 1 --node {me} --url bins:host:port`"
        )


class FixedRoster:
    """Rows from the configuration or a program (db_mode 0): the first neighbours, not all (J-4)."""

    name = "configuration"

    def __init__(self, records: Iterable[NodeRecord], removals: RemovalShelf | None = None) -> None:
        """Without ``removals`` who was removed is forgotten with this object."""
        self._records = tuple(sorted(records, key=lambda r: (r.cluster_id, r.node_id)))
        self._removals = removals or RemovalMemory()

    @classmethod
    def from_config(cls, config: Config, removals: RemovalShelf | None = None) -> FixedRoster:
        """``me`` and ``neighbours`` of each ``[[cluster]]``, which configuration has checked."""
        mine = (cluster.me for cluster in config.clusters)
        others = (record for cluster in config.clusters for record in cluster.neighbours)
        return cls([*(me for me in mine if isinstance(me, NodeRecord)), *others], removals)

    def load(self, me: NodeId) -> RosterSnapshot:
        """The records of the clusters of ``me``, those of removed nodes too.

        Raises `NotProvisioned` when there is none, `StorageUnavailable`.
        """
        clusters = {record.cluster_id for record in self._records if record.node_id == me}
        if not clusters:
            raise NotProvisioned(
                f"node {me} is in no cluster of the {self.name}, so there is none it may join;"
                f' add a [[cluster]] with me = {{ url = "bins:host:port" }}'
            )
        records = tuple(record for record in self._records if record.cluster_id in clusters)
        removals = tuple(stone for stone in self._removals.read() if stone[0] in clusters)
        return RosterSnapshot(records=records, removals=removals, dynamic=True)

    def note_removal(self, stone: Stone) -> bool:
        """See `Roster`; a removal that was taken back is kept like one."""
        known = self._removals.read()
        self._removals.write(newest_of_each([*known, stone]))
        return stone not in known

    def close(self) -> None:
        """Nothing is held."""


def select_rows(schema: Schema) -> sa.Select[*tuple[Any, ...]]:
    """All columns under their OpenSIPS names; texts cut just above the longest allowed one."""
    columns = []
    for column in schema.nodes.columns:
        if isinstance(column.type, sa.String):
            cut = sa.func.substr(column, 1, MAX_TEXT_CHARS + 1, type_=sa.types.NullType())
            columns.append(cut.label(column.key))
        else:
            columns.append(column.label(column.key))
    return sa.select(*columns)


def select_identities(schema: Schema) -> sa.Select[tuple[Any, Any, Any, bool]]:
    """(cluster id, node id, fingerprint, revoked?) of each certificate known."""
    c = schema.identity.c
    return sa.select(c.cluster_id, c.node_id, c.fingerprint, c.revoked_at.is_not(None))


def read_policies(rows: Iterable[Any]) -> dict[tuple[ClusterId, NodeId], IdentityPolicy]:
    """What the rows of `select_identities` mean.

    A node is revoked while a row of it is revoked and no certificate is pinned in its place, so
    that revoking the only pin never means "whatever the CA signed".
    """
    pins: dict[tuple[ClusterId, NodeId], set[str]] = defaultdict(set)
    revoked: set[tuple[ClusterId, NodeId]] = set()
    for cluster, node, fingerprint, is_revoked in rows:
        key = (cluster, node)
        if is_revoked:
            revoked.add(key)
        elif fingerprint:
            pins[key].add(normal_fingerprint(str(fingerprint)))
    return {
        key: IdentityPolicy(fingerprints=frozenset(pins[key]), revoked=not pins[key])
        for key in {*pins, *revoked}
    }


def normal_fingerprint(text: str) -> str:
    """``AA:BB…`` as openssl prints it, in the spelling compared: lower case without colons."""
    return text.strip().replace(":", "").lower()


def _warnings(records: Iterable[NodeRecord]) -> Iterator[str]:
    clusters: dict[ClusterId, list[NodeRecord]] = defaultdict(list)
    for record in records:
        clusters[record.cluster_id].append(record)
    for cluster, members in clusters.items():
        if not any(record.seed for record in members):
            yield (
                f"cluster {cluster} has no seed: after a start of all nodes nobody has data to"
                f" begin with; give one row the flags 'seed'"
            )
        urls: dict[BinsUrl, NodeId] = {}
        for record in members:
            first = urls.setdefault(record.url, record.node_id)
            if first != record.node_id:
                yield (
                    f"cluster {cluster}: nodes {first} and {record.node_id} have the same url"
                    f" {record.url}; only the one whose certificate is shown there is reached"
                )
