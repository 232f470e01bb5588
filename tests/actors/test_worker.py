"""Where application code runs: order, errors, ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tagmesh.actors.worker import InlineWorker, ThreadWorker


def at_once(function: Callable[[], None]) -> None:
    function()


def test_a_thread_calls_jobs_one_by_one_in_order_and_tells_each_end() -> None:
    worker = ThreadWorker("w", at_once)
    seen: list[object] = []
    for n in range(100):
        worker.submit(lambda n=n: seen.append(n), lambda _error, n=n: seen.append(-n))  # type: ignore[misc]
    worker.stop()
    assert seen == [x for n in range(100) for x in (n, -n)]


def test_jobs_run_outside_the_callers_thread() -> None:
    worker = ThreadWorker("named", at_once)
    names: list[str] = []
    worker.submit(lambda: names.append(threading.current_thread().name), lambda _error: None)
    worker.stop()
    assert names == ["named"]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_job_raises_is_handed_over_and_the_next_one_runs(error: BaseException) -> None:
    worker = ThreadWorker("w", at_once)
    errors: list[BaseException | None] = []

    def fail() -> None:
        raise error

    worker.submit(fail, errors.append)
    worker.submit(lambda: None, errors.append)
    worker.stop()
    assert errors == [error, None]


def test_a_job_may_stop_its_own_worker() -> None:
    worker = ThreadWorker("w", at_once)
    over = threading.Event()
    worker.submit(worker.stop, lambda _error: over.set())
    assert over.wait(5)


def test_inline_calls_at_once() -> None:
    seen: list[object] = []
    worker = InlineWorker()
    worker.submit(lambda: seen.append("job"), seen.append)
    worker.stop()
    assert seen == ["job", None]
