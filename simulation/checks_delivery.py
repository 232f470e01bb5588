"""I5, I7, S-23: what the capabilities of `records` themselves saw to be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .check import Check

if TYPE_CHECKING:
    from .records import Ledger
    from .trouble import Trouble
    from .world import World


class DeliveryChecks(Check):
    """Reads the ledger that they write."""

    def __init__(self, world: World, trouble: Trouble, ledger: Ledger) -> None:
        super().__init__(world, trouble)
        self._ledger = ledger

    def look(self) -> None:
        """What went wrong first."""
        for invariant, text in self._ledger.wrong:
            self.fail(invariant, text)

    def healed(self) -> None:
        """The same."""
        self.look()
