"""``tagmesh db`` on SQLite: who may join."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tagmesh.control.cli import root


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tagmesh.toml").write_text("[node]\nid = 1\n")
    return tmp_path


def db(*arguments: str) -> Result:
    return CliRunner().invoke(root, ["db", *arguments])


def add(node: int, *more: str) -> Result:
    url = f"bins:10.0.0.{node}:5556"
    return db("add", "--cluster", "1", "--node", str(node), "--url", url, *more)


def test_the_documented_way(folder: Path) -> None:
    done = db("init")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"sqlite:///{folder}/nodes.db (clusterer): created ")
    assert db("init").stdout == f"sqlite:///{folder}/nodes.db (clusterer): nothing to do\n"
    done = add(1, "--description", "Node A", "--flags", "seed")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "added node 1 to cluster 1 at bins:10.0.0.1:5556\n"
    add(2, "--disabled", "--priority", "7", "--ping-retries", "0", "--sip-addr", "sip:b")
    lines = db("list").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["CLUSTER", "NODE", "URL", "STATE", "PING", "RETRIES", "PRIORITY", "SIP", "ADDR", "FLAGS",
         "DESCRIPTION"],
        ["1", "1", "bins:10.0.0.1:5556", "enabled", "3", "50", "-", "seed", "Node", "A"],
        ["1", "2", "bins:10.0.0.2:5556", "disabled", "0", "7", "sip:b", "-", "-"],
    ]  # fmt: skip
    done = db("rm", "--cluster", "1", "--node", "1")
    assert (done.exit_code, done.stdout) == (0, "removed node 1 from cluster 1\n")
    assert len(db("list").stdout.splitlines()) == 2


def test_the_list_for_programs(folder: Path) -> None:
    db("init")
    add(1)
    db("add", "--cluster", "2", "--node", "1", "--url", "bins:a")
    listed = json.loads(db("list", "-o", "json", "--cluster", "2").stdout)
    assert listed == {
        "nodes": [
            {
                "cluster": 2, "node": 1, "url": "bins:a:5556", "state": "enabled",
                "ping_retries": 3, "priority": 50, "sip_addr": None, "flags": None,
                "description": None,
            }
        ],
        "invalid": [],
    }  # fmt: skip
    assert len(json.loads(db("list", "-o", "json").stdout)["nodes"]) == 2


def test_a_row_that_cannot_be_used_is_named(folder: Path) -> None:
    """D-5; what somebody wrote into it cannot control the terminal."""
    db("init")
    add(1)
    with closing(sqlite3.connect(folder / "nodes.db")) as connection:
        connection.execute(
            "INSERT INTO clusterer (cluster_id, node_id, url) VALUES (1, 2, 'tcp:x\x1b[31m')"
        )
        connection.commit()
    done = db("list")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.startswith("row 2 cannot be used: ")
    assert "\x1b" not in done.output
    (bad,) = json.loads(db("list", "-o", "json").stdout)["invalid"]
    assert (bad["id"], bad["cluster"], bad["node"]) == (2, 1, 2)
    assert db("rm", "--cluster", "1", "--node", "2").exit_code == 0


def test_the_check_names_each_difference(folder: Path) -> None:
    db("init")
    done = db("check")
    assert (done.exit_code, done.stdout) == (0, f"sqlite:///{folder}/nodes.db (clusterer): OK\n")
    with closing(sqlite3.connect(folder / "nodes.db")) as connection:
        connection.execute("DROP TABLE cluster_tags")
        connection.execute("UPDATE version SET table_version = 3")
        connection.commit()
    done = db("check")
    assert (done.exit_code, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        "table cluster_tags is missing; create it with `tagmesh db init`",
        "table version says 3 for clusterer; 4 is needed",
    ]
    with closing(sqlite3.connect(folder / "nodes.db")) as connection:
        connection.execute("UPDATE version SET table_version = 4")
        connection.commit()
    assert db("init").stdout.endswith(": created cluster_tags\n")
    assert db("check").exit_code == 0


@pytest.mark.parametrize("command", ["list", "add", "check"])
def test_without_a_database_the_next_step_is_named(folder: Path, command: str) -> None:
    done = add(1) if command == "add" else db(command)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "create it with `tagmesh db init`" in done.stderr
    assert not (folder / "nodes.db").exists()


def test_a_node_that_is_there_already(folder: Path) -> None:
    db("init")
    add(1)
    done = add(1)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "Error: node 1 is in cluster 1 already\n"


def test_removing_what_is_not_there_is_status_3(folder: Path) -> None:
    db("init")
    done = db("rm", "--cluster", "1", "--node", "9")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "there is no node 9 in cluster 1" in done.stderr


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--url", "bin:10.0.0.1"], "tagmesh links are always TLS"),
        (["--url", "bins://10.0.0.1"], "without //"),
        (["--url", "bins:10.0.0.1:0"], "port '0' is not a number in 1 … 65535"),
        (["--node", "0"], "0 is not in the range"),
        (["--cluster", "2147483648"], "is not in the range"),
        (["--ping-retries", "-1"], "-1 is not in the range"),
        (["--description", "x" * 65], "description must be at most 64 printable characters"),
        (["--descripton", "x"], "No such option"),
    ],
)
def test_wrong_input_says_what_is_wrong(folder: Path, more: list[str], says: str) -> None:
    db("init")
    done = add(1, *more)
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(json.loads(db("list", "-o", "json").stdout)["nodes"]) == 0


def test_static_mode_has_no_database(folder: Path) -> None:
    (folder / "tagmesh.toml").write_text(
        '[node]\nid = 1\n[provisioning]\nmode = "static"\n'
        '[[cluster]]\nid = 1\nme = { url = "bins:a" }\n'
    )
    done = db("init")
    assert (done.exit_code, done.stdout) == (2, "")
    assert 'mode = "static"' in done.stderr
    assert not (folder / "nodes.db").exists()
