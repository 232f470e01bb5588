"""Topology: when a node tells its own links, and what it says meanwhile (decision 9)."""

from __future__ import annotations

from tagmesh.protocol.adjacencies import GATHER_S
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import Digest, Want
from tests.protocol.topology_bench import (
    DIGEST_S,
    DOWN,
    UP,
    comes_up,
    edges,
    hear,
    linked,
    sent,
    state,
    via_2,
)


def test_a_first_link_tells_the_newcomer_what_i_know_and_then_my_links() -> None:
    node = linked()
    assert node.link_up(NodeId(2), 7, 0.0, "answered") == []
    assert sent(node.tick(GATHER_S)) == [(2, state(1, (100, 0), (2, 7)))]
    assert node.tick(GATHER_S) == []
    assert sent(node.tick(2 * GATHER_S)) == [(2, Digest(1, [(1, 100, 0)]))]
    assert node.deadline == DIGEST_S
    assert node.incarnation_of(NodeId(2)) == 7
    assert node.incarnation_of(NodeId(4)) is None


def test_the_digest_of_claims_is_told_with_that_of_link_states() -> None:
    """H-22; who says another one is told nothing here, that is for the claims' own rules."""
    node = linked(2)
    assert hear(node, 2, Digest(1, [(1, 100, 0), (2, 100, 0)], b"theirs")) == []
    for tags in (b"a claim", b"another"):
        node.set_tags(tags)
        assert sent(node.tick(node.deadline or 0.0)) == [
            (2, Digest(1, [(1, 100, 0), (2, 100, 0)], tags))
        ]


def test_links_that_come_up_together_are_told_together() -> None:
    """Decision 9. With one version per link a full mesh of n nodes begins with n³ messages."""
    node = linked(2)
    assert edges(hear(node, 3, state(3, (100, 0), 1), state(4, (100, 0), 1))) == []
    for peer, now in ((3, 0.0), (4, 0.03), (5, 0.04)):
        effects = node.link_up(NodeId(peer), 100, now, "answered")
        asked = [] if peer == 5 else [(peer, Want(1, [peer]))]
        assert sent(effects) == asked, "those of whom I know something from before"
        assert edges(effects) == []
    assert node.deadline == GATHER_S
    assert node.tick(GATHER_S - 0.001) == []
    assert node.neighbours == {2, 3, 4, 5}, "who is told what floods"
    assert node.adjacency()[0] == (1, [2]), "what I told"
    effects = node.tick(GATHER_S)
    assert sent(effects) == [(n, state(1, (100, 1), 2, 3, 4, 5)) for n in (2, 3, 4, 5)]
    assert edges(effects) == [(UP, 3, 3, "answered"), (UP, 4, 4, "answered")]
    assert node.deadline == 2 * GATHER_S


def test_the_end_of_a_link_is_told_at_once_with_all_that_is_new() -> None:
    node = linked(2, 3)
    node.link_up(NodeId(4), 100, 0.0, "answered")
    effects = node.link_down(NodeId(3), 0.01, "ping timeout")
    assert sent(effects) == [(n, state(1, (100, 2), 2, 4)) for n in (2, 4)]
    assert edges(effects) == [(DOWN, 3, 3, "ping timeout")]
    assert node.tick(GATHER_S) == []
    assert [to for to, _ in sent(node.tick(2 * GATHER_S))] == [4]


def test_a_link_that_ends_before_it_was_told_is_no_news() -> None:
    node = linked(2)
    node.link_up(NodeId(3), 100, 0.0, "answered")
    node.link_up(NodeId(4), 100, 0.01, "answered")
    assert node.link_down(NodeId(3), 0.02, "cut") == []
    assert sent(node.tick(GATHER_S)) == [(n, state(1, (100, 1), 2, 4)) for n in (2, 4)]
    node.link_up(NodeId(5), 100, 1.0, "answered")
    assert node.link_down(NodeId(5), 1.01, "cut") == []
    assert [to for to, _ in sent(node.tick(2.0))] == [4], "its first digest"


def test_a_neighbour_that_restarts_is_told_at_once() -> None:
    """The end of the link with its life before must not wait."""
    node = linked(2, 3)
    effects = node.link_up(NodeId(3), 101, 0.0, "answered")
    assert sent(effects)[:2] == [(n, state(1, (100, 2), 2, (3, 101))) for n in (2, 3)]
    assert edges(effects) == [(DOWN, 3, 3, "restarted")]


def test_a_link_that_returns_is_told_after_the_other_end_had_its_say() -> None:
    """T-12. In 12 of 60 partitions what the other end had said before made it UP, DOWN, UP.

    When I tell my end, the word that the other end gave the link up has come, as the answer to my
    question, and was passed on; nobody takes the old one for an answer to mine.
    """
    node = via_2()
    node.link_down(NodeId(2), 0.0, "ping timeout")
    effects = node.link_up(NodeId(2), 100, 20.0, "answered")
    assert sent(effects) == [(2, Want(1, [2]))]
    assert edges(hear(node, 2, state(2, (100, 3), 3))) == []
    assert edges(node.tick(20.0 + GATHER_S)) == []
    found = "path found: links of node 2 changed"
    assert edges(hear(node, 2, state(2, (100, 4), 1, 3))) == [
        (UP, 2, 2, found),
        (UP, 3, 2, found),
        (UP, 4, 2, found),
    ]


def test_who_missed_the_break_does_not_hear_of_it_when_it_is_over() -> None:
    """A process that was stopped found itself cut off for 50 ms when it went on: 1 had dropped it
    and told so by its first digest."""
    node = via_2()
    node.link_down(NodeId(2), 0.0, "ping timeout")
    node.link_up(NodeId(2), 100, 20.0, "answered")
    assert sent(hear(node, 2, Want(1, [1]), Digest(1, [(1, 100, 0)]))) == [
        (2, state(n, (100, v), *near)) for n, v, *near in ((2, 2, 1, 3), (3, 2, 2, 4), (4, 1, 3))
    ]
    assert sent(node.tick(20.0 + GATHER_S)) == [(2, state(1, (100, 2), 2))]
    assert sent(hear(node, 2, Want(1, [1]))) == [(2, state(1, (100, 2), 2))]


def test_an_end_that_missed_the_break_need_not_speak() -> None:
    """It was never DOWN there: what it said before is what it says."""
    node = via_2()
    node.link_down(NodeId(2), 0.0, "ping timeout")
    assert edges(comes_up(node, 2, now=20.0)) == [
        (UP, 2, 2, "answered"),
        (UP, 3, 2, "path found: link with node 2 is up"),
        (UP, 4, 2, "path found: link with node 2 is up"),
    ]
