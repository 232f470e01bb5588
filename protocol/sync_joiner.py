"""The joiner's side of a sync: from the choice of a donor to verified data (S-20 … S-29, B6).

The theory. A sync is a sequence of tries, each a session with one donor (`sync_try`, which has the
rows of REQUESTED and RECEIVING). ``P`` = sync_timeout.

==========  =================  =================================================================
state       trigger            reaction
==========  =================  =================================================================
CHOOSING    SECTIONS           choose a donor: a try with it → REQUESTED
CHOOSING    TICK (P)           → FAILED: the application does not answer
REQUESTED,  the try is
RECEIVING   - LOST             leave that donor out from now on → CHOOSING; only of tags that it
                               does not have any more, and ask for the rest (K-6)
            - STUCK            → FAILED: the application does not answer
            - COMPLETE         → VERIFYING
VERIFYING   EXTRAS             kept
VERIFYING   no EXTRAS missing  differs: a second try, with what differs → REQUESTED; differs
                               again → FAILED; agrees: SyncStop(done), mirror → APPLYING or → DONE
APPLYING    MIRRORED           → DONE
those two   TICK (P)           → FAILED: the application does not answer
those four  tags_changed       a tag is active here, or another owner is known: the try ends, the
                               rest is asked for again → CHOOSING; nothing is left → FAILED
any         cancel             → FAILED
==========  =================  =================================================================

CHOOSING with no donor left is FAILED, at once and at any time; the capability tries again later.

Why every sync ends (I6): each donor is tried once, one of them twice, and every state is left in
bounded time. With d donors of finite data that is, after the last fault, within
(d + 2) · (Q + 2·P), Q the request_timeout, beside the time the data takes.

Why ``done`` is true (I5): what came is one session's worth of chunks, each whole, once and in
order; the application has taken them; and every record is in the sums that are compared with the
donor's, section by section and tag by tag. So is a record that the application refuses: it
arrived, and is counted.

Each try has a session id of its own, so what is late belongs to none, is dropped and counted
(S-20). A lost donor leaves nothing to remember: the application is asked anew what is here now,
the next donor is told (``have``) and sends the sections that are missing. What a session that
failed has brought stays: records have versions, nothing is deleted for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from .contract import TagEvidence
from .effects import Count, Effect
from .errors import Misuse
from .identity import NodeId
from .messages import Routed, Section, SyncId, SyncRequest
from .sync_account import Account
from .sync_extras import Extras
from .sync_sections import SectionKey, check_sections, nameable, portion
from .sync_terms import evidence_of, gone
from .sync_try import Try
from .sync_words import (
    PROGRESS_INTERVAL_S,
    AskSections,
    Candidate,
    Choose,
    Finished,
    Here,
    JoinerState,
    JoinerTrigger,
    MirrorStep,
    Progressed,
    SyncSettings,
    TryState,
    Why,
    Wish,
)
from .tag_words import TagHere


class Joiner:
    """The machine of one sync; see the table above. Times are seconds of a monotonic clock."""

    def __init__(
        self,
        here: Here,
        wish: Wish,
        settings: SyncSettings,
        choose: Choose,
        counters: Iterator[int],
    ) -> None:
        """``counters`` numbers the sessions of this life and capability, growing."""
        self.here = here
        self.wish = wish
        self.settings = settings
        self.state = JoinerState.CHOOSING
        self._choose = choose
        self._counters = counters
        self._excluded: frozenset[NodeId] = frozenset()
        self._reason: str = Why.NO_DONOR
        """Why the last donor was given up."""
        self._try: Try | None = None
        self._second_try = False
        self._local: Sequence[Section] = ()
        """The application's sections before the present donor's records came."""
        self._extras: Extras | None = None
        """When the sync is to be mirrored."""
        self._buckets: list[int] = []
        """Asked for; none = all."""
        self._account = Account()
        self._evidence: tuple[TagEvidence, ...] = ()
        self._progress_at = 0.0
        self._effects: list[Effect] = []

    # What happens -------------------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Begin; once."""
        self._account.began_at = now
        self._look_for_donor(now)
        return self._flush()

    def receive(self, message: Routed, now: float) -> list[Effect]:
        """A donor's message; what is not of the present session is dropped and counted (S-20)."""
        if self._try is None or self._try.state.over:
            return [Count("S-20")]
        return self._go_on(self._try, self._try.receive(message, now), now)

    def applied(self, session: int, number: int, refused: int, now: float) -> list[Effect]:
        """The application took a chunk, but for so many records that it refused."""
        self._account.refused += refused
        if self._try is None:
            return []
        return self._go_on(self._try, self._try.applied(session, number, refused, now), now)

    def donor_changed(
        self, node_id: NodeId, *, reachable: bool, incarnation: int | None, now: float
    ) -> list[Effect]:
        """News of a node; only the present donor matters."""
        if self._try is None or node_id != self._try.donor.node_id:
            return []
        effects = self._try.donor_changed(reachable=reachable, incarnation=incarnation, now=now)
        return self._go_on(self._try, effects, now)

    def tags_changed(self, tags: Sequence[TagHere], now: float) -> list[Effect]:
        """How the claimed tags stand here now (K-1, K-7)."""
        lost = gone(self.wish, tags)
        if lost and self.state in _BEFORE_THE_END:
            self._close_try(Why.TAG_MOVED)
            self._go_on_without(lost, now)
        return self._flush()

    def sections(self, sections: Sequence[Section], now: float) -> list[Effect]:
        """The application's answer to `AskSections`."""
        wanted = [section for section in sections if self.wish.covers(section.tag)]
        return self._fire(JoinerTrigger.SECTIONS, now, wanted)

    def extra_keys(
        self, session: int, tag: str, bucket: int, keys: Sequence[bytes], now: float
    ) -> list[Effect]:
        """The application's answer to `AskExtraKeys`."""
        if self._try is None or self._extras is None or session != self._try.counter:
            return []
        self._extras.answered((tag, bucket), keys)
        return self._fire(JoinerTrigger.EXTRAS, now, None)

    def mirrored(self, dropped: int, plan_id: int | None, now: float) -> list[Effect]:
        """The mirror step is over, or waits for confirmation."""
        return self._fire(JoinerTrigger.MIRRORED, now, (dropped, plan_id))

    def cancel(self, reason: str, now: float) -> list[Effect]:
        """The sync is not wanted any more: it fails with this reason."""
        if not self.state.over:
            self._fail(now, reason)
        return self._flush()

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called; None = never."""
        if self.state.over:
            return None
        if self._try is not None and not self._try.state.over:
            return self._try.deadline
        return self._progress_at + self.settings.sync_timeout_s

    def tick(self, now: float) -> list[Effect]:
        """The deadline passed."""
        if self.deadline is None or now < self.deadline:
            return []
        if self._try is not None and not self._try.state.over:
            return self._go_on(self._try, self._try.tick(now), now)
        return self._fire(JoinerTrigger.TICK, now, None)

    # Reactions, one per row of the table ----------------------------------------------------

    def _fire(self, trigger: JoinerTrigger, now: float, what: object) -> list[Effect]:
        reaction = self.TABLE.get((self.state, trigger))
        if reaction is not None:
            reaction(self, now, what)
        return self._flush()

    def _go_on(self, current: Try, effects: list[Effect], now: float) -> list[Effect]:
        """Something happened in the present try."""
        self._effects += effects
        if self.state is JoinerState.REQUESTED and current.state is TryState.RECEIVING:
            self._enter(JoinerState.RECEIVING, now)
        elif current.state in self.OUTCOMES and self.state in _TRYING:
            self.OUTCOMES[current.state](self, now, current)
        elif now - self._account.told_at >= PROGRESS_INTERVAL_S:
            self._tell_progress(now)
        return self._flush()

    def _begin_try(self, now: float, sections: Sequence[Section]) -> None:
        donor = self._choose(self._excluded)
        if donor is None:
            self._fail(now, self._reason)
            return
        try:
            check_sections(sections)
        except Misuse:
            self._fail(now, Why.APPLICATION)
            return
        if self.wish.first_bucket is not None:
            sections, self._buckets = portion(sections, self.wish.first_bucket)
        # those left unnamed are sent whole, so the largest are named
        largest = sorted(sections, key=lambda s: (-s.count, s.tag, s.bucket))
        have = largest[: nameable(section.tag for section in largest)]
        self._local = sections
        self._extras = Extras(sections, have) if self.wish.mirror else None
        self._ask(now, donor, have, [])

    def _lost(self, now: float, current: Try) -> None:
        moved = [tag for tag in current.moved if self.wish.covers(tag)]
        self._reason = current.reason
        self._close_try(current.reason)
        if moved:
            self._go_on_without(moved, now)
        else:
            self._excluded |= {current.donor.node_id}
            self._look_for_donor(now)

    def _complete(self, now: float, _current: Try) -> None:
        self._enter(JoinerState.VERIFYING, now)
        self._verify(now, None)

    def _verify(self, now: float, _nothing: None) -> None:
        self._progress_at = now
        current, extras = self._try, self._extras
        assert current is not None, "there is nothing to verify"
        if extras is not None and extras.waiting:
            return
        self._evidence = evidence_of(current, self.wish, now)
        missing = current.missing
        if missing != []:
            self._try_again(now, current.donor, missing)
        elif extras is None:
            self._finish(now, (0, None))
        elif asks := extras.rest(current.counter, current.serves):
            self._effects += asks
        else:
            self._enter(JoinerState.APPLYING, now)
            self._close_try(Why.DONE)
            self._effects.append(MirrorStep(extras.found(current.serves), self.wish.dry_run))

    def _stuck(self, now: float, _current: object) -> None:
        self._fail(now, Why.APPLICATION)

    # Parts of reactions ---------------------------------------------------------------------

    def _go_on_without(self, tags: Sequence[str], now: float) -> None:
        """These are not to be had; each time there are fewer, so this ends."""
        left = self.wish.without(tags)
        if left is None:
            self._fail(now, Why.TAG_MOVED)
        else:
            self.wish = left
            self._look_for_donor(now)

    def _look_for_donor(self, now: float) -> None:
        if self._choose(self._excluded) is None:
            self._fail(now, self._reason)
            return
        self._enter(JoinerState.CHOOSING, now)
        if self.wish.keyed:
            self._effects.append(AskSections(self.wish.tags))
        else:
            self._begin_try(now, [])

    def _ask(
        self, now: float, donor: Candidate, have: list[Section], only: list[SectionKey]
    ) -> None:
        wish = self.wish
        session = SyncId(self.here.node_id, self.here.incarnation, next(self._counters))
        head = self.here.head(donor.node_id)
        versions = wish.version_min, wish.version_max
        tags = list(wish.tags)
        tagged = list(wish.terms), wish.unowned
        request = SyncRequest(*head, session, *versions, tags, have, only, self._buckets, *tagged)
        covers = self.wish.covers
        self._try = Try(self.here, self.settings, donor, request, self._extras, now, covers)
        self._effects += self._try.start()
        self._enter(JoinerState.REQUESTED, now)

    def _try_again(self, now: float, donor: Candidate, missing: list[SectionKey] | None) -> None:
        """Ask for what differs once more; for everything when that cannot be named."""
        if self._second_try:
            self._fail(now, Why.VERIFY)
            return
        self._second_try = True
        self._close_try(Why.VERIFY)
        only = missing or []
        if nameable(tag for tag, _ in only) < len(only):
            only = []
        if self._extras is not None and not only:
            self._extras = Extras(self._local, [])
        self._ask(now, donor, [], only)

    def _close_try(self, word: str) -> None:
        """The session is over; ``word`` tells the donor so."""
        if self._try is not None:
            self._effects += self._try.stop(word)
            self._account.close(self._try)
            self._try = None

    def _finish(self, now: float, outcome: tuple[int, int | None]) -> None:
        self._close_try(Why.DONE)
        self._enter(JoinerState.DONE, now)
        report = self._account.report("", *outcome, now)
        report = msgspec.structs.replace(report, evidence=self._evidence)
        self._effects.append(Finished(report))

    def _fail(self, now: float, reason: str) -> None:
        assert reason, "a sync that fails says why"
        self._close_try(reason)
        self._enter(JoinerState.FAILED, now)
        self._effects.append(Finished(self._account.report(reason, 0, None, now)))

    def _enter(self, state: JoinerState, now: float) -> None:
        """The one place where the state changes."""
        self.state = state
        self._progress_at = now
        self._tell_progress(now)

    def _tell_progress(self, now: float) -> None:
        if self._try is not None:
            progress = self._account.progress(self._try, self.state, now)
            self._effects.append(Progressed(progress))

    def _flush(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    TABLE: ClassVar[
        Mapping[tuple[JoinerState, JoinerTrigger], Callable[[Joiner, float, Any], None]]
    ] = {
        (JoinerState.CHOOSING, JoinerTrigger.SECTIONS): _begin_try,
        (JoinerState.CHOOSING, JoinerTrigger.TICK): _stuck,
        (JoinerState.VERIFYING, JoinerTrigger.EXTRAS): _verify,
        (JoinerState.VERIFYING, JoinerTrigger.TICK): _stuck,
        (JoinerState.APPLYING, JoinerTrigger.MIRRORED): _finish,
        (JoinerState.APPLYING, JoinerTrigger.TICK): _stuck,
    }
    OUTCOMES: ClassVar[Mapping[TryState, Callable[[Joiner, float, Try], None]]] = {
        TryState.LOST: _lost,
        TryState.STUCK: _stuck,
        TryState.COMPLETE: _complete,
    }
    """Together the table at the top, for the machine; what is not in it changes nothing."""


_TRYING = (JoinerState.REQUESTED, JoinerState.RECEIVING)
_BEFORE_THE_END = (JoinerState.CHOOSING, *_TRYING, JoinerState.VERIFYING)
