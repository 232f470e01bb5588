"""Work away from the hub: all of it is done, no more at a time than allowed."""

from __future__ import annotations

import threading
from collections import deque

from tagmesh.capabilities.background import Background

ENOUGH_S = 30.0


class Steps:
    """Counts down work items; notes how many were under way at once."""

    def __init__(self, total: int) -> None:
        self.left = deque(range(total))
        self.done: list[int] = []
        self.at_once = 0
        self.most_at_once = 0
        self.all_done = threading.Event()
        self.total = total
        self._lock = threading.Lock()

    def step(self) -> bool:
        try:
            item = self.left.popleft()
        except IndexError:
            return False
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        with self._lock:
            self.at_once -= 1
            self.done.append(item)
            if len(self.done) == self.total:
                self.all_done.set()
        return True


def test_one_wake_up_does_everything_in_order_and_in_one_thread() -> None:
    steps = Steps(1000)
    threads = set()

    def step() -> bool:
        threads.add(threading.current_thread())
        return steps.step()

    Background(step).wake()
    assert steps.all_done.wait(ENOUGH_S)
    assert steps.done == list(range(1000))
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_a_burst_of_wake_ups_needs_one_job() -> None:
    steps, jobs = Steps(10), list[object]()
    background = Background(steps.step, jobs.append)
    for _ in range(100):
        background.wake()
    (job,) = jobs
    job()  # type: ignore[operator]  # a function
    assert steps.done == list(range(10))
    background.wake()
    assert len(jobs) == 2


def test_work_that_comes_while_the_last_step_ends_is_not_forgotten() -> None:
    """The step finds nothing, and before it says so there is something: the wake-up counts."""
    work: deque[str] = deque()
    done: list[str] = []
    gap = True

    def step() -> bool:
        nonlocal gap
        if work:
            done.append(work.popleft())
            return True
        if gap:
            gap = False
            work.append("late")
            background.wake()
        return False

    background = Background(step, lambda job: job())
    background.wake()
    assert done == ["late"]


def test_several_at_a_time_when_told_so() -> None:
    barrier = threading.Barrier(3)
    left = deque(range(3))
    met = threading.Semaphore(0)

    def step() -> bool:
        try:
            left.popleft()
        except IndexError:
            return False
        barrier.wait(ENOUGH_S)  # passes only if three are here together
        met.release()
        return True

    background = Background(step, parallel=3)
    for _ in range(10):
        background.wake()
    assert all(met.acquire(timeout=ENOUGH_S) for _ in range(3))


def test_no_more_at_a_time_than_told_and_nothing_lost_among_threads() -> None:
    steps = Steps(4000)
    steps.left.clear()
    background = Background(steps.step, parallel=2)

    def feed(first: int) -> None:
        for item in range(first, 4000, 4):
            steps.left.append(item)
            background.wake()

    feeders = [threading.Thread(target=feed, args=(first,)) for first in range(4)]
    for feeder in feeders:
        feeder.start()
    for feeder in feeders:
        feeder.join()
    assert steps.all_done.wait(ENOUGH_S)
    assert sorted(steps.done) == list(range(4000))
    assert steps.most_at_once <= 2
