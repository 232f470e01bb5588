"""``tagmesh ctl node``: removing nodes and taking that back."""

from __future__ import annotations

import json

import click.testing

from tagmesh.control.cli import root


def ctl(url: str, *arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(root, ["ctl", "--url", url, "node", *arguments])


def test_a_node_is_removed_once(url: str) -> None:
    assert ctl(url, "remove", "1", "3").stdout == "ok: node 3 removed from cluster 1\n"
    again = ctl(url, "remove", "1", "3")
    assert (again.stdout, again.exit_code) == ("already removed\n", 0)
    assert json.loads(ctl(url, "remove", "1", "3", "-o", "json").stdout) == "already removed"


def test_that_is_taken_back_once(url: str) -> None:
    ctl(url, "remove", "1", "3")
    assert ctl(url, "readmit", "1", "3").stdout == "ok: node 3 may join cluster 1 again\n"
    again = ctl(url, "readmit", "1", "3")
    assert (again.stdout, again.exit_code) == ("was not removed\n", 0)


def test_what_cannot_be_removed(url: str) -> None:
    unknown, other = ctl(url, "remove", "1", "9"), ctl(url, "remove", "9", "3")
    assert (unknown.exit_code, other.exit_code) == (1, 3)
    assert "there is no node 9" in unknown.stderr
    assert ctl(url, "remove", "1", "x").exit_code == 2
