"""Whom to ask for a sync, and when again (S-21)."""

from __future__ import annotations

import pytest

from tagmesh.protocol.donors import CapabilityView, Rejection, Wants
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import CapState
from tagmesh.protocol.rounds import MAX_RETRY_PAUSE_S, Rounds
from tests.protocol.capability_bench import peer, said, view

PENDING = CapState.PENDING
EMPTY = said(without_data=True)


def rounds(around: CapabilityView, jitter: float = 0.0) -> Rounds:
    found = Rounds(Wants(), around, lambda: jitter)
    found.begin()
    return found


def asked(found: Rounds) -> list[int]:
    """A session in which every donor refuses."""
    excluded: frozenset[NodeId] = frozenset()
    while donor := found.choose(excluded):
        excluded |= {donor.node_id}
    return sorted(excluded)


def test_a_session_asks_each_donor_once_and_is_given_its_life() -> None:
    found = rounds(view(peer(2, life=7), peer(3, hops=2), peer(4, PENDING)))
    assert found.started() == 2
    first = found.choose(frozenset())
    assert first is not None
    assert (first.node_id, first.incarnation) == (2, 7)
    second = found.choose(frozenset({NodeId(2)}))
    assert second is not None
    assert second.node_id == 3
    assert found.choose(frozenset({NodeId(2), NodeId(3)})) is None


def test_a_donor_that_appears_during_a_session_may_still_be_chosen() -> None:
    found = rounds(view(peer(2)))
    found.started()
    found.view_changed(view(peer(2), peer(3)))
    assert asked(found) == [2, 3]


def test_after_a_failed_round_there_is_a_pause_that_doubles_to_its_limit() -> None:
    found, now, pauses = rounds(view(peer(2)), jitter=1.0), 0.0, []
    for _ in range(20):
        found.failed("busy", now)
        assert found.untried() == []
        assert found.retry_at is not None
        pauses.append(found.retry_at - now)
        now = found.retry_at
        found.tick(now - 0.001)
        assert found.untried() == []
        found.tick(now)
        assert len(found.untried()) == 1
    expected = [min(0.05 * 2**n, MAX_RETRY_PAUSE_S) for n in range(20)]
    assert pauses == pytest.approx(expected)
    assert pauses[-1] == pytest.approx(MAX_RETRY_PAUSE_S)


def test_the_pause_has_jitter() -> None:
    calm, wild = rounds(view(peer(2)), jitter=0.0), rounds(view(peer(2)), jitter=1.0)
    for found in (calm, wild):
        found.failed("busy", 0.0)
    assert calm.retry_at == pytest.approx(0.025)
    assert wild.retry_at == pytest.approx(0.05)


def test_in_the_pause_only_new_donors_are_asked_and_it_does_not_begin_anew() -> None:
    """Else a node that restarts again and again would keep the others from being asked."""
    found = rounds(view(peer(2), peer(3, PENDING)))
    found.failed("busy", 0.0)
    end = found.retry_at
    found.view_changed(view(peer(2), peer(3)))
    assert asked(found) == [3]
    found.failed("timeout", 0.01)
    assert found.retry_at == end
    found.view_changed(view(peer(2, life=2), peer(3)))
    assert asked(found) == [2], "another life did not refuse"
    found.failed("busy", 0.02)
    found.view_changed(view(peer(2, life=2), peer(3, said(generation=1))))
    assert asked(found) == [3], "it became OK meanwhile"


def test_a_donor_that_comes_and_goes_is_not_new_each_time() -> None:
    found = rounds(view(peer(2), peer(3)))
    found.failed("unreachable", 0.0)
    found.view_changed(view(peer(2, hops=0), peer(3)))
    found.view_changed(view(peer(2), peer(3)))
    assert found.untried() == []


def test_the_reasons_are_explained() -> None:
    found = rounds(view(peer(2), peer(3)))
    found.failed("busy", 0.0)
    found.view_changed(view(peer(2), peer(3, life=2)))
    verdicts = {v.node_id: (v.place, v.rejection, v.detail) for v in found.explain()}
    assert verdicts == {3: (1, None, "1 hop, position 0"), 2: (None, Rejection.TRIED, "busy")}


# Without data (S-27) ----------------------------------------------------------------------------


def test_one_without_data_that_is_ok_asks_those_that_have_data() -> None:
    found = rounds(view(peer(2, EMPTY), peer(3), peer(4, hops=3)))
    found.without_data = True
    assert asked(found) == [2, 3, 4], "not OK: anybody is better than nothing"
    found.serving = True
    assert asked(found) == [3, 4]


def test_one_without_data_asks_strangers_too() -> None:
    """Two groups that began without data apart from each other unite."""
    found = rounds(view(peer(2, EMPTY), peer(3, hops=0), peer(4, PENDING)))
    found.without_data = found.serving = True
    found.view_changed(view(peer(2, EMPTY), peer(3, EMPTY), peer(4, EMPTY)))
    assert asked(found) == [3], "4 became OK here, from one of us"
    found.view_changed(view(peer(2, EMPTY), peer(3, EMPTY), peer(4, EMPTY)))
    assert asked(found) == [3], "as long as it was not asked"
    found.started()
    found.choose(frozenset())
    found.succeeded(had_data=False, donor=NodeId(3))
    assert found.without_data
    assert asked(found) == []


def test_a_member_that_restarts_is_a_stranger_in_its_new_life_only_when_it_comes_ok() -> None:
    found = rounds(view(peer(2, EMPTY)))
    found.without_data = found.serving = True
    found.view_changed(view(peer(2, PENDING, life=2)))
    found.view_changed(view(peer(2, EMPTY, life=2)))
    assert asked(found) == []


@pytest.mark.parametrize(
    ("had_data", "donor_is_empty", "without_data"),
    [(False, False, False), (False, True, True), (True, True, False), (True, False, False)],
)
def test_descent(had_data: bool, donor_is_empty: bool, without_data: bool) -> None:
    found = rounds(view(peer(2, said(without_data=donor_is_empty))))
    found.without_data = True
    found.started()
    found.choose(frozenset())
    found.view_changed(view(peer(2, hops=0)))
    found.succeeded(had_data=had_data, donor=NodeId(2))
    assert found.without_data == without_data


def test_an_ok_node_may_be_compared_with_every_other_one() -> None:
    found = rounds(view(peer(2, life=7), peer(3, PENDING), peer(4, EMPTY)))
    assert found.comparable() == []
    found.serving = True
    found.failed("busy", 0.0)
    assert [p.node_id for p in found.comparable()] == [2, 4]
    chosen = found.find(NodeId(2), frozenset())
    assert chosen is not None
    assert (chosen.node_id, chosen.incarnation) == (2, 7)
    assert found.find(NodeId(2), frozenset({NodeId(2)})) is None
    assert found.find(NodeId(3), frozenset()) is None
