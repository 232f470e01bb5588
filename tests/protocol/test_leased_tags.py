"""A sharing tag in mode lease: each row of its table (H-26, H-21)."""

from __future__ import annotations

import pytest

from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.leased_tags import LeasedTag
from tagmesh.protocol.tag_words import (
    Activated,
    Answered,
    Deactivated,
    LeaveLease,
    LookAtLease,
    Spread,
    StoreRelease,
    TagState,
)
from tests.protocol.tag_bench import CLUSTER, LIFE, ONE, TWO, claim, kinds, me, only, view


def tag() -> LeasedTag:
    """On node 1; nodes 2 and 3 are reachable and fit."""
    rules = LeasedTag(cluster_id=CLUSTER, tag="vip", me=me(), priority=50, wall=lambda: 0.0)
    rules.view_changed(view(), 0.0)
    return rules


def active() -> LeasedTag:
    """In epoch 4, until second 9."""
    rules = tag()
    effects = rules.leased(4, 9.0, 0.0)
    mine = claim(4, 1, mode="lease", reason="got the lease")
    assert only(effects, Spread) == Spread(mine)
    assert only(effects, Activated).token == rules.token
    return rules


def test_the_token_ends_with_the_lease_by_my_own_clock() -> None:
    """Whether anybody has told me that it is over or not."""
    rules = active()
    token = rules.token
    assert token is not None
    assert [rules.valid(token, now) for now in (8.9, 9.0)] == [True, False]
    assert rules.lease_extended(12.0) == []
    assert [rules.valid(token, now) for now in (11.9, 12.0)] == [True, False]
    assert rules.tick(50.0) == []
    assert rules.deadline is None


def test_a_lease_that_is_over_is_told_as_given_up() -> None:
    rules = active()
    effects = rules.lease_over("the lease ran out", None, 9.0)
    assert kinds(effects) == ["Deactivated", "Announce", "Spread", "StoreRelease"]
    ended = claim(4, 1, mode="lease", released=True, reason="the lease ran out")
    assert only(effects, Spread) == Spread(ended)
    assert rules.lease_over("again", None, 9.0) == []


@pytest.mark.parametrize(("to", "successor"), [(TWO, (2, LIFE)), (9, None)])
def test_the_successor_is_named_in_the_life_it_is_in(
    to: int, successor: tuple[int, int] | None
) -> None:
    effects = active().lease_over("asked", ONE.__class__(to), 1.0)
    assert only(effects, Spread).claim.successor == successor
    assert only(effects, StoreRelease) == StoreRelease(4)


def test_a_higher_claim_ends_my_epoch_and_my_lease() -> None:
    """H-21; such a claim can only be made by force, or with a lease that came after mine."""
    rules = active()
    effects = rules.claim_heard(claim(5, 2, reason="forced"), 1.0)
    assert kinds(effects) == ["Deactivated", "Announce", "LeaveLease", "LookAtLease"]
    assert only(effects, Deactivated).reason == "node 2 has epoch 5: forced"
    assert rules.state is TagState.BACKUP
    assert rules.lease_over("a higher claim is known", None, 1.0) == []


def test_a_lease_under_a_number_that_is_too_low_is_left_at_once() -> None:
    rules = tag()
    rules.claim_heard(claim(5, 2), 0.0)
    assert rules.leased(5, 9.0, 0.0) != [], "node 1 comes before node 2"
    rules = tag()
    rules.number_heard(6, 0.0)
    assert rules.leased(5, 9.0, 0.0) == [LeaveLease("epoch 6 is known already")]
    assert rules.token is None


def test_whatever_is_heard_makes_the_lease_look_at_the_row() -> None:
    rules = tag()
    assert rules.claim_heard(claim(4, 2), 0.0) == [LookAtLease(4, None)]
    offer = claim(4, 2, released=True, successor=(3, LIFE))
    assert rules.claim_heard(offer, 0.0) == [LookAtLease(4, me(3).node_id)]
    assert rules.number_heard(7, 0.0) == [LookAtLease(7, me(3).node_id)]
    assert rules.claim_heard(claim(8, 2, released=True), 0.0) == [LookAtLease(8, None)]


def test_nobody_activates_what_goes_by_a_lease() -> None:
    rules = tag()
    with pytest.raises(Misuse, match="goes to whoever has the lease on it"):
        rules.activate("asked", 0.0, force=True)
    rules = active()
    assert rules.activate("asked", 1.0) == [
        Spread(claim(4, 1, mode="lease", reason="got the lease")), Answered(),
    ]  # fmt: skip


def test_a_node_that_can_never_have_the_lease_says_why_nobody_has_the_tag() -> None:
    rules = tag()
    rules.barred = "not all nodes share the file"
    assert rules.holding() == (None, "not all nodes share the file")
    with pytest.raises(Misuse, match="not all nodes share the file"):
        rules.activate("asked", 0.0)
    rules.claim_heard(claim(4, 2), 0.0)
    assert rules.holding().node_id == TWO


def test_a_node_that_is_configured_to_have_it_has_no_claim_to_it() -> None:
    """H-23 is for mode manual; here preferred nodes are in the row."""
    rules = tag()
    rules.begin(view([2]), 0.0, ping_interval_s=4.0, steal=True)
    assert rules.tick(100.0) == []
    assert rules.view == view([2])


def test_what_an_operator_asks_goes_to_the_lease() -> None:
    rules = active()
    assert rules.release("night", 1.0) == [LeaveLease("night")]
    assert rules.hand_over(TWO, "maintenance", 1.0) == [LeaveLease("maintenance", TWO), Answered()]
    assert rules.stop("shutdown", 1.0) == [LeaveLease("shutdown")]
    assert rules.state is TagState.ACTIVE, "until the lease is over"


def test_what_is_not_active_here_cannot_be_given_up_here() -> None:
    rules = tag()
    rules.claim_heard(claim(4, 2), 0.0)
    with pytest.raises(Misuse, match="is not active here: node 2 has it"):
        rules.release("night", 1.0)
    with pytest.raises(Misuse, match="is not active here: node 2 has it"):
        rules.hand_over(TWO, "x", 1.0)
    assert rules.stop("shutdown", 1.0) == []
