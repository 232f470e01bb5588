"""A running cluster whose database is bad, locked, gone or silent goes on as it was (J-3, P19)."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tagmesh.control.configfile import load_config
from tagmesh.protocol.config import ProvisioningSettings
from tagmesh.storage import Provisioning
from tests.integration.process_cluster import CALM_POLL_S, ProcessCluster
from tests.integration.stranger import row

if TYPE_CHECKING:
    from tests.servers import PostgresServer

REFRESH = {
    "TAGMESH_PROVISIONING_REFRESH_INTERVAL": "200ms",
    "TAGMESH_PROVISIONING_QUERY_TIMEOUT": "500ms",
}
SEEN_S = 5.0
"""A refresh and a query timeout, with room for two busy cores."""
CALM_RTT_S = 0.25
"""A hub that waits for the database answers pings only after its query_timeout."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with ProcessCluster(folder, 2, environ=REFRESH, poll_s=CALM_POLL_S) as running:
        running.start()
        running.until(running.all_up, 30)
        yield running


def errors(cluster: ProcessCluster) -> list[str | None]:
    return [cluster.status(node).roster_error for node in cluster.processes]


def link_events(cluster: ProcessCluster) -> list[str]:
    lines = [line for n in cluster.processes for line in cluster.log(n).read_text().splitlines()]
    return [line for line in lines if ": link_changed" in line or ": node_" in line]


def in_trouble(cluster: ProcessCluster, text: str) -> None:
    """Both nodes show the error, and nothing else changes."""
    before = link_events(cluster)
    cluster.until(lambda: all(text in (error or "") for error in errors(cluster)), SEEN_S)
    stays_calm(cluster, 1.5)
    assert all(text in (error or "") for error in errors(cluster))
    assert link_events(cluster) == before


def stays_calm(cluster: ProcessCluster, seconds: float) -> None:
    """Links are Up all the time, with quick answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert cluster.all_up()
        rtts = [p.rtt_s for n in cluster.processes for p in cluster.status(n).clusters[0].peers]
        assert all(rtt is not None and rtt < CALM_RTT_S for rtt in rtts), rtts
        time.sleep(CALM_POLL_S)


def recovered(cluster: ProcessCluster) -> None:
    cluster.until(lambda: errors(cluster) == [None] * len(cluster.processes), SEEN_S)
    for node in cluster.processes:
        assert "storage answers again" in cluster.log(node).read_text()
        assert "Traceback" not in cluster.log(node).read_text()
    assert cluster.all_up()


def test_the_file_is_removed_and_comes_back(cluster: ProcessCluster) -> None:
    database = cluster.space.folder / "nodes.db"
    aside = database.with_suffix(".aside")
    database.rename(aside)
    try:
        in_trouble(cluster, "there is no such file")
        assert not database.exists()
    finally:
        aside.rename(database)
    recovered(cluster)


def test_the_file_is_locked_and_unlocked(cluster: ProcessCluster) -> None:
    with closing(sqlite3.connect(cluster.space.folder / "nodes.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        in_trouble(cluster, "lock")
        other.execute("ROLLBACK")
    recovered(cluster)


def test_the_table_is_dropped_and_comes_back(cluster: ProcessCluster) -> None:
    """No table is trouble, not an empty roster."""
    with closing(sqlite3.connect(cluster.space.folder / "nodes.db")) as database:
        with database:
            database.execute("ALTER TABLE clusterer RENAME TO aside")
        in_trouble(cluster, "no such table")
        with database:
            database.execute("ALTER TABLE aside RENAME TO clusterer")
    recovered(cluster)


def test_a_bad_row_of_another_node_is_skipped_and_shown(tmp_path: Path) -> None:
    with ProcessCluster(tmp_path, 3, environ=REFRESH, poll_s=CALM_POLL_S) as cluster:
        with closing(sqlite3.connect(tmp_path / "nodes.db")) as database, database:
            database.execute("UPDATE clusterer SET url = 'nonsense' WHERE node_id = 3")
        cluster.start(1, 2)
        cluster.until(cluster.all_up, 30)
        for node in (1, 2):
            (shown,) = cluster.status(node).invalid_rows
            assert "node 3" in shown
            assert "nonsense" in shown
        with closing(sqlite3.connect(tmp_path / "nodes.db")) as database, database:
            url = cluster.space.urls[3]
            database.execute("UPDATE clusterer SET url = ? WHERE node_id = 3", (url,))
        cluster.until(lambda: cluster.status(1).invalid_rows == [], SEEN_S)
        cluster.start(3)
        cluster.until(cluster.all_up, 15)


@pytest.fixture(scope="module")
def on_postgres(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProcessCluster]:
    """Two nodes that are provisioned in PostgreSQL."""
    url = {"TAGMESH_PROVISIONING_URL": postgres_server.url}
    folder = tmp_path_factory.mktemp("cluster")
    with ProcessCluster(folder, 2, environ=REFRESH | url, poll_s=CALM_POLL_S) as running:
        settings = load_config(running.space.config(1), url).provisioning
        (folder / "nodes.db").unlink()
        provision(settings, running.space.urls)
        running.start()
        running.until(running.all_up, 30)
        yield running


def provision(settings: ProvisioningSettings, urls: dict[int, str]) -> None:
    provisioning = Provisioning(settings)
    try:
        provisioning.init()
        for node, url in urls.items():
            provisioning.add(row(node, url))
    finally:
        provisioning.close()


@pytest.mark.postgres
def test_nodes_find_each_other_through_postgres(on_postgres: ProcessCluster) -> None:
    assert "postgresql://" in on_postgres.status(1).roster
    assert errors(on_postgres) == [None, None]


@pytest.mark.postgres
def test_postgres_stops_and_comes_back(
    on_postgres: ProcessCluster, postgres_server: PostgresServer
) -> None:
    postgres_server.stop()
    try:
        in_trouble(on_postgres, "postgresql://")
        stays_calm(on_postgres, 3)
    finally:
        postgres_server.start()
    recovered(on_postgres)
    for node in on_postgres.processes:
        assert postgres_server.password not in on_postgres.log(node).read_text()


@pytest.mark.postgres
def test_postgres_is_silent_and_answers_again(
    on_postgres: ProcessCluster, postgres_server: PostgresServer
) -> None:
    """Meanwhile a node can leave, and leaves at once."""
    postgres_server.freeze()
    try:
        in_trouble(on_postgres, "postgresql://")
        stays_calm(on_postgres, 3)
        on_postgres.signal(2, signal.SIGTERM)
        on_postgres.until(lambda: on_postgres.peer(1, 2).link == "Down", 1)
        assert on_postgres.processes[2].wait(5) == 0
    finally:
        postgres_server.thaw()
    on_postgres.start(2)
    on_postgres.until(on_postgres.all_up, 15)
    recovered(on_postgres)
