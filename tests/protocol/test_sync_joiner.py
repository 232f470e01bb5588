"""The joiner's side: which donor, what of it, and when it is done."""

from __future__ import annotations

import pytest

from tagmesh.protocol.contract import SyncReport
from tagmesh.protocol.messages import (
    BUCKETS,
    MAX_SECTIONS,
    Section,
    SyncAck,
    SyncRequest,
    SyncStop,
)
from tagmesh.protocol.sync_words import (
    PROGRESS_INTERVAL_S,
    Apply,
    AskSections,
    JoinerState,
    Progressed,
)
from tests.protocol.sync_joiner_bench import AT_OTHER, A, B, Bench, P, Q, outcome
from tests.protocol.sync_script import (
    DONOR,
    OTHER,
    T0,
    ack,
    answer,
    chunk,
    counts,
    end,
    pieces,
    section,
    sent,
    stop,
    those,
)


def test_the_application_says_what_is_here_and_the_donor_is_told() -> None:
    local = [section(("vip", 3), [b"\x01"]), section(("vip", 1), [])]
    bench = Bench(local=local, tags=("vip",))
    assert bench.effects == [AskSections(("vip",))]
    bench.sections()
    (asked,) = bench.requests
    assert (asked.destination, asked.tags, asked.have, asked.only) == (DONOR, ["vip"], local, [])
    assert (asked.version_min, asked.version_max) == (1, 2)
    assert (asked.session.joiner, asked.session.counter) == (1, 1)


def test_a_plain_capability_has_nothing_to_say() -> None:
    bench = Bench(keyed=False)
    assert bench.asked == [DONOR]
    assert bench.requests[0].have == []


def test_of_too_many_sections_the_largest_are_named() -> None:
    local = [Section(f"{n % 40:02}", n // 40, n, bytes(16)) for n in range(MAX_SECTIONS + 200)]
    bench = Bench(local=local)
    bench.sections()
    named = bench.requests[0].have
    assert len(named) == MAX_SECTIONS
    assert min(s.count for s in named) == 200


def test_a_comparison_names_all_sections_of_the_buckets_it_asks_for() -> None:
    local = [section((f"tag {t}", b), [b"\x01"]) for t in range(40) for b in range(BUCKETS)]
    bench = Bench(local=local, first_bucket=9)
    bench.sections()
    (asked,) = bench.requests
    assert 9 in asked.buckets
    assert {s.bucket for s in asked.have} == set(asked.buckets)
    assert len(asked.have) == 40 * len(asked.buckets)
    bench.get(answer())
    bench.get(chunk(0, A))
    bench.get(end(1, A | B))
    bench.take(0)
    (_, again) = bench.requests
    assert (again.have, again.only) == ([], []), "nobody knows what is missing"
    assert again.buckets == asked.buckets


def test_without_a_donor_it_fails_at_once() -> None:
    bench = Bench(donors=[])
    assert outcome(bench.report) == (False, "no_donor", None)
    assert bench.rules.state is JoinerState.FAILED
    assert bench.rules.deadline is None


def test_the_only_donor_vanishes_while_the_application_is_asked() -> None:
    bench = Bench(donors=[DONOR])
    bench.donors = []
    bench.sections()
    assert outcome(bench.report) == (False, "no_donor", None)
    assert bench.requests == []


def test_an_application_that_does_not_answer_fails_the_sync() -> None:
    bench = Bench()
    bench.tick()
    assert bench.now == T0 + P
    assert outcome(bench.report) == (False, "application", None)


def test_well_done() -> None:
    bench = Bench().receiving()
    bench.get(chunk(0, A))
    bench.get(chunk(1, B))
    bench.get(end(2, A | B))
    bench.now += 3.0
    bench.take(0)
    effects = bench.take(1, refused=1)
    assert sent(effects, SyncAck) == [ack(2)]
    assert sent(effects, SyncStop) == [stop("done")]
    size = len(pieces(A)) + len(pieces(B))
    assert bench.report == SyncReport(
        ok=True, donor=DONOR, items=3, bytes=size, seconds=3.0, sections=2, quarantined=1
    )
    assert bench.rules.state is JoinerState.DONE


def test_nothing_differs() -> None:
    bench = Bench().receiving()
    bench.get(end(0, {}))
    assert outcome(bench.report) == (True, "", DONOR)
    assert bench.report.items == 0


@pytest.mark.parametrize("reason", ["busy", "not_ok", "disabled", "version", "not_tag_owner"])
def test_a_refusal_leads_to_the_next_donor_with_the_sections_as_they_are_then(reason: str) -> None:
    bench = Bench()
    bench.sections()
    assert bench.get(answer(reason))[-1] == AskSections(())
    bench.local = [section(("", 3), [b"\x01"])]
    bench.sections()
    assert bench.asked == [DONOR, OTHER]
    assert bench.requests[1].have == bench.local
    assert bench.requests[1].session.counter == 2
    bench.get(answer(reason, counter=2, at=AT_OTHER))
    assert outcome(bench.report) == (False, reason, OTHER)
    assert sent(bench.effects, SyncStop) == []


def test_silence_leads_to_the_next_donor_and_the_first_one_is_told() -> None:
    bench = Bench()
    bench.sections()
    bench.tick()
    bench.tick()
    assert bench.now == T0 + Q
    assert sent(bench.effects, SyncStop) == [stop("timeout")]
    bench.sections()
    assert bench.asked == [DONOR, DONOR, OTHER]


def test_a_lost_donor_leaves_what_it_brought() -> None:
    bench = Bench().receiving()
    bench.get(chunk(0, A))
    bench.take(0)
    bench.get(chunk(1, B))
    bench.do(bench.rules.donor_changed(DONOR, reachable=True, incarnation=9, now=bench.now))
    assert bench.take(1) == [], "the application goes on, but this is over"
    bench.sections()
    bench.get(answer(counter=2, at=AT_OTHER))
    bench.get(chunk(0, {("", 4): [b"\x04"]}, counter=2, at=AT_OTHER))
    assert bench.take(0, session=1) == []
    bench.take(0, session=2)
    bench.get(end(1, {("", 4): [b"\x04"]}, counter=2, at=AT_OTHER))
    assert outcome(bench.report) == (True, "", OTHER)
    assert (bench.report.items, bench.report.sections) == (4, 3)


def test_only_the_present_donor_matters() -> None:
    bench = Bench()
    changed = bench.rules.donor_changed
    assert changed(DONOR, reachable=True, incarnation=99, now=T0) == [], "nobody is asked yet"
    bench.receiving()
    assert changed(OTHER, reachable=True, incarnation=99, now=T0) == []
    assert bench.rules.state is JoinerState.RECEIVING


def test_a_stuck_application_is_not_helped_by_another_donor() -> None:
    bench = Bench().receiving()
    bench.get(chunk(0, A))
    bench.tick()
    assert outcome(bench.report) == (False, "application", DONOR)
    assert (bench.report.dropped, bench.report.plan_id, bench.report.items) == (0, None, 1)
    assert sent(bench.effects, SyncStop) == [stop("application")]


def test_what_differs_is_asked_for_once_more_and_then_it_fails() -> None:
    bench = Bench().receiving()
    bench.get(chunk(0, pieces(A | B, lie=B)))
    bench.get(end(1, A | B, lie=B))
    effects = bench.take(0)
    assert sent(effects, SyncStop) == [stop("verify")]
    (again,) = sent(effects, SyncRequest)
    assert (again.destination, again.only, again.have) == (DONOR, [("", 2)], [])
    assert again.session.counter == 2
    bench.get(answer(counter=2))
    bench.get(chunk(0, pieces(B, lie=B), counter=2))
    bench.get(end(1, B, lie=B, counter=2))
    effects = bench.take(0, session=2)
    assert sent(effects, SyncStop) == [stop("verify", counter=2)]
    assert outcome(bench.report) == (False, "verify", DONOR)
    assert (bench.report.items, bench.report.sections) == (1, 1)


def test_a_second_try_can_be_right() -> None:
    bench = Bench().receiving()
    bench.get(chunk(0, pieces(A | B, lie=B)))
    bench.get(end(1, A | B, lie=B))
    bench.take(0)
    bench.get(answer(counter=2))
    bench.get(chunk(0, B, counter=2))
    bench.get(end(1, B, counter=2))
    bench.take(0, session=2)
    assert outcome(bench.report) == (True, "", DONOR)
    assert (bench.report.items, bench.report.sections) == (3, 2)


def test_when_nobody_knows_what_is_missing_everything_is_asked_for() -> None:
    bench = Bench().receiving()
    bench.get(chunk(0, A))
    bench.get(end(1, A | B))
    bench.take(0)
    again = bench.requests[1]
    assert (again.only, again.have) == ([], [])


def test_when_too_much_differs_to_be_named_everything_is_asked_for() -> None:
    data = {(f"{n // 256:02}", n % 256): [b"\x01"] for n in range(MAX_SECTIONS + 1)}
    for lie, named in [(list(data)[1:], MAX_SECTIONS), (list(data), 0)]:
        bench = Bench().receiving()
        bench.get(chunk(0, pieces(data, lie=lie)))
        bench.get(end(1, data, lie=lie))
        bench.take(0)
        assert len(bench.requests[1].only) == named


def test_there_is_one_second_try_in_all() -> None:
    bench = Bench().receiving()
    bench.get(chunk(0, pieces(A, lie=A)))
    bench.get(end(1, A, lie=A))
    bench.take(0)
    bench.get(answer("busy", counter=2))
    bench.sections()
    assert bench.asked == [DONOR, DONOR, OTHER]
    bench.get(answer(counter=3, at=AT_OTHER))
    bench.get(chunk(0, pieces(A, lie=A), counter=3, at=AT_OTHER))
    bench.get(end(1, A, lie=A, counter=3, at=AT_OTHER))
    bench.take(0, session=3)
    assert outcome(bench.report) == (False, "verify", OTHER)


@pytest.mark.parametrize("accepted", [True, False])
def test_cancelled(accepted: bool) -> None:
    bench = Bench()
    if accepted:
        bench.receiving()
    effects = bench.do(bench.rules.cancel("overflow", T0 + 1))
    assert sent(effects, SyncStop) == ([stop("overflow")] if accepted else [])
    assert outcome(bench.report) == (False, "overflow", DONOR if accepted else None)
    assert bench.rules.cancel("again", T0 + 2) == []


def test_after_the_end_nothing_matters() -> None:
    bench = Bench().receiving()
    bench.get(end(0, {}))
    assert counts(bench.get(chunk(0, A))) == ["S-20"]
    assert bench.sections() == bench.take(0) == bench.do(bench.rules.mirrored(1, 1, T0)) == []
    assert bench.rules.tick(T0 + 100) == []
    assert bench.rules.extra_keys(1, "", 0, [], T0) == []
    assert bench.rules.donor_changed(DONOR, reachable=False, incarnation=None, now=T0) == []


def test_an_early_tick_does_nothing() -> None:
    assert Bench().rules.tick(T0 + 1.0) == []


def test_progress_is_told_at_changes_and_now_and_then() -> None:
    bench = Bench()
    bench.sections()
    bench.get(answer(total=4))
    data = [{("", n): [bytes([n])]} for n in range(4)]
    for number, part in enumerate(data):
        bench.get(chunk(number, part))
        bench.take(number)
        bench.now += PROGRESS_INTERVAL_S * 0.6
    told = [effect.progress for effect in those(bench.effects, Progressed)]
    assert [(p.state, p.done, p.total) for p in told] == [
        ("requested", 0, 0),
        ("receiving", 0, 4),
        ("receiving", 3, 4),
    ]
    assert told[-1].bytes == sum(len(pieces(part)) for part in data[:3])
    assert told[-1].seconds == pytest.approx(PROGRESS_INTERVAL_S * 1.2)


def test_chunks_are_handed_over_as_they_come() -> None:
    bench = Bench().receiving()
    effects = bench.get(chunk(0, A | B))
    (apply,) = those(effects, Apply)
    assert (apply.session, apply.number, len(apply.pieces)) == (1, 0, 2)


def test_sections_that_cannot_be_told_fail_the_sync() -> None:
    bench = Bench(local=[Section("", 999, 1, bytes(16))])
    bench.sections()
    assert outcome(bench.report) == (False, "application", None)
    assert bench.requests == []


def test_a_long_reason_is_cut_for_the_donor() -> None:
    bench = Bench().receiving()
    effects = bench.do(bench.rules.cancel("x" * 1000, T0))
    assert [len(message.reason) for message in sent(effects, SyncStop)] == [256]
    assert len(bench.report.reason) == 1000
