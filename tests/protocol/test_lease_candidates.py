"""Who may take a lease, in which order, and why the others may not (B4)."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.lease_candidates import candidates, deputies, is_elector, why_not
from tagmesh.protocol.lease_words import Acquire, GiveUp, LeaseSettings, ReadRow
from tagmesh.protocol.tag_words import TagRow
from tests.protocol.lease_bench import around, node, row
from tests.protocol.tag_bench import ONE, THREE, TWO

RAN_OUT = msgspec.structs.replace(row(4, 2), electors=(TWO, THREE))


def test_by_id_unless_some_are_preferred() -> None:
    assert candidates(None, around(), ONE) == [ONE, TWO, THREE]
    assert candidates(row(preferred=(3, 1)), around(), ONE) == [THREE, ONE]


def test_who_lacks_records_of_the_tag_comes_last() -> None:
    """It is better than nobody."""
    view = msgspec.structs.replace(around(), complete=frozenset({TWO}))
    assert candidates(None, view, ONE) == [TWO, ONE, THREE]
    assert candidates(row(preferred=(3, 2)), view, ONE) == [TWO, THREE]
    assert candidates(row(preferred=(3, 1)), view, ONE) == [THREE, ONE]


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


@pytest.mark.parametrize(
    ("read", "fit", "free_it"),
    [
        (msgspec.structs.replace(RAN_OUT, preferred=(ONE,)), (1, 2, 3), [TWO, THREE]),
        (msgspec.structs.replace(RAN_OUT, preferred=(ONE,)), (2, 3), []),
        (msgspec.structs.replace(RAN_OUT, preferred=(ONE, TWO)), (1, 2, 3), []),
        (msgspec.structs.replace(RAN_OUT, preferred=(ONE, TWO)), (1, 3), [TWO, THREE]),
        (RAN_OUT, (1,), [TWO, THREE]),
        (RAN_OUT, (1, 3), []),
        (msgspec.structs.replace(RAN_OUT, preferred=(ONE,), released=True), (2, 3), []),
        (None, (), []),
    ],
    ids=[
        "no elector is preferred", "nobody could take it then", "one is", "that one is not fit",
        "no elector is fit", "one is fit", "it was released", "nobody claimed it",
    ],
)  # fmt: skip
def test_electors_free_what_none_of_them_may_have(
    read: TagRow | None, fit: tuple[int, ...], free_it: list[NodeId]
) -> None:
    assert deputies(read, around(fit=fit), ONE) == free_it


def test_a_deputy_gives_the_lease_up_at_once() -> None:
    """It never has the tag; then anybody can take it."""
    preferred_1 = msgspec.structs.replace(RAN_OUT, preferred=(ONE,))
    first, second, elected = node(1), node(2), node(3)
    for rules in (first, elected):
        rules.row_read(preferred_1, 0.0)
    assert second.row_read(preferred_1, 0.0) == [Acquire(4)]
    assert elected.deadline == LeaseSettings().rank_delay_s
    assert first.deadline == LeaseSettings().renew_s, "it would be refused, so it only looks"
    mine = msgspec.structs.replace(row(5, 2, 10.0, preferred=(1,)), electors=(ONE, TWO, THREE))
    assert second.acquired(mine, 0.1) == [GiveUp(5)]
    assert not second.holding
    assert first.tick(LeaseSettings().renew_s) == [ReadRow()]
    released = msgspec.structs.replace(mine, released=True, left_s=0.0)
    assert first.row_read(released, LeaseSettings().renew_s) == [Acquire(5)]
