"""The joiner's side: what it has and the donor does not (S-26)."""

from __future__ import annotations

import pytest

from tagmesh.protocol.messages import MAX_SECTIONS, Section, SyncStop
from tagmesh.protocol.sync_words import (
    AskExtraKeys,
    JoinerState,
    MirrorStep,
    Progressed,
    TagExtras,
)
from tests.protocol.sync_joiner_bench import AT_OTHER, A, B, Bench, P, outcome
from tests.protocol.sync_script import (
    DONOR,
    DONOR_LIFE,
    T0,
    answer,
    chunk,
    end,
    here,
    pieces,
    section,
    sent,
    stop,
    those,
)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_mirror_step_comes_after_verification(dry_run: bool) -> None:
    local = [section(("", 1), [b"\x01", b"\x07", b"\x08"]), section(("", 2), [b"\x05"])]
    bench = Bench(mirror=True, dry_run=dry_run, local=local).receiving()
    first, second = those(bench.get(chunk(0, A | B)), AskExtraKeys)
    assert (first.session, first.tag, first.bucket) == (1, "", 1)
    assert list(map(bytes, first.items)) == [b"\x01"]
    bench.take(0)
    bench.get(end(1, A | B))
    assert bench.rules.state is JoinerState.VERIFYING
    assert sent(bench.effects, SyncStop) == []
    bench.says_extra(first, [b"\x07", b"\x08"])
    effects = bench.says_extra(second)
    assert sent(effects, SyncStop) == [stop("done")]
    assert those(effects, MirrorStep) == [
        MirrorStep((TagExtras("", (b"\x07", b"\x08"), 4),), dry_run)
    ]
    assert [p.progress.state for p in those(effects, Progressed)] == ["applying"]
    bench.do(bench.rules.mirrored(0 if dry_run else 2, 5, T0))
    assert outcome(bench.report) == (True, "", DONOR)
    assert (bench.report.dropped, bench.report.plan_id) == (0 if dry_run else 2, 5)


def test_of_a_chunk_with_a_refused_record_nothing_is_dropped() -> None:
    """What was refused may be the newer copy of a record that is here."""
    bench = Bench(mirror=True, local=[section(("", 1), [b"\x09"])]).receiving()
    (first,) = those(bench.get(chunk(0, A)), AskExtraKeys)
    (second,) = those(bench.get(chunk(1, B)), AskExtraKeys)
    bench.take(0, refused=1)
    bench.take(1)
    bench.get(end(2, A | B))
    bench.says_extra(first, [b"\x09"])
    (step,) = those(bench.says_extra(second, [b"\x08"]), MirrorStep)
    assert [extra.keys for extra in step.extras] == [(b"\x08",)]


def test_without_mirror_nobody_is_asked_for_extra_keys() -> None:
    bench = Bench().receiving()
    bench.all_of(A)
    assert [type(e) for e in bench.effects if isinstance(e, AskExtraKeys | MirrorStep)] == []


def test_extra_keys_of_the_first_try_are_not_lost_by_the_second() -> None:
    local = [section(("", 1), [b"\x09"]), section(("", 7), [b"\x06"])]
    bench = Bench(mirror=True, local=local).receiving()
    (ask,) = those(bench.get(chunk(0, pieces(A | B, lie=B))), AskExtraKeys)
    bench.get(end(1, A | B, lie=B))
    bench.take(0)
    assert len(bench.requests) == 1, "the application has not said what is extra"
    bench.says_extra(ask, [b"\x09"])
    bench.get(answer(counter=2))
    (ask,) = those(bench.get(chunk(0, B, counter=2)), AskExtraKeys)
    assert list(map(bytes, ask.items)) == [b"\x02", b"\x03"]
    bench.take(0, session=2)
    bench.get(end(1, B, counter=2))
    (step,) = those(bench.says_extra(ask, []), MirrorStep)
    assert step.extras == (TagExtras("", (b"\x09",), 2),), "section 7 is the same at the donor"


def test_extra_keys_found_with_a_lost_donor_are_forgotten() -> None:
    bench = Bench(mirror=True, local=[section(("", 1), [b"\x09"])]).receiving()
    (ask,) = those(bench.get(chunk(0, A)), AskExtraKeys)
    bench.take(0)
    bench.says_extra(ask, [b"\x09"])
    bench.get(stop("not_ok", at=here(DONOR, DONOR_LIFE), to=1))
    bench.sections()
    assert bench.says_extra(ask, [b"\x09"]) == []
    bench.get(answer(counter=2, at=AT_OTHER))
    (step,) = those(bench.get(end(0, {}, counter=2, at=AT_OTHER)), MirrorStep)
    assert step.extras == ()


def test_an_application_that_does_not_say_what_is_extra_or_does_not_drop_fails_it() -> None:
    bench = Bench(mirror=True).receiving()
    bench.all_of(A)
    bench.tick()
    assert outcome(bench.report) == (False, "application", DONOR)
    bench = Bench(mirror=True).receiving()
    bench.get(end(0, {}))
    assert bench.rules.state is JoinerState.APPLYING
    bench.tick()
    assert outcome(bench.report) == (False, "application", DONOR)


def test_each_answer_of_the_application_is_progress() -> None:
    bench = Bench(mirror=True).receiving()
    first, _second = those(bench.get(chunk(0, A | B)), AskExtraKeys)
    bench.take(0)
    bench.get(end(1, A | B))
    bench.now += P - 1
    bench.says_extra(first)
    assert bench.rules.deadline == bench.now + P


def test_sections_too_many_to_be_named_are_looked_at_in_the_end() -> None:
    """The donor sends all it has of them, so it has nothing of what does not come."""
    local = [Section(f"{n % 40:02}", n // 40, n + 1, bytes(16)) for n in range(MAX_SECTIONS + 2)]
    bench = Bench(mirror=True, local=local).receiving()
    bench.get(chunk(0, {("00", 0): [b"\x01"]}))
    effects = bench.take(0)
    (first,) = those(bench.effects, AskExtraKeys)
    bench.says_extra(first)
    effects = bench.get(end(1, {("00", 0): [b"\x01"]}))
    (unnamed,) = those(effects, AskExtraKeys)
    assert (unnamed.tag, unnamed.bucket, unnamed.items) == ("01", 0, [])
    assert sent(bench.effects, SyncStop) == []
    (step,) = those(bench.says_extra(unnamed, [b"k"]), MirrorStep)
    assert [(extra.tag, extra.keys) for extra in step.extras] == [("01", (b"k",))]


def test_when_everything_is_asked_for_again_what_does_not_come_is_not_at_the_donor() -> None:
    local = [section(("", 1), [b"\x01"]), section(("", 7), [b"\x06"])]
    bench = Bench(mirror=True, local=local).receiving()
    bench.get(end(0, B))
    assert (bench.requests[1].have, bench.requests[1].only) == ([], [])
    bench.get(answer(counter=2))
    asks = those(bench.get(chunk(0, A | B, counter=2)), AskExtraKeys)
    bench.take(0, session=2)
    bench.get(end(1, A | B, counter=2))
    for ask in asks:
        bench.says_extra(ask)
    last = those(bench.effects, AskExtraKeys)[-1]
    assert (last.bucket, last.items) == (7, [])
    (step,) = those(bench.says_extra(last, [b"k"]), MirrorStep)
    assert step.extras == (TagExtras("", (b"k",), 2),)
