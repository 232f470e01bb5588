"""Histories that once failed, found by seeds of the swarm and made as short as they can be.

In these the rules or the simulator were wrong. Those in which a checker expected too much are with
its tests; docs/topics/simulation.md lists all.
"""

from __future__ import annotations

from tagmesh.actors.gate import GateActor
from tagmesh.protocol.events import Event
from tagmesh.protocol.link import State
from tagmesh.simulation import Checkers, Fault, FaultPlan, World, run
from tests.simulation.histories import DETECT_S, begin

CONVERGE_S = 30.0


def edges(world: World, observer: int) -> list[tuple[Event, int | None]]:
    return [
        (record.kind, record.node_id)
        for record in world.events[world.ids[observer - 1]]
        if record.kind in (Event.NODE_UP, Event.NODE_DOWN)
    ]


def test_a_node_without_a_row_hears_that_the_others_are_gone() -> None:
    """Seeds 21 and 1388 (a row removed and provisioned again): the removed node's applications
    heard NODE_UP a second time without NODE_DOWN in between (N-1), because its node actor was
    stopped without a word.
    """
    world = World(21, nodes=3)
    world.boot_all()
    world.until(world.converged, within_s=CONVERGE_S)
    world.remove(3)
    world.run_for(6.0)
    assert sorted(edges(world, 3)[2:]) == [(Event.NODE_DOWN, 1), (Event.NODE_DOWN, 2)]
    world.provision(3)
    world.until(world.converged, within_s=CONVERGE_S)
    assert sorted(edges(world, 3)[4:]) == [(Event.NODE_UP, 1), (Event.NODE_UP, 2)]


def test_a_database_that_hangs_lets_no_stranger_wait() -> None:
    """Seed 3 (6 nodes, hanging storage, a stranger): its connections stayed open, judged by
    nobody, as long as the database hung (I1, P10).
    """
    world = World(3, nodes=3)
    world.boot_all()
    world.until(world.converged, within_s=CONVERGE_S)
    world.storage.mode = "hanging"
    world.run_for(10.0)
    world.boot(4, provisioned=False)
    world.run_for(3.0)
    refusals = [r.cause for r in world.events[world.ids[0]] if r.kind is Event.JOIN_REFUSED]
    assert any("storage_unavailable (incoming, by us)" in cause for cause in refusals)
    world.storage.mode = "ok"
    world.run_for(5.0)
    assert world.converged()


def test_a_node_provisioned_again_is_above_what_it_said_before() -> None:
    """A seed of 7 nodes (one removed and provisioned again while another was paused): the paused
    one still held what the node had said before, under a higher sequence of the same epoch, and
    spread it. The node itself heard of it only with the next digest, so for up to 10 s the others
    took its old links for true (P3, T-9).
    """
    faults = (
        Fault(number=0, kind="stop", at_s=25.244264729137733, for_s=34.73547709496371, nodes=(6,)),
        Fault(number=1, kind="pause", at_s=25.48747933943206, for_s=50.11570367739901, nodes=(7,)),
        Fault(
            number=2, kind="remove", at_s=31.808485362729126, for_s=29.246013438162574, nodes=(5,)
        ),
    )
    run(FaultPlan(seed=1529, nodes=7, phase_s=74.25815578800339, faults=faults))


def test_who_asks_an_overdue_database_again_does_not_wait_again() -> None:
    """Seed 1279 (7 nodes, hanging storage, a stranger): each new connection of the stranger waited
    a second of its own, so one was nearly always open (I1).
    """
    world = World(1279, nodes=2)
    world.boot_all()
    world.until(world.converged, within_s=CONVERGE_S)
    world.storage.mode = "hanging"
    world.run_for(10.0)
    world.boot(3, provisioned=False)
    world.run_for(0.5)
    gate = world.processes[world.ids[0]].system.context.supervisor.actor(("gate",))
    assert isinstance(gate, GateActor)
    assert [status.node_id for status in gate.refusals.values()] == [3]


def silent_path() -> tuple[World, Checkers]:
    """2 has heard nothing of 1 for nearly as long as it needs to notice."""
    world, checkers = begin(1, nodes=3)
    world.reset(1, 2)
    world.run_for(CONVERGE_S)
    world.cut(1, 2)
    world.clog(1, 2)
    world.until(lambda: world.link(2, 1) is State.RETRYING, within_s=DETECT_S)
    world.run_for(2.8)
    return world, checkers


def test_a_clog_that_ends_lets_nothing_through_a_cut() -> None:
    """Seed 8 (6 nodes, a bridge and a swizzle-clog): what was sent while a path was both cut and
    clogged was held, and came when the clog ended, through the cut: both ends took it for a sign of
    life and were late to notice (I13).
    """
    world, _ = silent_path()
    world.unclog(1, 2)
    world.run_for(1.0)
    assert world.link(2, 1) is State.DOWN


def test_nothing_is_replayed_through_a_cut() -> None:
    """Seed 43 (6 nodes, a partition and a replay): old frames arrived although nothing came through
    and were a sign of life (I13).
    """
    world, _ = silent_path()
    assert world.replay(1, 2) == 0
    world.run_for(1.0)
    assert world.link(2, 1) is State.DOWN
