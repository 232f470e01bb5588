"""What one node knows of one cluster: who is linked with whom, and whom it can reach.

Each node floods its *link state*: the whole set of neighbours it has a link with, under a version
(epoch, sequence) that only grows (T-9, T-11). A receiver keeps the newest of each origin and
forwards exactly what was newer than what it had, so flooding ends (T-10). A lost message is made
good by the next version, or by the digest that neighbours exchange after a link came up and every
``digest_interval_s``: the list of versions held. A digest is answered with link states the other
lacks and a `Want` for those it has and we do not; never with a digest, so nothing goes in circles.

The epoch is the incarnation of the origin, which grows with each start, so a version is above every
version of an earlier life. When a life lost its clock or its state, so that something newer than
its own version is about in its name, the node moves its epoch above it and floods again; its
incarnation stays. Its neighbours are never learned from others.

A link counts when *both* ends report it (T-12, see `linkstates`), and my own are no exception.
Messages are flooded over a link as soon as it is up here and until it is DOWN here; it carries
routes only while I have told it and the peer reports it too. So the end that still counts retries
on a dead path goes round as soon as it hears from the other end, which knows. When a link that
is up is told to others, `adjacencies` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec

from .adjacencies import GATHER_S, Adjacencies, link_up
from .because import About, Cause, because, following, reworded
from .effects import Count, Effect, RefreshRoster, SendTo
from .errors import Misuse
from .identity import ClusterId, NodeId, NodeRecord
from .linkstates import NOTHING, LinkStates, Said, said_in
from .messages import MAX_HOPS, MAX_NODES, CapabilityState, Digest, LinkState, Want
from .reachability import RESTARTED, Reachability

__all__ = ["GATHER_S", "MAX_EPOCH", "Topology"]

MAX_EPOCH = 2**63 - 1  # what the messages can carry

_REMOVED = because("removed or disabled in the roster", Cause.ROW_REMOVED)


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
        self._digest_interval_s = digest_interval_s
        self._members = self._checked(members)
        self._priorities = _priorities(members)
        self._states = LinkStates(cluster_id, me)
        self._reach = Reachability(me, self._states, rerouting=rerouting)
        self._mine = Adjacencies(digest_interval_s)
        self._capabilities: tuple[CapabilityState, ...] = ()
        self.changes = 0
        """Grows whenever something that this object knows of the cluster may have changed."""
        self._store(me, Said(max(epoch, incarnation), -1, incarnation, {}))
        self._refused: dict[NodeId, NodeId] = {}
        self._defended_until = -math.inf

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do; None without neighbours."""
        return self._mine.deadline

    def link_up(self, peer: NodeId, incarnation: int, now: float, cause: str) -> list[Effect]:
        """My link with ``peer`` is up; ``incarnation`` is the one of its HELLO.

        Nothing when it was up already and the peer is in the same life.
        """
        if peer == self._me or peer not in self._members:
            return [Count("G-4")]
        if self._mine.up.get(peer) == incarnation:
            return []
        known, moved = self._states.of(peer), False
        restarted = known.incarnation not in (incarnation, NOTHING.incarnation)
        # A life known from the link alone is no evidence against what the link says now.
        newer = known.sequence < 0 or incarnation > known.epoch
        if newer and incarnation != known.incarnation:
            # What its earlier life said of its links is over, whoever still repeats it.
            moved = self._store(peer, Said(incarnation, -1, incarnation, {}))
        self._mine.begin(peer, incarnation, now, RESTARTED if restarted else cause)
        effects = self._tell_links(now)
        if effects or moved:
            news = reworded(RESTARTED, f"node {peer} restarted") if restarted else link_up(peer)
            effects += self._settle(news, {peer: RESTARTED} if restarted else {})
        if self._states.of(peer).sequence >= 0:
            effects.append(SendTo(peer, Want(self._cluster_id, [peer])))
        return effects

    def link_down(self, peer: NodeId, now: float, cause: str) -> list[Effect]:
        """My link with ``peer`` is no longer up. Nothing when it was not."""
        if peer not in self._mine.up:
            return []
        self._mine.end(peer)
        effects = self._tell_links(now)
        if self._states.of(peer).sequence < 0:
            self._states.forget(peer)
        own = following(cause, About("link", str(peer)))
        return effects + self._settle(reworded(own, f"link with node {peer}: {cause}"), {peer: own})

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
        return self._tell(sender, message.origins)

    def set_members(self, members: Mapping[NodeId, NodeRecord], now: float) -> list[Effect]:
        """The roster changed: forget who left, ask again for what was refused, route anew.

        Raises `Misuse` when ``me`` is no member any more: then this cluster is left, see `leave`.
        """
        members = self._checked(members)
        removed = sorted(self._members.keys() - members.keys())
        self._members, self._priorities = members, _priorities(members)
        for node in removed:
            self._mine.end(node)
        effects = self._tell_links(now)
        for node in removed:
            if node in self._states:
                self._states.forget(node)
        effects += self._ask_again()
        return effects + self._settle(
            because("the roster changed", Cause.ROSTER_CHANGED),
            {node: following(_REMOVED, About("row", str(node))) for node in removed},
        )

    def set_capabilities(self, states: Iterable[CapabilityState], now: float) -> list[Effect]:
        """The states of my capabilities, all of them; told with my links (C-3)."""
        self._capabilities = tuple(states)
        effects = self._tell_links(now)
        return effects + self._settle(self._mine.news, {}) if effects else []

    def set_tags(self, digest: bytes) -> None:
        """The digest of the claims on sharing tags; told with that of the link states (H-22)."""
        self._states.tell_tags(digest)

    def capabilities_of(self, node: NodeId) -> tuple[CapabilityState, ...]:
        """What a reachable node says of its capabilities in the life that runs (N-2), or I do."""
        reached = node == self._me or node in self._reach.routes
        return self._states.of(node).capabilities if reached else ()

    def leave(self) -> list[Effect]:
        """I am no member any more: whoever was up is DOWN (N-1). Nothing may be called after it."""
        own_row = About("row", str(self._me))
        return [*self._reach.lose_all(following(_REMOVED, own_row, f"I am {_REMOVED}"))]

    def tick(self, now: float) -> list[Effect]:
        """Tell the links that were gathered; send the digest to whom it is time to."""
        effects: list[Effect] = []
        if self._mine.gathering:
            effects += self._tell_links(now)
            if effects:
                effects += self._settle(self._mine.news, {})
        if due := self._mine.digests_due(now):
            digest = self._states.digest()
            effects += [SendTo(n, digest) for n in due]
        return effects

    @property
    def members(self) -> Mapping[NodeId, NodeRecord]:
        """The enabled nodes of the roster, me included; never changed, only replaced."""
        return self._members

    def next_hop(self, node: NodeId) -> NodeId | None:
        """The neighbour through which ``node`` is reached; None = unreachable, or me."""
        route = self._reach.routes.get(node)
        return route[0] if route is not None else None

    def route(self, node: NodeId) -> tuple[NodeId, ...]:
        """The nodes on the way to ``node``, which is the last; empty = unreachable, or me."""
        return self._reach.routes.get(node, ())

    @property
    def reachable(self) -> frozenset[NodeId]:
        """The other nodes I have a path to."""
        return frozenset(self._reach.routes)

    @property
    def neighbours(self) -> frozenset[NodeId]:
        """The nodes my link is up with, whether they report it or not: who is told what floods."""
        return frozenset(self._mine.up)

    def adjacency(self) -> list[tuple[NodeId, list[NodeId]]]:
        """(node, sorted neighbours) of each member, mine first, the others by id.

        Only links that count (T-12): what a dead node last said of its links is not shown.
        """
        others = sorted(self._members.keys() - {self._me})
        return [(n, sorted(self._states.get(n, ()))) for n in (self._me, *others)]

    def incarnation_of(self, node: NodeId) -> int | None:
        """The incarnation last heard of; None = never heard of that node."""
        return self._states.of(node).incarnation if node in self._states else None

    def _on_link_state(self, sender: NodeId, message: LinkState, now: float) -> list[Effect]:
        origin, version = NodeId(message.origin), (message.epoch, message.sequence)
        if origin not in self._members:
            return self._refuse(origin, sender, "T-7", f"node {origin} is no member here")
        if origin == self._me:
            own = self._states.of(origin)
            # An equal version that says the same is an echo of this life.
            contested = version > own.version or (
                version == own.version and said_in(message) != own
            )
            return self._defend(message.epoch, now) if contested else [Count("T-10")]
        if not self._states.is_news(origin, version, message.incarnation):
            return [Count("T-10")]
        new = said_in(message)
        if origin in new.neighbours or len(new.neighbours) < len(message.neighbours):
            return [Count("S11"), RefreshRoster(f"node {origin} lists itself or a node twice")]
        if strangers := sorted(new.neighbours.keys() - self._members.keys()):
            why = f"node {origin} lists node {strangers[0]}, which is no member here"
            return self._refuse(origin, sender, "S11", why)
        links = sorted(self._states.of(origin).neighbours.keys() ^ new.neighbours.keys())
        about = About("link", f"{origin}-{','.join(map(str, links))}") if links else None
        moved = self._store(origin, new)
        effects = self._forward(sender, message)
        if moved:
            effects += self._settle(
                because(f"links of node {origin} changed", Cause.LINKS_TOLD, about), {}
            )
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
            if origin in self._members and sender in self._mine.up:
                wanted.setdefault(sender, []).append(origin)
        self._refused.clear()
        return [SendTo(n, Want(self._cluster_id, [*wanted[n]])) for n in sorted(wanted)]

    def _forward(self, sender: NodeId, message: LinkState) -> list[Effect]:
        """Flood on (T-6), except to those who have it: the origin told its neighbours itself."""
        if message.hops >= MAX_HOPS:
            return [Count("G-14")]
        told = {sender, message.origin, *(n for n, _ in message.neighbours)}
        others = sorted(self._mine.up.keys() - told)
        if not others:
            return []
        onward = msgspec.structs.replace(message, hops=message.hops + 1)
        return [SendTo(n, onward) for n in others]

    def _on_digest(self, sender: NodeId, message: Digest, now: float) -> list[Effect]:
        if message == self._states.digest():
            return []
        effects = self._tell(sender, self._states.missing_in(message))
        wanted = sorted(
            NodeId(node)
            for node, epoch, sequence in message.entries
            if node in self._members and self._states.is_news(NodeId(node), (epoch, sequence))
        )
        if self._me in wanted:
            wanted.remove(self._me)
            claimed = next(epoch for node, epoch, _ in message.entries if node == self._me)
            effects += self._defend(claimed, now)
        if wanted:
            effects.append(SendTo(sender, Want(self._cluster_id, [*wanted])))
        if any(node not in self._members for node, _, _ in message.entries):
            effects.append(Count("T-7"))
        return effects

    def _tell(self, peer: NodeId, origins: Iterable[int]) -> list[Effect]:
        """Link states of these origins, where there is one."""
        return [SendTo(peer, state) for state in self._states.messages(origins)]

    def _tell_links(self, now: float) -> list[Effect]:
        """Tell my links if they are others than I told, unless they should be gathered first."""
        own = self._states.of(self._me)
        news = self._capabilities != own.capabilities
        if self._mine.must_tell(own.neighbours, now, news=news):
            return self._flood_own(own.epoch, own.sequence + 1)
        self._states.withhold(self._me if self._mine.gathering else None)
        return []

    def _defend(self, claimed: int, now: float) -> list[Effect]:
        """Something newer than my version is about in my name: move above it (T-9).

        At most once per digest interval, so that two processes with one id cannot drive each
        other at the speed of the network; the next digest of a neighbour brings it up again.
        """
        if now < self._defended_until or claimed >= MAX_EPOCH:
            return [Count("T-9")]
        self._defended_until = now + self._digest_interval_s
        effects = self._flood_own(claimed + 1, 0)
        return effects + self._settle("something else said in my name is overruled", {})

    def _flood_own(self, epoch: int, sequence: int) -> list[Effect]:
        """A new version of my link state, with all my links, to all my neighbours."""
        own = self._states.of(self._me)
        self.changes += 1
        up = dict(self._mine.up)
        said = Said(epoch, sequence, own.incarnation, up, self._capabilities)
        self._store(self._me, said)
        self._states.withhold(None)
        self._mine.told()
        (message,) = self._states.messages([self._me])
        return [SendTo(n, message) for n in sorted(up)]

    def _store(self, origin: NodeId, said: Said) -> bool:
        """Keep what ``origin`` says; True if routes may move.

        A link between nodes at equal distance is on no shortest path, before or after.
        """
        self.changes += 1
        distance, own = self._reach.distance, self._reach.distance(origin)
        return self._states.store(origin, said, lambda node: distance(node) != own)

    def _settle(self, cause: str, own_cause: Mapping[NodeId, str]) -> list[Effect]:
        """Announce what changed; ``own_cause`` is for those whom the change is about (N-1)."""
        self.changes += 1
        told = self._states.of(self._me).neighbours.keys()
        causes = self._mine.take_causes(told)
        return [*self._reach.settle(self._priorities, cause, {**causes, **own_cause})]

    def _checked(self, members: Mapping[NodeId, NodeRecord]) -> dict[NodeId, NodeRecord]:
        if self._me not in members:
            raise Misuse(
                f"node {self._me} is not among the enabled nodes of cluster {self._cluster_id}: "
                "it has no topology there; leave the cluster instead"
            )
        return dict(members)


def _priorities(members: Mapping[NodeId, NodeRecord]) -> dict[NodeId, int]:
    return {node: record.priority for node, record in members.items()}
