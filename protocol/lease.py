"""The lease on one sharing tag, as one node sees it: who has the row has the tag (B4).

The row in the database names an owner, a number and a time, by the clock of the database, until
which nobody else can take it. One request to the database is under way at a time.

========  ================  ===================================================================
state     trigger           reaction
========  ================  ===================================================================
WATCHING  time              the row is read; free, and it is my turn: the lease is asked for
WATCHING  acquired          → HOLDING until `asked + ttl − safety`; too late by then, or asked for
                            as a deputy (`lease_candidates`): given up
WATCHING  refused           somebody was faster; the row tells until when
HOLDING   time              renewed; at the end of the lease → WATCHING, whatever else happens
HOLDING   renewed           until `asked + ttl − safety`
HOLDING   refused           the row is another's → WATCHING
any       dismissed         the database knows no such node: → WATCHING, and the row is released
HOLDING   failed            tried again; failsafe: the other nodes are asked for a vow
HOLDING   every node vowed  until `asked + ttl − safety`
HOLDING   give up           → WATCHING, and the row is released
========  ================  ===================================================================

Two nodes never have the tag at one instant. The owner counts from when it *asked*, by its own
clock; the database from when it was asked, by its own; the safety covers what both clocks can be
wrong by (`lease_words`). A process that was stopped for longer finds its token invalid when it goes
on, before it has looked at anything else.

A node that is asking for the lease itself gives no vow (`lease_vows`), and one that has just
started, and may have given vows in its earlier life, does not take a lease that ran out within its
first ttl.

The turn of a candidate (`lease_candidates`) comes as many delays after the row became free as
others are before it. Somebody who gave the lease up lets others try first, and so does everybody
when a successor was named.
"""

from __future__ import annotations

import math
from enum import Enum

from .because import About, Cause, because
from .effects import Count, Effect, SendTo
from .identity import ClusterId, NodeId
from .lease_candidates import candidates, deputies, is_elector, why_not
from .lease_vows import Consent, terms_of
from .lease_words import (
    Acquire,
    GiveUp,
    LeaseExtended,
    LeaseOver,
    LeaseSettings,
    LeaseStanding,
    LeaseView,
    LeaseWon,
    ReadRow,
    Renew,
)
from .tag_messages import Vow, VowRequest
from .tag_words import Owner, TagRow

NEVER = math.inf


class Request(Enum):
    """What the database is being asked."""

    READ = "read"
    ACQUIRE = "acquire"
    RENEW = "renew"
    GIVE_UP = "give_up"


class LeaseRules:
    """The machine of the table above. Times are seconds of this node's monotonic clock."""

    def __init__(
        self,
        *,
        cluster_id: ClusterId,
        tag: str,
        me: Owner,
        settings: LeaseSettings,
        view: LeaseView,
        now: float,
    ) -> None:
        """The node starts now."""
        self.row: TagRow | None = None
        """As it was when it was read or written last."""
        self.trouble = ""
        """Why the database did not do what it was asked the last time; empty = it answered."""
        self.holding = False
        self.until_s = -math.inf
        """When a lease that I hold ends, by my clock."""
        self._cluster_id = cluster_id
        self._tag = tag
        self._store = About("lease", tag)
        self._consent = Consent(cluster_id, tag, me.node_id)
        self._me = me
        self._settings = settings
        self._view = view
        self._born = now
        self._request: Request | None = None
        self._asked_at = now
        self._read_at = now
        self._free_at = NEVER
        """When the row is, or became, free, by my clock; `NEVER` = not by itself."""
        self._renew_at = NEVER
        self._number = 0
        """Of the lease I hold."""
        self._seen = 0
        """The highest number heard of, in rows and claims."""
        self._vowed_until = -math.inf
        """I promised not to take the tag until then."""
        self._waits_until = -math.inf
        """Others may try first until then."""
        self._again_at = -math.inf
        """The database failed: it is not asked for the lease before."""
        self._named_until = -math.inf
        """I am the successor named, so I look often until then."""
        self._to_release: int | None = None
        """A number under which the row is mine, though I do not hold the lease."""
        self._unsure = False
        """I asked for the lease, and do not know whether I got it."""
        self._rival: tuple[NodeId, float] | None = None
        """A preferred node that could have the tag, and since when."""
        self._effects: list[Effect] = []

    # What happens ------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """The deadline passed."""
        return self._proceed(now)

    def row_read(self, row: TagRow | None, now: float) -> list[Effect]:
        """`ReadRow`: so it stands; None = there is none, so nobody has claimed the tag."""
        assert self._request is Request.READ
        self._note(row, now)
        if row is not None and row.owner == self._me and row.left_s > 0:
            self._to_release = row.number  # an answer was lost
        return self._proceed(now)

    def acquired(self, row: TagRow, now: float) -> list[Effect]:
        """`Acquire`: the row is mine, as it stands."""
        assert self._request is Request.ACQUIRE
        self._note(row, now)
        until_s = self._asked_at + self._lasts_s
        deputy = why_not(self._me.node_id, row, self._view, self._me.node_id)
        if now < until_s and not self._to_wait(now) and not deputy:
            self.holding, self.until_s, self._number = True, until_s, row.number
            self._renew_at = self._asked_at + self._settings.renew_s
            self._consent.stored()
            self._named_until = -math.inf
            self._effects.append(LeaseWon(row.number, until_s))
        else:
            self._to_release = row.number
        return self._proceed(now)

    def renewed(self, row: TagRow, now: float) -> list[Effect]:
        """`Renew`: it lasts ttl from some moment after I asked."""
        assert self._request is Request.RENEW
        self._note(row, now)
        if self.holding:
            self._extend(self._asked_at)
            self._consent.stored()
            self._renew_at = self._asked_at + self._settings.renew_s
        else:
            self._to_release = row.number
        return self._proceed(now)

    def refused(self, row: TagRow | None, now: float) -> list[Effect]:
        """`Acquire` or `Renew`: the row is not mine, as it stands; None = there is none."""
        assert self._request in (Request.ACQUIRE, Request.RENEW)
        if self._request is Request.ACQUIRE:
            self._again_at = now + self._settings.rank_delay_s  # the row may not tell why
        self._note(row, now)
        if self.holding:
            whose = f"node {row.owner.node_id}" if row is not None and row.owner else "nobody"
            lost = f"the lease is no longer mine: {whose} has it"
            self._end(because(lost, Cause.LEASE_LOST), None)
        return self._proceed(now)

    def given_up(self, now: float) -> list[Effect]:
        """`GiveUp`: the row is free, or was not mine."""
        assert self._request is Request.GIVE_UP
        self._request, self._to_release = None, None
        self._read_at = now
        return self._proceed(now)

    def dismissed(self, why: str, now: float) -> list[Effect]:
        """`Acquire` or `Renew`: this node is not provisioned, whatever its roster says."""
        assert self._request in (Request.ACQUIRE, Request.RENEW)
        self._request, self.trouble = None, why
        self._read_at = self._again_at = now + self._settings.retry_s
        if self.holding:
            self._end(because(why, Cause.NOT_PROVISIONED), None)
            self._to_release = self._number
        return self._proceed(now)

    def failed(self, error: str, now: float) -> list[Effect]:
        """Any request: the database cannot be asked; what was asked may have been done or not."""
        assert self._request is not None
        self.trouble = error
        if self._request is Request.GIVE_UP:
            self._to_release = None  # it ends by itself
        self._unsure = self._unsure or self._request is Request.ACQUIRE
        self._request = None
        self._read_at = self._renew_at = self._again_at = now + self._settings.retry_s
        if self.holding and self._settings.failsafe:
            self._ask_for_vows(now)
        return self._proceed(now)

    def view_changed(self, view: LeaseView, now: float) -> list[Effect]:
        """The members, the reachable nodes or the states of capabilities changed."""
        self._view = view
        return self._proceed(now)

    def look(self, number: int, successor: NodeId | None, now: float) -> list[Effect]:
        """`LookAtLease`: something was heard of the tag, so the row may be another one."""
        self._seen = max(self._seen, number)
        self._read_at = now
        if successor == self._me.node_id:
            self._named_until, self._waits_until = now + self._settings.ttl_s, -math.inf
        elif successor in self._view.lives and successor in self._view.fit:
            self._waits_until = now + self._settings.renew_s
        return self._proceed(now)

    def give_up(self, reason: str, successor: NodeId | None, now: float) -> list[Effect]:
        """`LeaveLease`: let another node have the tag."""
        self._waits_until = now + self._settings.ttl_s
        if self.holding:
            self._end(reason, successor)
            self._to_release = self._number
        return self._proceed(now)

    def receive(self, sender: NodeId, message: VowRequest | Vow, now: float) -> list[Effect]:
        """A message about this tag from the authenticated neighbour ``sender``."""
        if sender not in self._view.members or sender == self._me.node_id:
            return [Count("G-4")]
        if isinstance(message, VowRequest):
            self._consider_vow(sender, message, now)
        elif self.holding and self._consent.given(sender, message):
            self._count_vows()
        else:
            self._effects.append(Count("B4"))
        return self._proceed(now)

    @property
    def electors(self) -> tuple[NodeId, ...]:
        """To be stored with `Acquire` and `Renew`, by id."""
        return self._consent.electors

    @property
    def standing(self) -> LeaseStanding:
        """Who may take it, as seen from here."""
        known = (self.row, self._view, self._me.node_id)
        return LeaseStanding(self.row, {n: why_not(n, *known) for n in self._view.members})

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called."""
        times = []
        if self.holding:
            times.append(self.until_s)
            if self._rival is not None and self._settings.failback_s is not None:
                times.append(self._rival[1] + self._settings.failback_s)
        if self._request is None:
            times += [self._renew_at] if self.holding else [self._read_at, self._turn_at()]
        return min((t for t in times if t < NEVER), default=None)

    # Reactions ---------------------------------------------------------------------------------

    def _proceed(self, now: float) -> list[Effect]:
        """Do what is due."""
        if self.holding and now >= self.until_s:
            self._end(because("the lease ran out", Cause.LEASE_RAN_OUT, self._store), None)
        if self.holding:
            self._fail_back(now)
        if self._request is None:
            self._ask_database(now)
        effects, self._effects = self._effects, []
        return effects

    def _ask_database(self, now: float) -> None:
        if self._to_release is not None:
            self._ask(Request.GIVE_UP, GiveUp(self._to_release), now)
        elif self.holding:
            if now >= self._renew_at:
                self._ask(Request.RENEW, Renew(self._number), now)
        elif now >= self._turn_at():
            self._ask(Request.ACQUIRE, Acquire(self._seen), now)
        elif now >= self._read_at:
            self._ask(Request.READ, ReadRow(), now)

    def _ask(self, request: Request, effect: Effect, now: float) -> None:
        self._request, self._asked_at = request, now
        if request in (Request.ACQUIRE, Request.RENEW):
            self._consent.sending(self._view)
        self._effects.append(effect)

    def _note(self, row: TagRow | None, now: float) -> None:
        """An answer: this is the row."""
        self._request, self._unsure = None, False
        self.row, self.trouble = row, ""
        often = now < self._named_until
        pause_s = self._settings.rank_delay_s if often else self._settings.renew_s
        self._read_at = now + pause_s
        if row is not None:
            self._seen = max(self._seen, row.number)
        free_at = self._freed_at(row, now)
        # When it became free counts, not when I looked: others before me have had their time.
        self._free_at = min(self._free_at, free_at) if free_at <= now else free_at

    def _freed_at(self, row: TagRow | None, now: float) -> float:
        if row is None or (row.released and not row.paused):
            return now
        foreign = row.owner is None or row.owner.node_id != self._me.node_id
        if row.paused or (row.mode == "manual" and foreign):
            return NEVER
        if not is_elector(self._me.node_id, row):
            return NEVER  # its owner may go on without having asked me
        guard_s = self._born + self._settings.ttl_s if self._settings.failsafe else now
        return max(now + row.left_s, guard_s)

    def _turn_at(self) -> float:
        """When I may ask for the lease, by what I know."""
        node, known = self._me.node_id, (self.row, self._view, self._me.node_id)
        order = candidates(*known) or deputies(*known)
        at = max(self._free_at, self._vowed_until, self._waits_until, self._again_at)
        return at + self._settings.rank_delay_s * order.index(node) if node in order else NEVER

    def _to_wait(self, now: float) -> bool:
        return now < max(self._vowed_until, self._waits_until)

    def _end(self, reason: str, successor: NodeId | None) -> None:
        self.holding = False
        self._rival = None
        self._effects.append(LeaseOver(reason, successor))

    def _extend(self, asked_at: float) -> None:
        until_s = asked_at + self._lasts_s
        if until_s > self.until_s:
            self.until_s = until_s
            self._effects.append(LeaseExtended(until_s))

    @property
    def _lasts_s(self) -> float:
        """How long I may go on from when I asked."""
        return self._settings.ttl_s - self._settings.safety_s

    def _fail_back(self, now: float) -> None:
        """Give the tag to the best of the preferred nodes when it has been fit for long."""
        row, delay_s = self.row, self._settings.failback_s
        if row is None or row.paused or not row.preferred or delay_s is None:
            self._rival = None
            return
        order = candidates(row, self._view, self._me.node_id)
        best = next(iter(order), self._me.node_id)
        if best == self._me.node_id:
            self._rival = None
        elif self._rival is None or self._rival[0] != best:
            self._rival = best, now
        elif now >= self._rival[1] + delay_s:
            self._end(because(f"node {best} is preferred", Cause.LEASE_PREFERRED), best)
            self._to_release = self._number
            self._waits_until = now + self._settings.ttl_s

    # Failsafe ----------------------------------------------------------------------------------

    def _ask_for_vows(self, now: float) -> None:
        asked = self._consent.ask(self._number, self._settings, self._view, now)
        self._effects += asked
        self._count_vows()

    def _count_vows(self) -> None:
        if self._consent.complete(self._view):
            self._extend(self._consent.asked_at)

    def _consider_vow(self, sender: NodeId, request: VowRequest, now: float) -> None:
        """Let the owner go on, unless I may have the tag, or somebody I know of."""
        if (
            self.holding
            or self._request is Request.ACQUIRE
            or self._unsure  # what I asked for may be mine, and go on to others
            or self._to_release is not None
            or request.number < self._seen
            or request.members != terms_of(self._settings, self._view)
            or not self._settings.failsafe  # I would not keep it over a restart
        ):
            self._effects.append(Count("B4"))
            return
        self._vowed_until = max(self._vowed_until, now + self._settings.ttl_s)
        vow = Vow(self._cluster_id, self._tag, request.number, request.round)
        self._effects.append(SendTo(sender, vow))
