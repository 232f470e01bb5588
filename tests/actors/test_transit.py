"""Data passing through: forwarded, held back with its credit, given up in the end."""

from __future__ import annotations

import pytest

from tagmesh.actors.lane import MESSAGE_BYTES, Lane
from tagmesh.actors.transit import PATIENCE_S, Transit
from tagmesh.protocol.credit import CREDIT_BYTES
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import Credit, Packets

from .test_lane import BATCH, PER_WINDOW, Connection, Told

NAME = ("node", 1)
THREE = NodeId(3)


def window(_cluster: int) -> int:
    return CREDIT_BYTES


class Middle:
    """Node 2 between node 1, from which data comes, and node 3."""

    def __init__(self) -> None:
        self.told = Told()
        self.before, self.after = Connection(), Connection()
        self.came = Lane(NodeId(1), self.before, self.told, window)  # type: ignore[arg-type]
        self.goes = Lane(THREE, self.after, self.told, window)  # type: ignore[arg-type]
        self.lanes = {NodeId(1): self.came, THREE: self.goes}
        self.drops: list[str] = []
        self.routes: dict[NodeId, NodeId] = {THREE: THREE}
        self.transit = Transit(NAME, self.lanes, self.routes.get, self.drops.append)

    def pass_on(self, number: int, ttl: int = 5) -> None:
        packets = Packets(1, 1, 1, 3, ttl, "a", 0, number, 1, bytes(BATCH - MESSAGE_BYTES))
        self.came.received(packets)
        self.transit.forward(self.came, packets, now=0.0)

    @property
    def numbers(self) -> list[int]:
        return [m.number for m in self.after.sent if isinstance(m, Packets)]

    @property
    def granted(self) -> int:
        limits = [m.limit_bytes for m in self.before.sent if isinstance(m, Credit)]
        return max(limits, default=CREDIT_BYTES) - CREDIT_BYTES


@pytest.fixture
def middle() -> Middle:
    return Middle()


def test_it_goes_on_at_once_with_one_hop_less_and_is_credited(middle: Middle) -> None:
    for n in range(PER_WINDOW):
        middle.pass_on(n)
    assert middle.numbers == list(range(PER_WINDOW))
    assert {m.ttl for m in middle.after.sent if isinstance(m, Packets)} == {4}
    assert middle.granted == CREDIT_BYTES


def test_what_finds_no_room_waits_in_order_and_slows_the_sender_down(middle: Middle) -> None:
    for n in range(PER_WINDOW + 4):
        middle.pass_on(n)
    assert middle.numbers == list(range(PER_WINDOW))
    before = middle.granted
    middle.goes.credited(Credit(1, "a", 2 * CREDIT_BYTES))
    assert middle.told.mails[-1][0] == NAME
    middle.transit.lane_open(THREE)
    assert middle.numbers == list(range(PER_WINDOW + 4))
    assert middle.granted >= before
    assert middle.transit.deadline is None


def test_what_waits_too_long_is_dropped_counted_and_credited(middle: Middle) -> None:
    for n in range(PER_WINDOW + 2):
        middle.pass_on(n)
    assert middle.transit.deadline == PATIENCE_S
    middle.transit.tick(PATIENCE_S)
    assert middle.drops == ["R-10", "R-10"]
    assert middle.transit.deadline is None
    for _ in range(PER_WINDOW // 2):  # all credit was given back: none of it is lost for good
        middle.came.received(Packets(1, 1, 1, 3, 5, "a", 0, 0, 1, bytes(BATCH - MESSAGE_BYTES)))


def test_what_waits_for_a_connection_that_ended_takes_the_next_one(middle: Middle) -> None:
    for n in range(PER_WINDOW + 2):
        middle.pass_on(n)
    fresh = Connection()
    middle.lanes[THREE] = Lane(THREE, fresh, middle.told, window)  # type: ignore[arg-type]
    middle.transit.lane_open(THREE)
    assert [m.number for m in fresh.sent if isinstance(m, Packets)] == [PER_WINDOW, PER_WINDOW + 1]


@pytest.mark.parametrize(("ttl", "routed", "rule"), [(0, True, "R-11"), (5, False, "R-3")])
def test_without_hops_or_without_a_route_it_is_dropped(
    middle: Middle, ttl: int, routed: bool, rule: str
) -> None:
    if not routed:
        middle.routes.clear()
    middle.pass_on(0, ttl=ttl)
    assert (middle.drops, middle.numbers) == ([rule], [])
