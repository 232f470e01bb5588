"""A database that cannot be asked is one clear sentence in bounded time, without secrets (D10)."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tagmesh.protocol.config import ProvisioningSettings
from tagmesh.protocol.errors import Misuse, StorageUnavailable
from tagmesh.protocol.identity import NodeId
from tagmesh.storage import Provisioning, SqlRoster
from tagmesh.storage.failures import MAX_SHOWN_CHARS, sentence

if TYPE_CHECKING:
    from tests.servers import PostgresServer

    from .conftest import Storage

ME = NodeId(1)
NOBODY = 65534
SLACK_S = 2.0
"""What a busy machine may add to a bounded wait."""


def _error(call: Callable[[], object]) -> str:
    """The sentence a failing call raises: one printable line, of bounded length."""
    with pytest.raises(StorageUnavailable) as caught:
        call()
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < 500
    assert said.startswith("database ")
    return said


def _load_error(settings: ProvisioningSettings) -> str:
    roster = SqlRoster(settings)
    try:
        return _error(lambda: roster.load(ME))
    finally:
        roster.close()


def _sqlite(path: Path) -> ProvisioningSettings:
    return ProvisioningSettings(url=f"sqlite:///{path}", query_timeout_s=0.2)


def test_a_missing_file_is_not_made_by_reading(tmp_path: Path) -> None:
    path = tmp_path / "nodes.db"
    assert "there is no such file; create it with `tagmesh db init`" in _load_error(_sqlite(path))
    assert "there is no such file" in _error(Provisioning(_sqlite(path)).check)
    assert "there is no such file" in _error(Provisioning(_sqlite(path)).rows)
    assert not path.exists()


def test_a_missing_folder(tmp_path: Path) -> None:
    settings = _sqlite(tmp_path / "no" / "nodes.db")
    said = _error(Provisioning(settings).init)
    assert "unable to open database file; this user may not open" in said


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "nodes.db"
    path.write_text("[provisioning]\n" * 100)
    assert "file is not a database; the file is something else" in _load_error(_sqlite(path))
    assert "file is not a database" in _error(Provisioning(_sqlite(path)).init)


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    assert "unable to open database file" in _load_error(_sqlite(tmp_path))


def test_an_empty_file_has_no_table(tmp_path: Path) -> None:
    path = tmp_path / "nodes.db"
    path.touch()
    assert "no such table: clusterer; create it with `tagmesh db init`" in _load_error(
        _sqlite(path)
    )


def test_odd_characters_in_the_path_are_no_options(tmp_path: Path) -> None:
    provisioning = Provisioning(_sqlite(tmp_path / "a b&mode=memory#y;ü.db"))
    provisioning.init()
    assert provisioning.check() == []
    assert [path.name for path in tmp_path.iterdir()] == ["a b&mode=memory#y;ü.db"]


def test_a_replaced_file_is_noticed(sqlite_storage: Storage, tmp_path: Path) -> None:
    sqlite_storage.init(sqlite_storage.node(1))
    shutil.copy(tmp_path / "nodes.db", tmp_path / "old.db")
    with sqlite_storage.provisioning() as provisioning:
        provisioning.add(sqlite_storage.node(2))
    with sqlite_storage.roster() as roster:
        assert len(roster.load(ME).records) == 2
        (tmp_path / "old.db").replace(tmp_path / "nodes.db")
        assert len(roster.load(ME).records) == 1


def test_a_missing_table_says_what_to_do(storage: Storage) -> None:
    storage.run("CREATE TABLE other (id INTEGER)")
    said = _load_error(storage.settings)
    assert "clusterer" in said
    assert said.endswith("; create it with `tagmesh db init`")


def test_a_missing_column_says_what_to_do(storage: Storage) -> None:
    storage.init(storage.node(1))
    storage.run("ALTER TABLE clusterer RENAME COLUMN flags TO banners")
    assert _load_error(storage.settings).endswith("; compare it with `tagmesh db check`")


def test_a_lock_of_others_ends_within_query_timeout(storage: Storage) -> None:
    storage.init(storage.node(1))
    with storage.roster(query_timeout_s=0.3) as roster:
        assert len(roster.load(ME).records) == 1
        with storage.locked():
            begun_s = time.monotonic()
            said = _error(lambda: roster.load(ME))
            assert 0.25 <= time.monotonic() - begun_s < 0.3 + SLACK_S
        assert "longer than query_timeout" in said
        assert len(roster.load(ME).records) == 1


def test_writing_under_a_lock_ends_and_changes_nothing(storage: Storage) -> None:
    storage.init(storage.node(1))
    with storage.provisioning(query_timeout_s=0.3) as provisioning:
        with storage.locked():
            said = _error(lambda: provisioning.add(storage.node(2)))
        assert "longer than query_timeout" in said
        assert len(provisioning.rows().records) == 1


@contextmanager
def _unprivileged() -> Iterator[None]:
    """As a user whom file modes bind, unlike root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_file_is_read_but_not_written(sqlite_storage: Storage) -> None:
    sqlite_storage.init(sqlite_storage.node(1))
    folder = Path(tempfile.mkdtemp(prefix="tagmesh-ro-"))  # tmp_path is closed to other users
    try:
        path = folder / "nodes.db"
        shutil.copy(sqlite_storage.settings.url.removeprefix("sqlite:///"), path)
        path.chmod(0o444)
        folder.chmod(0o555)
        with _unprivileged():
            roster, provisioning = SqlRoster(_sqlite(path)), Provisioning(_sqlite(path))
            assert len(roster.load(ME).records) == 1
            said = _error(lambda: provisioning.add(sqlite_storage.node(2)))
            assert said.endswith("is read-only for this user")
            said = _error(Provisioning(_sqlite(folder / "new.db")).init)
            assert said.endswith("may not open the file or its folder")
        path.chmod(0o000)
        with _unprivileged():
            assert "may not open the file" in _error(lambda: roster.load(ME))
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)


@pytest.mark.postgres
def test_a_user_without_rights(postgres_storage: Storage, postgres_server: PostgresServer) -> None:
    storage = postgres_storage
    storage.init(storage.node(1))
    storage.run("DROP ROLE IF EXISTS guest")
    storage.run("CREATE ROLE guest LOGIN PASSWORD 'guest-word'")
    url = postgres_server.url.replace(f"postgres:{postgres_server.password}", "guest:guest-word")
    settings = ProvisioningSettings(url=url)
    storage.run("GRANT USAGE ON SCHEMA public TO guest")
    assert _load_error(settings).endswith("; grant this user the rights it needs")
    storage.run("GRANT SELECT ON clusterer TO guest")
    # Without the right to read revocations nobody is let in (fail closed).
    assert "cluster_identity" in _load_error(settings)
    storage.run("GRANT SELECT ON cluster_identity, cluster_tombstone TO guest")
    roster, provisioning = SqlRoster(settings), Provisioning(settings)
    assert len(roster.load(ME).records) == 1
    assert "permission denied" in _error(lambda: provisioning.add(storage.node(2)))
    roster.close()
    provisioning.close()
    storage.run("DROP OWNED BY guest")
    storage.run("DROP ROLE guest")


@pytest.mark.postgres
def test_a_missing_database(postgres_server: PostgresServer) -> None:
    url = postgres_server.url.removesuffix("/postgres") + "/nothere"
    assert '"nothere" does not exist' in _load_error(ProvisioningSettings(url=url))


@pytest.mark.postgres
def test_a_unix_socket_and_the_options_of_a_url_work(
    postgres_storage: Storage, postgres_server: PostgresServer
) -> None:
    postgres_storage.run("CREATE SCHEMA elsewhere")
    url = f"{postgres_server.socket_url}&options=-csearch_path%3Delsewhere"
    settings = ProvisioningSettings(url=url.replace("postgresql:", "postgres:"))
    provisioning = Provisioning(settings)
    provisioning.init()
    provisioning.add(postgres_storage.node(1))
    provisioning.close()
    assert postgres_storage.scalar("SELECT count(*) FROM elsewhere.clusterer") == 1
    assert "options" not in provisioning.name
    assert str(postgres_server.folder).rpartition("/")[2] in provisioning.name


@pytest.mark.postgres
def test_a_crashed_server_is_an_error_until_it_is_back(
    postgres_storage: Storage, postgres_server: PostgresServer
) -> None:
    postgres_storage.init(postgres_storage.node(1))
    with postgres_storage.roster(url=postgres_server.url) as roster:
        assert len(roster.load(ME).records) == 1
        postgres_server.stop()
        try:
            said = _error(lambda: roster.load(ME))
            assert "refused" in said
        finally:
            postgres_server.start()
        assert len(roster.load(ME).records) == 1


@pytest.mark.postgres
def test_a_restart_between_two_reads_is_not_noticed(
    postgres_storage: Storage, postgres_server: PostgresServer
) -> None:
    postgres_storage.init(postgres_storage.node(1))
    with postgres_storage.roster() as roster:
        assert len(roster.load(ME).records) == 1
        postgres_server.stop()
        postgres_server.start()
        assert len(roster.load(ME).records) == 1


@pytest.mark.postgres
def test_a_frozen_server_is_an_error_in_bounded_time(
    postgres_storage: Storage, postgres_server: PostgresServer
) -> None:
    postgres_storage.init(postgres_storage.node(1))
    with postgres_storage.roster(query_timeout_s=0.4) as roster:
        assert len(roster.load(ME).records) == 1
        postgres_server.freeze()
        try:
            begun_s = time.monotonic()
            _error(lambda: roster.load(ME))
            # The old connection is given up after 0.5 s, a new one after libpq's shortest time.
            assert time.monotonic() - begun_s < 0.5 + 2.0 + SLACK_S
        finally:
            postgres_server.thaw()
        assert len(roster.load(ME).records) == 1


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mariadb"])
def test_a_silent_server_is_an_error_in_bounded_time(silent_port: int, scheme: str) -> None:
    url = f"{scheme}://ops:s3cret-word@127.0.0.1:{silent_port}/opensips"
    begun_s = time.monotonic()
    said = _load_error(ProvisioningSettings(url=url, query_timeout_s=0.2))
    assert time.monotonic() - begun_s < 2.0 + SLACK_S
    assert said.startswith(f"database {scheme}://ops:***@127.0.0.1:{silent_port}/opensips: ")


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_an_unreachable_server_is_an_error(scheme: str) -> None:
    with socket.socket() as unused:  # bound, not listening: connections are refused
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        said = _load_error(ProvisioningSettings(url=f"{scheme}://ops@127.0.0.1:{port}/opensips"))
    assert "refused" in said


@pytest.mark.postgres
def test_a_password_is_never_shown(
    postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "wr0ng/pass word"
    quoted = "wr0ng%2Fpass%20word"
    for tail in ("postgres", "postgres?sslpassword=other-secret&application_name=x"):
        url = f"postgresql://postgres:{quoted}@127.0.0.1:{postgres_server.port}/{tail}"
        roster = SqlRoster(ProvisioningSettings(url=url))
        with pytest.raises(StorageUnavailable) as caught:
            roster.load(ME)
        assert "password authentication failed" in str(caught.value)
        shown = "".join(traceback.format_exception(caught.value))
        for text in (shown, caplog.text, roster.name, repr(roster)):
            assert secret not in text
            assert quoted not in text
            assert "other-secret" not in text
        roster.close()


def test_what_a_driver_says_is_masked_cut_and_made_printable() -> None:
    said = sentence(OSError("user:pa/ss at \x1b[2J host " + "x" * 500 + "\nsecond line"), ["pa/ss"])
    assert said.startswith("user:*** at \\x1b[2J host xxx")
    assert len(said) == MAX_SHOWN_CHARS + 1
    assert sentence(UnicodeError(), []) == "UnicodeError"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense:s3cret", "is not a database URL"),
        ("", "is not a database URL"),
        ("postgresql://u:s3cret@h:port/db", "is not a database URL"),
        ("oracle://u:s3cret@h/db", "begins with 'oracle'"),
        ("postgresql+asyncpg://u:s3cret@h/db", "begins with 'postgresql+asyncpg'"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite:///nodes.db?mode=ro", "without options"),
        ("sqlite://nodes.db", "must name a file"),
    ],
)
def test_a_url_that_can_never_work_is_misuse(url: str, said: str) -> None:
    with pytest.raises(Misuse) as caught:
        SqlRoster(ProvisioningSettings(url=url))
    assert said in str(caught.value)
    assert "sqlite:///" in str(caught.value)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("scheme", "module", "extra"),
    [("postgres", "psycopg", "postgres"), ("mysql", "pymysql", "mysql")],
)
def test_a_missing_driver_says_what_to_install(
    scheme: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Misuse, match=rf"pip install 'tagmesh\[{extra}\]'"):
        SqlRoster(ProvisioningSettings(url=f"{scheme}://u@h/db"))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///nodes.db", "sqlite:///nodes.db (clusterer)"),
        ("sqlite:////var/lib/n.db", "sqlite:////var/lib/n.db (clusterer)"),
        ("postgres://ops:pw@db/opensips", "postgresql://ops:***@db/opensips (clusterer)"),
        ("mysql://ops:pw@db:3307/opensips", "mysql://ops:***@db:3307/opensips (clusterer)"),
        ("mysql://db/o?ssl_key=/k&read_default_file=x", "mysql://db/o (clusterer)"),
    ],
)
def test_names_say_where_without_secrets(url: str, name: str) -> None:
    assert SqlRoster(ProvisioningSettings(url=url)).name == name


def test_two_columns_of_one_name_are_misuse() -> None:
    with pytest.raises(Misuse, match="two columns the same name"):
        SqlRoster(ProvisioningSettings(columns={"url": "state"}))
