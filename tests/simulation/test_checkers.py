"""The checkers say nothing about what may be, and enough about what may not."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.link import State
from tagmesh.simulation.check import Violation
from tagmesh.simulation.checkers import Checkers
from tagmesh.simulation.checks_views import all_paths, distances
from tagmesh.simulation.trouble import Trouble
from tagmesh.simulation.world import World
from tests.simulation import histories, histories_members

SEEDS = range(20)


def plain(world: World) -> str:
    """Ten virtual seconds with a cut, a crash and a restart."""
    world.boot_all()
    world.run_for(1.0)
    world.cut(1, 2)
    world.crash(3)
    world.run_for(8.0)
    world.heal(1, 2)
    world.boot(3)
    world.run_for(1.0)
    return world.log_hash


def test_a_checked_history_is_the_same_as_an_unchecked_one() -> None:
    checked = World(7, 4)
    Checkers(checked)
    assert plain(checked) == plain(World(7, 4))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("history", [histories.swarm, histories_members.rows])
def test_trouble_is_no_violation(history: Callable[[int], World], seed: int) -> None:
    history(seed)


@pytest.mark.parametrize("seed", range(8))
def test_reading_goes_on_after_a_pause(seed: int) -> None:
    """H3. Found by `flood` with seeds 2 and 4.

    A stopped node had a thousand batches in its inbox when it went on, reading was paused, and the
    last mail handled was an answer of its own. Only a batch of the peer resumed reading, and none
    could come any more: the link went down for silence, on both sides.
    """
    histories_members.flood(seed)


def test_a_violation_tells_invariant_seed_and_history() -> None:
    world, _checkers = histories.begin(5, nodes=3)
    world.processes[NodeId(1)].system.context.supervisor.crashes = 1
    with pytest.raises(Violation, match=r"I11: 1 actors of node 1 crashed \(seed 5") as caught:
        world.run_for(5.0)
    assert caught.value.invariant == "I11"
    assert caught.value.at_s == world.now
    assert "link_changed" in str(caught.value)


def test_a_link_that_goes_down_without_trouble_is_a_violation() -> None:
    """I13; the same with trouble is none."""
    world, _checkers = histories.begin(1, nodes=3)
    world.run_for(30.0)
    for process in world.processes.values():
        for end in process.transport.endpoints():
            end.abort("for no reason")
    with pytest.raises(Violation, match="left Up"):
        world.run_for(1.0)


def test_a_dead_path_that_stays_up_is_a_violation() -> None:
    """I13: here the cut is one that the network does not make."""
    world, checkers = histories.begin(1, nodes=3)
    world.cut(1, 2)
    world.path.heal_all()
    assert checkers.trouble.dead_since(1, 2) == world.now
    with pytest.raises(Violation, match="nothing gets through"):
        world.run_for(30.0)


def test_healing_that_does_not_come_is_a_violation() -> None:
    world, checkers = histories.begin(1, nodes=3)
    world.slow(1, 2, 5.0)
    world.run_for(20.0)
    with pytest.raises(Violation, match="I2: the nodes do not agree 10 s after"):
        checkers.after_healing()


# Trouble ------------------------------------------------------------------------------------------


def test_trouble_of_a_path_lasts_until_it_is_healed() -> None:
    world = World(1, 3)
    trouble = Trouble(world)
    world.boot_all()
    world.run_for(1.0)
    assert trouble.until(1, 2) == 0.0  # both were booted then
    world.cut(2, 1)
    world.run_for(2.0)
    assert trouble.until(1, 2) == world.now == 3.0
    assert trouble.dead_since(1, 2) == 1.0
    assert trouble.path_until(1, 3) == -math.inf
    world.heal(1, 2)
    world.run_for(1.0)
    assert trouble.until(1, 2) == 3.0
    assert trouble.dead_since(1, 2) is None


def test_a_block_is_not_healed_with_the_paths() -> None:
    world = World(1, 3)
    trouble = Trouble(world)
    world.boot_all()
    world.block(1, 2)
    world.slow(1, 2, 0.5)
    assert trouble.sick()
    world.heal_all()
    assert trouble.dead_since(1, 2) == 0.0
    assert not trouble.sick()
    world.unblock(1, 2)
    assert trouble.dead_since(1, 2) is None


def test_a_measure_of_nothing_ends_a_fault() -> None:
    world = World(1, 3)
    trouble = Trouble(world)
    world.boot_all()
    world.lose(1, 2, 0.2)
    world.slow_reader(3)
    assert trouble.sick()
    world.lose(1, 2, 0.0)
    world.slow_reader(3, on=False)
    assert not trouble.sick()


def test_trouble_of_a_node_is_trouble_of_all_its_paths() -> None:
    world = World(1, 3)
    trouble = Trouble(world)
    world.boot_all()
    world.pause(2)
    world.run_for(4.0)
    assert trouble.paused(2)
    assert trouble.until(1, 2) == trouble.until(2, 3) == 4.0
    assert trouble.until(1, 3) == 0.0
    world.resume(2)
    world.run_for(1.0)
    assert trouble.resumed[2] == (4.0, 4.0)
    assert trouble.until(1, 2) == 4.0
    world.crash(2)
    assert trouble.since("crash", 2) == 5.0
    world.boot(2)
    assert trouble.since("crash", 2) is None
    assert trouble.booted[2] == 5.0


def test_a_clock_step_is_no_trouble() -> None:
    """P18: nobody may notice it."""
    world = World(1, 3)
    trouble = Trouble(world)
    world.boot_all()
    world.run_for(3.0)
    world.step_clock(1, 600.0)
    assert trouble.until(1, 2) == 0.0


# The references -----------------------------------------------------------------------------------


def test_distances_and_paths_of_a_ring() -> None:
    ids = [NodeId(n) for n in range(1, 6)]
    ring = {n: {ids[i - 1], ids[(i + 1) % 5]} for i, n in enumerate(ids)}
    assert distances(ids[0], ring) == {1: 0, 2: 1, 5: 1, 3: 2, 4: 2}
    assert all_paths(ids[0], ids[2], ring, 2) == [(2, 3)]
    assert all_paths(ids[0], ids[2], ring, 3) == [(5, 4, 3)]


def test_a_watched_link_has_more_time() -> None:
    """L-4: a link that flapped is in Probe for longer than the 10 s others get (P3)."""
    world, checkers = histories.begin(2, nodes=3, ping_interval="1s", ping_timeout="250ms")
    for _ in range(9):
        world.until(lambda: world.link(1, 2) is State.UP is world.link(2, 1), within_s=20.0)
        world.cut(1, 2)
        world.until(lambda: world.link(1, 2) is State.DOWN is world.link(2, 1), within_s=10.0)
        world.heal(1, 2)
    assert checkers.after_healing() > 10.0
