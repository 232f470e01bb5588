"""C-2, C-4, I5, I7, S-23: what the capabilities of `records` themselves saw to be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.messages import CapState
from .check import Check
from .records import Watched
from .rows import CLUSTER

if TYPE_CHECKING:
    from ..protocol.identity import NodeId
    from .records import Ledger
    from .trouble import Trouble
    from .world import World


class DeliveryChecks(Check):
    """Reads the ledger that they write."""

    def __init__(self, world: World, trouble: Trouble, ledger: Ledger) -> None:
        super().__init__(world, trouble)
        self._ledger = ledger

    def booted(self, node: NodeId) -> None:
        """C-4: what an operator switched is as he left it."""
        for registration in self.world.processes[node].system.context.registered(CLUSTER):
            at_s, on = self.world.switched.get((node, registration.name), (-1.0, True))
            if at_s < self.world.now and registration.enabled is not on:
                how = "on" if on else "off"
                self.fail("C-4", f"{registration.name} of node {node} was switched {how}")

    def look(self) -> None:
        """What went wrong first."""
        for invariant, text in self._ledger.wrong:
            self.fail(invariant, text)
        for node, process in self.running():
            for registration in process.system.context.registered(CLUSTER):
                capability = registration.capability
                if isinstance(capability, Watched) and capability.startup_sync:
                    self._complete(node, capability)

    def _complete(self, node: NodeId, capability: Watched) -> None:
        """C-2: it is not OK before a sync, or before it was decided that there is nothing."""
        at_rest = capability.since_s < self.world.now
        if capability.state_now is CapState.OK and at_rest and not capability.complete:
            self.fail("C-2", f"{capability.name} of node {node} is OK without a sync")

    def healed(self) -> None:
        """The same."""
        self.look()
