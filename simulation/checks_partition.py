"""P-3, P-4: nobody works on another's keys, and nobody without data works."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from ..protocol.events import Event, EventRecord
from ..protocol.identity import NodeId
from ..protocol.messages import CapState
from .check import Check
from .records import NOTES, Duty, Watched
from .rows import CLUSTER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .trouble import Trouble
    from .world import Process, World

_Pair = tuple[int, int, int, int]
"""(node, its incarnation, another one, its incarnation)"""


class PartitionChecks(Check):
    """The work of `records.Notes`."""

    def __init__(self, world: World, trouble: Trouble) -> None:
        super().__init__(world, trouble)
        self._met: set[_Pair] = set()
        """Who saw each other when it was looked at last."""
        self._inherited: dict[frozenset[int], set[int]] = {}
        """What both worked on when they found each other, until each has heard of the other."""
        self._knew: set[frozenset[int]] = set()
        """Who had heard of each other when it was looked at last, and not lost the other since."""

    def event(self, node: NodeId, record: EventRecord) -> None:
        """Sides of a partition that ends may both have worked on everything."""
        if record.kind is not Event.NODE_UP or record.node_id is None:
            return
        pair = frozenset((node, record.node_id))
        duties = [duty.slots for n, _, duty in self._duties() if n in pair]
        if len(duties) == len(pair):
            self._inherited.setdefault(pair, set()).update(duties[0] & duties[1])
        self._knew.discard(pair)

    def look(self) -> None:
        """Who works on what."""
        duties = {node: (process, duty) for node, process, duty in self._duties()}
        for node, (process, duty) in duties.items():
            self._idle_without_data(node, process, duty)
        met: set[_Pair] = set()
        for (a, (one, mine)), (b, (other, theirs)) in combinations(duties.items(), 2):
            if not (_sees(one, other) and _sees(other, one)):
                continue
            lives = one.system.context.incarnation, other.system.context.incarnation
            pair = (a, lives[0], b, lives[1])
            met.add(pair)
            both = (mine.slots & theirs.slots) - self._excused(a, one, b, other)
            if both and pair in self._met:
                self.fail("P-3", f"nodes {a} and {b} both work on {len(both)} slots")
        self._met = met

    def _excused(self, a: NodeId, one: Process, b: NodeId, other: Process) -> set[int]:
        pair = frozenset((a, b))
        if not (_knows(one, other) and _knows(other, one)):
            self._knew.discard(pair)
        elif pair in self._knew:
            self._inherited.pop(pair, None)
        else:
            self._knew.add(pair)
        return self._inherited.get(pair, set())

    def _duties(self) -> Iterator[tuple[NodeId, Process, Duty]]:
        for node, process in self.running():
            resumed_at = self.trouble.resumed.get(node, (-1.0, 0.0))[0]
            registration = process.system.context.registrations.get((CLUSTER, NOTES))
            duty = registration.partition if registration is not None else None
            if isinstance(duty, Duty) and resumed_at < self.world.now:
                yield node, process, duty

    def _idle_without_data(self, node: NodeId, process: Process, duty: Duty) -> None:
        registration = process.system.context.registrations[CLUSTER, NOTES]
        capability = registration.capability
        assert isinstance(capability, Watched), "the one of `records`"
        if capability.state_now is CapState.OK or registration.said.state is CapState.OK:
            return
        at_rest = capability.since_s < self.world.now
        if at_rest and (duty.slots or duty.my_index()[0] is not None):
            state = registration.said.state.name.lower()
            self.fail("P-4", f"node {node} takes part in the work while it is {state}")


def _sees(one: Process, other: Process) -> bool:
    """It reaches the other's present life."""
    view = one.system.context.views.get(CLUSTER)
    there = other.system.context
    return view is not None and view.incarnations.get(there.me) == there.incarnation


def _knows(one: Process, other: Process) -> bool:
    """It has heard what the other, which it reaches, says of the capability now."""
    there = other.system.context
    heard = one.system.context.views[CLUSTER].capabilities[there.me].get(NOTES)
    said = there.registrations[CLUSTER, NOTES].said
    return heard == said
