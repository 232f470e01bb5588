"""The words of sharing tags: epochs, claims and their order, who has a tag, what the rules ask.

Each activation of a tag is an *epoch*. A node that has the tag says so with a *claim*; of all
claims ever made on a tag the highest counts (H-21). The order is total and the same everywhere:

1. the higher number;
2. the lower priority value of the owner's row, then the lower node id: so two sides of a partition
   that activate under the same number have different epochs, one of which is the higher one;
3. the higher incarnation: the later life of an owner that lost its storage;
4. what the owner says beats what was inferred of its writes: only the owner knows the rest of it;
5. released beats not released: nobody but the owner gives an epoch up;
6. the successor, so that two claims that mean different things are never equal.

A claim holds for one life of its owner. What a dead life claimed is still the highest claim, which
keeps the numbers growing, but nobody has the tag by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Annotated, Any, NamedTuple

import msgspec

from .because import About, Cause, because
from .effects import Effect
from .errors import Misuse
from .identity import ClusterId, Incarnation, NodeId
from .messages import MAX_NAME_CHARS, U63, TagTerm
from .tag_messages import Claim, Mode

MAX_EPOCH_NUMBER = 2**63 - 1
"""What the databases can store."""
DIGEST_BYTES = 16

Rank = tuple[Any, ...]


class Owner(NamedTuple):
    """A node in one life of it."""

    node_id: NodeId
    incarnation: Incarnation


class Epoch(msgspec.Struct, frozen=True, array_like=True):
    """One activation of a tag. Carried by everything that is written under it (H-24), so its bounds
    stand in its types: those of `Claim`, and what a database can store."""

    number: U63
    owner: Annotated[NodeId, msgspec.Meta(ge=1, le=2**31 - 1)]
    priority: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    """As in the claim: with it epochs can be ordered by whoever has not heard the claim."""

    @property
    def rank(self) -> tuple[int, int, int]:
        """Orders epochs: the higher one counts."""
        return self.number, -self.priority, -self.owner

    def __str__(self) -> str:
        return f"{self.number} of node {self.owner}"


def epoch_of(claim: Claim) -> Epoch:
    """The epoch that is claimed, or given up."""
    return Epoch(claim.number, NodeId(claim.owner), claim.priority)


def rank_of(claim: Claim) -> Rank:
    """Orders the claims of one tag: the higher one counts (H-21). Words make no difference."""
    return (
        *epoch_of(claim).rank,
        claim.incarnation,
        not claim.inferred,
        claim.released,
        claim.successor or (0, 0),
    )


def is_stale(epoch: Epoch, known: Claim | None) -> bool:
    """Whether something written under ``epoch`` comes too late, ``known`` being the highest claim.

    What its owner wrote before it gave the epoch up is still good until somebody claims the next.
    """
    return known is not None and epoch.rank < epoch_of(known).rank


class TagState(Enum):
    """What a tag is on this node."""

    BACKUP = "backup"
    CLAIMING = "claiming"
    """It is to be active here, and its number is being stored."""
    ACTIVE = "active"
    HANDING_OVER = "handing_over"
    """Given up in favour of another node that has not claimed it yet."""


class Token(msgspec.Struct, frozen=True):
    """Says under which epoch a node is active; `TagRules.valid` says whether it still is."""

    cluster_id: ClusterId
    tag: str
    epoch: Epoch


class TagView(msgspec.Struct, frozen=True, kw_only=True):
    """What the view of a cluster says that matters to one tag. Replaced whole, never changed."""

    lives: Mapping[NodeId, int] = {}
    """The other nodes that are reachable, each with its incarnation."""
    fit: frozenset[NodeId] = frozenset()
    """The nodes, me included, whose capabilities with data of the tag are OK, as seen here."""
    others: int = 0
    """Enabled nodes of the roster beside me, reachable or not."""


class Holding(NamedTuple):
    """Who has a tag, as seen from here."""

    node_id: NodeId | None
    """None = nobody."""
    why: str
    """Of nobody: what became of the last owner; else why it has the tag."""


def holding(claim: Claim | None, lives: Mapping[NodeId, int]) -> Holding:
    """Who has the tag when ``claim`` is the highest and ``lives`` are reachable, or my own."""
    if claim is None:
        return Holding(None, because("nobody has claimed it yet", Cause.NEVER_CLAIMED))
    node, life = NodeId(claim.owner), lives.get(NodeId(claim.owner))
    if claim.released:
        text = f"node {node} released it: {claim.reason}"
        return Holding(None, because(text, Cause.TAG_RELEASED))
    if life is None:
        text = f"node {node} had it last and is unreachable"
        return Holding(None, because(text, Cause.TAG_OWNER_UNREACHABLE, About("node", str(node))))
    if life != claim.incarnation:
        text = f"node {node} had it last and restarted"
        return Holding(None, because(text, Cause.TAG_OWNER_RESTARTED, About("node", str(node))))
    return Holding(node, because(claim.reason, Cause.CLAIMED))


class TagStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How a sharing tag stands on this node at one moment, for those who write and judge records.

    It is active here (`active`, under `token`), or backup, or backup and undeclared: only heard of,
    or not even that (H-27).
    """

    tag: str
    token: Token | None = None
    """Of the epoch that is active here; None = it is not active here."""
    epoch: Epoch | None = None
    """The highest that was heard of, mine included; None = nobody ever claimed the tag."""
    holder: NodeId | None = None
    """The node that has it, as seen from here, me included; None = nobody."""
    why: str = ""
    """Why that node has it, or what became of the last one; for people."""
    declared: bool = False
    """This node uses the tag."""

    @property
    def active(self) -> bool:
        """This node has the tag: it writes its records, and takes none of others (M-2, K-7)."""
        return self.token is not None

    @property
    def state(self) -> str:
        """``active`` | ``backup`` | ``undeclared``"""
        if self.token is not None:
            return "active"
        return "backup" if self.declared else "undeclared"


def standing(
    tag: str,
    *,
    token: Token | None,
    declared: bool,
    known: Claim | None,
    me: NodeId,
    lives: Mapping[NodeId, int],
) -> TagStanding:
    """How a tag stands here, ``known`` being the highest claim and ``token`` what is held of it.

    A token is worth nothing once a later epoch is heard of, even before its tag steps down.
    ``lives``: of the nodes that are reachable, its owner among them if it is.
    """
    if token is not None and not is_stale(token.epoch, known):
        return TagStanding(
            tag=tag, token=token, epoch=token.epoch, holder=token.epoch.owner, declared=declared
        )
    if known is None:
        return TagStanding(tag=tag, why="nobody has claimed it yet", declared=declared)
    whose = holding(known, lives)
    if known.owner == me and not known.released:
        whose = Holding(None, "this node had it last, and has it no longer")
    return TagStanding(
        tag=tag, epoch=epoch_of(known), holder=whose.node_id, why=str(whose.why), declared=declared
    )


class TagHere(msgspec.Struct, frozen=True, kw_only=True):
    """How a sharing tag that somebody claimed stands on a node, for its syncs (K-1 … K-7)."""

    tag: str
    epoch: Epoch
    """The latest that is known."""
    holder: Owner | None = None
    """The life that has it, as seen from here; None = nobody that can be reached."""
    active: bool = False
    """It is active on this node."""
    why: str = ""
    """Why that node has it, or what became of the last one."""

    @property
    def term(self) -> TagTerm:
        """For requests."""
        return TagTerm(self.tag, self.epoch.number, self.epoch.owner, self.epoch.priority)


def digest_of_claims(claims: Iterable[Claim]) -> bytes:
    """Equal at two nodes that know the same claims; the order does not matter (H-22)."""
    ranks = sorted((claim.tag, rank_of(claim)) for claim in claims)
    return hashlib.sha256(msgspec.msgpack.encode(ranks)).digest()[:DIGEST_BYTES]


def digest_of_terms(members: Iterable[NodeId], ttl_s: float) -> bytes:
    """Equal at two nodes whose rosters enable the same nodes, and to whom a lease lasts as long."""
    terms = (sorted(members), round(ttl_s * 1000))
    return hashlib.sha256(msgspec.msgpack.encode(terms)).digest()[:DIGEST_BYTES]


def check_tag(tag: str) -> str:
    """``tag`` if every database keeps it as it is; else `Misuse`."""
    if not (1 <= len(tag) <= MAX_NAME_CHARS and tag.isprintable() and tag == tag.strip()):
        raise Misuse(
            f"{tag[: MAX_NAME_CHARS + 1]!a} cannot be the name of a sharing tag: it must be 1 …"
            f" {MAX_NAME_CHARS} printable characters without blanks at its ends"
        )
    return tag


class TagRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of one sharing tag: its highest claim (H-20), and the lease on it."""

    tag: str
    number: int
    """Of the epoch; 0 = nobody has claimed the tag yet."""
    owner: Owner | None
    """None = nobody yet."""
    released: bool
    """Given up by its owner; so is a tag that nobody has claimed yet."""
    mode: Mode = "manual"
    """How it was claimed."""
    left_s: float = 0.0
    """Of the lease, when the row was read, by the clock of the store; 0 = over, or no lease."""
    paused: bool = False
    """Nobody takes the tag over by himself."""
    preferred: tuple[NodeId, ...] = ()
    """Who should have it, the best first."""
    electors: tuple[NodeId, ...] = ()
    """Who may take the lease when it runs out, by id; empty = everybody."""


class Change(msgspec.Struct, frozen=True):
    """One line of a tag's history."""

    epoch: Epoch
    owner: NodeId | None
    """None: the epoch was given up."""
    reason: str
    wall_s: float
    """Seconds since the epoch, when it was heard here; for people."""


# Effects of the table of claims -------------------------------------------------------------------


class ClaimHeard(Effect, frozen=True):
    """A claim that another node told is the highest now: tell the tag's rules, and keep it."""

    claim: Claim


class NumberHeard(Effect, frozen=True):
    """A claim that does not count here has a higher number: the tag's next epoch is above it."""

    tag: str
    number: int


# Effects of a tag ---------------------------------------------------------------------------------


class StoreEpoch(Effect, frozen=True):
    """Store that I own the epoch after ``seen`` (B3: before anybody hears of it).

    To be answered by `TagRules.stored`, `store_lost` or `store_failed` with the same ``attempt``.
    """

    attempt: int
    seen: int


class StoreRelease(Effect, frozen=True):
    """Store that I have given up this epoch. No answer: at worst it is stored as mine."""

    number: int


class KeepClaim(Effect, frozen=True):
    """Note a claim that I made without the store, by force, when it can be asked. No answer."""

    claim: Claim


class Spread(Effect, frozen=True):
    """Tell every node, by `ClaimTable.claim`."""

    claim: Claim


class Activated(Effect, frozen=True):
    """I have the tag (H-24). Comes in turn with `Deactivated`."""

    token: Token
    reason: str


class Deactivated(Effect, frozen=True):
    """I no longer have the tag."""

    token: Token
    reason: str


class Answered(Effect, frozen=True):
    """Whoever waits for an activation or a hand-over to end: it has ended."""

    refusal: str = ""
    """Why it came to nothing, and what to do; empty = it is done."""


class LeaveLease(Effect, frozen=True):
    """Mode lease: give the lease up, by `LeaseRules.give_up`."""

    reason: str
    successor: NodeId | None = None


class LookAtLease(Effect, frozen=True):
    """Mode lease: the highest claim is another one now, for `LeaseRules.look`."""

    number: int
    successor: NodeId | None
