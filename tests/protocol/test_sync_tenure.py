"""K-1, K-4, K-6, K-7: which tags a donor serves. The donor is node 2, the joiner node 1."""

from __future__ import annotations

import pytest

from tagmesh.protocol.messages import Section, SyncAnswer, SyncRequest, SyncStop, TagTerm
from tagmesh.protocol.sync_pieces import digest_of
from tagmesh.protocol.sync_tenure import Tenure, totals_of
from tagmesh.protocol.sync_words import Why
from tagmesh.protocol.tag_words import TagHere
from tests.protocol.sync_donor_bench import Bench
from tests.protocol.sync_script import request, sent
from tests.protocol.tag_sync_bench import here, term


def asked(*terms: TagTerm, unowned: bool = False) -> SyncRequest:
    return request(tags=[t.tag for t in terms], terms=list(terms), unowned=unowned)


def test_what_nobody_claimed_any_donor_serves() -> None:
    tenure = Tenure(request(), [])
    assert tenure.serves("")
    assert tenure.serves("unclaimed")


def test_a_claimed_tag_is_served_only_when_it_is_asked_for_as_one() -> None:
    tenure = Tenure(request(), [here("vip", active=True)])
    assert not tenure.serves("vip")
    assert tenure.serves("")
    assert Tenure(asked(term("vip")), [here("vip", active=True)]).serves("vip")


@pytest.mark.parametrize(
    ("mine", "owner"),
    [
        ([here("vip", 3)], 3),
        ([here("vip", None)], 0),
        ([here("vip", 2, 4, active=True)], 2),
        ([], 0),
    ],
    ids=["backup", "nobody has it", "a later epoch is known there", "never heard of"],
)
def test_a_tag_that_is_not_the_donors_is_not_served(mine: list[TagHere], owner: int) -> None:
    tenure = Tenure(asked(term("vip")), mine)
    assert not tenure.serves("vip")
    assert not tenure.serves_any(["vip"])
    assert tenure.unserved == [("vip", owner)]


def test_of_several_tags_those_it_has_are_served() -> None:
    tenure = Tenure(asked(term("a"), term("b")), [here("a", active=True), here("b", 3)])
    assert tenure.serves_any(["a", "b"])
    assert (tenure.served, tenure.unserved) == (frozenset({"a"}), [("b", 3)])


def test_a_tag_that_leaves_is_told_once_and_served_no_more() -> None:
    tenure = Tenure(asked(term("a"), term("b")), [here("a", active=True), here("b", active=True)])
    after = [here("a", 3, 6), here("b", active=True)]
    assert tenure.see(after) == [("a", 3)]
    assert tenure.see(after) == []
    assert (tenure.serves("a"), tenure.serves("b")) == (False, True)


def test_a_tag_without_an_owner_is_served_by_whoever_knows_of_none() -> None:
    assert Tenure(asked(term("vip"), unowned=True), [here("vip", None)]).serves("vip")
    assert Tenure(asked(term("vip"), unowned=True), []).serves("vip")
    assert not Tenure(asked(term("vip"), unowned=True), [here("vip", 3)]).serves("vip")


def test_the_owner_itself_may_ask_a_backup() -> None:
    assert Tenure(asked(term("vip", 1), unowned=True), [here("vip", 1)]).serves("vip")


def test_what_is_held_of_each_tag() -> None:
    sections = [
        Section("a", 1, 2, digest_of(5)),
        Section("a", 9, 1, digest_of(7)),
        Section("c", 1, 4, digest_of(1)),
    ]
    held = totals_of(sections, frozenset({"a", "b"}))
    assert held == [("a", 3, digest_of(12)), ("b", 0, digest_of(0))]


def owning(*, b_active: bool = True) -> Bench:
    """The joiner asked for tags a and b, and the donor has them, or only a."""
    asked = request(tags=["a", "b"], terms=[term("a"), term("b")])
    tags = [here("a", active=True), here("b", 2 if b_active else 3, active=b_active)]
    data = {("a", 1): [b"\x01"], ("b", 1): [b"\x02"]}
    return Bench(data, asked, tags=tags)


def test_of_the_tags_it_serves_those_it_has_and_says_what_it_holds_of_them() -> None:
    """K-1: and who has the others."""
    bench = owning(b_active=False)
    bench.sections()
    last = sent(bench.effects, SyncAnswer)[-1]
    assert (last.tags, last.unserved, last.total) == (["a"], [("b", 3)], 1)
    assert [(tag, count) for tag, count, _ in last.held] == [("a", 1)]
    assert bench.asked == [("a", 1)]


def test_a_tag_that_leaves_ends_the_session_and_the_joiner_is_told_where_it_is() -> None:
    """K-6."""
    bench = owning()
    bench.sections()
    bench.do(bench.rules.tags_changed([here("a", active=True), here("b", 3, 6)]))
    (told,) = sent(bench.effects, SyncStop)
    assert (told.reason, told.moved) == (Why.TAG_MOVED, [("b", 3)])
    assert bench.ended == (False, "b is no longer active here")


def test_tags_that_stay_end_nothing() -> None:
    bench = owning()
    bench.do(bench.rules.tags_changed([here("a", active=True), here("b", active=True)]))
    assert sent(bench.effects, SyncStop) == []


def test_a_request_for_tags_of_others_is_refused() -> None:
    """K-1."""
    bench = Bench({}, request(tags=["a"], terms=[term("a")]), tags=[here("a", 3)])
    (told,) = sent(bench.effects, SyncAnswer)
    assert (told.refusal, told.unserved) == (Why.NOT_TAG_OWNER, [("a", 3)])
    assert bench.ended == (False, Why.NOT_TAG_OWNER)
