"""The mirror step: records that the donor of a verified sync does not have are dropped (S-26, B8).

A sync only adds and updates. With ``mirror=True`` it ends with the keys that are here and not at
the donor; they become a plan:

========= ===========  =====================================================================
state     input        reaction
========= ===========  =====================================================================
-         offer        nothing to drop → MirrorDone; dry run or guarded → WAITING, MirrorDone;
                       else → DROPPING
WAITING   confirm      → DROPPING
WAITING   discard      forgotten
DROPPING  dropped      of the last tag → DROPPED, MirrorDone
DROPPED   undo         → RESTORING
RESTORING restored     of the last tag: Undone, forgotten
any       tick         after ``keep_s`` forgotten
========= ===========  =====================================================================

The guard: a plan that would drop more than 20 records and more than half of the records that were
here before, of any tag or of all together, waits for somebody to look at it. An empty donor, just
restarted, takes nothing away that way (OpenSIPS #2574).

All keys of a tag are dropped in one call of the application, so nobody sees half of it. Its
records, as they were, are the journal: ``undo`` restores those that were not written since.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from .effects import Effect
from .errors import Unknown
from .sync_words import TagExtras

MAX_PLANS = 8
"""Plans kept, the newest."""
MAX_JOURNAL_BYTES = 64 * 1024 * 1024
"""Dropped records kept for `Mirror.undo`; of more, those of the newest plan alone."""


class MirrorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When a plan waits for confirmation, and how long it is kept."""

    guard_records: int = 20
    guard_share: float = 0.5
    keep_s: float = 600.0


class PlanState(StrEnum):
    """Where a plan is."""

    WAITING = "waiting"
    DROPPING = "dropping"
    DROPPED = "dropped"
    RESTORING = "restoring"


class Drop(Effect, frozen=True):
    """Drop these keys at once; `Mirror.dropped` gets the records back."""

    plan_id: int
    tag: str
    keys: tuple[bytes, ...]


class Restore(Effect, frozen=True):
    """Put dropped records back, unless their keys were written since; `Mirror.restored` hears how
    many."""

    plan_id: int
    tag: str
    records: tuple[bytes, ...]


class MirrorDone(Effect, frozen=True):
    """The step is over, or waits: so many records were dropped."""

    plan_id: int | None
    """None = there was nothing to drop."""
    dropped: int


class Undone(Effect, frozen=True):
    """A plan was undone: so many records were restored."""

    plan_id: int
    restored: int


class Plan(msgspec.Struct):
    """What a sync would drop, or has dropped. To be read only."""

    plan_id: int
    extras: tuple[TagExtras, ...]
    reason: str
    """Why it waits: ``dry_run`` or ``guard``; empty when it did not."""
    state: PlanState
    forget_at: float
    journal: dict[str, tuple[bytes, ...]]
    """Tag to dropped records."""
    restored: dict[str, int]
    """Tag to how many of them are back."""

    @property
    def dropped(self) -> int:
        """Records dropped so far."""
        return sum(map(len, self.journal.values()))

    @property
    def journal_bytes(self) -> int:
        """Size of the dropped records."""
        return sum(len(record) for records in self.journal.values() for record in records)


class Mirror:
    """The plans of one capability; see the table above."""

    def __init__(self, settings: MirrorSettings) -> None:
        self.settings = settings
        self._plans: dict[int, Plan] = {}
        """In the order of their ids."""
        self._last_id = 0

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called."""
        if not self._plans:
            return None
        return min(plan.forget_at for plan in self._plans.values())

    def plans(self) -> list[Plan]:
        """Those that are not forgotten, oldest first."""
        return list(self._plans.values())

    def offer(self, extras: Sequence[TagExtras], *, dry_run: bool, now: float) -> list[Effect]:
        """A verified sync found these."""
        extras = tuple(extra for extra in extras if extra.keys)
        if not extras:
            return [MirrorDone(None, 0)]
        reason = "dry_run" if dry_run else "guard" if self._too_much(extras) else ""
        self._last_id += 1
        forget_at = now + self.settings.keep_s
        plan = Plan(self._last_id, extras, reason, PlanState.WAITING, forget_at, {}, {})
        self._plans[plan.plan_id] = plan
        still = (PlanState.WAITING, PlanState.DROPPED)
        idle = [plan_id for plan_id, other in self._plans.items() if other.state in still]
        if len(self._plans) > MAX_PLANS:
            del self._plans[idle[0]]
        return [MirrorDone(plan.plan_id, 0)] if reason else self._drop(plan)

    def confirm(self, plan_id: int, now: float) -> list[Effect]:
        """Somebody looked at a plan that waits: do it. `Unknown` when there is none."""
        plan = self._find(plan_id, PlanState.WAITING)
        plan.forget_at = now + self.settings.keep_s
        return self._drop(plan)

    def discard(self, plan_id: int) -> None:
        """Forget a plan that waits."""
        del self._plans[self._find(plan_id, PlanState.WAITING).plan_id]

    def dropped(self, plan_id: int, tag: str, records: Sequence[bytes], now: float) -> list[Effect]:
        """The application dropped these records of a tag; fewer than planned when some were
        written since."""
        plan = self._plans.get(plan_id)
        if plan is None or plan.state is not PlanState.DROPPING or tag in plan.journal:
            return []
        plan.journal[tag] = tuple(records)
        if len(plan.journal) < len(plan.extras):
            return []
        plan.state = PlanState.DROPPED
        plan.forget_at = now + self.settings.keep_s
        self._bound_journal(plan)
        return [MirrorDone(plan_id, plan.dropped)]

    def undo(self, plan_id: int) -> list[Effect]:
        """Put back what a plan dropped. `Unknown` when it is not kept (any more)."""
        plan = self._find(plan_id, PlanState.DROPPED)
        plan.state = PlanState.RESTORING
        return [Restore(plan_id, tag, records) for tag, records in plan.journal.items()]

    def restored(self, plan_id: int, tag: str, count: int) -> list[Effect]:
        """The application put so many records of a tag back."""
        plan = self._plans.get(plan_id)
        if plan is None or plan.state is not PlanState.RESTORING:
            return []
        plan.restored[tag] = count
        if len(plan.restored) < len(plan.journal):
            return []
        del self._plans[plan_id]
        return [Undone(plan_id, sum(plan.restored.values()))]

    def tick(self, now: float) -> list[Effect]:
        """The deadline passed."""
        self._plans = {i: plan for i, plan in self._plans.items() if plan.forget_at > now}
        return []

    def _too_much(self, extras: Sequence[TagExtras]) -> bool:
        counts = [(len(extra.keys), extra.local) for extra in extras]
        whole = (sum(keys for keys, _ in counts), sum(local for _, local in counts))
        return any(
            keys > self.settings.guard_records and keys > self.settings.guard_share * local
            for keys, local in (*counts, whole)
        )

    def _drop(self, plan: Plan) -> list[Effect]:
        plan.state = PlanState.DROPPING
        return [Drop(plan.plan_id, extra.tag, extra.keys) for extra in plan.extras]

    def _find(self, plan_id: int, state: PlanState) -> Plan:
        plan = self._plans.get(plan_id)
        if plan is None or plan.state is not state:
            known = ", ".join(f"{p.plan_id} ({p.state})" for p in self._plans.values()) or "none"
            raise Unknown(
                f"there is no {state} mirror plan {plan_id}; plans are kept"
                f" {self.settings.keep_s:g} s, these are: {known}"
            )
        return plan

    def _bound_journal(self, newest: Plan) -> None:
        room = MAX_JOURNAL_BYTES - newest.journal_bytes
        for plan in reversed(self.plans()):
            if plan is not newest and plan.state is PlanState.DROPPED:
                room -= plan.journal_bytes
                if room < 0:
                    del self._plans[plan.plan_id]
