"""What an administrator does to the provisioning tables; each call is one transaction."""

from __future__ import annotations

import re
import time

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from ..protocol.config import MAX_NODES, ProvisioningSettings
from ..protocol.errors import Misuse, StorageUnavailable
from ..protocol.identity import ClusterId, NodeId, NodeRecord
from ..protocol.removal_messages import Removal
from .base import RosterSnapshot
from .engine import Database
from .removed_rows import forget_removal, remove_node
from .roster import (
    normal_fingerprint,
    read_policies,
    select_identities,
    select_rows,
)
from .rows import read_row, sort_rows
from .schema import MAX_TEXT_CHARS, Schema

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_NODE_WIDE = ""
"""In place of a fingerprint: revoked without knowing the certificate."""


class Provisioning:
    """Reads and changes who may join. Every method may raise `StorageUnavailable` and blocks.

    Running nodes see a change at their next refresh.
    """

    def __init__(self, settings: ProvisioningSettings) -> None:
        """Does not ask the database. Raises `Misuse` for a URL that can never work."""
        self._settings = settings
        self._schema = Schema(settings)
        self._database = Database(settings, "write")
        self.name = f"{self._database.name} ({settings.table})"

    def init(self) -> list[str]:
        """Create the tables that are missing, and columns that those of older versions lack; their
        names. All else stays untouched.

        Raises `StorageUnavailable` when one of those does not fit, with each difference.
        """
        database = Database(self._settings, "create")
        try:
            with database.transaction() as connection:
                # Before creating: MySQL cannot take tables back when a later one does not fit.
                differences = self._schema.check_present(connection)
                if differences:
                    raise StorageUnavailable(f"{self.name} does not fit: {'; '.join(differences)}")
                created = self._schema.create(connection)
        finally:
            database.close()
        return created

    def check(self) -> list[str]:
        """How the tables differ from what is needed, a sentence each; empty = they fit."""
        with self._database.transaction() as connection:
            return self._schema.check(connection)

    def rows(self, cluster: ClusterId | None = None) -> RosterSnapshot:
        """The rows of one cluster or of all, however many; bad ones are in ``invalid``."""
        nodes, identities = select_rows(self._schema), select_identities(self._schema)
        if cluster is not None:
            nodes = nodes.where(self._schema.nodes.c.cluster_id == cluster)
            identities = identities.where(self._schema.identity.c.cluster_id == cluster)
        with self._database.transaction() as connection:
            found = connection.execute(nodes).mappings().all()
            policies = {}
            if self._schema.has_identity(connection):
                policies = read_policies(connection.execute(identities))
        checked = sort_rows(found)
        return RosterSnapshot(records=checked.records, invalid=checked.invalid, identities=policies)

    def add(self, record: NodeRecord) -> None:
        """Insert a row that OpenSIPS can read too; ``record.db_id`` is ignored.

        Raises `Misuse` for values the columns do not hold, for a node that is there already and
        for one more than `MAX_NODES` in the cluster.
        """
        row = _row(record)
        nodes = self._schema.nodes
        cluster, node = record.cluster_id, record.node_id
        with self._database.transaction() as connection:
            query = sa.select(sa.func.count()).where(nodes.c.cluster_id == cluster)
            if (connection.scalar(query) or 0) >= MAX_NODES:
                raise Misuse(f"cluster {cluster} has {MAX_NODES} nodes already, the most possible")
            if self._is_there(connection, cluster, node):
                raise Misuse(_there_already(cluster, node))
            try:
                connection.execute(nodes.insert().values(row))
            except IntegrityError:
                # Somebody else added it since; or a column or rule of others forbids the row.
                raise Misuse(f"{_there_already(cluster, node)}, or the table refuses it") from None
            forget_removal(connection, self._schema, cluster, node)

    def remove(self, cluster: ClusterId, node: NodeId, by: str = "") -> bool:
        """Delete the row and note who removed the node; False = that was done already (X-6).

        Pins and revocations stay, so that adding the id again lifts neither. Raises `Unknown` when
        there is no such row, nor was.
        """
        removal = Removal(node, int(time.time() * 1000), by=by)
        with self._database.transaction() as connection:
            return remove_node(connection, self._schema, self._settings, (cluster, removal))

    def set_state(self, cluster: ClusterId, node: NodeId, *, enabled: bool) -> None:
        """Write the state column. Raises `Misuse` when there is no such row."""
        nodes = self._schema.nodes
        with self._database.transaction() as connection:
            self._must_be_there(connection, cluster, node)
            connection.execute(
                nodes.update()
                .where(nodes.c.cluster_id == cluster, nodes.c.node_id == node)
                .values(state=int(enabled))
            )

    def pin(self, cluster: ClusterId, node: NodeId, fingerprint: str) -> None:
        """Allow this certificate, and from the first pin on only pinned ones.

        ``fingerprint`` is SHA-256 in hex, with or without colons. A pin after `revoke` lets the
        node in again with the new certificate. Raises `Misuse` for an unknown node, for something
        else than a fingerprint and for a certificate that was revoked.
        """
        normal = normal_fingerprint(fingerprint)
        if not _FINGERPRINT.fullmatch(normal):
            raise Misuse(
                f"{fingerprint[:80]!a} is not a SHA-256 fingerprint: 64 hexadecimal digits;"
                f" `tagmesh pki check` shows it"
            )
        c = self._schema.identity.c
        with self._database.transaction() as connection:
            self._must_be_there(connection, cluster, node)
            known = {
                row.fingerprint: row.revoked
                for row in connection.execute(
                    sa.select(c.fingerprint, c.revoked_at.is_not(None).label("revoked")).where(
                        c.cluster_id == cluster, c.node_id == node
                    )
                )
            }
            if known.get(normal):
                raise Misuse(
                    f"this certificate of node {node} was revoked; issue a new one with"
                    f" `tagmesh pki issue` and pin that"
                )
            if normal not in known:
                self._insert_identity(connection, cluster, node, normal, revoked=False)

    def revoke(self, cluster: ClusterId, node: NodeId) -> None:
        """Refuse every certificate of the node until a new one is pinned.

        Raises `Misuse` for an unknown node.
        """
        identity = self._schema.identity
        of_node = (identity.c.cluster_id == cluster, identity.c.node_id == node)
        with self._database.transaction() as connection:
            self._must_be_there(connection, cluster, node)
            connection.execute(
                identity.update()
                .where(*of_node, identity.c.revoked_at.is_(None))
                .values(revoked_at=sa.func.current_timestamp())
            )
            if not connection.scalar(
                sa.select(sa.func.count()).select_from(identity).where(*of_node)
            ):
                self._insert_identity(connection, cluster, node, _NODE_WIDE, revoked=True)

    def close(self) -> None:
        """Give connections back."""
        self._database.close()

    def _insert_identity(
        self,
        connection: Connection,
        cluster: ClusterId,
        node: NodeId,
        fingerprint: str,
        *,
        revoked: bool,
    ) -> None:
        connection.execute(
            self._schema.identity.insert().values(
                cluster_id=cluster,
                node_id=node,
                fingerprint=fingerprint,
                revoked_at=sa.func.current_timestamp() if revoked else None,
            )
        )

    def _is_there(self, connection: Connection, cluster: ClusterId, node: NodeId) -> bool:
        c = self._schema.nodes.c
        query = sa.select(sa.func.count()).where(c.cluster_id == cluster, c.node_id == node)
        return bool(connection.scalar(query))

    def _must_be_there(self, connection: Connection, cluster: ClusterId, node: NodeId) -> None:
        if not self._is_there(connection, cluster, node):
            raise Misuse(
                f"there is no node {node} in cluster {cluster} of {self.name};"
                f" `tagmesh db list` shows those that are"
            )


def _row(record: NodeRecord) -> dict[str, object]:
    row: dict[str, object] = {
        "cluster_id": record.cluster_id,
        "node_id": record.node_id,
        "url": str(record.url),
        "state": int(record.enabled),
        "no_ping_retries": record.ping_retries,
        "priority": record.priority,
        "sip_addr": record.sip_addr,
        "flags": record.flags,
        "description": record.description,
    }
    for column in ("sip_addr", "flags", "description"):
        text = row[column]
        if isinstance(text, str) and (len(text) > MAX_TEXT_CHARS or not text.isprintable()):
            raise Misuse(f"{column} must be at most {MAX_TEXT_CHARS} printable characters")
    read_row({**row, "id": -1})  # what a node would refuse to read must not be written
    return row


def _there_already(cluster: ClusterId, node: NodeId) -> str:
    return f"node {node} is in cluster {cluster} already"
