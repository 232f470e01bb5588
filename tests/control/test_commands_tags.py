"""The commands about sharing tags: OpenSIPS's shapes and errors, and ours (H-8)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tagmesh.control.command import CommandError
from tagmesh.control.commands import COMMANDS
from tagmesh.protocol.errors import Misuse, TagRefused
from tests.control.fake_node import FakeNode


def run(name: str, node: FakeNode | None = None, **arguments: Any) -> Any:
    result = COMMANDS[name].run(node or FakeNode(), **arguments)
    return msgspec.json.decode(msgspec.json.encode(result))


def failure(name: str, node: FakeNode | None = None, **arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(CommandError) as caught:
        run(name, node, **arguments)
    return caught.value.code, caught.value.message, caught.value.data


def test_the_list_has_the_keys_and_values_of_opensips() -> None:
    assert run("clusterer_list_shtags") == [
        {"Tag": "vip1", "Cluster": 1, "State": "active"},
        {"Tag": "vip2", "Cluster": 1, "State": "backup"},
    ]


def test_a_tag_is_activated_and_made_by_being_named() -> None:
    node = FakeNode()
    assert run("clusterer_shtag_set_active", node, tag="new/1") == "OK"
    assert node.asked == [("activate", "new", False, "MI command")]


@pytest.mark.parametrize(
    ("tag", "error"),
    [
        ("vip1", (400, "Bad tag format <name/cluster_id>", "'vip1' is not of this form")),
        ("/1", (400, "Bad tag format <name/cluster_id>", "'/1' is not of this form")),
        ("vip1/x", (400, "Bad cluster ID in tag", "'x' is no number")),
        ("vip1/", (400, "Bad cluster ID in tag", "'' is no number")),
        ("vip1/7", (404, "Cluster ID not found", "clusters of this node: 1")),
    ],
)
@pytest.mark.parametrize("command", ["clusterer_shtag_set_active", "tagmesh_tag_activate"])
def test_names_of_tags_have_the_errors_of_opensips(
    command: str, tag: str, error: tuple[int, str, str]
) -> None:
    assert failure(command, tag=tag) == error


def test_what_is_refused_is_an_internal_error_in_the_words_of_opensips() -> None:
    node = FakeNode()
    node.broken_tag = TagRefused("no database")
    assert failure("clusterer_shtag_set_active", node, tag="vip1/1") == (
        500, "Internal error", "no database",
    )  # fmt: skip
    node.broken_tag = Misuse("ask node 2")
    assert failure("tagmesh_tag_release", node, tag="vip1/1") == (
        400, "Not possible now", "ask node 2",
    )  # fmt: skip


def test_ours() -> None:
    node = FakeNode()
    assert run("tagmesh_tag_activate", node, tag="vip2/1") == {"node_id": 1, "was": 2}
    assert run("tagmesh_tag_activate", node, tag="new/1", force=1) == {"node_id": 1, "was": None}
    for name, words in (
        ("release", {}),
        ("hand_over", {"node_id": 2}),
        ("pause", {"paused": 1}),
        ("prefer", {"nodes": "2, 1"}),
        ("prefer", {"nodes": ""}),
        ("free", {"nodes": "1,2"}),
    ):
        assert run(f"tagmesh_tag_{name}", node, tag="vip1/1", **words) == "OK"
    assert node.asked == [
        ("activate", "vip2", False, "MI command"),
        ("activate", "new", True, "MI command"),
        ("release", "vip1", "MI command"),
        ("hand_over", "vip1", 2, "MI command"),
        ("pause", "vip1", True),
        ("prefer", "vip1", 2, 1),
        ("prefer", "vip1"),
        ("free", "vip1", 1, 2),
    ]
    ((first, second),) = [c["tags"] for c in run("tagmesh_tags")]
    assert (first["number"], second["declared"]) == (3, False)


def test_a_slip_of_the_pen_makes_no_tag() -> None:
    assert failure("tagmesh_tag_release", tag="vip/1") == (
        404, "Tag not found", "known here: vip1/1, vip2/1",
    )  # fmt: skip
    assert failure("tagmesh_tag_prefer", tag="vip1/1", nodes="1;2")[1] == "Bad value for 'nodes'"
