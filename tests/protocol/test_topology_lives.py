"""Topology: restarts, and what is said in the name of a life that is over (T-9, T-12, N-1)."""

from __future__ import annotations

import pytest

from tagmesh.protocol.effects import Count, SendTo
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import Digest
from tagmesh.protocol.topology import MAX_EPOCH
from tests.protocol.topology_bench import (
    DIGEST_S,
    DOWN,
    MOVED,
    UP,
    comes_up,
    edges,
    hear,
    linked,
    lives,
    sent,
    state,
    via_2,
)


def test_a_new_link_with_a_node_proves_nothing_about_its_life_before() -> None:
    """2 crashed and is back: 3 reports its new link, all there is of 2 is from before."""
    node = linked(2, 3)
    hear(node, 2, state(2, (100, 1), 1, 3), state(3, (100, 1), 1, 2))
    node.link_down(NodeId(2), 0.0, "connection lost")
    assert lives(hear(node, 3, state(3, (100, 2), 1))) == [(DOWN, 2, 100)]
    assert lives(hear(node, 3, state(3, (100, 3), 1, (2, 101)))) == []
    assert lives(hear(node, 3, state(2, (101, 1), 3))) == [(UP, 2, 101)]


def test_a_link_with_the_life_before_proves_nothing_about_the_new_one() -> None:
    node = linked(2)
    assert lives(hear(node, 2, state(3, (101, 1), 2), state(2, (100, 1), 1, 3))) == []
    assert lives(hear(node, 2, state(2, (100, 2), 1, (3, 101)))) == [(UP, 3, 101)]


def test_a_link_with_my_life_before_proves_nothing_about_me() -> None:
    """I restarted: what 2 says of me is old until it has met me."""
    node = linked()
    comes_up(node, 2)
    assert lives(hear(node, 2, state(2, (100, 1), (1, 99)))) == []
    assert lives(hear(node, 2, state(2, (100, 2), (1, 100)))) == [(UP, 2, 100)]


@pytest.mark.parametrize("first", [2, 3])
def test_a_restart_nobody_noticed_in_between_is_down_then_up(first: int) -> None:
    """3 restarted so fast that 2 reports nothing but the new link."""
    node = via_2()
    news = [state(2, (100, 3), 1, (3, 101)), state(3, (101, 1), 2)]
    one, two = news if first == 2 else reversed(news)
    assert lives(hear(node, 2, one)) == [(DOWN, 3, 100), (DOWN, 4, 100)]
    assert lives(hear(node, 2, two)) == [(UP, 3, 101)]
    assert lives(hear(node, 2, state(3, (101, 2), 2, 4))) == []
    assert lives(hear(node, 2, state(4, (100, 2), (3, 101)))) == [(UP, 4, 100)]


def test_a_restart_while_reachable_is_down_then_up() -> None:
    """N-1. 2 has met the new life of 3 when 4 still reports the old one."""
    node = linked(2, 4)
    hear(node, 2, state(2, (100, 1), 1, 3), state(4, (100, 1), 1, 3), state(3, (100, 1), 2, 4))
    assert edges(hear(node, 2, state(2, (100, 2), 1, (3, 101)))) == [
        (MOVED, 3, 4, "links of node 2 changed")
    ]
    effects = hear(node, 2, state(3, (101, 1), 2))
    assert lives(effects) == [(DOWN, 3, 100), (UP, 3, 101)]
    assert edges(effects) == [(DOWN, 3, 4, "restarted"), (UP, 3, 2, "restarted")]


def test_a_restart_of_a_neighbour_ends_what_its_life_before_said() -> None:
    node = via_2()
    effects = comes_up(node, 2, 101)
    assert edges(effects) == [
        (DOWN, 2, 2, "restarted"),
        (DOWN, 3, 2, "path lost: node 2 restarted"),
        (DOWN, 4, 2, "path lost: node 2 restarted"),
    ]
    assert hear(node, 2, state(2, (100, 99), 1, 3)) == [Count("T-10")]
    assert lives(hear(node, 2, state(2, (101, 1), 1, 3))) == [(UP, 2, 101)]
    again = hear(node, 2, state(3, (100, 3), (2, 101), 4))
    assert lives(again) == [(UP, 3, 100), (UP, 4, 100)]


def test_a_restart_seen_on_my_link_ends_the_ways_round_too() -> None:
    """Others may not have noticed yet: 3 still reports its link with the life before."""
    node = linked(2, 3)
    hear(node, 2, state(2, (100, 1), 1, 3), state(3, (100, 1), 1, 2))
    effects = comes_up(node, 2, 101)
    assert lives(effects) == [(DOWN, 2, 100)]
    assert node.reachable == {3}


def test_a_restart_that_ends_the_path_is_one_down() -> None:
    assert lives(hear(via_2(), 2, state(3, (101, 0)))) == [(DOWN, 3, 100), (DOWN, 4, 100)]


def test_the_first_update_of_a_restarted_node_may_be_lost() -> None:
    """1.23 row 1: (101, 1) never came."""
    node = via_2()
    assert lives(hear(node, 2, state(4, (101, 2), 3))) == [(DOWN, 4, 100)]
    assert lives(hear(node, 2, state(3, (100, 3), 2, (4, 101)))) == [(UP, 4, 101)]


def test_a_neighbour_that_lost_its_clock_is_believed_when_only_its_link_was_known() -> None:
    node = linked()
    comes_up(node, 2)
    effects = node.link_up(NodeId(2), 50, 1.0, "answered")
    assert sent(effects)[0] == (2, state(1, (100, 1), (2, 50)))
    assert lives(hear(node, 2, state(2, (50, 1), 1))) == [(UP, 2, 50)]


def test_a_life_known_from_the_link_alone_is_forgotten_with_it() -> None:
    node = linked()
    comes_up(node, 2)
    assert node.incarnation_of(NodeId(2)) == 100
    node.link_down(NodeId(2), 0.0, "cut")
    assert node.incarnation_of(NodeId(2)) is None
    assert hear(node, 2, state(2, (50, 1), 1)) == []


@pytest.mark.parametrize("incarnation", [99, 150])
def test_a_neighbour_below_its_own_epoch_counts_when_it_has_moved_above(incarnation: int) -> None:
    """2 lost its clock, then its state. The dead life does not become the new one meanwhile."""
    node = linked(2)
    assert lives(hear(node, 2, state(2, (200, 0), 1, life=100))) == []
    effects = comes_up(node, 2, incarnation)
    assert edges(effects) == [(DOWN, 2, 2, "restarted")]
    assert sent(effects)[-1] == (2, Digest(1, [(1, 100, 1), (2, 200, 0)])), "shown what is about"
    assert hear(node, 2, state(2, (incarnation, 1), 1)) == [Count("T-10")]
    overruled = state(2, (201, 0), 1, life=incarnation)
    assert lives(hear(node, 2, overruled)) == [(UP, 2, incarnation)]


def test_the_next_life_is_heard_under_a_version_that_the_one_before_had_moved_to() -> None:
    """Seeds 8377 and 8965: life 100 moved its epoch to 101, and the next life is 101. Wherever the
    new link state meets the old one, at a neighbour or beyond, it counts."""
    node = linked(2)
    hear(node, 2, state(2, (101, 0), 1, life=100))
    comes_up(node, 2, 101)
    assert lives(hear(node, 2, state(2, (101, 0), 1, life=101))) == [(UP, 2, 101)]
    assert hear(node, 2, state(2, (101, 0), 1, life=100)) == [Count("T-10")], "never back"


def test_a_node_that_moves_above_a_claim_did_not_restart() -> None:
    node = via_2()
    before = node.adjacency()
    assert edges(hear(node, 2, state(3, (200, 0), 2, 4, life=100))) == []
    assert node.adjacency() == before
    assert node.incarnation_of(NodeId(3)) == 100


@pytest.mark.parametrize("version", [(100, 3), (101, 0), (MAX_EPOCH - 1, 2**63 - 1)])
def test_a_newer_claim_in_my_name_is_overruled(version: tuple[int, int]) -> None:
    """An earlier life of mine lost its clock or its state; its neighbours are not mine."""
    claim = state(1, version, 4, 5)
    mine = state(1, (version[0] + 1, 0), 2, 3, life=100)
    entries = [(1, *version), (2, 100, 0), (3, 100, 0)]
    for message in (claim, Digest(1, entries)):
        node = linked(2, 3)
        assert hear(node, 2, message) == [SendTo(NodeId(2), mine), SendTo(NodeId(3), mine)]
        assert node.adjacency()[0] == (1, [2, 3])
        assert node.incarnation_of(NodeId(1)) == 100
        assert node.reachable == {2, 3}


def test_my_own_echo_is_no_claim() -> None:
    node = linked(2, 3)
    echo = state(1, (100, 1), 3, 2)
    assert hear(node, 2, echo, state(1, (100, 0), 2)) == [Count("T-10")] * 2
    for position, claim in enumerate([state(1, (100, 1), 4), state(1, (101, 0), 2, (3, 99))]):
        effects = node.receive(NodeId(2), claim, position * DIGEST_S)
        mine = state(1, (101 + position, 0), 2, 3, life=100)
        assert sent(effects) == [(n, mine) for n in (2, 3)]


def test_two_processes_with_my_id_cannot_drive_each_other() -> None:
    """One answer per digest interval; and none to a claim that nothing can be above."""
    node = linked(2)
    assert sent(node.receive(NodeId(2), state(1, (200, 0)), 0.0)) != []
    assert node.receive(NodeId(2), state(1, (300, 0)), DIGEST_S - 0.1) == [Count("T-9")]
    assert sent(node.receive(NodeId(2), state(1, (300, 0)), DIGEST_S)) != []
    last = state(1, (MAX_EPOCH, 0))
    assert node.receive(NodeId(2), last, 10 * DIGEST_S) == [Count("T-9")]
