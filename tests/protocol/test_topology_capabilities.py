"""Topology: the states of capabilities travel with the links and are forgotten with their life."""

from __future__ import annotations

import msgspec

from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import CapabilityState, CapState, LinkState
from tagmesh.protocol.topology import GATHER_S, Topology
from tests.protocol.topology_bench import hear, linked, sent, state

OK = CapabilityState("dialogs", CapState.OK)
PENDING = CapabilityState("dialogs", CapState.PENDING)


def told(node_state: LinkState, *capabilities: CapabilityState) -> LinkState:
    return msgspec.structs.replace(node_state, capabilities=list(capabilities))


def flooded(node: Topology, now: float) -> list[tuple[int, LinkState]]:
    """The link states sent at that time."""
    return [(to, m) for to, m in sent(node.tick(now)) if isinstance(m, LinkState)]


def test_what_i_say_of_my_capabilities_is_told_with_my_links() -> None:
    node = linked(2)
    assert node.set_capabilities([OK], 1.0) == []
    assert flooded(node, 1.0 + GATHER_S) == [(2, told(state(1, (100, 1), 2), OK))]
    assert node.capabilities_of(NodeId(1)) == (OK,)
    assert node.set_capabilities([OK], 2.0) == []
    assert flooded(node, 2.0 + GATHER_S) == [], "nothing new"


def test_a_state_that_is_taken_back_before_it_was_told_is_no_news() -> None:
    node = linked(2)
    node.set_capabilities([OK], 1.0)
    node.set_capabilities([], 1.01)
    assert flooded(node, 1.0 + GATHER_S) == []


def test_what_a_neighbour_says_is_known_and_shows_as_a_change() -> None:
    node = linked(2)
    before = node.changes
    hear(node, 2, told(state(2, (100, 5), 1), PENDING))
    assert node.capabilities_of(NodeId(2)) == (PENDING,)
    assert node.changes > before


def test_what_a_node_said_is_forgotten_when_no_path_leads_to_it() -> None:
    node = linked(2)
    hear(node, 2, told(state(2, (100, 5), 1), OK))
    node.link_down(NodeId(2), 9.0, "cut")
    assert node.capabilities_of(NodeId(2)) == ()


def test_what_an_earlier_life_said_is_forgotten() -> None:
    """N-2: a donor that restarted empty is not taken for OK (row 12 of behaviour 1.23)."""
    node = linked(2)
    hear(node, 2, told(state(2, (100, 5), 1), OK))
    node.link_up(NodeId(2), 101, 9.0, "answered")
    assert node.capabilities_of(NodeId(2)) == ()
    hear(node, 2, told(state(2, (100, 6), 1), OK))
    assert node.capabilities_of(NodeId(2)) == ()
