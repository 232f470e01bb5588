"""Which of two claims counts, what is too old, and who has a tag (H-20, H-21, H-24)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.tag_messages import Claim
from tagmesh.protocol.tag_words import (
    Epoch,
    Token,
    digest_of_claims,
    digest_of_terms,
    epoch_of,
    holding,
    is_stale,
    rank_of,
    standing,
)
from tests.protocol.tag_bench import CLUSTER, LIFE, ONE, TWO, claim

RISING = [
    claim(1, 2, priority=60),
    claim(1, 3, priority=50),
    claim(1, 2, priority=50),
    claim(1, 2, priority=50, life=LIFE + 1, inferred=True),
    claim(1, 2, priority=50, life=LIFE + 1),
    claim(1, 2, priority=50, life=LIFE + 1, released=True),
    claim(1, 2, priority=50, life=LIFE + 1, released=True, successor=(3, 7)),
    claim(1, 3, priority=40),
    claim(2, 9, priority=90),
]
"""H-21: number, priority, node id, life, inferred, released, successor."""


def test_each_part_of_the_order_counts_after_the_one_before() -> None:
    for lower, higher in itertools.combinations(RISING, 2):
        assert rank_of(lower) < rank_of(higher)


claims = st.builds(
    Claim, st.just("vip"), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2),
    st.integers(1, 2), st.booleans(), st.sampled_from(("manual", "lease")), st.sampled_from("ab"),
    st.none() | st.tuples(st.integers(1, 2), st.integers(1, 2)), st.none(), st.booleans(),
)  # fmt: skip


@given(claims, claims)
def test_claims_that_rank_alike_say_the_same(one: Claim, other: Claim) -> None:
    """So two nodes never hold different claims for good; only words for people may differ."""
    fields = [name for name in Claim.__struct_fields__ if name not in ("reason", "mode", "follows")]
    same = all(getattr(one, name) == getattr(other, name) for name in fields)
    assert (rank_of(one) == rank_of(other)) == same


def test_what_was_written_under_an_older_epoch_is_stale() -> None:
    """H-24. The epochs of two nodes with one number are told apart, heard of or not."""
    known = claim(5, 2)
    assert not is_stale(Epoch(5, TWO, 50), None)
    assert [is_stale(e, known) for e in (Epoch(4, ONE, 1), Epoch(5, NodeId(3), 50))] == [True] * 2
    assert [is_stale(e, known) for e in (Epoch(5, TWO, 50), Epoch(5, ONE, 50))] == [False] * 2
    assert not is_stale(Epoch(6, NodeId(9), 99), known)
    given_up = claim(5, 2, released=True)
    assert not is_stale(epoch_of(known), given_up), "written before it was given up"


@pytest.mark.parametrize(
    ("highest", "lives", "node", "why"),
    [
        (None, {}, None, "nobody has claimed it yet"),
        (claim(reason="asked"), {2: LIFE}, 2, "asked"),
        (claim(), {1: LIFE}, None, "node 2 had it last and is unreachable"),
        (claim(), {2: LIFE + 1}, None, "node 2 had it last and restarted"),
        (claim(released=True, reason="night"), {2: LIFE}, None, "node 2 released it: night"),
    ],
)
def test_who_has_a_tag(
    highest: Claim | None, lives: dict[NodeId, int], node: int | None, why: str
) -> None:
    assert holding(highest, lives) == (node, why)


def test_digests_tell_whether_two_nodes_know_the_same() -> None:
    """H-22; reasons do not matter, for the order does not settle which one is kept."""
    a, b = claim(1, 2, tag="a"), claim(3, 1, tag="b")
    assert digest_of_claims([a, b]) == digest_of_claims([b, claim(1, 2, tag="a", reason="x")])
    digests = [digest_of_claims(c) for c in ([], [a], [b], [a, b], [a, claim(4, 1, tag="b")])]
    assert len(set(digests)) == len(digests)
    assert {len(d) for d in digests} == {16}
    terms = digest_of_terms([ONE, TWO], 10.0)
    assert terms == digest_of_terms([TWO, ONE], 10.0)
    assert len({terms, digest_of_terms([ONE], 10.0), digest_of_terms([ONE, TWO], 9.0)}) == 3


def test_an_epoch_is_read_by_people() -> None:
    assert str(Epoch(5, TWO, 50)) == "5 of node 2"


@pytest.mark.parametrize(
    ("held", "highest", "lives", "state", "holder"),
    [
        (None, None, {}, "backup", None),
        (claim(5, 1), claim(5, 1), {}, "active", 1),
        (claim(5, 1), None, {}, "active", 1),
        (claim(5, 1), claim(5, 2, priority=9), {2: LIFE}, "backup", 2),
        (claim(5, 1), claim(5, 2, priority=99), {2: LIFE}, "active", 1),
        (None, claim(5, 2), {2: LIFE}, "backup", 2),
        (None, claim(5, 2), {}, "backup", None),
        (None, claim(5, 1), {}, "backup", None),
    ],
)
def test_how_a_tag_stands_here(
    held: Claim | None,
    highest: Claim | None,
    lives: dict[NodeId, int],
    state: str,
    holder: int | None,
) -> None:
    """It is active only under the highest epoch that was heard of, whatever is held."""
    token = Token(CLUSTER, "vip", epoch_of(held)) if held is not None else None
    found = standing("vip", token=token, declared=True, known=highest, me=ONE, lives=lives)
    assert (found.state, found.active, found.holder) == (state, state == "active", holder)
    if state != "active":
        assert found.epoch == (epoch_of(highest) if highest is not None else None)


def test_a_tag_that_was_only_heard_of_is_undeclared() -> None:
    """H-27."""
    found = standing("vip", token=None, declared=False, known=None, me=ONE, lives={})
    assert (found.state, found.epoch) == ("undeclared", None)
