"""What waits for the end of a sync: in order, bounded, and only then handed over (S-23)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tagmesh.actors.application import Delivery
from tagmesh.actors.intake import Intake
from tagmesh.actors.lane import size_of
from tagmesh.actors.worker import InlineWorker
from tagmesh.protocol.messages import Packets

LIMIT = 10


class Bench:
    """An intake, the credit that its lane got back, and what the application heard."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.consumed_bytes = self.delivered_bytes = 0
        application = SimpleNamespace(
            deliver=lambda batches: self.heard.extend(batch.packets.number for batch in batches)
        )
        registration: Any = SimpleNamespace(application=application, worker=InlineWorker())
        self.intake = Intake(
            registration, max_messages=LIMIT, max_bytes=10_000, delivered=self._delivered
        )

    def consumed(self, _cluster: int, _capability: str, size_bytes: int) -> None:
        self.consumed_bytes += size_bytes

    def _delivered(self, lane: object, size_bytes: int) -> None:
        assert lane is self
        self.delivered_bytes += size_bytes

    def take(self, number: int, count: int = 1) -> bool:
        lane: Any = self
        return self.intake.take(lane, [Delivery(batch(number, count), 0)])


def batch(number: int, count: int) -> Packets:
    return Packets(
        cluster_id=1, source=2, incarnation=1, destination=1, ttl=1, capability="c", stream=1,
        number=number, count=count, payloads=b"x",
    )  # fmt: skip


SIZE = size_of(batch(0, 1))


def test_what_need_not_wait_is_credited_when_it_is_dealt_with() -> None:
    bench = Bench()
    assert bench.take(1)
    assert (bench.heard, bench.consumed_bytes, bench.delivered_bytes) == ([1], 0, SIZE)


def test_what_is_held_comes_in_order_and_is_credited_at_once() -> None:
    bench = Bench()
    bench.intake.holding = True
    assert [bench.take(1), bench.take(2)] == [True, True]
    assert (bench.heard, bench.consumed_bytes) == ([], 2 * SIZE)
    bench.intake.release()
    assert (bench.heard, bench.delivered_bytes) == ([1, 2], 0)


def test_beyond_the_limit_it_is_held_on_its_credit_until_the_sync_has_ended() -> None:
    """The simulator found it handed over while records of the sync were still to come."""
    bench = Bench()
    bench.intake.holding = True
    assert bench.take(1, LIMIT)
    assert not bench.take(2)
    assert not bench.take(3)
    assert (bench.heard, bench.consumed_bytes) == ([], SIZE)
    bench.intake.holding = False
    bench.intake.release()
    assert (bench.heard, bench.delivered_bytes) == ([1, 2, 3], 2 * SIZE)
    bench.intake.release()
    assert bench.delivered_bytes == 2 * SIZE, "once"


def test_what_is_dropped_is_credited() -> None:
    bench = Bench()
    bench.intake.holding = True
    bench.take(1, LIMIT + 1)
    bench.intake.drop()
    bench.intake.release()
    assert (bench.heard, bench.delivered_bytes) == ([], SIZE)
    assert bench.take(2), "there is room again"
