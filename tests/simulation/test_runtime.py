"""Virtual time: what happens when, and in which order."""

from __future__ import annotations

import math
import random
from functools import partial

import pytest

from tagmesh.simulation.runtime import (
    MAX_LATE_S,
    SLOTS_PER_S,
    Database,
    Scheduler,
    SimulatedRuntime,
)

SLOT_S = 1 / SLOTS_PER_S


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler(1)


def test_things_happen_when_they_are_due_and_in_the_order_they_were_put(
    scheduler: Scheduler,
) -> None:
    """Checked against a sorted list, with moments on, before and behind the edges of slots."""
    dice = random.Random(7)
    moments = [n * SLOT_S + d for n in range(40) for d in (-1e-9, 0.0, 0.0, 1e-9)]
    moments += [dice.uniform(0.0, 2.0) for _ in range(300)]
    dice.shuffle(moments)
    happened: list[tuple[float, int]] = []

    def note(number: int) -> None:
        happened.append((scheduler.now, number))

    for number, when in enumerate(moments):
        scheduler.at(when, partial(note, number))
    scheduler.run_for(1.0)
    assert scheduler.now == 1.0
    for number, when in enumerate(moments, start=len(moments)):  # while the clock stands at 1
        scheduler.at(when, partial(note, number))
    scheduler.run_for(3.0)
    first = sorted((max(when, 0.0), n) for n, when in enumerate(moments))
    later = sorted((max(when, 1.0), n + len(moments)) for n, when in enumerate(moments))
    before = [due for due in first if due[0] <= 1.0]
    assert happened == before + sorted([due for due in first if due[0] > 1.0] + later)


def test_what_is_due_at_the_end_of_a_run_happens_in_it(scheduler: Scheduler) -> None:
    done: list[float] = []
    for when in (SLOT_S, 2 * SLOT_S, 2 * SLOT_S + 1e-9):
        scheduler.at(when, lambda: done.append(scheduler.now))
    scheduler.run_for(2 * SLOT_S)
    assert done == [SLOT_S, 2 * SLOT_S]
    assert not scheduler.step(2 * SLOT_S)


def test_a_cancelled_timer_is_no_step(scheduler: Scheduler) -> None:
    runtime = SimulatedRuntime(scheduler, "process")
    done: list[str] = []
    after_s = (0.0, 0.01, 9.0, math.inf)
    timers = [runtime.call_later(after, lambda: done.append("rang")) for after in after_s]
    for timer in timers:
        timer.cancel()
    scheduler.run_for(10.0)
    assert (done, scheduler.steps) == ([], 0)


def test_what_is_ready_at_a_moment_follows_what_is_due_then_in_an_order_of_the_seed() -> None:
    """Actors are concurrent; bytes of one connection are not."""
    orders = set()
    for seed in range(20):
        scheduler = Scheduler(seed)
        done: list[str] = []
        runtime = SimulatedRuntime(scheduler, "process")
        for name in "abc":
            runtime.call_soon(partial(done.append, name))
        for name in "12":
            runtime.call_later(0.0, partial(done.append, name))
        scheduler.run_for(0.0)
        assert done[:2] == ["1", "2"]
        orders.add("".join(done[2:]))
    assert len(orders) > 3


def test_a_stopped_process_does_what_it_missed_in_order_and_a_dead_one_nothing(
    scheduler: Scheduler,
) -> None:
    process = SimulatedRuntime(scheduler, "process")
    done: list[str] = []
    process.call_later(1.0, lambda: done.append("timer"))
    process.call_soon(lambda: done.append("soon"))
    process.pause()
    scheduler.at(2.0, lambda: done.append("network"))
    scheduler.run_for(3.0)
    assert (done, process.stopped, process.paused) == (["network"], True, True)
    process.resume()
    process.call_later(0.0, lambda: done.append("new"))
    scheduler.run_for(0.0)
    assert done == ["network", "soon", "timer", "new"]
    process.call_soon(lambda: done.append("never"))
    process.kill()
    process.resume()
    scheduler.run_for(1.0)
    assert (done[-1], process.stopped, process.dead) == ("new", True, True)


@pytest.mark.parametrize("rate", [0.95, 1.0, 1.05])
def test_a_clock_that_is_wrong_rings_when_it_shows_the_time_itself(
    scheduler: Scheduler, rate: float
) -> None:
    process = SimulatedRuntime(scheduler, "process", rate)
    scheduler.run_for(7.3)
    begin, rang = process.monotonic(), []
    for delay_s in (0.1, 1.0 / 3, 10.0):
        process.call_later(delay_s, lambda: rang.append((process.monotonic(), scheduler.now)))
    scheduler.run_for(20.0)
    assert [shown for shown, _ in rang] == pytest.approx([begin + d for d in (0.1, 1 / 3, 10.0)])
    assert all(shown >= begin + d for (shown, _), d in zip(rang, (0.1, 1 / 3, 10.0), strict=True))
    assert rang[-1][1] == pytest.approx(7.3 + 10.0 / rate)


def test_a_database_out_of_reach_loses_what_it_is_asked_or_what_it_answers(
    scheduler: Scheduler,
) -> None:
    process = SimulatedRuntime(scheduler, "process")
    done: list[str] = []
    answers: list[tuple[str | None, str]] = []

    def ask(how: Database) -> None:
        process.database = how
        process.call_in_pool(
            lambda: done.append(how) or how,  # type: ignore[func-returns-value]  # it returns how
            lambda value, error: answers.append((value, str(error))),
        )
        scheduler.run_for(1.0)

    ask("failing")
    ask("lost")
    assert done == ["lost"]
    assert answers == [
        (None, "the simulated database cannot be reached from here"),
        (None, "the answer of the simulated database was lost"),
    ]
    ask("hanging")
    assert done == ["lost"]
    process.database = "ok"
    scheduler.run_for(1.0)
    assert answers[2:] == [("hanging", "None")]
    ask("late")
    assert done[-1] == "late"
    scheduler.run_for(MAX_LATE_S)
    assert answers[3:] == [("late", "None")]
