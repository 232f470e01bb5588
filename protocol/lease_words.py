"""The words of a lease on a sharing tag: its settings, and what its rules ask of the world (B4)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .effects import Effect
from .errors import Misuse
from .identity import NodeId
from .tag_words import TagRow

MAX_DRIFT = 0.05
"""The clocks of nodes and database run wrong by at most this share."""


class LeaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The same on every node that may have the tag. `Misuse` when they do not fit together."""

    ttl_s: float = 10.0
    """How long a lease lasts, by the clock of the database."""
    renew_s: float = 3.0
    """Between renewals; so often the others look at the row, too."""
    retry_s: float = 2.0
    """After a request to the database that failed."""
    safety_s: float = 1.0
    """The owner stops so long before the lease ends, counted from when it asked for it."""
    rank_delay_s: float = 0.2
    """A candidate waits so long for each that is before it."""
    failback_s: float | None = None
    """A preferred node that has been fit for so long gets the tag back; None = it does not."""
    failsafe: bool = True
    """While the database is away the owner goes on if every other enabled node lets it."""

    def __post_init__(self) -> None:
        # The owner's clock is slow and the database's fast, each by MAX_DRIFT.
        needed_s = self.ttl_s * 2 * MAX_DRIFT / (1 + MAX_DRIFT)
        if self.safety_s < needed_s:
            raise Misuse(
                f"lease safety {self.safety_s:g} s is too short: with a ttl of {self.ttl_s:g} s and"
                f" clocks that are wrong by {MAX_DRIFT:.0%} two nodes could be active at once; at"
                f" least {needed_s:.3g} s"
            )
        busy_s = self.renew_s + 2 * self.retry_s
        if not self.renew_s > 0 or not self.retry_s > 0 or busy_s > self.ttl_s - self.safety_s:
            raise Misuse(
                f"a lease of {self.ttl_s:g} s less {self.safety_s:g} s for safety leaves no time to"
                f" renew it after {self.renew_s:g} s and to try again twice, {self.retry_s:g} s"
                " later each: shorten these or lengthen the ttl"
            )


class LeaseView(msgspec.Struct, frozen=True, kw_only=True):
    """What matters to a lease of what a node sees of its cluster. Replaced whole."""

    members: tuple[NodeId, ...] = ()
    """The enabled nodes of the roster, me included, by id."""
    lives: Mapping[NodeId, int] = {}
    """The other nodes that are reachable, each with its incarnation."""
    fit: frozenset[NodeId] = frozenset()
    """The nodes, me included, whose capabilities with data of the tag are OK, as seen here."""
    complete: frozenset[NodeId] = frozenset()
    """Those of them that do not lack the records of the tag; nobody = it makes no difference."""


class LeaseStanding(msgspec.Struct, frozen=True):
    """How a lease stands, for people."""

    row: TagRow | None
    """As it was read last."""
    barriers: Mapping[NodeId, str]
    """Why each node of the roster would not take the lease; empty: it may."""


class ReadRow(Effect, frozen=True):
    """Read the row; `LeaseRules.row_read` or `failed`."""


class Acquire(Effect, frozen=True):
    """Take the tag under the number after ``seen``, unless somebody has it by now.

    `LeaseRules.acquired`, `refused`, `dismissed` or `failed`.
    """

    seen: int


class Renew(Effect, frozen=True):
    """Prolong my lease of this number; `LeaseRules.renewed`, `refused`, `dismissed` or `failed`."""

    number: int


class GiveUp(Effect, frozen=True):
    """Release the row if it is mine under this number; `LeaseRules.given_up` or `failed`."""

    number: int


class LeaseWon(Effect, frozen=True):
    """I have the tag from now on, until then by my clock, unless it is prolonged."""

    number: int
    until_s: float


class LeaseExtended(Effect, frozen=True):
    """I have the tag until then."""

    until_s: float


class LeaseOver(Effect, frozen=True):
    """I no longer have the tag."""

    reason: str
    successor: NodeId | None = None
    """Who is to take it."""
