"""Topology: what one node does with each input. Whole networks: test_topology_network."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tagmesh.protocol.effects import Announce, Count, Effect, RefreshRoster, SendTo
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import BinsUrl, ClusterId, NodeId, NodeRecord
from tagmesh.protocol.messages import MAX_HOPS, MAX_NODES, Digest, LinkState, Message, Want
from tagmesh.protocol.topology import MAX_INCARNATION, Topology

DIGEST_S = 10.0
UP, DOWN, MOVED = Event.NODE_UP, Event.NODE_DOWN, Event.ROUTE_CHANGED


def roster(*nodes: int, priorities: dict[int, int] | None = None) -> dict[NodeId, NodeRecord]:
    return {
        NodeId(n): NodeRecord(
            cluster_id=ClusterId(1),
            node_id=NodeId(n),
            url=BinsUrl("host", n),
            priority=(priorities or {}).get(n, 50),
        )
        for n in nodes
    }


def linked(*to: int, members: Iterable[int] = range(1, 6), rerouting: bool = True) -> Topology:
    """Node 1 in incarnation 100, its links with ``to`` up, the peers in incarnation 100."""
    node = Topology(
        cluster_id=ClusterId(1),
        me=NodeId(1),
        incarnation=100,
        members=roster(*members),
        rerouting=rerouting,
        digest_interval_s=DIGEST_S,
    )
    for peer in to:
        node.link_up(NodeId(peer), 100, 0.0, "answered")
    return node


def state(origin: int, version: tuple[int, int], *neighbours: int, hops: int = 0) -> LinkState:
    return LinkState(1, origin, *version, neighbours=list(neighbours), hops=hops)


def hear(node: Topology, sender: int, *messages: LinkState | Digest | Want) -> list[Effect]:
    return [e for m in messages for e in node.receive(NodeId(sender), m, 0.0)]


def edges(effects: list[Effect]) -> list[tuple[Event, int | None, int | None, str]]:
    """(kind, node, via, cause) of each announcement."""
    return [(e.kind, e.node_id, e.via, e.cause) for e in effects if isinstance(e, Announce)]


def sent(effects: list[Effect]) -> list[tuple[int, Message]]:
    return [(e.node_id, e.message) for e in effects if isinstance(e, SendTo)]


def lives(effects: list[Effect]) -> list[tuple[Event, int | None, int | None]]:
    return [(e.kind, e.node_id, e.incarnation) for e in effects if isinstance(e, Announce)]


def via_2() -> Topology:
    """1 – 2 – 3 – 4, all links reported by both ends."""
    node = linked(2)
    hear(node, 2, state(2, (100, 2), 1, 3), state(3, (100, 2), 2, 4), state(4, (100, 1), 3))
    return node


def test_a_first_link_tells_the_newcomer_my_links_and_what_else_i_know() -> None:
    node = linked()
    effects = node.link_up(NodeId(2), 7, 0.0, "answered")
    assert sent(effects) == [(2, state(1, (100, 1), 2)), (2, Digest(1, [(1, 100, 1)]))]
    assert edges(effects) == [(UP, 2, 2, "answered")]
    assert node.incarnation_of(NodeId(2)) == 7
    assert node.incarnation_of(NodeId(3)) is None


def test_the_others_hear_of_a_link_that_comes_and_goes() -> None:
    node = linked(2, 3)
    effects = node.link_up(NodeId(4), 100, 0.0, "answered")
    assert sent(effects)[:3] == [(n, state(1, (100, 3), 2, 3, 4)) for n in (2, 3, 4)]
    effects = node.link_down(NodeId(3), 0.0, "ping timeout")
    assert sent(effects) == [(n, state(1, (100, 4), 2, 4)) for n in (2, 4)]
    assert edges(effects) == [(DOWN, 3, 3, "ping timeout")]


def test_a_link_that_does_not_change_is_no_news() -> None:
    node = via_2()
    assert node.link_up(NodeId(2), 100, 0.0, "answered") == []
    assert node.link_up(NodeId(2), 99, 0.0, "a late answer of a life before") == []
    assert node.link_down(NodeId(3), 0.0, "was not up") == []


@pytest.mark.parametrize("peer", [1, 9])
def test_a_link_with_a_stranger_or_myself_does_not_count(peer: int) -> None:
    node = linked()
    assert node.link_up(NodeId(peer), 100, 0.0, "answered") == [Count("G-4")]
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


def test_my_own_link_counts_whatever_the_peer_reports() -> None:
    node = linked(2)
    assert edges(hear(node, 2, state(2, (100, 1), 1), state(2, (100, 2)))) == []
    assert node.adjacency()[:2] == [(1, [2]), (2, [])]


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
    node.link_up(NodeId(5), 100, 0.0, "answered")
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
        ([2, 2], "node 3 lists itself or a node twice"),
        ([*range(4, 133)], "node 3 lists node 6, which is no member here"),
    ],
)
def test_an_impossible_neighbour_set_is_refused_whole(neighbours: list[int], why: str) -> None:
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
    entries = [(1, 100, 1), (2, 100, 1), (3, 100, 3), (5, 100, 1), (9, 100, 1)]
    assert hear(node, 2, Digest(1, entries)) == [
        SendTo(NodeId(2), state(2, (100, 2), 1, 3)),
        SendTo(NodeId(2), state(4, (100, 1), 3)),
        SendTo(NodeId(2), Want(1, [3, 5])),
        Count("T-7"),
    ]


def test_a_want_is_answered_with_what_there_is() -> None:
    node = linked(2)
    known = state(1, (100, 1), 2)  # of 2 only its life is known, of 5 nothing
    assert hear(node, 2, Want(1, [5, 2, 1, 1])) == [SendTo(NodeId(2), known)]


def test_digests_go_to_each_neighbour_as_long_as_there_is_one() -> None:
    node = linked()
    assert (node.deadline, node.tick(1e9)) == (None, [])
    node.link_up(NodeId(3), 100, 5.0, "answered")
    node.link_up(NodeId(2), 100, 9.0, "answered")
    assert node.deadline == 5.0 + DIGEST_S
    assert node.tick(14.9) == []
    digest = Digest(1, [(1, 100, 2)])
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
    assert edges(node.link_up(NodeId(3), 100, 0.0, "answered")) == [(MOVED, 3, 3, "answered")]


def test_the_last_cut_is_one_down_for_each_node_behind_it() -> None:
    node = via_2()
    lost = "path lost: link with node 2: ping timeout"
    assert edges(node.link_down(NodeId(2), 0.0, "ping timeout")) == [
        (DOWN, 2, 2, "ping timeout"),
        (DOWN, 3, 2, lost),
        (DOWN, 4, 2, lost),
    ]
    found = "path found: link with node 2 is up"
    assert edges(node.link_up(NodeId(2), 100, 0.0, "answered")) == [
        (UP, 2, 2, "answered"),
        (UP, 3, 2, found),
        (UP, 4, 2, found),
    ]


def test_a_longer_way_round_is_a_change_of_route_with_its_cause() -> None:
    node = linked(2, 3, 4)
    hear(node, 2, state(2, (100, 1), 1, 5), state(5, (100, 1), 2, 3), state(3, (100, 1), 1, 5))
    assert node.route(NodeId(5)) == (2, 5)
    effects = hear(node, 2, state(2, (100, 2), 1))
    assert edges(effects) == [(MOVED, 5, 3, "links of node 2 changed")]


def test_a_restart_while_reachable_is_down_then_up() -> None:
    """N-1. 3 restarted so fast that its neighbour 2 reports nothing but the new link."""
    node = via_2()
    effects = hear(node, 2, state(3, (101, 1), 2, 4))
    assert lives(effects) == [(DOWN, 3, 100), (UP, 3, 101)]
    assert {cause for *_, cause in edges(effects)} == {"restarted"}


def test_a_restart_of_a_neighbour_ends_what_its_life_before_said() -> None:
    node = via_2()
    effects = node.link_up(NodeId(2), 101, 0.0, "answered")
    assert lives(effects) == [(DOWN, 2, 100), (UP, 2, 101), (DOWN, 3, 100), (DOWN, 4, 100)]
    assert hear(node, 2, state(2, (100, 99), 1, 3)) == [Count("T-10")]
    assert lives(hear(node, 2, state(2, (101, 1), 1, 3))) == [(UP, 3, 100), (UP, 4, 100)]


def test_a_restart_that_ends_the_path_is_one_down() -> None:
    assert lives(hear(via_2(), 2, state(3, (101, 0)))) == [(DOWN, 3, 100), (DOWN, 4, 100)]


def test_the_first_update_of_a_restarted_node_may_be_lost() -> None:
    """1.23 row 1: (101, 1) never came."""
    node = via_2()
    assert lives(hear(node, 2, state(4, (101, 2), 3))) == [(DOWN, 4, 100), (UP, 4, 101)]


def test_a_neighbour_that_lost_its_clock_is_believed_when_only_its_link_was_known() -> None:
    node = linked(2)
    assert lives(node.link_up(NodeId(2), 50, 0.0, "answered")) == [(DOWN, 2, 100), (UP, 2, 50)]
    node.link_down(NodeId(2), 0.0, "cut")
    assert node.incarnation_of(NodeId(2)) is None


@pytest.mark.parametrize("version", [(100, 3), (101, 0), (MAX_INCARNATION - 1, 2**63 - 1)])
def test_a_newer_claim_in_my_name_is_overruled(version: tuple[int, int]) -> None:
    """An earlier life of mine lost its clock or its state; its neighbours are not mine."""
    claim = state(1, version, 4, 5)
    mine = state(1, (version[0] + 1, 0), 2, 3)
    entries = [(1, *version), (2, 100, 1), (3, 100, 1)]
    for message in (claim, Digest(1, entries)):
        node = linked(2, 3)
        hear(node, 2, state(2, (100, 1), 1), state(3, (100, 1), 1))
        assert hear(node, 2, message) == [SendTo(NodeId(2), mine), SendTo(NodeId(3), mine)]
        assert node.adjacency()[0] == (1, [2, 3])
        assert node.incarnation_of(NodeId(1)) == version[0] + 1


def test_my_own_echo_is_no_claim() -> None:
    node = linked(2, 3)
    echo = state(1, (100, 2), 3, 2)
    assert hear(node, 2, echo, state(1, (100, 1), 2)) == [Count("T-10")] * 2
    same_version = hear(node, 2, state(1, (100, 2), 4))
    assert sent(same_version) == [(n, state(1, (101, 0), 2, 3)) for n in (2, 3)]


def test_two_processes_with_my_id_cannot_drive_each_other() -> None:
    """One answer per digest interval; and none to a claim that nothing can be above."""
    node = linked(2)
    assert sent(node.receive(NodeId(2), state(1, (200, 0)), 0.0)) != []
    assert node.receive(NodeId(2), state(1, (300, 0)), DIGEST_S - 0.1) == [Count("T-9")]
    assert sent(node.receive(NodeId(2), state(1, (300, 0)), DIGEST_S)) != []
    last = state(1, (MAX_INCARNATION, 0))
    assert node.receive(NodeId(2), last, 10 * DIGEST_S) == [Count("T-9")]


def test_a_removed_neighbour_is_forgotten_and_the_others_are_told() -> None:
    node = via_2()
    node.link_up(NodeId(5), 100, 0.0, "answered")
    effects = node.set_members(roster(1, 3, 4, 5), 0.0)
    assert sent(effects) == [(5, state(1, (100, 3), 5))]
    lost = "path lost: the roster changed"
    assert edges(effects) == [
        (DOWN, 2, 2, "removed or disabled in the roster"),
        (DOWN, 3, 2, lost),
        (DOWN, 4, 2, lost),
    ]
    assert node.adjacency() == [(1, [5]), (3, [4]), (4, [3]), (5, [])]
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
    node = linked(2, 3, rerouting=False)
    assert node.reachable == {2, 3}
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
