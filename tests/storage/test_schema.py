"""The tables as OpenSIPS has them, and how a database that differs is described."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.mysql import dialect as mysql_dialect
from sqlalchemy.dialects.mysql.reflection import MySQLTableDefinitionParser
from sqlalchemy.schema import CreateTable

from tagmesh.protocol.config import ProvisioningSettings
from tagmesh.protocol.errors import StorageUnavailable
from tagmesh.protocol.identity import ClusterId, Incarnation, NodeId
from tagmesh.protocol.tag_words import Owner
from tagmesh.storage.schema import Schema, differences

if TYPE_CHECKING:
    from .conftest import Storage

VERSION_SQLITE = """CREATE TABLE version (table_name CHAR(32) NOT NULL,
    table_version INTEGER DEFAULT 0 NOT NULL, CONSTRAINT version_t_name_idx UNIQUE (table_name))"""
VERSION_POSTGRES = VERSION_SQLITE.replace("CHAR(32)", "VARCHAR(32)")
CLUSTERER_SQLITE = """CREATE TABLE clusterer (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
        cluster_id INTEGER NOT NULL, node_id INTEGER NOT NULL, url CHAR(64) NOT NULL,
        state INTEGER DEFAULT 1 NOT NULL, no_ping_retries INTEGER DEFAULT 3 NOT NULL,
        priority INTEGER DEFAULT 50 NOT NULL, sip_addr CHAR(64), flags CHAR(64),
        description CHAR(64),
        CONSTRAINT clusterer_clusterer_idx UNIQUE (cluster_id, node_id))"""

OPENSIPS = {
    "sqlite": [
        VERSION_SQLITE,
        "INSERT INTO version (table_name, table_version) VALUES ('clusterer', '4')",
        CLUSTERER_SQLITE,
    ],
    "mariadb": [
        VERSION_SQLITE,
        "INSERT INTO version (table_name, table_version) VALUES ('clusterer', '4')",
        CLUSTERER_SQLITE.replace("PRIMARY KEY AUTOINCREMENT", "AUTO_INCREMENT PRIMARY KEY"),
    ],
    "postgresql": [
        VERSION_POSTGRES,
        "INSERT INTO version (table_name, table_version) VALUES ('clusterer', '4')",
        """CREATE TABLE clusterer (id SERIAL PRIMARY KEY NOT NULL,
        cluster_id INTEGER NOT NULL, node_id INTEGER NOT NULL, url VARCHAR(64) NOT NULL,
        state INTEGER DEFAULT 1 NOT NULL, no_ping_retries INTEGER DEFAULT 3 NOT NULL,
        priority INTEGER DEFAULT 50 NOT NULL, sip_addr VARCHAR(64), flags VARCHAR(64),
        description VARCHAR(64),
        CONSTRAINT clusterer_clusterer_idx UNIQUE (cluster_id, node_id))""",
        "ALTER SEQUENCE clusterer_id_seq MAXVALUE 2147483647 CYCLE",
    ],
}
"""What `opensips-cli database create` leaves, by kind of database."""

NO_TAGS = "table cluster_tags is missing; create it with `tagmesh db init`"
"""What is said of every database that only OpenSIPS has been at."""

# What SHOW CREATE TABLE answers for OpenSIPS's table on servers of different ages.
SHOW_CREATE_MYSQL = """CREATE TABLE `clusterer` (
  `id` int{width}{unsigned} NOT NULL AUTO_INCREMENT,
  `cluster_id` int{width} NOT NULL,
  `node_id` int{width} NOT NULL,
  `url` char(64) NOT NULL,
  `state` int{narrow} NOT NULL DEFAULT {quote}1{quote},
  `no_ping_retries` int{width} NOT NULL DEFAULT {quote}3{quote},
  `priority` int{width} NOT NULL DEFAULT {quote}50{quote},
  `sip_addr` char(64) DEFAULT NULL,
  `flags` char(64) DEFAULT NULL,
  `description` char(64) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `clusterer_idx` (`cluster_id`,`node_id`)
) ENGINE=InnoDB"""


def _make_opensips(storage: Storage, old: str = "", new: str = "") -> None:
    """OpenSIPS's tables, with ``old`` in their definition replaced by ``new``."""
    statements = OPENSIPS[storage.kind]
    assert not old or any(old in statement for statement in statements)
    for statement in statements:
        storage.run(statement.replace(old, new) if old else statement)


def _check(storage: Storage, **changes: Any) -> list[str]:
    with storage.provisioning(**changes) as provisioning:
        return provisioning.check()


def test_a_database_made_by_opensips_fits_and_loads(storage: Storage) -> None:
    _make_opensips(storage)
    storage.insert(id=1, node_id=1, flags="seed")
    assert _check(storage) == [NO_TAGS]
    with storage.roster() as roster:
        assert len(roster.load(NodeId(1)).records) == 1


def test_init_beside_opensips_adds_our_tables_only(storage: Storage) -> None:
    _make_opensips(storage)
    storage.insert()
    with storage.provisioning() as provisioning:
        assert provisioning.init() == [
            "cluster_identity",
            "cluster_tags",
            "cluster_audit",
            "cluster_tombstone",
        ]
        assert provisioning.init() == []
        assert len(provisioning.rows().records) == 1
    assert _check(storage) == []


def test_our_own_tables_fit(storage: Storage) -> None:
    storage.init()
    assert _check(storage) == []
    version = "SELECT table_version FROM version WHERE table_name = 'clusterer'"
    assert storage.scalar(version) == 4


def test_our_table_is_opensips_table(storage: Storage) -> None:
    _make_opensips(storage)
    theirs = _described(storage)
    storage.run("DROP TABLE clusterer")
    storage.run("DROP TABLE version")
    storage.init()
    assert _described(storage) == theirs


def _described(storage: Storage) -> list[str]:
    inspector = sa.inspect(storage.engine)
    columns = inspector.get_columns("clusterer")
    described = [f"{c['name']} {c['type']} {c['nullable']} {c['default']}" for c in columns]
    unique = inspector.get_unique_constraints("clusterer")
    # SQLite says of a primary key that it may be NULL unless NOT NULL is spelled out.
    return [*described[1:], *(f"{key['name']} {key['column_names']}" for key in unique)]


def test_blank_padded_columns_load(postgres_storage: Storage) -> None:
    """Some scripts have CHAR on PostgreSQL too, which pads what it gives back."""
    storage = postgres_storage
    _make_opensips(storage, "VARCHAR(64)", "CHAR(64)")
    storage.insert(id=1, node_id=1, flags="seed", description="a", sip_addr="sip:a")
    assert _check(storage) == [NO_TAGS]
    with storage.roster() as roster:
        (record,) = roster.load(NodeId(1)).records
    assert (str(record.url), record.flags) == ("bins:127.0.0.1:5002", "seed")
    assert (record.description, record.sip_addr) == ("a", "sip:a")


DIFFERENCES = [
    ("priority INTEGER DEFAULT 50 NOT NULL, ", "", "column clusterer.priority is missing"),
    ("priority INTEGER DEFAULT 50", "priority INTEGER DEFAULT 3", "default 3; 50 is needed"),
    ("priority INTEGER DEFAULT 50", "priority INTEGER", "default NULL; 50 is needed"),
    ("state INTEGER DEFAULT 1", "state TEXT DEFAULT 1", "state is TEXT; a whole number"),
    ("node_id INTEGER NOT NULL", "node_id INTEGER", "node_id may be NULL; it may not be"),
    (" UNIQUE (cluster_id, node_id)", " CHECK (node_id > 0)", "no unique key of cluster_id and"),
    ("UNIQUE (cluster_id, node_id)", "UNIQUE (node_id)", "no unique key of cluster_id and"),
    ("CHAR(64) NOT NULL", "CHAR(40) NOT NULL", "url holds 40 characters; 64 is needed"),
    ("CHAR(64) NOT NULL,", "CHAR(64),", "url may be NULL; it may not be"),
    ("('clusterer', '4')", "('clusterer', '3')", "version says 3 for clusterer; 4 is needed"),
    ("('clusterer', '4')", "('dialog', '4')", "version has no row for clusterer; 4 is needed"),
]


@pytest.mark.parametrize(("old", "new", "said"), DIFFERENCES)
def test_a_difference_is_said_in_words(storage: Storage, old: str, new: str, said: str) -> None:
    _make_opensips(storage, old, new)
    no_tags, difference = _check(storage)
    assert no_tags == NO_TAGS
    assert said in difference
    with storage.provisioning() as provisioning, pytest.raises(StorageUnavailable) as caught:
        provisioning.init()
    assert "does not fit: " in str(caught.value)
    assert said in str(caught.value)
    assert not sa.inspect(storage.engine).has_table("cluster_identity")


def test_all_differences_are_said(storage: Storage) -> None:
    storage.loose()
    found = _check(storage)
    assert "table version is missing; OpenSIPS refuses tables without it" in found
    assert "the primary key of table clusterer is not id" in found
    assert "column clusterer.url holds any number of characters; 64 is needed" in found
    assert "column clusterer.cluster_id may be NULL; it may not be" in found


def test_a_missing_table_is_a_difference(storage: Storage) -> None:
    storage.init()
    said = "table other is missing; create it with `tagmesh db init`"
    assert _check(storage, table="other") == [said]


def test_columns_of_others_are_no_difference(storage: Storage) -> None:
    _make_opensips(
        storage, "CHAR(64),\n        CONSTRAINT", "CHAR(64), rack INT,\n        CONSTRAINT"
    )
    assert _check(storage) == [NO_TAGS]


def test_another_cluster_identity_is_a_difference(storage: Storage) -> None:
    _make_opensips(storage)
    storage.run("CREATE TABLE cluster_identity (cluster_id INTEGER PRIMARY KEY, revoked_at TEXT)")
    found = _check(storage)
    assert "column cluster_identity.fingerprint is missing" in found
    assert "column cluster_identity.revoked_at is TEXT; a time is needed" in found
    assert any("primary key of table cluster_identity" in difference for difference in found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE cluster_tags DROP COLUMN mode", "column cluster_tags.mode is missing"),
        ("DROP TABLE cluster_tags", NO_TAGS),
    ],
)
def test_another_cluster_tags_is_a_difference(storage: Storage, change: str, said: str) -> None:
    storage.init()
    storage.run(change)
    assert _check(storage) == [said]


def test_columns_that_an_older_version_did_not_have_are_added(storage: Storage) -> None:
    """What stands in the rows stays, and the tags work."""
    storage.init(storage.node(1))
    owner, electors = Owner(NodeId(1), Incarnation(7)), (NodeId(1), NodeId(2))
    with storage.tags() as tags:
        tags.acquire(ClusterId(1), "vip", owner, seen=4, ttl_s=5.0)
    for column in ("paused", "electors"):
        storage.run(f"ALTER TABLE cluster_tags DROP COLUMN {column}")
    lacking = ["cluster_tags.paused", "cluster_tags.electors"]
    missing = "column {} is missing; add it with `tagmesh db init`"
    assert _check(storage) == [missing.format(name) for name in lacking]
    with storage.tags() as tags, pytest.raises(StorageUnavailable, match="`tagmesh db check`"):
        tags.load(ClusterId(1))
    with storage.provisioning() as provisioning:
        assert provisioning.init() == lacking
        assert provisioning.init() == []
    assert _check(storage) == []
    with storage.tags() as tags:
        tags.renew(ClusterId(1), "vip", owner, number=5, ttl_s=5.0, electors=electors)
        (row,) = tags.load(ClusterId(1))
    assert (row.number, row.owner, row.paused, row.electors) == (5, owner, False, electors)


class _Reflected:
    """The part of an inspector that the check uses, over a MySQL server's answer."""

    def __init__(self, show_create: str) -> None:
        dialect: Any = mysql_dialect()
        parser = MySQLTableDefinitionParser(dialect, dialect.identifier_preparer)
        self._state = parser.parse(show_create, "utf8mb4")

    def get_columns(self, _table: str) -> list[Any]:
        return list(self._state.columns)

    def get_pk_constraint(self, _table: str) -> dict[str, Any]:
        (primary,) = (key for key in self._state.keys if key["type"] == "PRIMARY")
        return {"constrained_columns": [column[0] for column in primary["columns"]]}

    def get_unique_constraints(self, _table: str) -> list[dict[str, Any]]:
        keys = [key for key in self._state.keys if key["type"] == "UNIQUE"]
        return [{"column_names": [column[0] for column in key["columns"]]} for key in keys]

    def get_indexes(self, _table: str) -> list[dict[str, Any]]:
        return []


@pytest.mark.parametrize(
    ("width", "narrow", "unsigned", "quote"),
    [("(10)", "(1)", " unsigned", ""), ("(10)", "(1)", "", "'"), ("", "", "", "'")],
    ids=["MariaDB 4.0 DDL", "MySQL 5.7", "MySQL 8"],
)
def test_the_mysql_table_of_opensips_fits(
    width: str, narrow: str, unsigned: str, quote: str
) -> None:
    answer = SHOW_CREATE_MYSQL.format(width=width, narrow=narrow, unsigned=unsigned, quote=quote)
    nodes = Schema(ProvisioningSettings()).nodes
    assert list(differences(cast("sa.Inspector", _Reflected(answer)), nodes)) == []
    other = answer.replace("`url` char(64)", "`url` char(30)")
    (difference,) = differences(cast("sa.Inspector", _Reflected(other)), nodes)
    assert difference == "column clusterer.url holds 30 characters; 64 is needed"


def test_our_mysql_table_has_the_columns_of_opensips() -> None:
    nodes = Schema(ProvisioningSettings()).nodes
    made = str(CreateTable(nodes).compile(dialect=mysql_dialect()))
    for line in (
        "id INTEGER NOT NULL AUTO_INCREMENT",
        "url CHAR(64) NOT NULL",
        "state INTEGER NOT NULL DEFAULT 1",
        "no_ping_retries INTEGER NOT NULL DEFAULT 3",
        "priority INTEGER NOT NULL DEFAULT 50",
        "description CHAR(64),",
        "UNIQUE (cluster_id, node_id)",
    ):
        assert line in made
