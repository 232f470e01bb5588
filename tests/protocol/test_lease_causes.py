"""What the store of leases answered."""

from __future__ import annotations

import pytest

from tagmesh.protocol.identity import Incarnation, NodeId
from tagmesh.protocol.lease_causes import of_the_store
from tagmesh.protocol.tag_words import Owner, TagRow

TWO = Owner(NodeId(2), Incarnation(7))


def row(owner: Owner | None = TWO, *, released: bool = False, paused: bool = False) -> TagRow:
    return TagRow(tag="vip", number=3, owner=owner, released=released, paused=paused)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (None, "lease_free"),
        (row(), "lease_held"),
        (row(released=True), "lease_free"),
        (row(None), "lease_free"),
        (row(paused=True), "lease_paused"),
    ],
)
def test_the_row_says_who_has_the_lease(answer: TagRow | None, code: str) -> None:
    assert of_the_store(answer, None).code == code


def test_a_store_that_does_not_answer_is_the_cause() -> None:
    said = of_the_store(None, OSError("no route to host"))
    assert (said.code, str(said)) == ("storage_failed", "the store of leases: no route to host")
