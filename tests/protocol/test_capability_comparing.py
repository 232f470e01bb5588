"""Comparisons with other nodes: an OK node stays OK, and whatever somebody asks for goes first."""

from __future__ import annotations

import pytest

from tagmesh.protocol.capability_words import (
    Answer,
    CancelJoining,
    Policy,
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
