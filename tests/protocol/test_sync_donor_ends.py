"""The donor's session: how it ends, and what it does not listen to."""

from __future__ import annotations

import pytest

from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.messages import (
    MAX_PAYLOAD_BYTES,
    Routed,
    Section,
    SyncAnswer,
    SyncChunk,
    SyncStop,
)
from tagmesh.protocol.sync_words import (
    DonorState,
    Ended,
)
from tests.protocol.sync_donor_bench import DATA, LONG, A, Bench, P, U
from tests.protocol.sync_script import (
    AT_DONOR,
    AT_JOINER,
    DONOR,
    JOINER,
    JOINER_LIFE,
    OTHER,
    T0,
    ack,
    answer,
    counts,
    here,
    request,
    section,
    sent,
    stop,
    those,
)


@pytest.mark.parametrize("broken", [b"", bytes(MAX_PAYLOAD_BYTES + 1)])
def test_a_record_that_no_chunk_can_carry_is_not_left_out_silently(broken: bytes) -> None:
    bench = Bench({A: [broken]})
    effects = bench.items(bench.sections())
    assert sent(effects, SyncStop) == [stop("donor_application", at=AT_DONOR, to=JOINER)]
    ok, reason = bench.ended
    assert not ok
    assert "must have 1 … 65535 bytes" in reason


def test_sections_that_cannot_be_told_end_it() -> None:
    bench = Bench()
    effects = bench.do(bench.rules.sections([Section("", 999, 1, bytes(16))], T0))
    assert sent(effects, SyncStop) == [stop("donor_application", at=AT_DONOR, to=JOINER)]
    assert "a bucket of 0 … 255" in bench.ended[1]


def test_a_long_reason_is_cut_for_the_joiner() -> None:
    bench = Bench()
    (told,) = sent(bench.do(bench.rules.abort("x" * 1000)), SyncStop)
    assert len(told.reason) == 256


def test_the_application_raises() -> None:
    bench = Bench()
    bench.sections()
    effects = bench.do(bench.rules.abort("donor_application"))
    assert sent(effects, SyncStop) == [stop("donor_application", at=AT_DONOR, to=JOINER)]
    assert bench.ended == (False, "donor_application")
    assert bench.rules.abort("again") == []
    assert bench.rules.items([[b"\x01"]] * 3, T0) == [], "its answer came too late"


def test_answers_that_nobody_waits_for_are_ignored() -> None:
    bench = Bench().sending()
    assert bench.rules.items([[b"\x07"]], T0) == []
    assert bench.sections() == []


def test_a_repeated_request_is_answered_again() -> None:
    bench = Bench()
    assert len(sent(bench.get(request()), SyncAnswer)) == 1
    bench.sending()
    (told,) = sent(bench.get(request()), SyncAnswer)
    assert told.total == 4


@pytest.mark.parametrize(
    ("word", "state"), [("done", DonorState.FINISHED), ("verify", DonorState.ABORTED)]
)
def test_the_joiners_last_word(word: str, state: DonorState) -> None:
    bench = Bench().sending()
    bench.get(ack(0))
    bench.get(stop(word))
    assert bench.rules.state is state
    assert bench.ended == (word == "done", word)
    (ended,) = those(bench.effects, Ended)
    assert ended.records == 4
    assert ended.bytes == sum(len(chunk.pieces) for chunk in sent(bench.effects, SyncChunk))


def test_the_joiners_last_word_is_lost() -> None:
    bench = Bench().sending()
    bench.get(ack(0))
    bench.get(ack(1))
    bench.tick()
    assert (bench.now, bench.rules.state) == (T0 + P, DonorState.FINISHED)
    assert bench.ended == (True, "done")


@pytest.mark.parametrize("acks", [[], [ack(0)]])
def test_a_silent_joiner_is_given_up(acks: list[Routed]) -> None:
    bench = Bench().sending()
    bench.now += 3.0
    for message in acks:
        bench.get(message)
    bench.tick()
    assert bench.now == T0 + P + (3.0 if acks else 0.0)
    assert bench.ended == (False, "timeout")


def test_an_ack_is_a_sign_of_life_also_before_there_is_anything_to_send() -> None:
    bench = Bench()
    bench.now += 3.0
    bench.get(ack(0))
    assert bench.rules.deadline == T0 + 3.0 + P


def test_a_joiner_that_was_away_goes_on() -> None:
    bench = Bench({A: LONG}).sending()
    bench.get(ack(0, 2))
    bench.node(reachable=False)
    assert bench.rules.deadline == T0 + U
    bench.now += 4.0
    bench.node(reachable=False)
    assert bench.rules.deadline == T0 + U, "told again"
    bench.node(reachable=True)
    assert bench.rules.deadline == T0 + P
    assert len(sent(bench.get(ack(0, 2, resend=True)), SyncChunk)) == 2


def test_a_joiner_that_stays_away_is_given_up() -> None:
    bench = Bench().sending()
    bench.node(reachable=False)
    bench.tick()
    assert (bench.now, bench.ended) == (T0 + U, (False, "unreachable"))


def test_another_life_of_the_joiner_has_no_session() -> None:
    bench = Bench().sending()
    bench.node(reachable=True, incarnation=JOINER_LIFE + 1)
    assert bench.ended == (False, "restarted")
    assert sent(bench.effects, SyncStop) == []


def test_other_nodes_do_not_matter() -> None:
    bench = Bench()
    changed = bench.rules.joiner_changed(OTHER, reachable=False, incarnation=None, now=T0)
    assert changed == []
    assert bench.rules.deadline == T0 + P


def test_whatever_is_of_another_session_life_or_node_is_dropped_and_counted() -> None:
    bench = Bench().sending()
    strange: list[Routed] = [
        ack(0, counter=2),
        ack(0, at=here(JOINER, JOINER_LIFE + 1)),
        ack(0, at=here(OTHER, JOINER_LIFE)),
        stop("done", counter=2),
        request(2),
    ]
    for message in strange:
        assert counts(bench.get(message)) == ["S-20"]
    assert bench.rules.state is DonorState.SENDING


def test_it_takes_messages_of_joiners_only() -> None:
    with pytest.raises(Misuse, match="does not take SyncAnswer"):
        Bench().get(answer())


def test_before_the_start_and_after_the_end_nothing_matters() -> None:
    bench = Bench(start=False)
    assert bench.rules.state is DonorState.ACCEPTED
    assert bench.rules.deadline is None
    assert counts(bench.get(ack(0))) == ["S-20"]
    bench.do(bench.rules.start(T0))
    assert bench.do(bench.rules.start(T0)) == []
    bench.get(stop("done"))
    assert bench.rules.deadline is None
    assert bench.rules.tick(T0 + 100) == []
    assert counts(bench.get(ack(0))) == ["S-20"]
    assert bench.node(reachable=True, incarnation=None) == []


def test_an_early_tick_does_nothing() -> None:
    assert Bench().rules.tick(T0 + 1) == []


def test_sections_of_the_request_stand_for_what_the_joiner_has() -> None:
    """A section with the same digest but another count differs."""
    equal = section(A, DATA[A])
    odd = Section(A[0], A[1], equal.count + 1, equal.digest)
    bench = Bench({A: DATA[A]}, request(have=[odd])).sending()
    assert bench.asked == [A]
    assert AT_JOINER.head(DONOR)[:4] == (1, JOINER, JOINER_LIFE, DONOR)
