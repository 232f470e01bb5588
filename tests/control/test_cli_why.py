"""``tagmesh ctl why`` against a hand-made node."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from tagmesh.control.cli import root
from tagmesh.control.cli_ctl import EXIT_UNKNOWN
from tests.control.fake_node import FakeNode, served


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(FakeNode()) as made:
        yield made


def ctl(url: str, *args: str) -> Result:
    return CliRunner().invoke(root, ["ctl", "--url", url, *args], prog_name="tagmesh")


@pytest.mark.parametrize(
    "asked", [("node", "3"), ("link", "4"), ("cap", "dialog-dlg-repl"), ("tag", "vip1")]
)
def test_the_causes_stand_below_the_state_each_with_its_rule(
    url: str, asked: tuple[str, str]
) -> None:
    result = ctl(url, "why", *asked)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f"{asked[0]} {asked[1]} is unreachable: no path leads to it [R-1 path]",
        "  because link 3 is Down since 14:13:20Z: 4 pings unanswered [L-3 silent]",
    ]


def test_json_is_the_tree_and_a_tag_may_name_its_cluster(url: str) -> None:
    found = json.loads(ctl(url, "why", "tag", "vip1/1", "-o", "json").stdout)
    assert (found["kind"], found["name"], found["cluster_id"]) == ("tag", "vip1", 1)
    assert found["because"][0]["code"] == "silent"


def test_a_cluster_that_is_not_there(url: str) -> None:
    result = ctl(url, "why", "tag", "vip1/9")
    assert (result.exit_code, result.stdout) == (EXIT_UNKNOWN, "")
    assert "Cluster id not found" in result.stderr
