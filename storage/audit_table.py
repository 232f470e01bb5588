"""Who had a node do what: rows of ``cluster_audit`` (I-3)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from ..protocol.config import ProvisioningSettings
from .engine import Database
from .failures import printable
from .schema import MAX_AUDIT_CHARS, MAX_TEXT_CHARS, Schema

KEPT_ROWS = 100_000
"""The oldest go when there are more."""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One command that changes something, done or refused."""

    at_s: float
    """Unix time by the clock of the node that was asked."""
    node_id: int
    """The node that was asked."""
    who: str
    """``http``, ``fifo``, ``datagram`` or ``node 2``."""
    command: str
    arguments: str
    outcome: str
    """``OK``, or the code and text of the error."""


class SqlAudit:
    """The table; calls block and may raise `StorageUnavailable`."""

    def __init__(self, settings: ProvisioningSettings) -> None:
        """Does not connect. Raises `Misuse` for a URL that can never work."""
        self._table = Schema(settings).audit
        self._database = Database(settings, "write")

    def append(self, entries: Sequence[AuditEntry]) -> None:
        """Keep these, all or none; texts are cut to what the columns hold."""
        rows = [
            {
                "at_ms": int(entry.at_s * 1000),
                "node_id": entry.node_id,
                "who": printable(entry.who, MAX_TEXT_CHARS - 1),
                "command": printable(entry.command, MAX_TEXT_CHARS - 1),
                "arguments": printable(entry.arguments, MAX_AUDIT_CHARS - 1),
                "outcome": printable(entry.outcome, MAX_AUDIT_CHARS - 1),
            }
            for entry in entries
        ]
        column = self._table.c.id
        with self._database.transaction() as connection:
            connection.execute(self._table.insert(), rows)
            newest = connection.scalar(sa.select(sa.func.max(column)))
            assert newest is not None, "just inserted"
            connection.execute(self._table.delete().where(column <= newest - KEPT_ROWS))

    def newest(self, count: int) -> list[AuditEntry]:
        """The last ``count`` entries of all nodes, oldest first."""
        c = self._table.c
        query = sa.select(self._table).order_by(c.id.desc()).limit(count)
        with self._database.transaction() as connection:
            found = connection.execute(query).mappings().all()
        return [
            AuditEntry(
                at_s=row["at_ms"] / 1000,
                **{key: row[key] for key in ("node_id", "who", "command", "arguments", "outcome")},
            )
            for row in reversed(found)
        ]

    def close(self) -> None:
        """Give connections back."""
        self._database.close()
