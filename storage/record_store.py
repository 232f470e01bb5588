"""The records of a replicated map in a database, so that they outlive the node: write-behind (M-5).

A row per record: its key and its bytes, as they travel. The node works from memory, and writes here
a moment later what changed, so a database that is slow or away delays nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateTable

from ..protocol.config import ProvisioningSettings
from ..protocol.contract import is_name
from ..protocol.errors import Misuse
from ..protocol.messages import MAX_NAME_CHARS
from .engine import Database

MAX_KEY_BYTES = 512
"""Of a packed key, as a map has it."""
PAGE_RECORDS = 1000
"""Read in one transaction."""
TABLE = "cluster_records"


class SqlRecordStore:
    """See `capabilities.write_behind.Store`; calls block. SQLite, PostgreSQL, MySQL or MariaDB."""

    def __init__(self, url: str, name: str, *, node: int = 0, query_timeout_s: float = 5.0) -> None:
        """Does not connect; the table is made when it is first used. `Misuse` for a wrong URL.

        ``name``: of the map. ``node`` tells apart the copies that several nodes keep in one
        database: each writes its own, whatever the others have.
        """
        if not is_name(name):
            raise Misuse(
                f"{name!a} cannot be the name of a map: 1 to {MAX_NAME_CHARS} printable ASCII"
                " characters"
            )
        settings = ProvisioningSettings(url=url, query_timeout_s=query_timeout_s)
        try:
            self._database = Database(settings, "create")
        except Misuse as misuse:
            raise Misuse(str(misuse).replace("[provisioning] url", "the url of records")) from None
        self._whose = {"node_id": node, "map": name}
        self._table = _table()
        self._made = False

    def load(self) -> Iterator[bytes]:
        """Every record, by key. Raises `StorageUnavailable`."""
        columns = self._table.c
        page = (
            sa.select(columns.record_key, columns.record)
            .filter_by(**self._whose)
            .order_by(columns.record_key)
            .limit(PAGE_RECORDS)
        )
        after = b""
        while True:
            with self._transaction() as connection:
                rows = connection.execute(page.where(columns.record_key > after)).all()
            for _, record in rows:
                yield bytes(record)
            if len(rows) < PAGE_RECORDS:
                return
            after = bytes(rows[-1][0])

    def write(self, records: Mapping[bytes, bytes | None]) -> None:
        """Keep these records by their keys, None = remove that key; all of them, or raise
        `StorageUnavailable`."""
        if not records:
            return
        old = (
            self._table.delete()
            .filter_by(**self._whose)
            .where(self._table.c.record_key == sa.bindparam("old_key"))
        )
        new = [
            {**self._whose, "record_key": key, "record": record}
            for key, record in records.items()
            if record is not None
        ]
        with self._transaction() as connection:
            connection.execute(old, [{"old_key": key} for key in records])
            if new:
                connection.execute(self._table.insert(), new)

    def close(self) -> None:
        """Give connections back. A later call opens them again."""
        self._database.close()

    def _transaction(self) -> AbstractContextManager[sa.Connection]:
        if not self._made:
            with self._database.transaction() as connection:
                connection.execute(CreateTable(self._table, if_not_exists=True))
            self._made = True
        return self._database.transaction()


def _table() -> sa.Table:
    key = sa.LargeBinary(MAX_KEY_BYTES).with_variant(
        mysql.VARBINARY(MAX_KEY_BYTES), "mysql", "mariadb"
    )
    record = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
    # By default MySQL takes Users and users for one name.
    name = sa.VARCHAR(MAX_NAME_CHARS).with_variant(
        mysql.VARCHAR(MAX_NAME_CHARS, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
    )
    return sa.Table(
        TABLE,
        sa.MetaData(),
        sa.Column("node_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("map", name, primary_key=True),
        sa.Column("record_key", key, primary_key=True),
        sa.Column("record", record, nullable=False),
    )
