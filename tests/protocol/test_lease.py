"""The lease on a sharing tag: getting it, holding it, giving it up (B4)."""

from __future__ import annotations

import pytest

from tagmesh.protocol.lease_words import (
    Acquire,
    GiveUp,
    LeaseExtended,
    LeaseOver,
    LeaseSettings,
    ReadRow,
    Renew,
)
from tagmesh.protocol.tag_words import TagRow
from tests.protocol.lease_bench import LASTS_S, SETTINGS, around, holder, node, row
from tests.protocol.tag_bench import THREE, TWO

# Getting it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "free", [None, row(), row(4, 2, released=True), row(4, 2), row(4, 1, mode="manual")]
)
def test_a_free_row_is_asked_for_at_once_by_who_is_first(free: TagRow | None) -> None:
    assert node().row_read(free, 0.0) == [Acquire(free.number if free else 0)]


def test_a_row_that_is_held_is_asked_for_when_it_runs_out() -> None:
    rules = node()
    assert rules.row_read(row(4, 2, 2.5), 1.0) == []
    assert rules.deadline == 3.5
    assert rules.tick(3.5) == [Acquire(4)]


def test_the_row_is_looked_at_as_often_as_it_is_renewed() -> None:
    rules = node()
    rules.row_read(row(4, 2, 9.0), 1.0)
    assert rules.deadline == 1.0 + SETTINGS.renew_s
    assert rules.tick(4.0) == [ReadRow()]
    assert rules.deadline is None, "one request at a time"
    assert rules.tick(50.0) == []


def test_each_candidate_waits_for_those_before_it() -> None:
    """By the preferred nodes; else by id; those that could not take it do not count."""
    rules = node(3)
    rules.row_read(row(), 0.0)
    assert rules.deadline == pytest.approx(2 * SETTINGS.rank_delay_s)
    rules = node(3)
    rules.view_changed(around((1, 2), fit=(1, 3)), 0.0)
    rules.row_read(row(), 0.0)
    assert rules.deadline == pytest.approx(SETTINGS.rank_delay_s)
    rules = node(3)
    assert rules.row_read(row(preferred=(3, 1)), 0.0) == [Acquire(0)]


def test_the_turn_counts_from_when_the_row_became_free() -> None:
    """Else a long list would never come to its end: each look would begin anew."""
    slow = LeaseSettings(rank_delay_s=2.0)
    rules = node(3, settings=slow)
    rules.row_read(row(), 0.0)
    assert rules.tick(SETTINGS.renew_s) == [ReadRow()]
    assert rules.row_read(row(), 3.2) == []
    assert rules.deadline == 4.0
    rules = node(3, settings=slow)
    rules.row_read(row(4, 2), 0.0)
    rules.tick(3.0)
    rules.row_read(row(4, 2, 9.0), 3.1)
    assert rules.deadline == 3.1 + SETTINGS.renew_s, "taken meanwhile"


@pytest.mark.parametrize(
    ("read", "fit"),
    [
        (row(), (2, 3)),
        (row(preferred=(2, 3)), (1, 2, 3)),
        (row(paused=True), (1, 2, 3)),
        (row(4, 2, paused=True), (1, 2, 3)),
        (row(4, 2, mode="manual"), (1, 2, 3)),
    ],
)
def test_who_is_no_candidate_does_not_ask(read: TagRow, fit: tuple[int, ...]) -> None:
    """Not fit, not preferred, paused, or activated by a person."""
    rules = node(view=around(fit=fit))
    assert rules.row_read(read, 0.0) == []
    assert rules.deadline == SETTINGS.renew_s


def test_a_candidate_that_becomes_fit_asks() -> None:
    rules = node(view=around(fit=()))
    rules.row_read(row(), 0.0)
    assert rules.view_changed(around(), 1.0) == [Acquire(0)]


def test_numbers_heard_of_count() -> None:
    rules = node()
    assert rules.look(8, None, 0.0) == []
    assert rules.row_read(row(4, 2, released=True), 0.1) == [Acquire(8)]


def test_who_is_too_slow_reads_who_has_it() -> None:
    rules = node()
    rules.row_read(row(), 0.0)
    assert rules.refused(row(1, 2, 9.9), 0.1) == []
    assert rules.deadline == 0.1 + SETTINGS.renew_s
    assert not rules.holding


def test_an_answer_that_comes_too_late_is_given_back() -> None:
    """The process stood still between asking and hearing."""
    rules = node()
    rules.row_read(row(), 0.0)
    assert rules.acquired(row(1, 1, 3.0), LASTS_S) == [GiveUp(1)]
    assert not rules.holding
    assert rules.given_up(LASTS_S + 0.1) == [ReadRow()]


def test_a_lease_that_is_mine_unknown_to_me_is_given_back() -> None:
    """The answer was lost; without this nobody could have the tag until it ran out."""
    rules = node()
    assert rules.row_read(row(3, 1, 8.0), 0.1) == [GiveUp(3)]
    assert rules.failed("away", 0.2) == []
    assert rules.tick(0.2 + SETTINGS.retry_s) == [ReadRow()]


def test_a_new_life_waits_until_its_earlier_vows_are_void() -> None:
    """Only if the lease ran out: who released it asks for no vows."""
    rules = node(born=0.0)
    rules.row_read(row(4, 2), 0.1)
    assert rules.deadline == 0.1 + SETTINGS.renew_s
    rules.tick(9.8)
    rules.row_read(row(4, 2), 9.9)
    assert rules.deadline == SETTINGS.ttl_s
    assert node(born=0.0).row_read(row(4, 2, released=True), 0.1) == [Acquire(4)]
    plain = node(born=0.0, settings=LeaseSettings(failsafe=False))
    assert plain.row_read(row(4, 2), 0.1) == [Acquire(4)]


# Holding it ---------------------------------------------------------------------------------------


def test_it_is_renewed_and_lasts_from_when_that_was_asked_for() -> None:
    rules = holder()
    assert rules.deadline == SETTINGS.renew_s
    assert rules.tick(3.1) == [Renew(1)]
    assert rules.deadline == LASTS_S
    assert rules.renewed(row(1, 1, 10.0), 3.9) == [LeaseExtended(3.1 + LASTS_S)]
    assert rules.deadline == 3.1 + SETTINGS.renew_s


def test_the_owner_stops_by_its_own_clock() -> None:
    rules = holder()
    rules.tick(3.0)
    assert rules.tick(LASTS_S - 0.01) == []
    assert rules.tick(LASTS_S) == [LeaseOver("the lease ran out")]
    assert rules.renewed(row(1, 1, 10.0), LASTS_S + 1) == [GiveUp(1)], "others need not wait"


def test_a_renewal_that_is_refused_ends_it() -> None:
    rules = holder()
    rules.tick(3.0)
    assert rules.refused(row(2, 3, 9.0), 3.2) == [
        LeaseOver("the lease is no longer mine: node 3 has it")
    ]
    rules = holder()
    rules.tick(3.0)
    assert rules.refused(None, 3.2)[0] == LeaseOver("the lease is no longer mine: nobody has it")


def test_a_renewal_that_failed_is_tried_again() -> None:
    rules = holder(LeaseSettings(failsafe=False))
    rules.tick(3.0)
    assert rules.failed("away", 3.5) == []
    assert rules.deadline == 3.5 + SETTINGS.retry_s
    assert rules.tick(5.5) == [Renew(1)]


def test_the_database_knows_better_who_is_provisioned() -> None:
    """The roster that this node read may be older."""
    rules = holder()
    rules.tick(3.0)
    assert rules.dismissed("no row", 3.1) == [LeaseOver("no row"), GiveUp(1)]
    assert rules.given_up(3.2) == [ReadRow()]
    rules = node()
    rules.row_read(row(), 0.0)
    assert rules.dismissed("no row", 0.1) == []
    assert rules.deadline == 0.1 + SETTINGS.retry_s, "it asks again: its row may come back"
    assert rules.trouble == "no row"


def test_who_is_refused_without_a_reason_in_the_row_does_not_ask_without_a_pause() -> None:
    """As when somebody wrote electors by hand that the database does not find."""
    rules = node()
    rules.row_read(row(), 0.0)
    assert rules.refused(row(), 0.1) == []
    assert rules.deadline == pytest.approx(0.1 + SETTINGS.rank_delay_s)


# Giving it up -------------------------------------------------------------------------------------


def test_who_gives_it_up_lets_the_others_try_first() -> None:
    rules = holder()
    assert rules.give_up("asked", TWO, 1.0) == [LeaseOver("asked", TWO), GiveUp(1)]
    assert rules.given_up(1.2) == [ReadRow()]
    rules.row_read(row(1, 1, released=True), 1.3)
    for now in (4.3, 7.3, 10.3):
        assert rules.tick(now) == [ReadRow()]
        rules.row_read(row(1, 1, released=True), now)
    assert rules.deadline == 1.0 + SETTINGS.ttl_s
    assert rules.tick(11.0) == [Acquire(1)]


def test_it_is_given_up_after_the_request_under_way() -> None:
    rules = holder()
    rules.tick(3.0)
    assert rules.give_up("asked", None, 3.1) == [LeaseOver("asked")]
    assert rules.failed("away", 3.2) == [GiveUp(1)]


def test_a_lease_that_comes_while_others_are_to_have_it_is_given_back() -> None:
    rules = node()
    rules.row_read(row(), 0.0)
    assert rules.give_up("asked", None, 0.1) == []
    assert rules.acquired(row(1, 1, 9.9), 0.2) == [GiveUp(1)]


def test_a_successor_goes_first_and_looks_often() -> None:
    rules = node(2)
    rules.give_up("earlier", None, 0.0)
    rules.row_read(row(1, 1, 8.0), 0.0)
    assert rules.look(1, TWO, 1.0) == [ReadRow()]
    assert rules.row_read(row(1, 1, 7.0), 1.1) == []
    assert rules.deadline == pytest.approx(1.1 + SETTINGS.rank_delay_s)
    rules.tick(1.3)
    rules.row_read(row(1, 1, released=True), 1.4)
    assert rules.tick(1.4 + SETTINGS.rank_delay_s) == [Acquire(1)], "node 1 is before it"


def test_others_leave_a_successor_time() -> None:
    rules = node()
    rules.row_read(row(1, 2, 8.0), 0.0)
    assert rules.look(1, THREE, 1.0) == [ReadRow()]
    assert rules.row_read(row(1, 2, released=True), 1.1) == []
    assert rules.deadline == 1.0 + SETTINGS.renew_s
    rules = node()
    rules.row_read(row(1, 2, 8.0), 0.0)
    rules.view_changed(around((2,)), 0.5)
    rules.look(1, THREE, 1.0)
    assert rules.row_read(row(1, 2, released=True), 1.1) == [Acquire(1)], "it is not there"


FAILBACK = LeaseSettings(failback_s=5.0)


def test_a_preferred_node_gets_the_tag_back_when_it_has_been_fit_for_long() -> None:
    rules = holder(FAILBACK, preferred=(2, 1))
    assert rules.deadline == 0.0 + SETTINGS.renew_s
    rules.tick(1.0)
    rules.tick(3.0)
    rules.renewed(row(1, 1, 10.0, preferred=(2, 1)), 3.1)
    assert rules.view_changed(around((3,)), 4.0) == []
    rules.tick(6.0)
    rules.renewed(row(1, 1, 10.0, preferred=(2, 1)), 6.1)
    assert rules.view_changed(around(), 6.5) == []
    rules.tick(9.0)
    rules.renewed(row(1, 1, 10.0, preferred=(2, 1)), 9.1)
    assert rules.deadline == 11.5
    assert rules.tick(11.5) == [LeaseOver("node 2 is preferred", TWO), GiveUp(1)]
    rules.view_changed(around((3,)), 11.6)
    rules.given_up(11.6)
    assert rules.row_read(row(1, 1, released=True, preferred=(2, 1)), 11.7) == [], "2 has its time"


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        (FAILBACK, row(1, 1, 10.0)),
        (FAILBACK, row(1, 1, 10.0, preferred=(1, 2))),
        (FAILBACK, row(1, 1, 10.0, preferred=(2, 1), paused=True)),
        (SETTINGS, row(1, 1, 10.0, preferred=(2, 1))),
    ],
)
def test_nothing_is_given_back_unless_somebody_is_preferred(
    settings: LeaseSettings, read: TagRow
) -> None:
    rules = holder(settings)
    for now in range(3, 30, 3):
        assert rules.tick(float(now)) == [Renew(1)]
        (effect,) = rules.renewed(read, now + 0.1)
        assert isinstance(effect, LeaseExtended)


def test_a_database_that_is_away_is_not_asked_again_and_again_for_a_free_lease() -> None:
    rules = node()
    assert rules.row_read(row(), 0.0) == [Acquire(0)]
    assert rules.failed("away", 0.2) == []
    assert rules.deadline == 0.2 + SETTINGS.retry_s
    assert rules.tick(0.2 + SETTINGS.retry_s) == [Acquire(0)]
