"""``tagmesh ctl call`` against a hand-made node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tagmesh.control.cli import root
from tagmesh.control.cli_call import MAX_ANSWER_CHARS
from tagmesh.control.client import MiClient
from tests.control.fake_node import FakeNode, served

ROWS: list[dict[str, Any]] = [
    {"node_id": 1, "status": "ok", "result": {"Server": "x" * 500}, "seconds": 0.0},
    {"node_id": 2, "status": "ok", "result": "OK", "seconds": 0.0123},
    {
        "node_id": 3,
        "status": "error",
        "error": {"code": 403, "message": "Not allowed", "data": "node 1 is observer here"},
        "seconds": 0.5,
    },
    {"node_id": 4, "status": "absent", "reason": "link Down\x1b[2J, no route", "seconds": None},
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the instance was asked; it answers with the rows."""
    calls: list[Any] = []

    def call(self: MiClient, method: str, params: Any = ()) -> Any:
        calls.append((method, params))
        return {"cluster_id": 1, "cmd_name": "x", "key": "k", "Nodes": ROWS}

    with served(FakeNode()) as url:
        monkeypatch.setenv("TAGMESH_URL", url)
        monkeypatch.setattr(MiClient, "call", call)
        yield calls


def ctl(*args: str) -> Result:
    return CliRunner().invoke(root, ["ctl", *args], prog_name="tagmesh")


def test_a_row_for_each_node_and_the_exit_status_of_the_worst(asked: list[Any]) -> None:
    done = ctl("call", "clusterer_set_cap_status", "1", "users", "0", "--timeout", "2s")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["Node", "Answer", "Seconds", "What", "it", "said"]
    assert lines[1].endswith("…")
    assert len(lines[1]) < MAX_ANSWER_CHARS + 40
    assert lines[2].split() == ["2", "ok", "0.012", "OK"]
    assert lines[3].endswith("403 Not allowed: node 1 is observer here")
    assert lines[4].split(maxsplit=3) == ["4", "absent", "-", "link Down\\x1b[2J, no route"]
    assert asked == [
        (
            "cluster_call",
            {
                "cluster_id": 1,
                "cmd_name": "clusterer_set_cap_status",
                "cmd_params": ["1", "users", "0"],
                "nodes": "all",
                "timeout": "2s",
                "key": "",
            },
        )
    ]


def test_all_of_it_for_programs(asked: list[Any]) -> None:
    done = ctl("call", "uptime", "--nodes", "tag:vip1", "--cluster", "7", "-o", "json")
    assert json.loads(done.stdout)["Nodes"] == ROWS
    assert (asked[0][1]["nodes"], asked[0][1]["cluster_id"]) == ("tag:vip1", 7)


def test_everybody_did_it(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROWS", ROWS[:2])
    assert ctl("call", "uptime").exit_code == 0
    assert len(asked) == 1
