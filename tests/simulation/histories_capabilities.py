"""Histories in which mutants of capabilities die."""

from __future__ import annotations

from tagmesh.simulation import faults
from tagmesh.simulation.checkers import Checkers
from tagmesh.simulation.faults import FaultPlan
from tagmesh.simulation.records import RECORDS
from tagmesh.simulation.traffic import Traffic
from tagmesh.simulation.world import World
from tests.simulation.histories import SETTLE_S

NODES = 4


def busy(seed: int) -> World:
    """The swarm with capabilities, in a small cluster."""
    return faults.busy(FaultPlan.draw(seed, NODES))


def unanswered(seed: int) -> World:
    """The only donor does not hear the request, and is back before anybody notices."""
    world = World(seed, 2)
    traffic = Traffic(world)
    checkers = Checkers(world)
    checkers.add(traffic.checks(checkers.trouble))
    world.boot_all()
    checkers.settle(SETTLE_S)
    world.run_for(SETTLE_S)
    world.cut(1, 2)
    world.capability(2, RECORDS).port.request_sync()
    world.run_for(world.random.uniform(2.5, 3.5))
    world.heal(1, 2)
    checkers.after_healing()
    traffic.settle()
    return world
