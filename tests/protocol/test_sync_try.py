"""A joiner's session with one donor, row by row."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol.effects import Effect
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.messages import Routed, SyncAck, SyncChunk, SyncRequest, SyncStop
from tagmesh.protocol.sync_pieces import encode_chunk, encode_piece
from tagmesh.protocol.sync_try import Try
from tagmesh.protocol.sync_words import Apply, Candidate, SyncSettings, TryState
from tests.protocol.sync_script import (
    AT_JOINER,
    CANDIDATE,
    DONOR,
    DONOR_LIFE,
    OTHER,
    T0,
    Sections,
    ack,
    answer,
    chunk,
    counts,
    end,
    here,
    pieces,
    request,
    sent,
    stop,
    those,
)

Q, U, P = 2.0, 5.0, 15.0
A, B, C = {("", 1): [b"\x01"]}, {("", 2): [b"\x02", b"\x03"]}, {("", 3): [b"\x04"]}
AT_DONOR_AGAIN = here(DONOR, DONOR_LIFE + 1)


class Bench:
    """A try and what it did."""

    def __init__(self, *, window: int = 8, versions: tuple[int, int] = (1, 1)) -> None:
        settings = SyncSettings(window_chunks=window)
        asked = request(versions=versions)
        self.rules = Try(AT_JOINER, settings, CANDIDATE, asked, None, T0)
        self.now = T0
        self.rules.start()

    def get(self, message: Routed) -> list[Effect]:
        return self.rules.receive(message, self.now)

    def receiving(self) -> Bench:
        self.get(answer())
        assert self.rules.state is TryState.RECEIVING
        return self

    def take(self, number: int) -> list[Effect]:
        return self.rules.applied(1, number, 0, self.now)

    def tick(self) -> list[Effect]:
        self.now = self.rules.deadline
        return self.rules.tick(self.now)

    def node(self, reachable: bool, incarnation: int | None = DONOR_LIFE) -> list[Effect]:
        return self.rules.donor_changed(reachable=reachable, incarnation=incarnation, now=self.now)


def test_it_begins_with_the_request() -> None:
    rules = Try(AT_JOINER, SyncSettings(), CANDIDATE, request(), None, T0)
    assert sent(rules.start(), SyncRequest) == [request()]
    assert rules.state is TryState.REQUESTED


def test_a_request_without_an_answer_is_repeated_once_and_given_up() -> None:
    bench = Bench()
    assert sent(bench.tick(), SyncRequest) == [request()]
    assert bench.now == T0 + Q / 2
    assert bench.tick() == []
    assert (bench.now, bench.rules.state, bench.rules.reason) == (T0 + Q, TryState.LOST, "timeout")
    assert sent(bench.rules.stop("timeout"), SyncStop) == [stop("timeout")], "it may be at it"
    assert bench.rules.stop("timeout") == [], "told once"


def test_an_early_tick_does_nothing() -> None:
    bench = Bench()
    assert bench.rules.tick(T0 + 0.1) == []


def test_accepted_it_lets_the_donor_send() -> None:
    bench = Bench(window=3)
    assert sent(bench.get(answer(total=100)), SyncAck) == [ack(0, 3)]
    assert bench.rules.answer == answer(total=100)


def test_refused_it_is_lost_with_the_donors_word_and_nothing_is_to_be_told() -> None:
    bench = Bench()
    bench.get(answer("busy"))
    assert (bench.rules.state, bench.rules.reason) == (TryState.LOST, "busy")
    assert bench.rules.stop("busy") == []


@pytest.mark.parametrize("version", [1, 5])
def test_data_of_a_version_that_was_not_asked_for_is_not_taken(version: int) -> None:
    bench = Bench(versions=(2, 4))
    bench.get(answer(version=version))
    assert (bench.rules.state, bench.rules.reason) == (TryState.LOST, "version")
    assert sent(bench.rules.stop("version"), SyncStop) == [stop("version")]


def test_another_answer_brings_the_estimate_and_is_not_acknowledged() -> None:
    bench = Bench().receiving()
    assert bench.get(answer(total=9)) == []
    assert bench.rules.answer == answer(total=9)
    assert bench.get(answer("not_ok")) == []
    assert bench.rules.answer == answer(total=9)


def test_chunks_go_to_the_application_and_are_acknowledged_when_taken() -> None:
    bench = Bench().receiving()
    (apply,) = bench.get(chunk(0, A))
    assert isinstance(apply, Apply)
    assert (apply.session, apply.number) == (1, 0)
    assert [list(map(bytes, piece.records)) for piece in apply.pieces] == [[b"\x01"]]
    assert len(bench.get(chunk(1, B))) == 1
    assert sent(bench.take(0), SyncAck) == [ack(1)]
    assert sent(bench.take(1), SyncAck) == [ack(2)]


def test_what_is_taken_must_be_what_was_given() -> None:
    bench = Bench().receiving()
    bench.get(chunk(0, A))
    assert bench.rules.applied(2, 0, 0, T0) == [], "another session's"
    assert bench.rules.applied(1, 1, 0, T0) == [], "not the first"
    assert sent(bench.take(0), SyncAck) == [ack(1)]
    assert bench.take(0) == [], "taken already"
    assert bench.take(1) == [], "not given"


def test_a_repeated_chunk_is_dropped() -> None:
    bench = Bench().receiving()
    bench.get(chunk(0, A))
    assert counts(bench.get(chunk(0, A))) == ["S-24 duplicate"]


def test_a_gap_is_asked_for_once() -> None:
    bench = Bench().receiving()
    bench.get(chunk(0, A))
    effects = bench.get(chunk(2, C))
    assert (counts(effects), sent(effects, SyncAck)) == (["S-24 gap"], [ack(0, resend=True)])
    effects = bench.get(chunk(3, C))
    assert (counts(effects), sent(effects, SyncAck)) == (["S-24 gap"], [])
    bench.get(chunk(1, B))
    effects = bench.get(chunk(3, C))
    assert (counts(effects), sent(effects, SyncAck)) == (["S-24 gap"], [ack(0, resend=True)])


def test_a_damaged_chunk_is_asked_for_again() -> None:
    bench = Bench().receiving()
    damaged = msgspec.structs.replace(chunk(0, A), checksum=1)
    effects = bench.get(damaged)
    assert (counts(effects), sent(effects, SyncAck)) == (["S-24 checksum"], [ack(0, resend=True)])
    assert those(bench.get(chunk(0, A)), Apply)


def test_beyond_the_window_nothing_is_taken_and_nothing_is_asked_for() -> None:
    bench = Bench(window=2).receiving()
    bench.get(chunk(0, A))
    bench.get(chunk(1, B))
    effects = bench.get(chunk(2, C))
    assert (counts(effects), sent(effects, SyncAck)) == (["S-24 window"], [])
    bench.take(0)
    assert those(bench.get(chunk(2, C)), Apply)


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",
        encode_chunk([encode_piece("", 1, [b"\x01"], None), encode_piece("", 2, [], None)]),
    ],
)
def test_a_chunk_that_breaks_the_rules_ends_it(data: bytes) -> None:
    bench = Bench().receiving()
    assert those(bench.get(chunk(0, data)), Apply) == []
    assert (bench.rules.state, bench.rules.reason) == (TryState.LOST, "malformed")
    assert sent(bench.rules.stop("malformed"), SyncStop) == [stop("malformed")]


@pytest.mark.parametrize("end_first", [True, False])
def test_it_is_complete_when_the_last_chunk_is_taken_and_the_end_is_there(end_first: bool) -> None:
    bench = Bench().receiving()
    if end_first:
        assert bench.get(end(2, A | B)) == []
    bench.get(chunk(0, A))
    bench.get(chunk(1, B))
    bench.take(0)
    assert not bench.rules.state.over
    bench.take(1)
    if not end_first:
        bench.get(end(2, A | B))
    assert bench.rules.state is TryState.COMPLETE
    assert bench.rules.missing == []


def test_nothing_to_send_is_complete_at_once() -> None:
    bench = Bench().receiving()
    bench.get(end(0, {}))
    assert bench.rules.state is TryState.COMPLETE
    assert bench.rules.missing == []


def test_an_end_that_contradicts_what_came_or_another_one_ends_it() -> None:
    bench = Bench().receiving()
    bench.get(chunk(0, A))
    bench.get(chunk(1, B))
    bench.get(end(1, A))
    assert (bench.rules.state, bench.rules.reason) == (TryState.LOST, "malformed")
    bench = Bench().receiving()
    bench.get(end(2, A))
    bench.get(end(2, A))
    assert bench.rules.state is TryState.RECEIVING, "repeated"
    bench.get(end(2, B))
    assert (bench.rules.state, bench.rules.reason) == (TryState.LOST, "malformed")


def test_silence_is_answered_by_asking_again_until_patience_ends() -> None:
    bench = Bench().receiving()
    bench.get(chunk(0, A))
    bench.now += 1.0
    bench.take(0)
    begun = bench.now
    asked = []
    while bench.rules.state is TryState.RECEIVING:
        messages = sent(bench.tick(), SyncAck)
        asked += [(bench.now - begun, message) for message in messages]
    assert asked == [(at, ack(1, resend=True)) for at in (Q, Q + 2 * Q, Q + 2 * Q + 4 * Q)]
    assert bench.now == begun + P
    assert (str(bench.rules.state), bench.rules.reason) == ("lost", "timeout")


def test_news_end_the_growth_of_the_pauses() -> None:
    for news in (chunk(0, A), end(1, A)):
        bench = Bench().receiving()
        bench.tick()
        bench.tick()
        assert bench.rules.deadline == bench.now + 4 * Q
        bench.get(news)
        if isinstance(news, SyncChunk):
            bench.take(0)
        assert bench.rules.deadline == bench.now + Q


def test_a_slow_application_is_not_the_donors_silence() -> None:
    bench = Bench().receiving()
    bench.now += 1.0
    bench.get(chunk(0, A))
    bench.get(chunk(1, B))
    assert bench.rules.deadline == T0 + 1.0 + P
    bench.now += P - 1.0
    bench.take(0)
    assert bench.rules.deadline == bench.now + P
    bench.tick()
    assert bench.rules.state is TryState.STUCK, "another donor would not help"


def test_what_differs_is_known_when_the_rest_is_there() -> None:
    def missing(data: bytes, sections: Sections) -> object:
        bench = Bench().receiving()
        bench.get(chunk(0, data))
        bench.get(end(1, sections))
        bench.take(0)
        return bench.rules.missing

    right, wrong = pieces(A | B | C), pieces(A | B | C, lie=[*B])
    assert missing(right, A | B | C) == []
    assert missing(wrong, A | B | C) is None, "the end contradicts the pieces"
    assert missing(pieces(A | B), A | B | C) is None
    bench = Bench().receiving()
    bench.get(chunk(0, wrong))
    bench.get(end(1, A | B | C, lie=[*B]))
    bench.take(0)
    assert bench.rules.missing == [("", 2)]
    bench = Bench().receiving()
    bench.get(chunk(0, pieces(A | B, lie=[*B])))
    bench.get(end(1, A | B | C, lie=[*B]))
    bench.take(0)
    assert bench.rules.missing is None, "C is missing as well"


def test_whatever_is_of_another_session_life_or_node_is_dropped_and_counted() -> None:
    bench = Bench().receiving()
    bench.get(chunk(0, A))
    strange: list[Routed] = [
        chunk(1, B, counter=2),
        chunk(1, B, at=AT_DONOR_AGAIN),
        chunk(1, B, at=here(OTHER, DONOR_LIFE)),
        end(1, A, counter=2),
        answer("busy", counter=2),
        stop("not_ok", counter=2, at=here(DONOR, DONOR_LIFE)),
    ]
    for message in strange:
        assert counts(bench.get(message)) == ["S-20"]
    assert bench.rules.state is TryState.RECEIVING


def test_what_comes_before_the_answer_is_dropped() -> None:
    bench = Bench()
    assert counts(bench.get(chunk(0, A))) == ["S-20"]
    assert counts(bench.get(end(0, {}))) == ["S-20"]


@pytest.mark.parametrize("accepted", [True, False])
def test_the_donors_word_that_it_is_over_is_taken(accepted: bool) -> None:
    bench = Bench()
    if accepted:
        bench.receiving()
    bench.get(stop("disabled", at=here(DONOR, DONOR_LIFE), to=1))
    assert (bench.rules.state, bench.rules.reason) == (TryState.LOST, "disabled")
    assert bench.rules.stop("disabled") == []


def test_a_stop_without_a_word_has_a_reason_all_the_same() -> None:
    bench = Bench().receiving()
    bench.get(stop("", at=here(DONOR, DONOR_LIFE), to=1))
    assert (bench.rules.state, bench.rules.reason) == (TryState.LOST, "malformed")


@pytest.mark.parametrize("accepted", [True, False])
def test_another_life_of_the_donor_knows_nothing_of_the_session(accepted: bool) -> None:
    bench = Bench()
    if accepted:
        bench.receiving()
    bench.node(reachable=True, incarnation=DONOR_LIFE + 1)
    assert (bench.rules.state, bench.rules.reason) == (TryState.LOST, "restarted")
    assert bench.rules.stop("restarted") == []


def test_a_donor_that_comes_back_is_asked_for_what_is_missing() -> None:
    bench = Bench().receiving()
    bench.get(chunk(0, A))
    bench.take(0)
    assert bench.node(reachable=False) == []
    assert bench.rules.deadline == T0 + U
    bench.now += 3.0
    assert bench.node(reachable=False) == [], "told again"
    assert bench.rules.deadline == T0 + U
    assert sent(bench.node(reachable=True), SyncAck) == [ack(1, resend=True)]
    assert bench.node(reachable=True) == [], "told again"
    assert bench.rules.deadline == bench.now + Q


def test_a_donor_that_stays_away_is_lost() -> None:
    bench = Bench().receiving()
    bench.node(reachable=False)
    assert bench.tick() == []
    assert (bench.now, bench.rules.state) == (T0 + U, TryState.LOST)
    assert bench.rules.reason == "unreachable"


def test_absence_does_not_lengthen_patience() -> None:
    bench = Bench().receiving()
    bench.now += P - 1.0
    bench.node(reachable=False)
    bench.tick()
    assert (bench.now, bench.rules.reason) == (T0 + P, "timeout")


def test_a_request_is_repeated_when_the_donor_comes_back() -> None:
    bench = Bench()
    assert bench.node(reachable=True) == []
    bench.node(reachable=False)
    assert sent(bench.node(reachable=True), SyncRequest) == [request()]
    bench.receiving()
    assert bench.rules.deadline == bench.now + Q, "its absence is forgotten"


def test_after_the_end_nothing_matters() -> None:
    bench = Bench()
    bench.get(answer("busy"))
    assert counts(bench.get(answer())) == ["S-20"]
    assert bench.rules.tick(T0 + 100) == []
    assert bench.node(reachable=True, incarnation=9) == []
    assert bench.rules.state is TryState.LOST


def test_it_takes_messages_of_donors_only() -> None:
    with pytest.raises(Misuse, match="does not take SyncAck"):
        Bench().get(ack(0))


def test_which_tags_a_donor_speaks_for() -> None:
    rules = Try(AT_JOINER, SyncSettings(), Candidate(DONOR, DONOR_LIFE), request(), None, T0)
    assert rules.serves("vip")
    rules.receive(answer(tags=["vip"]), T0)
    assert rules.serves("vip")
    assert not rules.serves("other")
    named = Try(AT_JOINER, SyncSettings(), CANDIDATE, request(tags=["vip"]), None, T0)
    assert not named.serves("vip"), "it has not said so yet"
