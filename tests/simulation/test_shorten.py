"""`shorten`: a plan that fails, without the faults that do not matter."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.simulation import Fault, FaultPlan, Violation, run, shorten
from tagmesh.simulation.mutants import MUTANTS
from tests.simulation.soak import report

MOST_FAULTS = 24
Fails = Callable[[FaultPlan], bool]


def plan_of(count: int) -> FaultPlan:
    """``count`` resets, one each second."""
    faults = tuple(
        Fault(number=n, kind="reset", at_s=1.0 + n, for_s=0.0, nodes=(1, 2)) for n in range(count)
    )
    return FaultPlan(seed=7, nodes=3, phase_s=60.0, faults=faults, fast=True)


def numbers(plan: FaultPlan) -> set[int]:
    return {fault.number for fault in plan.faults}


class Counted:
    """A planted failure that counts how often it is looked for."""

    def __init__(self, fails: Callable[[set[int]], bool]) -> None:
        self._fails = fails
        self.calls = 0

    def __call__(self, plan: FaultPlan) -> bool:
        self.calls += 1
        return self._fails(numbers(plan))


@pytest.mark.parametrize(
    "guilty", [set(), {0}, {19}, {3, 4}, {0, 19}, {2, 9, 11, 17}, set(range(20))], ids=str
)
def test_what_is_left_is_what_the_planted_failure_needs(guilty: set[int]) -> None:
    plan = plan_of(20)
    short = shorten(plan, Counted(lambda left: guilty <= left))
    assert numbers(short) == guilty
    assert list(short.faults) == [fault for fault in plan.faults if fault.number in guilty]
    assert msgspec.structs.replace(short, faults=plan.faults) == plan, "nothing else changes"


def test_one_of_two_ways_to_fail_is_enough() -> None:
    ways = {1, 2}, {5, 8}
    short = shorten(plan_of(10), Counted(lambda left: any(way <= left for way in ways)))
    assert numbers(short) in ways


def test_a_plan_without_faults_stays_as_it_is() -> None:
    fails = Counted(lambda _left: True)
    assert shorten(plan_of(0), fails) == plan_of(0)
    assert fails.calls == 0


@given(st.integers(1, MOST_FAULTS), st.integers(0, 2**MOST_FAULTS - 1), st.randoms())
def test_whatever_fails_it_ends_fails_still_and_needs_each_fault(
    count: int, guilty: int, dice: Random
) -> None:
    """Also where more faults do not fail more often: each plan has an answer of its own."""
    everything = numbers(plan_of(count))
    answers: dict[frozenset[int], bool] = {frozenset(everything): True}

    def fails(left: set[int]) -> bool:
        of_them = all(not guilty >> n & 1 for n in everything - left)
        return answers.setdefault(frozenset(left), of_them and dice.random() < 0.7)

    counted = Counted(fails)
    short = shorten(plan_of(count), counted)
    left = numbers(short)
    assert fails(left)
    assert not any(fails(left - {number}) for number in left)
    assert counted.calls <= 2 * count**2 + 4 * count


def test_a_failure_of_the_rules_is_made_short_and_fails_again() -> None:
    """Of 47 faults the one matters that the defect is about."""
    plan = FaultPlan.draw(0, 3)

    def fails(shorter: FaultPlan) -> bool:
        try:
            run(shorter)
        except Violation as violation:
            return violation.invariant == "I1"
        return False

    assert not fails(plan)
    with MUTANTS["removed keeps its link"].active():
        assert fails(plan)
        short = shorten(plan, fails)
        assert [fault.kind for fault in short.faults] == ["remove"]
        assert fails(plan.only([fault.number for fault in short.faults])), "as it is replayed"


def test_soak_tells_how_to_replay_the_short_plan() -> None:
    with MUTANTS["removed keeps its link"].active():
        told = report(0, 3)
    assert told is not None
    first, second, *rest = told.splitlines()
    assert first.startswith("seed 0 failed; replay: tagmesh simulate --seed 0 --nodes 3 --only ")
    assert first.endswith(" --traffic --trace")
    assert second.startswith("Violation I1: I1: node ")
    assert " remove " in rest[-1]
    assert report(0, 3) is None
