"""A sharing tag in mode manual: each row of its table (H-2, H-21, H-23, H-25, B3)."""

from __future__ import annotations

import pytest

from tagmesh.protocol.effects import Announce, Effect
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.tag_messages import Claim
from tagmesh.protocol.tag_words import (
    MAX_EPOCH_NUMBER,
    Activated,
    Answered,
    Deactivated,
    KeepClaim,
    Spread,
    StoreEpoch,
    StoreRelease,
    TagState,
    TagView,
)
from tagmesh.protocol.tags import ALONE_INTERVALS, MAX_TRIES, STORE_RETRY_S, TagRules
from tests.protocol.tag_bench import CLUSTER, LIFE, ONE, THREE, TWO, claim, me, only, view

BACKUP, CLAIMING = TagState.BACKUP, TagState.CLAIMING
ACTIVE, HANDING_OVER = TagState.ACTIVE, TagState.HANDING_OVER
PING_S = 4.0


def tag(known: Claim | None = None) -> TagRules:
    """On node 1; nodes 2 and 3 are reachable and fit."""
    rules = TagRules(
        cluster_id=CLUSTER, tag="vip", me=me(), priority=50, wall=lambda: 0.0, known=known
    )
    rules.view_changed(view(), 0.0)
    return rules


def active(number: int = 1) -> TagRules:
    """In the epoch of this number."""
    rules = tag(claim(number - 1) if number > 1 else None)
    (asked,) = rules.activate("asked", 0.0)
    assert asked == StoreEpoch(1, number - 1)
    rules.stored(1, number, 0.0)
    assert rules.state is ACTIVE
    return rules


def handing_over() -> TagRules:
    rules = active()
    rules.hand_over(TWO, "maintenance", 1.0)
    assert rules.state is HANDING_OVER
    return rules


def brief(effects: list[Effect]) -> list[Effect]:
    """Without what goes to the event log."""
    return [effect for effect in effects if not isinstance(effect, Announce)]


def is_idle(rules: TagRules) -> bool:
    return rules.state is BACKUP and rules.deadline is None


def refusal(effects: list[Effect]) -> str:
    return only(effects, Answered).refusal


# Activation ---------------------------------------------------------------------------------------


def test_a_number_is_stored_before_anybody_hears_of_it() -> None:
    """B3."""
    rules = tag(claim(6))
    assert rules.activate("asked", 0.0) == [StoreEpoch(1, 6)]
    assert rules.state is CLAIMING
    effects = brief(rules.stored(1, 7, 0.5))
    made = claim(7, 1, reason="asked")
    assert effects[:2] == [Answered(), Spread(made)]
    assert isinstance(effects[2], Activated)
    assert effects[2].reason == "asked"
    assert rules.known == made


def test_an_active_tag_is_told_again() -> None:
    """H-2: no callback, no event, no new epoch."""
    rules = active()
    assert rules.activate("asked", 1.0) == [Spread(claim(1, 1, reason="asked")), Answered()]


def test_a_second_activation_waits_with_the_first() -> None:
    rules = tag()
    rules.activate("first", 0.0)
    assert rules.activate("second", 0.1) == []
    assert only(rules.stored(1, 1, 0.2), Activated).reason == "second"


def test_who_is_late_takes_the_next_number() -> None:
    """A claim heard while mine was being stored, and one that only the store knows."""
    rules = tag()
    rules.activate("asked", 0.0)
    assert rules.claim_heard(claim(1, 2, priority=40), 0.1) == []
    assert rules.stored(1, 1, 0.2) == [StoreEpoch(2, 1)]
    assert rules.store_lost(2, 4, THREE, 0.3) == [StoreEpoch(3, 4)]
    assert only(rules.stored(3, 5, 0.4), Spread).claim.number == 5


def test_an_equal_number_is_enough_for_the_higher_epoch() -> None:
    """H-21: node 1 comes before node 2."""
    rules = tag()
    rules.activate("asked", 0.0)
    rules.claim_heard(claim(1, 2), 0.1)
    assert only(rules.stored(1, 1, 0.2), Spread).claim.number == 1


def test_a_race_is_not_run_for_ever() -> None:
    rules = tag()
    rules.activate("asked", 0.0)
    for attempt in range(1, MAX_TRIES):
        assert rules.store_lost(attempt, attempt, TWO, 0.1) == [StoreEpoch(attempt + 1, attempt)]
    assert refusal(rules.store_lost(MAX_TRIES, 50, TWO, 0.2)) == (
        "tag 'vip' of cluster 1: node 2 claims it at the same time; try again"
    )
    assert rules.state is BACKUP


def test_without_the_store_an_activation_is_refused() -> None:
    """P4."""
    rules = tag()
    rules.activate("asked", 0.0)
    assert refusal(rules.store_failed(1, "the database is away", 0.1)) == (
        "tag 'vip' of cluster 1: the database is away; by force one epoch might have two owners"
    )
    assert rules.state is BACKUP
    assert rules.deadline is None


def test_force_does_without_the_store_and_says_so() -> None:
    rules = tag(claim(6))
    rules.activate("asked", 0.0, force=True)
    effects = brief(rules.store_failed(1, "away", 0.1))
    made = claim(7, 1, reason="asked (forced, unsafe: not stored, away)")
    assert effects[:2] == [Answered(), Spread(made)]
    assert effects[3] == KeepClaim(made)
    assert rules.history[-1].reason == made.reason


def test_force_holds_for_one_activation_only() -> None:
    rules = tag()
    rules.activate("asked", 0.0, force=True)
    rules.release("no", 0.1)
    rules.activate("asked", 0.2)
    assert refusal(rules.store_failed(3, "away", 0.3))


def test_the_last_number_ends_a_tag() -> None:
    rules = tag(claim(MAX_EPOCH_NUMBER))
    with pytest.raises(Misuse, match="no epoch after 9223372036854775807: take another tag"):
        rules.activate("asked", 0.0)


def test_a_number_heard_of_counts() -> None:
    """W15: of a node that is no member, so nobody has the tag by it."""
    rules = tag()
    assert rules.number_heard(9, 0.0) == []
    assert rules.activate("asked", 0.0) == [StoreEpoch(1, 9)]
    assert rules.number_heard(20, 0.0) == []
    assert rules.stored(1, 10, 0.1) == [StoreEpoch(2, 20)]


def test_late_answers_of_the_store_change_nothing() -> None:
    """A number that is stored after all is given back, and not used again."""
    rules = tag()
    rules.activate("asked", 0.0)
    rules.release("changed my mind", 0.1)
    assert rules.store_lost(1, 3, TWO, 0.2) == []
    assert rules.store_failed(1, "away", 0.2) == []
    assert rules.stored(1, 7, 0.2) == [StoreRelease(7)]
    (asked,) = rules.activate("asked", 0.3)
    assert isinstance(asked, StoreEpoch)
    assert asked.seen == 7
    assert rules.stored(1, 8, 0.4) == [StoreRelease(8)]
    assert rules.state is CLAIMING


# Stepping down ------------------------------------------------------------------------------------


def test_a_higher_claim_makes_me_step_down() -> None:
    rules = active()
    effects = brief(rules.claim_heard(claim(1, 2, priority=40, reason="asked"), 1.0))
    (ended,) = effects
    assert isinstance(ended, Deactivated)
    assert ended.reason == "node 2 has epoch 1: asked"
    assert rules.state is BACKUP


def test_only_the_loser_steps_down() -> None:
    """H-21."""
    rules = active()
    assert rules.claim_heard(claim(1, 2), 1.0) == []
    assert rules.state is ACTIVE


def test_what_a_life_of_mine_claimed_that_lost_its_storage_is_overruled() -> None:
    """Nobody has the tag by that claim, so the activation of today goes above it."""
    rules = active()
    effects = brief(rules.claim_heard(claim(8, 1, life=LIFE - 1), 1.0))
    assert isinstance(effects[0], Deactivated)
    assert effects[1] == StoreEpoch(2, 8)
    assert only(rules.stored(2, 9, 1.1), Activated).token.epoch.number == 9
    rules.claim_heard(claim(11, 1, life=LIFE - 1), 2.0)
    assert rules.store_lost(3, 12, TWO, 2.1) == []
    assert rules.deadline == 2.1 + STORE_RETRY_S
    rules.claim_heard(claim(13, 2), 2.2)
    assert is_idle(rules)


@pytest.mark.parametrize("life", [LIFE, LIFE + 5])
def test_what_was_claimed_in_my_name_but_not_by_me_is_given_up(life: int) -> None:
    """W15: by a state that was rolled back. Else everybody would think I have the tag."""
    rules = tag()
    (ended,) = rules.claim_heard(claim(8, 1, life=life), 0.0)
    assert ended == Spread(claim(8, 1, life=life, released=True, reason="never claimed"))
    assert rules.claim_heard(claim(9, 1, life=life, released=True), 0.0) == []
    assert rules.activate("asked", 0.0) == [StoreEpoch(1, 9)]


def test_an_earlier_life_of_mine_is_history() -> None:
    rules = tag()
    assert rules.claim_heard(claim(8, 1, life=LIFE - 1), 0.0) == []


# Giving up ----------------------------------------------------------------------------------------


def test_a_release_says_that_nobody_has_the_tag() -> None:
    rules = active()
    effects = brief(rules.release("night", 1.0))
    assert isinstance(effects[0], Deactivated)
    assert effects[1:] == [Spread(claim(1, 1, released=True, reason="night")), StoreRelease(1)]
    assert rules.state is BACKUP


def test_only_the_owner_can_give_it_up() -> None:
    for rules, whose in (
        (tag(), "nobody has claimed it yet"),
        (tag(claim()), "node 2 has it"),
    ):
        sentence = f"is not active here: {whose}; ask the node that has it"
        with pytest.raises(Misuse, match=sentence):
            rules.release("x", 0.0)
        with pytest.raises(Misuse, match=sentence):
            rules.hand_over(TWO, "x", 0.0)


def test_an_activation_can_be_called_off() -> None:
    rules = tag()
    rules.activate("asked", 0.0)
    assert refusal(rules.release("no", 0.1)) == (
        "tag 'vip' of cluster 1: it was released meanwhile: no"
    )
    assert rules.state is BACKUP


def test_a_node_that_leaves_keeps_its_epoch() -> None:
    """H-4: nobody takes over by himself, and no claim says that it was given up."""
    assert [type(e) for e in brief(active().stop("shutdown", 1.0))] == [Deactivated]
    waiting = tag()
    waiting.activate("asked", 0.0)
    assert refusal(waiting.stop("shutdown", 1.0)).endswith("shutdown")
    assert tag().stop("shutdown", 1.0) == []


# Handing over -------------------------------------------------------------------------------------


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


# Starting -----------------------------------------------------------------------------------------


def starting(known: Claim | None, *lives: int, others: int = 2, steal: bool = False) -> TagRules:
    rules = tag(known)
    rules.begin(view(lives, others=others), 0.0, ping_interval_s=PING_S, steal=steal)
    return rules


def test_a_node_alone_in_its_roster_waits_one_ping_interval() -> None:
    """H-23."""
    rules = starting(None, others=0)
    assert rules.deadline == PING_S
    assert rules.tick(PING_S - 0.1) == []
    assert rules.tick(PING_S) == [StoreEpoch(1, 0)]
    assert only(rules.stored(1, 1, PING_S), Activated).reason == "configured to be active here"


def test_a_node_waits_for_others_and_then_one_ping_interval() -> None:
    rules = starting(None)
    assert rules.deadline == ALONE_INTERVALS * PING_S
    rules.view_changed(view([2]), 5.0)
    assert rules.deadline == 5.0 + PING_S
    rules.view_changed(view([2, 3]), 6.0)
    assert rules.deadline == 5.0 + PING_S
    assert starting(None, 2).deadline == PING_S


def test_a_start_takes_the_tag_from_nobody() -> None:
    """Row 19 of behaviour 1.23: a restart with "=active" steals the tag."""
    rules = starting(claim(5, 1, life=LIFE - 1), 2)
    rules.claim_heard(claim(6, 2), 1.0)
    assert rules.tick(PING_S) == []
    assert is_idle(rules)


@pytest.mark.parametrize(
    "known", [claim(5, 1, life=LIFE - 1), claim(5, 9), claim(5, 2, released=True)]
)
def test_a_start_takes_a_tag_that_nobody_has(known: Claim) -> None:
    """I was the last owner, or the last owner is not there."""
    assert starting(known, 2).tick(PING_S) == [StoreEpoch(1, 5)]


def test_a_start_gives_way_to_an_owner_it_hears_of_in_time() -> None:
    rules = starting(None, 2)
    rules.tick(PING_S)
    assert rules.claim_heard(claim(1, 2), PING_S) == []
    assert rules.state is BACKUP
    assert rules.stored(1, 1, PING_S) == [StoreRelease(1)]


def test_a_start_gives_way_to_an_owner_that_only_the_store_knows() -> None:
    rules = starting(None, 2)
    rules.tick(PING_S)
    assert rules.store_lost(1, 3, THREE, PING_S) == []
    assert rules.state is BACKUP
    mine = starting(None, 2)
    mine.tick(PING_S)
    assert mine.store_lost(1, 3, ONE, PING_S) == [StoreEpoch(2, 3)], "stored in an earlier life"


def test_policy_steal_takes_it_from_whoever_has_it() -> None:
    rules = starting(claim(5, 2), 2, steal=True)
    assert rules.tick(PING_S) == [StoreEpoch(1, 5)]
    assert rules.store_lost(1, 6, TWO, PING_S) == [StoreEpoch(2, 6)]
    assert only(rules.stored(2, 7, PING_S), Activated)


def test_who_was_activated_meanwhile_has_nothing_to_start() -> None:
    rules = starting(None, 2)
    rules.activate("asked", 1.0)
    rules.stored(1, 1, 1.0)
    assert rules.tick(PING_S) == []
