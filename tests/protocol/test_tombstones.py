"""Which nodes were removed, and for how long that counts (X-1, X-3, X-5)."""

from __future__ import annotations

import pytest

from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.removal_messages import MAX_WALL_MS, Removal
from tagmesh.protocol.tombstones import MAX_TOMBSTONES, Tombstones

ONE, TWO = ClusterId(1), ClusterId(2)
NODE = NodeId(3)
LIFE_S, NOW_S = 3600.0, 1_000_000.0


def removal(at_s: float = NOW_S, node: int = NODE, *, lifted: bool = False) -> Removal:
    return Removal(node, int(at_s * 1000), lifted=lifted)


def removed(at_s: float = NOW_S) -> Tombstones:
    table = Tombstones(LIFE_S)
    table.take([(ONE, removal(at_s))], NOW_S)
    return table


def test_a_removal_counts_in_its_cluster_and_is_news_once() -> None:
    table = Tombstones(LIFE_S)
    stones = [(ONE, removal()), (TWO, removal(node=4))]
    assert table.take(stones, NOW_S) == stones
    assert table.take(stones, NOW_S) == []
    assert table.standing(ONE, NODE) == removal()
    assert table.standing(TWO, NODE) is None
    assert (table.of(ONE), table.removed_from(NODE)) == ([removal()], [ONE])


def test_it_counts_for_its_life_and_is_not_taken_again_after_it() -> None:
    table = removed()
    table.expire(NOW_S + LIFE_S - 0.001)
    assert table.standing(ONE, NODE)
    table.expire(NOW_S + LIFE_S)
    assert table.standing(ONE, NODE) is None
    assert table.take([(ONE, removal())], NOW_S + LIFE_S) == []


def test_a_clock_that_is_ahead_makes_it_last_no_longer() -> None:
    table = removed(NOW_S + 10 * LIFE_S)
    table.expire(NOW_S + LIFE_S)
    assert table.of(ONE) == []


def test_what_was_taken_back_stays_so_until_a_later_removal() -> None:
    table = removed()
    back = removal(NOW_S + 1, lifted=True)
    assert table.take([(ONE, back)], NOW_S + 1) == [(ONE, back)]
    assert table.standing(ONE, NODE) is None
    assert table.take([(ONE, removal())], NOW_S + 1) == [], "an older word heard again"
    assert table.of(ONE) == [back], "others must hear it"
    assert table.take([(ONE, removal(NOW_S + 2))], NOW_S + 2)
    assert table.removed_from(NODE) == [ONE]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_words_at_one_moment_all_nodes_take_the_same(order: int) -> None:
    table = Tombstones(LIFE_S)
    table.take([(ONE, removal()), (ONE, removal(lifted=True))][::order], NOW_S)
    assert table.of(ONE) == [removal()]


def test_the_next_word_is_after_the_last_one_whatever_the_clock_says() -> None:
    assert removed().later(ONE, NODE, NOW_S - 5) == NOW_S * 1000 + 1
    assert removed().later(ONE, NODE, NOW_S + 5) == (NOW_S + 5) * 1000
    assert removed().later(TWO, NODE, NOW_S) == NOW_S * 1000
    assert removed(MAX_WALL_MS / 1000).later(ONE, NODE, NOW_S) == MAX_WALL_MS


def test_the_oldest_goes_when_there_are_too_many() -> None:
    table = removed(NOW_S - 1)
    table.take([(ONE, removal(node=10 + n)) for n in range(MAX_TOMBSTONES)], NOW_S)
    assert table.standing(ONE, NODE) is None
    assert len(table.of(ONE)) == MAX_TOMBSTONES
