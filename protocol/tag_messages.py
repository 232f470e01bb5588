"""The messages of sharing tags (H-20, B4). As in `messages`: numbers are never used again, fields
are only appended, bounds stand in the types.

The one bound that does not is that of an epoch's number: a number beyond it is ignored and counted
by the rules (W15), because claims are passed on for others, whose fault is not the sender's.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .messages import MAX_NUMBER, U63, DigestBytes, Id, Message, Name, Text

MAX_CLAIMS = 64
"""Claims in one message, so that it fits every node's frames."""

Mode = Literal["manual", "lease"]
"""H-26: somebody activates the tag, or whoever holds the lease on it has it."""


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """A node has a sharing tag, or gives it up. `tag_words.rank_of` says which claim counts."""

    tag: Name
    number: Annotated[int, msgspec.Meta(ge=0)]
    """Of the epoch; grows with each activation."""
    owner: Id
    incarnation: U63
    """Of the owner: the claim holds for this life of it."""
    priority: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    """Of the owner's row when it claimed; carried, so that all nodes order claims alike."""
    released: bool = False
    """The owner has given up this epoch. Only the owner says so."""
    mode: Mode = "manual"
    reason: Text = ""
    """Why; for people."""
    successor: tuple[Id, U63] | None = None
    """(node, incarnation): released in favour of this life, which claims the tag (H-25)."""
    follows: tuple[U63, Id, Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]] | None = None
    """(number, owner, priority) of the epoch before, when its owner had given it up, as was known
    here: so all that was written under it was written before this epoch began (H-24)."""
    inferred: bool = False
    """The owner wrote under the epoch and was not heard to claim it: what it says itself counts."""


class TagClaims(Message, frozen=True, tag=60):
    """The highest claims I know of these tags: those that are new, or that you lack (H-21)."""

    cluster_id: Id
    claims: Annotated[list[Claim], msgspec.Meta(min_length=1, max_length=MAX_CLAIMS)]


class VowRequest(Message, frozen=True, tag=61):
    """I have the lease on the tag and cannot renew it: do you let me go on? (B4, failsafe)"""

    cluster_id: Id
    tag: Name
    number: U63
    """Of my epoch."""
    round: Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
    members: DigestBytes
    """Of the nodes that I ask and of how long a lease lasts, see `tag_words.digest_of_terms`: both
    must be the same to you."""


class Vow(Message, frozen=True, tag=62):
    """I shall not take the tag over within a lease's time from your request on."""

    cluster_id: Id
    tag: Name
    number: U63
    round: Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
