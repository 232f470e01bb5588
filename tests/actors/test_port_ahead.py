"""A thread that is far ahead of the hub lets it send what waits."""

from __future__ import annotations

import pytest

from tagmesh.actors.outbox import AHEAD_BYTES
from tagmesh.actors.port import PAUSE_S
from tests.actors.port_bench import TWO, Runtime, port_of


@pytest.fixture
def runtime() -> Runtime:
    return Runtime()


@pytest.mark.parametrize("at_once", [1, 100])
def test_who_is_far_ahead_of_the_hub_gives_way_to_it(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Else the hub would wait for the interpreter; in the hub nobody pauses."""
    pauses: list[float] = []
    monkeypatch.setattr("tagmesh.actors.hubcalls._thread_sleep", pauses.append)
    port = port_of(runtime, 1 << 22)

    def send(kib: int) -> None:
        for _ in range(kib // at_once):
            if at_once == 1:
                port.send(2, b"x" * 1020)
            else:
                port.send_many(2, [b"x" * 1020] * at_once)

    send(200)
    assert pauses == []
    send(200)
    assert len(pauses) in range(1, 10)
    port.collect()
    pauses.clear()
    send(200)
    assert pauses == []
    runtime.hub = True
    send(400)
    assert pauses == []


def test_who_may_wait_stays_a_little_ahead_of_what_is_sent(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More would only be read from memory again; the limit is far away."""
    port = port_of(runtime, 1 << 22)
    most_bytes = waits = 0

    def hub(_timeout: float) -> bool:
        nonlocal most_bytes, waits
        waits += 1
        most_bytes = max(most_bytes, port._outboxes[TWO].count())
        port._lock.release()
        assert runtime.soon, "it was woken"
        port.collect()
        port.released(TWO, port.waiting_bytes(TWO))
        return port._lock.acquire()

    monkeypatch.setattr(port._room, "wait", hub)
    for _ in range(1000):
        assert port.send(2, b"x" * 1020, timeout=1)
    assert AHEAD_BYTES < most_bytes < AHEAD_BYTES + 64 * 1024
    assert waits in range(2, 5)
    assert port.send_many(2, [b"x" * 1020] * 1000, timeout=1)
    assert waits in range(3, 6)
    runtime.hub = True
    assert all(port.send(2, b"x" * 1020) for _ in range(1000))


def test_at_a_slow_connection_nobody_waits_while_there_is_room(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = port_of(runtime, 1 << 22)
    waits: list[float] = []

    def in_vain(timeout: float) -> bool:
        waits.append(timeout)
        return False

    monkeypatch.setattr(port._room, "wait", in_vain)
    monkeypatch.setattr("tagmesh.actors.hubcalls._thread_sleep", lambda _seconds: None)
    for _ in range(2):
        del waits[:]
        assert all(port.send(2, b"x" * 1020, timeout=30) for _ in range(3000))
        assert waits == [PAUSE_S], "once, to see whether it is slow"
        port.collect()
        port.released(TWO, port.waiting_bytes(TWO))  # it caught up
