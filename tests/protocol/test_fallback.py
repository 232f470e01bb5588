"""OK without a donor: seeds (S-27), and the newest data when nobody is OK (S-28)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.protocol.donors import CapabilityView, Wants
from tagmesh.protocol.fallback import SETTLE_S, Declaration, Fallback
from tagmesh.protocol.messages import CapabilityState, CapState
from tests.protocol.capability_bench import peer, said, view

PENDING, UNSYNCED, DEGRADED = CapState.PENDING, CapState.UNSYNCED, CapState.DEGRADED
SYNCING, OK = CapState.SYNCING, CapState.OK
INTERVAL_S = 5.0
WAITS = said(PENDING)
AWAY = peer(9, hops=0)
"""Somebody is missing, who may have newer data."""
FAR = peer(99, hops=0)
"""Not everybody is there."""


def fallback(*, newest_decides: bool = True, quorum_share: float = 0.5) -> Fallback:
    return Fallback(
        wants=Wants(),
        interval_s=INTERVAL_S,
        quorum_share=quorum_share,
        newest_decides=newest_decides,
    )


def when(
    around: CapabilityView, own: CapabilityState = WAITS, rules: Fallback | None = None
) -> tuple[float, str] | None:
    """(seconds, rule) of the declaration if nothing changes; None = it never comes."""
    rules = rules or fallback()
    now = 100.0
    for _ in range(50):
        found = rules.consider(own, around, now)
        if found is not None:
            return round(now - 100.0, 6), found.rule
        if rules.deadline is None:
            return None
        assert rules.deadline > now
        now = rules.deadline
    raise AssertionError("it never makes up its mind")


# S-27 ------------------------------------------------------------------------------------------


def test_a_seed_alone_waits_one_interval() -> None:
    alone = view(peer(2, hops=0), peer(3, hops=0), flags="seed")
    assert when(alone) == (5.0, "S-27")
    rules = fallback()
    rules.consider(WAITS, alone, 0.0)
    assert rules.consider(WAITS, alone, 4.99) is None
    declared = rules.consider(WAITS, alone, 5.0)
    assert declared == Declaration("S-27", "seed, and no donor for 5 s", without_data=True)


def test_only_a_node_with_the_flag_is_a_seed() -> None:
    far = peer(2, hops=0, flags="seed")
    for flags in (None, "", "noseed"):
        assert when(view(far, flags=flags)) is None
    assert when(view(far, flags="seed,more")) == (5.0, "S-27")


def test_a_seed_that_asked_for_no_sync_wants_none() -> None:
    assert when(view(peer(2, hops=0), flags="seed"), said(UNSYNCED)) is None


def test_a_donor_that_comes_and_goes_begins_the_waiting_anew() -> None:
    alone, rules = view(peer(2, hops=0), flags="seed"), fallback()
    rules.consider(WAITS, alone, 0.0)
    rules.reset()
    assert rules.deadline is None
    assert rules.consider(WAITS, alone, 4.0) is None
    assert rules.deadline == 9.0


def test_of_two_seeds_the_one_with_newer_data_or_lower_id_goes_first() -> None:
    """Without a quorum too: the second finds the first OK before its own turn."""
    far = [peer(n, hops=0) for n in range(4, 9)]

    def turn(mine: int, theirs: int, me: int = 2) -> float:
        other = peer(5 - me, said(PENDING, position=theirs), flags="seed")
        found = when(view(other, *far, me=me, flags="seed"), said(PENDING, position=mine))
        assert found is not None
        return found[0]

    assert turn(mine=7, theirs=3) == turn(mine=3, theirs=3) == 5.0
    assert turn(mine=3, theirs=7) == turn(mine=3, theirs=3, me=3) == 10.0


def test_a_seed_lets_the_node_with_the_newest_data_go_first_but_not_for_ever() -> None:
    """The empty seed is not the one to decide (#1591), unless nobody else does."""
    newer = [peer(2, said(PENDING, position=9)), peer(3, said(PENDING, position=4))]
    assert when(view(*newer, FAR, flags="seed"), said(PENDING, position=0)) == (20.0, "S-27")
    assert when(view(newer[1], FAR, me=2), said(PENDING, position=9)) == (5.0, "S-28")
    off = fallback(newest_decides=False)
    assert when(view(*newer, FAR, flags="seed"), said(PENDING, position=0), off) == (5.0, "S-27")


# S-28 ------------------------------------------------------------------------------------------


def test_the_newest_data_decides_at_the_turn_of_its_place() -> None:
    positions = {1: 3, 2: 8, 3: 8, 4: 5}

    def at(me: int) -> tuple[float, str] | None:
        others = [peer(n, said(PENDING, position=p)) for n, p in positions.items() if n != me]
        return when(view(*others, *far, me=me), said(PENDING, position=positions[me]))

    far = [FAR]
    assert [at(me) for me in positions] == [None, (10.0, "S-28"), None, None]
    far = []
    assert [at(me) for me in positions] == [None, (SETTLE_S, "S-28"), None, None]


def test_data_makes_the_difference_between_a_donor_and_one_of_last_resort() -> None:
    around = view(peer(2, PENDING))
    for position in (0, 6):
        rules, own = fallback(), said(PENDING, position=position)
        rules.consider(own, around, 0.0)
        found = rules.consider(own, around, 5.0)
        assert found is not None
        assert found.without_data == (position == 0)
        assert found.cause.endswith(f"this one has the newest data (position {position})")


@pytest.mark.parametrize("state", [OK, SYNCING])
def test_nobody_decides_while_one_has_data_or_is_getting_it(state: CapState) -> None:
    """A node that is OK is not a donor if it fails the condition; that is not tested here."""
    assert when(view(peer(2, state), peer(3, PENDING))) is None


def test_a_switched_off_capability_and_one_that_is_not_there_do_not_count() -> None:
    """Also: a cluster in which only this node has the capability."""
    for other in (peer(2, said(CapState.DISABLED, position=9)), peer(2, None)):
        assert when(view(other)) == (5.0, "S-28")


def test_without_a_quorum_nobody_decides_and_its_loss_begins_the_waiting_anew() -> None:
    near, far = view(peer(2, None), peer(3, hops=0)), view(peer(2, hops=0), peer(3, hops=0))
    assert when(far) is None
    rules = fallback()
    rules.consider(WAITS, near, 0.0)
    rules.consider(WAITS, far, 4.0)
    assert rules.consider(WAITS, near, 6.0) is None
    assert rules.deadline == 11.0
    assert when(far, rules=fallback(quorum_share=0.0)) == (5.0, "S-28")


def test_a_whole_cluster_decides_as_soon_as_no_more_news_comes() -> None:
    """Nobody with newer data can come any more; a fresh cluster need not wait for the seed."""
    assert when(view()) == (SETTLE_S, "S-28")
    assert when(view(peer(2, PENDING), flags="seed")) == (SETTLE_S, "S-28")
    assert when(view(peer(2, PENDING), peer(3, hops=0, enabled=False))) == (SETTLE_S, "S-28")
    rules, own = fallback(), said(PENDING, position=5)
    rules.consider(own, view(peer(2, said(PENDING, position=1))), 0.0)
    assert rules.deadline == SETTLE_S
    assert rules.consider(own, view(peer(2, said(PENDING, position=2))), 0.15) is None
    assert rules.deadline == 0.15 + SETTLE_S


def test_it_can_be_switched_off() -> None:
    assert when(view(peer(2, PENDING)), rules=fallback(newest_decides=False)) is None


def test_nodes_that_want_nothing_are_left_in_peace_until_one_does() -> None:
    newest = said(UNSYNCED, position=9)
    assert when(view(peer(2, UNSYNCED), FAR), newest) is None
    assert when(view(peer(2, DEGRADED), FAR), newest) == (5.0, "S-28")


def test_the_next_one_takes_over_when_the_first_is_gone() -> None:
    rules = fallback()
    newer = peer(2, said(PENDING, position=9))
    assert rules.consider(WAITS, view(newer, peer(3, PENDING)), 0.0) is None
    assert rules.deadline is None
    found = rules.consider(WAITS, view(peer(2, hops=0), peer(3, PENDING)), 30.0)
    assert found is not None
    assert found.rule == "S-28"


@given(
    st.dictionaries(st.integers(1, 9), st.tuples(st.integers(0, 3), st.booleans()), min_size=1),
    st.booleans(),
    st.integers(0, 12),
)
def test_whoever_sees_the_same_agrees_on_who_is_first(
    nodes: dict[int, tuple[int, bool]], newest_decides: bool, hidden: int
) -> None:
    """All wait and see each other: one declares itself, strictly before any other would."""
    far = [peer(20 + n, hops=0) for n in range(hidden)]
    turns = {}
    for me, (position, seed) in nodes.items():
        others = [
            peer(n, said(PENDING, position=p), flags="seed" if s else None)
            for n, (p, s) in nodes.items()
            if n != me
        ]
        around = view(*others, *far, me=me, flags="seed" if seed else None)
        found = when(
            around, said(PENDING, position=position), fallback(newest_decides=newest_decides)
        )
        if found is not None:
            turns[me] = found[0]
    quorum = len(nodes) > (len(nodes) + hidden) / 2
    somebody = any(seed for _, seed in nodes.values()) or (newest_decides and quorum)
    assert bool(turns) == somebody
    assert list(turns.values()).count(min(turns.values(), default=0.0)) <= 1
    if turns and newest_decides and quorum:
        first = min(turns, key=lambda me: turns[me])
        assert nodes[first][0] == max(position for position, _ in nodes.values())
