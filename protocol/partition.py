"""Who works on which keys: agreed views and rendezvous hashing (P-1 … P-5).

The *members* of a capability's partition are the nodes that are reachable, take part in its work,
which is to say have a weight, and are OK, oneself only when OK (P-4). Keys fall into `SLOTS` slots
by a hash, and a slot belongs to the member whose hash together with the slot is the highest
(rendezvous hashing, P-2). So whoever knows the same members has the same *view*, and a change moves
only slots to the member that came or from the one that left. A member of weight w draws w times, so
its share is w times that of weight 1 (P-5).

Nodes do not learn of a change in the same moment, so for a while they follow different views. In
*two-phase* mode nobody takes a slot that another may still work on (P-3). A node that follows a new
view first lets go what it lost; when the application has confirmed that, the node publishes the
view's id with its state: it *consents* to the view. Nodes that are no members do so too, those that
take no part as well: they may begin to at any moment, before they have heard of everybody. What a
node gained it takes when every node that has the capability has consented to a view with it in it,
and once more those that came to be members since then, or are members no longer. Why that is
enough, for two nodes A and B and a slot:

* B's views have A in them from B's consent on, until A leaves. Among the members of such a view B
  owns only slots in which its score is above A's, and it has let go all others.
* A takes nothing before. So while A has the slot, B has it only if B's score is higher; while B
  has it, A only if A's is higher. Both cannot be.
* A view's id covers the life of each member and how often it has become OK in it. So no old word
  of B can be taken for consent after A has left and come back.

That holds as long as "unreachable" means "gone": when a network falls apart, each part works on
everything, unless ``quorum_share`` lets only the larger part work. A node that has just started
reaches nobody either. So it has no weight until its `Arrival` is over: those who work go on
working, and whoever is really alone begins a few seconds later.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from hashlib import blake2b
from typing import cast

import msgspec

from .donors import CapabilityView, Peer, Stint
from .effects import Effect
from .identity import MAX_ID, NodeId
from .messages import CapabilityState, CapState

SLOTS = 4096
"""Parts that the keys are divided into: so many that the share of one of n equal members is hardly
ever above 1.3 / n, for n up to about 30."""

Key = str | bytes | int


def slot_of(key: Key) -> int:
    """The slot of a key: the same in every process and version. A text is its UTF-8 bytes."""
    data = key if isinstance(key, bytes) else str(key).encode()
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") % SLOTS


class Member(msgspec.Struct, frozen=True):
    """A node that takes part, from when it became OK until it is so no longer."""

    node_id: NodeId
    incarnation: int
    generation: int
    weight: int


class PartitionView(msgspec.Struct, frozen=True):
    """An agreed division of the work; equal on all nodes that know the same members (P-1)."""

    id: int
    """0 = without members."""
    members: tuple[Member, ...]
    """By node id."""
    owners: tuple[NodeId, ...]
    """Of each slot; none without members, and where this node takes no part."""

    def owner(self, key: Key) -> NodeId | None:
        """Whose work the key is; None = there is no member."""
        return self.owners[slot_of(key)] if self.owners else None

    def index_of(self, node: NodeId) -> tuple[int | None, int]:
        """(place of the node among the members, their number), as ``get_my_index``; None = none."""
        ids = [member.node_id for member in self.members]
        return (ids.index(node) if node in ids else None), len(ids)


class Lost(Effect, frozen=True):
    """Tell the application to let go of these slots; `Partition.let_go` hears when it has."""

    slots: tuple[int, ...]


class Gained(Effect, frozen=True):
    """Tell the application that these slots are its work from now on."""

    slots: tuple[int, ...]


class Adopted(Effect, frozen=True):
    """Publish that this view is followed, see `CapabilityState.view`."""

    view: int


class Arrival:
    """Has a node that begins to take part seen who else is there? (P-4)

    It has when every enabled node is in sight, or when it has waited as long as a link takes to be
    DOWN: then "unreachable" means "gone". Once it has, that stays so.
    """

    def __init__(self, ping_timeout_s: float) -> None:
        self.deadline: float | None = None
        """When to `look` again, if nothing changes before; None = once it has looked."""
        self._ping_timeout_s = ping_timeout_s
        self._began_at: float | None = None
        self._seen = False

    def look(self, around: CapabilityView, now: float) -> bool:
        """Is it over? Asked when what is known of the others changed, or the deadline passed."""
        if self._seen:
            return True
        if self._began_at is None:
            self._began_at = now
        absent = [p.record.ping_retries for p in around.peers if p.record.enabled and not p.hops]
        patience_s = self._ping_timeout_s * (1 + max(absent, default=-1))
        self._seen = now >= self._began_at + patience_s
        self.deadline = None if self._seen else self._began_at + patience_s
        return self._seen


class Partition:
    """One node's part in the work of one capability."""

    def __init__(
        self,
        me: NodeId,
        incarnation: int,
        *,
        two_phase: bool = True,
        quorum_share: float = 0.0,
        observes: bool = False,
    ) -> None:
        """``quorum_share``: work only while more than this share of the enabled nodes is in sight.

        ``observes``: this node takes no part, so nobody asks it who owns what; it only consents.
        """
        self.view = PartitionView(0, (), ())
        self.held: frozenset[int] = frozenset()
        """Slots this node works on."""
        self._me = me
        self._incarnation = incarnation
        self._two_phase = two_phase
        self._quorum_share = quorum_share
        self._observes = observes
        self._owned: frozenset[int] = frozenset()
        """Slots that the view gives to this node."""
        self._mine: frozenset[int] = frozenset()
        """The same while it may work at all: its own, as soon as it may take them."""
        self._letting_go = 0
        """`Lost` that the application has not confirmed."""
        self._adopted = 0
        self._stint = (0, False)
        """(since I became OK, do I take part): consent given before is none."""
        self._consented: set[_Part] = set()
        """Who has followed a view with me in it."""
        self._clear = False
        """Nobody else can hold a slot of mine."""

    @property
    def adopted(self) -> int:
        """The view of the last `Adopted`; 0 = there was none."""
        return self._adopted

    def works_on(self, key: Key) -> bool:
        """Is the key this node's work, now?"""
        return slot_of(key) in self.held

    def my_index(self) -> tuple[int | None, int]:
        """(place, number of members); None = not OK, so no member (P-4)."""
        return self.view.index_of(self._me)

    def see(self, own: CapabilityState, around: CapabilityView) -> list[Effect]:
        """My state, or what is known of the others, changed."""
        present = [p for p in around.peers if p.record.enabled and p.hops > 0 and p.state]
        if self._observes and not self.view.members and not any(p.said.weight for p in present):
            return []  # nobody works, and nobody did
        members = [
            Member(p.node_id, p.incarnation, p.said.generation, p.said.weight)
            for p in present
            if _is_member(p.said)
        ]
        if _is_member(own):
            members.append(Member(self._me, self._incarnation, own.generation, own.weight))
        self._follow(tuple(sorted(members, key=lambda m: m.node_id)))
        stint = (own.generation, own.weight > 0)
        anew = stint != self._stint
        if anew:  # whoever consented did so before I left, or to views without me
            self._stint = stint
            self._consented.clear()
        parts = {_part(p) for p in present}
        self._consented &= parts
        self._consented |= {_part(p) for p in present if p.said.view == self.view.id}
        self._clear = self._consented == parts
        self._mine = self._owned if around.quorum(self._quorum_share) else frozenset()
        return self._move(frozenset() if anew else self.held & self._mine)

    def let_go(self) -> list[Effect]:
        """The application has let go of what the oldest open `Lost` named."""
        assert self._letting_go > 0, "nothing was to be let go"
        self._letting_go -= 1
        return self._move(self.held)

    def _move(self, kept: frozenset[int]) -> list[Effect]:
        """Let go, say so, take: each as soon as it may be."""
        effects: list[Effect] = []
        lost, self.held = self.held - kept, kept
        if lost:
            self._letting_go += 1
            effects.append(Lost(tuple(sorted(lost))))
        if not self._letting_go and self._adopted != self.view.id:
            self._adopted = self.view.id
            effects.append(Adopted(self.view.id))
        free = self._clear and not self._letting_go
        gained = self._mine - kept
        if gained and (free or not self._two_phase):
            self.held = self._mine
            effects.append(Gained(tuple(sorted(gained))))
        return effects

    def _follow(self, members: tuple[Member, ...]) -> None:
        if members == self.view.members:
            return
        weights = {m.node_id: m.weight for m in self.view.members}
        if any(weights.get(m.node_id, m.weight) != m.weight for m in members):
            self._consented.clear()  # a slot may come from somebody whose view has me in it
        shares = tuple((m.node_id, m.weight) for m in members)
        owners = _owners(shares) if not self._observes else ()
        self.view = PartitionView(_view_id(members), members, owners)
        me = self._me
        self._owned = frozenset([slot for slot, owner in enumerate(owners) if owner == me])


_Part = tuple[Stint, bool]
"""(since it became OK, is it a member): from one change of its part in the work to the next."""


def _part(peer: Peer) -> _Part:
    return peer.stint, _is_member(peer.said)


def _is_member(said: CapabilityState) -> bool:
    return said.weight > 0 and said.state is CapState.OK


def _view_id(members: tuple[Member, ...]) -> int:
    """63 bits, 0 without members."""
    if not members:
        return 0
    text = " ".join(f"{m.node_id}:{m.incarnation}:{m.generation}:{m.weight}" for m in members)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1 or 1


_NODE_BITS = MAX_ID.bit_length()
_HASH_BYTES = 4
_PER_DIGEST = 64 // _HASH_BYTES


@lru_cache(maxsize=32)
def _owners(members: tuple[tuple[NodeId, int], ...]) -> tuple[NodeId, ...]:
    """The owner of each slot among (node, weight)."""
    rows = [_scores(node, weight) for node, weight in members]
    best = map(max, *rows) if len(rows) > 1 else itertools.chain(*rows)
    return tuple(cast("list[NodeId]", [MAX_ID - (score & MAX_ID) for score in best]))


@lru_cache(maxsize=256)
def _scores(node: NodeId, weight: int) -> list[int]:
    """The node's score in each slot: the best of as many draws as it has weight.

    The lower bits name the node, so that the highest score says whose it is, and of equal draws
    the lower id wins.
    """
    draws = [_draw(node, number) for number in range(weight)]
    best = map(max, *draws) if weight > 1 else draws[0]
    return [(draw << _NODE_BITS) | (MAX_ID - node) for draw in best]


def _draw(node: NodeId, number: int) -> list[int]:
    """A number of 29 bits for each slot: with the node's they fit two digits of a Python int."""
    digests = (
        blake2b(f"{node} {number} {block}".encode()).digest()
        for block in range(SLOTS // _PER_DIGEST)
    )
    stream = b"".join(digests)
    starts = range(0, len(stream), _HASH_BYTES)
    return [int.from_bytes(stream[at : at + _HASH_BYTES], "big") >> 3 for at in starts]
