"""Threads for functions of the application: as many as are needed, and none left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tagmesh.actors import handlers
from tagmesh.actors.handlers import MAX_THREADS, Handlers
from tests.actors.leftovers import UP_S, nothing_stays, until

NAME = "tagmesh-test-handlers"


@pytest.fixture
def pool() -> Iterator[Handlers]:
    with nothing_stays():
        pool = Handlers(NAME)
        pool.start()
        yield pool
        pool.stop()


def threads() -> int:
    return sum(thread.name == NAME for thread in threading.enumerate())


def test_one_waits_until_there_is_something_to_do(pool: Handlers) -> None:
    assert threads() == 1


def test_blocked_ones_hold_up_no_other_until_all_are_blocked(pool: Handlers) -> None:
    gate, begun, done = threading.Event(), threading.Semaphore(0), threading.Event()

    def block() -> None:
        begun.release()
        gate.wait(UP_S)

    for _ in range(MAX_THREADS):
        pool.run(block)
        assert begun.acquire(timeout=UP_S)
    pool.run(done.set)
    assert not done.wait(0.05)
    assert threads() == MAX_THREADS
    gate.set()
    assert done.wait(UP_S)


def test_what_raises_ends_nothing(pool: Handlers, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()
    pool.run(lambda: 1 / 0)
    pool.run(done.set)
    assert done.wait(UP_S)
    until(lambda: "ZeroDivisionError" in caplog.text)


def test_stopping_finishes_what_waits_and_may_be_called_by_a_job() -> None:
    with nothing_stays():
        pool = Handlers(NAME)
        heard: list[int] = []
        pool.run(lambda: heard.append(0))  # before the start: it waits for that
        assert threads() == 0
        pool.start()
        for number in range(1, 100):
            pool.run(lambda n=number: heard.append(n))  # type: ignore[misc]  # bound now
        pool.stop()
        assert sorted(heard) == list(range(100))
        pool.start()
        stopped = threading.Event()

        def enough() -> None:
            pool.stop()
            stopped.set()

        pool.run(enough)
        assert stopped.wait(UP_S)


def test_one_that_is_stuck_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "STOP_TIMEOUT_S", 0.1)
    with nothing_stays():
        pool, gate, begun = Handlers(NAME), threading.Event(), threading.Event()

        def stuck() -> None:
            begun.set()
            gate.wait(UP_S)

        pool.start()
        pool.run(stuck)
        assert begun.wait(UP_S)
        pool.stop()
        gate.set()
