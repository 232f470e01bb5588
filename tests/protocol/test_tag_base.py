"""A sharing tag in either mode: who has it, its token, its history (H-20, H-24)."""

from __future__ import annotations

from tagmesh.protocol.effects import Announce
from tagmesh.protocol.events import Event
from tagmesh.protocol.tag_base import MAX_HISTORY
from tagmesh.protocol.tag_messages import Claim
from tagmesh.protocol.tag_words import Activated, Change, Deactivated, Epoch, Spread, Token
from tagmesh.protocol.tags import TagRules
from tests.protocol.tag_bench import CLUSTER, LIFE, ONE, THREE, TWO, claim, me, only, view


def tag(known: Claim | None = None) -> TagRules:
    made = TagRules(
        cluster_id=CLUSTER, tag="vip", me=me(), priority=50, wall=lambda: 1.7e9, known=known
    )
    made.view_changed(view(), 0.0)
    return made


def test_the_token_is_valid_in_exactly_one_epoch() -> None:
    rules = tag()
    rules.activate("asked", 0.0)
    assert rules.token is None
    token = only(rules.stored(1, 1, 1.0), Activated).token
    assert token == rules.token == Token(CLUSTER, "vip", Epoch(1, ONE, 50))
    assert rules.valid(token, 1e9)
    assert not rules.valid(Token(CLUSTER, "other", token.epoch), 2.0)
    assert not rules.valid(Token(CLUSTER, "vip", Epoch(2, ONE, 50)), 2.0)
    assert only(rules.claim_heard(claim(2), 3.0), Deactivated).token == token
    assert not rules.valid(token, 3.0)


def test_both_edges_are_told_to_applications() -> None:
    """H-2, H-3: with the reason, and only when something changed."""
    rules = tag()
    rules.activate("asked", 0.0)
    told = [only(rules.stored(1, 1, 1.0), Announce)]
    told.append(only(rules.claim_heard(claim(2, reason="MI command"), 3.0), Announce))
    assert [(e.kind, e.before, e.after, e.tag, e.node_id) for e in told] == [
        (Event.TAG_CHANGED, "backup", "active", "vip", 1),
        (Event.TAG_CHANGED, "active", "backup", "vip", 1),
    ]
    assert [e.cause for e in told] == ["asked", "node 2 has epoch 2: MI command"]
    assert rules.claim_heard(claim(3), 4.0) == []


def test_a_claim_that_is_not_higher_is_no_news() -> None:
    rules = tag(known=claim(3))
    assert rules.claim_heard(claim(3, reason="again"), 0.0) == []
    assert rules.claim_heard(claim(2), 0.0) == []
    assert rules.known == claim(3)
    assert not rules.history


def test_the_history_is_that_of_the_highest_claim_and_short() -> None:
    rules = tag()
    rules.claim_heard(claim(1, 2, reason="asked"), 0.0)
    rules.claim_heard(claim(1, 2, released=True, reason="night"), 1.0)
    assert list(rules.history) == [
        Change(Epoch(1, TWO, 50), TWO, "asked", 1.7e9),
        Change(Epoch(1, TWO, 50), None, "night", 1.7e9),
    ]
    for number in range(2, 3 + MAX_HISTORY):
        rules.claim_heard(claim(number), 2.0)
    assert [change.epoch.number for change in rules.history] == [*range(3, 3 + MAX_HISTORY)]


def test_everybody_says_who_has_the_tag() -> None:
    rules = tag()
    assert rules.holding() == (None, "nobody has claimed it yet")
    rules.claim_heard(claim(1, 3, reason="asked"), 0.0)
    assert rules.holding() == (THREE, "asked")
    rules.view_changed(view([2]), 1.0)
    assert rules.holding() == (None, "node 3 had it last and is unreachable")
    rules.activate("took over", 2.0)
    rules.stored(1, 2, 2.0)
    assert rules.holding() == (ONE, "took over")
    assert tag(known=claim(9, 1, life=LIFE - 1)).holding() == (
        (None, "node 1 had it last and restarted")
    )


def test_reasons_are_cut_to_what_a_claim_can_carry() -> None:
    rules = tag()
    rules.activate("x" * 300, 0.0)
    made = only(rules.stored(1, 1, 0.0), Spread).claim
    assert (made.reason, made.priority, made.mode) == ("x" * 256, 50, "manual")
    ended = only(rules.release("y" * 300, 1.0), Spread).claim
    assert (ended.reason, ended.released, ended.number) == ("y" * 256, True, 1)


def test_a_claim_that_is_heard_as_stored_and_as_made_is_one_change() -> None:
    rules = tag()
    rules.claim_heard(claim(3, reason="as stored", priority=2**31 - 1), 0.0)
    rules.claim_heard(claim(3, reason="asked"), 1.0)
    rules.claim_heard(claim(3, reason="given up", released=True), 2.0)
    assert [(c.owner, c.reason) for c in rules.history] == [(2, "asked"), (None, "given up")]
