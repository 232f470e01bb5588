"""``tagmesh_why``."""

from __future__ import annotations

import pytest

from tagmesh.control.command import CommandError
from tagmesh.control.commands import COMMANDS
from tagmesh.protocol.explaining import Explanation
from tests.control.fake_node import FakeNode


def why(**arguments: object) -> Explanation:
    found = COMMANDS["tagmesh_why"].run(FakeNode(), **arguments)
    assert isinstance(found, Explanation)
    return found


def test_the_answer_is_a_tree_whose_roots_name_rule_and_cause() -> None:
    found = why(cluster_id=1, kind="node", name="3")
    assert (found.kind, found.name, found.state) == ("node", "3", "unreachable")
    assert [(root.rule, root.code) for root in found.roots()] == [("L-3", "silent")]


@pytest.mark.parametrize(
    ("cluster", "kind", "name", "code"),
    [(9, "node", "3", 404), (1, "wall", "3", 404), (1, "link", "0", 400)],
)
def test_what_cannot_be_answered(cluster: int, kind: str, name: str, code: int) -> None:
    with pytest.raises(CommandError) as caught:
        why(cluster_id=cluster, kind=kind, name=name)
    assert caught.value.code == code
