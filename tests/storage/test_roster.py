"""What a node gets from the provisioned rows: D-1 … D-6 and the matrix of bad rows D1 … D12."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from tagmesh.protocol.config import MAX_CLUSTERS, MAX_NODES
from tagmesh.protocol.errors import NotProvisioned, StorageUnavailable
from tagmesh.protocol.identity import MAX_ID, BinsUrl, InvalidRow, NodeId
from tagmesh.storage import RosterSnapshot

if TYPE_CHECKING:
    from .conftest import Storage

ME = NodeId(1)
MY_ROW = {"id": 1, "node_id": 1, "url": "bins:127.0.0.1:5001"}


def _load(storage: Storage, me: int = ME, **changes: Any) -> RosterSnapshot:
    with storage.roster(**changes) as roster:
        return roster.load(NodeId(me))


def _ids(snapshot: RosterSnapshot) -> list[tuple[int, int]]:
    return [(record.cluster_id, record.node_id) for record in snapshot.records]


def test_own_rows_tell_the_clusters_and_all_rows_of_those_come_sorted(storage: Storage) -> None:
    node = storage.node
    storage.init(node(3), node(1), node(2), node(9, 8), node(1, 7), node(4, 7), node(2, 6))
    snapshot = _load(storage)
    assert _ids(snapshot) == [(1, 1), (1, 2), (1, 3), (7, 1), (7, 4)]
    assert not snapshot.dynamic
    assert snapshot.invalid == ()


def test_a_row_comes_back_as_it_was_added(storage: Storage) -> None:
    added = storage.node(
        1, url=BinsUrl("fd00::1", 5600), enabled=False, ping_retries=0, priority=10**9,
        sip_addr="sip:10.0.0.1", flags="seed", description="Büro 北",
    )  # fmt: skip
    storage.init(added)
    (loaded,) = _load(storage).records
    assert loaded.db_id == 1
    for field in added.__struct_fields__:
        if field != "db_id":
            assert getattr(loaded, field) == getattr(added, field)
    assert loaded.seed


def test_defaults_of_the_table_are_those_of_opensips(storage: Storage) -> None:
    storage.init()
    storage.run("INSERT INTO clusterer (cluster_id, node_id, url) VALUES (1, 1, 'bins:a')")
    (loaded,) = _load(storage).records
    assert (loaded.enabled, loaded.ping_retries, loaded.priority) == (True, 3, 50)
    assert loaded.url == BinsUrl("a", 5556)


def test_no_own_row_says_what_to_do(storage: Storage) -> None:
    storage.init(storage.node(2))
    with pytest.raises(NotProvisioned) as caught:
        _load(storage)
    assert str(caught.value).startswith("node 1 has no row in ")
    assert "tagmesh db add --cluster 1 --node 1 --url bins:" in str(caught.value)


def test_a_disabled_own_row_stays_in_the_records(storage: Storage) -> None:
    storage.init(storage.node(1, enabled=False), storage.node(2))
    assert [record.enabled for record in _load(storage).records] == [False, True]


def test_a_bad_own_row_says_what_is_wrong_with_it(storage: Storage) -> None:
    storage.loose()
    storage.insert(**MY_ROW | {"url": "bin:127.0.0.1:5555"})
    storage.insert()
    with pytest.raises(NotProvisioned, match=r"row 1: url .*tagmesh links are always TLS"):
        _load(storage)


def test_an_own_row_without_cluster_is_named(storage: Storage) -> None:
    storage.loose()
    storage.insert(**MY_ROW | {"cluster_id": None})
    with pytest.raises(NotProvisioned, match="row 1: cluster_id is NULL"):
        _load(storage)


def test_a_bad_own_row_in_one_cluster_leaves_the_other_cluster_alone(storage: Storage) -> None:
    storage.loose()
    storage.insert(**MY_ROW)
    storage.insert(id=2)
    storage.insert(**MY_ROW | {"id": 3, "cluster_id": 7, "state": 7})
    storage.insert(id=4, cluster_id=7)
    snapshot = _load(storage)
    assert _ids(snapshot) == [(1, 1), (1, 2)]
    assert [row.db_id for row in snapshot.invalid] == [3]


BAD_VALUES = [
    ("node_id", None, "node_id is NULL"),
    ("node_id", 0, "node_id 0 is out of range"),
    ("node_id", -5, "node_id -5 is out of range"),
    ("node_id", MAX_ID + 1, "node_id 2147483648 is out of range"),
    ("url", None, "url is NULL"),
    ("url", "", "url is empty"),
    ("url", "   ", "url is empty"),
    ("url", "127.0.0.1:5555", "bins:host"),
    ("url", "bin:127.0.0.1:5555", "tagmesh links are always TLS"),
    ("url", "tls:127.0.0.1:5555", "unknown scheme"),
    ("url", "bins:127.0.0.1:65536", "port '65536'"),
    ("url", "bins:" + "h" * 70, "longer than 64 characters"),
    ("url", "bins:a\nFATAL fake", r"\n"),
    ("state", None, "state is NULL"),
    ("state", 7, "state 7 is out of range; allowed: 0 … 1"),
    ("no_ping_retries", None, "no_ping_retries is NULL"),
    ("no_ping_retries", -1, "no_ping_retries -1 is out of range"),
    ("no_ping_retries", 1001, "no_ping_retries 1001 is out of range"),
    ("priority", None, "priority is NULL"),
    ("priority", -1, "priority -1 is out of range"),
    ("sip_addr", "s" * 65, "at most 64 printable characters"),
    ("flags", "seed\x1b[2J", "at most 64 printable characters"),
]


def test_bad_rows_of_other_nodes_are_set_apart_each_with_its_reason(storage: Storage) -> None:
    storage.loose()
    storage.insert(**MY_ROW)
    for db_id, (column, value, _) in enumerate(BAD_VALUES, 20):
        storage.insert(**{"id": db_id, "node_id": db_id, column: value})
    storage.insert(id=99, node_id=99)
    snapshot = _load(storage)
    assert _ids(snapshot) == [(1, 1), (1, 99)]
    bad_rows = {row.db_id: row for row in snapshot.invalid}
    assert len(bad_rows) == len(snapshot.invalid) == len(BAD_VALUES)
    for db_id, (column, value, reason) in enumerate(BAD_VALUES, 20):
        bad = bad_rows[db_id]
        assert reason in bad.reason
        assert bad.reason.isprintable()
        assert len(bad.reason) < 200
        assert (bad.cluster_id, bad.node_id) == (1, value if column == "node_id" else db_id)


def test_a_row_of_another_node_without_cluster_is_in_nobodys_cluster(storage: Storage) -> None:
    storage.loose()
    storage.insert(**MY_ROW)
    storage.insert(cluster_id=None)
    snapshot = _load(storage)
    assert (_ids(snapshot), snapshot.invalid) == ([(1, 1)], ())


def test_a_row_with_nothing_in_the_optional_columns_is_good(storage: Storage) -> None:
    storage.loose()
    storage.insert(**MY_ROW, sip_addr="", flags=None, description="  ")
    (loaded,) = _load(storage).records
    assert (loaded.sip_addr, loaded.flags, loaded.description) == (None, None, None)


def test_a_row_without_primary_key_counts_as_not_from_a_database(storage: Storage) -> None:
    storage.loose()
    storage.insert(**MY_ROW)
    storage.insert(id=None)
    (bad,) = _load(storage).invalid
    assert (bad.db_id, bad.node_id, bad.reason.split(";")[0]) == (-1, 2, "id is NULL")


@pytest.mark.parametrize("column", ["state", "no_ping_retries", "priority"])
def test_text_in_a_number_column_is_a_bad_row(storage: Storage, column: str) -> None:
    storage.loose(**{column: "TEXT"})
    storage.insert(**MY_ROW | dict.fromkeys([column], "1"))
    with pytest.raises(NotProvisioned, match=f"{column} is '1', not a whole number"):
        _load(storage)


def test_sqlite_lets_anything_in_and_only_that_row_suffers(sqlite_storage: Storage) -> None:
    storage = sqlite_storage
    storage.init(storage.node(1))
    for node, (column, value) in enumerate(
        [("state", "'on'"), ("priority", "1.5"), ("url", "x'00ff'"), ("flags", "x'00'")], 2
    ):
        storage.insert(id=node, node_id=node)
        storage.run(f"UPDATE clusterer SET {column} = {value} WHERE node_id = {node}")  # noqa: S608
    storage.insert(id=9, node_id=9)
    storage.run("UPDATE clusterer SET description = CAST(x'41ff1b42' AS TEXT) WHERE node_id = 9")
    snapshot = _load(storage)
    assert _ids(snapshot) == [(1, 1), (1, 9)]
    assert snapshot.records[1].description == "A\N{REPLACEMENT CHARACTER}\\x1bB"
    assert [row.reason.split(";")[0] for row in snapshot.invalid] == [
        "state is 'on', not a whole number",
        "priority is '1.5', not a whole number",
        "url is bytes, not text",
        "flags is bytes, not text",
    ]


STRANGE_DESCRIPTIONS = [
    "'); DROP TABLE clusterer; --",
    "line\nERROR: fake log line",
    "\x1b[31mred\x1b[0m \x07",
    "{0.__class__} %s %n",
    "x" * 10_000,
    "\n" * 10_000,
    "left\u202etfel",
]


def test_strange_descriptions_are_made_harmless(storage: Storage) -> None:
    storage.loose()
    for node, strange in enumerate(STRANGE_DESCRIPTIONS, 1):
        storage.insert(id=node, node_id=node, description=strange)
    records = _load(storage).records
    assert len(records) == storage.scalar("SELECT count(*) FROM clusterer")
    for record, strange in zip(records, STRANGE_DESCRIPTIONS, strict=True):
        assert record.description is not None
        assert record.description.isprintable()
        assert len(record.description) <= 65
        assert record.description[:4] == strange.encode("unicode_escape").decode()[:4]


def test_of_two_rows_of_one_node_the_first_usable_counts(storage: Storage) -> None:
    storage.loose()
    storage.insert(**MY_ROW)
    storage.insert(id=9, url="bins:third:1")
    storage.insert(id=7, url="bins:second:1", state=0)
    storage.insert(id=5, url="bin:first:1")
    snapshot = _load(storage)
    assert [(record.db_id, record.enabled) for record in snapshot.records] == [
        (1, True),
        (7, False),
    ]
    assert [row.db_id for row in snapshot.invalid] == [5, 9]
    assert snapshot.invalid[1] == InvalidRow(
        db_id=9, cluster_id=1, node_id=2, reason="repeats row 7, and that one counts"
    )


def test_two_nodes_with_one_url_are_allowed_with_a_warning(storage: Storage) -> None:
    url = BinsUrl("shared", 5556)
    storage.init(storage.node(1, flags="seed"), storage.node(2, url=url), storage.node(3, url=url))
    snapshot = _load(storage)
    assert _ids(snapshot) == [(1, 1), (1, 2), (1, 3)]
    (warning,) = snapshot.warnings
    assert "nodes 2 and 3 have the same url bins:shared:5556" in warning


def test_a_cluster_without_seed_gives_a_warning(storage: Storage) -> None:
    storage.init(storage.node(1), storage.node(1, 7, flags="seed"))
    (warning,) = _load(storage).warnings
    assert warning.startswith("cluster 1 has no seed")


def test_names_of_table_and_columns_are_configurable(storage: Storage) -> None:
    changes: dict[str, Any] = {
        "table": "my nodes",
        "columns": {"url": "address", "id": "Order", "state": "on%"},
    }
    with storage.provisioning(**changes) as provisioning:
        tables = [
            "cluster_audit",
            "cluster_identity",
            "cluster_tags",
            "cluster_tombstone",
            "my nodes",
            "version",
        ]
        assert sorted(provisioning.init()) == tables
        provisioning.add(storage.node(1))
    query = 'SELECT address FROM "my nodes" WHERE "Order" = 1'
    assert storage.scalar(query.replace('"', "`") if storage.kind == "mariadb" else query)
    assert _ids(_load(storage, **changes)) == [(1, 1)]


def test_a_hostile_table_name_is_only_a_name(storage: Storage) -> None:
    storage.init(storage.node(1))
    for name in ("clusterer; DROP TABLE clusterer", 'x" UNION SELECT 1 --', "x'", "a.b", "%s"):
        with pytest.raises(StorageUnavailable, match="tagmesh db init"):
            _load(storage, table=name)
    assert _ids(_load(storage)) == [(1, 1)]


def test_rows_changed_between_two_reads_are_seen(storage: Storage) -> None:
    storage.init(storage.node(1), storage.node(2))
    with storage.roster() as roster:
        assert len(roster.load(ME).records) == 2
        storage.run("DELETE FROM clusterer WHERE node_id = 2")
        assert len(roster.load(ME).records) == 1
        storage.run("UPDATE clusterer SET node_id = 5 WHERE node_id = 1")
        with pytest.raises(NotProvisioned, match="node 1 has no row"):
            roster.load(ME)
        assert len(roster.load(NodeId(5)).records) == 1


def _fill(storage: Storage, rows: list[tuple[int, int]]) -> None:
    values = [
        {"c": cluster, "n": node, "u": f"bins:h:{node % 65535 + 1}"} for cluster, node in rows
    ]
    with storage.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO clusterer (cluster_id, node_id, url) VALUES (:c, :n, :u)"), values
        )


def test_a_full_cluster_loads_and_one_row_more_is_a_clear_error(storage: Storage) -> None:
    storage.init()
    _fill(storage, [(1, node) for node in range(1, MAX_NODES + 1)])
    assert len(_load(storage).records) == MAX_NODES
    _fill(storage, [(1, 9999)])
    with pytest.raises(StorageUnavailable, match=f"more than {MAX_NODES} rows of cluster 1;"):
        _load(storage)


def test_ten_thousand_rows_are_the_same_clear_error(storage: Storage) -> None:
    storage.init()
    _fill(storage, [(1, node) for node in range(1, 10_001)])
    with pytest.raises(StorageUnavailable, match=f"more than {MAX_NODES} rows of cluster 1;"):
        _load(storage)


def test_rows_of_other_clusters_do_not_count(storage: Storage) -> None:
    storage.init(storage.node(1))
    _fill(storage, [(2, node) for node in range(1000, 1000 + MAX_NODES + 1)])
    assert _ids(_load(storage)) == [(1, 1)]


def test_too_many_clusters_are_a_clear_error(storage: Storage) -> None:
    storage.init()
    _fill(storage, [(cluster, 1) for cluster in range(1, MAX_CLUSTERS + 1)])
    assert len(_load(storage).records) == MAX_CLUSTERS
    _fill(storage, [(999, 1)])
    with pytest.raises(StorageUnavailable, match=f"more than {MAX_CLUSTERS} clusters"):
        _load(storage)


def test_a_roster_may_be_called_in_one_thread_after_another(storage: Storage) -> None:
    storage.init(storage.node(1))
    seen: list[RosterSnapshot] = []
    with storage.roster() as roster:
        for _ in range(3):
            thread = threading.Thread(target=lambda: seen.append(roster.load(ME)))
            thread.start()
            thread.join()
    assert [_ids(snapshot) for snapshot in seen] == [[(1, 1)]] * 3


def test_reading_neither_writes_nor_leaves_files(sqlite_storage: Storage, tmp_path: Path) -> None:
    sqlite_storage.init(sqlite_storage.node(1))
    before = (tmp_path / "nodes.db").read_bytes()
    _load(sqlite_storage)
    assert [path.name for path in tmp_path.iterdir()] == ["nodes.db"]
    assert (tmp_path / "nodes.db").read_bytes() == before


def test_fingerprints_come_with_the_rows(storage: Storage) -> None:
    storage.init(storage.node(1), storage.node(2), storage.node(2, 7), storage.node(3))
    with storage.provisioning() as provisioning:
        first, second, third = storage.node(1), storage.node(2), storage.node(3)
        provisioning.pin(second.cluster_id, second.node_id, "AB:" * 31 + "AB")
        provisioning.pin(storage.node(2, 7).cluster_id, second.node_id, "cd" * 32)
        provisioning.revoke(third.cluster_id, third.node_id)
    identities = _load(storage).identities
    assert set(identities) == {(1, 2), (1, 3)}
    assert identities[second.cluster_id, second.node_id].fingerprints == {"ab" * 32}
    assert identities[third.cluster_id, third.node_id].revoked
    assert (first.cluster_id, first.node_id) not in identities


def test_a_database_without_our_table_has_no_identities(storage: Storage) -> None:
    storage.init(storage.node(1))
    storage.run("DROP TABLE cluster_identity")
    assert _load(storage).identities == {}
