"""Topology: what one node does with each input.

Restarts: test_topology_lives. When links are told: test_topology_telling. Whole networks:
test_topology_network.
"""

from __future__ import annotations

import pytest

from tagmesh.protocol.effects import Announce, Count, RefreshRoster, SendTo
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import MAX_HOPS, MAX_NODES, Digest, Want
from tests.protocol.topology_bench import (
    DIGEST_S,
    DOWN,
    MOVED,
    UP,
    comes_up,
    edges,
    hear,
    linked,
    roster,
    sent,
    state,
    via_2,
)


def test_a_link_that_does_not_change_is_no_news() -> None:
    node = via_2()
    assert comes_up(node, 2) == []
    assert node.link_down(NodeId(3), 0.0, "was not up") == []


@pytest.mark.parametrize("peer", [1, 9])
def test_a_link_with_a_stranger_or_myself_does_not_count(peer: int) -> None:
    node = linked()
    assert comes_up(node, peer) == [Count("G-4")]
    assert node.adjacency()[0] == (1, [])


def test_a_link_of_others_counts_when_both_ends_report_it() -> None:
    """T-12: what one end says may be all that is left of a dead node."""
    node = linked(2)
    assert edges(hear(node, 2, state(2, (100, 2), 1, 3))) == []
    assert node.adjacency() == [(1, [2]), (2, [1]), (3, []), (4, []), (5, [])]
    effects = hear(node, 2, state(3, (100, 1), 2))
    assert edges(effects) == [(UP, 3, 2, "path found: links of node 3 changed")]
    assert node.adjacency() == [(1, [2]), (2, [1, 3]), (3, [2]), (4, []), (5, [])]
    assert (node.next_hop(NodeId(3)), node.route(NodeId(3))) == (2, (2, 3))
    for other in (1, 4):
        assert (node.next_hop(NodeId(other)), node.route(NodeId(other))) == (None, ())
    assert node.reachable == {2, 3}


def test_my_own_link_carries_routes_while_the_peer_reports_it_too() -> None:
    """T-12. It is used to flood from the moment it is up here until it is down here."""
    node = linked()
    assert edges(comes_up(node, 2)) == []
    assert node.adjacency()[:2] == [(1, []), (2, [])]
    assert node.neighbours == {2}
    effects = hear(node, 2, state(2, (100, 1), 1))
    assert edges(effects) == [(UP, 2, 2, "path found: links of node 2 changed")]
    assert node.adjacency()[:2] == [(1, [2]), (2, [1])]
    effects = hear(node, 2, state(2, (100, 2)))
    assert edges(effects) == [(DOWN, 2, 2, "path lost: links of node 2 changed")]
    effects = comes_up(node, 3)
    assert sent(effects)[0] == (2, state(1, (100, 1), 2, 3))
    assert node.neighbours == {2, 3}
    assert not node.reachable


def test_the_peer_may_report_the_link_before_it_is_up_here() -> None:
    node = linked()
    assert edges(hear(node, 2, state(2, (100, 1), 1))) == []
    assert edges(comes_up(node, 2)) == [(UP, 2, 2, "answered")]


def test_a_route_leaves_my_link_as_soon_as_the_peer_gave_it_up() -> None:
    """My own link machine may count retries for seconds yet."""
    node = linked(2, 3)
    hear(node, 2, state(2, (100, 1), 1, 3), state(3, (100, 1), 1, 2))
    effects = hear(node, 2, state(3, (100, 2), 2))
    assert edges(effects) == [(MOVED, 3, 2, "links of node 3 changed")]
    assert edges(node.link_down(NodeId(3), 0.0, "ping timeout")) == []


def test_a_new_neighbour_set_replaces_the_old_one_whole() -> None:
    """1.23 row 26: nothing of the old set survives, whatever was lost in between."""
    node = via_2()
    effects = hear(node, 2, state(3, (100, 9), 5))
    assert edges(effects) == [
        (DOWN, 3, 2, "path lost: links of node 3 changed"),
        (DOWN, 4, 2, "path lost: links of node 3 changed"),
    ]
    assert dict(node.adjacency())[NodeId(3)] == []


@pytest.mark.parametrize("version", [(100, 2), (100, 1), (99, 50)])
def test_what_is_not_newer_is_dropped_and_not_sent_on(version: tuple[int, int]) -> None:
    """T-10; T-9: a life before never wins, however often it spoke (1.23 row 36: no clock)."""
    node = via_2()
    comes_up(node, 5)
    before = node.adjacency()
    assert hear(node, 2, state(3, version)) == [Count("T-10")]
    assert node.adjacency() == before


def test_news_goes_to_all_neighbours_but_those_who_have_it() -> None:
    """T-6: 2 sent it, the origin 3 knows it, and 3 told its own neighbour 4 itself."""
    node = linked(2, 3, 4, 5)
    effects = hear(node, 2, state(3, (100, 5), 1, 4, hops=2))
    assert sent(effects) == [(5, state(3, (100, 5), 1, 4, hops=3))]


def test_news_at_the_hop_limit_is_used_but_not_sent_on() -> None:
    node = linked(2, 5)
    at_limit = state(2, (100, 2), 1, hops=MAX_HOPS - 1)
    assert sent(hear(node, 2, at_limit)) == [(5, state(2, (100, 2), 1, hops=MAX_HOPS))]
    assert hear(node, 2, state(2, (100, 3), 1, 3, hops=MAX_HOPS)) == [Count("G-14")]
    assert edges(hear(node, 2, state(3, (100, 1), 2))) != []


@pytest.mark.parametrize(
    ("neighbours", "why"),
    [
        ([1, 2, 9], "node 3 lists node 9, which is no member here"),
        ([2, 3], "node 3 lists itself or a node twice"),
        ([2, (2, 101)], "node 3 lists itself or a node twice"),
        ([*range(4, 133)], "node 3 lists node 6, which is no member here"),
    ],
)
def test_an_impossible_neighbour_set_is_refused_whole(
    neighbours: list[int | tuple[int, int]], why: str
) -> None:
    """S11, W13."""
    node = via_2()
    before = node.adjacency()
    effects = hear(node, 2, state(3, (100, 3), *neighbours))
    assert effects == [Count("S11"), RefreshRoster(why)]
    assert node.adjacency() == before
    assert sent(hear(node, 2, Want(1, [3]))) == [(2, state(3, (100, 2), 2, 4))]


def test_strangers_are_neither_heard_nor_believed() -> None:
    node = via_2()
    assert hear(node, 9, state(2, (100, 9))) == [Count("G-4")]
    assert hear(node, 1, state(2, (100, 9))) == [Count("G-4")]
    effects = hear(node, 2, state(9, (100, 1), 2))
    assert effects == [Count("T-7"), RefreshRoster("node 9 is no member here")]
    assert node.incarnation_of(NodeId(9)) is None


def test_a_digest_is_answered_with_what_is_newer_on_either_side() -> None:
    node = via_2()
    entries = [(1, 100, 0), (2, 100, 1), (3, 100, 3), (5, 100, 1), (9, 100, 1)]
    assert hear(node, 2, Digest(1, entries)) == [
        SendTo(NodeId(2), state(2, (100, 2), 1, 3)),
        SendTo(NodeId(2), state(4, (100, 1), 3)),
        SendTo(NodeId(2), Want(1, [3, 5])),
        Count("T-7"),
    ]


def test_a_want_is_answered_with_what_there_is() -> None:
    node = linked()
    comes_up(node, 2)
    known = state(1, (100, 0), 2)  # of 2 only its life is known, of 5 nothing
    assert hear(node, 2, Want(1, [5, 2, 1, 1])) == [SendTo(NodeId(2), known)]


def test_digests_go_to_each_neighbour_as_long_as_there_is_one() -> None:
    node = linked()
    assert (node.deadline, node.tick(1e9)) == (None, [])
    comes_up(node, 3, now=5.0)
    comes_up(node, 2, now=9.0)
    assert node.deadline == 5.0 + DIGEST_S
    assert node.tick(14.9) == []
    digest = Digest(1, [(1, 100, 1)])
    assert node.tick(15.5) == [SendTo(NodeId(2), digest), SendTo(NodeId(3), digest)]
    assert node.deadline == 15.5 + DIGEST_S
    node.link_down(NodeId(2), 16.0, "cut")
    assert node.deadline == 15.5 + DIGEST_S
    node.link_down(NodeId(3), 16.0, "cut")
    assert node.deadline is None


def test_a_cut_with_a_path_left_is_no_down() -> None:
    node = linked(2, 3)
    hear(node, 2, state(2, (100, 1), 1, 3))
    hear(node, 3, state(3, (100, 1), 1, 2))
    effects = node.link_down(NodeId(3), 0.0, "cut")
    assert edges(effects) == [(MOVED, 3, 2, "cut")]
    (moved,) = [e for e in effects if isinstance(e, Announce)]
    assert (moved.before, moved.after) == ("3", "2")
    assert edges(comes_up(node, 3)) == [(MOVED, 3, 3, "answered")]


def test_the_last_cut_is_one_down_for_each_node_behind_it() -> None:
    node = via_2()
    lost = "path lost: link with node 2: ping timeout"
    assert edges(node.link_down(NodeId(2), 0.0, "ping timeout")) == [
        (DOWN, 2, 2, "ping timeout"),
        (DOWN, 3, 2, lost),
        (DOWN, 4, 2, lost),
    ]


def test_a_longer_way_round_is_a_change_of_route_with_its_cause() -> None:
    node = linked(2, 3, 4)
    hear(node, 2, state(2, (100, 1), 1, 5), state(5, (100, 1), 2, 3), state(3, (100, 1), 1, 5))
    assert node.route(NodeId(5)) == (2, 5)
    effects = hear(node, 2, state(2, (100, 2), 1))
    assert edges(effects) == [(MOVED, 5, 3, "links of node 2 changed")]


def test_a_removed_neighbour_is_forgotten_and_the_others_are_told() -> None:
    node = via_2()
    comes_up(node, 5)
    hear(node, 5, state(5, (100, 1), 1))
    effects = node.set_members(roster(1, 3, 4, 5), 0.0)
    assert sent(effects) == [(5, state(1, (100, 2), 5))]
    lost = "path lost: the roster changed"
    assert edges(effects) == [
        (DOWN, 2, 2, "removed or disabled in the roster"),
        (DOWN, 3, 2, lost),
        (DOWN, 4, 2, lost),
    ]
    assert node.adjacency() == [(1, [5]), (3, [4]), (4, [3]), (5, [1])]
    assert node.incarnation_of(NodeId(2)) is None
    assert node.link_down(NodeId(2), 0.0, "closed: removed") == []


def test_a_removed_node_far_away_is_forgotten_for_good() -> None:
    """I7: neither a late message nor its return to the roster brings back what it said."""
    node = via_2()
    effects = node.set_members(roster(1, 2, 4, 5), 0.0)
    assert edges(effects)[0] == (DOWN, 3, 2, "removed or disabled in the roster")
    assert hear(node, 2, state(3, (100, 9), 2, 4))[0] == Count("T-7")
    assert edges(node.set_members(roster(1, 2, 3, 4, 5), 0.0)) == []
    assert node.reachable == {2}


def test_what_an_old_roster_refused_is_asked_for_under_the_new_one() -> None:
    """A node added elsewhere first must not wait here for the next digest."""
    node = linked(2, 3)
    hear(node, 3, state(7, (100, 1), 2), state(8, (100, 1), 2), state(9, (100, 1), 2))
    hear(node, 2, state(2, (100, 2), 1, 7))
    hear(node, 4, state(4, (100, 2), 7))  # not a neighbour, so not asked
    effects = node.set_members(roster(*range(1, 9)), 0.0)
    assert sent(effects) == [(2, Want(1, [2])), (3, Want(1, [7, 8]))]
    assert node.set_members(roster(*range(1, 10)), 0.0) == []


def test_refused_ids_are_remembered_up_to_a_limit() -> None:
    node = linked(2)
    hear(node, 2, *[state(n, (100, 1)) for n in range(10, 10 + MAX_NODES + 1)])
    effects = node.set_members(roster(1, 2, 9 + MAX_NODES, 10 + MAX_NODES), 0.0)
    assert sent(effects) == [(2, Want(1, [9 + MAX_NODES]))]


def test_a_changed_priority_moves_routes() -> None:
    node = linked(2, 3)
    hear(node, 2, state(2, (100, 1), 1, 4), state(3, (100, 1), 1, 4), state(4, (100, 1), 2, 3))
    assert node.route(NodeId(4)) == (2, 4)
    effects = node.set_members(roster(1, 2, 3, 4, 5, priorities={2: 60}), 0.0)
    assert edges(effects) == [(MOVED, 4, 3, "the roster changed")]


def test_a_node_that_is_no_member_has_no_topology() -> None:
    with pytest.raises(Misuse, match="leave the cluster instead"):
        linked(members=[2, 3])
    node = linked(2)
    with pytest.raises(Misuse, match="node 1 is not among the enabled nodes of cluster 1"):
        node.set_members(roster(2, 3), 0.0)
    assert node.reachable == {2}


def test_without_rerouting_direct_links_are_all_there_is() -> None:
    """1.23 row 7: in OpenSIPS nobody is visible then."""
    node = linked(2, rerouting=False)
    comes_up(node, 3)
    assert node.reachable == {2}, "both ends must report it here too"
    assert edges(hear(node, 3, state(3, (100, 0), 1))) == [
        (UP, 3, 3, "path found: links of node 3 changed")
    ]
    assert edges(hear(node, 2, state(2, (100, 1), 1, 4, 3), state(4, (100, 1), 2))) == []
    assert edges(hear(node, 3, state(3, (100, 1), 1, 2))) == []
    assert edges(node.link_down(NodeId(3), 0.0, "cut")) == [(DOWN, 3, 3, "cut")]
    assert node.reachable == {2}


def test_a_stepping_clock_changes_nothing() -> None:
    """1.23 row 36: an hour forth or back is a digest sent early or late, nothing else."""
    node = via_2()
    assert all(edges(node.tick(now)) == [] for now in (3600.0, -3600.0))
    assert node.receive(NodeId(2), state(4, (100, 1), 3), -3600.0) == [Count("T-10")]
    assert node.reachable == {2, 3, 4}
