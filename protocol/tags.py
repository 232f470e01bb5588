"""A sharing tag in mode manual: somebody activates it, and it stays where it is (H-26).

=============  =========  =======================================================================
state          trigger    reaction
=============  =========  =======================================================================
BACKUP         ACTIVATE   the next number is to be stored → CLAIMING (B3)
CLAIMING       ACTIVATE   as before, now because a person wants it
ACTIVE         ACTIVATE   the claim is told again (H-2)
HANDING_OVER   ACTIVATE   → CLAIMING: the latest word counts
ACTIVE         RELEASE    the epoch is given up → BACKUP
CLAIMING       RELEASE    → BACKUP: nothing is claimed
HANDING_OVER   RELEASE    → BACKUP: the tag is not taken back
ACTIVE         HAND_OVER  the epoch is given up in favour of the target → HANDING_OVER (H-25)
CLAIMING       STORED     claimed → ACTIVE; too low by what is known now → the next number
CLAIMING       LOST       a person wants it → the next number; the other one is in the right →
                          BACKUP; else tried again later
CLAIMING       FAILED     a person wants it → BACKUP, or by force → ACTIVE; else tried again later
BACKUP         NEWS       released in favour of me, and I am fit → CLAIMING (H-25);
                          claimed in the name of this life, but not by it → given up
CLAIMING       NEWS       what it was for is no more → BACKUP
ACTIVE         NEWS       a higher claim: of another node → BACKUP; in my own name → CLAIMING
HANDING_OVER   NEWS       a higher claim → BACKUP; the target is gone or not fit → CLAIMING
=============  =========  =======================================================================

NEWS is whatever is heard of claims and nodes. Only a higher claim makes me step down (H-21), and I
claim only under numbers above all that I know: so of all who were active the owner of the highest
claim goes on, and nobody else.

A hand-over needs no message of its own: the released claim names the life that is to take over. It
is flooded and repaired like any other claim, and no two nodes are active at once. Should the target
be gone before it claims, I take the tag back; a store that all share decides who was first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import ClassVar

import msgspec

from .because import Cause, because
from .effects import Effect
from .errors import Misuse
from .identity import Incarnation, NodeId
from .tag_base import Tag
from .tag_messages import Claim
from .tag_words import (
    MAX_EPOCH_NUMBER,
    Answered,
    KeepClaim,
    Owner,
    Spread,
    StoreEpoch,
    StoreRelease,
    TagState,
    TagView,
)

MAX_TRIES = 8
"""Numbers asked for in one activation, when others activate the tag at the same time."""
STORE_RETRY_S = 2.0
"""Until a claim that no person waits for is tried again."""
ALONE_INTERVALS = 3
"""Ping intervals in which a starting node waits for the first other one to appear (H-23)."""

_CONFIGURED = because("configured to be active here", Cause.TAG_CONFIGURED)
_DEFENDED = because("something else was claimed in my name", Cause.TAG_DEFENDED)
BACKUP, CLAIMING = TagState.BACKUP, TagState.CLAIMING
ACTIVE, HANDING_OVER = TagState.ACTIVE, TagState.HANDING_OVER


class Trigger(Enum):
    """What can happen to a tag."""

    ACTIVATE = "activate"
    RELEASE = "release"
    HAND_OVER = "hand_over"
    STORED = "stored"
    LOST = "lost"
    FAILED = "failed"
    NEWS = "news"


class Purpose(Enum):
    """Why a tag is being claimed."""

    PERSON = "person"
    START = "start"
    STEAL = "steal"
    NAMED = "named"
    TAKE_BACK = "take_back"
    DEFENCE = "defence"


class TagRules(Tag):
    """The machine of the table above."""

    mode = "manual"
    _purpose = Purpose.PERSON
    _reason = ""
    _forced = False
    _tries = 0
    _attempts = 0
    _retry_at: float | None = None
    _start_at: float | None = None
    _start_interval_s = 0.0
    _steals = False
    _void: Claim | None = None
    """An offer that its maker took back, as the store knows."""

    # What happens ------------------------------------------------------------------------------

    def begin(self, view: TagView, now: float, *, ping_interval_s: float, steal: bool) -> None:
        """See `Tag.begin`; `tick` decides.

        Not before others have been in sight for one ping interval; with ``steal`` then also when
        another node has the tag.
        """
        super().begin(view, now, ping_interval_s=ping_interval_s, steal=steal)
        self._start_interval_s, self._steals = ping_interval_s, steal
        intervals = ALONE_INTERVALS if view.others and not view.lives else 1
        self._start_at = now + intervals * ping_interval_s

    def activate(self, reason: str, now: float, *, force: bool = False) -> list[Effect]:
        """See `Tag.activate`; `Misuse` when there is no number left."""
        if self._seen >= MAX_EPOCH_NUMBER:
            raise Misuse(f"{self._name} has no epoch after {self._seen}: take another tag")
        return self._fire(Trigger.ACTIVATE, now, reason, force)

    def release(self, reason: str, now: float) -> list[Effect]:
        """See `Tag.release`."""
        if self.state is BACKUP:
            raise self._not_active()
        return self._fire(Trigger.RELEASE, now, reason)

    def hand_over(self, to: NodeId, reason: str, now: float) -> list[Effect]:
        """See `Tag.hand_over`; `Answered` tells whether the other node took it."""
        self._check_hand_over(to)
        return self._fire(Trigger.HAND_OVER, now, to, reason)

    def view_changed(self, view: TagView, now: float) -> list[Effect]:
        """See `Tag.view_changed`."""
        if self._start_at is not None and view.lives and not self.view.lives:
            self._start_at = now + self._start_interval_s
        return super().view_changed(view, now)

    def stored(self, attempt: int, number: int, now: float) -> list[Effect]:
        """`StoreEpoch`: done; ``number`` is mine."""
        return self._answered(attempt, Trigger.STORED, now, number)

    def store_lost(self, attempt: int, number: int, owner: NodeId, now: float) -> list[Effect]:
        """`StoreEpoch`: refused, since ``owner`` has a number above the one I had seen."""
        self._seen = max(self._seen, number)
        return self._answered(attempt, Trigger.LOST, now, owner)

    def store_failed(self, attempt: int, error: str, now: float) -> list[Effect]:
        """`StoreEpoch`: the store cannot be asked, and the number may be stored or not."""
        return self._answered(attempt, Trigger.FAILED, now, error)

    def stop(self, reason: str, now: float) -> list[Effect]:
        """See `Tag.stop`. The epoch stays mine: nobody takes over by himself (H-4)."""
        self._start_at = None
        if self.state is ACTIVE:
            self._deactivate(because(reason, Cause.NODE_STOPS))
        else:
            self._become_backup(reason)
        return self._proceed(now)

    def tick(self, now: float) -> list[Effect]:
        """See `Tag.tick`."""
        if self._start_at is not None and now >= self._start_at:
            self._start_at = None
            if self.state is BACKUP and (self._steals or self.holding().node_id is None):
                purpose = Purpose.STEAL if self._steals else Purpose.START
                self._claim(purpose, _CONFIGURED)
        if self._retry_at is not None and now >= self._retry_at:
            self._ask()
        return self._proceed(now)

    @property
    def deadline(self) -> float | None:
        """See `Tag.deadline`."""
        return min((t for t in (self._start_at, self._retry_at) if t is not None), default=None)

    # Reactions, as in the table ----------------------------------------------------------------

    def _activate(self, _now: float, reason: str, force: bool) -> None:
        self._claim(Purpose.PERSON, reason)
        self._forced = force

    def _activate_too(self, _now: float, reason: str, force: bool) -> None:
        self._forced = force or self._forced
        self._purpose, self._reason = Purpose.PERSON, reason
        if self._retry_at is not None:
            self._ask()

    def _tell_again(self, _now: float, _reason: str, _force: bool) -> None:
        assert self._mine is not None
        self._effects += [Spread(self._mine), Answered()]

    def _activate_back(self, now: float, reason: str, force: bool) -> None:
        self._answer(f"it was activated here again: {reason}")
        self._activate(now, reason, force)

    def _release(self, _now: float, reason: str) -> None:
        self._give_up(reason, None)

    def _cancel(self, _now: float, reason: str) -> None:
        self._become_backup(f"it was released meanwhile: {reason}")

    def _offer(self, _now: float, to: NodeId, reason: str) -> None:
        self._give_up(reason, Owner(to, Incarnation(self.view.lives[to])))
        self.state = HANDING_OVER

    def _claim_stored(self, _now: float, number: int) -> None:
        if self._outranked(number):
            self._ask_again("others claim it at the same time")
        else:
            self._succeed(number, self._reason)

    def _ask_higher(self, now: float, owner: NodeId) -> None:
        # A number of my own is one whose storing I was not told of.
        if self._purpose in (Purpose.PERSON, Purpose.STEAL) or owner == self.me.node_id:
            self._ask_again(f"node {owner} claims it at the same time")
        elif self._yields_to(owner):
            self._void = self.known
            self._become_backup("")
        else:
            self._retry_at = now + STORE_RETRY_S

    def _do_without(self, now: float, error: str) -> None:
        if self._purpose is not Purpose.PERSON:
            self._retry_at = now + STORE_RETRY_S
        elif self._forced and self._seen < MAX_EPOCH_NUMBER:
            self._succeed(self._seen + 1, f"{self._reason} (forced, unsafe: not stored, {error})")
            assert self._mine is not None
            self._effects.append(KeepClaim(self._mine))
        else:
            self._become_backup(f"{error}; by force one epoch might have two owners")

    def _look_around(self, _now: float) -> None:
        claim = self.known
        if claim is None or claim in (self._mine, self._void):
            return
        if self._names_me(claim) and self.me.node_id in self.view.fit:
            text = f"handed over by node {claim.owner}: {claim.reason}"
            self._claim(Purpose.NAMED, because(text, Cause.TAG_HANDED_OVER))
        elif self._is_ghost(claim) and not claim.released:
            gone = msgspec.structs.replace(claim, inferred=False, released=True)
            self._own(msgspec.structs.replace(gone, reason="never claimed"))

    def _check_purpose(self, _now: float) -> None:
        if not self._stands():
            self._become_backup("")

    def _check_rank(self, _now: float) -> None:
        claim = self.known
        assert claim is not None
        if claim == self._mine:
            return
        self._lose_to(claim)
        if self._is_mine(claim):
            self._claim(Purpose.DEFENCE, _DEFENDED)

    def _check_target(self, _now: float) -> None:
        claim, mine = self.known, self._mine
        assert claim is not None
        assert mine is not None
        assert mine.successor is not None
        node, life = NodeId(mine.successor[0]), mine.successor[1]
        if claim != mine:
            self._become_backup("" if claim.owner == node else f"node {claim.owner} claimed it")
        elif self.view.lives.get(node) != life:
            self._take_back(f"node {node} went away before it took the tag")
        elif node not in self.view.fit:
            self._take_back(f"the data of node {node} is no longer complete")

    # Parts of reactions ------------------------------------------------------------------------

    def _names_me(self, claim: Claim) -> bool:
        return claim.released and claim.successor == tuple(self.me)

    def _is_ghost(self, claim: Claim) -> bool:
        """Made in the name of this life or a later one, though not by me."""
        return self._is_mine(claim) and claim.incarnation >= self.me.incarnation

    def _is_mine(self, claim: Claim) -> bool:
        return claim.owner == self.me.node_id

    def _stands(self) -> bool:
        """Is there still what the tag is being claimed for?"""
        claim = self.known
        match self._purpose:
            case Purpose.PERSON | Purpose.STEAL:
                return True
            case Purpose.START:
                return self.holding().node_id is None
            case Purpose.NAMED:
                return claim is not None and self._names_me(claim)
            case Purpose.TAKE_BACK:
                return claim == self._mine
            case Purpose.DEFENCE:
                return claim is not None and self._is_mine(claim)

    def _yields_to(self, owner: NodeId) -> bool:
        """A claim that no person waits for: is that node in the right, which I may not hear now?

        A third node that stored a number and does not claim the tag makes no difference.
        """
        match self._purpose:
            case Purpose.NAMED:
                return self.known is not None and owner == self.known.owner
            case Purpose.TAKE_BACK:
                successor = self._mine.successor if self._mine else None
                return successor is not None and owner == successor[0]
            case _:
                return self._purpose is Purpose.START

    def _claim(self, purpose: Purpose, reason: str) -> None:
        self._purpose, self._reason, self._tries, self._forced = purpose, reason, 0, False
        self.state = CLAIMING
        self._ask()

    def _take_back(self, why: str) -> None:
        self._answer(f"it comes back: {why}")
        self._claim(Purpose.TAKE_BACK, because(why, Cause.TAG_TAKEN_BACK))

    def _ask(self) -> None:
        """Ask the store for the number after all I have seen."""
        self._retry_at = None
        self._tries += 1
        self._attempts += 1
        self._effects.append(StoreEpoch(self._attempts, self._seen))

    def _ask_again(self, why: str) -> None:
        if self._tries < MAX_TRIES and self._seen < MAX_EPOCH_NUMBER:
            self._ask()
        else:
            self._become_backup(f"{why}; try again")

    def _succeed(self, number: int, reason: str) -> None:
        if self._purpose is Purpose.PERSON:
            self._answer("")
        self._take(number, reason)

    def _become_backup(self, refusal: str) -> None:
        """It is not claimed here, or no longer handed over; whoever waits is told."""
        if self.state is HANDING_OVER or (
            self.state is CLAIMING and self._purpose is Purpose.PERSON
        ):
            self._answer(refusal)
        self._retry_at = None
        self._attempts += 1  # nothing is expected of the store any more
        self.state = BACKUP

    def _answer(self, refusal: str) -> None:
        self._effects.append(Answered(f"{self._name}: {refusal}" if refusal else ""))

    # The frame around every input --------------------------------------------------------------

    def _answered(self, attempt: int, trigger: Trigger, now: float, word: object) -> list[Effect]:
        expected = attempt == self._attempts and self.state is CLAIMING
        if trigger is Trigger.STORED:
            assert isinstance(word, int)
            self._seen = max(self._seen, word)
            if not expected:
                self._effects.append(StoreRelease(word))
        return self._fire(trigger, now, word) if expected else self._proceed(now)

    def _fire(self, trigger: Trigger, now: float, *word: object) -> list[Effect]:
        self.TABLE[self.state, trigger](self, now, *word)
        return self._proceed(now)

    def _consider(self, _now: float) -> None:
        self.TABLE[self.state, Trigger.NEWS](self, _now)

    TABLE: ClassVar[Mapping[tuple[TagState, Trigger], Callable[..., None]]] = {
        (BACKUP, Trigger.ACTIVATE): _activate,
        (CLAIMING, Trigger.ACTIVATE): _activate_too,
        (ACTIVE, Trigger.ACTIVATE): _tell_again,
        (HANDING_OVER, Trigger.ACTIVATE): _activate_back,
        (ACTIVE, Trigger.RELEASE): _release,
        (CLAIMING, Trigger.RELEASE): _cancel,
        (HANDING_OVER, Trigger.RELEASE): _cancel,
        (ACTIVE, Trigger.HAND_OVER): _offer,
        (CLAIMING, Trigger.STORED): _claim_stored,
        (CLAIMING, Trigger.LOST): _ask_higher,
        (CLAIMING, Trigger.FAILED): _do_without,
        (BACKUP, Trigger.NEWS): _look_around,
        (CLAIMING, Trigger.NEWS): _check_purpose,
        (ACTIVE, Trigger.NEWS): _check_rank,
        (HANDING_OVER, Trigger.NEWS): _check_target,
    }
    """The table at the top, for the machine. No other pair can happen."""
