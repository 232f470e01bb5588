"""One capability on one node: how it becomes OK without a donor, and what follows (S-27, S-28)."""

from __future__ import annotations

import pytest

from tagmesh.protocol.capability_words import (
    Answer,
    CancelDonating,
    StartSession,
    StateChanged,
    SyncOver,
    SyncWish,
)
from tagmesh.protocol.contract import SyncReport
from tagmesh.protocol.effects import Announce
from tagmesh.protocol.events import Event
from tagmesh.protocol.fallback import SETTLE_S
from tagmesh.protocol.messages import CapState
from tests.protocol.capability_bench import (
    BY_HAND,
    Bench,
    peer,
    said,
    synced,
    view,
    without_data,
)

DISABLED, UNSYNCED, PENDING = CapState.DISABLED, CapState.UNSYNCED, CapState.PENDING
SYNCING, OK, DEGRADED = CapState.SYNCING, CapState.OK, CapState.DEGRADED
EMPTY = said(without_data=True)
EVERYTHING = SyncWish()


def test_a_seed_alone_becomes_ok_as_a_recorded_event() -> None:
    """S-27"""
    bench = without_data(peer(2, hops=0))
    assert bench.now == 105.0
    assert (bench.state, bench.rules.published.generation) == (OK, 1)
    assert bench.events() == [Event.CAPABILITY_CHANGED, Event.SYNCED_WITHOUT_DATA]
    assert bench.of(Announce)[1].cause == "S-27: seed, and no donor for 5 s"
    assert bench.of(SyncOver) == [SyncOver(SyncReport(ok=True))]


def test_no_seed_without_a_quorum_waits_for_ever_but_can_be_woken() -> None:
    bench = Bench().enable()
    assert (bench.state, bench.rules.deadline) == (PENDING, None)
    assert bench.see(peer(2), peer(3, hops=0)).state is SYNCING


def test_data_that_appears_is_fetched_while_the_seed_goes_on_to_serve() -> None:
    """S-27: as soon as; it stays OK, so nobody whom it serves is cut off; union."""
    bench = without_data(peer(2, hops=0), peer(3, hops=0))
    bench.see(peer(2, PENDING), peer(3), flags="seed")
    assert bench.of(StartSession) == [StartSession(1, EVERYTHING)]
    assert bench.of(CancelDonating) == bench.of(StateChanged) == []
    assert bench.request() is Answer.IN_PROGRESS
    bench.ended(donor=3)
    assert bench.state is OK
    assert not bench.rules.published.without_data
    assert bench.rules.published.generation == 1, "it never was anything but OK"
    assert bench.events() == [Event.SYNC_DONE]


def test_fetching_that_failed_is_tried_again_and_it_stays_ok() -> None:
    bench = without_data(peer(2, hops=0), peer(3, hops=0))
    bench.see(peer(2), peer(3, hops=0), flags="seed").ended(ok=False)
    assert bench.state is OK
    assert bench.rules.published.without_data
    bench.tick_at_deadline()
    assert bench.of(StartSession) == [StartSession(2, EVERYTHING)]


def test_who_has_nothing_but_what_a_last_resort_gave_is_one_too() -> None:
    """Else the mark would be washed off by a sync from a node that got nothing from it."""
    bench = Bench(around=view(peer(2, EMPTY))).enable().ended()
    assert bench.state is OK
    assert bench.rules.published.without_data
    bench.see(peer(2, EMPTY), peer(3)).ended(donor=3)
    assert not bench.rules.published.without_data


def test_who_had_data_of_its_own_is_none() -> None:
    own = Bench(around=view(peer(2, EMPTY)), position=4).enable().ended()
    assert not own.rules.published.without_data
    before = synced().see(peer(2, EMPTY))
    before.request()
    before.ended()
    assert not before.rules.published.without_data


def test_what_came_with_the_sync_is_no_data_of_its_own() -> None:
    bench = Bench(around=view(peer(2, EMPTY))).enable()
    bench.move(40)
    assert bench.ended().rules.published.without_data


def test_with_a_real_donor_and_a_last_resort_the_real_one_is_asked_first() -> None:
    bench = Bench(around=view(peer(2, EMPTY), peer(3, hops=3))).enable()
    assert bench.of(Announce)[1].node_id == 3


def test_two_nodes_that_both_cleared_ok_find_a_way_out() -> None:
    """S-10, S-28; row 16: both asked at the same time, so both refused."""
    one, two = (
        Bench(around=view(peer(3 - me), me=me), position=me).enable().ended(donor=3 - me)
        for me in (1, 2)
    )
    benches = {1: one, 2: two}
    for me, bench in benches.items():
        bench.request()
        assert bench.state is SYNCING
        benches[me].ended(ok=False, donor=3 - me, reason="not_ok")
        assert bench.state is DEGRADED

    def meet(me: int) -> None:
        other = benches[3 - me]
        other_word = peer(3 - me, other.rules.published)
        benches[me].do(benches[me].rules.view_changed(view(other_word, me=me), benches[me].now))

    meet(1)
    meet(2)
    assert one.rules.deadline is not None, "its pause"
    while two.state is not OK:
        two.tick_at_deadline()
    assert two.now == pytest.approx(100 + SETTLE_S, abs=0.1)
    assert two.of(Announce)[1].cause.startswith("S-28: ")
    assert not two.rules.published.without_data, "it has data"
    one.now = two.now
    meet(1)
    assert one.state is SYNCING
    assert one.ended(donor=2).state is OK


def test_nobody_has_it_but_this_node() -> None:
    """The cluster is there; only here the capability is registered."""
    bench = Bench(around=view(peer(2, None), peer(3, None))).enable()
    assert bench.tick_at_deadline().state is OK
    assert bench.now == 105.0


def test_a_capability_that_waits_to_be_asked_for_is_left_in_peace() -> None:
    bench = Bench(BY_HAND, view(peer(2, UNSYNCED), flags="seed")).enable()
    assert (bench.state, bench.rules.deadline) == (UNSYNCED, None)
    assert bench.see(peer(2), flags="seed").state is UNSYNCED


def test_it_decides_for_others_that_wait_even_if_nobody_asked_it() -> None:
    """S-28: the newest data is where nobody asked for a sync."""
    bench = Bench(BY_HAND, view(peer(2, PENDING)), position=9).enable().tick_at_deadline()
    assert bench.state is OK
    assert bench.of(SyncOver) == [], "no request of this node ended"


def test_the_newest_data_is_that_of_now_not_of_the_start() -> None:
    """S-28: what was written while it was OK counts when it is switched off and on."""
    bench = Bench().enable()
    bench.do(bench.rules.disable("maintenance", bench.now))
    bench.position = 12
    bench.enable()
    assert bench.rules.published.position == 12
    bench.see(peer(2)).ended()
    assert not bench.rules.published.without_data, "it had data of its own"
