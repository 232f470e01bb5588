"""A sharing tag is handed over without two owners at any moment (H-25)."""

from __future__ import annotations

import pytest

from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.tag_words import (
    Activated,
    Answered,
    Deactivated,
    Spread,
    StoreEpoch,
    StoreRelease,
    TagState,
    TagView,
)
from tagmesh.protocol.tags import STORE_RETRY_S, TagRules
from tests.protocol.tag_bench import (
    LIFE,
    ONE,
    THREE,
    TWO,
    active,
    brief,
    claim,
    is_idle,
    only,
    refusal,
    tag,
    view,
)

BACKUP, CLAIMING = TagState.BACKUP, TagState.CLAIMING
ACTIVE, HANDING_OVER = TagState.ACTIVE, TagState.HANDING_OVER


def handing_over() -> TagRules:
    rules = active()
    rules.hand_over(TWO, "maintenance", 1.0)
    assert rules.state is HANDING_OVER
    return rules


def test_a_hand_over_names_the_life_that_is_to_take_over() -> None:
    """H-25: not active here before anybody else can know of it."""
    rules = active()
    effects = brief(rules.hand_over(TWO, "maintenance", 1.0))
    assert isinstance(effects[0], Deactivated)
    released = claim(1, 1, released=True, reason="maintenance", successor=(2, LIFE))
    assert effects[1:] == [Spread(released), StoreRelease(1)]
    assert refusal(rules.claim_heard(claim(2, 2), 2.0)) == ""
    assert rules.state is BACKUP


@pytest.mark.parametrize(
    ("to", "why"),
    [
        (ONE, "is active on node 1 already"),
        (TWO, "stays on this node: node 2 is not reachable"),
        (THREE, "stays on this node: node 3 lacks some of its data"),
    ],
)
def test_a_target_that_cannot_take_it_is_refused_and_nothing_changes(to: NodeId, why: str) -> None:
    rules = active()
    rules.view_changed(view([3], fit=[1]), 0.5)
    with pytest.raises(Misuse, match=why):
        rules.hand_over(to, "x", 1.0)
    assert rules.state is ACTIVE


def test_the_successor_claims_the_tag() -> None:
    rules = tag()
    offer = claim(4, 2, released=True, reason="maintenance", successor=(1, LIFE))
    assert rules.claim_heard(offer, 0.0) == [StoreEpoch(1, 4)]
    effects = rules.stored(1, 5, 0.1)
    assert only(effects, Activated).reason == "handed over by node 2: maintenance"
    assert Answered() not in effects, "nobody here waits for it"


def test_a_successor_that_is_not_fit_waits_until_it_is() -> None:
    rules = tag()
    rules.view_changed(view(fit=[2, 3]), 0.0)
    assert rules.claim_heard(claim(4, 2, released=True, successor=(1, LIFE)), 0.0) == []
    assert rules.view_changed(view(), 1.0) == [StoreEpoch(1, 4)]


def test_an_offer_to_another_life_is_none() -> None:
    rules = tag()
    assert rules.claim_heard(claim(4, 2, released=True, successor=(1, LIFE - 1)), 0.0) == []


def test_a_successor_tries_until_it_has_the_number_or_the_offer_is_void() -> None:
    rules = tag()
    rules.claim_heard(claim(4, 2, released=True, successor=(1, LIFE)), 0.0)
    assert rules.store_failed(1, "away", 1.0) == []
    assert rules.deadline == 1.0 + STORE_RETRY_S
    assert rules.tick(1.0 + STORE_RETRY_S) == [StoreEpoch(2, 4)]
    assert rules.store_lost(2, 6, THREE, 4.0) == [], "which may never claim it"
    assert rules.tick(4.0 + STORE_RETRY_S) == [StoreEpoch(3, 6)]
    assert rules.store_lost(3, 7, TWO, 7.0) == [], "it took the tag back"
    assert rules.view_changed(view([2]), 8.0) == []
    assert is_idle(rules)


def test_a_successor_stops_when_somebody_else_claims() -> None:
    rules = tag()
    rules.claim_heard(claim(4, 2, released=True, successor=(1, LIFE)), 0.0)
    assert rules.claim_heard(claim(5, 3), 0.1) == []
    assert is_idle(rules)


def test_what_no_person_asked_for_is_never_forced() -> None:
    """Not even when one joins in, who did not say so."""
    rules = tag()
    rules.claim_heard(claim(4, 2, released=True, successor=(1, LIFE)), 0.0)
    rules.activate("asked", 0.1)
    assert "by force" in refusal(rules.store_failed(1, "away", 0.2))


def test_a_person_speeds_up_a_claim_that_waits() -> None:
    rules = tag()
    rules.claim_heard(claim(4, 2, released=True, successor=(1, LIFE)), 0.0)
    rules.store_failed(1, "away", 1.0)
    assert rules.activate("asked", 1.5) == [StoreEpoch(2, 4)]
    assert refusal(rules.stored(2, 5, 1.6)) == ""


@pytest.mark.parametrize(
    ("around", "why"),
    [
        (view([3]), "it comes back: node 2 went away before it took the tag"),
        (view({2: LIFE + 1}), "it comes back: node 2 went away before it took the tag"),
        (view(fit=[1]), "it comes back: the data of node 2 is no longer complete"),
    ],
)
def test_the_tag_comes_back_when_the_target_cannot_take_it(around: TagView, why: str) -> None:
    rules = handing_over()
    effects = rules.view_changed(around, 2.0)
    assert effects == [Answered(f"tag 'vip' of cluster 1: {why}"), StoreEpoch(2, 1)]
    assert only(rules.stored(2, 2, 2.1), Activated).token.epoch.number == 2


def test_the_tag_does_not_come_back_when_the_store_says_that_it_was_taken() -> None:
    rules = handing_over()
    rules.view_changed(view([3]), 2.0)
    assert rules.store_lost(2, 2, TWO, 2.1) == []
    assert rules.state is BACKUP
    rules = handing_over()
    rules.view_changed(view([3]), 2.0)
    rules.store_lost(2, 2, THREE, 2.1)
    assert rules.state is CLAIMING, "a third node does not count"
    rules.claim_heard(claim(2, 2), 2.2)
    assert is_idle(rules)


def test_the_latest_word_of_a_person_counts_in_a_hand_over() -> None:
    rules = handing_over()
    effects = rules.activate("asked", 2.0)
    assert refusal(effects).endswith("it was activated here again: asked")
    assert only(rules.stored(2, 2, 2.1), Answered) == Answered()
    rules = handing_over()
    assert refusal(rules.release("no", 2.0)).endswith("it was released meanwhile: no")
    assert rules.view_changed(view([3]), 3.0) == [], "nothing is taken back"
    rules = handing_over()
    assert refusal(rules.claim_heard(claim(2, 3), 2.0)).endswith("node 3 claimed it")
