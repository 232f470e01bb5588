"""Who did what, in the table, on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tagmesh.protocol.errors import StorageUnavailable
from tagmesh.storage import audit_table as audit
from tagmesh.storage.audit_table import AuditEntry, SqlAudit
from tagmesh.storage.schema import MAX_AUDIT_CHARS
from tests.storage.conftest import Storage


def entry(number: int, **changes: str) -> AuditEntry:
    texts = {"who": "node 2", "command": "tagmesh_tag_pause", "arguments": "tag=a", "outcome": "OK"}
    return AuditEntry(at_s=1_790_000_000.5 + number, node_id=1, **(texts | changes))


@pytest.fixture
def table(storage: Storage) -> Iterator[SqlAudit]:
    made = SqlAudit(storage.settings)
    yield made
    made.close()


def test_what_was_kept_is_read_oldest_first(storage: Storage, table: SqlAudit) -> None:
    storage.init()
    assert table.newest(5) == []
    table.append([entry(1), entry(2, outcome="403: Not allowed")])
    table.append([entry(3)])
    assert table.newest(2) == [entry(2, outcome="403: Not allowed"), entry(3)]
    assert table.newest(100) == [entry(1), entry(2, outcome="403: Not allowed"), entry(3)]


def test_long_and_unprintable_texts_are_cut_and_escaped(storage: Storage, table: SqlAudit) -> None:
    storage.init()
    table.append([entry(1, arguments="\x1b[2J" + "ü" * 5000, command="x" * 5000)])
    kept = table.newest(1)[0]
    assert kept.arguments.startswith("\\x1b[2Jüü")
    assert len(kept.arguments) == MAX_AUDIT_CHARS
    assert kept.arguments[-1] == kept.command[-1] == "…"


def test_the_oldest_go(storage: Storage, table: SqlAudit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "KEPT_ROWS", 3)
    storage.init()
    table.append([entry(n) for n in range(5)])
    table.append([entry(5)])
    assert table.newest(100) == [entry(3), entry(4), entry(5)]


def test_without_the_table_it_says_so(storage: Storage, table: SqlAudit) -> None:
    storage.init()
    with storage.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE cluster_audit")
    with pytest.raises(StorageUnavailable, match="cluster_audit"):
        table.append([entry(1)])
