"""I3 in random histories: partitions, pauses longer than a lease, crashes, a database that is away.

One tag is in mode manual, one in mode lease. What people do is refused as often as not.
"""

from __future__ import annotations

import random

import pytest

from tagmesh.protocol.identity import NodeId
from tagmesh.simulation import Checkers, World
from tagmesh.simulation.checks_tags import TagChecks

TTL_S = 10.0
SEEDS = range(40)
STEPS = 25


class Swarm:
    """One history."""

    def __init__(self, seed: int) -> None:
        self.luck = random.Random(f"tags {seed}")
        nodes = self.luck.randint(3, 5)
        start = self.luck.choice(("vip", "vip=active"))
        self.world = World(seed, nodes, settings={"sharing_tags": [start, "lead"]})
        self.world.tag_settings["lead"] = {"mode": "lease"}
        self.checkers = Checkers(self.world)
        tags = TagChecks(self.world, self.checkers.trouble, ["vip", "lead"])
        self.checkers.add([tags])
        self.world.boot_all()
        self.checkers.settle(60)

    def play(self) -> None:
        for _ in range(STEPS):
            self.step()
            self.world.run_for(self.luck.uniform(0.05, 6.0))

    def step(self) -> None:
        world, luck = self.world, self.luck
        node = luck.choice(world.ids)
        what = luck.choice(("cut", "split", "heal", "pause", "crash", "store", "act", "act", "act"))
        match what:
            case "cut":
                world.cut(*luck.sample(world.ids, 2))
            case "split":
                for other in world.ids:
                    if other != node:
                        world.cut(node, other)
            case "heal":
                world.heal_all()
            case "pause" if node in world.processes:
                world.pause(node)
                world.run_for(luck.uniform(0.5, 2 * TTL_S))
                world.resume(node)
            case "crash":
                self.crash(node)
            case "store":
                world.storage.mode = luck.choice(("ok", "failing", "hanging"))
            case "act" if node in world.processes:
                self.act(node)

    def crash(self, node: NodeId) -> None:
        world = self.world
        if node in world.processes:
            world.crash(node)
        elif world.storage.mode == "ok":
            world.boot(node)

    def act(self, node: NodeId) -> None:
        world, luck = self.world, self.luck
        name = luck.choice(("vip", "vip", "lead"))
        owner = next(iter(world.active(name)), node)
        match luck.choice(("activate", "activate", "force", "release", "hand_over")):
            case "activate":
                world.activate(node, name)
            case "force":
                world.activate(node, name, force=True)
            case "release":
                world.release(owner, name)
            case "hand_over":
                world.hand_over(owner, name, luck.choice(world.ids))

    def end(self) -> None:
        world = self.world
        world.heal_all()
        world.storage.mode = "ok"
        world.boot_all()
        world.run_for(4 * TTL_S)
        self.checkers.after_healing()


@pytest.mark.parametrize("seed", SEEDS)
def test_never_two_and_one_in_the_end(seed: int) -> None:
    swarm = Swarm(seed)
    swarm.play()
    swarm.end()
    world = swarm.world
    world.activate(2, "vip")
    world.run_for(2)
    assert list(world.active("vip")) == [2]
    assert len(world.active("lead")) == 1
