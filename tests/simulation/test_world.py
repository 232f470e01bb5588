"""`World`: what happens to its connections, how time passes, and what a world tells."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest

from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.link import State
from tagmesh.protocol.messages import LinkState
from tagmesh.simulation import Runaway, World, inside
from tagmesh.simulation.network import MAX_DELAY_S
from tests.simulation.taps import CONVERGE_S, Tap, agreed, end_of, say

DETECT_S = 8.0
"""P + (R + 1)·T with the settings a world has."""
ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)


def link_causes(world: World, node: NodeId, peer: NodeId) -> list[str]:
    """Why the link with ``peer`` changed, as the applications of ``node`` heard it."""
    changes = [r for r in world.events[node] if r.kind is Event.LINK_CHANGED]
    return [record.cause for record in changes if record.node_id == peer]


# Connections --------------------------------------------------------------------------------------


def test_a_reset_loses_what_was_not_sent_and_both_sides_hear_of_it() -> None:
    world = agreed()
    there = Tap(world, 2, 1)
    before = end_of(world, 1, 2)
    world.clog(1, 2)
    say(world, 1, 2, 1)
    world.reset(1, 2)
    world.unclog(1, 2)
    world.run_for(5.0)
    assert there.marks == []
    assert end_of(world, 1, 2) is not before
    for node, peer in ((ONE, TWO), (TWO, ONE)):
        assert "connection lost: Connection reset by peer" in link_causes(world, node, peer)
    assert "reset" not in " ".join(link_causes(world, ONE, THREE))


def test_two_that_dial_each_other_end_with_one_connection() -> None:
    world = agreed()
    world.reset(1, 2)
    before = world.sent[1, 2, "Hello"] + world.sent[2, 1, "Hello"]
    world.dial(1, 2)
    world.run_for(2.0)
    hellos = world.sent[1, 2, "Hello"] + world.sent[2, 1, "Hello"] - before
    assert hellos == 4, "both dialled: two connections were greeted on"
    assert end_of(world, 1, 2).dialled != end_of(world, 2, 1).dialled
    assert world.converged()


def test_dialling_who_is_connected_or_away_does_nothing() -> None:
    world = agreed()
    before = end_of(world, 1, 2)
    world.dial(1, 2)
    world.crash(3)
    world.dial(1, 3)
    world.run_for(1.0)
    assert end_of(world, 1, 2) is before


def test_what_was_said_on_a_connection_that_is_over_arrives_once_more() -> None:
    world = agreed()
    assert world.replay(1, 2) == 0, "the first connection is not over"
    world.reset(1, 2)
    world.run_for(1.0)
    there = Tap(world, 2, 1)
    count = world.replay(1, 2)
    assert count == len(there.all) > 0
    assert any(isinstance(message, LinkState) for message in there.all)
    assert not [m for m in there.all if type(m).__name__ in ("Hello", "Welcome", "Ping", "Pong")]
    world.run_for(1.0)
    assert world.converged()


@pytest.mark.parametrize("unreachable", ["cut", "crash"])
def test_nothing_is_replayed_to_whom_nothing_reaches(unreachable: str) -> None:
    world = agreed()
    world.reset(1, 2)
    world.run_for(1.0)
    if unreachable == "cut":
        world.cut_one_way(1, 2)
    else:
        world.crash(2)
    assert world.replay(1, 2) == 0


def test_a_block_ends_connections_and_refuses_new_ones_in_both_directions() -> None:
    world = agreed()
    world.block(1, 2)
    world.run_for(2 * DETECT_S)
    assert world.link(1, 2) is world.link(2, 1) is State.DOWN
    assert world.route(2, 1) == (3, 1)
    assert world.converged(), "a blocked path is none"
    world.unblock(1, 2)
    world.until(world.converged, within_s=CONVERGE_S)
    assert world.link(1, 2) is State.UP


def test_a_slow_reader_lets_its_peers_wait_and_loses_nothing() -> None:
    world = agreed()
    there, others = Tap(world, 2, 1), Tap(world, 3, 1)
    world.slow_reader(2)
    say(world, 1, 2, *range(5))
    say(world, 1, 3, 7)
    world.run_for(3.0)
    assert (there.marks, others.marks) == ([], [7])
    world.slow_reader(2, on=False)
    world.run_for(MAX_DELAY_S)
    assert there.marks == list(range(5))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda w: w.cut(1, 1), "no path from node 1 to itself"),
        (lambda w: w.cut(1, 9), "nodes 1 … 3, not 9"),
        (lambda w: w.slow(1, 2, -1.0), "is negative"),
        (lambda w: w.lose(1, 2, 1.5), "not in 0 … 1"),
        (lambda w: w.slow_reader(3), "node 3 does not run"),
        (lambda w: w.block(3, 1), "node 3 does not run"),
        (lambda w: w.link(1, 3), "no link with node 3"),
        (lambda w: w.route(3, 1), "node 3 does not run"),
    ],
)
def test_faults_that_cannot_be_are_misuse(call: Callable[[World], object], text: str) -> None:
    world = World(1, 3)
    world.boot(1)
    world.boot(2)
    with pytest.raises(Misuse, match=text):
        call(world)


# Time ---------------------------------------------------------------------------------------------


def test_run_for_lets_exactly_so_much_time_pass() -> None:
    world = World(1, 2)
    world.run_for(1.5)
    assert (world.now, world.scheduler.steps) == (1.5, 0)
    world.boot_all()
    world.run_for(0.25)
    assert world.now == 1.75
    assert world.scheduler.steps > 0


def test_until_says_how_long_it_took() -> None:
    world = World(1, 2)
    world.boot_all()
    took_s = world.until(lambda: world.now >= 3.0, within_s=10.0)
    assert took_s == world.now == pytest.approx(3.0, abs=0.051)
    assert world.until(lambda: True, within_s=0.0) == 0.0


def test_what_does_not_happen_in_time_is_an_error_with_seed_and_history() -> None:
    world = World(77, 2)
    world.boot_all()
    with pytest.raises(TimeoutError, match="seed 77: not so within 2 s") as caught:
        world.until(lambda: False, within_s=2.0)
    assert world.now == 2.0
    assert "boot 1" in str(caught.value)


def test_a_history_without_end_is_a_runaway() -> None:
    world = World(5, 3)
    world.max_steps = 100
    world.boot_all()
    with pytest.raises(Runaway, match="seed 5: more than 100 steps"):
        world.run_for(60.0)
    assert world.scheduler.steps == 101


def test_a_hook_sees_every_step_and_may_end_the_run() -> None:
    world = World(1, 2)
    seen: list[int] = []
    world.on_step.append(lambda w: seen.append(w.scheduler.steps))
    world.boot_all()
    world.run_for(1.0)
    assert seen == list(range(1, world.scheduler.steps + 1))

    def fail(_world: World) -> None:
        raise ZeroDivisionError

    world.on_step.append(fail)
    with pytest.raises(ZeroDivisionError):
        world.run_for(60.0)
    assert gc.isenabled(), "the garbage collector works again whatever happened"


# What a world tells -------------------------------------------------------------------------------


def story(seed: int) -> World:
    world = World(seed, 3)
    world.boot_all()
    world.run_for(2.0)
    world.cut(1, 2)
    world.remark("half time")
    world.run_for(10.0)
    return world


def test_events_are_what_the_applications_of_a_node_heard() -> None:
    world = story(3)
    ups = [r.node_id for r in world.events[ONE] if r.kind is Event.NODE_UP]
    assert sorted(n for n in ups if n is not None) == [2, 3]
    downs = [r for r in world.events[TWO] if r.kind is Event.LINK_CHANGED and r.after == "Down"]
    assert [record.node_id for record in downs] == [1]
    assert world.sent[1, 2, "Hello"] >= 1
    assert world.sent[1, 2, "Ping"] > world.sent[1, 1, "Ping"] == 0


def test_the_log_has_a_line_per_entry_and_the_table_a_column_per_node() -> None:
    world = story(3)
    assert world.log[0] == "0.000000  -  boot 1"
    assert "2.000000  -  cut 1 2" in world.log
    assert "2.000000  -  half time" in world.log
    assert any("  2  link_changed" in line for line in world.log)
    head, *lines = world.table().splitlines()
    assert head.split() == ["time", "node", "1", "node", "2", "node", "3"]
    assert "     2.0000  -- cut 1 2" in lines
    at = head.index("node 2")
    assert any(line[at:].startswith("link_changed") for line in lines)
    assert len(world.table(last=1).splitlines()) < len(world.table(last=20).splitlines())


def test_the_log_hash_is_that_of_the_seed() -> None:
    assert story(3).log_hash == story(3).log_hash
    assert story(3).log_hash != story(4).log_hash
    longer = story(3)
    longer.run_for(5.0)
    assert longer.log_hash != story(3).log_hash, "messages that nobody heard of count too"


def test_nothing_stays_of_a_world_that_is_over() -> None:
    """2,000 of them took 4 GB: pykka's registry held every actor of every world."""
    world = agreed()
    cast = inside.Seen().cast(world.processes[NodeId(1)])
    actors = [weakref.ref(link) for link in cast.links.values()]
    del cast
    del world
    gc.collect()
    assert len(actors) == 2
    assert [actor() for actor in actors] == [None, None]


def test_nobody_agrees_while_somebody_starts() -> None:
    world = World(1, 2)
    assert world.converged(), "nobody runs"
    world.boot_all()
    assert not world.converged()
    assert world.route(1, 2) == ()
    assert world.until(world.converged, within_s=CONVERGE_S) > 0


def test_processes_without_a_common_version_have_no_path() -> None:
    world = agreed()
    world.install(3, (2, 3))
    world.crash(3)
    world.boot(3)
    world.until(world.converged, within_s=CONVERGE_S)
    assert world.link(1, 3) is State.DOWN
    assert world.route(1, 3) == ()
