"""What application threads are told at once, and what waits for the hub."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec
import pytest

from tagmesh import Misuse
from tagmesh.actors.port import CapabilityPort, Commands, pack, verdict_of
from tagmesh.protocol.contract import Outcome
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.messages import MAX_PAYLOAD_BYTES
from tagmesh.simulation.runtime import Scheduler, SimulatedRuntime

TWO, THREE = NodeId(2), NodeId(3)
LIMIT = 1000


class Runtime(SimulatedRuntime):
    """The hub is another thread, which the test lets run."""

    hub = False

    def __init__(self) -> None:
        super().__init__(Scheduler(0), "0")
        self.soon: list[Callable[[], None]] = []

    def in_hub(self) -> bool:
        return self.hub

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)


@pytest.fixture
def runtime() -> Runtime:
    return Runtime()


@pytest.fixture
def port(runtime: Runtime) -> CapabilityPort:
    commands = Commands(
        flush=lambda: None,
        request_sync=lambda wish: None,
        changed=lambda: None,
        run=lambda function: function(),
    )
    port = CapabilityPort(NodeId(1), ClusterId(1), runtime, commands, LIMIT)
    port.verdicts = {
        TWO: verdict_of(Outcome.SENT, [TWO]),
        THREE: verdict_of(Outcome.UNREACHABLE, detail="no path leads to it"),
    }
    return port


def test_the_first_message_is_on_its_way_and_the_next_waits_behind_it(port: CapabilityPort) -> None:
    assert port.send(2, "a").outcome is Outcome.SENT
    assert port.send(2, "b").outcome is Outcome.QUEUED
    assert port.send(2, "b").route == (TWO,)
    assert port.collect() == {TWO: [pack("a"), pack("b"), pack("b")]}
    assert port.collect() == {}


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


def test_too_much_waiting_is_busy_until_it_has_been_sent(port: CapabilityPort) -> None:
    message = b"x" * 400
    size = len(pack(message))
    assert port.send_many(2, [message, message])
    busy = port.send(2, message)
    assert (busy.outcome, busy.code, bool(busy)) == (Outcome.BUSY, -3, False)
    port.collect()
    assert not port.released(TWO, 1)  # still more than half waits
    assert port.released(TWO, 2 * size - 1)
    assert not port.released(TWO, 0)  # told once
    assert port.send(2, message)


def test_nothing_of_a_batch_that_does_not_fit_is_taken(port: CapabilityPort) -> None:
    assert port.send(2, b"x" * 600)
    assert not port.send_many(2, [b"1" * 200, b"2" * 300])
    assert len(port.collect()[TWO]) == 1


def test_a_batch_that_can_never_fit_is_the_callers_mistake(port: CapabilityPort) -> None:
    with pytest.raises(Misuse, match="send less at once"):
        port.send_many(2, [b"x" * 600, b"x" * 600])


def test_with_a_timeout_a_sender_waits_for_room(port: CapabilityPort) -> None:
    port.send(2, b"x" * 900)
    results = []
    thread = threading.Thread(target=lambda: results.append(port.send(2, b"y" * 500, timeout=10)))
    thread.start()
    port.collect()
    while not results:
        port.released(TWO, 0)  # the sender may not wait yet: it sees the room all the same
        if port._waiting_bytes[TWO] > 500:
            port.released(TWO, len(pack(b"x" * 900)))
    thread.join()
    assert results[0].outcome in (Outcome.SENT, Outcome.QUEUED)


def test_a_wait_that_is_in_vain_ends_busy(port: CapabilityPort) -> None:
    port.send(2, b"x" * 900)
    assert port.send(2, b"y" * 500, timeout=0.01).outcome is Outcome.BUSY


def test_nobody_may_wait_in_the_hub(port: CapabilityPort, runtime: Runtime) -> None:
    runtime.hub = True
    port.send(2, b"x" * 900)
    with pytest.raises(Misuse, match="on_room"):
        port.send(2, b"y" * 500, timeout=1)


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
    assert msgspec.msgpack.decode(port.collect()[TWO][0]) == {"a": 1}


def test_the_longest_message_fits_and_one_byte_more_does_not() -> None:
    header = len(pack(b"x" * 40_000)) - 40_000
    assert len(pack(b"x" * (MAX_PAYLOAD_BYTES - header))) == MAX_PAYLOAD_BYTES
    with pytest.raises(Misuse, match="split it"):
        pack(b"x" * (MAX_PAYLOAD_BYTES - header + 1))
