"""Which sharing tags a node syncs, from whom, and how complete its records of each are (K-1 … K-7).

The records of a tag that somebody claimed come from the node that has it, and from nobody else
(K-1). So a sync has parts: what has no such tag, from any donor (`rounds`), and for each owner the
tags that it has (K-2), one part after the other. A part is one session with one node.

A tag is *wanted* when it is backup here and has an owner with which this node has not synced it,
be it that the owner came into sight or that another life took the tag over (M-4), or when somebody
asks for it. What becomes wanted together is fetched together, a jittered moment later. A part that
failed is repeated after a pause of that owner. A tag without a reachable owner is *pending*, alone
(K-4): with ``orphan_sync`` = ``newest`` it is fetched from the node with the highest position that
does not say that it lacks it; that is *unconfirmed*, until there is an owner to sync with.

A tag is *lacking* while nothing vouches that its records are complete here: it was never synced
since the capability was switched on, and it is older than that. Its first epoch is no doubt: who
was there from its beginning has heard all of it. Where a tag is active nothing is lacking, and
nothing is fetched, but by ``force`` (K-7).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from .contract import SyncReport, TagEvidence
from .damping import Backoff
from .donors import Life, Peer
from .identity import NodeId
from .messages import MAX_LACKING, MAX_TAGS, TagTerm
from .rounds import MAX_RETRY_PAUSE_S
from .sync_words import Why
from .tag_words import TagHere

AUTO_JITTER_S = 0.5
"""At most, until what is wanted by itself is fetched (M-4)."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One session for tags with one node."""

    donor: NodeId
    incarnation: int
    terms: tuple[TagTerm, ...]
    owned: bool = True
    """The donor has the tags; else nobody has, or this node itself."""
    forced: bool = False
    """Tags that are active here (K-7)."""
    mirror: bool = False
    dry_run: bool = False

    @property
    def life(self) -> Life:
        """The donor's."""
        return self.donor, self.incarnation

    @property
    def tags(self) -> tuple[str, ...]:
        """Names."""
        return tuple(term.tag for term in self.terms)


class Asked(msgspec.Struct, frozen=True):
    """What somebody waits for."""

    tags: frozenset[str]
    mirror: bool = False
    dry_run: bool = False
    force: frozenset[str] = frozenset()


NOBODY = Asked(frozenset())


class TagSyncs:
    """The tags of one capability. Times are seconds of a monotonic clock."""

    def __init__(
        self, *, auto: bool, needs_data: bool, newest: bool, draw: Callable[[], float]
    ) -> None:
        """``auto``: sync by itself (M-4); ``needs_data``: nothing is complete before a sync;
        ``newest``: the policy of K-4; ``draw`` gives numbers in [0, 1)."""
        self.evidence: dict[str, TagEvidence] = {}
        """How each tag was synced last."""
        self.asked = NOBODY
        self.failed: dict[str, str] = {}
        """Of what was asked for: tag → why it came to nothing."""
        self._auto, self._needs_data, self._newest = auto, needs_data, newest
        self._draw = draw
        self._tags: dict[str, TagHere] = {}
        self._followed: set[str] = set()
        """Known since their first epoch, which began while all else was complete here."""
        self._synced_with: dict[str, Life] = {}
        self._due_at: float | None = None
        """When what is wanted by itself is fetched; None = at once, or nothing is."""
        self._noticed = False
        """Something is wanted by itself."""
        self._backoffs: dict[Life, Backoff] = {}
        """Of those that failed."""
        self._paused: dict[Life, float] = {}
        """Those that are not asked yet, until when."""

    # What happens -------------------------------------------------------------------------

    def see(self, tags: Sequence[TagHere], now: float, *, complete: bool) -> None:
        """How the tags stand now; ``complete``: what has no tag is all here."""
        before, self._tags = self._tags, {tag.tag: tag for tag in tags}
        for tag in tags:
            if complete and tag.tag not in before and tag.epoch.number == 1:
                self._followed.add(tag.tag)
            if tag.active or self._synced_with.get(tag.tag) != tag.holder:
                self._synced_with.pop(tag.tag, None)  # also when that one has it again
            if tag.active:
                self._followed.add(tag.tag)  # what is here is what there is of it
        stale = self._stale() if self._auto else frozenset()
        if stale and not self._noticed:
            self._due_at = now + AUTO_JITTER_S * self._draw()
        self._noticed = bool(stale)

    def ask(self, asked: Asked) -> None:
        """Somebody wants these, at once; those that nobody claimed are none of ours."""
        self.asked = msgspec.structs.replace(asked, tags=asked.tags & self._tags.keys())
        self.failed = {}
        self._backoffs.clear()
        self._paused.clear()

    def tick(self, now: float) -> None:
        """Pauses may be over."""
        self._paused = {life: at for life, at in self._paused.items() if at > now}
        if self._due_at is not None and now >= self._due_at:
            self._due_at = None

    def vouch(self) -> None:
        """Nobody has newer data than this node (S-27, S-28): what is here of a tag is all of it."""
        self._followed.update(self._tags)

    def reset(self) -> None:
        """Switched off: nothing vouches for anything any more."""
        self.evidence.clear()
        self._followed.clear()
        self._synced_with.clear()
        self.asked, self.failed = NOBODY, {}

    def done(self, part: Part, report: SyncReport, now: float) -> None:
        """A part ended well, for the tags that the donor served."""
        for found in report.evidence:
            self.evidence[found.tag] = msgspec.structs.replace(found, confirmed=part.owned)
            self.failed.pop(found.tag, None)
            if part.owned:
                self._synced_with[found.tag] = part.life
        unserved = set(part.tags) - {found.tag for found in report.evidence}
        if unserved:
            self.failed_with(part, sorted(unserved), Why.NOT_TAG_OWNER, now)
        else:
            self._backoffs.pop(part.life, None)
        self._answer_for(part.tags)

    def failed_with(self, part: Part, tags: Sequence[str], reason: str, now: float) -> None:
        """A part came to nothing for these tags: that node is left alone for a while."""
        if part.life not in self._backoffs:
            pause = self._backoffs[part.life] = Backoff(cap_s=MAX_RETRY_PAUSE_S, draw=self._draw)
            pause.pause_s()  # its first one is 0: the attempt that failed
        self._paused[part.life] = now + self._backoffs[part.life].pause_s()
        self.failed.update(dict.fromkeys(tags, reason))
        self._answer_for(part.tags)

    def _answer_for(self, tags: Sequence[str]) -> None:
        left = self.asked.tags.difference(tags)
        self.asked = msgspec.structs.replace(self.asked, tags=left)

    # Questions ----------------------------------------------------------------------------

    def known(self, tag: str) -> bool:
        """Somebody claimed it."""
        return tag in self._tags

    def active(self, tag: str) -> bool:
        """It is active here."""
        return tag in self._tags and self._tags[tag].active

    def backups(self) -> frozenset[str]:
        """The claimed tags that are not active here (K-3)."""
        return frozenset(name for name, tag in self._tags.items() if not tag.active)

    def foreign(self) -> frozenset[str]:
        """Tags that no sync of the rest may touch."""
        return frozenset(self._tags)

    def comparable(self, node: NodeId) -> tuple[TagTerm, ...]:
        """The tags of which records are compared with this node's: those that it has, and those
        that no other node has. A comparison adds and replaces nothing that is later here; it is
        what brings an owner the records of its tag that only others have."""
        return tuple(
            tag.term
            for tag in self._tags.values()
            if tag.active or tag.holder is None or tag.holder.node_id == node
        )[:MAX_TAGS]

    @property
    def lacking(self) -> list[str]:
        """Tags that are not known to be complete here, by name."""
        if not self._needs_data:
            return []
        return sorted(
            name
            for name, tag in self._tags.items()
            if not (tag.active or name in self._followed or name in self.evidence)
        )

    @property
    def told(self) -> list[str]:
        """`CapabilityState.lacking`."""
        lacking = self.lacking
        return lacking if len(lacking) <= MAX_LACKING else [""]

    def proved(self) -> list[TagEvidence]:
        """How each tag was synced last, by name. From any thread."""
        return [found for _, found in sorted(self.evidence.copy().items())]

    def pending(self) -> dict[str, str]:
        """Lacking tags, and why."""
        told = {}
        for tag in map(self._tags.__getitem__, self.lacking):
            why = tag.why if tag.holder is None else self.failed.get(tag.tag, tag.why)
            told[tag.tag] = str(why)
        return told

    @property
    def deadline(self) -> float | None:
        """When to `tick`."""
        waits = [*self._paused.values(), *([self._due_at] if self._due_at is not None else [])]
        return min(waits, default=None)

    # What to do ---------------------------------------------------------------------------

    def due(self, donors: Sequence[Peer]) -> Part | None:
        """What to fetch now: what somebody asked for, then what is wanted by itself.

        ``donors``: the nodes that could serve.
        """
        part = self._part(self.asked.tags, donors, self.asked)
        if part is None and self._auto and self._due_at is None:
            part = self._part(self._stale(), donors, NOBODY)
        return part

    def give_up(self) -> None:
        """Nothing can be done for what is still asked for."""
        for tag in sorted(self.asked.tags):
            nobody = Why.ACTIVE_HERE if self.active(tag) else Why.NO_OWNER
            self.failed[tag] = self.failed.get(tag) or nobody
        self.asked = msgspec.structs.replace(self.asked, tags=frozenset())

    def _part(self, tags: frozenset[str], donors: Sequence[Peer], how: Asked) -> Part | None:
        able = {peer.life: peer for peer in donors if peer.life not in self._paused}
        wanted = [self._tags[tag] for tag in sorted(tags & self._tags.keys())]
        backups = [tag for tag in wanted if not tag.active]
        owners = {tag.holder for tag in backups if tag.holder is not None and tag.holder in able}
        if owners:
            owner = min(owners)
            terms = [tag.term for tag in backups if tag.holder == owner]
            return _made(owner, terms, mirror=how.mirror, dry_run=how.dry_run)
        forced = [tag for tag in wanted if tag.active and tag.tag in how.force]
        orphans = [tag for tag in backups if tag.holder is None] if self._newest else []
        for tag in (*forced, *orphans):
            best = _newest_of(able.values(), tag.tag)
            if best is not None:
                return _made(best.life, [tag.term], owned=False, forced=tag.active)
        return None

    def _stale(self) -> frozenset[str]:
        """Backup here, and not synced with the node that has it; or never, with nobody there."""
        return frozenset(
            name
            for name, tag in self._tags.items()
            if not tag.active
            and (
                self._synced_with.get(name) != tag.holder
                if tag.holder is not None
                else self._newest and name not in self.evidence and name not in self._followed
            )
        )


def _made(life: Life, terms: Sequence[TagTerm], **how: bool) -> Part:
    return Part(donor=life[0], incarnation=life[1], terms=tuple(terms[:MAX_TAGS]), **how)


def _newest_of(peers: Iterable[Peer], tag: str) -> Peer | None:
    """Of the nodes that do not lack the tag the one with the newest data (K-4)."""
    having = [peer for peer in peers if not {tag, ""} & set(peer.said.lacking)]
    return min(having, key=lambda p: (-p.said.position, p.node_id), default=None)
