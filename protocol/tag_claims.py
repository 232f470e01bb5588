"""The highest claim on each sharing tag of one cluster, and how all nodes come to know it (H-22).

Claims only rise (see `tag_words` for their order), and every node keeps the highest it ever heard
of each tag. So telling needs no versions and no acknowledgements:

* a claim that is higher than what is held goes on to all neighbours but the one it came from, one
  that is not goes no further: flooding ends;
* a lower one is answered with the one that is held (H-21);
* over a link that comes up everything is told, and to a neighbour whose digest differs, too: what
  was lost is made good.

A claim whose number no store can hold is ignored and counted (W15). So is one of a node that is no
member here; but the roster may only be late, so it is kept aside until the roster has changed, and
its number is passed on: the tag's next epoch here is above it. Nobody gets or loses a tag by it.
So that no broken node can use the numbers up, none is believed that is far above those known.
What a member claimed before it was removed stays the highest claim: numbers never go back. It is
left out of the digest, because a node that joined later does not hold it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from .effects import Count, Effect, RefreshRoster, SendTo
from .errors import Misuse
from .identity import ClusterId, NodeId
from .messages import Digest
from .tag_messages import MAX_CLAIMS, Claim, TagClaims
from .tag_words import (
    MAX_EPOCH_NUMBER,
    ClaimHeard,
    Epoch,
    NumberHeard,
    Owner,
    digest_of_claims,
    epoch_of,
    is_stale,
    rank_of,
)

MAX_KNOWN_TAGS = 256
"""Tags in one cluster, declared here or heard of."""
MAX_ENDED = 8
"""Of each tag, epochs of which something may still be on its way."""
MAX_LEAP = 2**32
"""No tag is activated so often between two things that are heard of it."""


class ClaimTable:
    """The claims of one cluster at one node; the node actor owns it."""

    def __init__(
        self,
        *,
        cluster_id: ClusterId,
        me: NodeId,
        members: Collection[NodeId],
        known: Iterable[Claim] = (),
    ) -> None:
        """``known``: what was stored in earlier lives. ``members``: enabled nodes, me included."""
        self._cluster_id = cluster_id
        self._me = me
        self._members = frozenset(members)
        self._neighbours: set[NodeId] = set()
        self._declared: set[str] = set()
        self._known = {claim.tag: claim for claim in sorted(known, key=rank_of)}
        self._aside: dict[str, Claim] = {}
        """Of nodes that are no members: of each tag the highest."""
        self._ended: dict[str, tuple[Epoch, ...]] = {}
        """Of each tag the last epochs, all ended by their owners themselves."""
        self._digest: bytes | None = None

    @property
    def claims(self) -> list[Claim]:
        """The highest claim on each tag, by name."""
        return [claim for _, claim in sorted(self._known.items())]

    def of(self, tag: str) -> Claim | None:
        """The highest claim on this tag; None = nobody claimed it."""
        return self._known.get(tag)

    @property
    def digest(self) -> bytes:
        """For `Digest.tags`."""
        if self._digest is None:
            members = self._members
            told = (claim for claim in self._known.values() if claim.owner in members)
            self._digest = digest_of_claims(told)
        return self._digest

    @property
    def used(self) -> bool:
        """Somebody has a tag in this cluster, or this node wants one."""
        return bool(self._known or self._declared)

    def declare(self, tag: str) -> None:
        """This node uses the tag. `Misuse` when there are too many."""
        if not self._has_room(tag):
            raise Misuse(
                f"cluster {self._cluster_id} knows {MAX_KNOWN_TAGS} sharing tags already, the most"
                f" possible: {tag!a} cannot be added; use one of those that `list_shtags` shows"
            )
        self._declared.add(tag)

    def declared(self, tag: str) -> bool:
        """Does this node use the tag, or has it only heard of it? (H-27)"""
        return tag in self._declared

    def restore(self, claims: Iterable[Claim]) -> list[Effect]:
        """What was stored. Neighbours learn it with the rest, later.

        A claim of a node that is no member is kept aside here, too: the others may never have heard
        of it, and who has the tag by what they know would be out of date on this node alone.
        """
        effects: list[Effect] = []
        for claim in claims:
            held = self._known.get(claim.tag)
            if not self._has_room(claim.tag) or (held and rank_of(held) >= rank_of(claim)):
                continue
            if claim.owner in self._members:
                self._store(claim)
                effects.append(ClaimHeard(claim))
            else:
                effects.append(self._put_aside(claim))
        return effects

    def link_up(self, peer: NodeId) -> list[Effect]:
        """My link with ``peer`` is up."""
        self._neighbours.add(peer)
        return self._tell([peer], self.claims)

    def link_down(self, peer: NodeId) -> list[Effect]:
        """My link with ``peer`` is no longer up."""
        self._neighbours.discard(peer)
        return []

    def claim(self, claim: Claim) -> list[Effect]:
        """I make this claim, on a tag that is declared, or repeat it (H-2)."""
        assert self._has_room(claim.tag), "a tag is declared before it is claimed"
        held = self._known.get(claim.tag)
        if held is None or rank_of(held) < rank_of(claim):
            self._store(claim)
        return self._tell(sorted(self._neighbours), [self._known[claim.tag]])

    def receive(self, sender: NodeId, message: TagClaims | Digest) -> list[Effect]:
        """A message of this cluster from the authenticated neighbour ``sender``."""
        if sender not in self._members or sender == self._me:
            return [Count("G-4")]
        if isinstance(message, Digest):
            if message.tags in (b"", self.digest):
                return []
            return self._tell([sender], self.claims)
        return self._heard(sender, message.claims)

    def wrote(
        self, source: Owner, tag: str, epoch: Epoch, mine: Epoch | None = None
    ) -> tuple[str, list[Effect]]:
        """Something came that ``source`` wrote under ``epoch``: may it count? (H-24)

        A node that writes under an epoch has claimed it. So of what comes first, this or the claim,
        each lets the other in, and nothing older than what was let in ever is, but for what its
        owner wrote before it ended its epoch itself: that was before the next one began. ``mine``:
        the epoch that is active here, which nobody else writes under (K-7). Answers why it may not
        count, or "".
        """
        held = self._known.get(tag)
        known = epoch_of(held) if held is not None else None
        if epoch.owner != source.node_id:
            return f"node {source.node_id} writes under epoch {epoch}", [Count("H-24")]
        if epoch in self._ended.get(tag, ()):
            return "", []
        if mine is not None and epoch.rank <= mine.rank:
            return f"epoch {epoch} is over: {mine} is active here", [Count("K-7")]
        if is_stale(epoch, held):
            return f"epoch {epoch} is over: {known} is known", [Count("H-24")]
        if epoch == known:
            return "", []
        made = Claim(
            tag=tag,
            number=epoch.number,
            owner=epoch.owner,
            incarnation=source.incarnation,
            priority=epoch.priority,
            reason="writes",
            inferred=True,
        )
        effects = self._heard(source.node_id, [made])
        if self._known.get(tag) == made:
            return "", effects
        return f"a claim of epoch {epoch} counts for nothing here", effects

    def set_members(self, members: Collection[NodeId]) -> list[Effect]:
        """The roster changed: claims of nodes that were not in it may count now."""
        self._members = frozenset(members)
        self._digest = None
        lawful = [c for _, c in sorted(self._aside.items()) if c.owner in self._members]
        for claim in lawful:
            del self._aside[claim.tag]
        return self._heard(self._me, lawful)

    def _heard(self, sender: NodeId, claims: Iterable[Claim]) -> list[Effect]:
        risen: list[Claim] = []
        outdated: list[Claim] = []
        effects: list[Effect] = []
        for claim in claims:
            held = self._known.get(claim.tag)
            if claim.number > min(MAX_EPOCH_NUMBER, (held.number if held else 0) + MAX_LEAP):
                effects.append(Count("W15"))
            elif held is not None and rank_of(held) > rank_of(claim):
                effects.append(Count("H-21"))
                outdated.append(held)
            elif held is not None and rank_of(held) == rank_of(claim):
                continue
            elif not self._has_room(claim.tag):
                effects.append(Count("H-27"))
            elif claim.owner not in self._members:
                why = f"node {claim.owner} claims a sharing tag and is no member here"
                effects += [Count("W15"), self._put_aside(claim), RefreshRoster(why)]
            else:
                self._store(claim)
                effects.append(ClaimHeard(claim))
                risen.append(claim)
        others = sorted(self._neighbours - {sender})
        return effects + self._tell(others, risen) + self._tell([sender], outdated)

    def _put_aside(self, claim: Claim) -> NumberHeard:
        aside = self._aside.get(claim.tag)
        if aside is None or rank_of(aside) < rank_of(claim):
            self._aside[claim.tag] = claim
        return NumberHeard(claim.tag, claim.number)

    def _has_room(self, tag: str) -> bool:
        taken = self._known.keys() | self._aside.keys() | self._declared
        return tag in taken or len(taken) < MAX_KNOWN_TAGS

    def _store(self, claim: Claim) -> None:
        self._note_end(claim)
        self._known[claim.tag] = claim
        self._digest = None
        aside = self._aside.get(claim.tag)
        if aside is not None and rank_of(aside) < rank_of(claim):
            del self._aside[claim.tag]

    def _note_end(self, claim: Claim) -> None:
        """The epoch known so far ends: in order, or because somebody else takes the tag."""
        before = self._known.get(claim.tag)
        ended = self._ended.get(claim.tag, ())
        given_up = _given_up(claim)
        if before is not None and epoch_of(before) == epoch_of(claim):
            if before.inferred and given_up is not None and given_up not in ended:
                self._ended[claim.tag] = (given_up,)
        elif given_up is not None:
            kept = ended if before is not None and epoch_of(before) == given_up else ()
            self._ended[claim.tag] = (*kept, given_up)[-MAX_ENDED:]
        elif before is not None and _life(before) == _life(claim):
            self._ended[claim.tag] = (*ended, epoch_of(before))[-MAX_ENDED:]
        else:
            self._ended.pop(claim.tag, None)

    def _tell(self, peers: Iterable[NodeId], claims: list[Claim]) -> list[Effect]:
        messages = [
            TagClaims(self._cluster_id, claims[first : first + MAX_CLAIMS])
            for first in range(0, len(claims), MAX_CLAIMS)
        ]
        return [SendTo(peer, message) for peer in peers for message in messages]


def _given_up(claim: Claim) -> Epoch | None:
    if claim.follows is None:
        return None
    number, owner, priority = claim.follows
    return Epoch(number, NodeId(owner), priority)


def _life(claim: Claim) -> tuple[int, int]:
    return claim.owner, claim.incarnation
