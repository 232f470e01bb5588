"""The link states a node holds, and the links that count: a link-state database (T-9 … T-12).

Of each origin the newest is kept. A link is between two lives, and it counts when *both* ends
report it (T-12): each names the other together with the incarnation from its HELLO, and a link
state holds for the incarnation that said it. What a dead life last said therefore pairs with
nothing that is said to the life after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple, cast

from .identity import ClusterId, NodeId
from .messages import CapabilityState, Digest, LinkState

Version = tuple[int, int]
"""(epoch, sequence); grows with everything that an origin says."""


class Said(NamedTuple):
    """The newest that an origin said of itself."""

    epoch: int
    sequence: int
    """−1: no link state was told yet; of another node only its life is known, from my link with it,
    and only as long as that is up."""
    incarnation: int
    neighbours: Mapping[NodeId, int]
    """Each with the incarnation that the link is with."""
    capabilities: tuple[CapabilityState, ...] = ()

    @property
    def version(self) -> Version:
        """What decides which of two is newer."""
        return self.epoch, self.sequence


NOTHING = Said(-1, -1, -1, {})


def said_in(message: LinkState) -> Said:
    """What a message says. Raises nothing: a node listed twice is there once."""
    neighbours = dict(cast("list[tuple[NodeId, int]]", message.neighbours))
    return Said(
        message.epoch,
        message.sequence,
        message.incarnation,
        neighbours,
        tuple(message.capabilities),
    )


class LinkStates(Mapping[NodeId, AbstractSet[NodeId]]):
    """The link states of one cluster, held by node ``me``.

    As a mapping: origin → the nodes it has a link with that counts.
    """

    def __init__(self, cluster_id: ClusterId, me: NodeId) -> None:
        self._cluster_id = cluster_id
        self._me = me
        self._said: dict[NodeId, Said] = {}
        self._mine: set[NodeId] = set()
        """My links that count. Those of others are seldom asked for: a full mesh needs none."""
        self._links: dict[NodeId, set[NodeId]] = {}
        """Those of others, as far as they were asked for since they said something new."""
        self._withheld: NodeId | None = None
        self._tags = b""
        self._digest: Digest | None = None
        """Made once; neighbours in agreement send each other equal ones all the time."""

    def __getitem__(self, origin: NodeId) -> AbstractSet[NodeId]:
        if origin == self._me:
            return self._mine
        if origin not in self._links:
            said = self._said[origin]
            self._links[origin] = {n for n in said.neighbours if self._both(origin, said, n)}
        return self._links[origin]

    def __iter__(self) -> Iterator[NodeId]:
        return iter(self._said)

    def __len__(self) -> int:
        return len(self._said)

    def __contains__(self, origin: object) -> bool:
        return origin in self._said

    def of(self, origin: NodeId) -> Said:
        """What it said last; `NOTHING` when nothing is held."""
        return self._said.get(origin, NOTHING)

    def store(self, origin: NodeId, said: Said, differs: Callable[[NodeId], bool]) -> bool:
        """Keep what ``origin`` says.

        Does its link with one of those nodes that ``differs`` is true of begin or end to count?
        """
        before = self._said.get(origin, NOTHING)
        self._said[origin] = said
        self._digest = None
        touched = _touched(before, said)
        self._links.pop(origin, None)
        for node in self._links.keys() & touched:
            if self._both(origin, said, node):
                self._links[node].add(origin)
            else:
                self._links[node].discard(origin)
        if origin == self._me:
            self._mine = {n for n in said.neighbours if self._both(origin, said, n)}
        elif self._both(origin, said, self._me):
            self._mine.add(origin)
        else:
            self._mine.discard(origin)
        return any(
            self._both(origin, before, node) != self._both(origin, said, node)
            for node in touched
            if differs(node)
        )

    def forget(self, origin: NodeId) -> None:
        """Hold nothing of it any more."""
        self.store(origin, NOTHING, lambda _: False)
        del self._said[origin]

    def _both(self, origin: NodeId, said: Said, node: NodeId) -> bool:
        """Does the link count when ``origin`` says this (T-12)?"""
        theirs = self._said.get(node)
        if theirs is None or said.neighbours.get(node) != theirs.incarnation:
            return False
        return theirs.neighbours.get(origin) == said.incarnation

    def withhold(self, origin: NodeId | None) -> None:
        """Whose link state is not told now, because a newer one is about to be; None = nobody's."""
        if origin != self._withheld:
            self._withheld = origin
            self._digest = None

    def tell_tags(self, tags: bytes) -> None:
        """What `Digest.tags` is to say from now on."""
        if tags != self._tags:
            self._tags = tags
            self._digest = None

    def is_news(self, origin: NodeId, version: Version, incarnation: int = -1) -> bool:
        """Is it newer than what is held?

        A life that moved its epoch up (T-9) may have said under the number of the life after it
        what that one says: then ``incarnation`` decides.
        """
        return (*version, incarnation) > self._said.get(origin, NOTHING)[:3]

    def missing_in(self, digest: Digest) -> list[NodeId]:
        """The origins of whom something newer is held than the digest lists, sorted."""
        theirs = {node: (epoch, sequence) for node, epoch, sequence in digest.entries}
        none = NOTHING[:2]
        return [n for n in self._told() if self._said[n][:2] > theirs.get(n, none)]

    def messages(self, origins: Iterable[int]) -> list[LinkState]:
        """The link states of these origins, as far as there are any, by origin."""
        asked = set(origins)
        return [self._message(n) for n in self._told() if n in asked]

    def digest(self) -> Digest:
        """The versions of all that can be told."""
        if self._digest is None:
            entries: list[tuple[int, int, int]] = [(n, *self._said[n][:2]) for n in self._told()]
            self._digest = Digest(self._cluster_id, entries, self._tags)
        return self._digest

    def _told(self) -> list[NodeId]:
        """The origins of whom there is a link state to tell, sorted."""
        said = self._said
        return [n for n in sorted(said) if said[n].sequence >= 0 and n != self._withheld]

    def _message(self, origin: NodeId) -> LinkState:
        said = self._said[origin]
        return LinkState(
            cluster_id=self._cluster_id,
            origin=origin,
            incarnation=said.incarnation,
            epoch=said.epoch,
            sequence=said.sequence,
            neighbours=[*sorted(said.neighbours.items())],
            capabilities=list(said.capabilities),
        )


def _touched(before: Said, after: Said) -> AbstractSet[NodeId]:
    """The nodes whose link with the origin may count or not count since it said ``after``."""
    if before.incarnation != after.incarnation:
        return before.neighbours.keys() | after.neighbours.keys()
    return {node for node, _ in before.neighbours.items() ^ after.neighbours.items()}
