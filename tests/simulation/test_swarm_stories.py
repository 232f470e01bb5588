"""Histories that once failed, found by seeds of the swarm and made as short as they can be."""

from __future__ import annotations

from tagmesh.protocol.events import Event
from tagmesh.simulation import World

CONVERGE_S = 30.0


def edges(world: World, observer: int) -> list[tuple[Event, int | None]]:
    return [
        (record.kind, record.node_id)
        for record in world.events[world.ids[observer - 1]]
        if record.kind in (Event.NODE_UP, Event.NODE_DOWN)
    ]


def test_a_node_without_a_row_hears_that_the_others_are_gone() -> None:
    """Seed 21 (4 nodes, a row removed and provisioned again): the removed node's applications
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
