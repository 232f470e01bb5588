"""``tagmesh ctl tags`` and ``tag`` against a hand-made node."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest
from click.testing import CliRunner, Result

from tagmesh.control.cli import root
from tagmesh.protocol.errors import TagRefused
from tests.control.fake_node import FakeNode, served


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


def test_tags_for_people_and_for_programs() -> None:
    lines = output("tags").splitlines()
    assert lines[2].split()[1:8] == ["vip1", "active", "node", "1", "3", "of", "node"]
    assert "undeclared" in lines[3]
    listed = json.loads(output("tags", "-o", "json"))["clusters"][0]["tags"]
    assert [tag["holder"] for tag in listed] == [1, 2]


def test_a_tag_is_activated_as_the_manual_shows_it() -> None:
    assert output("tag", "activate", "vip2/1") == "ok: vip2 active on node 1 (was node 2)\n"
    assert output("tag", "activate", "new/1") == "ok: new active on node 1 (nobody had it)\n"
    assert json.loads(output("tag", "activate", "vip2/1", "-o", "json"))["was"] == 2


def test_the_other_commands(node: FakeNode) -> None:
    assert output("tag", "release", "vip1/1") == "ok: vip1/1 released\n"
    assert output("tag", "hand-over", "vip1/1", "2") == "ok: vip1/1 handed over to node 2\n"
    assert output("tag", "pause", "vip1/1") == "ok: vip1/1 stays where it is\n"
    assert output("tag", "resume", "vip1/1") == "ok: vip1/1 can be taken over again\n"
    assert output("tag", "prefer", "vip1/1", "2", "1") == "ok: vip1/1 goes to nodes 2,1\n"
    assert output("tag", "prefer", "vip1/1") == "ok: vip1/1 goes to any node\n"
    assert json.loads(output("tag", "release", "vip1/1", "-o", "json")) == "OK"
    assert [asked[0] for asked in node.asked] == [
        "release", "hand_over", "pause", "pause", "prefer", "prefer", "release",
    ]  # fmt: skip


def test_who_may_take_a_lease_and_why_not(node: FakeNode) -> None:
    reason = "the owner did not know it at its last renewal"
    cluster = node.current.clusters[0]
    leased = msgspec.structs.replace(
        cluster.tags[0], mode="lease", paused=True, preferred=[2], electors=[1, 2],
        barriers={1: "it is not among the preferred nodes", 2: "", 3: reason},
    )  # fmt: skip
    changed = msgspec.structs.replace(cluster, tags=[leased, cluster.tags[1]])
    node.current = msgspec.structs.replace(node.current, clusters=[changed])
    first, paused, _, _, *rows = output("tag", "explain", "vip1/1").splitlines()
    assert first == "vip1: node 1 has it: MI command"
    assert paused == "paused: nobody takes it over"
    assert [row.split()[:3] for row in rows] == [
        ["1", "no", "-"], ["2", "yes", "1."], ["3", "no", "-"],
    ]  # fmt: skip
    assert reason in rows[2]
    told = json.loads(output("tag", "explain", "vip1/1", "-o", "json"))
    assert (told["electors"], told["barriers"]["2"]) == ([1, 2], "")
    assert "mode manual" in output("tag", "explain", "vip2/1")
    assert "knows no tag 'vip3/1'" in ctl("tag", "explain", "vip3/1").stderr


def test_a_person_frees_a_lease_by_naming_who_does_not_run(node: FakeNode) -> None:
    assert output("tag", "free", "vip1/1", "2", "3") == "ok: vip1/1 can be taken by any node\n"
    assert node.asked == [("free", "vip1", 2, 3)]


def test_what_goes_wrong_has_its_exit_code(node: FakeNode) -> None:
    result = ctl("tag", "release", "vip9/1")
    assert (result.exit_code, "known here: vip1/1, vip2/1" in result.stderr) == (3, True)
    node.broken_tag = TagRefused("the database does not answer")
    result = ctl("tag", "activate", "vip1/1")
    assert (result.exit_code, "the database does not answer" in result.stderr) == (1, True)
