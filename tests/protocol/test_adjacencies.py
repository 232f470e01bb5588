"""Adjacencies: when a node's own links are told, and who gets a digest when."""

from __future__ import annotations

from collections.abc import Mapping

from tagmesh.protocol.adjacencies import GATHER_S, Adjacencies
from tagmesh.protocol.identity import NodeId

DIGEST_S = 10.0


def links(up: Mapping[int, float]) -> Adjacencies:
    """Node → when the link came up; all peers in life 100."""
    mine = Adjacencies(DIGEST_S)
    for peer, now in up.items():
        mine.begin(NodeId(peer), 100, now, f"cause {peer}")
    return mine


def lives(*peers: int, life: int = 100) -> dict[NodeId, int]:
    return dict.fromkeys(map(NodeId, peers), life)


def test_new_links_are_told_together_a_moment_after_the_first() -> None:
    mine = links({2: 0.0, 3: 0.04})
    assert not mine.must_tell({}, 0.0)
    assert mine.gathering
    assert mine.deadline == GATHER_S
    assert not mine.must_tell({}, 0.049)
    assert mine.must_tell({}, GATHER_S)
    mine.told()
    assert not mine.gathering
    assert not mine.must_tell(lives(2, 3), 1.0)


def test_the_end_of_a_link_is_told_at_once() -> None:
    mine = links({2: 0.0, 3: 0.0})
    assert mine.must_tell(lives(2, 4), 0.01)
    assert mine.must_tell({**lives(2), **lives(3, life=99)}, 0.01), "the end of a life is one"
    mine.end(NodeId(3))
    assert mine.must_tell(lives(2, 3), 0.01)


def test_nothing_is_left_to_tell_of_a_link_that_ended_untold() -> None:
    mine = links({2: 0.0})
    assert not mine.must_tell({}, 0.0)
    mine.end(NodeId(2))
    assert not mine.must_tell({}, 0.01)
    assert not mine.gathering
    assert mine.deadline is None
    assert mine.up == {}


def test_other_news_waits_as_new_links_do() -> None:
    mine = links({})
    assert not mine.must_tell({}, 1.0, news=True)
    assert mine.deadline == 1.0 + GATHER_S
    assert mine.must_tell({}, 1.0 + GATHER_S, news=True)
    assert not mine.must_tell({}, 1.0 + GATHER_S), "it was taken back"


def test_a_new_neighbour_gets_its_first_digest_when_all_has_been_told() -> None:
    mine = links({2: 0.0, 3: 0.04})
    assert mine.digests_due(2 * GATHER_S - 0.001) == []
    assert mine.digests_due(2 * GATHER_S) == [2]
    assert mine.digests_due(2 * GATHER_S) == []
    assert mine.deadline == 0.04 + 2 * GATHER_S
    assert mine.digests_due(1.0) == [3]
    assert mine.deadline == DIGEST_S


def test_all_neighbours_get_a_digest_now_and_then() -> None:
    mine = links({4: 0.0, 2: 9.99})
    assert mine.digests_due(10.5) == [2, 4], "of which for one it was the first"
    assert mine.deadline == 10.5 + DIGEST_S
    mine.end(NodeId(2))
    assert mine.digests_due(20.5) == [4]
    mine.end(NodeId(4))
    mine.end(NodeId(4))
    assert mine.deadline is None


def test_a_link_that_came_back_gets_its_digest_anew() -> None:
    mine = links({2: 0.0})
    mine.begin(NodeId(2), 100, 0.06, "again")
    assert mine.digests_due(2 * GATHER_S) == []
    assert mine.digests_due(0.06 + 2 * GATHER_S) == [2]


def test_why_links_came_up_is_told_once_of_each() -> None:
    mine = links({2: 0.0, 3: 0.0, 4: 0.0})
    assert mine.news == "links with 3 nodes are up"
    assert mine.take_causes({NodeId(2), NodeId(3), NodeId(9)}) == {2: "cause 2", 3: "cause 3"}
    assert mine.news == "link with node 4 is up"
    assert mine.take_causes({NodeId(2)}) == {}
