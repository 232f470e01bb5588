"""What was done to a world: who is in trouble, since when, until when, and what is none."""

from __future__ import annotations

import math

import pytest

from tagmesh.simulation.rows import Mode
from tagmesh.simulation.trouble import HARMLESS, READ_S, Trouble
from tagmesh.simulation.world import World


def troubled(nodes: int = 3) -> tuple[World, Trouble]:
    """A world that booted at 0 s; it is second 1 now."""
    world = World(1, nodes)
    trouble = Trouble(world)
    world.boot_all()
    world.run_for(1.0)
    return world, trouble


def test_trouble_of_a_path_lasts_until_it_is_healed() -> None:
    world, trouble = troubled()
    assert trouble.until(1, 2) == 0.0  # both were booted then
    world.cut(2, 1)
    world.run_for(2.0)
    assert trouble.until(1, 2) == world.now == 3.0
    assert trouble.path_until(1, 3) == -math.inf
    world.heal(1, 2)
    world.run_for(1.0)
    assert trouble.until(1, 2) == 3.0


def test_trouble_of_a_node_is_trouble_of_all_its_paths() -> None:
    world, trouble = troubled()
    world.pause(2)
    world.run_for(3.0)
    assert trouble.paused(2)
    assert trouble.until(1, 2) == trouble.until(2, 3) == 4.0
    assert trouble.until(1, 3) == 0.0
    world.resume(2)
    world.run_for(1.0)
    assert trouble.resumed[2] == (4.0, 3.0)
    assert trouble.until(1, 2) == 4.0
    world.crash(2)
    assert trouble.since("crash", 2) == 5.0
    assert dict(trouble.nodes_in("crash")) == {2: 5.0}
    world.boot(2)
    assert trouble.since("crash", 2) is None
    assert trouble.booted[2] == 5.0


def test_a_clock_step_is_no_trouble() -> None:
    """P18: nobody may notice it."""
    world, trouble = troubled()
    world.step_clock(1, 600.0)
    assert trouble.until(1, 2) == 0.0


def test_a_measure_of_nothing_ends_a_fault() -> None:
    world, trouble = troubled()
    world.lose(1, 2, 0.2)
    world.slow_reader(3)
    assert trouble.sick()
    assert trouble.until(3) == 1.0
    world.run_for(1.0)
    world.lose(1, 2, 0.0)
    world.slow_reader(3, on=False)
    world.run_for(1.0)
    assert not trouble.sick()
    assert trouble.until(1, 2) == trouble.until(3) == 2.0


def test_to_end_what_does_not_go_on_is_no_trouble() -> None:
    """Else healing everybody would be an excuse for everybody."""
    world, trouble = troubled()
    world.slow_reader(3, on=False)
    world.slow(1, 2, 0.0)
    assert trouble.until(1, 2) == trouble.until(3) == 0.0


def test_a_path_that_is_a_little_slow_is_no_trouble() -> None:
    """P2: no link may suffer from it. What is slower than that is trouble, until it is quicker."""
    world, trouble = troubled()
    world.slow(1, 2, HARMLESS["slow"] / 2, HARMLESS["slow"] / 2)
    assert trouble.until(1, 2) == 0.0
    assert not trouble.sick()
    world.slow(1, 2, HARMLESS["slow"], 0.01)
    assert trouble.until(1, 2) == 1.0
    assert trouble.sick()
    world.run_for(1.0)
    world.slow(1, 2, HARMLESS["slow"])
    world.run_for(1.0)
    assert trouble.until(1, 2) == 2.0


def test_how_late_anything_may_be() -> None:
    """What was on its way when a path was cut still arrives."""
    world, trouble = troubled()
    world.slow(1, 2, 0.5, 0.25)
    world.slow(2, 1, 0.2)
    assert trouble.late_s(1, 2) == trouble.late_s(2, 1) == 0.75
    assert trouble.late_s(1, 3) == 0.0


# Silence ------------------------------------------------------------------------------------------


def test_each_direction_falls_silent_by_itself() -> None:
    world, trouble = troubled()
    world.cut_one_way(1, 2)
    world.run_for(1.0)
    world.clog(2, 1, one_way=True)
    assert trouble.silent == {(1, 2): 1.0, (2, 1): 2.0}
    world.clog(1, 2)  # besides: that changes nothing
    world.unclog(1, 2)
    assert trouble.silent == {(1, 2): 1.0}
    world.heal(1, 2)
    assert trouble.silent == {}


def test_healing_all_paths_ends_every_silence_but_that_of_a_block() -> None:
    world, trouble = troubled()
    world.block(1, 2)
    world.cut(2, 3)
    world.slow(1, 2, 0.5)
    assert trouble.sick()
    world.heal_all()
    assert not trouble.sick()
    assert trouble.silent == {(1, 2): 1.0, (2, 1): 1.0}
    world.unblock(1, 2)
    assert trouble.silent == {}


def test_a_block_ends_with_its_process() -> None:
    """The switch is in there. Else a path would count as dead for ever."""
    world, trouble = troubled()
    world.block(1, 2)
    world.crash(1)
    world.run_for(1.0)
    assert trouble.silent == {}
    assert trouble.path_until(1, 2) == 1.0


def test_the_way_back_is_whole_while_nothing_else_happens_to_the_path() -> None:
    world, trouble = troubled()
    world.cut_one_way(1, 2)
    assert trouble.only_silent(1, 2)
    world.run_for(1.0)
    world.reset(1, 2)
    assert not trouble.only_silent(1, 2)


@pytest.mark.parametrize("other", ["slow", "lose", "cut"])
def test_a_way_back_that_ails_is_not_whole(other: str) -> None:
    world, trouble = troubled()
    if other == "slow":
        world.slow(1, 2, 0.5)
    elif other == "lose":
        world.lose(1, 2, 0.5)
    world.run_for(1.0)
    world.cut_one_way(1, 2)
    if other == "cut":
        world.cut(1, 2)
    assert not trouble.only_silent(1, 2)


# Rows ---------------------------------------------------------------------------------------------


def test_a_row_is_edited_when_it_is_written() -> None:
    world, trouble = troubled()
    assert trouble.edited_until(by=(1,)) == trouble.edited_until(3, by=(1,)) == -math.inf
    world.disable(3)
    world.run_for(1.0)
    world.enable(3)
    world.run_for(1.0)
    world.remove(2)
    world.storage.lose_last_write()
    assert trouble.edited_until(3, by=(1,)) == 2.0
    assert trouble.edited_until(2, by=(1,)) == trouble.edited_until(1, 2, by=(1,)) == 3.0
    assert trouble.edited_until(by=(1,)) == 3.0
    assert trouble.edited_until(1, by=(1,)) == -math.inf


def look_for(world: World, trouble: Trouble, seconds: int) -> None:
    for _ in range(seconds):
        world.run_for(1.0)
        trouble.look()


@pytest.mark.parametrize("mode", ["failing", "hanging", "stale"])
def test_what_nobody_could_read_stays_edited(mode: Mode) -> None:
    """Also what was written just before; what was known by then is over."""
    world, trouble = troubled()
    world.disable(1)
    world.run_for(READ_S)
    world.disable(2)
    world.storage.mode = mode
    look_for(world, trouble, 20)
    world.disable(3)
    look_for(world, trouble, 1)
    assert trouble.edited_until(1, by=(1,)) == 1.0
    assert trouble.edited_until(2, by=(1,)) == trouble.edited_until(3, by=(1,)) == world.now
    world.storage.mode = "ok"
    look_for(world, trouble, 1)
    assert trouble.edited_until(2, by=(1,)) == trouble.edited_until(3, by=(1,)) == world.now - 1.0


@pytest.mark.parametrize("how", ["pause", "crash"])
def test_what_one_could_not_read_stays_edited_for_that_one(how: str) -> None:
    """Until it can; the others have known it for long."""
    world, trouble = troubled()
    edited = world.now
    (world.pause if how == "pause" else world.crash)(1)
    world.disable(3)
    look_for(world, trouble, 20)
    assert trouble.edited_until(3, by=(2,)) == edited
    assert trouble.edited_until(3, by=(1,)) == trouble.edited_until(3, by=(1, 2)) == world.now
    world.storage.mode = "hanging"
    if how == "pause":
        world.resume(1)
    look_for(world, trouble, 20)
    assert trouble.edited_until(3, by=(2,)) == edited
    assert trouble.edited_until(3, by=(1,)) == world.now
    world.storage.mode = "ok"
    if how == "crash":
        world.boot(1)
    begun = world.now
    look_for(world, trouble, 20)
    assert trouble.edited_until(3, by=(1,)) == begun


def test_what_was_edited_while_nobody_ran_stays_edited_until_somebody_does() -> None:
    """Seeds 8160 and 9125: all were stopped or gone, so nothing was looked at for long."""
    world, trouble = troubled()
    world.pause(1)
    world.disable(3)
    for node in (2, 3):
        world.crash(node)
    world.run_for(10 * READ_S)
    world.resume(1)
    trouble.look()
    assert trouble.edited_until(3, by=(1,)) == world.now
