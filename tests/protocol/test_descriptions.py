"""Descriptions of nodes that joined without a row (db_mode 0)."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol.cluster_settings import MAX_NODES
from tagmesh.protocol.descriptions import Descriptions
from tagmesh.protocol.effects import Count, Effect, Learn, SendTo
from tagmesh.protocol.identity import BinsUrl, ClusterId, NodeId, NodeRecord
from tagmesh.protocol.messages import MAX_HOPS, Description
from tagmesh.protocol.wire import decode, encode


def record(node: int) -> NodeRecord:
    return NodeRecord(
        cluster_id=ClusterId(1),
        node_id=NodeId(node),
        url=BinsUrl("host", 5000 + node),
        ping_retries=2,
        priority=60,
        sip_addr="sip:host",
        description=f"node {node}",
    )


def descriptions(me: int, *configured: int, incarnation: int = 100) -> Descriptions:
    return Descriptions(record(me), incarnation, {NodeId(n): record(n) for n in configured})


def hear(node: Descriptions, sender: int, message: Description, *neighbours: int) -> list[Effect]:
    return node.receive(NodeId(sender), message, [NodeId(n) for n in neighbours])


def of(node: int, incarnation: int = 100, hops: int = 0) -> Description:
    (own,) = descriptions(node, incarnation=incarnation).known()
    return msgspec.structs.replace(own, hops=hops)


def test_a_stranger_is_learned_as_it_described_itself_and_passed_on() -> None:
    node = descriptions(1, 2)
    assert hear(node, 2, of(9), 5, 2, 4) == [
        Learn(record(9)),
        SendTo(NodeId(4), of(9, hops=1)),
        SendTo(NodeId(5), of(9, hops=1)),
    ]


def test_a_newcomer_tells_and_is_told_everything() -> None:
    """A chain 1 – 2 – 3 where each has only its left neighbour in its configuration."""
    first, second, third = descriptions(1), descriptions(2, 1), descriptions(3, 2)
    hear(first, 2, of(2), 2)
    assert third.known() == [third.own] == [of(3)]
    told = [hear(third, 2, d, 2) for d in [*second.known(), *first.known()]]
    assert told == [[], [Learn(record(1))], [Count("T-10")]]
    assert third.known() == [of(1), of(2), of(3)]
    assert decode(encode(third.known())).messages == third.known()


def test_a_configured_node_is_passed_on_but_stays_as_configured() -> None:
    node = descriptions(1, 2)
    assert hear(node, 2, of(2), 2, 3) == [SendTo(NodeId(3), of(2, hops=1))]


@pytest.mark.parametrize("message", [of(9, 100), of(9, 99), of(1, 200)])
def test_what_is_not_newer_or_about_myself_ends_here(message: Description) -> None:
    node = descriptions(1)
    hear(node, 2, of(9, 100), 2)
    assert hear(node, 3, message, 2, 3) == [Count("T-10")]


def test_a_later_life_may_have_moved() -> None:
    node = descriptions(1)
    hear(node, 2, of(9), 2)
    moved = msgspec.structs.replace(of(9, 101), url="bins:elsewhere:1")
    (learned,) = hear(node, 2, moved, 2)
    assert isinstance(learned, Learn)
    assert str(learned.record.url) == "bins:elsewhere:1"


def test_a_description_that_came_far_is_used_but_not_passed_on() -> None:
    node = descriptions(1)
    assert hear(node, 2, of(9, hops=MAX_HOPS), 3) == [Learn(record(9)), Count("G-14")]
    assert node.known() == [of(1), of(9)], "told to a newcomer as if it were fresh"


def test_a_description_nobody_could_dial_is_dropped() -> None:
    node = descriptions(1)
    plain = msgspec.structs.replace(of(9), url="bin:host:5555")
    assert hear(node, 2, plain, 3) == [Count("D-5")]
    assert node.known() == [of(1)]


def test_a_full_cluster_learns_nobody_new() -> None:
    node = descriptions(1)
    for n in range(2, MAX_NODES + 1):
        assert hear(node, 2, of(n)) == [Learn(record(n))]
    assert hear(node, 2, of(MAX_NODES + 1)) == [Count("J-2")]
    assert hear(node, 2, of(MAX_NODES, 101)) == [Learn(record(MAX_NODES))]


def test_who_was_removed_is_told_to_nobody_and_may_come_back() -> None:
    node = descriptions(1)
    hear(node, 9, of(9))
    node.forget(NodeId(9))
    node.forget(NodeId(9))
    node.forget(NodeId(1))
    assert node.known() == [of(1)]
    assert hear(node, 9, of(9)) == [Learn(record(9))]
