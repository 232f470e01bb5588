"""One empty database per test, on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from tagmesh.protocol.config import ProvisioningSettings
from tagmesh.protocol.identity import BinsUrl, ClusterId, NodeId, NodeRecord
from tagmesh.storage import Provisioning, SqlRoster, SqlTagStore
from tests.storage.tag_race import PROCESSES

if TYPE_CHECKING:
    from tests.servers import MariaDbServer, PostgresServer


@dataclasses.dataclass(frozen=True)
class Storage:
    """A database, reached beside tagmesh by ``engine`` to prepare and to look at it."""

    kind: str
    settings: ProvisioningSettings
    engine: sa.Engine

    def run(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def scalar(self, statement: str) -> Any:
        with self.engine.begin() as connection:
            return connection.execute(sa.text(statement)).scalar()

    def loose(self, **kinds: str) -> None:
        """A table ``clusterer`` as somebody's own script may make it: no key, anything NULL."""
        columns = dict.fromkeys(
            ("id", "cluster_id", "node_id", "state", "no_ping_retries", "priority"), "BIGINT"
        ) | dict.fromkeys(("url", "sip_addr", "flags", "description"), "TEXT")
        body = ", ".join(f"{name} {kind}" for name, kind in (columns | kinds).items())
        self.run(f"CREATE TABLE clusterer ({body})")

    def insert(self, **values: Any) -> None:
        """A good row of node 2 in cluster 1, except for ``values``."""
        row = {
            "id": 2, "cluster_id": 1, "node_id": 2, "url": "bins:127.0.0.1:5002", "state": 1,
            "no_ping_retries": 3, "priority": 50, "sip_addr": None, "flags": None,
            "description": None,
        } | values  # fmt: skip
        table = sa.table("clusterer", *map(sa.column, row))
        with self.engine.begin() as connection:
            connection.execute(table.insert().values(row))

    @contextmanager
    def roster(self, **changes: Any) -> Iterator[SqlRoster]:
        roster = SqlRoster(dataclasses.replace(self.settings, **changes))
        try:
            yield roster
        finally:
            roster.close()

    @contextmanager
    def provisioning(self, **changes: Any) -> Iterator[Provisioning]:
        provisioning = Provisioning(dataclasses.replace(self.settings, **changes))
        try:
            yield provisioning
        finally:
            provisioning.close()

    @contextmanager
    def tags(self, **changes: Any) -> Iterator[SqlTagStore]:
        tags = SqlTagStore(dataclasses.replace(self.settings, **changes))
        try:
            yield tags
        finally:
            tags.close()

    @staticmethod
    def node(node: int, cluster: int = 1, **changes: Any) -> NodeRecord:
        """A row as `Provisioning.add` takes it."""
        values = {"url": BinsUrl("127.0.0.1", 5000 + node)} | changes
        return NodeRecord(cluster_id=ClusterId(cluster), node_id=NodeId(node), **values)

    def init(self, *records: NodeRecord) -> None:
        with self.provisioning() as provisioning:
            provisioning.init()
            for record in records:
                provisioning.add(record)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another connection keeps everybody from reading ``clusterer``."""
        with self.engine.connect() as connection:
            if self.kind == "sqlite":
                connection.exec_driver_sql("BEGIN EXCLUSIVE")
            elif self.kind == "postgresql":
                connection.exec_driver_sql("LOCK TABLE clusterer IN ACCESS EXCLUSIVE MODE")
            else:
                connection.exec_driver_sql("LOCK TABLES clusterer WRITE")
            yield
            connection.rollback()


@pytest.fixture
def sqlite_storage(tmp_path: Path) -> Iterator[Storage]:
    path = tmp_path / "nodes.db"
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=NullPool)
    settings = ProvisioningSettings(url=f"sqlite:///{path}", query_timeout_s=2.0)
    yield Storage("sqlite", settings, engine)
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_engine(postgres_server: PostgresServer) -> sa.Engine:
    url = postgres_server.socket_url.replace("postgresql:", "postgresql+psycopg:")
    return sa.create_engine(url, poolclass=NullPool)


@pytest.fixture
def postgres_storage(postgres_server: PostgresServer, postgres_engine: sa.Engine) -> Storage:
    postgres_server.empty()
    return Storage(
        "postgresql", ProvisioningSettings(url=postgres_server.socket_url), postgres_engine
    )


@pytest.fixture(scope="session")
def mariadb_engine(mariadb_server: MariaDbServer) -> sa.Engine:
    url = mariadb_server.url.replace("mysql:", "mysql+pymysql:")
    return sa.create_engine(url, poolclass=NullPool)


@pytest.fixture
def mariadb_storage(mariadb_server: MariaDbServer, mariadb_engine: sa.Engine) -> Storage:
    mariadb_server.empty()
    return Storage("mariadb", ProvisioningSettings(url=mariadb_server.url), mariadb_engine)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def storage(request: pytest.FixtureRequest) -> Storage:
    """The same tests on each."""
    found = request.getfixturevalue(f"{request.param}_storage")
    assert isinstance(found, Storage)
    return found


@pytest.fixture
def tags(storage: Storage) -> Iterator[SqlTagStore]:
    """The table, empty, on each kind of database; the nodes that use it are provisioned."""
    nodes = itertools.product((1, 2), range(1, PROCESSES + 1))
    storage.init(*(storage.node(node, cluster) for cluster, node in nodes))
    with storage.tags() as tags:
        yield tags
