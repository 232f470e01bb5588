"""Records of maps in a database: what is written is there again, on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagmesh.protocol.errors import Misuse, StorageUnavailable
from tagmesh.protocol.messages import MAX_PAYLOAD_BYTES
from tagmesh.storage.record_store import MAX_KEY_BYTES, PAGE_RECORDS, SqlRecordStore
from tests.storage.conftest import Storage


@pytest.fixture
def store(storage: Storage) -> Iterator[SqlRecordStore]:
    made = SqlRecordStore(storage.settings.url, "users", node=1)
    yield made
    made.close()


def test_what_was_written_last_is_loaded(store: SqlRecordStore) -> None:
    assert list(store.load()) == []
    store.write({b"a": b"1", b"b": b"2", b"c": b"3"})
    store.write({b"b": b"22", b"c": None, b"never there": None})
    store.write({})
    assert list(store.load()) == [b"1", b"22"]


def test_the_longest_key_and_record(store: SqlRecordStore) -> None:
    key, record = b"\xff" * MAX_KEY_BYTES, bytes(range(256)) * (MAX_PAYLOAD_BYTES // 256)
    store.write({key: record, key[:-1]: b"\x00", b"\x00": b"\xff"})
    assert set(store.load()) == {record, b"\x00", b"\xff"}


def test_more_than_a_page(store: SqlRecordStore) -> None:
    count = 2 * PAGE_RECORDS
    store.write({number.to_bytes(4): number.to_bytes(8) for number in range(count)})
    assert [int.from_bytes(item) for item in store.load()] == list(range(count))


def test_each_map_and_node_has_its_own(storage: Storage, store: SqlRecordStore) -> None:
    store.write({b"k": b"mine"})
    for name, node in (("users", 2), ("Users", 1)):
        other = SqlRecordStore(storage.settings.url, name, node=node)
        assert list(other.load()) == []
        other.write({b"k": b"theirs"})
        other.write({b"k": None})
        other.close()
    assert list(store.load()) == [b"mine"]


def test_all_or_nothing(sqlite_storage: Storage) -> None:
    store = SqlRecordStore(sqlite_storage.settings.url, "users")
    store.write({b"a": b"1"})
    sqlite_storage.run(
        "CREATE TRIGGER full BEFORE INSERT ON cluster_records WHEN NEW.record = x'33'"
        " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
    )
    with pytest.raises(StorageUnavailable, match="the disk is full"):
        store.write({b"a": b"2", b"b": b"3"})
    assert list(store.load()) == [b"1"]


def test_a_database_that_is_away_says_so_and_is_used_when_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    store = SqlRecordStore(f"sqlite:///{folder}/records.db", "users")
    with pytest.raises(StorageUnavailable, match=r"records\.db"):
        list(store.load())
    folder.mkdir()
    store.write({b"a": b"1"})
    assert list(store.load()) == [b"1"]


def test_what_cannot_be_a_store() -> None:
    with pytest.raises(Misuse, match="the url of records is not a database URL"):
        SqlRecordStore("records.db", "users")
    with pytest.raises(Misuse, match="cannot be the name of a map"):
        SqlRecordStore("sqlite:///records.db", "")


WRITES = st.lists(
    st.dictionaries(
        st.binary(min_size=1, max_size=3), st.none() | st.binary(min_size=1, max_size=9), max_size=5
    ),
    max_size=6,
)


@settings(max_examples=25)
@given(WRITES)
def test_it_is_a_dict(
    tmp_path_factory: pytest.TempPathFactory, writes: list[dict[bytes, bytes | None]]
) -> None:
    store = SqlRecordStore(f"sqlite:///{tmp_path_factory.mktemp('d')}/records.db", "users")
    expected: dict[bytes, bytes] = {}
    for records in writes:
        store.write(records)
        for key, record in records.items():
            expected.pop(key, None)
            if record is not None:
                expected[key] = record
    assert list(store.load()) == [expected[key] for key in sorted(expected)]
