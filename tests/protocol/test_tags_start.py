"""A node starts that is configured to have a sharing tag (H-23)."""

from __future__ import annotations

import pytest

from tagmesh.protocol.tag_messages import Claim
from tagmesh.protocol.tag_words import (
    Activated,
    StoreEpoch,
    StoreRelease,
    TagState,
)
from tagmesh.protocol.tags import ALONE_INTERVALS, STORE_RETRY_S, TagRules
from tests.protocol.tag_bench import (
    LIFE,
    ONE,
    THREE,
    TWO,
    claim,
    is_idle,
    only,
    tag,
    view,
)

BACKUP = TagState.BACKUP
PING_S = 4.0


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


def test_the_first_of_two_times_counts() -> None:
    rules = starting(None, 2)
    rules.claim_heard(claim(4, 2, released=True, successor=(1, LIFE)), 0.0)
    rules.store_failed(1, "away", 0.5)
    assert rules.deadline == 0.5 + STORE_RETRY_S


def test_who_was_activated_meanwhile_has_nothing_to_start() -> None:
    rules = starting(None, 2)
    rules.activate("asked", 1.0)
    rules.stored(1, 1, 1.0)
    assert rules.tick(PING_S) == []
