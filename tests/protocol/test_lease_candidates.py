"""Who may take a lease, in which order, and why the others may not (B4)."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.lease_candidates import candidates, is_elector, why_not
from tagmesh.protocol.lease_words import LeaseSettings
from tagmesh.protocol.tag_words import TagRow
from tests.protocol.lease_bench import around, node, row
from tests.protocol.tag_bench import ONE, THREE, TWO

RAN_OUT = msgspec.structs.replace(row(4, 2), electors=(TWO, THREE))


def test_by_id_unless_some_are_preferred() -> None:
    assert candidates(None, around(), ONE) == [ONE, TWO, THREE]
    assert candidates(row(preferred=(3, 1)), around(), ONE) == [THREE, ONE]


@pytest.mark.parametrize(
    ("node_id", "read", "why"),
    [
        (1, row(), ""),
        (4, row(), "it is not reachable"),
        (3, row(), "its capabilities are not all OK"),
        (2, row(preferred=(3, 1)), "it is not among the preferred nodes"),
        (1, RAN_OUT, "the owner did not know it at its last renewal"),
        (2, RAN_OUT, ""),
    ],
)
def test_who_is_none_and_why(node_id: int, read: TagRow, why: str) -> None:
    assert why_not(NodeId(node_id), read, around(fit=(1, 2)), ONE) == why


def test_only_electors_take_a_lease_that_ran_out_and_everybody_one_that_was_released() -> None:
    released = msgspec.structs.replace(RAN_OUT, released=True)
    assert [is_elector(n, RAN_OUT) for n in (ONE, TWO, THREE)] == [False, True, True]
    assert is_elector(ONE, released)
    assert is_elector(ONE, row(4, 2)), "an older owner stored none"


def test_nobody_waits_for_a_node_that_is_no_elector() -> None:
    """It would be refused: the tag would move later, for nothing."""
    rules = node(3, settings=LeaseSettings(failsafe=False))
    rules.row_read(RAN_OUT, 0.0)
    only_after_2 = LeaseSettings().rank_delay_s
    assert rules.deadline == only_after_2
