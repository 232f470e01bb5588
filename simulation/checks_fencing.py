"""I3, second half: no write that was fenced by a later epoch is let in, and only owners write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..capabilities.records import read_head
from .check import Check
from .rows import CLUSTER
from .tagged_records import TAGGED, TaggedRecords

if TYPE_CHECKING:
    from .tagged_records import TagLedger
    from .trouble import Trouble
    from .world import World


class FencingChecks(Check):
    """Reads the ledger of `tagged_records`, and the records themselves."""

    def __init__(self, world: World, trouble: Trouble, ledger: TagLedger) -> None:
        super().__init__(world, trouble)
        self._ledger = ledger

    def look(self) -> None:
        """What went wrong first."""
        for invariant, text in self._ledger.wrong:
            self.fail(invariant, text)

    def survey(self) -> None:
        """Every record was written by the owner of its epoch (M-2), and no node lets it expire by
        itself (M-5)."""
        for node, process in self.running():
            registration = process.system.context.registrations.get((CLUSTER, TAGGED))
            if registration is None:
                continue
            capability = registration.capability
            assert isinstance(capability, TaggedRecords)
            for head in map(read_head, capability._all()):  # noqa: SLF001 - looked into, as checks do
                if head.tag and (head.epoch is None or head.epoch.owner != head.node):
                    self.fail("M-2", f"node {node} has {head}")
                write = self._ledger.written.get((head.key, head.version))
                if head.deleted and write is not None and not write.deleted:
                    self.fail("M-5", f"node {node} let expire what is not its own: {head}")

    def healed(self) -> None:
        """The same."""
        self.look()
        self.survey()
