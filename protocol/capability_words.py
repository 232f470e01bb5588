"""The words of a capability's machine: what is asked of it and what it asks of the world.

The machine that uses them, with its theory, is `capability`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, StrEnum
from typing import Literal

import msgspec

from .contract import SyncReport
from .donors import Wants
from .effects import Effect
from .errors import Misuse
from .messages import CapabilityState, CapState, TagTerm
from .sync_words import check_tags
from .tag_syncs import Part
from .verifying import Comparison

POSITION_INTERVAL_S = 1.0
"""A node that is not OK tells a position that moved at most so often; an OK one never by itself."""


OrphanSync = Literal["wait", "newest"]


class Trigger(Enum):
    """What can happen to a capability."""

    ENABLE = "enable"
    DISABLE = "disable"
    REQUEST = "request"
    DONOR = "donor"
    """There is a donor that was not tried in this round."""
    DONE = "done"
    """The session under way ended well."""
    FAILED = "failed"
    """The session under way ended, and no donor is left."""
    COMPARE = "compare"
    """It is time to compare the records with another node's (`verifying`)."""
    COMPARED = "compared"
    """That session is over, well or not."""
    DECLARE = "declare"
    """S-27 or S-28 says so."""
    TAGS = "tags"
    """There are sharing tags to fetch from a node that has them (`tag_syncs`)."""
    FETCHED = "fetched"
    """That session is over, well or not."""
    DIFF = "diff"
    """Somebody wants to know which records another node has not alike (`diffing`)."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What module and operator want of one capability."""

    startup_sync: bool = False
    """The module: my data is not complete before a sync."""
    auto_sync: bool = False
    """Ask for a sync when it is switched on."""
    wants: Wants = Wants()
    seed_fallback_interval_s: float = 5.0
    newest_decides: bool = True
    """S-28 is switched on."""
    quorum_share: float = 0.5
    verify_interval_s: float = 0.0
    """See `verifying`; 0 = never."""
    orphan_sync: OrphanSync = "wait"
    """K-4: what becomes of a sharing tag whose owner cannot be reached."""


class SyncWish(msgspec.Struct, frozen=True):
    """What a sync is to bring."""

    tags: tuple[str, ...] = ()
    """None = everything. `Misuse` when a session cannot carry them."""
    mirror: bool = False
    dry_run: bool = False
    compare: Comparison | None = None
    """With one node alone, while this one stays OK; of the tags all."""
    backups: bool = False
    """Only the sharing tags that are backup here (K-3)."""
    force: tuple[str, ...] = ()
    """Of ``tags`` those that are wanted though they are active here (K-7)."""
    part: Part | None = None
    """These sharing tags, from this node."""
    foreign: frozenset[str] = frozenset()
    """The sharing tags that somebody claimed: a session takes those of its ``terms`` alone."""
    terms: tuple[TagTerm, ...] = ()
    """Sharing tags that the node has with which records are compared."""
    diff: bool = False
    """Only look: of ``tags`` that one, with the node of ``compare``."""

    def __post_init__(self) -> None:
        check_tags(self.tags)


def wish_of(
    tags: Sequence[str] = (),
    *,
    keyed: bool,
    mirror: bool = False,
    dry_run: bool = False,
    state: str = "",
    force: Sequence[str] = (),
) -> SyncWish:
    """What somebody asks for, of a capability whose records have keys, or have not.

    `Misuse` when that cannot be done.
    """
    if mirror and not keyed:
        raise Misuse(
            "only a KeyedCapability can be mirrored: records without keys cannot be compared with"
            " the donor's. Ask for a sync without mirror"
        )
    if dry_run and not mirror:
        raise Misuse("a dry run tells what a mirror would drop: ask with mirror=True, too")
    if state not in ("", "backup") or (state and tags):
        raise Misuse(
            f"state={state!a}: only 'backup' can be asked for, and no tags together with it"
        )
    if not set(force) <= set(tags):
        raise Misuse(f"force={list(force)!a}: name each of these among the tags, too")
    return SyncWish(tuple(tags), mirror, dry_run, None, state == "backup", tuple(force))


class Answer(StrEnum):
    """What became of a request for a sync (S-1)."""

    TAKEN = "taken"
    """It is tried now, or as soon as there is a donor."""
    IN_PROGRESS = "in_progress"
    """A sync is under way, or one that was asked for with other words waits: one at a time."""
    DISABLED = "disabled"
    ACTIVE_HERE = "active_here"
    """A tag that is active here gives its records and takes none, unless it is forced (K-7)."""
    NOT_OK = "not_ok"
    """Only a node that is OK compares its records with others."""
    NOT_TAG_OWNER = "not_tag_owner"
    """A third node has the tag: records are compared with the owner's, or where it is active."""


class StateChanged(Effect, frozen=True):
    """Tell the other nodes: this is what I say of the capability now."""

    state: CapabilityState


class TellState(Effect, frozen=True):
    """Tell the application (`Capability.on_state`)."""

    state: CapState
    reason: str


class StartSession(Effect, frozen=True):
    """Begin a sync session; it takes its donors from `CapabilityRules.choose`."""

    session: int
    """Counts up in a life; for `CapabilityRules.session_ended`."""
    wish: SyncWish


class CancelJoining(Effect, frozen=True):
    """End this session of mine; its report is not wanted any more."""

    session: int
    reason: str


class CancelDonating(Effect, frozen=True):
    """End every session in which I am the donor."""

    reason: str


class DropWaiting(Effect, frozen=True):
    """Throw away the messages that wait to be sent or delivered (C-1)."""


class RequestAnswered(Effect, frozen=True):
    """The answer to a request for a sync."""

    answer: Answer


class SyncOver(Effect, frozen=True):
    """Tell the application how a sync ended (`Capability.sync_done`)."""

    report: SyncReport
