"""What is on its way between nodes, as told by both ends of each connection."""

from __future__ import annotations

from tagmesh.actors.flight import Flight, on_the_way
from tagmesh.protocol.identity import NodeId

ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)
USERS = (1, "users")


def test_what_was_sent_and_not_handled_is_on_the_way() -> None:
    flights = {
        ONE: Flight((), {(TWO, USERS): 700}, {}),
        TWO: Flight((), {}, {(ONE, USERS): 400}),
    }
    assert on_the_way(flights) == ["node 1: 300 bytes of users on the way to 2"]
    flights[TWO] = Flight((), {}, {(ONE, USERS): 700})
    assert on_the_way(flights) == []


def test_what_a_node_has_not_heard_of_yet_is_on_the_way() -> None:
    flights = {ONE: Flight((), {(TWO, USERS): 7}, {}), TWO: Flight((), {}, {})}
    assert on_the_way(flights) == ["node 1: 7 bytes of users on the way to 2"]


def test_what_goes_to_a_node_that_was_not_looked_at_does_not_count() -> None:
    assert on_the_way({ONE: Flight((), {(THREE, USERS): 7}, {})}) == []


def test_what_a_node_waits_for_is_told_in_its_words() -> None:
    waits = ("node 1: users is syncing",)
    assert on_the_way({ONE: Flight(waits, {}, {})}) == list(waits)
