"""What people do with sharing tags while faults happen: the load of a swarm with tags.

One tag is in mode manual; where there is a database another one is in mode lease. A seed draws
who activates, releases, hands over, prefers and pauses them. `checks_tags` looks at every step.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..protocol.identity import NodeId
from .check import Violation
from .checks_tags import TagChecks
from .rows import CLUSTER

if TYPE_CHECKING:
    from .check import Check
    from .trouble import Trouble
    from .world import World

MANUAL, LEASED = "vip", "lead"
LEASE = {"mode": "lease", "failback": "20s"}
MEAN_PAUSE_S = 3.0
"""Between two things that people do."""
MAX_PAUSED_S = 30.0
"""A tag that was paused goes on after this."""
SETTLED_S = 40.0
"""After healing a lease is taken within this: one that runs, one that the taker waits in vain for
a successor, the time a node that starts waits for vows it may have given, and slow clocks."""


class TagTraffic:
    """The tags of one world; made before its nodes boot."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._dice = random.Random(f"tags {world.seed}")  # noqa: S311 - a seed, not a secret
        start = self._dice.choice((MANUAL, f"{MANUAL}=active"))
        self.names = [MANUAL] if world.dynamic else [MANUAL, LEASED]
        world.cluster_settings["sharing_tags"] = [start, *self.names[1:]]
        if not world.dynamic:
            world.tag_settings[LEASED] = LEASE
        self._checks: TagChecks | None = None

    def checks(self, trouble: Trouble) -> list[Check]:
        """What is checked while it goes on; what must be true in the end is for `settle`."""
        self._checks = TagChecks(self.world, trouble, self.names)
        return []

    def timeline(self, phase_s: float) -> list[tuple[float, Callable[[], None]]]:
        """(virtual second, what to do then), sorted."""
        at_s = 0.0
        moments: list[tuple[float, Callable[[], None]]] = []
        while (at_s := at_s + self._dice.expovariate(1 / MEAN_PAUSE_S)) < phase_s:
            node = NodeId(self._dice.choice(self.world.ids))
            moments.append((at_s, partial(self._act, node, self._dice.random())))
        return moments

    def _act(self, node: NodeId, how: float) -> None:
        if self._can(node):
            if how < 0.5:
                self._move(node, MANUAL, how * 2)
            elif len(self.names) > 1:
                self._move(node, LEASED, how * 2 - 1)

    def _can(self, node: NodeId) -> bool:
        """It runs, and is in the cluster."""
        process = self.world.processes.get(node)
        if process is None or process.runtime.paused:
            return False
        return process.system.context.supervisor.has(("tag", CLUSTER, MANUAL))

    def _move(self, node: NodeId, name: str, how: float) -> None:
        """Most of it is refused where somebody else has the tag."""
        world, owner = self.world, next(iter(self.world.active(name)), node)
        owner = owner if self._can(owner) else node
        if how < 0.4:
            world.activate(node, name, force=how < 0.1)
        elif how < 0.55:
            world.release(owner, name)
        elif how < 0.8 or name == MANUAL:
            world.hand_over(owner, name, self._dice.choice(world.ids))
        elif how < 0.9:
            self._pause(name, paused=True)
            back_s = self._dice.uniform(1.0, MAX_PAUSED_S)
            world.scheduler.at(world.now + back_s, partial(self._pause, name, paused=False))
        elif self._answers:
            count = self._dice.randint(0, len(world.ids))
            world.tag_store.prefer(CLUSTER, name, self._dice.sample(world.ids, count))

    def _pause(self, name: str, *, paused: bool) -> None:
        if self._answers:
            self.world.tag_store.pause(CLUSTER, name, paused=paused)

    @property
    def _answers(self) -> bool:
        return self.world.storage.mode in ("ok", "stale")

    def settle(self) -> None:
        """One owner of each tag that was activated, the same for all (I3)."""
        if LEASED in self.names:
            self._pause(LEASED, paused=False)
        checks = self._checks
        if checks is None:
            return
        try:
            self.world.until(lambda: not checks.wrong(), SETTLED_S)
        except TimeoutError:
            text = f"{checks.wrong()}, {SETTLED_S:g} s after everything was healed"
            raise Violation("I3", text, self.world) from None
