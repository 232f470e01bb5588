"""The states of one capability on one node: each row of the table, and what must never happen."""

from __future__ import annotations

import pytest

from tagmesh.protocol.capability import CapabilityRules
from tagmesh.protocol.capability_words import (
    Answer,
    CancelDonating,
    CancelJoining,
    DropWaiting,
    Policy,
    StartSession,
    SyncOver,
    SyncWish,
    TellState,
    Trigger,
)
from tagmesh.protocol.contract import SyncReport
from tagmesh.protocol.donors import CapabilityView, Rejection
from tagmesh.protocol.effects import Announce, Count
from tagmesh.protocol.events import Event
from tagmesh.protocol.fallback import SETTLE_S
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import CapState
from tests.protocol.capability_bench import (
    ALONE,
    BY_HAND,
    SYNCED_AT_START,
    Bench,
    peer,
    said,
    synced,
    view,
)

DISABLED, UNSYNCED, PENDING = CapState.DISABLED, CapState.UNSYNCED, CapState.PENDING
SYNCING, OK, DEGRADED = CapState.SYNCING, CapState.OK, CapState.DEGRADED
EMPTY = said(without_data=True)
EVERYTHING = SyncWish()


# Switching on and off --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "around", "state", "reason"),
    [
        (Policy(), view(peer(2)), OK, "needs no sync to begin"),
        (BY_HAND, view(peer(2)), UNSYNCED, "nobody asked for a sync yet"),
        (SYNCED_AT_START, ALONE, PENDING, "switched on"),
        (SYNCED_AT_START, view(peer(2)), SYNCING, ""),
        (Policy(auto_sync=True), view(peer(2)), SYNCING, ""),
    ],
)
def test_switched_on_it_says_how_it_really_is(
    policy: Policy, around: CapabilityView, state: CapState, reason: str
) -> None:
    """C-2; row 17 of the defects."""
    bench = Bench(policy, around)
    assert bench.state is DISABLED
    bench.enable()
    assert (bench.state, bench.rules.published.reason) == (state, reason)
    assert bench.of(TellState) == [TellState(state, reason)]
    assert bench.do(bench.rules.enable(bench.now)) == []


def test_switching_off_ends_everything_at_once() -> None:
    """C-1: sessions on both sides, what waits, and a third state that peers see."""
    bench = Bench(around=view(peer(2))).enable()
    bench.do(bench.rules.disable("maintenance", bench.now))
    assert (bench.state, bench.rules.published.reason) == (DISABLED, "maintenance")
    assert bench.of(CancelJoining) == [CancelJoining(1, "disabled")]
    assert bench.of(DropWaiting) == [DropWaiting()]
    assert [e.report.reason for e in bench.of(SyncOver)] == ["disabled"]
    assert bench.do(bench.rules.disable("again", bench.now)) == []
    late = SyncReport(ok=True, donor=NodeId(2))
    assert bench.do(bench.rules.session_ended(1, late, bench.now)) == [Count("S-20")]
    assert bench.state is DISABLED


def test_switched_off_it_neither_syncs_nor_falls_back() -> None:
    bench = Bench(around=view(flags="seed"))
    bench.see(peer(2), flags="seed").see(flags="seed")
    assert bench.rules.deadline is None
    assert bench.all == []


def test_on_again_it_begins_as_at_the_start() -> None:
    bench = synced()
    generation = bench.rules.published.generation
    bench.do(bench.rules.disable("maintenance", bench.now))
    bench.enable()
    assert bench.state is SYNCING
    bench.ended(ok=False)
    assert bench.state is PENDING, "what it had before does not count"
    bench.tick_at_deadline().ended()
    assert bench.rules.published.generation > generation


# Requests (S-1) ---------------------------------------------------------------------------------


def test_a_request_of_an_ok_node_clears_ok_and_ends_what_it_donates() -> None:
    bench = synced()
    assert bench.request(tags=("vip1",), mirror=True) is Answer.TAKEN
    assert bench.state is SYNCING
    assert bench.of(CancelDonating) == [CancelDonating("not_ok")]
    (started,) = bench.of(StartSession)
    assert started.wish == SyncWish(("vip1",), mirror=True)
    bench.ended()
    assert bench.state is OK


def test_a_request_during_a_sync_is_already_in_progress() -> None:
    bench = Bench(around=view(peer(2))).enable()
    assert bench.request() is Answer.IN_PROGRESS
    assert bench.of(StartSession) == []


def test_a_request_that_waits_is_tried_at_once_when_it_is_repeated() -> None:
    bench = Bench(around=view(peer(2))).enable().ended(ok=False)
    assert bench.request() is Answer.TAKEN
    assert len(bench.of(StartSession)) == 1
    waiting = Bench().enable()
    assert waiting.request() is Answer.TAKEN
    assert waiting.state is PENDING


def test_another_wish_than_the_one_that_waits_is_refused() -> None:
    """A sync of one tag must not take the place of the one that makes the data complete."""
    bench = Bench().enable()
    assert bench.request(tags=("vip1",)) is Answer.IN_PROGRESS
    bench.see(peer(2))
    assert bench.of(StartSession) == [StartSession(1, EVERYTHING)]


def test_a_request_that_is_switched_off_has_an_end_too() -> None:
    """S-21"""
    bench = Bench()
    assert bench.request() is Answer.DISABLED
    assert [(e.report.ok, e.report.reason) for e in bench.of(SyncOver)] == [(False, "disabled")]
    assert bench.events() == [Event.SYNC_FAILED]
    assert bench.state is DISABLED


def test_a_first_sync_of_some_tags_does_not_make_the_data_complete() -> None:
    bench = Bench(BY_HAND, view(peer(2))).enable()
    assert bench.request(tags=("vip1",)) is Answer.TAKEN
    bench.ended()
    assert (bench.state, bench.rules.published.reason) == (UNSYNCED, "synced only some tags")
    assert bench.events() == [Event.CAPABILITY_CHANGED, Event.SYNC_DONE]
    bench.request()
    bench.ended()
    assert bench.state is OK


# Sessions ---------------------------------------------------------------------------------------


def test_a_sync_that_is_done() -> None:
    bench = synced()
    published = bench.rules.published
    assert (published.state, published.reason) == (OK, "synced from node 2")
    assert (published.without_data, published.generation) == (False, 1)
    assert [e.report.items for e in bench.of(SyncOver)] == [3]
    assert bench.events() == [Event.CAPABILITY_CHANGED, Event.SYNC_DONE]
    assert bench.of(Announce)[1].cause == "3 records in 1.5 s"
    assert bench.rules.deadline is None


def test_a_sync_that_failed_is_tried_again_after_a_pause() -> None:
    """Rows 8 and 9 of the defects."""
    bench = Bench(around=view(peer(2))).enable().ended(ok=False, reason="timeout")
    assert (bench.state, bench.rules.published.reason) == (PENDING, "timeout")
    assert bench.events() == [Event.CAPABILITY_CHANGED, Event.SYNC_FAILED]
    assert [e.report.reason for e in bench.of(SyncOver)] == ["timeout"]
    for number in range(2, 30):
        bench.tick_at_deadline()
        assert bench.of(StartSession) == [StartSession(number, EVERYTHING)]
        bench.ended(ok=False)
    bench.tick_at_deadline().ended()
    assert bench.state is OK


def test_a_sync_of_what_was_ok_that_failed_leaves_it_degraded() -> None:
    bench = synced()
    bench.request()
    bench.ended(ok=False, reason="verify")
    assert (bench.state, bench.rules.published.reason) == (DEGRADED, "verify")
    assert bench.tick_at_deadline().state is SYNCING


def test_a_donor_that_appears_ends_the_waiting_at_once() -> None:
    """S-3"""
    bench = Bench().enable()
    assert bench.see(peer(2, PENDING), peer(3, hops=0)).of(StartSession) == []
    assert bench.see(peer(2), peer(3, hops=0)).of(StartSession) == [StartSession(1, EVERYTHING)]
    bench.ended(ok=False)
    assert bench.see(peer(2), peer(3)).of(StartSession) == [StartSession(2, EVERYTHING)]
    assert bench.of(Announce)[1].node_id == 3


def test_a_donor_that_appears_during_a_session_begins_no_second_one() -> None:
    bench = Bench(around=view(peer(2))).enable()
    assert bench.see(peer(2), peer(3)).last == []
    assert bench.rules.choose(frozenset({NodeId(2)})) is not None


def test_a_donor_that_flaps_costs_one_session_per_pause() -> None:
    bench = Bench(around=view(peer(2))).enable()
    bench.ended(ok=False, reason="unreachable")
    for _ in range(50):
        bench.see(peer(2, hops=0)).see(peer(2))
    assert bench.session == 1
    assert bench.tick_at_deadline().session == 2


def test_what_a_dead_life_said_makes_nobody_a_donor() -> None:
    """S-9, N-2; row 12: after the restart the view has no state, then the true one."""
    bench = Bench(around=view(peer(2, hops=0))).enable()
    bench.see(peer(2, None, life=2))
    bench.see(peer(2, PENDING, life=2))
    assert bench.state is PENDING
    assert [v.rejection for v in bench.rules.explain()] == [Rejection.NOT_OK]


def test_the_report_of_another_session_is_dropped() -> None:
    """S-20, S-11"""
    bench = Bench(around=view(peer(2))).enable()
    report = SyncReport(ok=True, donor=NodeId(2))
    assert bench.do(bench.rules.session_ended(7, report, bench.now)) == [Count("S-20")]
    assert bench.state is SYNCING


# What the others are told -----------------------------------------------------------------------


def test_the_explanation_names_what_failed() -> None:
    bench = Bench(around=view(peer(2))).enable().ended(ok=False, reason="busy")
    (verdict,) = bench.rules.explain()
    assert (verdict.rejection, verdict.detail) == (Rejection.TRIED, "busy")


def test_before_its_deadline_a_tick_does_nothing() -> None:
    bench = Bench(around=view(flags="seed")).enable()
    assert bench.do(bench.rules.tick(100 + SETTLE_S / 2)) == []
    assert bench.state is PENDING


def test_the_table_has_a_reaction_for_every_command_in_every_state() -> None:
    """Operators and applications cannot know the state: what they may ask, is answered."""
    table = CapabilityRules.TABLE
    assert {s for s, t in table if t is Trigger.REQUEST} == set(CapState)
    assert {s for s, t in table if t is Trigger.DISABLE} == set(CapState) - {DISABLED}
    assert {s for s, t in table if t is Trigger.ENABLE} == {DISABLED}
