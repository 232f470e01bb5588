"""``ctl events``, ``wait`` and ``health``: output and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import msgspec
import pytest
from click.testing import CliRunner, Result

from tagmesh.control.cli import root
from tests.control.fake_node import STARTED_WALL_S, FakeNode, event, make_status, served
from tests.control.test_health import status as well


@pytest.fixture
def node() -> FakeNode:
    node = FakeNode()
    node.records = [event(1), event(2, cause="a\x1b[31m\nb")]
    return node


def ctl(url: str, *args: str) -> Result:
    return CliRunner().invoke(root, ["ctl", "--url", url, *args], prog_name="tagmesh")


def test_events_one_on_a_line_and_what_peers_wrote_escaped(url: str, node: FakeNode) -> None:
    result = ctl(url, "events")
    lines = result.stdout.splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    assert lines[0].endswith("node_down cluster 1 node 3: no pong for 2 s")
    assert lines[1].endswith(r"a\x1b[31m\nb")
    node.records = [event(9)]
    assert "8 earlier events are not kept" in ctl(url, "events").stderr


def test_events_as_json_and_after_a_place(url: str) -> None:
    page = json.loads(ctl(url, "events", "-o", "json").stdout)
    assert [e["sequence"] for e in page["events"]] == [1, 2]
    later = json.loads(ctl(url, "events", "-o", "json", "--after", page["next"]).stdout)
    assert later["events"] == []


def test_events_since_a_number_and_how_many_of_them_are_lost(url: str, node: FakeNode) -> None:
    node.records = [event(7), event(8), event(9)]
    page = json.loads(ctl(url, "events", "-o", "json", "--since", "8").stdout)
    assert ([e["sequence"] for e in page["events"]], page["lost"]) == ([9], 0)
    late = ctl(url, "events", "--since", "2")
    assert (len(late.stdout.splitlines()), late.stderr) == (
        3,
        "4 earlier events are not kept any more\n",
    )


def test_events_are_followed_each_once(url: str, node: FakeNode) -> None:
    program = [sys.executable, "-m", "tagmesh", "ctl", "--url", url, "events", "-f", "-o", "json"]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            first = [json.loads(process.stdout.readline())["sequence"] for _ in range(2)]
            node.records.append(event(3))
            assert [*first, json.loads(process.stdout.readline())["sequence"]] == [1, 2, 3]
        finally:
            process.terminate()


@pytest.mark.parametrize(
    "args",
    [[], ["--ready"], ["--node", "2"], ["--cap", "dialog-dlg-repl"], ["--tag", "vip1"],
     ["--tag", "vip1/1", "--node", "2", "--ready"]],
)  # fmt: skip
def test_what_holds_is_not_waited_for(url: str, args: list[str]) -> None:
    result = ctl(url, "wait", "--timeout", "0", *args)  # so it could not wait and succeed
    assert (result.exit_code, result.stdout[:10]) == (0, "ok: after ")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--node", "3"], "no link with node 3"),
        (["--node", "77"], "no link with node 77"),
        (["--cap", "usrloc-contact-repl"], "usrloc-contact-repl is syncing"),
        (["--cap", "nonsense"], "nonsense is unknown here"),
        (["--tag", "vip2"], "tag vip2 is backup"),
        (["--tag", "nonsense"], "tag nonsense is unknown here"),
        (["--tag", "vip1", "--node", "3"], "no link with node 3"),
    ],
)
def test_what_does_not_come_is_told_and_ends_with_6(url: str, args: list[str], text: str) -> None:
    result = ctl(url, "wait", "--timeout", "0", *args)
    assert (result.exit_code, result.stdout) == (6, "")
    assert f"not so after 0 s: {text}\n" in result.stderr


def test_readiness_and_an_instance_that_is_not_there(url: str, node: FakeNode) -> None:
    node.current = make_status(ready=False, waits_for=["dialogs begins"])
    result = ctl(url, "wait", "--timeout", "0")
    assert (result.exit_code, "dialogs begins" in result.stderr) == (6, True)
    result = ctl("http://127.0.0.1:1", "wait", "--timeout", "0")
    assert (result.exit_code, "no answer" in result.stderr) == (6, True)


def test_it_waits_until_it_holds(url: str, node: FakeNode) -> None:
    node.current = make_status(ready=False)
    later = threading.Timer(0.3, lambda: setattr(node, "current", make_status()))
    later.start()
    result = ctl(url, "wait", "-o", "json")
    later.join()
    assert result.exit_code == 0
    assert json.loads(result.stdout)["waited_s"] >= 0.2


def test_health_of_a_cluster_that_is_well(url: str, node: FakeNode) -> None:
    node.current = well(1)
    result = ctl(url, "health")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "PASS    all links are up" in result.stdout
    assert json.loads(ctl(url, "health", "-o", "json").stdout)["verdict"] == "PASS"
    nagios = ctl(url, "health", "--nagios")
    assert (nagios.exit_code, nagios.stdout) == (0, "TAGMESH OK - 11 checks passed\n")


def test_health_with_a_warning_and_with_a_failure(url: str, node: FakeNode) -> None:
    node.current = well(1, roster_error="a|b\nc")
    assert ctl(url, "health").exit_code == 0
    nagios = ctl(url, "health", "--nagios")
    assert (nagios.exit_code, len(nagios.stdout.splitlines())) == (1, 1)
    assert "TAGMESH WARNING - " in nagios.stdout
    assert "|" not in nagios.stdout
    node.current = msgspec.structs.replace(well(1), certificate_ends_wall_s=STARTED_WALL_S)
    result = ctl(url, "health")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1].startswith("FAIL    certificate of node 1")
    assert ctl(url, "health", "--nagios").exit_code == 2


def test_health_asks_further_instances(url: str, node: FakeNode) -> None:
    node.current = well(1)
    with served(FakeNode(well(2))) as second:
        assert "2 nodes asked, all answer" in ctl(url, "health", second).stdout
    result = ctl(url, "health", second)
    assert result.exit_code == 1
    assert f"FAIL    {second}: no answer" in result.stdout


def test_health_of_nobody() -> None:
    assert ctl("http://127.0.0.1:1", "health").exit_code == 5
    nagios = ctl("http://127.0.0.1:1", "health", "--nagios")
    assert (nagios.exit_code, nagios.stdout.startswith("TAGMESH UNKNOWN - ")) == (3, True)
