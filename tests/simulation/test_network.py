"""Paths between the nodes of a world: what each fault does to what is sent, and healing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tagmesh.protocol.link import State
from tagmesh.simulation import World
from tagmesh.simulation.network import MAX_DELAY_S, MIN_DELAY_S
from tagmesh.transport.loopback_connection import RESEND_CAP_S, RESEND_FIRST_S
from tests.simulation.taps import CONVERGE_S, Tap, agreed, end_of, say

DETECT_S = 8.0
"""P + (R + 1)·T with the settings a world has."""


def test_a_cut_loses_both_directions_and_tells_nobody() -> None:
    world = agreed()
    there, back, others = Tap(world, 2, 1), Tap(world, 1, 2), Tap(world, 3, 1)
    world.cut(1, 2)
    say(world, 1, 2, 1)
    say(world, 2, 1, 2)
    say(world, 1, 3, 3)
    world.run_for(3.0)
    assert (there.marks, back.marks, others.marks) == ([], [], [3])
    assert world.link(1, 2) is State.UP, "nobody was told"
    world.run_for(2 * DETECT_S)
    assert world.link(1, 2) is world.link(2, 1) is State.DOWN
    assert world.route(1, 2) == (3, 2)
    assert world.converged()
    world.heal(1, 2)
    assert not world.converged()
    world.until(world.converged, within_s=CONVERGE_S)
    assert world.route(1, 2) == (2,)


def test_after_a_short_cut_everything_is_sent_again() -> None:
    world = agreed()
    there = Tap(world, 2, 1)
    world.cut(1, 2)
    say(world, 1, 2, 1, 2, 3)
    world.run_for(1.0)
    assert there.marks == []
    world.heal(1, 2)
    world.run_for(RESEND_CAP_S + MAX_DELAY_S)
    assert there.marks == [1, 2, 3]


def test_a_one_way_cut_is_one_way() -> None:
    world = agreed()
    there, back = Tap(world, 2, 1), Tap(world, 1, 2)
    world.cut_one_way(1, 2)
    say(world, 1, 2, 1)
    say(world, 2, 1, 2)
    world.run_for(3.0)
    assert (there.marks, back.marks) == ([], [2])
    world.until(lambda: world.link(1, 2) is world.link(2, 1) is State.DOWN, within_s=2 * DETECT_S)


@pytest.mark.parametrize("jitter_s", [0.0, 0.2])
def test_slow_delays_both_directions(jitter_s: float) -> None:
    world = agreed()
    there, back = Tap(world, 2, 1), Tap(world, 1, 2)
    begin = world.now
    world.slow(1, 2, 0.3, jitter_s)
    say(world, 1, 2, 1)
    say(world, 2, 1, 2)
    world.run_for(1.0)
    for tap in (there, back):
        (at_s,) = tap.times_s
        assert 0.3 + MIN_DELAY_S <= at_s - begin <= 0.3 + jitter_s + MAX_DELAY_S
    world.slow(1, 2, 0.0)
    say(world, 1, 2, 3)
    world.run_for(MAX_DELAY_S)
    assert there.marks == [1, 3]


def test_what_is_lost_is_sent_again_later_and_in_order() -> None:
    world = agreed()
    there = Tap(world, 2, 1)
    world.lose(1, 2, 0.5)
    late = 0
    for mark in range(20):
        begin = world.now
        say(world, 1, 2, mark)
        world.run_for(2 * RESEND_FIRST_S)
        late += there.marks[-1:] != [mark] or there.times_s[-1] - begin > RESEND_FIRST_S
    assert 3 <= late <= 17
    world.lose(1, 2, 0.0)
    world.run_for(RESEND_CAP_S + MAX_DELAY_S)
    assert there.marks == list(range(20))


def test_a_clog_holds_everything_and_loses_nothing() -> None:
    world = agreed()
    there, back = Tap(world, 2, 1), Tap(world, 1, 2)
    before = end_of(world, 1, 2)
    world.clog(1, 2)
    say(world, 1, 2, 1, 2)
    say(world, 2, 1, 3)
    world.run_for(3.0)
    assert (there.marks, back.marks) == ([], [])
    world.unclog(1, 2)
    world.run_for(MAX_DELAY_S)
    assert (there.marks, back.marks) == ([1, 2], [3]), "at once, not with the next attempt of TCP"
    world.run_for(DETECT_S)
    assert end_of(world, 1, 2) is before
    assert world.link(1, 2) is State.UP


def test_a_path_can_be_clogged_one_way() -> None:
    world = agreed()
    there, back = Tap(world, 2, 1), Tap(world, 1, 2)
    world.clog(1, 2, one_way=True)
    say(world, 1, 2, 1)
    say(world, 2, 1, 2)
    world.run_for(1.0)
    assert (there.marks, back.marks) == ([], [2])
    world.unclog(1, 2, one_way=True)
    world.run_for(MAX_DELAY_S)
    assert there.marks == [1]


@pytest.mark.parametrize(
    "fault",
    [
        lambda world: world.cut(1, 2),
        lambda world: world.cut_one_way(2, 1),
        lambda world: world.slow(1, 2, 30.0),
        lambda world: world.lose(1, 2, 1.0),
        lambda world: world.clog(1, 2),
    ],
    ids=["cut", "cut one way", "slow", "lose", "clog"],
)
@pytest.mark.parametrize("heal", [lambda w: w.heal(1, 2), lambda w: w.heal_all()], ids=["1", "all"])
def test_healing_ends_every_fault_of_a_path(
    fault: Callable[[World], None], heal: Callable[[World], None]
) -> None:
    world = agreed()
    fault(world)
    heal(world)
    there = Tap(world, 2, 1)
    say(world, 1, 2, 1)
    world.run_for(MAX_DELAY_S)
    assert there.marks == [1]


def test_healing_one_path_leaves_the_others_alone() -> None:
    world = agreed()
    world.cut(1, 2)
    world.cut(1, 3)
    world.heal(2, 1)
    world.run_for(2 * DETECT_S)
    assert world.link(1, 2) is State.UP
    assert world.link(1, 3) is State.DOWN
    assert world.converged()


def test_healing_paths_does_not_heal_nodes() -> None:
    world = agreed()
    world.block(1, 2)
    world.pause(3)
    world.heal_all()
    world.run_for(2 * DETECT_S)
    assert world.link(1, 2) is State.DOWN
    assert world.link(1, 3) is State.DOWN
