"""B6: the donor, the joiner and the link die at every chunk boundary of a sync of 2,000 records.

Whatever dies, the joiner ends with exactly what the donor had, verified, and no record is applied
twice with effect.
"""

from __future__ import annotations

from functools import cache

import pytest

from tagmesh.capabilities.replicated_map import ReplicatedMap
from tagmesh.protocol.messages import CapState
from tagmesh.simulation import World

NAME = "records"
RECORDS = 2_000
VALUE = "v" * 180
JOINER = 3
OTHERS = (1, 2)


class Records(ReplicatedMap):
    """The donors have it from the start: what they load from their disks."""

    def __init__(self, node: int) -> None:
        super().__init__(NAME, run=lambda function: function())
        self.node = node


def prepared() -> World:
    """Nodes 1 and 2 are OK with all records; node 3 is about to start."""
    world = World(7, 3, settings={"ping_interval": "1s", "ping_timeout": "250ms"})
    world.provide(Records)
    world.remove(JOINER)  # nobody keeps for it what it misses
    for node in OTHERS:
        world.boot(node)
    world.until(lambda: all(world.state(n, NAME) is CapState.OK for n in OTHERS), within_s=60)
    for n in range(RECORDS):
        records(world, 1).put(n, f"{n} {VALUE}")
        if n % 200 == 0:
            world.run_for(0.01)
    world.run_for(1)
    assert len(records(world, 2)) == RECORDS
    world.provision(JOINER)
    world.run_for(5)
    return world


def records(world: World, node: int) -> ReplicatedMap:
    capability = world.capability(node, NAME)
    assert isinstance(capability, ReplicatedMap)
    return capability


def chunks(world: World) -> int:
    """Given to a connection with the joiner so far."""
    return sum(world.sent[donor, JOINER, "SyncChunk"] for donor in OTHERS)


def donor_of(world: World) -> int:
    return max(OTHERS, key=lambda node: world.sent[node, JOINER, "SyncChunk"])


@cache
def boundaries() -> int:
    """How many chunks an undisturbed sync has."""
    world = prepared()
    world.boot(JOINER)
    world.until(lambda: world.state(JOINER, NAME) is CapState.OK, within_s=60)
    return chunks(world)


def test_there_are_boundaries_to_die_at() -> None:
    assert boundaries() >= 10


@pytest.mark.parametrize("victim", ["donor", "joiner", "link", "cut for 2 s"])
def test_a_death_at_each_chunk_boundary_loses_nothing(victim: str) -> None:
    for boundary in range(1, boundaries() + 1):
        world = prepared()
        expected = records(world, 1).sections(())
        world.boot(JOINER)
        world.until(lambda: chunks(world) >= boundary, within_s=30)  # noqa: B023 - used at once
        strike(world, victim)
        world.until(lambda: world.state(JOINER, NAME) is CapState.OK, within_s=60)  # noqa: B023
        world.run_for(1)
        assert records(world, JOINER).sections(()) == expected, f"{victim} at chunk {boundary}"


def strike(world: World, victim: str) -> None:
    donor = donor_of(world)
    match victim:
        case "donor":
            world.crash(donor)
        case "joiner":
            world.crash(JOINER)
            world.boot(JOINER)
        case "link":
            world.reset(donor, JOINER)
        case _:
            world.cut(donor, JOINER)
            world.run_for(2)
            world.heal(donor, JOINER)
