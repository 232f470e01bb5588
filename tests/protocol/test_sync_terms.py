"""K-1, K-6, K-7: a joiner whose tags move, and what a session proves of a tag."""

from __future__ import annotations

from collections.abc import Sequence

from tagmesh.protocol.messages import Section, SyncRequest, SyncStop
from tagmesh.protocol.sync_terms import gone
from tagmesh.protocol.sync_words import Apply, JoinerState, MirrorStep, Why, Wish
from tests.protocol.sync_joiner_bench import Bench
from tests.protocol.sync_script import (
    AT_DONOR,
    DONOR,
    JOINER,
    answer,
    chunk,
    end,
    section,
    sent,
    stop,
    those,
)
from tests.protocol.tag_sync_bench import here, term

A, B, NONE = {("a", 1): [b"\x01"]}, {("b", 1): [b"\x02"]}, {("", 1): [b"\x03"]}
TERMS = (term("a"), term("b"))


def asking(*, mirror: bool = False, local: Sequence[Section] = ()) -> Bench:
    known = frozenset({"a", "b"})
    bench = Bench(tags=("a", "b"), terms=TERMS, foreign=known, mirror=mirror, local=local)
    bench.sections()
    return bench


def test_the_request_names_tags_with_the_epochs_that_are_known() -> None:
    (request,) = asking().requests
    assert (request.tags, request.terms, request.unowned) == (["a", "b"], list(TERMS), False)


def test_what_was_not_asked_for_is_not_taken_whatever_the_donor_sends() -> None:
    """K-1: the joiner has heard of a claim that the donor does not know yet."""
    bench = Bench(foreign=frozenset({"a"})).receiving()
    bench.get(chunk(0, {**NONE, **A}))
    (apply,) = those(bench.effects, Apply)
    assert [piece.tag for piece in apply.pieces] == [""]
    assert bench.rules.wish.covers("")
    assert not bench.rules.wish.covers("a")


def test_sections_of_other_tags_are_not_told() -> None:
    bench = Bench(foreign=frozenset({"a"}), local=[section(("a", 1), [b"\x01"])])
    bench.sections()
    assert bench.requests[0].have == []


def test_a_tag_that_moved_is_given_up_and_the_rest_asked_for_again() -> None:
    """K-6: of the same donor, and what has come stays."""
    bench = asking()
    bench.get(answer(tags=["a", "b"]))
    bench.get(stop(Why.TAG_MOVED, at=AT_DONOR, to=JOINER, moved=[("a", 3)]))
    assert bench.rules.state is JoinerState.CHOOSING
    bench.sections()
    last = bench.requests[-1]
    assert (last.destination, last.tags, last.terms) == (DONOR, ["b"], [term("b")])


def test_when_no_tag_is_left_the_sync_has_failed() -> None:
    bench = asking()
    bench.get(stop(Why.TAG_MOVED, at=AT_DONOR, to=JOINER, moved=[("a", 3), ("b", 3)]))
    assert (bench.report.ok, bench.report.reason) == (False, Why.TAG_MOVED)


def test_a_tag_that_becomes_active_here_is_given_up_at_once() -> None:
    """K-7: the donor is told."""
    bench = asking()
    bench.get(answer(tags=["a", "b"]))
    bench.do(bench.rules.tags_changed([here("a", 1, active=True), here("b")], bench.now))
    assert [message.reason for message in sent(bench.effects, SyncStop)] == [Why.TAG_MOVED]
    bench.sections()
    assert sent(bench.effects, SyncRequest)[-1].tags == ["b"]


def test_news_that_change_nothing_end_nothing() -> None:
    bench = asking()
    bench.get(answer(tags=["a", "b"]))
    bench.do(bench.rules.tags_changed([here("a"), here("b", 2, 6)], bench.now))
    assert bench.rules.state is JoinerState.RECEIVING


def test_which_are_gone() -> None:
    wish = Wish(keyed=True, version_min=1, version_max=1, tags=("a",), terms=(term("a"),))
    assert gone(wish, [here("a", 3, 6)]) == ["a"]
    assert gone(wish, [here("a", None)]) == ["a"]
    assert gone(wish, []) == []
    forced = Wish(
        keyed=True, version_min=1, version_max=1, tags=("a",), terms=(term("a"),), unowned=True
    )
    assert gone(forced, [here("a", 1, active=True)]) == []


def test_a_sync_proves_what_its_donor_held_and_nothing_of_what_it_did_not_serve() -> None:
    """B5: donor, epoch, count, digest."""
    bench = asking()
    held = [("a", 7, bytes(16))]
    bench.get(answer(tags=["a"], unserved=[("b", 3)], held=held))
    bench.all_of(A)
    (found,) = bench.report.evidence
    assert (found.tag, found.donor, found.epoch) == ("a", DONOR, 5)
    assert (found.count, found.digest, found.confirmed) == (7, bytes(16), True)


def test_a_tag_that_was_not_served_is_not_mirrored() -> None:
    local = [Section("b", 1, 1, bytes(16))]
    bench = asking(mirror=True, local=local)
    bench.get(answer(tags=["a"], unserved=[("b", 3)]))
    bench.get(end(0, {}))
    (step,) = those(bench.effects, MirrorStep)
    assert step.extras == ()
