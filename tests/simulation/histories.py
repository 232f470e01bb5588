"""Histories in which mutants die: each kind makes another trouble, a seed draws the details.

A history raises `Violation` as soon as something is not as it must be: the checkers do, and
`unless` where the history itself knows what had to come. Here those of links, time, lives and ways.
"""

from __future__ import annotations

import itertools

import msgspec

from tagmesh.actors.mail import TraceRoute
from tagmesh.protocol.link import State
from tagmesh.simulation.check import Violation
from tagmesh.simulation.checkers import Checkers
from tagmesh.simulation.rows import record_of
from tagmesh.simulation.world import CLUSTER, World

SETTLE_S = 30.0
DETECT_S = 8.0
"""P + (R + 1)·T with the settings a world has."""


def begin(seed: int, nodes: int = 4, **settings: object) -> tuple[World, Checkers]:
    """A checked world whose nodes have found each other."""
    world = World(seed, nodes, settings=settings)
    checkers = Checkers(world)
    world.boot_all()
    checkers.settle(SETTLE_S)
    return world, checkers


def pick(world: World) -> tuple[int, int]:
    """Two nodes that run."""
    a, b = world.random.sample(sorted(world.processes), 2)
    return a, b


def unless(held: bool, rule: str, text: str, world: World) -> None:
    """What a history itself knows: `Violation` of ``rule`` unless it held."""
    if not held:
        raise Violation(rule, text, world)


# Trouble of every kind ----------------------------------------------------------------------------


def quiet(seed: int) -> World:
    """Nothing happens for a minute."""
    world, checkers = begin(seed)
    world.run_for(60.0)
    checkers.after_healing()
    return world


def swarm(seed: int) -> World:
    """Cuts of one or both directions, pauses, crashes, resets, clogs; then all is healed."""
    world, checkers = begin(seed, nodes=5)
    for _ in range(16):
        world.run_for(world.random.expovariate(1 / 4.0))
        _trouble(world)
    for node in list(world.processes):
        if checkers.trouble.paused(node):
            world.resume(node)
    world.heal_all()
    world.boot_all()
    checkers.after_healing()
    return world


def _trouble(world: World) -> None:
    down = [n for n in world.ids if n not in world.processes]
    kind = world.random.choice(
        ["cut", "cut", "one way", "heal", "heal", "reset", "clog", "crash", "boot", "pause"]
    )
    a, b = pick(world)
    if kind == "cut":
        world.cut(a, b)
    elif kind == "one way":
        world.cut_one_way(a, b)
    elif kind == "heal":
        world.heal(a, b)
    elif kind == "reset":
        world.reset(a, b)
    elif kind == "clog":
        world.clog(a, b)
    elif kind == "crash" and len(world.processes) > 3:
        world.crash(a)
    elif kind == "boot" and down:
        world.boot(world.random.choice(down))
    elif kind == "pause":
        world.pause(a)
        world.run_for(world.random.uniform(0.1, 15.0))
        world.resume(a)


def sparse(seed: int) -> World:
    """Few paths, priorities of all sizes: ways of several hops, which then change."""
    world = World(seed, 6)
    for node in world.ids:
        record = msgspec.structs.replace(record_of(node), priority=world.random.randint(1, 9))
        world.provision(node, record)
    checkers = Checkers(world)
    ring = list(zip(world.ids, world.ids[1:] + world.ids[:1], strict=True))
    for pair in itertools.combinations(world.ids, 2):
        if pair not in ring and pair[::-1] not in ring and world.random.random() < 0.7:
            world.cut(*pair)
    world.boot_all()
    checkers.settle(SETTLE_S)
    checkers.after_healing()
    world.cut(*world.random.choice(ring))
    world.run_for(DETECT_S + 2.0)
    checkers.after_healing()
    return world


def no_rerouting(seed: int) -> World:
    """Direct paths only."""
    world, checkers = begin(seed, nodes=3, rerouting=False)
    checkers.after_healing()
    return world


# Time ---------------------------------------------------------------------------------------------


def clocks(seed: int) -> World:
    """Wall clocks jump, forward and back, and a path is cut: nobody notices the first (P18)."""
    world, checkers = begin(seed, nodes=3)
    world.run_for(30.0)
    for seconds in (600.0, -3600.0):
        world.step_clock(world.random.choice(world.ids), seconds)
        world.run_for(30.0)
    world.cut(1, 2)
    world.run_for(30.0)
    world.heal_all()
    checkers.after_healing()
    return world


def stalls(seed: int) -> World:
    """A process stops now and then while a path of it is dead for less than the detection time."""
    world, checkers = begin(seed, nodes=3)
    for _ in range(8):
        world.run_for(world.random.uniform(0.0, 4.0) + DETECT_S)
        world.cut(1, 2)
        world.run_for(world.random.uniform(3.0, 5.0))
        world.pause(1)
        world.run_for(world.random.uniform(1.7, 2.4))
        world.heal_all()
        world.resume(1)
    checkers.after_healing()
    return world


def crashes(seed: int) -> World:
    """A process that ran for long ends, and stays away for a while."""
    world, checkers = begin(seed)
    world.run_for(world.random.uniform(25.0, 35.0))
    gone = world.random.choice(world.ids)
    world.crash(gone)
    world.run_for(10.0)
    world.boot(gone)
    checkers.after_healing()
    return world


def slow_path(seed: int) -> World:
    """Each chunk between two nodes takes longer than ping_timeout, and all of them arrive (L-2)."""
    world, checkers = begin(seed, nodes=3)
    world.slow(1, 2, world.random.uniform(0.7, 0.9))
    world.run_for(60.0)
    downs = [r for r in world.events[world.ids[0]] if r.after == State.DOWN.shown]
    text = f"{[str(r) for r in downs]}, though node 2 was heard all the time"
    unless(not downs, "L-2", text, world)
    world.heal_all()
    checkers.after_healing()
    return world


def flaps(seed: int) -> World:
    """A path comes and goes; from the third return on the link is watched first (L-4)."""
    world, checkers = begin(seed, nodes=3)
    for _ in range(4):
        world.cut(1, 2)
        world.run_for(DETECT_S + 1.0)
        world.heal(1, 2)
        back = world.until(lambda: State.PROVING in _ends(world) or _up(world), within_s=SETTLE_S)
        unless(back > 0, "L-4", "a cut path", world)
        world.run_for(0.2)
    unless(not _up(world), "L-4", "the link is UP at once after four flaps in a minute", world)
    checkers.after_healing()
    return world


def _ends(world: World) -> list[State]:
    return [world.link(1, 2), world.link(2, 1)]


def _up(world: World) -> bool:
    return _ends(world) == [State.UP, State.UP]


# Lives --------------------------------------------------------------------------------------------


def restarts(seed: int) -> World:
    """A node is away for less time than others need to forget it."""
    world, checkers = begin(seed)
    for _ in range(3):
        node = world.random.choice(world.ids)
        world.crash(node)
        world.run_for(world.random.uniform(0.0, 0.02))
        world.boot(node)
        world.run_for(2.0)
    checkers.after_healing()
    return world


def silent_restart(seed: int) -> World:
    """A node restarts behind cut paths: the others hold connections with its former life."""
    world, checkers = begin(seed)
    world.run_for(0.3)  # nothing is under way any more that a dead process would reset
    node = world.random.choice(world.ids)
    for other in world.ids:
        if other != node:
            world.cut(node, other)
    world.crash(node)
    world.run_for(world.random.uniform(0.1, 0.5))
    world.heal_all()
    world.boot(node)
    world.run_for(3.0)
    unless(world.converged(), "J-2", f"the new life of node {node} is not taken yet", world)
    checkers.after_healing()
    return world


def half_noticed(seed: int) -> World:
    """A node restarts and meets one neighbour while another still holds its former life: for a
    third one it is reachable all the time.
    """
    world = World(seed, 4)
    checkers = Checkers(world)
    world.cut(1, 4)
    world.boot_all()
    world.run_for(SETTLE_S)
    for near in (2, 3):
        world.cut(1, near)
    world.crash(1)
    world.run_for(world.random.uniform(0.1, 0.5))
    world.heal(1, 2)
    world.boot(1)
    world.run_for(20.0)
    world.heal_all()
    checkers.after_healing()
    return world


def deaf(seed: int) -> World:
    """A node restarts whose neighbour tells a third one, which has no path of its own to it."""
    world = World(seed, 4)
    checkers = Checkers(world)
    for pair in ((1, 3), (1, 4), (2, 4)):
        world.cut(*pair)
    world.boot_all()
    world.run_for(SETTLE_S)
    for _ in range(2):
        world.crash(1)
        world.run_for(1.0)
        world.boot(1)
        world.run_for(20.0)
    checkers.after_healing()
    return world


def dials(seed: int) -> World:
    """Connections break, and both ends dial at the same moment: one of two connections stays."""
    world, checkers = begin(seed, nodes=3)
    pairs = list(itertools.combinations(world.ids, 2))
    for _ in range(10):
        before = _sent(world, "Hello")
        for a, b in pairs:
            world.reset(a, b)
        world.run_for(world.random.uniform(0.0, 0.02))
        for a, b in pairs:
            world.dial(a, b)
        world.run_for(5.0)
        hellos = _sent(world, "Hello") - before
        text = f"{hellos} HELLOs were said until {len(pairs)} pairs had one connection each"
        unless(hellos <= 4 * len(pairs), "decision 7", text, world)
    checkers.after_healing()
    return world


def lost_update(seed: int) -> World:
    """Connections break while a change is being told; the links stay, the message is lost."""
    world, checkers = begin(seed)
    world.run_for(5.0)
    world.cut_one_way(1, 2)
    while world.link(2, 1) is not State.DOWN:
        world.run_for(0.0005)  # less than any way takes
    for other in (3, 4):
        world.reset(2, other)
    world.run_for(30.0)
    world.heal_all()
    checkers.after_healing()
    return world


def clock_back(seed: int) -> World:
    """A machine comes back with an older clock and without what was on its disk."""
    world, checkers = begin(seed)
    node = world.random.choice(world.ids)
    world.run_for(20.0)
    world.crash(node, disk=world.random.choice(["lost", "rolled_back"]))
    world.step_clock(node, -world.random.uniform(60.0, 6000.0))
    world.run_for(1.0)
    world.boot(node)
    world.run_for(25.0)
    checkers.after_healing()
    return world


# Ways ---------------------------------------------------------------------------------------------


def ways_round(seed: int) -> World:
    """A path fails in one direction: both ends go round as soon as one of them knows (T-12)."""
    world, checkers = begin(seed, nodes=3)
    world.run_for(world.random.uniform(0.0, 8.0))
    world.cut_one_way(1, 3)
    ends = [(1, 3), (3, 1)]
    world.until(lambda: any(world.link(*e) is State.DOWN for e in ends), within_s=DETECT_S + 1)
    world.run_for(0.1)
    ways = [world.route(*end) for end in ends]
    unless(all(len(way) == 2 for way in ways), "T-12", f"one end knows; ways are {ways}", world)
    world.run_for(20.0)
    world.heal_all()
    checkers.after_healing()
    return world


def bridge(seed: int) -> World:
    """Two halves meet at one path: what each knows is told at once (T-11)."""
    world = World(seed, 4)
    checkers = Checkers(world)
    for a, b in itertools.product((1, 2), (3, 4)):
        world.cut(a, b)
    world.boot_all()
    world.run_for(world.random.uniform(12.0, 20.0))
    world.heal(2, 3)
    world.until(lambda: world.link(2, 3) is State.UP is world.link(3, 2), within_s=SETTLE_S)
    world.run_for(0.5)
    unless(world.route(1, 4) == (2, 3, 4), "T-11", "node 1 has not been told of node 4", world)
    world.heal_all()
    checkers.after_healing()
    return world


def circle(seed: int) -> World:
    """Two tables that disagree about a third node: what is sent there ends (R-11)."""
    world, _checkers = begin(seed, nodes=3)
    for node, hop in ((1, 2), (2, 1)):
        actor = world.processes[world.ids[node - 1]].system.context.supervisor.actor(
            ("node", CLUSTER)
        )
        vars(actor)["rules"].__dict__["_reach"].__dict__["_routes"][3] = (hop, 3)
    before = _sent(world, "Trace")
    supervisor = world.processes[world.ids[0]].system.context.supervisor
    supervisor.tell(("node", CLUSTER), TraceRoute(world.ids[2], 1))
    world.run_for(0.5)
    passed = _sent(world, "Trace") - before
    unless(passed <= len(world.ids), "R-11", f"one trace was passed on {passed} times", world)
    return world


def _sent(world: World, kind: str) -> int:
    return sum(count for (_, _, name), count in world.sent.items() if name == kind)
