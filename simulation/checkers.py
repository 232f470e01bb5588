"""The invariants of design section 6, checked while a world runs and after it was healed.

>>> world = World(seed=7, nodes=5)
>>> checkers = Checkers(world)
>>> world.boot_all()
>>> world.run_for(60)                   # raises Violation as soon as something is wrong
>>> world.heal_all()
>>> checkers.after_healing()            # what must come true, in time

========  ===================================================================  =============
          what                                                                 when
========  ===================================================================  =============
I1, I7    who is not admitted is nowhere; the rows are taken into account      each survey
J-2       connections speak a protocol version that both ends know             each survey
I2        who reaches each other holds the same; everybody agrees after all    each survey,
                                                                               healed
I8        UP and DOWN alternate, with a cause, about announced lives           each event
I9        routes are shortest, of links that count, without circles; traces    each survey,
          follow them                                                          healed
I10       inboxes, queues, buffers under their limits; one connection a pair   each look
I11       no actor crashes                                                     each look
I13       configuration stays; links go down for trouble only, and in time     each event,
                                                                               look, survey
I16       no storm of messages (reliability, section 3)                        each step
========  ===================================================================  =============

I12 is a comparison of two runs and has a test of its own. I3 is about sharing tags: worlds that
have some `add` the check of `checks_tags`. I4 to I7 are about capabilities: worlds that have some
`add` the checks of `checks_sync` and `checks_flow` (their part of I10) and, with the capabilities
of `records`, those of `checks_delivery` and `checks_partition`. Those with records under tags (I3,
I4, I5 of them) have those of `checks_fencing` and `checks_served`.

After each scheduler step it is checked whether an event came; events are checked at once. Links,
inboxes and queues are looked at each `LOOK_S` of virtual time, tables each `SURVEY_S`: looking at
all of them after each step would take longer than the step. `benchmarks/simulation.py` measures
what all checks together add to a run: at most 30 %. Checks draw no random number and tell no actor
anything before `healed`, so a checked history is the same as an unchecked one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..protocol.identity import NodeId
from . import inside
from .check import Check, Violation
from .checks_bounds import BoundChecks
from .checks_links import LinkChecks
from .checks_members import MemberChecks
from .checks_views import ViewChecks
from .inside import Seen
from .trouble import Trouble

if TYPE_CHECKING:
    from .world import Process, World

__all__ = ["LOOK_S", "SURVEY_S", "Checkers", "Violation"]

LOOK_S = 0.5
SURVEY_S = 1.0
SOON_S = 10.0
"""P3: all views are equal this long after healing, unless links that flapped are watched."""


class Checkers:
    """Attached to a world, which calls `step`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.trouble = Trouble(world)
        self._seen = seen = Seen()
        self._bounds = BoundChecks(world, self.trouble, seen)
        self._checks: tuple[Check, ...] = (
            MemberChecks(world, self.trouble, seen),
            ViewChecks(world, self.trouble, seen),
            LinkChecks(world, self.trouble, seen),
            self._bounds,
        )
        self._scheduler = world.scheduler
        self._entries = world.history.entries
        self._entries_read = 0
        self._heard: dict[NodeId, int] = {}
        self._processes: dict[NodeId, Process] = {}
        self._look_at = self._survey_at = world.now
        world.on_step.append(self.step)

    def add(self, checks: Sequence[Check]) -> None:
        """Check this as well, from now on."""
        self._checks += tuple(checks)

    def step(self, world: World) -> None:  # noqa: ARG002 - the shape of all hooks
        """After each step of the scheduler: raises `Violation`."""
        if len(self._entries) != self._entries_read:
            self._news()
        if self._scheduler.now >= self._look_at:
            self._look()
        if self._scheduler.steps > self._bounds.storm_at:
            self._bounds.storm()

    def _look(self) -> None:
        self._look_at = self.world.now + LOOK_S
        self.trouble.look()
        for check in self._checks:
            check.look()
        if self.world.now >= self._survey_at:
            self._survey_at = self.world.now + SURVEY_S
            for check in self._checks:
                check.survey()

    def _news(self) -> None:
        """Who booted, and what was heard."""
        nodes = dict.fromkeys(entry.node for entry in self._entries[self._entries_read :])
        self._entries_read = len(self._entries)
        if None in nodes:  # something was done to the world
            for node, process in self.world.processes.items():
                if self._processes.get(node) is not process:
                    self._processes[node] = process
                    for check in self._checks:
                        check.booted(node)
        for number in nodes:
            if number is not None:
                self._hear(NodeId(number))

    def _hear(self, node: NodeId) -> None:
        events, first = self.world.events[node], self._heard.get(node, 0)
        self._heard[node] = len(events)
        for record in events[first:]:
            for check in self._checks:
                check.event(node, record)

    def settle(self, within_s: float) -> None:
        """Run until the nodes agree for the first time, whatever a history begins with (I2)."""
        self._agree(within_s)

    def after_healing(self) -> float:
        """Call when every fault is over and everybody runs; the seconds it took to agree (I2, P3).

        Runs the world on until then, and a little longer.
        """
        took_s = self._agree(self._allowed_s())
        self.world.run_for(2 * SURVEY_S)
        for check in self._checks:
            check.healed()
        return took_s

    def _agree(self, within_s: float) -> float:
        try:
            return self.world.until(self.world.converged, within_s=within_s)
        except TimeoutError:
            text = f"the nodes do not agree {within_s:g} s after everything was healed"
            raise Violation("I2", text, self.world) from None

    def _allowed_s(self) -> float:
        """2·P + node_timeout; less when no link has to prove itself first (L-4)."""
        worlds = [p.system.context.config.clusters[0] for p in self.world.processes.values()]
        slow = max(2 * s.ping_interval_s + s.node_timeout_s for s in worlds)
        return slow if self._flapped() else min(slow, SOON_S)

    def _flapped(self) -> bool:
        return any(
            inside.flap_hold_s(actor, process.runtime.monotonic()) > 0
            for process in self.world.processes.values()
            for actor in self._seen.cast(process).links.values()
        )
