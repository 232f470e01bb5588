"""The tables: OpenSIPS's ``clusterer`` and ``version``, column for column, and our own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Inspector, Table
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateColumn, ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

from ..protocol.config import COLUMNS, MAX_NODES, ProvisioningSettings
from ..protocol.errors import Misuse
from ..protocol.messages import MAX_NAME_CHARS
from .base import MAX_PREFERRED

CLUSTERER_VERSION = 4
"""Row of OpenSIPS 3.2 … 4.0 in its table ``version``."""
MAX_TEXT_CHARS = 64
"""url, sip_addr, flags and description are CHAR(64)."""
MAX_FINGERPRINT_CHARS = 64
"""SHA-256 as hex."""

MAX_AUDIT_CHARS = 250
"""Of the arguments of a command, and of its outcome, as they are kept."""
MAX_PREFERRED_CHARS = MAX_PREFERRED * 11
"""Each id has at most ten digits, and a comma."""
MAX_ELECTORS_CHARS = MAX_NODES * 11 + 1
"""As above; it begins and ends with a comma, so that a condition can look for one id."""

# OpenSIPS's own script for PostgreSQL has VARCHAR: there CHAR would come back padded with blanks.
_TEXT = sa.CHAR(MAX_TEXT_CHARS).with_variant(sa.VARCHAR(MAX_TEXT_CHARS), "postgresql")

# By default MySQL takes VIP1 and vip1 for one tag, and may know no letters beyond Latin ones.
_TAG = sa.VARCHAR(MAX_NAME_CHARS).with_variant(
    mysql.VARCHAR(MAX_NAME_CHARS, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)


class Schema:
    """The tables under their configured names; columns are reached by their OpenSIPS names."""

    def __init__(self, settings: ProvisioningSettings) -> None:
        """Raises `Misuse` when two columns are given one name."""
        names = {column: settings.columns.get(column, column) for column in COLUMNS}
        if len(set(names.values())) < len(names):
            raise Misuse("[provisioning] columns gives two columns the same name")
        metadata = sa.MetaData()
        self.nodes = _clusterer(metadata, settings.table, names)
        self.version = Table(
            "version",
            metadata,
            Column("table_name", sa.CHAR(32), nullable=False, unique=True),
            Column("table_version", sa.Integer, nullable=False, server_default=sa.text("0")),
        )
        self.identity = Table(
            "cluster_identity",
            metadata,
            Column("cluster_id", sa.Integer, primary_key=True, autoincrement=False),
            Column("node_id", sa.Integer, primary_key=True, autoincrement=False),
            Column("fingerprint", sa.VARCHAR(MAX_FINGERPRINT_CHARS), primary_key=True),
            Column("revoked_at", sa.DateTime),
            comment="certificates pinned or revoked; without a row the CA's word is enough",
        )
        self.tags = _cluster_tags(metadata)
        self.audit = _cluster_audit(metadata)
        self.tombstones = _cluster_tombstone(metadata)

    def create(self, connection: Connection) -> list[str]:
        """Create the tables, and the columns of ours, that are missing; names of those created."""
        inspector = sa.inspect(connection)
        added = [column for table in self._ours for column in to_add(inspector, table)]
        for column in added:
            connection.execute(_AddColumn(column))
        tables = (self.version, self.nodes, *self._ours)
        created = [table for table in tables if not inspector.has_table(table.name)]
        for table in created:
            table.create(connection)
        if self.nodes in created:
            name = self.nodes.name
            connection.execute(self.version.delete().where(self.version.c.table_name == name))
            connection.execute(
                self.version.insert().values(table_name=name, table_version=CLUSTERER_VERSION)
            )
        return [*(table.name for table in created), *map(str, added)]

    def check(self, connection: Connection) -> list[str]:
        """How the database differs from these tables, a sentence each; empty = it fits.

        ``cluster_identity`` may be missing, as in a database that OpenSIPS made, and
        ``cluster_audit``: then only the log tells who did what. Without ``cluster_tombstone``
        nobody is told why a removed node is refused. Without ``cluster_tags`` no sharing tag can
        be activated. Columns of others in ``clusterer`` are no difference.
        """
        has_table = sa.inspect(connection).has_table
        missing = [table.name for table in (self.nodes, self.tags) if not has_table(table.name)]
        found = [f"table {name} is missing; create it with `tagmesh db init`" for name in missing]
        inspector = sa.inspect(connection)
        lacking = [str(column) for table in self._ours for column in to_add(inspector, table)]
        found += [f"column {name} is missing; add it with `tagmesh db init`" for name in lacking]
        return found + self.check_present(connection)

    def check_present(self, connection: Connection) -> list[str]:
        """As `check`, of the tables that are there, without the columns that `create` adds."""
        inspector = sa.inspect(connection)
        found: list[str] = []
        if inspector.has_table(self.nodes.name):
            found += differences(inspector, self.nodes)
            found += self._version_differences(connection, inspector)
        for table in self._ours:
            if inspector.has_table(table.name):
                found += differences(inspector, table, without=to_add(inspector, table))
        return found

    @property
    def _ours(self) -> tuple[Table, ...]:
        """Those that OpenSIPS does not have; they grow with the versions of this program."""
        return self.identity, self.tags, self.audit, self.tombstones

    def has_identity(self, connection: Connection) -> bool:
        """Whether there is a table ``cluster_identity``."""
        return sa.inspect(connection).has_table(self.identity.name)

    def has_tombstones(self, connection: Connection) -> bool:
        """Whether there is a table ``cluster_tombstone``."""
        return sa.inspect(connection).has_table(self.tombstones.name)

    def _version_differences(self, connection: Connection, inspector: Inspector) -> list[str]:
        if not inspector.has_table(self.version.name):
            return ["table version is missing; OpenSIPS refuses tables without it"]
        name = self.nodes.name
        query = sa.select(self.version.c.table_version).where(self.version.c.table_name == name)
        versions = list(connection.scalars(query))
        if versions == [CLUSTERER_VERSION]:
            return []
        stands = f"says {', '.join(map(str, versions))}" if versions else "has no row"
        return [f"table version {stands} for {name}; {CLUSTERER_VERSION} is needed"]


def _clusterer(metadata: sa.MetaData, table: str, names: dict[str, str]) -> Table:
    def column(key: str, kind: Any, **options: Any) -> Column[Any]:
        return Column(names[key], kind, key=key, **options)

    return Table(
        table,
        metadata,
        column("id", sa.Integer, primary_key=True, autoincrement=True),
        column("cluster_id", sa.Integer, nullable=False),
        column("node_id", sa.Integer, nullable=False),
        column("url", _TEXT, nullable=False),
        column("state", sa.Integer, nullable=False, server_default=sa.text("1")),
        column("no_ping_retries", sa.Integer, nullable=False, server_default=sa.text("3")),
        column("priority", sa.Integer, nullable=False, server_default=sa.text("50")),
        column("sip_addr", _TEXT),
        column("flags", _TEXT),
        column("description", _TEXT),
        sa.UniqueConstraint("cluster_id", "node_id", name=f"{table}_clusterer_idx"[:63]),
        sqlite_autoincrement=True,
    )


def _cluster_tags(metadata: sa.MetaData) -> Table:
    def number(name: str, kind: Any = sa.BigInteger) -> Column[Any]:
        return Column(name, kind, nullable=False, server_default=sa.text("0"))

    return Table(
        "cluster_tags",
        metadata,
        Column("cluster_id", sa.Integer, primary_key=True, autoincrement=False),
        Column("tag", _TAG, primary_key=True),
        number("number"),
        number("owner", sa.Integer),
        number("incarnation"),
        number("released", sa.Integer),
        Column("mode", sa.VARCHAR(8), nullable=False),
        number("lease_until_ms"),
        number("lease_ttl_ms"),
        number("paused", sa.Integer),
        Column("preferred", sa.VARCHAR(MAX_PREFERRED_CHARS)),
        Column("electors", sa.VARCHAR(MAX_ELECTORS_CHARS)),
        comment="the highest claim on each sharing tag, and its lease by this server's clock",
    )


def _cluster_audit(metadata: sa.MetaData) -> Table:
    def text(name: str, max_chars: int) -> Column[Any]:
        return Column(name, sa.VARCHAR(max_chars), nullable=False)

    return Table(
        "cluster_audit",
        metadata,
        Column("id", sa.Integer, primary_key=True, autoincrement=True),
        Column("at_ms", sa.BigInteger, nullable=False),
        Column("node_id", sa.Integer, nullable=False),
        text("who", MAX_TEXT_CHARS),
        text("command", MAX_TEXT_CHARS),
        text("arguments", MAX_AUDIT_CHARS),
        text("outcome", MAX_AUDIT_CHARS),
        sqlite_autoincrement=True,
        comment="who had which node do what, and what came of it; Unix time in ms by that node",
    )


def _cluster_tombstone(metadata: sa.MetaData) -> Table:
    return Table(
        "cluster_tombstone",
        metadata,
        Column("cluster_id", sa.Integer, primary_key=True, autoincrement=False),
        Column("node_id", sa.Integer, primary_key=True, autoincrement=False),
        Column("incarnation", sa.BigInteger, nullable=False),
        Column("removed_ms", sa.BigInteger, nullable=False),
        Column("by_whom", sa.VARCHAR(MAX_TEXT_CHARS), nullable=False),
        comment="nodes that were removed, until they are provisioned again; Unix time in ms",
    )


def to_add(inspector: Inspector, table: Table) -> list[Column[Any]]:
    """Columns that a table of an older version lacks, and that its rows can do without."""
    if not inspector.has_table(table.name):
        return []
    present = {column["name"] for column in inspector.get_columns(table.name)}
    return [
        column
        for column in table.columns
        if column.name not in present
        and not column.primary_key
        and (column.nullable or column.server_default is not None)
    ]


class _AddColumn(ExecutableDDLElement):
    """``ALTER TABLE … ADD COLUMN``, which SQLAlchemy leaves to its extensions."""

    def __init__(self, column: Column[Any]) -> None:
        self.column = column


@compiles(_AddColumn)
def _add_column(element: _AddColumn, compiler: DDLCompiler, **_options: Any) -> str:
    table = compiler.preparer.format_table(element.column.table)
    return f"ALTER TABLE {table} ADD COLUMN {compiler.process(CreateColumn(element.column))}"


def differences(
    inspector: Inspector, table: Table, *, without: Collection[Column[Any]] = ()
) -> Iterator[str]:
    """How the table of that name differs in columns and keys, a sentence each.

    ``without``: columns that are not looked for.
    """
    names = {column.name for column in without}
    yield from _column_differences(inspector, table, names)
    yield from _key_differences(inspector, table)


def _column_differences(
    inspector: Inspector, table: Table, without: Collection[str]
) -> Iterator[str]:
    present = {column["name"]: column for column in inspector.get_columns(table.name)}
    for expected in table.columns:
        if expected.name in without:
            continue
        label = f"column {table.name}.{expected.name}"
        column = present.get(expected.name)
        if column is None:
            yield f"{label} is missing"
            continue
        yield from _type_differences(label, expected.type, column["type"])
        # A primary key never holds NULL, whatever SQLite says of the column.
        if not expected.primary_key and bool(column["nullable"]) != bool(expected.nullable):
            allowed, needed = ("may", "may not") if column["nullable"] else ("may not", "may")
            yield f"{label} {allowed} be NULL; it {needed} be"
        default = _default(column["default"])
        wanted = _default(getattr(expected.server_default, "arg", None))
        if not expected.primary_key and default != wanted:
            yield f"{label} has the default {default}; {wanted} is needed"


def _type_differences(label: str, expected: Any, present: Any) -> Iterator[str]:
    if isinstance(expected, sa.String):
        length = getattr(present, "length", None)
        if not isinstance(present, sa.String):
            yield f"{label} is {present}; a text of {expected.length} characters is needed"
        elif length != expected.length:
            held = length or "any number of"
            yield f"{label} holds {held} characters; {expected.length} is needed"
    elif isinstance(expected, sa.Integer) and not isinstance(present, sa.Integer):
        yield f"{label} is {present}; a whole number is needed"
    elif isinstance(expected, sa.DateTime) and not isinstance(present, sa.DateTime):
        yield f"{label} is {present}; a time is needed"


def _default(raw: object) -> str:
    """A default in one spelling: databases report ``1``, ``'1'``, ``(1)`` and ``1::integer``."""
    if raw is None:
        return "NULL"
    text = str(raw).partition("::")[0].strip("()' ")
    return "NULL" if text.upper() == "NULL" else text


def _key_differences(inspector: Inspector, table: Table) -> Iterator[str]:
    primary = {column.name for column in table.primary_key}
    if set(inspector.get_pk_constraint(table.name)["constrained_columns"]) != primary:
        yield f"the primary key of table {table.name} is not {_listed(primary)}"
    unique: list[set[str | None]] = [
        set(key["column_names"]) for key in inspector.get_unique_constraints(table.name)
    ]
    unique += [set(i["column_names"]) for i in inspector.get_indexes(table.name) if i["unique"]]
    for constraint in table.constraints:
        if not isinstance(constraint, sa.UniqueConstraint):
            continue
        wanted = {column.name for column in constraint.columns}
        if wanted not in unique:
            yield f"table {table.name} has no unique key of {_listed(wanted)}"


def _listed(names: set[str]) -> str:
    return " and ".join(sorted(names))
