"""What application threads are told at once, and what waits for the hub."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tagmesh import Misuse
from tagmesh.actors.outbox import LOOSE_RESERVE_BYTES, Outbox, verdict_of
from tagmesh.actors.port import CapabilityPort
from tagmesh.protocol.capability_words import SyncWish
from tagmesh.protocol.contract import Outcome
from tagmesh.protocol.payloads import Joined, pack
from tests.actors.port_bench import TWO, Runtime, messages_in, port_of

LIMIT = 1000


@pytest.fixture
def runtime() -> Runtime:
    return Runtime()


@pytest.fixture(params=["every message is counted", "small ones are loose"])
def port(runtime: Runtime, request: pytest.FixtureRequest) -> CapabilityPort:
    small = request.param == "small ones are loose"
    return port_of(runtime, LOOSE_RESERVE_BYTES + LIMIT if small else LIMIT)


@pytest.fixture
def narrow(runtime: Runtime) -> CapabilityPort:
    """Takes a thousand bytes."""
    return port_of(runtime, LIMIT)


def test_the_first_message_is_on_its_way_and_the_next_waits_behind_it(port: CapabilityPort) -> None:
    assert port.send(2, "a").outcome is Outcome.SENT
    assert port.send(2, "b").outcome is Outcome.QUEUED
    assert port.send(2, "b").route == (TWO,)
    taken = port.collect()
    assert {node: messages_in(pieces) for node, pieces in taken.items()} == {TWO: ["a", "b", "b"]}
    assert port.collect() == {}
    assert port.send(2, "c").outcome is Outcome.QUEUED, "what was taken is not sent yet"
    port.collect()
    port.released(TWO, port.waiting_bytes(TWO))
    assert port.send(2, "d").outcome is Outcome.SENT


def test_messages_stay_in_order_however_they_are_sent(port: CapabilityPort) -> None:
    port.send(2, 0)
    port.send_many(2, iter([1, 2]))
    for number in range(3, 103):
        port.send(2, number)
    port.send_many(2, (103, 104))
    port.broadcast(105)
    assert messages_in(port.collect()[TWO]) == list(range(106))
    assert port.send_many(2, [])
    assert port.collect() == {}


def test_a_long_message_stays_behind_short_ones() -> None:
    port = port_of(Runtime(), 1 << 20)
    sent = [b"x" * size for size in (10, 3000, 20, 60_000, 30, 65_000, 40)]
    assert all(port.send(2, message) for message in sent)
    assert messages_in(port.collect()[TWO]) == sent


def test_the_hub_is_woken_once_per_burst(port: CapabilityPort, runtime: Runtime) -> None:
    for _ in range(10):
        port.send(2, "a")
    assert len(runtime.soon) == 1
    port.collect()
    port.send(2, "a")
    assert len(runtime.soon) == 2


def test_what_cannot_be_sent_is_told_at_once_with_the_codes_of_opensips(
    port: CapabilityPort,
) -> None:
    three = port.send(3, "a")
    assert not three
    assert (three.outcome, three.code, three.detail) == (
        Outcome.UNREACHABLE,
        -2,
        "no path leads to it",
    )
    assert port.send(99, "a").outcome is Outcome.UNREACHABLE
    assert port.send(2, "a").code == 1
    assert [n for n, result in port.broadcast("x").items() if result] == [TWO]


def test_too_much_waiting_is_busy_until_it_has_been_sent(narrow: CapabilityPort) -> None:
    message = b"x" * 400
    size = len(pack(message))
    assert narrow.send_many(2, [message, message])
    busy = narrow.send(2, message)
    assert (busy.outcome, busy.code, bool(busy)) == (Outcome.BUSY, -3, False)
    narrow.collect()
    assert not narrow.released(TWO, 1)  # still more than half waits
    assert narrow.released(TWO, 2 * size - 1)
    assert not narrow.released(TWO, 0)  # told once
    assert narrow.send(2, message)


def test_nothing_of_a_batch_that_does_not_fit_is_taken(narrow: CapabilityPort) -> None:
    assert narrow.send(2, b"x" * 600)
    assert not narrow.send_many(2, [b"1" * 200, b"2" * 300])
    assert messages_in(narrow.collect()[TWO]) == [b"x" * 600]


def test_a_batch_that_can_never_fit_is_the_callers_mistake(narrow: CapabilityPort) -> None:
    with pytest.raises(Misuse, match="send less at once"):
        narrow.send_many(2, [b"x" * 600, b"x" * 600])


def test_with_a_timeout_a_sender_waits_for_room(narrow: CapabilityPort) -> None:
    narrow.send(2, b"x" * 900)
    results = []
    thread = threading.Thread(target=lambda: results.append(narrow.send(2, b"y" * 500, timeout=10)))
    thread.start()
    narrow.collect()
    while not results:
        narrow.released(TWO, 0)  # the sender may not wait yet: it sees the room all the same
        if narrow.waiting_bytes(TWO) > 800:
            narrow.released(TWO, len(pack(b"x" * 900)))
    thread.join()
    assert results[0].outcome in (Outcome.SENT, Outcome.QUEUED)


def test_a_wait_that_is_in_vain_ends_busy(narrow: CapabilityPort) -> None:
    narrow.send(2, b"x" * 900)
    assert narrow.send(2, b"y" * 500, timeout=0.01).outcome is Outcome.BUSY


def test_nobody_may_wait_in_the_hub(narrow: CapabilityPort, runtime: Runtime) -> None:
    runtime.hub = True
    narrow.send(2, b"x" * 900)
    with pytest.raises(Misuse, match="on_room"):
        narrow.send(2, b"y" * 500, timeout=1)


@pytest.mark.parametrize("message", [object(), 2**70, {1: {2: lambda: None}}])
def test_what_msgpack_cannot_carry_is_refused_where_it_is_sent(
    port: CapabilityPort, message: object
) -> None:
    with pytest.raises(Misuse, match="cannot be sent as it is"):
        port.send(2, message)


def test_a_message_is_sent_as_it_was_at_the_call(port: CapabilityPort) -> None:
    message = {"a": 1}
    port.send(2, message)
    message["a"] = 2
    assert messages_in(port.collect()[TWO]) == [{"a": 1}]


def test_what_waits_for_a_node_that_leaves_is_still_handed_over(port: CapabilityPort) -> None:
    """The capability actor counts it; nobody sends to that node any more."""
    port.send(2, "a")
    port.verdicts = {}
    assert port.send(2, "b").outcome is Outcome.UNREACHABLE
    assert messages_in(port.collect()[TWO]) == ["a"]
    port.released(TWO, len(pack("a")))
    port.verdicts = {TWO: verdict_of(Outcome.SENT, [TWO])}
    assert port.send(2, "c").outcome is Outcome.SENT


def test_a_call_that_is_interrupted_wakes_the_hub_all_the_same(
    port: CapabilityPort, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who send meanwhile rely on it."""

    def interrupted(_callback: Callable[[], None]) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(runtime, "call_soon", interrupted)
    with pytest.raises(KeyboardInterrupt):
        port.send(2, "a")
    assert len(runtime.soon) == 1


def test_a_message_that_comes_while_the_hub_takes_wakes_it_again(
    port: CapabilityPort, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Outbox.take

    def taken(outbox: Outbox) -> list[Joined]:
        pieces = take(outbox)
        monkeypatch.undo()
        if outbox.open:  # else it would have to wait for the lock
            assert port.send(2, "b")
        return pieces

    port.send(2, "a")
    runtime.soon.clear()
    monkeypatch.setattr(Outbox, "take", taken)
    assert messages_in(port.collect()[TWO]) == ["a"]
    assert len(runtime.soon) == (port.waiting_bytes(TWO) > len(pack("a")))


# Threads -----------------------------------------------------------------------------------------


EACH = 30_000


class Hub(threading.Thread):
    """Does what the hub does, as often as it is woken; sends at once what it takes."""

    def __init__(self, runtime: Runtime, limit_bytes: int) -> None:
        super().__init__(daemon=True)
        self.seen: list[Any] = []
        self.most_bytes = 0
        self.over = False
        self._runtime = runtime
        self.port = port_of(runtime, limit_bytes)

    def run(self) -> None:
        while not self.over or self._runtime.soon:
            if not self._runtime.soon:
                time.sleep(0)
                continue
            self._runtime.soon.clear()
            self.most_bytes = max(self.most_bytes, self.port.waiting_bytes(TWO))
            for pieces in self.port.collect().values():
                self.seen += messages_in(pieces)
                self.port.released(TWO, sum(len(piece.payloads) for piece in pieces))

    def stop(self) -> None:
        self.over = True
        self.join()


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("limit_bytes", [5_000, LOOSE_RESERVE_BYTES + 5_000, 1 << 20])
def test_of_many_threads_nothing_is_lost_or_mixed_up(runtime: Runtime, limit_bytes: int) -> None:
    """Whether messages are counted one by one, or not before they are joined."""
    hub = Hub(runtime, limit_bytes)
    hub.start()

    def work(mine: int) -> None:
        for number in range(0, EACH, 3):
            assert hub.port.send(2, (mine, number), timeout=30)
            assert hub.port.send_many(2, [(mine, number + 1), (mine, number + 2)], timeout=30)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hub.stop()
    assert len(hub.seen) == 4 * EACH
    for mine in range(4):
        assert [n for source, n in hub.seen if source == mine] == list(range(EACH))
    assert 0 < hub.most_bytes <= limit_bytes
    assert hub.port.waiting_bytes(TWO) == 0


# Syncs -------------------------------------------------------------------------------------------


def test_a_sync_that_cannot_be_is_refused_where_it_is_asked_for(runtime: Runtime) -> None:
    plain = port_of(runtime, LIMIT)
    with pytest.raises(Misuse, match="only a KeyedCapability can be mirrored"):
        plain.request_sync(mirror=True)
    with pytest.raises(Misuse, match="a dry run tells what a mirror would drop"):
        plain.request_sync(dry_run=True)
    assert runtime.soon == []
    plain.request_sync(tags=["vip"])
    port_of(runtime, LIMIT, keyed=True).request_sync(mirror=True, dry_run=True)
    for call in runtime.soon:
        call()
    assert runtime.wishes == [SyncWish(("vip",)), SyncWish(mirror=True, dry_run=True)]
