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
        """Who has known each other since the last look."""
        self._edges: set[frozenset[int]] = set()
        """Who lost or found each other since then."""

    def event(self, node: NodeId, record: EventRecord) -> None:
        """What `node` was told just now."""
        if record.kind in (Event.NODE_UP, Event.NODE_DOWN) and record.node_id is not None:
            self._edges.add(frozenset((node, record.node_id)))

    def look(self) -> None:
        """Who works on what."""
        duties = {node: (process, duty) for node, process, duty in self._duties()}
        for node, (process, duty) in duties.items():
            self._idle_without_data(node, process, duty)
        met: set[_Pair] = set()
        for (a, (one, mine)), (b, (other, theirs)) in combinations(duties.items(), 2):
            if not (_knows(one, other) and _knows(other, one)):
                continue
            lives = one.system.context.incarnation, other.system.context.incarnation
            pair = (a, lives[0], b, lives[1])
            met.add(pair)
            both = mine.slots & theirs.slots
            if both and pair in self._met and frozenset((a, b)) not in self._edges:
                self.fail("P-3", f"nodes {a} and {b} both work on {len(both)} slots")
        self._met = met
        self._edges.clear()

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


def _knows(one: Process, other: Process) -> bool:
    """It reaches the other's present life, and has heard what that says of the capability now.

    Two sides of a partition that just ended work on the same keys until they have heard so much.
    """
    view = one.system.context.views.get(CLUSTER)
    there = other.system.context
    if view is None or view.incarnations.get(there.me) != there.incarnation:
        return False
    heard = view.capabilities[there.me].get(NOTES)
    said = there.registrations[CLUSTER, NOTES].said
    return heard is not None and (heard.state, heard.generation) == (said.state, said.generation)
