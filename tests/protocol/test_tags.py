"""A sharing tag in mode manual: activating it and giving it up (H-2, H-21, B3)."""

from __future__ import annotations

import pytest

from tagmesh.protocol.errors import Misuse
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
)
from tagmesh.protocol.tags import MAX_TRIES, STORE_RETRY_S
from tests.protocol.tag_bench import (
    LIFE,
    THREE,
    TWO,
    active,
    brief,
    claim,
    is_idle,
    only,
    refusal,
    tag,
)

BACKUP, CLAIMING, ACTIVE = TagState.BACKUP, TagState.CLAIMING, TagState.ACTIVE


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


def test_who_forces_what_was_asked_without_force_gets_it() -> None:
    rules = tag()
    rules.activate("asked", 0.0)
    rules.activate("now", 0.1, force=True)
    rules.activate("asked again", 0.2)
    assert only(rules.store_failed(1, "away", 0.3), Activated)


def test_the_last_number_ends_a_tag() -> None:
    rules = tag(claim(MAX_EPOCH_NUMBER))
    with pytest.raises(Misuse, match="no epoch after 9223372036854775807: take another tag"):
        rules.activate("asked", 0.0)


def test_the_last_number_may_be_used_up_while_one_is_asked_for() -> None:
    for force in (False, True):
        rules = tag()
        rules.activate("asked", 0.0, force=force)
        rules.number_heard(MAX_EPOCH_NUMBER, 0.1)
        assert refusal(rules.stored(1, 1, 0.2)).endswith(
            "others claim it at the same time; try again"
        )
        rules = tag()
        rules.activate("asked", 0.0, force=force)
        rules.number_heard(MAX_EPOCH_NUMBER, 0.1)
        assert "by force one epoch might have two owners" in refusal(
            rules.store_failed(1, "away", 0.2)
        )


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


def test_a_number_that_was_claimed_in_my_name_is_not_claimed_again() -> None:
    rules = tag()
    rules.activate("asked", 0.0)
    rules.claim_heard(claim(1, 1), 0.1)
    assert rules.stored(1, 1, 0.2) == [StoreEpoch(2, 1)]


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
