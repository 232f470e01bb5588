"""What an OpenSIPS operator types, works: the real opensips-cli, over every transport it has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tagmesh.control.commands import TABLE
from tagmesh.control.datagram import DatagramServer
from tagmesh.control.fifo import FifoServer
from tests.control.fake_node import FakeNode, in_a_hub, served
from tests.integration.opensips_cli import OpenSipsCli
from tests.integration.terminal import CLEAR_LINE, TAB

NODE_KEYS = ["node_id", "db_id", "url", "link_state", "state", "next_hop", "description"]


@contextlib.contextmanager
def over(transport: str, node: FakeNode, home: Path) -> Iterator[OpenSipsCli]:
    """The program, told to reach ``node`` that way."""
    if transport == "http":
        with served(node) as url:
            yield OpenSipsCli(home, communication_type="http", url=f"{url}/mi")
    elif transport == "fifo":
        path = home / "mi.fifo"
        with in_a_hub(lambda: FifoServer(node, str(path), str(home))):
            yield OpenSipsCli(home, communication_type="fifo", fifo_file=path, fifo_reply_dir=home)
    elif transport == "udp":
        with in_a_hub(lambda: DatagramServer(node, "udp:127.0.0.1:0")) as server:
            port = server.address.rpartition(":")[2]
            yield OpenSipsCli(
                home, communication_type="datagram", datagram_port=port, datagram_timeout=10
            )
    else:
        path = home / "mi.sock"
        with in_a_hub(lambda: DatagramServer(node, f"unix:{path}")):
            yield OpenSipsCli(
                home,
                communication_type="datagram",
                datagram_unix_socket=path,
                datagram_timeout=10,
            )


@pytest.fixture(scope="module")
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture(scope="module", params=["http", "fifo", "udp", "unix"])
def cli(
    node: FakeNode, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[OpenSipsCli]:
    with over(request.param, node, tmp_path_factory.mktemp("home")) as program:
        yield program


def test_clusterer_list(cli: OpenSipsCli) -> None:
    (cluster,) = cli.mi("clusterer_list")["Clusters"]
    assert cluster["cluster_id"] == 1
    assert [list(listed) for listed in cluster["Nodes"]] == [NODE_KEYS, NODE_KEYS]
    assert [(n["node_id"], n["link_state"], n["next_hop"]) for n in cluster["Nodes"]] == [
        (2, "Up", "2"),
        (3, "Down", "2"),
    ]


def test_clusterer_list_topology(cli: OpenSipsCli) -> None:
    (cluster,) = cli.mi("clusterer_list_topology")["Clusters"]
    assert cluster["Nodes"][0] == {"node_id": 1, "Neighbours": [2]}


def test_which_in_both_forms_and_by_name(cli: OpenSipsCli) -> None:
    assert cli.mi("which") == list(TABLE)
    assert cli.mi("which", "help") == [[], ["mi_cmd"]]
    assert cli.mi("which", "command=help") == [[], ["mi_cmd"]]


def test_help_version_and_uptime(cli: OpenSipsCli) -> None:
    assert cli.mi("help", "clusterer_list")["Exported by"] == "clusterer"
    assert cli.mi("version")["Server"].startswith("tagmesh (")
    assert set(cli.mi("uptime")) == {"Now", "Up since", "Up time"}


def test_numbers_typed_on_the_command_line_are_numbers(cli: OpenSipsCli, node: FakeNode) -> None:
    node.switched.clear()
    assert cli.mi("tagmesh_cut", "3") == "OK"
    assert cli.mi("tagmesh_heal", "node_id=3") == "OK"
    assert cli.mi("-j", "tagmesh_cut", "2") == "OK"
    assert node.switched == [("cut", 3), ("heal", 3), ("cut", 2)]


@pytest.mark.parametrize("cli", ["http"], indirect=True)
def test_panels_ask_for_statistics_and_reports(cli: OpenSipsCli) -> None:
    assert cli.mi("get_statistics", "clusterer_nodes") == {"clusterer:clusterer_nodes": 2}
    assert set(cli.mi("list_statistics").values()) == {"non-incremental"}
    assert [g["Name"] for g in cli.mi("sr_list_status")] == ["core", "clusterer"]
    done = cli.run("mi", "get_statistics", "rcv_requests")
    assert "404: Statistics Not Found" in done.stdout + done.stderr


@pytest.mark.parametrize("cli", ["http"], indirect=True)
def test_the_names_of_4_0(cli: OpenSipsCli) -> None:
    assert cli.mi("clusterer:list") == cli.mi("clusterer_list")
    assert cli.mi("statistics:get", "clusterer_nodes") == {"clusterer:clusterer_nodes": 2}


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["clusterer_fly"], "no command 'clusterer_fly' in module 'mi'"),
        (["which", "a", "b"], "-32602: Invalid params (Too few or too many parameters)"),
        (["which", "cmd=a"], "-32602: Invalid params (Named parameters do not match)"),
        (["tagmesh_cut", "x"], "-32602: Invalid params (Bad type for parameter 'node_id')"),
        (["help", "clusterer_fly"], "404: unknown MI command"),
        (["tagmesh_trace", "9", "2"], "404: Cluster id not found"),
    ],
)
def test_mistakes_are_told(cli: OpenSipsCli, command: list[str], text: str) -> None:
    done = cli.run("mi", *command)
    assert done.returncode != 0
    assert text in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_tab_key_completes_commands_and_parameters(node: FakeNode, tmp_path: Path) -> None:
    with (
        served(node) as url,
        OpenSipsCli(tmp_path, communication_type="http", url=f"{url}/mi").interactive() as person,
    ):
        person.expect_exact("(opensips-cli): ")
        person.send(f"mi clusterer_list_to{TAB}")
        person.expect_exact("mi clusterer_list_topology ")
        person.send("\r")
        person.expect_exact('"Neighbours"')
        person.expect_exact("(opensips-cli): ")
        person.send(f"mi clusterer_s{TAB}{TAB}")
        person.expect(r"clusterer_set_cap_status\s+clusterer_set_status|"
                      r"clusterer_set_cap_status\s+clusterer_shtag_set_active")  # fmt: skip
        person.send(f"{CLEAR_LINE}mi clusterer_set_cap_status {TAB}{TAB}")
        person.expect(r"capability=\s+cluster_id=\s+status=\s")
        person.send(f"{CLEAR_LINE}mi clusterer_set_cap_status cluster_id=1 {TAB}{TAB}")
        person.expect(r"[^=]\s+capability=\s+status=\s")
        person.send(f"{CLEAR_LINE}mi evi:subscribers{TAB}\r")
        person.expect_exact('"Events": []')
        person.send("exit\r")
        person.expect(pexpect.EOF)
