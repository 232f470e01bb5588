"""One capability of one cluster on this node: is its data complete, and what is done about it.

States are those of `CapState`; peers see them, each for the life that said it (C-3, N-2).

=================  =======  ====================================================================
state              trigger  reaction
=================  =======  ====================================================================
DISABLED           ENABLE   a sync is wanted → PENDING; the module needs one → UNSYNCED; → OK (C-2)
any other          DISABLE  sessions end on both sides, what waits is dropped → DISABLED (C-1)
UNSYNCED, OK       REQUEST  → PENDING: OK no longer (S-1)
PENDING, DEGRADED  REQUEST  the same wish: tried at once; another one: in progress
SYNCING            REQUEST  in progress
DISABLED           REQUEST  ends at once: disabled
PENDING, DEGRADED  DONOR    session → SYNCING; all tags of the wish have been claimed: DONE at once
SYNCING            DONE     → OK; after a first sync of only some tags → UNSYNCED
SYNCING            FAILED   it was OK before → DEGRADED, else → PENDING; tried again (S-21)
not OK, no donor   DECLARE  → OK without a donor (`fallback`: S-27, S-28)
OK without data    DONOR    session, but it stays OK: what there is to give, it gives (S-27)
OK without data    DONE     it has data, if the donor had
OK without data    FAILED   tried again
OK                 COMPARE  session with one node, but it stays OK (`verifying`)
OK                 COMPARED only what it repaired is told
OK                 DIFF     the same, taking nothing (`diffing`); what nobody asked for gives way
any other          DIFF     refused
SYNCING            DONE     before it is OK: sessions for the tags that have an owner (`tag_syncs`)
OK, UNSYNCED       REQUEST  of tags that have owners alone: TAGS, as soon as that can be
OK, UNSYNCED       TAGS     session for tags with one node, but it stays as it is
these, SYNCING     FETCHED  the next ones, if there are; SYNCING: → OK, whatever is pending (K-4)
=================  =======  ====================================================================

Whoever wants a sync has a session, or a time to try again, or no donor and therefore waits for one
to appear: nothing is forgotten (S-4, S-7, S-21). A session asks one donor after the other; when it
failed, none is left, and `rounds` says when and whom to ask again.

It is not OK while it syncs, so two nodes that ask each other at the same time are not OK both
(S-10), and S-28 finds the way out. A node without data is different: it serves as the last resort,
so it stays OK while it fetches what others have. A sync deletes nothing, so it has the union then.
*Without data* is a matter of descent: the mark goes on to a node that has nothing but what such a
node gave it, and ends with a sync from a node that has data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from .because import Cause, because
from .capability_base import DISABLED, OK
from .capability_sessions import CapabilitySessions
from .capability_words import (
    Answer,
    CancelJoining,
    DropWaiting,
    Policy,
    SyncOver,
    SyncWish,
    Trigger,
)
from .contract import SyncReport
from .donors import CapabilityView, Verdict
from .effects import Count, Effect
from .events import Event
from .fallback import LACKING, WANTING, Declaration
from .identity import NodeId
from .messages import CapState
from .session_causes import failed
from .sync_words import Candidate, Why
from .tag_syncs import Part
from .verifying import Comparison

UNSYNCED, PENDING = CapState.UNSYNCED, CapState.PENDING
SYNCING, DEGRADED = CapState.SYNCING, CapState.DEGRADED
EVERYTHING = SyncWish()


class CapabilityRules(CapabilitySessions):
    """The machine of the table above; begins DISABLED. Times are seconds of a monotonic clock."""

    def __init__(
        self,
        name: str,
        policy: Policy,
        view: CapabilityView,
        draw: Callable[[], float],
        position: Callable[[], int] = int,
        starts: int = 0,
    ) -> None:
        """``draw`` gives numbers in [0, 1) for the jitter; ``position``: see `Capability.position`.

        ``starts``: machines of this capability that this life of the node has had before, so that
        no session and no generation has a number twice.
        """
        super().__init__(name, policy, view, draw, position, starts)
        self.tags.see(view.tags, 0.0, complete=False)

    # What happens -------------------------------------------------------------------------

    def enable(self, now: float) -> list[Effect]:
        """Switched on: at the start, or by an operator. Nothing when it is on."""
        return self._fire(Trigger.ENABLE, now) if self.state is DISABLED else []

    def disable(self, reason: str, now: float) -> list[Effect]:
        """Switched off by an operator (C-1). Nothing when it is off."""
        return self._fire(Trigger.DISABLE, now, reason) if self.state is not DISABLED else []

    def request_sync(self, wish: SyncWish, now: float) -> list[Effect]:
        """The application or an operator wants a sync; always answered (S-1)."""
        return self._fire(Trigger.REQUEST, now, wish)

    def request_diff(self, node: NodeId, tag: str, now: float) -> list[Effect]:
        """Somebody wants to know which records with a tag, or without (""), another node has not
        as they are here; always answered."""
        return self._fire(Trigger.DIFF, now, node, tag)

    def view_changed(self, view: CapabilityView, now: float) -> list[Effect]:
        """What is known of the other nodes changed."""
        self.rounds.view_changed(view)
        self.tags.see(view.tags, now, complete=self.state is OK)
        return self._proceed(now)

    def session_ended(self, session: int, report: SyncReport, now: float) -> list[Effect]:
        """A session of mine is over; one that was cancelled is ignored."""
        if session != self._session:
            return [Count("S-20")]
        self._session = None
        if self._part is not None:
            return self._fire(Trigger.FETCHED, now, report)
        if self._compares:
            return self._fire(Trigger.COMPARED, now, report)
        return self._fire(Trigger.DONE if report.ok else Trigger.FAILED, now, report)

    def tick(self, now: float) -> list[Effect]:
        """The deadline passed."""
        if self.deadline is None or now < self.deadline:
            return []
        self.rounds.tick(now)
        self.tags.tick(now)
        return self._proceed(now)

    # Questions ------------------------------------------------------------------------------

    def choose(self, excluded: frozenset[NodeId]) -> Candidate | None:
        """For the session under way: the best donor there is now without these (S-22)."""
        if self._part is not None:
            return self.rounds.find(self._part.donor, excluded)
        if self._wish is not None and self._wish.compare is not None:
            return self.rounds.find(self._wish.compare.node_id, excluded)
        return self.rounds.choose(excluded)

    def explain(self, tag: str = "") -> list[Verdict]:
        """Every other node: its place as a donor, of this sharing tag, or why it is none."""
        return self.rounds.explain(tag)

    # Reactions, as in the table -------------------------------------------------------------

    def _switch_on(self, _now: float) -> None:
        self._began_with = self._told.position()
        if self.policy.auto_sync:
            self._want(EVERYTHING, because("switched on", Cause.SWITCHED_ON))
        elif self.policy.startup_sync:
            self._enter(UNSYNCED, because("nobody asked for a sync yet", Cause.NOT_ASKED))
        else:
            self._become_ok(because("needs no sync to begin", Cause.NEEDS_NO_SYNC))

    def _switch_off(self, _now: float, reason: str) -> None:
        if self._session is not None:
            self._effects.append(CancelJoining(self._session, Why.DISABLED))
        if (self._wish is not None and not self._compares) or self._sum is not None:
            self._end(SyncReport(ok=False, reason=Why.DISABLED))
        self._effects.append(DropWaiting())
        self._session = self._wish = self._part = self._sum = None
        self._arrived = 0
        self.tags.reset()
        self._was_ok = self.rounds.without_data = False
        self.rounds.begin()
        self._enter(DISABLED, because(reason, Cause.SWITCHED_OFF))

    def _requested(self, now: float, wish: SyncWish) -> None:
        if any(self.tags.active(tag) and tag not in wish.force for tag in wish.tags):
            self._answer(Answer.ACTIVE_HERE)
            self._end(SyncReport(ok=False, reason=Why.ACTIVE_HERE))
            return
        if not self._clear_unasked():
            self._requested_twice(now, wish)  # of tags; or without data, fetching what others have
        elif wish.backups or (wish.tags and all(map(self.tags.known, wish.tags))):
            self._answer(Answer.TAKEN)
            self._wish, self._sum = None, SyncReport(ok=True)
            self.tags.ask(self._asked(wish))
        else:
            self._answer(Answer.TAKEN)
            self._want(wish, because("a sync was asked for", Cause.SYNC_ASKED))

    def _requested_again(self, now: float, wish: SyncWish) -> None:
        if wish != self._wish:
            self._requested_twice(now, wish)
        else:
            self._answer(Answer.TAKEN)
            self.rounds.begin()

    def _requested_twice(self, _now: float, _wish: SyncWish) -> None:
        self._answer(Answer.IN_PROGRESS)

    def _requested_when_off(self, _now: float, _wish: SyncWish) -> None:
        self._answer(Answer.DISABLED)
        self._end(SyncReport(ok=False, reason=Why.DISABLED))

    def _ask(self, now: float) -> None:
        self._enter(SYNCING, because("", Cause.SYNCING))
        tags = self._wish.tags if self._wish is not None else ()
        if tags and all(map(self.tags.known, tags)):
            self._synced(now, SyncReport(ok=True))  # claimed since: only their owners serve them
        else:
            self._start()

    def _fetch(self, _now: float) -> None:
        self._wish = EVERYTHING
        self._start()

    def _compare(self, _now: float, comparison: Comparison) -> None:
        terms = self.tags.comparable(comparison.node_id)
        self._wish = SyncWish(compare=comparison, terms=terms)
        self._start()

    def _diff(self, _now: float, node: NodeId, tag: str) -> None:
        terms = tuple(term for term in self.tags.comparable(node) if term.tag == tag)
        looks = self._wish is not None and self._wish.diff
        if self.tags.known(tag) and not terms:
            self._answer(Answer.NOT_TAG_OWNER)
        elif looks or not self._clear_unasked():
            self._answer(Answer.IN_PROGRESS)
        else:
            self._answer(Answer.TAKEN)
            every = Comparison(node, 0)
            self._wish = SyncWish(tags=(tag,), compare=every, terms=terms, diff=True)
            self._start()

    def _diff_refused(self, _now: float, _node: NodeId, _tag: str) -> None:
        self._answer(Answer.NOT_OK)

    def _compared(self, _now: float, report: SyncReport) -> None:
        wish, self._wish = self._wish, None
        if report.items and not (wish is not None and wish.diff):
            text = f"{report.sections} sections differed, {report.items} records compared"
            self._announce(Event.REPAIRED, text, report.donor)

    def _synced(self, _now: float, report: SyncReport) -> None:
        assert self._wish is not None
        self._descend(report)
        self._sum = report
        self.tags.ask(self._asked(self._wish))
        self._go_on_with_tags()

    def _fetched(self, _now: float, report: SyncReport) -> None:
        self._descend(report)
        self._satisfied(report)

    def _ask_for_tags(self, _now: float, part: Part) -> None:
        self._part = part
        self._start()

    def _account_for(self, now: float, report: SyncReport) -> None:
        """A session for tags is over."""
        part, self._part = self._part, None
        assert part is not None, "such a session has one"
        if report.ok:
            self.tags.done(part, report, now)
        else:
            self.tags.failed_with(part, part.tags, report.reason, now)
        if self._sum is not None:
            self._sum = self._sum.plus(report)
            return
        self._arrived += report.items
        if report.evidence and self._arrived:
            names = ", ".join(found.tag for found in report.evidence)
            self._announce(Event.SYNC_DONE, f"{self._arrived} records of {names}", report.donor)
            self._arrived = 0

    def _go_on(self, now: float, report: SyncReport) -> None:
        self._account_for(now, report)
        self._go_on_with_tags()

    def _gave_up(self, now: float, report: SyncReport) -> None:
        self._enter(DEGRADED if self._was_ok else PENDING, failed(report))
        self._try_later(now, report)

    def _try_later(self, now: float, report: SyncReport) -> None:
        self._end(report)
        self.rounds.failed(report.reason, now)

    def _declare(self, _now: float, declaration: Declaration) -> None:
        self.rounds.without_data = declaration.without_data
        self._announce(Event.SYNCED_WITHOUT_DATA, f"{declaration.rule}: {declaration.cause}")
        if self._wish is not None:
            self._effects.append(SyncOver(SyncReport(ok=True)))
            self._wish = None
        self.rounds.begin()
        self.tags.vouch()
        cause = Cause.SEED if declaration.rule == Cause.SEED.rule else Cause.NEWEST
        self._become_ok(because(declaration.cause, cause))

    # Parts of reactions ---------------------------------------------------------------------

    def _go_on_with_tags(self) -> None:
        """After what has no owner: a session for tags, or the end of the sync."""
        self._part = self.tags.due(self.rounds.able())
        if self._part is not None:
            self._start()
            return
        assert self._wish is not None, "tags come after the rest of a wish"
        donor = self._sum.donor if self._sum is not None else None
        first_of_some = self._wish.tags and not self._was_ok
        self._over_with_tags()
        if first_of_some:
            self._enter(UNSYNCED, because("synced only some tags", Cause.SYNCED_TAGS))
        else:
            whom = f"node {donor}" if donor is not None else "nobody: nothing could be fetched"
            self._become_ok(because(f"synced from {whom}", Cause.SYNCED))

    def _want(self, wish: SyncWish, reason: str) -> None:
        self._wish = wish
        self.rounds.begin()
        self._enter(PENDING, reason)

    # The frame around every input -------------------------------------------------------------

    def _fire(self, trigger: Trigger, now: float, *word: object) -> list[Effect]:
        self.TABLE[self.state, trigger](self, now, *word)
        return self._proceed(now)

    def _proceed(self, now: float) -> list[Effect]:
        """Begin what can begin as things stand, and say what changed."""
        wanting = self.state in WANTING or (self.state is OK and self.rounds.without_data)
        if wanting and self._session is None and self.rounds.untried():
            self.TABLE[self.state, Trigger.DONOR](self, now)
        if self.state not in LACKING or self.rounds.donors():
            self._fallback.reset()
        elif declaration := self._fallback.consider(self._said(now), self.rounds.view, now):
            self.TABLE[self.state, Trigger.DECLARE](self, now, declaration)
            self._fallback.reset()
        self._see_to_tags(now)
        if self.policy.verify_interval_s:
            self._verifying.see(self.rounds.comparable(), now)
        if self._session is None and self._sum is None and (comparison := self._verifying.due(now)):
            self.TABLE[self.state, Trigger.COMPARE](self, now, comparison)
        return self._flush(now)

    def _see_to_tags(self, now: float) -> None:
        if self._session is not None or self.state not in (OK, UNSYNCED):
            return
        part = self.tags.due(self.rounds.able())
        if part is not None:
            self.TABLE[self.state, Trigger.TAGS](self, now, part)
        elif self._sum is not None:
            self._over_with_tags()

    TABLE: ClassVar[Mapping[tuple[CapState, Trigger], Callable[..., None]]] = {
        (DISABLED, Trigger.ENABLE): _switch_on,
        **dict.fromkeys([(s, Trigger.DISABLE) for s in CapState if s is not DISABLED], _switch_off),
        (UNSYNCED, Trigger.REQUEST): _requested,
        (OK, Trigger.REQUEST): _requested,
        (PENDING, Trigger.REQUEST): _requested_again,
        (DEGRADED, Trigger.REQUEST): _requested_again,
        (SYNCING, Trigger.REQUEST): _requested_twice,
        (DISABLED, Trigger.REQUEST): _requested_when_off,
        (PENDING, Trigger.DONOR): _ask,
        (DEGRADED, Trigger.DONOR): _ask,
        (OK, Trigger.DONOR): _fetch,
        (SYNCING, Trigger.DONE): _synced,
        (SYNCING, Trigger.FAILED): _gave_up,
        (OK, Trigger.DONE): _fetched,
        (OK, Trigger.FAILED): _try_later,
        (OK, Trigger.TAGS): _ask_for_tags,
        (UNSYNCED, Trigger.TAGS): _ask_for_tags,
        (OK, Trigger.FETCHED): _account_for,
        (UNSYNCED, Trigger.FETCHED): _account_for,
        (SYNCING, Trigger.FETCHED): _go_on,
        (OK, Trigger.COMPARE): _compare,
        (OK, Trigger.COMPARED): _compared,
        **dict.fromkeys([(s, Trigger.DIFF) for s in CapState if s is not OK], _diff_refused),
        (OK, Trigger.DIFF): _diff,
        **dict.fromkeys([(s, Trigger.DECLARE) for s in sorted(LACKING)], _declare),
    }
    """The table at the top, for the machine. No other pair can happen."""
