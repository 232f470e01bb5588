"""``tagmesh ctl caps``, ``cap`` and ``sync`` against a hand-made node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from tagmesh.control.cli import root
from tests.control.fake_node import FakeNode, capability, make_status, served


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeNode, str]]:
    node = FakeNode()
    with served(node) as url:
        yield node, url


@pytest.fixture(autouse=True)
def node(shared: tuple[FakeNode, str], monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    monkeypatch.setenv("TAGMESH_URL", shared[1])
    vars(shared[0]).update(vars(FakeNode()))
    return shared[0]


def ctl(*args: str) -> Result:
    return CliRunner().invoke(root, ["ctl", *args], prog_name="tagmesh")


def output(*args: str) -> str:
    result = ctl(*args)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_caps() -> None:
    assert "usrloc-contact-repl" in output("caps")
    listed = json.loads(output("caps", "-o", "json"))
    assert listed["clusters"][0]["capabilities"][1]["progress"]["done"] == 15310
    of_3 = listed["clusters"][0]["peers"][1]
    assert (of_3["node_id"], of_3["capabilities"][0]["state"]) == (3, "pending")


def test_sync_as_the_manual_shows_it() -> None:
    assert "15310 of ~25000" in output("sync")
    session = json.loads(output("sync", "-o", "json"))["clusters"][0]["sessions"][0]
    assert (session["items"], session["expected"]) == (15310, 25000)


def test_a_capability_is_switched_off_and_on(node: FakeNode) -> None:
    assert output("cap", "disable", "dialog-dlg-repl") == (
        "ok: dialog-dlg-repl switched off in cluster 1\n"
    )
    assert json.loads(output("cap", "enable", "dialog-dlg-repl", "-o", "json")) == "OK"
    assert node.asked == [("disable", "dialog-dlg-repl"), ("enable", "dialog-dlg-repl")]


def test_a_sync_is_started(node: FakeNode) -> None:
    assert output("sync", "start", "dialog-dlg-repl").startswith("ok: dialog-dlg-repl is synced as")
    output("sync", "start", "dialog-dlg-repl", "--tag", "vip1", "--mirror")
    output("sync", "start", "dialog-dlg-repl", "--dry-run", "-o", "json")
    output("sync", "start", "dialog-dlg-repl", "--backup")
    assert [asked[2:] for asked in node.asked] == [
        ((), False, False),
        (("vip1",), True, False),
        ((), True, True),
        ((), False, False, "backup"),
    ]
    together = ctl("sync", "start", "dialog-dlg-repl", "--backup", "--tag", "vip1")
    assert together.exit_code == 2
    assert "--backup stands alone" in together.stderr


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        ("confirm", "ok: 30 records dropped\n"),
        ("discard", "ok: nothing was dropped\n"),
        ("undo", "ok: 30 records restored\n"),
    ],
)
def test_plans(node: FakeNode, decision: str, said: str) -> None:
    assert output("sync", decision, "dialog-dlg-repl", "1") == said
    assert node.asked == [(decision, "dialog-dlg-repl")]
    result = ctl("sync", decision, "dialog-dlg-repl", "7")
    assert result.exit_code == 3
    assert "there is no waiting mirror plan 7" in result.stderr


def test_quarantine_and_donors() -> None:
    assert "no such user" in output("cap", "quarantine", "dialog-dlg-repl")
    assert "no: unreachable" in output("cap", "donors", "dialog-dlg-repl")
    listed = json.loads(output("cap", "donors", "dialog-dlg-repl", "-o", "json"))
    assert listed["donors"][0]["place"] == 1


def test_what_differs_is_exit_code_1(node: FakeNode) -> None:
    found = ctl("diff", "dialog-dlg-repl")
    assert (found.exit_code, found.stderr) == (1, "")
    assert "only there" in found.stdout
    assert "unreachable: no path" in found.stdout
    alike = output("diff", "dialog-dlg-repl", "--tag", "vip1", "--node", "2", "-o", "json")
    assert json.loads(alike)["alike"]
    assert node.asked[-1] == ("diff", "dialog-dlg-repl", "vip1", (2,), 100)
    assert "a sync is under way here" in ctl("diff", "dialog-dlg-repl", "--tag", "busy").stderr


def test_a_capability_that_is_not_there_is_3_and_names_those_that_are() -> None:
    result = ctl("cap", "disable", "dialogs")
    assert result.exit_code == 3
    assert "registered on this node: dialog-dlg-repl, usrloc-contact-repl" in result.stderr


def test_a_capability_of_two_clusters_needs_the_cluster(node: FakeNode) -> None:
    first = make_status().clusters[0]
    second = msgspec.structs.replace(first, cluster_id=2, capabilities=[capability("only-2")])
    both: dict[str, Any] = {
        "clusters": [first, msgspec.structs.replace(first, cluster_id=3), second]
    }
    node.current = make_status(**both)
    result = ctl("cap", "disable", "dialog-dlg-repl")
    assert result.exit_code == 2
    assert "in the clusters 1, 3: choose one with --cluster" in result.stderr
    assert "cluster 2" in output("cap", "disable", "only-2")
    assert "cluster 3" in output("cap", "disable", "dialog-dlg-repl", "--cluster", "3")


def test_help_names_every_command() -> None:
    for group, commands in (
        ("cap", ("enable", "disable", "quarantine", "donors")),
        ("sync", ("start", "confirm", "discard", "undo")),
    ):
        text = output(group, "--help")
        assert [c for c in commands if c not in text] == []
