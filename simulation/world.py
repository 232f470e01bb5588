"""A simulated cluster: real actors, virtual clock, a network and processes that can fail.

>>> world = World(seed=7, nodes=3)
>>> world.boot_all()
>>> world.until(world.converged, within_s=30)
>>> world.cut(1, 2)

Faults between two nodes work in both directions unless their name or ``one_way`` says otherwise.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping

from ..actors.link import LinkActor
from ..actors.node import NodeActor
from ..protocol.errors import Misuse
from ..protocol.identity import NodeId
from ..protocol.link import State
from ..transport.loopback_connection import Endpoint
from .machines import Machines, Process
from .rows import CLUSTER

__all__ = ["CLUSTER", "Process", "Runaway", "World"]

MAX_STEPS = 3_000_000
"""Scheduler steps after which a history counts as one that never ends."""
COLLECT_EVERY_STEPS = 500_000
"""Bounds the garbage of a long run: what was made since the last time is looked through."""
BIG_NODES = 20
"""Worlds of so many nodes wait until those before them have been thrown away."""
LOOK_EVERY_S = 0.05
"""How often `World.until` looks."""
RESET = "connection lost: Connection reset by peer"


class Runaway(AssertionError):  # noqa: N818 - names what happened
    """A history that goes on and on: `World.max_steps` were made."""


class World(Machines):
    """One seed, one history (I12): everything random is drawn from ``seed``."""

    def __init__(
        self,
        seed: int,
        nodes: int = 3,
        *,
        settings: Mapping[str, object] | None = None,
        dynamic: bool = False,
        drift: float = 0.0,
    ) -> None:
        """See `Machines`."""
        if nodes >= BIG_NODES:
            gc.collect()
        super().__init__(seed, nodes, settings=settings, dynamic=dynamic, drift=drift)
        self.max_steps = MAX_STEPS
        self.on_step: list[Callable[[World], None]] = []
        """Called after every step of the scheduler; what they raise ends the run."""

    # The network --------------------------------------------------------------------------------

    def _ways(self, a: int, b: int, *, one_way: bool = False) -> list[tuple[NodeId, NodeId]]:
        x, y = self._known(a), self._known(b)
        if x == y:
            raise Misuse(f"there is no path from node {a} to itself")
        return [(x, y)] if one_way else [(x, y), (y, x)]

    def cut(self, a: int, b: int) -> None:
        """Lose everything between two nodes, without a word to either."""
        for way in self._ways(a, b):
            self.path.cut(*way)
        self._note(f"cut {a} {b}")

    def cut_one_way(self, a: int, b: int) -> None:
        """Lose what ``a`` sends to ``b``; the other direction goes on."""
        self.path.cut(*self._ways(a, b)[0])
        self._note(f"cut {a}>{b}")

    def slow(self, a: int, b: int, delay_s: float, jitter_s: float = 0.0) -> None:
        """Add ``delay_s`` and up to ``jitter_s`` more to whatever goes between two nodes."""
        for way in self._ways(a, b):
            self.path.slow(*way, delay_s, jitter_s)
        self._note(f"slow {a} {b} by {delay_s:g}+{jitter_s:g} s")

    def lose(self, a: int, b: int, rate: float) -> None:
        """Lose this share of the chunks; TCP sends them again, so the stream stays whole."""
        for way in self._ways(a, b):
            self.path.lose(*way, rate)
        self._note(f"lose {a} {b} {rate:g}")

    def clog(self, a: int, b: int, *, one_way: bool = False) -> None:
        """Nothing moves between two nodes and nothing is lost."""
        for way in self._ways(a, b, one_way=one_way):
            self.path.clog(*way)
        self._note(f"clog {a}{'>' if one_way else ' '}{b}")

    def unclog(self, a: int, b: int, *, one_way: bool = False) -> None:
        """Undo `clog`: what was held arrives now, in order."""
        for way in self._ways(a, b, one_way=one_way):
            self.path.unclog(*way)
        self._note(f"unclog {a}{'>' if one_way else ' '}{b}")

    def heal(self, a: int, b: int) -> None:
        """Undo every fault of the path between two nodes: cut, slow, loss, clog."""
        for way in self._ways(a, b):
            self.path.heal(*way)
        self._note(f"heal {a} {b}")

    def heal_all(self) -> None:
        """Undo every fault of every path; what ails nodes (`pause`, `slow_reader`, …) stays."""
        self.path.heal_all()
        self._note("heal all")

    def slow_reader(self, node: int, *, on: bool = True) -> None:
        """A process that does not read what its connections bring."""
        self._running(node).transport.stall(on=on)
        self._note(f"{node} reads {'nothing' if on else 'again'}")

    def reset(self, a: int, b: int) -> None:
        """Break the connections between two nodes: unsent bytes are lost, both sides hear of it."""
        self._note(f"reset {a} {b}")
        for node, peer in self._ways(a, b):
            for end in self._ends(node, peer):
                end.abort(RESET)

    def block(self, a: int, b: int) -> None:
        """The test switch of the transport of ``a``: no connections with ``b``."""
        self._running(a).transport.block(self._known(b))
        self._note(f"block {b} at {a}")

    def unblock(self, a: int, b: int) -> None:
        """Undo `block`."""
        self._running(a).transport.unblock(self._known(b))
        self._note(f"unblock {b} at {a}")

    def dial(self, a: int, b: int) -> None:
        """Both nodes dial each other at the same moment, if they are not connected."""
        for node, peer in self._ways(a, b):
            if node in self.processes:
                self.processes[node].system.dial_now(peer)
        self._note(f"dial {a} {b}")

    def replay(self, a: int, b: int) -> int:
        """What ``a`` told ``b`` on connections that are over arrives at ``b`` once more, now.

        How many messages; 0 when nothing was recorded, nothing comes through, or the two are not
        connected. Greetings, goodbyes, pings and pongs are not among them: see `replay.Recorder`.
        """
        source, target = self._ways(a, b)[0]
        old = self.recorder.over(source, target, self._ends(source, target))
        took = not self.path.is_cut(source, target) and any(
            old and end.inject(old) for end in self._ends(target, source)
        )
        self._note(f"replay {a}>{b}: {len(old) if took else 0} messages")
        return len(old) if took else 0

    def _ends(self, node: NodeId, peer: NodeId) -> list[Endpoint]:
        process = self.processes.get(node)
        ends = process.transport.endpoints() if process is not None else []
        return [end for end in ends if end.peer_node == peer]

    # Time -----------------------------------------------------------------------------------------

    def run_for(self, seconds: float) -> None:
        """Let virtual time pass. `Runaway` when there is no end of steps.

        The garbage collector rests meanwhile: it would look through the whole world again and
        again, and half of the time went there.
        """
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._run_until(self.scheduler.now + seconds)
        finally:
            if collecting:
                gc.enable()

    def _run_until(self, until: float) -> None:
        scheduler = self.scheduler
        while scheduler.step(until):
            for hook in self.on_step:
                hook(self)
            if scheduler.steps > self.max_steps:
                raise Runaway(f"seed {self.seed}: more than {self.max_steps} steps")
            if scheduler.steps % COLLECT_EVERY_STEPS == 0:
                gc.collect(1)

    def until(self, condition: Callable[[], bool], within_s: float) -> float:
        """Run until ``condition()`` holds; the virtual seconds it took. `TimeoutError` otherwise.

        The error holds seed and log, so that the history can be read and replayed.
        """
        begin = self.now
        while not condition():
            if self.now - begin >= within_s:
                tail = "\n".join(self.log[-60:])
                raise TimeoutError(f"seed {self.seed}: not so within {within_s:g} s\n{tail}")
            self.run_for(min(LOOK_EVERY_S, begin + within_s - self.now) or LOOK_EVERY_S)
        return self.now - begin

    # What is true ---------------------------------------------------------------------------------

    def link(self, a: int, b: int) -> State:
        """State of the link machine of ``a`` with ``b``; `Misuse` when there is none."""
        actor = self._actor(a, ("link", CLUSTER, b))
        if not isinstance(actor, LinkActor):
            raise Misuse(f"node {a} has no link with node {b} now")
        return actor.rules.state

    def route(self, a: int, b: int) -> tuple[NodeId, ...]:
        """Nodes on the way from ``a`` to ``b``; empty = unreachable, or ``a`` is still starting."""
        actor = self._actor(a, ("node", CLUSTER))
        return actor.rules.route(NodeId(b)) if isinstance(actor, NodeActor) else ()

    def _actor(self, node: int, name: tuple[str | int, ...]) -> object:
        return self._running(node).system.context.supervisor.actor(name)

    def members(self) -> list[NodeId]:
        """The nodes that run and may be in the cluster, sorted."""
        enabled = self.ids if self.dynamic else self.storage.enabled()
        return [n for n in enabled if n in self.processes and self.processes[n].member]

    def converged(self) -> bool:
        """I2: every running member agrees with the world about links, topology and routes.

        What it holds of nodes that no path leads to is not asked.
        """
        members = self.members()
        near = {a: [b for b in members if self._linked(a, b)] for a in members}
        return all(self._agrees(node, near) for node in members)

    def _agrees(self, me: NodeId, near: Mapping[NodeId, list[NodeId]]) -> bool:
        node = self._actor(me, ("node", CLUSTER))
        if not isinstance(node, NodeActor):
            return False
        for peer in near:
            link = self._actor(me, ("link", CLUSTER, peer)) if peer != me else None
            if peer != me and not isinstance(link, LinkActor):
                return False
            up = isinstance(link, LinkActor) and link.rules.state is State.UP
            if up != (peer in near[me]) or (up and node.rules.route(peer) != (peer,)):
                return False
        reached = _reached(me, near)
        shown = {n: sorted(x) for n, x in node.rules.adjacency() if x and n in reached}
        return shown == {n: near[n] for n in reached if near[n]}

    def _linked(self, a: NodeId, b: NodeId) -> bool:
        if a == b or self.path.is_cut(a, b) or self.path.is_cut(b, a):
            return False
        mine, other = self.processes[a], self.processes[b]
        (low, high), (lowest, highest) = mine.versions, other.versions
        understood = low <= highest and lowest <= high
        return understood and not (mine.transport.blocks(b) or other.transport.blocks(a))


def _reached(me: NodeId, near: Mapping[NodeId, list[NodeId]]) -> set[NodeId]:
    """``me`` and everybody that a path of links leads to."""
    reached, frontier = {me}, [me]
    while frontier:
        found = [n for n in near[frontier.pop()] if n not in reached]
        reached.update(found)
        frontier += found
    return reached
