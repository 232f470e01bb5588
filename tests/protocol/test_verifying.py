"""When nodes compare their records, and with whom."""

from __future__ import annotations

import random

import pytest

from tagmesh.protocol.donors import Peer
from tagmesh.protocol.messages import BUCKETS
from tagmesh.protocol.verifying import LEAST_SHARE, SOON_S, Verifying
from tests.protocol.capability_bench import peer, said

INTERVAL_S = 60.0


def compared(rules: Verifying, count: int, now: float = 0.0) -> list[tuple[float, int]]:
    """The next comparisons: when, and with which node."""
    found = []
    for _ in range(count):
        assert rules.deadline is not None
        assert rules.due(rules.deadline - 0.001) is None
        now = rules.deadline
        comparison = rules.due(now)
        assert comparison is not None
        found.append((now, int(comparison.node_id)))
    return found


def verifying(*peers: Peer, jitter: float = 0.0, interval_s: float = INTERVAL_S) -> Verifying:
    rules = Verifying(interval_s, lambda: jitter)
    rules.see(peers, 0.0)
    return rules


def test_one_that_appears_is_compared_with_soon_and_then_one_after_the_other() -> None:
    rules = verifying(peer(2), peer(4), peer(3), jitter=0.5)
    pause_s = INTERVAL_S * (LEAST_SHARE + 0.5 * LEAST_SHARE)
    times, nodes = zip(*compared(rules, 6), strict=True)
    assert nodes == (3, 2, 3, 4, 2, 3)
    assert times[0] == SOON_S * 0.75
    assert times[5] == pytest.approx(times[0] + 5 * pause_s)


def test_of_several_that_appear_together_one_is_compared_with_soon() -> None:
    rules = verifying(peer(2))
    compared(rules, 1)
    again = SOON_S * LEAST_SHARE
    rules.see([peer(2), peer(3)], again)
    rules.see([peer(2), peer(3), peer(4)], again + 0.1)
    assert compared(rules, 4) == [
        (again + SOON_S * LEAST_SHARE, 3),
        *((again + SOON_S * LEAST_SHARE + n * INTERVAL_S / 2, 1 + n) for n in (1, 2, 3)),
    ]


def test_another_life_and_another_time_of_being_ok_are_news() -> None:
    rules = verifying(peer(2), peer(3))
    compared(rules, 3)
    for news in (peer(3, life=2), peer(3, said(generation=5))):
        rules.see([peer(2), news], 1000.0)
        assert rules.deadline is not None
        assert rules.deadline <= 1000.0 + SOON_S
        compared(rules, 1)


def test_nobody_to_compare_with() -> None:
    rules = verifying()
    assert rules.deadline is None
    assert rules.due(1e9) is None
    rules.see([peer(2)], 5.0)
    rules.see([], 6.0)
    assert rules.deadline is None


def test_a_newcomer_that_has_gone_is_not_waited_for() -> None:
    rules = verifying(peer(2), peer(3))
    rules.see([peer(3)], 0.5)
    assert [node for _, node in compared(rules, 1)] == [3]


def test_a_short_interval_is_kept_for_newcomers_too() -> None:
    assert compared(verifying(peer(2), interval_s=1.0), 2) == [(0.5, 2), (1.0, 2)]


def test_where_a_comparison_begins_is_drawn() -> None:
    rules = Verifying(INTERVAL_S, random.Random(1).random)
    rules.see([peer(2)], 0.0)
    first = {rules.due(1e9 * n).first_bucket for n in range(1, 400)}  # type: ignore[union-attr] # it is time
    assert min(first) >= 0
    assert max(first) < BUCKETS
    assert len(first) > BUCKETS / 2
