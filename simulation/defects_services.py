"""Mutants of what runs on a node: states of capabilities, parts of the work, records of maps."""
# ruff: noqa: SLF001 - a defect is put in where the rule is

from __future__ import annotations

from typing import Any

import msgspec

from ..actors.switches import Switches
from ..capabilities import table
from ..capabilities.records import Head
from ..capabilities.replica import Replica
from ..protocol.capability import CapabilityRules
from ..protocol.capability_words import Trigger
from ..protocol.donors import CapabilityView
from ..protocol.effects import Effect
from ..protocol.messages import CapabilityState, CapState
from ..protocol.partition import Member, Partition
from .defect import Replace, mutant


@mutant(
    "falseok",
    rule="row 17 (C-2)",
    defect="a capability that is switched on says that it is OK",
    history="busy",
    dies="C-2",
)
def falseok(replace: Replace) -> None:
    """Whether it needs a sync or not."""

    def switch_on(self: CapabilityRules, _now: float) -> None:
        self._become_ok("switched on")

    table = {**CapabilityRules.TABLE, (CapState.DISABLED, Trigger.ENABLE): switch_on}
    replace(CapabilityRules, "TABLE", table)


@mutant(
    "forgetful",
    rule="row 35 (C-4)",
    defect="what an operator switched off is on after a restart",
    history="busy",
    dies="C-4",
)
def forgetful(replace: Replace) -> None:
    """What was kept is not read."""
    replace(Switches, "load", lambda _self: None)


@mutant(
    "countsself",
    rule="row 30 (P-4)",
    defect="a node takes part in the work before it has the data",
    history="busy",
    dies="P-4",
)
def countsself(replace: Replace) -> None:
    """It counts itself, whatever its state."""
    see = Partition.see

    def always_ok(self: Partition, own: CapabilityState, around: CapabilityView) -> list[Effect]:
        return see(self, msgspec.structs.replace(own, state=CapState.OK), around)

    replace(Partition, "see", always_ok)


@mutant(
    "onephase",
    rule="P-3",
    defect="a node works on what it gained before the others have let it go",
    history="busy",
    dies="P-3",
)
def onephase(replace: Replace) -> None:
    """Nobody waits for consent."""
    begin = Partition.__init__

    def at_once(self: Partition, *args: Any, **settings: Any) -> None:
        begin(self, *args, **{**settings, "two_phase": False})

    replace(Partition, "__init__", at_once)


@mutant(
    "keepsgone",
    rule="P-1",
    defect="who has left keeps its part of the work",
    history="leaver",
    dies="P-1",
)
def keepsgone(replace: Replace) -> None:
    """Views only grow, until somebody's new life takes the place of its old one."""
    follow = Partition._follow

    def grow(self: Partition, members: tuple[Member, ...]) -> None:
        kept = {member.node_id: member for member in (*self.view.members, *members)}
        follow(self, tuple(sorted(kept.values(), key=lambda member: member.node_id)))

    replace(Partition, "_follow", grow)


@mutant(
    "olderwins",
    rule="M-1",
    defect="of two versions of a record the older one stays when nodes compare what they have",
    history="busy",
    dies="I5",
)
def olderwins(replace: Replace) -> None:
    """All nodes have the same in the end, and what an application wrote last is gone."""
    version, accept = table._order, Replica._accept

    class Older(tuple):  # type: ignore[type-arg]  # a version, compared the other way round
        """Less is more."""

        def __lt__(self, other: Any) -> bool:
            return tuple(self) > tuple(other)

    def older(head: Head, item: bytes) -> Any:
        return Older(version(head, item))

    def accepted(self: Replica, *records: Any) -> None:
        now = Replace()
        now(table, "_order", older)
        try:
            accept(self, *records)
        finally:
            now.undo()

    replace(Replica, "_accept", accepted)
