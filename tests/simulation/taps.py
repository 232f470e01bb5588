"""A world that agrees, and marked messages in it: said at one node, listened for at another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tagmesh.protocol.effects import Announce
from tagmesh.protocol.messages import Message, Ping
from tagmesh.simulation import World
from tagmesh.simulation.world import CLUSTER
from tagmesh.transport.loopback_connection import Endpoint

CONVERGE_S = 30.0
FIRST_MARK = 10_000
"""Numbers of pings that no link has reached by itself; their answers are ignored."""


def agreed(seed: int = 1, nodes: int = 3) -> World:
    """A world whose nodes have found each other; nothing is on its way any more."""
    world = World(seed, nodes)
    world.boot_all()
    world.until(world.converged, within_s=CONVERGE_S)
    world.run_for(0.1)
    return world


def end_of(world: World, node: int, peer: int) -> Endpoint:
    """The end at ``node`` of its only connection with ``peer``."""
    (end,) = [e for e in world.processes[world.ids[node - 1]].transport.endpoints()
              if e.peer_node == peer]  # fmt: skip
    return end


def say(world: World, node: int, peer: int, *marks: int) -> None:
    """Give messages to the connection, one frame for each."""
    for mark in marks:
        assert end_of(world, node, peer).send([Ping(CLUSTER, FIRST_MARK + mark)])


class Tap:
    """What arrives at ``node`` from ``peer`` on the connection they have now."""

    def __init__(self, world: World, node: int, peer: int) -> None:
        self.times_s: list[float] = []
        self.marks: list[int] = []
        self.all: list[Message] = []
        end = end_of(world, node, peer)
        taken = end._on_messages
        assert taken is not None

        def listen(messages: Sequence[Message]) -> None:
            self.all += messages
            for message in messages:
                if isinstance(message, Ping) and message.number >= FIRST_MARK:
                    self.times_s.append(world.now)
                    self.marks.append(message.number - FIRST_MARK)
            taken(messages)

        end._on_messages = listen


def announce(world: World, node: int, **what: Any) -> None:
    """Tell the applications of ``node`` something, whether it is so or not."""
    events = world.processes[world.ids[node - 1]].system.context.events
    events.publish(Announce(**what), CLUSTER)


def step_often(world: World, for_s: float, every_s: float = 0.1) -> None:
    """Checkers look with steps, of which a quiet world has few."""
    for number in range(round(for_s / every_s)):
        world.scheduler.at(world.now + number * every_s, lambda: None)
