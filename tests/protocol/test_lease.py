"""The lease on a sharing tag: each row of its table (B4)."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tagmesh.protocol.effects import Count, Effect, SendTo
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.lease import LeaseRules
from tagmesh.protocol.lease_words import (
    Acquire,
    GiveUp,
    LeaseExtended,
    LeaseOver,
    LeaseSettings,
    LeaseView,
    LeaseWon,
    ReadRow,
    Renew,
)
from tagmesh.protocol.tag_messages import Mode, Vow, VowRequest
from tagmesh.protocol.tag_words import TagRow, digest_of_members
from tests.protocol.tag_bench import CLUSTER, LIFE, ONE, THREE, TWO, me

SETTINGS = LeaseSettings()
LASTS_S = SETTINGS.ttl_s - SETTINGS.safety_s
BORN = -100.0
"""Long before the tests begin, so nothing of an earlier life matters."""
MEMBERS = digest_of_members([ONE, TWO, THREE])


def around(lives: Iterable[int] = (2, 3), fit: Iterable[int] = (1, 2, 3)) -> LeaseView:
    return LeaseView(
        members=(ONE, TWO, THREE),
        lives={NodeId(n): LIFE for n in lives},
        fit=frozenset(NodeId(n) for n in fit),
    )


def row(
    number: int = 0,
    owner: int | None = None,
    left_s: float = 0.0,
    *,
    released: bool | None = None,
    preferred: Iterable[int] = (),
    paused: bool = False,
    mode: Mode = "lease",
) -> TagRow:
    return TagRow(
        tag="vip",
        number=number,
        owner=None if owner is None else me(owner),
        released=owner is None if released is None else released,
        mode=mode,
        left_s=left_s,
        paused=paused,
        preferred=tuple(NodeId(n) for n in preferred),
    )


def node(
    number: int = 1,
    *,
    view: LeaseView | None = None,
    settings: LeaseSettings = SETTINGS,
    born: float = BORN,
) -> LeaseRules:
    """All is fit and reachable; the row is being read since second 0."""
    rules = LeaseRules(
        cluster_id=CLUSTER,
        tag="vip",
        me=me(number),
        settings=settings,
        view=view or around({1, 2, 3} - {number}),
        now=born,
    )
    assert rules.tick(0.0) == [ReadRow()]
    return rules


def holder(settings: LeaseSettings = SETTINGS, **options: Iterable[int]) -> LeaseRules:
    """Node 1, which asked for the lease in second 0."""
    rules = node(settings=settings)
    assert rules.row_read(row(), 0.0) == [Acquire(0)]
    won = rules.acquired(row(1, 1, 10.0, **options), 0.3)  # type: ignore[arg-type]  # preferred
    assert won == [LeaseWon(1, LASTS_S)]
    return rules


def vow_request(number: int = 1, round_: int = 1, members: bytes = MEMBERS) -> VowRequest:
    return VowRequest(CLUSTER, "vip", number, round_, members)


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
    assert rules.view_changed(around(), 7.0) == []
    rules.tick(9.0)
    rules.renewed(row(1, 1, 10.0, preferred=(2, 1)), 9.1)
    assert rules.deadline == 12.0
    assert rules.tick(12.0) == [LeaseOver("node 2 is preferred", TWO), GiveUp(1)]


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


# Failsafe -----------------------------------------------------------------------------------------


def away() -> LeaseRules:
    """Node 1 could not renew in second 3, and asked for vows in second 4."""
    rules = holder()
    rules.tick(3.0)
    assert rules.failed("away", 4.0) == [SendTo(TWO, vow_request()), SendTo(THREE, vow_request())]
    return rules


def vow(
    rules: LeaseRules, sender: int, now: float, number: int = 1, round_: int = 1
) -> list[Effect]:
    return rules.receive(NodeId(sender), Vow(CLUSTER, "vip", number, round_), now)


def test_when_all_others_vow_the_lease_lasts_from_when_they_were_asked() -> None:
    rules = away()
    assert vow(rules, 2, 4.1) == vow(rules, 2, 4.2) == []
    assert vow(rules, 3, 4.3) == [LeaseExtended(4.0 + LASTS_S)]


def test_the_only_node_needs_nobody_to_let_it() -> None:
    alone = LeaseView(members=(ONE,), fit=frozenset({ONE}))
    rules = node(view=alone)
    rules.row_read(row(), 0.0)
    rules.acquired(row(1, 1, 10.0), 0.1)
    rules.tick(3.0)
    assert rules.failed("away", 4.0) == [LeaseExtended(4.0 + LASTS_S)]


def test_only_vows_of_this_round_by_members_count() -> None:
    rules = away()
    assert vow(rules, 2, 4.1, round_=0) == vow(rules, 2, 4.1, number=2) == [Count("B4")]
    for stranger in (9, 1):
        assert vow(rules, stranger, 4.1) == [Count("G-4")]
    rules.tick(6.0)
    assert rules.failed("away", 6.1)[0] == SendTo(TWO, vow_request(round_=2))
    assert vow(rules, 3, 6.2) == [Count("B4")]
    assert vow(node(), 2, 0.1) == [Count("B4")]


def test_a_vow_keeps_its_giver_from_the_lease_for_a_ttl() -> None:
    rules = node(2)
    rules.row_read(row(1, 1, 2.0), 0.0)
    assert rules.receive(ONE, vow_request(), 1.0) == [SendTo(ONE, Vow(CLUSTER, "vip", 1, 1))]
    for now in (3.0, 6.0, 9.0):
        assert rules.tick(now) == [ReadRow()]
        assert rules.row_read(row(1, 1), now) == []
    assert rules.deadline == 1.0 + SETTINGS.ttl_s + SETTINGS.rank_delay_s
    assert rules.tick(11.2) == [Acquire(1)]


def test_who_may_take_the_lease_or_knows_better_gives_no_vow() -> None:
    """It asks for it, holds it, gives it back, heard of a later one, or knows other members."""
    asking = node()
    asking.row_read(row(1, 2), 0.0)
    giving = node()
    giving.row_read(row(1, 1, 5.0), 0.0)
    later = node()
    later.look(2, None, 0.0)
    for rules in (asking, holder(), giving, later):
        assert rules.receive(TWO, vow_request(), 0.5) == [Count("B4")]
    other = digest_of_members([ONE, TWO])
    assert node().receive(TWO, vow_request(members=other), 0.5) == [Count("B4")]
    assert node().receive(NodeId(9), vow_request(), 0.5) == [Count("G-4")]
