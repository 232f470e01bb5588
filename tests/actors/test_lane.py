"""Data on one connection: credit per capability, room, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tagmesh.actors.lane import MAX_FLOWS, MESSAGE_BYTES, Lane
from tagmesh.actors.mail import LaneOpen
from tagmesh.protocol.credit import CREDIT_BYTES
from tagmesh.protocol.errors import PeerViolation
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import Credit, Message, Packets

BATCH = 64 * 1024
PER_WINDOW = CREDIT_BYTES // BATCH


class Connection:
    """Takes what is sent, until it is full."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.full = False
        self.on_room: Callable[[], None] | None = None

    def send(self, messages: Sequence[Message]) -> bool:
        if not self.full:
            self.sent += messages
        return not self.full


class Told:
    """In place of a supervisor."""

    def __init__(self) -> None:
        self.mails: list[tuple[Any, Any]] = []

    def tell(self, name: Any, mail: Any) -> bool:
        self.mails.append((name, mail))
        return True


@pytest.fixture
def connection() -> Connection:
    return Connection()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def lane(connection: Connection, told: Told) -> Lane:
    return Lane(NodeId(2), connection, told, lambda _cluster: CREDIT_BYTES)  # type: ignore[arg-type]  # what it needs of them


def batch(capability: str = "a", cluster: int = 1) -> Packets:
    return Packets(cluster, 1, 1, 2, 3, capability, 0, 0, 1, bytes(BATCH - MESSAGE_BYTES))


def test_a_window_may_be_sent_before_the_peer_says_anything(lane: Lane) -> None:
    assert [lane.send(batch()) for _ in range(PER_WINDOW + 1)] == [True] * PER_WINDOW + [False]
    assert lane.room_bytes(1, "a") == 0


def test_one_capability_without_credit_does_not_hold_up_another_nor_another_cluster(
    lane: Lane,
) -> None:
    while lane.send(batch("slow")):
        pass
    assert lane.send(batch("other"))
    assert lane.send(batch("slow", cluster=2))


def test_who_waits_is_told_once_when_the_peer_grants_more(
    lane: Lane, told: Told, connection: Connection
) -> None:
    while lane.send(batch()):
        pass
    lane.wait(1, "a", ("capability", 1, "a"))
    lane.wait(1, "a", ("capability", 1, "a"))
    lane.credited(Credit(1, "a", CREDIT_BYTES + BATCH))
    assert told.mails == [(("capability", 1, "a"), LaneOpen(NodeId(2)))]
    assert lane.send(batch())
    assert not lane.send(batch())
    lane.credited(Credit(1, "a", CREDIT_BYTES + 2 * BATCH))
    assert len(told.mails) == 1
    assert len(connection.sent) == PER_WINDOW + 1


def test_a_full_connection_holds_everybody_until_it_has_room(
    lane: Lane, told: Told, connection: Connection
) -> None:
    connection.full = True
    assert not lane.send(batch())
    assert lane.room_bytes(1, "b") == 0
    lane.wait(1, "a", ("a",))
    lane.wait(1, "b", ("b",))
    connection.full = False
    assert connection.on_room is not None
    connection.on_room()
    assert [name for name, _ in told.mails] == [("a",), ("b",)]
    assert lane.room_bytes(1, "a") == CREDIT_BYTES  # what was refused was not counted
    assert lane.send(batch())


def test_what_came_and_was_dealt_with_is_granted_again(lane: Lane, connection: Connection) -> None:
    for _ in range(PER_WINDOW):
        lane.received(batch())
    for _ in range(PER_WINDOW):
        lane.consumed(1, "a", BATCH)
    grants = [m for m in connection.sent if isinstance(m, Credit)]
    assert grants[-1] == Credit(1, "a", 2 * CREDIT_BYTES)
    assert len(grants) == 2  # one per half window


def test_credit_that_the_connection_had_no_room_for_is_given_when_it_has(
    lane: Lane, connection: Connection
) -> None:
    """Otherwise the peer would wait for it for ever."""
    for _ in range(PER_WINDOW):
        lane.received(batch())
    connection.full = True
    for _ in range(PER_WINDOW):
        lane.consumed(1, "a", BATCH)
    assert connection.sent == []
    connection.full = False
    assert connection.on_room is not None
    connection.on_room()
    assert connection.sent == [Credit(1, "a", 2 * CREDIT_BYTES)]


def test_each_cluster_has_the_window_of_its_settings(connection: Connection, told: Told) -> None:
    lane = Lane(NodeId(2), connection, told, lambda cluster: cluster * CREDIT_BYTES)  # type: ignore[arg-type]
    assert (lane.room_bytes(1, "a"), lane.room_bytes(2, "a")) == (CREDIT_BYTES, 2 * CREDIT_BYTES)


def test_a_peer_that_sends_more_than_it_may_breaks_the_protocol(lane: Lane) -> None:
    for _ in range(PER_WINDOW):
        lane.received(batch())
    with pytest.raises(PeerViolation, match="credit"):
        lane.received(batch())


def test_credit_for_what_was_never_sent_breaks_the_protocol(lane: Lane) -> None:
    with pytest.raises(PeerViolation, match="never used"):
        lane.credited(Credit(1, "zzz", 2 * CREDIT_BYTES))


def test_a_peer_cannot_make_us_remember_capabilities_without_end(lane: Lane) -> None:
    small = Packets(1, 1, 1, 2, 3, "x", 0, 0, 1, b"\x91\x01")
    for n in range(MAX_FLOWS):
        lane.received(Packets(1, 1, 1, 2, 3, f"c{n}", 0, 0, 1, b"\x91\x01"))
    with pytest.raises(PeerViolation, match="capabilities"):
        lane.received(small)


def test_control_messages_need_no_credit(lane: Lane, connection: Connection) -> None:
    assert lane.control(Credit(1, "dialogs", 5))
    assert connection.sent == [Credit(1, "dialogs", 5)]
    connection.full = True
    assert not lane.control(Credit(1, "dialogs", 6))
