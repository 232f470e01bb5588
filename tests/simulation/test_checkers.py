"""The checkers say nothing about what may be, and enough about what may not.

What each of them puts up with, and what it does not, is in the tests of its module.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.link import State
from tagmesh.simulation.check import Violation
from tagmesh.simulation.checkers import Checkers
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


def test_healing_that_does_not_come_is_a_violation() -> None:
    world, checkers = histories.begin(1, nodes=3)
    world.slow(1, 2, 5.0)
    world.run_for(20.0)
    with pytest.raises(Violation, match="I2: the nodes do not agree 10 s after"):
        checkers.after_healing()


def test_a_watched_link_has_more_time() -> None:
    """L-4: a link that flapped is in Probe for longer than the 10 s others get (P3)."""
    world, checkers = histories.begin(2, nodes=3, ping_interval="1s", ping_timeout="250ms")
    for _ in range(9):
        world.until(lambda: world.link(1, 2) is State.UP is world.link(2, 1), within_s=20.0)
        world.cut(1, 2)
        world.until(lambda: world.link(1, 2) is State.DOWN is world.link(2, 1), within_s=10.0)
        world.heal(1, 2)
    assert checkers.after_healing() > 10.0
