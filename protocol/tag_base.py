"""What one node knows of one sharing tag, and how it has or gives up an epoch, in either mode.

The machines that decide when are `tags` (mode manual) and `leased_tags` (mode lease).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

import msgspec

from .because import Cause, because
from .effects import Announce, Effect
from .errors import Misuse
from .events import Event
from .identity import ClusterId, NodeId
from .messages import MAX_TEXT_CHARS
from .tag_messages import Claim, Mode
from .tag_words import (
    Activated,
    Change,
    Deactivated,
    Holding,
    Owner,
    Spread,
    StoreRelease,
    TagState,
    TagView,
    Token,
    epoch_of,
    holding,
    rank_of,
)

MAX_HISTORY = 20
"""Changes of a tag that are remembered."""


class Tag(ABC):
    """One tag on one node. Times are seconds of a monotonic clock."""

    mode: Mode

    def __init__(
        self,
        *,
        cluster_id: ClusterId,
        tag: str,
        me: Owner,
        priority: int,
        wall: Callable[[], float],
        known: Claim | None = None,
    ) -> None:
        """``known``: the highest claim so far; ``wall`` gives the time for the history."""
        self.me = me
        self.priority = priority
        """Of my row, now."""
        self.state = TagState.BACKUP
        self.known = known
        """The highest claim, mine included."""
        self.view = TagView()
        self.history: deque[Change] = deque(maxlen=MAX_HISTORY)
        """The last changes of the highest claim, the oldest first."""
        self._cluster_id = cluster_id
        self._tag = tag
        self._wall = wall
        self._seen = known.number if known else 0
        """The highest number heard of."""
        self._mine: Claim | None = None
        """The last claim I made in this life."""
        self._until = math.inf
        """When I stop being active whatever happens."""
        self._effects: list[Effect] = []

    # What happens ------------------------------------------------------------------------------

    def claim_heard(self, claim: Claim, now: float) -> list[Effect]:
        """Another node told this claim, and it is the highest now."""
        if self.known is not None and rank_of(claim) <= rank_of(self.known):
            return []
        self._know(claim)
        return self._proceed(now)

    def number_heard(self, number: int, now: float) -> list[Effect]:
        """The tag's next epoch must be above this number."""
        self._seen = max(self._seen, number)
        return self._proceed(now)

    def view_changed(self, view: TagView, now: float) -> list[Effect]:
        """Other nodes came or went, or their capabilities changed."""
        self.view = view
        return self._proceed(now)

    def begin(
        self,
        view: TagView,
        now: float,  # noqa: ARG002 - mode manual needs it
        *,
        ping_interval_s: float,  # noqa: ARG002 - mode manual needs it
        steal: bool,  # noqa: ARG002 - mode manual needs it
    ) -> None:
        """This node starts and is configured to have the tag (H-23)."""
        self.view = view

    @abstractmethod
    def activate(self, reason: str, now: float, *, force: bool = False) -> list[Effect]:
        """A person or the application wants the tag here; `Answered` tells what came of it.

        ``force``: also when the number cannot be stored, which may give one number twice.
        """

    @abstractmethod
    def release(self, reason: str, now: float) -> list[Effect]:
        """Give the tag up; nobody has it then. `Misuse` when it is not active here."""

    @abstractmethod
    def hand_over(self, to: NodeId, reason: str, now: float) -> list[Effect]:
        """Give the tag to another node, which must be able to take it (H-25).

        `Misuse` when it is not, or the tag is not active here; then nothing changes.
        """

    @abstractmethod
    def stop(self, reason: str, now: float) -> list[Effect]:
        """This node leaves the cluster. Nothing may be called after it."""

    @abstractmethod
    def tick(self, now: float) -> list[Effect]:
        """The deadline passed."""

    @property
    @abstractmethod
    def deadline(self) -> float | None:
        """When `tick` wants to be called; None = only what is heard can change anything."""

    # Questions ---------------------------------------------------------------------------------

    @property
    def token(self) -> Token | None:
        """Of the epoch I am active in; None = I am not."""
        if self.state is not TagState.ACTIVE:
            return None
        assert self._mine is not None
        return Token(self._cluster_id, self._tag, epoch_of(self._mine))

    def valid(self, token: Token, now: float) -> bool:
        """Am I active in exactly this epoch, now? (H-24)"""
        return now < self._until and token == self.token

    def holding(self) -> Holding:
        """Who has the tag, as seen here."""
        return holding(self.known, {**self.view.lives, self.me.node_id: self.me.incarnation})

    # For the machines --------------------------------------------------------------------------

    @abstractmethod
    def _consider(self, _now: float) -> None:
        """Do what follows from what is known."""

    def _proceed(self, now: float) -> list[Effect]:
        """The effects of one input, and of what follows from it."""
        before = None
        while before is not self.state:
            before = self.state
            self._consider(now)
        return self._take_effects()

    def _check_hand_over(self, to: NodeId) -> None:
        """`Misuse` unless I am active and that node can take the tag."""
        stays = f"{self._name} stays on this node"
        if self.state is not TagState.ACTIVE:
            raise self._not_active()
        if to == self.me.node_id:
            raise Misuse(f"{self._name} is active on node {to} already")
        if to not in self.view.lives:
            raise Misuse(f"{stays}: node {to} is not reachable")
        if to not in self.view.fit:
            raise Misuse(f"{stays}: node {to} lacks some of its data; wait until it is synced")

    def _not_active(self) -> Misuse:
        return Misuse(f"{self._name} is not active here: {self._whose}; ask the node that has it")

    def _know(self, claim: Claim) -> None:
        """This is the highest claim now."""
        self.known = claim
        self._seen = max(self._seen, claim.number)
        owner = None if claim.released else NodeId(claim.owner)
        change = Change(epoch_of(claim), owner, claim.reason, self._wall())
        if self.history and _same(self.history[-1], change):
            self.history.pop()  # as it was stored; this is how it was claimed
        self.history.append(change)

    def _own(self, claim: Claim) -> None:
        """I make this claim."""
        self._mine = claim
        self._know(claim)
        self._effects.append(Spread(claim))

    def _claim_of(self, number: int, reason: str) -> Claim:
        known = self.known if self.known is not None and self.known.released else None
        return Claim(
            tag=self._tag,
            number=number,
            owner=self.me.node_id,
            incarnation=self.me.incarnation,
            priority=self.priority,
            mode=self.mode,
            reason=reason[:MAX_TEXT_CHARS],
            follows=(known.number, known.owner, known.priority) if known else None,
        )

    def _outranked(self, number: int) -> bool:
        """Is a claim under this number not above all I know?"""
        claim = self._claim_of(number, "")
        return number < self._seen or (
            self.known is not None and rank_of(claim) <= rank_of(self.known)
        )

    def _take(self, number: int, reason: str) -> None:
        """I have the tag from now on."""
        self._own(self._claim_of(number, reason))
        self.state = TagState.ACTIVE
        assert self.token is not None
        self._effects.append(Activated(self.token, reason))
        self._announce("backup", "active", because(reason, Cause.TAG_ASKED))

    def _deactivate(self, reason: str) -> None:
        """I no longer have the tag, whatever I am to do next."""
        assert self.token is not None
        self._effects.append(Deactivated(self.token, reason))
        self.state = TagState.BACKUP
        self._announce("active", "backup", reason)

    def _lose_to(self, claim: Claim) -> None:
        """Another claim is higher."""
        text = f"node {claim.owner} has epoch {claim.number}: {claim.reason}"
        self._deactivate(because(text, Cause.TAG_OUTRANKED))

    def _give_up(self, reason: str, successor: Owner | None) -> None:
        """End my epoch, and say so."""
        mine = self._mine
        assert mine is not None
        self._deactivate(because(reason, Cause.TAG_RELEASED))
        self._own(
            msgspec.structs.replace(
                mine, released=True, reason=reason[:MAX_TEXT_CHARS], successor=successor
            )
        )
        self._effects.append(StoreRelease(mine.number))

    def _announce(self, before: str, after: str, cause: str) -> None:
        self._effects.append(
            Announce(
                kind=Event.TAG_CHANGED,
                node_id=self.me.node_id,
                before=before,
                after=after,
                cause=cause,
                tag=self._tag,
            )
        )

    def _take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    @property
    def _name(self) -> str:
        return f"tag {self._tag!a} of cluster {self._cluster_id}"

    @property
    def _whose(self) -> str:
        """Who has the tag, for people."""
        node, why = self.holding()
        return why if node is None else f"node {node} has it"


def _same(one: Change, other: Change) -> bool:
    a, b = one.epoch, other.epoch
    return (a.number, a.owner, one.owner) == (b.number, b.owner, other.owner)
