"""Comparisons with other nodes: an OK node stays OK, and whatever somebody asks for goes first."""

from __future__ import annotations

import pytest

from tagmesh.protocol.capability_words import (
    Answer,
    CancelJoining,
    Policy,
    RequestAnswered,
    StartSession,
    SyncOver,
)
from tagmesh.protocol.contract import SyncReport
from tagmesh.protocol.donors import Peer
from tagmesh.protocol.effects import Count
from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import CapState
from tagmesh.protocol.sync_words import Candidate
from tests.protocol.capability_bench import Bench, peer, said, view
from tests.protocol.tag_sync_bench import here

SYNCING, OK = CapState.SYNCING, CapState.OK
EMPTY = said(without_data=True)
COMPARING = Policy(startup_sync=True, auto_sync=True, verify_interval_s=60.0)


def comparing(*more: Peer) -> Bench:
    """OK, and in the middle of a comparison with node 2."""
    bench = Bench(COMPARING, view(peer(2), *more)).enable().ended()
    bench.tick_at_deadline()
    (start,) = bench.of(StartSession)
    assert start.wish.compare is not None
    assert start.wish.compare.node_id == 2
    return bench


def test_a_comparison_leaves_it_ok_and_tells_nobody() -> None:
    bench = comparing(peer(3, hops=2))
    assert bench.state is OK
    assert bench.last == bench.of(StartSession)
    assert bench.rules.choose(frozenset()) == Candidate(NodeId(2), 1)
    assert bench.rules.choose(frozenset({NodeId(2)})) is None, "with this one or with nobody"


def test_what_a_comparison_repaired_is_told_to_who_listens() -> None:
    bench = comparing().ended()
    assert bench.events() == [Event.REPAIRED]
    assert bench.of(SyncOver) == [], "it is nobody's sync"
    assert bench.state is OK


@pytest.mark.parametrize("reason", ["busy", "unreachable"])
def test_a_comparison_that_fails_is_followed_by_the_next_one(reason: str) -> None:
    bench = comparing()
    bench.ended(ok=False, reason=reason)
    assert bench.last == []
    assert bench.rules.explain()[0].accepted, "nothing is held against that node"
    bench.tick_at_deadline()
    assert len(bench.of(StartSession)) == 1


def test_a_sync_that_somebody_asks_for_ends_a_comparison() -> None:
    bench = comparing()
    session = bench.session
    assert bench.request(mirror=True) is Answer.TAKEN
    assert bench.of(CancelJoining) == [CancelJoining(session, "superseded")]
    assert [start.wish.mirror for start in bench.of(StartSession)] == [True]
    assert bench.state is SYNCING
    assert bench.do(bench.rules.session_ended(session, SyncReport(ok=True), bench.now)) == [
        Count("S-20")
    ]


def test_switching_off_ends_a_comparison_too() -> None:
    bench = comparing()
    bench.do(bench.rules.disable("maintenance", bench.now))
    assert len(bench.of(CancelJoining)) == 1
    assert bench.of(SyncOver) == []
    assert bench.rules.deadline is None


def test_a_node_without_data_compares_too_but_fetches_first() -> None:
    """A cluster that began empty is without data, whatever has been written since."""
    bench = Bench(COMPARING, view(peer(2, EMPTY))).enable().ended()
    assert bench.rules.published.without_data
    bench.tick_at_deadline()
    assert [start.wish.compare is not None for start in bench.of(StartSession)] == [True]
    bench.ended()
    bench.see(peer(2, EMPTY), peer(3))
    assert [start.wish.compare for start in bench.of(StartSession)] == [None]
    bench.ended(donor=3)
    assert not bench.rules.published.without_data


def test_data_that_appears_during_a_comparison_is_fetched_after_it() -> None:
    bench = Bench(COMPARING, view(peer(2, EMPTY))).enable().ended()
    bench.tick_at_deadline()
    bench.see(peer(2, EMPTY), peer(3))
    assert bench.of(StartSession) == []
    bench.ended()
    assert [start.wish.compare for start in bench.of(StartSession)] == [None]


def test_never() -> None:
    bench = Bench(Policy(startup_sync=True, auto_sync=True), view(peer(2))).enable().ended()
    assert bench.state is OK
    assert bench.rules.deadline is None


# When somebody asks (`diffing`) -----------------------------------------------------------------


def ask(bench: Bench, node: int, tag: str = "") -> Answer:
    bench.do(bench.rules.request_diff(NodeId(node), tag, bench.now))
    (answered,) = [effect for effect in bench.last if isinstance(effect, RequestAnswered)]
    return answered.answer


def test_who_wants_to_know_what_differs_has_a_session_that_takes_nothing() -> None:
    bench = Bench(COMPARING, view(peer(2), peer(3))).enable().ended()
    assert ask(bench, 3, "unclaimed") is Answer.TAKEN
    (start,) = bench.of(StartSession)
    assert (start.wish.diff, start.wish.tags) == (True, ("unclaimed",))
    assert bench.rules.choose(frozenset()) == Candidate(NodeId(3), 1)
    bench.ended()
    assert (bench.events(), bench.of(SyncOver)) == ([], []), "nothing was repaired"
    assert bench.state is OK


def test_it_goes_before_a_comparison_that_nobody_asked_for() -> None:
    bench = comparing(peer(3))
    session = bench.session
    assert ask(bench, 3) is Answer.TAKEN
    assert bench.of(CancelJoining) == [CancelJoining(session, "superseded")]
    assert [start.wish.diff for start in bench.of(StartSession)] == [True]


def test_one_at_a_time_and_a_sync_goes_first() -> None:
    bench = Bench(COMPARING, view(peer(2), peer(3))).enable().ended()
    assert [ask(bench, 2), ask(bench, 3)] == [Answer.TAKEN, Answer.IN_PROGRESS]
    session = bench.session
    assert bench.request() is Answer.TAKEN
    assert bench.of(CancelJoining) == [CancelJoining(session, "superseded")]
    assert (bench.state, ask(bench, 2)) == (SYNCING, Answer.NOT_OK)


def test_records_of_a_tag_are_compared_with_the_node_that_has_it() -> None:
    tags = [here("mine", 1, active=True), here("theirs", 2), here("nobodys", None)]
    bench = Bench(Policy(), view(peer(2), peer(3), tags=tags)).enable()
    asked = {}
    for node, name in [(3, "mine"), (2, "theirs"), (3, "theirs"), (3, "nobodys")]:
        asked[node, name] = ask(bench, node, name)
        if asked[node, name] is Answer.TAKEN:
            (start,) = bench.of(StartSession)
            assert [term.tag for term in start.wish.terms] == [name]
            bench.ended()
    assert asked == {
        (3, "mine"): Answer.TAKEN,
        (2, "theirs"): Answer.TAKEN,
        (3, "theirs"): Answer.NOT_TAG_OWNER,
        (3, "nobodys"): Answer.TAKEN,
    }
