"""What actors tell each other about sharing tags."""

from __future__ import annotations

from typing import Any

from ..protocol.effects import Effect
from ..protocol.identity import NodeId
from ..protocol.tag_messages import Claim, Vow, VowRequest
from ..protocol.tag_words import TagRow
from .mail import Mail

# node ----------------------------------------------------------------------------------------


class ClaimMade(Mail, frozen=True):
    """A tag of mine is claimed or given up: let everybody know."""

    claim: Claim


class ClaimsRisen(Mail, frozen=True):
    """What was written under an epoch says that it was claimed: do what follows."""

    effects: list[Effect]


class KeepThis(Mail, frozen=True):
    """Store a claim that was made without the store, as soon as it answers."""

    claim: Claim


class ClaimKept(Mail, frozen=True):
    """The store was asked to keep this claim."""

    claim: Claim
    error: Exception | None


class TagsWanted(Mail, frozen=True):
    """A tag was declared: what is stored about the cluster's tags is wanted."""


class TagsLoaded(Mail, frozen=True):
    """The store was asked for all that it has."""

    rows: tuple[TagRow, ...] | None
    error: Exception | None


# tag -----------------------------------------------------------------------------------------


class ClaimTold(Mail, frozen=True):
    """This is the highest claim now."""

    claim: Claim


class NumberTold(Mail, frozen=True):
    """The next epoch must be above this number."""

    number: int


class ReportClaim(Mail, frozen=True):
    """The node actor started anew: tell it the highest claim."""


class VowTold(Mail, frozen=True):
    """A neighbour asks for a vow, or gives one."""

    peer: NodeId
    message: VowRequest | Vow


class StoreAnswered(Mail, frozen=True):
    """The store was asked; what it returned, or raised."""

    start: int
    """Of the actor that asked: one that crashed meanwhile is not meant."""
    question: Effect
    answer: Any
    error: Exception | None


class ActivateTag(Mail, frozen=True):
    """Somebody wants the tag here. The reply is a future of None, or of what speaks against it."""

    reason: str
    force: bool


class HandOverTag(Mail, frozen=True):
    """Give it to another node. The reply is as for `ActivateTag`."""

    to: NodeId
    reason: str


class ReleaseTag(Mail, frozen=True):
    """Give it up. The reply is None, or what speaks against it."""

    reason: str


class LeaveTag(Mail, frozen=True):
    """This node is about to stop: give up what must not wait for that."""

    reason: str


class DescribeLease(Mail, frozen=True):
    """The reply is the `LeaseStanding`; None = there is no lease."""
