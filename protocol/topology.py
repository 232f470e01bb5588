"""What one node knows of one cluster: who is linked with whom, and whom it can reach.

Each node floods its *link state*: the whole set of neighbours it has a link with, under a version
(epoch, sequence) that only grows (T-9, T-11). A receiver keeps the newest of each origin and
forwards exactly what was newer than what it had, so flooding ends (T-10). A lost message is made
good by the next version, or by the digest that neighbours exchange when a link comes up and every
``digest_interval_s``: the list of versions held. A digest is answered with link states the other
lacks and a `Want` for those it has and we do not; never with a digest, so nothing goes in circles.

The epoch is the incarnation of the origin, which grows with each start, so a version is above every
version of an earlier life. When a life lost its clock or its state, so that something newer than
its own version is about in its name, the node moves its epoch above it and floods again; its
incarnation stays. Its neighbours are never learned from others.

A link is between two lives, and it counts when *both* report it (T-12): each end names the other
together with the incarnation from its HELLO, and a link state holds for the incarnation that said
it. What a dead life last said therefore pairs with nothing that is said to the life after it. My
own links are no exception. They are told, and messages are flooded over them, as soon as they are
up here and until they are DOWN here; but they carry routes only while the peer reports them too.
So the end that still counts retries on a dead path goes round as soon as it hears from the other
end, which knows; the price is one more message before NODE_UP.

Applications hear NODE_UP when the first path appears and NODE_DOWN when the last disappears, per
node strictly in turn (N-1). A node that restarts while it stays reachable is DOWN, then UP.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from .effects import Announce, Count, Effect, RefreshRoster, SendTo
from .errors import Misuse
from .events import Event
from .identity import ClusterId, NodeId, NodeRecord
from .messages import MAX_HOPS, MAX_NODES, Digest, LinkState, Want
from .routing import Path, shortest_paths

MAX_EPOCH = 2**63 - 1  # what the messages can carry

_RESTARTED = "restarted"
_REMOVED = "removed or disabled in the roster"


class _Known(NamedTuple):
    """The newest that an origin said of itself."""

    epoch: int
    sequence: int
    """−1: known from my link alone, and only as long as it is up; no link state received yet."""
    incarnation: int
    neighbours: Mapping[NodeId, int]
    """Each with the incarnation that the link is with."""


_NOTHING = _Known(-1, -1, -1, {})


class Topology:
    """The rules of one node in one cluster. Times are seconds of any clock that never steps back.

    ``members`` are the enabled nodes of the roster, ``me`` included; nobody else is listened to,
    believed in, or mentioned. Messages must be those of this cluster (G-2 is the shell's).
    """

    def __init__(
        self,
        *,
        cluster_id: ClusterId,
        me: NodeId,
        incarnation: int,
        epoch: int = 0,
        members: Mapping[NodeId, NodeRecord],
        rerouting: bool,
        digest_interval_s: float,
    ) -> None:
        """``epoch``: where to begin, if above the incarnation. `Misuse`: ``me`` is no member."""
        self._cluster_id = cluster_id
        self._me = me
        self._rerouting = rerouting
        self._digest_interval_s = digest_interval_s
        self._members = self._checked(members)
        first = _Known(max(epoch, incarnation), 0, incarnation, {})
        self._known: dict[NodeId, _Known] = {me: first}
        self._links: dict[NodeId, set[NodeId]] = {me: set()}
        self._routes: dict[NodeId, Path] = {}
        self._announced: dict[NodeId, int] = {}
        self._refused: dict[NodeId, NodeId] = {}
        self._defended_until = -math.inf
        self.deadline: float | None = None
        """When `tick` has something to do; None without neighbours."""

    def link_up(self, peer: NodeId, incarnation: int, now: float, cause: str) -> list[Effect]:
        """My link with ``peer`` is up; ``incarnation`` is the one of its HELLO.

        Nothing when it was up already and the peer is in the same life.
        """
        if peer == self._me or peer not in self._members:
            return [Count("G-4")]
        own = self._known[self._me]
        if own.neighbours.get(peer) == incarnation:
            return []
        known = self._known.get(peer, _NOTHING)
        news = f"link with node {peer} is up"
        if incarnation != known.incarnation:
            cause, news = _RESTARTED, f"node {peer} restarted"
            # A life known from the link alone is no evidence against what the link says now.
            if known.sequence < 0 or incarnation > known.epoch:
                # What its earlier life said of its links is over, whoever still repeats it.
                self._store(peer, _Known(incarnation, -1, incarnation, {}))
        if self.deadline is None:
            self.deadline = now + self._digest_interval_s
        effects = self._publish({**own.neighbours, peer: incarnation})
        effects.append(SendTo(peer, self._digest()))
        return effects + self._settle(news, {peer: cause})

    def link_down(self, peer: NodeId, now: float, cause: str) -> list[Effect]:  # noqa: ARG002 - the shape of all inputs
        """My link with ``peer`` is no longer up. Nothing when it was not."""
        neighbours = dict(self._known[self._me].neighbours)
        if neighbours.pop(peer, None) is None:
            return []
        effects = self._publish(neighbours)
        if self._known[peer].sequence < 0:
            self._forget(peer)
        return effects + self._settle(f"link with node {peer}: {cause}", {peer: cause})

    def receive(
        self, sender: NodeId, message: LinkState | Digest | Want, now: float
    ) -> list[Effect]:
        """A message of this cluster from the authenticated peer ``sender`` (G-12)."""
        if sender not in self._members or sender == self._me:
            return [Count("G-4")]
        if isinstance(message, LinkState):
            return self._on_link_state(sender, message, now)
        if isinstance(message, Digest):
            return self._on_digest(sender, message, now)
        return self._tell(sender, {NodeId(n) for n in message.origins} & self._known.keys())

    def set_members(self, members: Mapping[NodeId, NodeRecord], now: float) -> list[Effect]:  # noqa: ARG002 - the shape of all inputs
        """The roster changed: forget who left, ask again for what was refused, route anew.

        Raises `Misuse` when ``me`` is no member any more: then this cluster is left, see `leave`.
        """
        members = self._checked(members)
        removed = frozenset(self._members.keys() - members.keys())
        self._members = members
        effects: list[Effect] = []
        neighbours = self._known[self._me].neighbours
        if neighbours.keys() & removed:
            effects += self._publish({n: neighbours[n] for n in neighbours.keys() - removed})
        for node in removed & self._known.keys():
            self._forget(node)
        effects += self._ask_again()
        return effects + self._settle("the roster changed", dict.fromkeys(removed, _REMOVED))

    def leave(self) -> list[Effect]:
        """I am no member any more: whoever was up is DOWN (N-1). Nothing may be called after it."""
        before, self._routes = self._routes, {}
        why = f"I am {_REMOVED}"
        return [e for n in sorted(before) for e in self._edges(n, before[n], "", why)]

    def tick(self, now: float) -> list[Effect]:
        """Send the digest to each neighbour when it is time."""
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = now + self._digest_interval_s
        digest = self._digest()
        return [SendTo(n, digest) for n in sorted(self._known[self._me].neighbours)]

    def next_hop(self, node: NodeId) -> NodeId | None:
        """The neighbour through which ``node`` is reached; None = unreachable, or me."""
        return self._routes[node][0] if node in self._routes else None

    def route(self, node: NodeId) -> tuple[NodeId, ...]:
        """The nodes on the way to ``node``, which is the last; empty = unreachable, or me."""
        return self._routes.get(node, ())

    @property
    def reachable(self) -> frozenset[NodeId]:
        """The other nodes I have a path to."""
        return frozenset(self._routes)

    @property
    def neighbours(self) -> frozenset[NodeId]:
        """The nodes my link is up with, whether they report it or not: who is told what floods."""
        return frozenset(self._known[self._me].neighbours)

    def adjacency(self) -> list[tuple[NodeId, list[NodeId]]]:
        """(node, sorted neighbours) of each member, mine first, the others by id.

        Only links that count (T-12): what a dead node last said of its links is not shown.
        """
        others = sorted(self._members.keys() - {self._me})
        return [(n, sorted(self._links.get(n, ()))) for n in (self._me, *others)]

    def incarnation_of(self, node: NodeId) -> int | None:
        """The incarnation last heard of; None = never heard of that node."""
        return self._known[node].incarnation if node in self._known else None

    def _on_link_state(self, sender: NodeId, message: LinkState, now: float) -> list[Effect]:
        origin = NodeId(message.origin)
        neighbours = {NodeId(n): incarnation for n, incarnation in message.neighbours}
        new = _Known(message.epoch, message.sequence, message.incarnation, neighbours)
        if origin not in self._members:
            return self._refuse(origin, sender, "T-7", f"node {origin} is no member here")
        old = self._known.get(origin, _NOTHING)
        if origin == self._me:
            # An equal version that says the same is an echo of this life.
            contested = new[:2] > old[:2] or (new[:2] == old[:2] and new != old)
            return self._defend(new.epoch, now) if contested else [Count("T-10")]
        if new[:2] <= old[:2]:
            return [Count("T-10")]
        if origin in neighbours or len(neighbours) < len(message.neighbours):
            return [Count("S11"), RefreshRoster(f"node {origin} lists itself or a node twice")]
        if strangers := sorted(neighbours.keys() - self._members.keys()):
            why = f"node {origin} lists node {strangers[0]}, which is no member here"
            return self._refuse(origin, sender, "S11", why)
        moved = self._store(origin, new)
        effects = self._forward(sender, message)
        if moved:
            effects += self._settle(f"links of node {origin} changed", {})
        return effects

    def _refuse(self, origin: NodeId, sender: NodeId, rule: str, why: str) -> list[Effect]:
        """Refuse a link state that a newer roster may allow, and note who has it."""
        if len(self._refused) < MAX_NODES:
            self._refused[origin] = sender
        return [Count(rule), RefreshRoster(why)]

    def _ask_again(self) -> list[Effect]:
        """Ask for the link states refused under the old roster; the digest would take longer."""
        wanted: dict[NodeId, list[NodeId]] = {}
        for origin, sender in sorted(self._refused.items()):
            if origin in self._members and sender in self._known[self._me].neighbours:
                wanted.setdefault(sender, []).append(origin)
        self._refused.clear()
        return [SendTo(n, Want(self._cluster_id, list(wanted[n]))) for n in sorted(wanted)]

    def _forward(self, sender: NodeId, message: LinkState) -> list[Effect]:
        """Flood on (T-6), except to those who have it: the origin told its neighbours itself."""
        if message.hops >= MAX_HOPS:
            return [Count("G-14")]
        onward = msgspec.structs.replace(message, hops=message.hops + 1)
        told = {sender, message.origin, *(n for n, _ in message.neighbours)}
        return [SendTo(n, onward) for n in sorted(self._known[self._me].neighbours.keys() - told)]

    def _on_digest(self, sender: NodeId, message: Digest, now: float) -> list[Effect]:
        theirs = {NodeId(node): (epoch, sequence) for node, epoch, sequence in message.entries}
        none = _NOTHING[:2]
        newer_here = {n for n, k in self._known.items() if k[:2] > theirs.get(n, none)}
        effects = self._tell(sender, newer_here)
        wanted = sorted(
            node
            for node, version in theirs.items()
            if node in self._members and version > self._known.get(node, _NOTHING)[:2]
        )
        if self._me in wanted:
            wanted.remove(self._me)
            effects += self._defend(theirs[self._me][0], now)
        if wanted:
            effects.append(SendTo(sender, Want(self._cluster_id, list(wanted))))
        if theirs.keys() - self._members.keys():
            effects.append(Count("T-7"))
        return effects

    def _tell(self, peer: NodeId, origins: set[NodeId]) -> list[Effect]:
        """Link states of these origins, where there is one."""
        return [
            SendTo(peer, self._link_state(origin))
            for origin in sorted(origins)
            if self._known[origin].sequence >= 0
        ]

    def _link_state(self, origin: NodeId) -> LinkState:
        known = self._known[origin]
        return LinkState(
            cluster_id=self._cluster_id,
            origin=origin,
            incarnation=known.incarnation,
            epoch=known.epoch,
            sequence=known.sequence,
            neighbours=[*sorted(known.neighbours.items())],
        )

    def _digest(self) -> Digest:
        entries: list[tuple[int, int, int]] = [
            (node, *known[:2]) for node, known in sorted(self._known.items()) if known.sequence >= 0
        ]
        return Digest(self._cluster_id, entries)

    def _publish(self, neighbours: Mapping[NodeId, int]) -> list[Effect]:
        """My links changed: a new version, to all my neighbours."""
        own = self._known[self._me]
        return self._flood_own(own._replace(sequence=own.sequence + 1, neighbours=neighbours))

    def _defend(self, claimed: int, now: float) -> list[Effect]:
        """Something newer than my version is about in my name: move above it (T-9).

        At most once per digest interval, so that two processes with one id cannot drive each
        other at the speed of the network; the next digest of a neighbour brings it up again.
        """
        if now < self._defended_until or claimed >= MAX_EPOCH:
            return [Count("T-9")]
        self._defended_until = now + self._digest_interval_s
        return self._flood_own(self._known[self._me]._replace(epoch=claimed + 1, sequence=0))

    def _flood_own(self, own: _Known) -> list[Effect]:
        self._store(self._me, own)
        if not own.neighbours:
            self.deadline = None
        return [SendTo(n, self._link_state(self._me)) for n in sorted(own.neighbours)]

    def _store(self, origin: NodeId, new: _Known) -> bool:
        """Keep what ``origin`` says and update the links that count; True if routes may move.

        A link between nodes at equal distance is on no shortest path, before or after.
        """
        self._known[origin] = new
        both = set()
        for node, life in new.neighbours.items():
            theirs = self._known.get(node, _NOTHING)
            if theirs.incarnation == life and theirs.neighbours.get(origin) == new.incarnation:
                both.add(node)
        moved = False
        for node in self._links.get(origin, set()) ^ both:
            if node in both:
                self._links[node].add(origin)
            else:
                self._links[node].discard(origin)
            moved = moved or self._distance(node) != self._distance(origin)
        self._links[origin] = both
        return moved

    def _forget(self, node: NodeId) -> None:
        self._store(node, _NOTHING)
        del self._known[node], self._links[node]

    def _distance(self, node: NodeId) -> int:
        """Hops from me; −1 = unreachable."""
        return 0 if node == self._me else len(self._routes.get(node, ())) or -1

    def _settle(self, cause: str, own_cause: Mapping[NodeId, str]) -> list[Effect]:
        """Compute the routes anew and announce what changed, by node id (N-1).

        ``own_cause`` is for the nodes the change is about; the others have it from ``cause``.
        """
        links: Mapping[NodeId, set[NodeId]] = self._links
        if not self._rerouting:
            links = {self._me: self._links[self._me]}
        priorities = {node: record.priority for node, record in self._members.items()}
        before, self._routes = self._routes, shortest_paths(self._me, links, priorities)
        effects: list[Effect] = []
        for node in sorted(before.keys() | self._routes.keys()):
            effects += self._edges(node, before.get(node, ()), cause, own_cause.get(node))
        return effects

    def _doubt(self, node: NodeId) -> None:
        """Unsay an unreachable node's links that ended at the other end; a digest asks for more."""
        known, here = self._known.get(node, _NOTHING), {self._me, *self._routes}
        over = {n for n in here & known.neighbours.keys() if node not in self._known[n].neighbours}
        if over and known.sequence > 0:
            live = {n: life for n, life in known.neighbours.items() if n not in over}
            self._store(node, known._replace(sequence=known.sequence - 1, neighbours=live))

    def _edges(self, node: NodeId, before: Path, cause: str, own: str | None) -> list[Announce]:
        """The announcements about one node whose route was ``before``."""
        after = self._routes.get(node, ())
        if not after:
            self._doubt(node)  # else its old word pairs with the first end that returns
            life = self._announced.pop(node)
            return [_edge(Event.NODE_DOWN, node, life, own or f"path lost: {cause}", before)]
        life = self._known[node].incarnation
        announced = self._announced.get(node)
        self._announced[node] = life
        if announced is None:
            return [_edge(Event.NODE_UP, node, life, own or f"path found: {cause}", after)]
        if announced != life:
            return [
                _edge(Event.NODE_DOWN, node, announced, _RESTARTED, before),
                _edge(Event.NODE_UP, node, life, _RESTARTED, after),
            ]
        if before[0] == after[0]:
            return []
        moved = _edge(Event.ROUTE_CHANGED, node, life, own or cause, after)
        return [msgspec.structs.replace(moved, before=str(before[0]), after=str(after[0]))]

    def _checked(self, members: Mapping[NodeId, NodeRecord]) -> dict[NodeId, NodeRecord]:
        if self._me not in members:
            raise Misuse(
                f"node {self._me} is not among the enabled nodes of cluster {self._cluster_id}: "
                "it has no topology there; leave the cluster instead"
            )
        return dict(members)


def _edge(kind: Event, node: NodeId, incarnation: int, cause: str, path: Path) -> Announce:
    return Announce(kind=kind, node_id=node, incarnation=incarnation, cause=cause, via=path[0])
