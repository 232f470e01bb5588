"""30 nodes: what one link change costs a full mesh, and one changed row (D-8)."""

from __future__ import annotations

import itertools

import msgspec

from tagmesh.protocol.events import Event
from tagmesh.protocol.link import State
from tagmesh.simulation import World

NODES = 30
LINKS = NODES * (NODES - 1) // 2
STATE_MESSAGES = ("LinkState", "Want")


def state_messages(world: World) -> int:
    return sum(count for (_, _, kind), count in world.sent.items() if kind in STATE_MESSAGES)


def test_one_link_change_costs_little_and_one_changed_row_disturbs_no_link() -> None:
    world = World(1, NODES)
    for node in world.ids:  # one after the other: cheaper than all at once
        world.boot(node)
        world.run_for(0.1)
    world.until(world.converged, within_s=30.0)
    world.run_for(1.0)
    before = state_messages(world)
    world.cut(1, 2)
    world.until(lambda: {world.link(1, 2), world.link(2, 1)} == {State.DOWN}, within_s=12.0)
    world.run_for(1.0)
    down = state_messages(world) - before
    assert 0 < down <= 3 * LINKS
    world.heal(1, 2)
    world.until(world.converged, within_s=70.0)
    world.run_for(1.0)
    up = state_messages(world) - before - down
    assert 0 < up <= 3 * LINKS
    others = itertools.combinations(world.ids[2:], 2)
    assert all(world.link(a, b) is State.UP for a, b in others)

    last = world.ids[-1]
    told = {node: len(world.events[node]) for node in world.ids}
    row = world.storage.records[last]
    world.storage.write(last, msgspec.structs.replace(row, priority=7, ping_retries=5))
    world.run_for(5.0)  # each node reads the rows every 2 s
    since = {node: world.events[node][told[node] :] for node in world.ids}
    kinds = {record.kind for records in since.values() for record in records}
    assert kinds == {Event.ROSTER_CHANGED}
    assert all({r.node_id for r in records} == {last} for records in since.values())
