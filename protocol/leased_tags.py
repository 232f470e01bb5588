"""A sharing tag in mode lease: whoever has the lease on it has the tag (H-26, B4).

======  ========  =====================================================================
state   trigger   reaction
======  ========  =====================================================================
BACKUP  leased    claimed under the number of the lease → ACTIVE
ACTIVE  lease     extended: active until then by my own clock, whatever else happens
ACTIVE  over      the epoch is given up → BACKUP
ACTIVE  NEWS      a higher claim (H-21) → BACKUP, and the lease is left
======  ========  =====================================================================

`lease` has the rules of the lease itself. This tells everybody who has it, and fences it. The two
talk by effects: `LeaveLease`, `LookAtLease` here; `LeaseWon`, `LeaseExtended`, `LeaseOver` there.
"""

from __future__ import annotations

from .because import Cause, because
from .effects import Effect
from .errors import Misuse
from .identity import Incarnation, NodeId
from .tag_base import Tag
from .tag_messages import Claim
from .tag_words import Answered, Holding, LeaveLease, LookAtLease, Owner, Spread, TagState


class LeasedTag(Tag):
    """The machine of the table above."""

    mode = "lease"
    barred = ""
    """Why this node can never have the lease, for people."""

    def holding(self) -> Holding:
        """See `Tag.holding`; nobody has it where nobody here can."""
        found = super().holding()
        if found.node_id is None and self.barred:
            return Holding(None, because(self.barred, Cause.LEASE_BARRED))
        return found

    def claim_heard(self, claim: Claim, now: float) -> list[Effect]:
        """See `Tag.claim_heard`; the row will say what is behind it."""
        effects = super().claim_heard(claim, now)
        return [*effects, self._look()]

    def number_heard(self, number: int, now: float) -> list[Effect]:
        """See `Tag.number_heard`."""
        effects = super().number_heard(number, now)
        return [*effects, self._look()]

    def leased(self, number: int, until_s: float, now: float) -> list[Effect]:
        """`LeaseWon`."""
        assert self.state is TagState.BACKUP, "a lease is won once"
        self._until = until_s
        if self._outranked(number):
            self._effects.append(LeaveLease(f"epoch {self._seen} is known already"))
        else:
            self._take(number, because("got the lease", Cause.LEASE_WON))
        return self._proceed(now)

    def lease_extended(self, until_s: float) -> list[Effect]:
        """`LeaseExtended`."""
        self._until = until_s
        return []

    def lease_over(self, reason: str, successor: NodeId | None, now: float) -> list[Effect]:
        """`LeaseOver`; nothing when I am not active."""
        if self.state is TagState.ACTIVE:
            life = self.view.lives.get(successor) if successor is not None else None
            to = Owner(successor, Incarnation(life)) if successor and life is not None else None
            self._give_up(reason, to)
        return self._proceed(now)

    def activate(
        self,
        reason: str,  # noqa: ARG002 - as every tag is asked
        now: float,
        *,
        force: bool = False,  # noqa: ARG002 - as every tag is asked
    ) -> list[Effect]:
        """See `Tag.activate`. `Misuse` unless it is active here: the lease decides."""
        if self.state is not TagState.ACTIVE:
            raise Misuse(
                f"{self._name} goes to whoever has the lease on it ({self._whose}): hand it over"
                " from there, or change the order of the preferred nodes"
            )
        assert self._mine is not None
        return [Spread(self._mine), Answered(), *self._proceed(now)]

    def release(self, reason: str, now: float) -> list[Effect]:
        """See `Tag.release`. Another candidate takes it, if there is one."""
        if self.state is not TagState.ACTIVE:
            raise self._not_active()
        return [LeaveLease(reason), *self._proceed(now)]

    def hand_over(self, to: NodeId, reason: str, now: float) -> list[Effect]:
        """See `Tag.hand_over`. Done when the lease is left: the other node is first to take it."""
        self._check_hand_over(to)
        return [LeaveLease(reason, to), Answered(), *self._proceed(now)]

    def stop(self, reason: str, now: float) -> list[Effect]:
        """See `Tag.stop`."""
        left = [LeaveLease(reason)] if self.state is TagState.ACTIVE else []
        return [*left, *self._proceed(now)]

    def tick(self, now: float) -> list[Effect]:
        """See `Tag.tick`."""
        return self._proceed(now)

    @property
    def deadline(self) -> float | None:
        """See `Tag.deadline`; the lease has one."""
        return None

    def _look(self) -> LookAtLease:
        claim = self.known
        successor = claim.successor if claim is not None and claim.released else None
        return LookAtLease(self._seen, NodeId(successor[0]) if successor else None)

    def _consider(self, _now: float) -> None:
        claim = self.known
        if self.state is TagState.ACTIVE and claim is not None and claim != self._mine:
            self._lose_to(claim)
            self._effects.append(LeaveLease("a higher claim is known"))
