"""Starting where it cannot be: a clear sentence, an exit status, no traceback, nothing running."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tagmesh.control.ports import free_ports
from tagmesh.control.workspace import CLUSTER, Workspace
from tests.integration.process_cluster import ProcessCluster

AT_ONCE_S = 5.0
"""Far below boot_patience, with room for two busy cores; the work itself takes half a second."""


class Ended(NamedTuple):
    status: int
    stderr: str
    seconds: float


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, 2)


def run(config: Path, *command: str, **environ: str) -> Ended:
    """``tagmesh node run``, or another command, until it ends by itself."""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tagmesh", *(command or ("node", "run")), "-c", str(config)],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **environ},
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout == ""
    return Ended(done.returncode, done.stderr, time.monotonic() - begin)


def edit(config: Path, table: str, **values: str) -> None:
    """Set keys of a table; values as they stand in TOML."""
    lines = "".join(f"{key} = {value}\n" for key, value in values.items())
    text = config.read_text()
    assert f"[{table}]\n" in text or table in ("tls", "transport")
    for key in values:
        text = re.sub(rf"(?m)^{key} = .*\n", "", text)
    if f"[{table}]\n" not in text:
        text += f"[{table}]\n"
    config.write_text(text.replace(f"[{table}]\n", f"[{table}]\n{lines}"))


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process that writes and does not come to an end."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def test_without_a_row_of_its_own(space: Workspace) -> None:
    with closing(sqlite3.connect(space.folder / "nodes.db")) as database, database:
        database.execute("DELETE FROM clusterer WHERE node_id = 2")
    ended = run(space.config(2))
    assert ended.status == 4
    assert "node 2" in ended.stderr
    assert "tagmesh db add --cluster 1 --node 2" in ended.stderr
    assert ended.seconds < AT_ONCE_S


def test_with_a_row_of_its_own_that_cannot_be_used(space: Workspace) -> None:
    with closing(sqlite3.connect(space.folder / "nodes.db")) as database, database:
        database.execute("UPDATE clusterer SET url = 'nonsense' WHERE node_id = 2")
    ended = run(space.config(2))
    assert ended.status == 4
    assert "nonsense" in ended.stderr
    assert ended.seconds < AT_ONCE_S


def test_without_the_database(space: Workspace) -> None:
    (space.folder / "nodes.db").unlink()
    ended = run(space.config(1))
    assert ended.status == 1
    assert "there is no such file" in ended.stderr
    assert "tagmesh db init" in ended.stderr
    assert ended.seconds < AT_ONCE_S
    assert not (space.folder / "nodes.db").exists()


def test_without_the_table(space: Workspace) -> None:
    with closing(sqlite3.connect(space.folder / "nodes.db")) as database, database:
        database.execute("DROP TABLE clusterer")
    ended = run(space.config(1))
    assert ended.status == 1
    assert "no such table: clusterer" in ended.stderr
    assert "tagmesh db init" in ended.stderr
    assert ended.seconds < AT_ONCE_S


def test_with_a_file_that_is_no_database(space: Workspace) -> None:
    (space.folder / "nodes.db").write_bytes(b"Dear diary, " * 1000)
    ended = run(space.config(1))
    assert ended.status == 1
    assert "not a database" in ended.stderr
    assert ended.seconds < AT_ONCE_S


def test_a_locked_database_is_tried_for_boot_patience(space: Workspace) -> None:
    patience = {
        "TAGMESH_PROVISIONING_BOOT_PATIENCE": "1s",
        "TAGMESH_PROVISIONING_QUERY_TIMEOUT": "100ms",
    }
    with locked(space.folder / "nodes.db"):
        ended = run(space.config(1), **patience)
    assert ended.status == 1
    assert "lock" in ended.stderr.splitlines()[-1]
    assert ended.seconds >= 1.0
    assert ended.stderr.count("trying again") >= 2


def test_a_database_that_is_unlocked_in_time_is_used(tmp_path: Path) -> None:
    with ProcessCluster(tmp_path, 2) as cluster:
        with locked(tmp_path / "nodes.db"):
            cluster.start()
            cluster.until(lambda: "trying again" in cluster.log(1).read_text(), 15)
        cluster.until(cluster.all_up, 15)


FIVE_MISTAKES = """
[node]
id = 0
descripton = "x"
[provisioning]
mode = "file"
[transport]
half_open = "many"
[[cluster]]
id = 1
ping_intervall = "1s"
"""


@pytest.mark.parametrize("command", [("node", "run"), ("config", "check")], ids=" ".join)
def test_five_mistakes_are_told_at_once(tmp_path: Path, command: tuple[str, str]) -> None:
    config = tmp_path / "tagmesh.toml"
    config.write_text(FIVE_MISTAKES)
    ended = run(config, *command)
    assert ended.status == 2
    first, *mistakes = ended.stderr.splitlines()
    assert first == f"Error: {config}: 5 mistakes"
    assert [line.split(":")[0].strip() for line in mistakes] == [
        "[node] descripton",
        "[node] id",
        "[provisioning] mode",
        "[transport] half_open",
        "[cluster #1] ping_intervall",
    ]
    assert all("allowed: " in line for line in mistakes)
    assert "did you mean 'description'?" in mistakes[0]
    assert "1 … 2147483647" in mistakes[1]
    assert '"database" | "static"' in mistakes[2]
    assert "1 … 65536" in mistakes[3]
    assert "did you mean 'ping_interval'?" in mistakes[4]


def test_an_address_in_use(space: Workspace) -> None:
    host, _, port = space.urls[1].removeprefix("bins:").rpartition(":")
    with socket.create_server((host, int(port))):
        ended = run(space.config(1))
    assert ended.status == 2
    assert f"cannot listen at {space.urls[1]}: the address is in use" in ended.stderr


def test_a_management_address_in_use(space: Workspace) -> None:
    host, _, port = space.admin[1].rpartition(":")
    with socket.create_server((host, int(port))):
        ended = run(space.config(1))
    assert ended.status == 2
    assert space.admin[1] in ended.stderr
    assert "cannot listen there" in ended.stderr


def test_a_key_that_others_may_read(space: Workspace) -> None:
    key = space.config(1).parent / "tls" / "node.key"
    key.chmod(0o644)
    ended = run(space.config(1))
    assert ended.status == 2
    assert "others may read it (mode 0644)" in ended.stderr
    assert f"chmod 600 {key}" in ended.stderr


def test_the_certificate_of_another_node(space: Workspace) -> None:
    other = space.config(2).parent / "tls"
    edit(
        space.config(1),
        "tls",
        certificate=f'"{other / "node.crt"}"',
        private_key=f'"{other / "node.key"}"',
    )
    ended = run(space.config(1))
    assert ended.status == 2
    assert "spiffe://tagmesh/node/1" in ended.stderr
    assert "spiffe://tagmesh/node/2" in ended.stderr


def test_a_state_folder_that_cannot_be_written(space: Workspace) -> None:
    (space.folder / "file").touch()
    edit(space.config(1), "node", state_dir=f'"{space.folder / "file" / "state"}"')
    ended = run(space.config(1))
    assert ended.status == 2
    assert "state_dir" in ended.stderr


def test_a_second_process_with_the_same_id_is_refused(tmp_path: Path) -> None:
    """It says so, and the first one keeps its links."""
    with ProcessCluster(tmp_path, 2) as cluster:
        cluster.start()
        cluster.until(cluster.all_up, 30)
        listen, admin = free_ports(2)
        copy = cluster.space.folder / "node-3"
        shutil.copytree(cluster.space.folder / "node-2", copy)
        config = copy / "tagmesh.toml"
        edit(config, "node", listen=f'"bins:127.0.0.1:{listen}"')
        edit(config, "admin", http=f'"127.0.0.1:{admin}"')
        cluster.space.admin[3] = f"127.0.0.1:{admin}"
        cluster.start(3)

        refused = ("outgoing", "them", "duplicate_id")

        def told() -> bool:
            if not cluster.listening(3):
                return False
            return refused in {(r.direction, r.by, r.reason) for r in cluster.status(3).refusals}

        cluster.until(told, 15)
        assert cluster.peer(3, 1).why == "refused: duplicate_id"
        assert "duplicate_id" in cluster.log(3).read_text()
        assert ("incoming", "us", "duplicate_id") in {
            (r.direction, r.by, r.reason) for r in cluster.status(1).refusals
        }
        assert cluster.peer(1, 2).link == "Up"
        assert cluster.peer(2, 1).link == "Up"
        for node in (1, 2):
            assert "node_down" not in cluster.log(node).read_text()
            assert "Up>" not in cluster.log(node).read_text()
        assert cluster.status(1).clusters[0].cluster_id == CLUSTER
