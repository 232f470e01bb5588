"""What others hear of a capability: once per input, the state first."""

from __future__ import annotations

from tagmesh.protocol.capability import CapabilityRules
from tagmesh.protocol.capability_words import (
    POSITION_INTERVAL_S,
    CancelDonating,
    CancelJoining,
    StartSession,
    StateChanged,
    SyncOver,
    SyncWish,
    TellState,
)
from tagmesh.protocol.contract import SyncReport
from tagmesh.protocol.effects import Announce
from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import MAX_TEXT_CHARS, CapState
from tests.protocol.capability_bench import (
    ALONE,
    BY_HAND,
    NAME,
    SYNCED_AT_START,
    Bench,
    peer,
    synced,
    view,
)


def test_one_input_is_one_word_to_the_others_however_many_steps_it_takes() -> None:
    bench = Bench(around=view(peer(2))).enable()
    assert [e.state.state for e in bench.of(StateChanged)] == [CapState.SYNCING]
    assert isinstance(bench.last[0], StateChanged)
    assert bench.of(StartSession) == [StartSession(1, SyncWish())]
    assert bench.events() == [Event.CAPABILITY_CHANGED, Event.SYNC_STARTED]
    changed, started = bench.of(Announce)
    assert (changed.before, changed.after, changed.capability) == ("disabled", "syncing", NAME)
    assert (started.node_id, started.capability) == (2, NAME)


def test_switched_off_as_a_donor_it_cancels_those_it_serves() -> None:
    bench = synced()
    bench.do(bench.rules.disable("maintenance", bench.now))
    assert bench.of(CancelDonating) == [CancelDonating("disabled")]
    assert bench.of(CancelJoining) == bench.of(SyncOver) == []


def test_a_machine_that_is_started_again_in_the_same_life_repeats_no_number() -> None:
    first = Bench(around=view(peer(2))).enable().ended()
    again = CapabilityRules(NAME, SYNCED_AT_START, view(peer(2)), lambda: 0.0, starts=1)
    (start,) = [e for e in again.enable(0.0) if isinstance(e, StartSession)]
    assert start.session > first.session
    again.choose(frozenset())
    again.session_ended(start.session, SyncReport(ok=True, donor=NodeId(2)), 1.0)
    assert again.published.generation > first.rules.published.generation


def test_a_position_is_told_with_a_change_of_state_and_otherwise_only_where_it_decides() -> None:
    bench = Bench(BY_HAND, ALONE, position=3).enable()
    assert bench.rules.published.position == 3
    bench.move(4)
    assert bench.last == [], "told a moment ago"
    assert bench.rules.deadline == bench.now + POSITION_INTERVAL_S
    bench.move(5)
    (told,) = bench.tick_at_deadline().of(StateChanged)
    assert told.state.position == 5
    assert bench.of(TellState) == bench.of(Announce) == []
    ok = synced()
    for position in range(100):
        ok.now += 1.0
        assert ok.move(position) == []
    assert ok.rules.deadline is None


def test_a_partition_view_is_told_at_once() -> None:
    bench = synced()
    bench.do(bench.rules.adopted(77, 2, bench.now))
    (told,) = bench.of(StateChanged)
    assert told.state == bench.rules.published
    assert (told.state.view, told.state.weight) == (77, 2)
    assert len(bench.last) == 1


def test_a_reason_is_cut_to_what_a_message_can_carry() -> None:
    bench = Bench().enable()
    bench.do(bench.rules.disable("x" * 1000, bench.now))
    assert bench.rules.published.reason == "x" * MAX_TEXT_CHARS
