"""Commands on several nodes, over real links: one row of each, and the words of OpenSIPS."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tagmesh import LocalCluster, Node
from tagmesh.control import mi
from tagmesh.control.command import CommandError
from tagmesh.control.commands import COMMANDS
from tagmesh.control.commands_remote import select
from tagmesh.control.remote import MAX_KEY_CHARS
from tagmesh.control.workspace import Workspace
from tagmesh.storage.audit_table import SqlAudit
from tests.actors.leftovers import nothing_stays, until
from tests.control.fake_node import make_status

SLOW_S = 2.0


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Node]]:
    """Node 3 lets node 1 do everything, node 2 only look."""
    space = Workspace(tmp_path_factory.mktemp("remote"), 3, admin=False, names="node")
    _append(space.config(3), 'remote_nodes = ["1=operator"]')
    with nothing_stays():
        made = {number: Node.from_config(space.config(number)) for number in (1, 2, 3)}
        for node in made.values():
            node.start()
        for node in made.values():
            node.until(lambda s: all(p.connected for p in s.clusters[0].peers))
            until(lambda node=node: len(_able(node)) == 2)  # type: ignore[misc]  # bound now
        yield made
        for node in made.values():
            node.stop()


def _append(config: Path, line: str) -> None:
    config.write_text(config.read_text().replace('http = ""', f'http = ""\n{line}'))


def _able(node: Node) -> list[int]:
    peers = node.status().clusters[0].peers
    return [p.node_id for p in peers if "tagmesh-commands" in [c.name for c in p.capabilities]]


def run(node: Node, method: str, **params: Any) -> Any:
    request = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
    reply = json.loads(mi.handle(json.dumps(request).encode(), COMMANDS, node) or b"")
    if "error" in reply:
        return (reply["error"]["code"], reply["error"]["message"], reply["error"].get("data", ""))
    return reply["result"]


def call(node: Node, command: str, params: list[Any] | None = None, **more: Any) -> list[Any]:
    given = {"cluster_id": 1, "cmd_name": command, "cmd_params": params or [], **more}
    rows: list[Any] = run(node, "cluster_call", **given)["Nodes"]
    return rows


def test_one_answer_of_each_node(nodes: dict[int, Node]) -> None:
    rows = call(nodes[1], "uptime")
    assert [(row["node_id"], row["status"]) for row in rows] == [(1, "ok"), (2, "ok"), (3, "ok")]
    assert all("Up since" in row["result"] and 0 <= row["seconds"] < SLOW_S for row in rows)


def test_each_node_judges_by_its_own_roles(nodes: dict[int, Node]) -> None:
    key = "once"
    params = [1, "tagmesh-requests", 1]
    rows = call(nodes[1], "clusterer_set_cap_status", params, nodes="2,3", timeout="5s", key=key)
    assert [row["status"] for row in rows] == ["error", "ok"]
    assert "node 1 is observer here" in rows[0]["error"]["data"]
    settings = nodes[1].config.provisioning
    table = SqlAudit(settings)
    until(lambda: len([e for e in table.newest(100) if e.who == "node 1"]) == 2)
    kept = {(e.node_id, e.who, e.command, e.outcome[:7]) for e in table.newest(100)}
    assert (3, "node 1", "clusterer_set_cap_status", "OK") in kept
    assert (2, "node 1", "clusterer_set_cap_status", "refused") in kept


def test_opensips_words_for_one_node(nodes: dict[int, Node]) -> None:
    def send(destination: int, cluster: int = 1) -> Any:
        return run(
            nodes[1], "cluster_send_mi",
            cluster_id=cluster, destination=destination, cmd_name="uptime",
        )  # fmt: skip

    assert send(2) == "OK"
    assert send(1)[:2] == (400, "Local node specified as destination")
    assert send(9)[:2] == (400, "Destination down")
    assert send(2, cluster=9)[:2] == (404, "Cluster id not found")


def test_a_broadcast_runs_here_too_and_has_the_result_of_here(nodes: dict[int, Node]) -> None:
    def broadcast(name: str, params: list[Any]) -> Any:
        return run(nodes[1], "cluster_broadcast_mi", cluster_id=1, cmd_name=name, cmd_params=params)

    assert broadcast("which", ["version"]) == [[]]
    assert broadcast("no_such_thing", [])[:2] == (400, "Command to be run not found")
    needs_names = "Commands requiring named params not supported"
    assert broadcast("cluster_call", [])[:2] == (400, needs_names)
    assert broadcast("which", ["nothing"])[:2] == (404, "unknown MI command")


def test_what_cannot_be_asked(nodes: dict[int, Node]) -> None:
    def wrong(**more: Any) -> Any:
        given = {"cluster_id": 1, "cmd_name": "uptime", "cmd_params": [], "nodes": "all"} | more
        return run(nodes[1], "cluster_call", **given)

    assert wrong(nodes="some")[1] == "Bad value for 'nodes'"
    assert wrong(nodes="1,9")[:2] == (404, "Node id not found")
    assert wrong(nodes="tag:none")[:2] == (404, "Tag not found")
    assert wrong(timeout="1 year")[1] == "Bad value for 'timeout'"
    assert wrong(timeout="1s", key="x" * (MAX_KEY_CHARS + 1))[1] == "Bad value for 'key'"
    assert wrong(cmd_name="cluster_call")[1] == "Bad value for 'cmd_name'"
    assert wrong(cluster_id=9)[:2] == (404, "Cluster id not found")
    bad = run(nodes[1], "cluster_call", cluster_id=1, cmd_name="uptime", cmd_params="x")
    assert bad[2] == "Bad type for parameter 'cmd_params'"


def test_nodes_that_are_away_have_a_row_with_the_reason() -> None:
    with nothing_stays(), LocalCluster(3) as lab:
        lab.kill(3)
        lab.wait_link(1, 3, "Down")
        rows = call(lab[1], "uptime")
        assert [row["status"] for row in rows] == ["ok", "ok", "absent"]
        assert rows[2]["reason"]
        assert rows[2]["seconds"] is None
        assert [row["node_id"] for row in call(lab[1], "uptime", nodes="reachable")] == [1, 2]


def test_a_node_that_does_not_answer_in_time_is_absent(nodes: dict[int, Node]) -> None:
    """Its handlers are all busy."""
    hold = [True]

    def busy() -> None:
        while hold[0]:
            time.sleep(0.01)

    for _ in range(20):
        nodes[2].handlers.run(busy)
    try:
        rows = call(nodes[1], "uptime", nodes="2", timeout="200ms")
    finally:
        hold[0] = False
    assert [row["status"] for row in rows] == ["absent"]
    assert "0.2 s" in rows[0]["reason"]
    until(lambda: call(nodes[1], "uptime", nodes="2")[0]["status"] == "ok")


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("all", [1, 2, 3, 4]),
        ("reachable", [1, 2, 3]),
        ("3,1", [1, 3]),
        ("tag:vip1", [1]),
        ("tag:vip2", [2]),
        ("cap:none", []),
    ],
)
def test_who_is_meant(selector: str, chosen: list[int]) -> None:
    status = make_status()
    assert select(status, status.clusters[0], selector) == chosen


def test_where_a_capability_is_ok() -> None:
    status = make_status()
    cluster = status.clusters[0]
    assert select(status, cluster, "cap:dialog-dlg-repl") == [1, 2]
    with pytest.raises(CommandError, match="one of all"):
        select(status, cluster, "cup:x")
