"""A tiny cluster around one sharing tag, for properties of its rules.

Links break and heal, messages arrive late, in any order or never, stores answer late or fail, nodes
restart with or without what they stored. `settle` ends all trouble; `check` says what must hold.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple

from tagmesh.protocol.effects import Effect, SendTo
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import Digest, Message
from tagmesh.protocol.tag_claims import ClaimTable
from tagmesh.protocol.tag_messages import Claim, TagClaims
from tagmesh.protocol.tag_words import (
    Activated,
    Answered,
    ClaimHeard,
    Deactivated,
    Epoch,
    NumberHeard,
    Owner,
    Spread,
    StoreEpoch,
    StoreRelease,
    TagState,
    TagView,
    is_stale,
)
from tagmesh.protocol.tags import TagRules
from tests.protocol.tag_bench import CLUSTER, me

PING_S = 4.0


class Written(NamedTuple):
    """Something an active node wrote."""

    source: Owner
    epoch: Epoch


class Node:
    """One life of a node."""

    def __init__(self, net: Net, number: int, life: int, known: Iterable[Claim]) -> None:
        self.id = NodeId(number)
        self.life = life
        self.table = net.table_kind(
            cluster_id=CLUSTER, me=self.id, members=[NodeId(n) for n in net.ids], known=known
        )
        self.table.declare("vip")
        self.rules = net.rules_kind(
            cluster_id=CLUSTER,
            tag="vip",
            me=me(number, life),
            priority=50 - number % 2 * 10,
            wall=lambda: net.now,
            known=self.table.of("vip"),
        )
        self.active: Epoch | None = None
        self.let_in: tuple[int, int, int] | None = None
        """Rank of the epoch that was written under what was let in last."""
        self.storing: list[StoreEpoch] = []
        self.waiting = False


class Net:
    """Nodes 1 … ``size``, all links up at first. ``shared``: one store decides for all."""

    def __init__(
        self,
        size: int,
        seed: int,
        *,
        shared: bool,
        table_kind: type[ClaimTable] = ClaimTable,
        rules_kind: type[TagRules] = TagRules,
    ) -> None:
        self.ids = range(1, size + 1)
        self.luck = random.Random(seed)
        self.shared = shared
        self.table_kind, self.rules_kind = table_kind, rules_kind
        self.now = 0.0
        self.links = {(a, b) for a in self.ids for b in self.ids if a < b}
        self.flying: list[tuple[int, int, Message | Written]] = []
        self.unfit: set[int] = set()
        self.row = (0, 0)
        """(number, owner) of the shared store."""
        self.disks: dict[int, list[Claim]] = {n: [] for n in self.ids}
        self.numbers: dict[int, int] = dict.fromkeys(self.ids, 0)
        """Of each node's own store."""
        self.given: dict[int, int] = {}
        """Number to the node that was active under it, in a shared store."""
        self.epochs: dict[Epoch, int] = {}
        """Every epoch ever to the node that was active in it."""
        self.given_up: set[int] = set()
        """Nodes somebody told to give the tag up."""
        self.nodes = {n: Node(self, n, 100, []) for n in self.ids}
        for node in self.nodes.values():
            for peer in self.ids:
                if peer != node.id:
                    self.perform(node, node.table.link_up(NodeId(peer)))
        self.look_around()

    # Trouble -----------------------------------------------------------------------------------

    def cut(self, a: int, b: int) -> None:
        if a != b and (link := (min(a, b), max(a, b))) in self.links:
            self.links.remove(link)
            self.flying = [f for f in self.flying if {f[0], f[1]} != {a, b}]
            self.nodes[a].table.link_down(NodeId(b))
            self.nodes[b].table.link_down(NodeId(a))
            self.look_around()

    def join(self, a: int, b: int) -> None:
        if a != b and (link := (min(a, b), max(a, b))) not in self.links:
            self.links.add(link)
            self.perform(self.nodes[a], self.nodes[a].table.link_up(NodeId(b)))
            self.perform(self.nodes[b], self.nodes[b].table.link_up(NodeId(a)))
            self.look_around()

    def split(self, mask: int) -> None:
        for a in self.ids:
            for b in self.ids:
                if (mask >> a) & 1 != (mask >> b) & 1:
                    self.cut(a, b)

    def heal(self) -> None:
        for a in self.ids:
            for b in self.ids:
                self.join(a, b)

    def restart(self, n: int, *, keep: bool, active: bool) -> None:
        around = [m for m in self.ids if (min(n, m), max(n, m)) in self.links]
        for m in around:
            self.cut(n, m)
        if not keep:
            self.disks[n], self.numbers[n] = [], 0
        self.nodes[n] = Node(self, n, self.nodes[n].life + 1, self.disks[n])
        if active:
            self.nodes[n].rules.begin(TagView(), self.now, ping_interval_s=PING_S, steal=False)
        for m in around:
            self.join(n, m)

    def set_fit(self, n: int, *, fit: bool) -> None:
        (self.unfit.discard if fit else self.unfit.add)(n)
        self.look_around()

    def lose(self, count: int) -> None:
        for _ in range(min(count, len(self.flying))):
            self.flying.pop(self.luck.randrange(len(self.flying)))

    # What people do ----------------------------------------------------------------------------

    def activate(self, n: int, *, force: bool = False) -> None:
        node = self.nodes[n]
        node.waiting = True
        self.perform(node, node.rules.activate("asked", self.now, force=force))

    def _busy(self, n: int) -> Node:
        """A node that is active, if there is one; else that one."""
        return next((node for node in self.nodes.values() if node.active), self.nodes[n])

    def release(self, n: int) -> None:
        node = self._busy(n)
        if node.rules.state is not TagState.BACKUP:
            self.given_up.add(node.id)
            self.perform(node, node.rules.release("asked", self.now))

    def hand_over(self, n: int, to: int) -> None:
        node = self._busy(n)
        try:
            effects = node.rules.hand_over(NodeId(to), "asked", self.now)
        except Misuse:
            return
        self.given_up.add(node.id)
        self.perform(node, effects)

    # What happens by itself --------------------------------------------------------------------

    def deliver(self, count: int) -> None:
        """Some of the messages on their way arrive, in any order."""
        for _ in range(min(count, len(self.flying))):
            sender, receiver, message = self.flying.pop(self.luck.randrange(len(self.flying)))
            node = self.nodes[receiver]
            if isinstance(message, Written):
                self._written(node, message)
                continue
            assert isinstance(message, TagClaims | Digest)
            self.perform(node, node.table.receive(NodeId(sender), message))

    def write(self) -> None:
        """Whoever is active writes something, and tells all."""
        for node in self.nodes.values():
            token = node.rules.token
            if token is not None and node.rules.valid(token, self.now):
                written = Written(node.rules.me, token.epoch)
                self.flying += [(node.id, n, written) for n in self.ids if n != node.id]

    def _written(self, node: Node, written: Written) -> None:
        refusal, effects = node.table.wrote(written.source, "vip", written.epoch)
        self.perform(node, effects)
        if not refusal:
            assert node.let_in is None or node.let_in <= written.epoch.rank, "an older epoch"
            node.let_in = written.epoch.rank

    def answer_stores(self, count: int, *, fail: bool) -> None:
        """Some of the stores answer; one that fails may have stored the number."""
        busy = [node for node in self.nodes.values() if node.storing]
        for node in self.luck.sample(busy, min(count, len(busy))):
            asked = node.storing.pop(self.luck.randrange(len(node.storing)))
            number = self._store(node, asked.seen) if not fail or self.luck.random() < 0.5 else None
            rules = node.rules
            if fail:
                effects = rules.store_failed(asked.attempt, "no answer", self.now)
            elif number is not None:
                effects = rules.stored(asked.attempt, number, self.now)
            else:
                effects = rules.store_lost(asked.attempt, *self._held(node), self.now)
            self.perform(node, effects)

    def _held(self, node: Node) -> tuple[int, NodeId]:
        number, owner = self.row if self.shared else (self.numbers[node.id], node.id)
        return number, NodeId(owner)

    def _store(self, node: Node, seen: int) -> int | None:
        if self._held(node)[0] > seen:
            return None
        if self.shared:
            self.row = (seen + 1, node.id)
        self.numbers[node.id] = seen + 1
        return seen + 1

    def tick(self, seconds: float) -> None:
        self.now += seconds
        for node in self.nodes.values():
            if node.rules.deadline is not None and node.rules.deadline <= self.now:
                self.perform(node, node.rules.tick(self.now))

    def digests(self) -> None:
        """Neighbours tell each other their digests."""
        for a, b in sorted(self.links):
            for sender, receiver in ((a, b), (b, a)):
                digest = Digest(CLUSTER, [], self.nodes[sender].table.digest)
                self.flying.append((sender, receiver, digest))

    def look_around(self) -> None:
        """Everybody sees who is reachable, and who is fit."""
        for n, node in self.nodes.items():
            reached, found = {n}, [n]
            while found:
                at = found.pop()
                for a, b in self.links:
                    if at in (a, b) and (other := a + b - at) not in reached:
                        reached.add(other)
                        found.append(other)
            view = TagView(
                lives={NodeId(m): self.nodes[m].life for m in sorted(reached - {n})},
                fit=frozenset(NodeId(m) for m in reached - self.unfit),
                others=len(self.ids) - 1,
            )
            self.perform(node, node.rules.view_changed(view, self.now))

    def perform(self, node: Node, effects: Iterable[Effect]) -> None:
        """What the actors will do."""
        for effect in effects:
            match effect:
                case SendTo():
                    self.flying.append((node.id, effect.node_id, effect.message))
                case ClaimHeard():
                    self.disks[node.id] = node.table.claims
                    self.perform(node, node.rules.claim_heard(effect.claim, self.now))
                case NumberHeard():
                    self.perform(node, node.rules.number_heard(effect.number, self.now))
                case Spread():
                    self.perform(node, node.table.claim(effect.claim))
                    self.disks[node.id] = node.table.claims
                case StoreEpoch():
                    node.storing.append(effect)
                case StoreRelease():
                    pass
                case Activated():
                    self._activated(node, effect.token.epoch)
                case Deactivated():
                    assert node.active == effect.token.epoch
                    node.active = None
                case Answered():
                    node.waiting = False

    def _activated(self, node: Node, epoch: Epoch) -> None:
        assert node.active is None, "activated twice"
        assert self.epochs.setdefault(epoch, node.id) == node.id, "two nodes in one epoch"
        if self.shared:
            assert self.given.setdefault(epoch.number, node.id) == node.id, "a number given twice"
        node.active = epoch

    # The end -----------------------------------------------------------------------------------

    def settle(self) -> None:
        """All is well for long enough."""
        self.heal()
        for n in self.ids:
            self.set_fit(n, fit=True)
        for _ in range(40):
            self.digests()
            while self.flying or any(node.storing for node in self.nodes.values()):
                self.deliver(len(self.flying))
                self.answer_stores(len(self.nodes), fail=False)
            self.tick(1.0)

    def check(self) -> None:
        """The same highest claim everywhere, its owner active and nobody else."""
        nodes = self.nodes.values()
        assert len({node.table.digest for node in nodes}) == 1
        highest = self.nodes[1].table.of("vip")
        active = [node for node in nodes if node.active is not None]
        assert {node.rules.state for node in nodes} <= {TagState.BACKUP, TagState.ACTIVE}
        assert not any(node.waiting for node in nodes), "somebody waits for ever"
        for node in nodes:
            assert (node.rules.state is TagState.ACTIVE) == (node.active is not None)
            assert node.rules.holding().node_id == (active[0].id if active else None)
        if highest is None or highest.released:
            assert not active
            assert highest is None or highest.owner in self.given_up, "nobody gave it up"
            return
        owner = self.nodes[highest.owner]
        assert active == ([owner] if owner.life == highest.incarnation else [])
        for epoch in self.epochs:
            for node in nodes:
                assert is_stale(epoch, node.table.of("vip")) == (
                    epoch.rank < (highest.number, -highest.priority, -highest.owner)
                )
