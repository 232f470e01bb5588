"""Nodes with wrong clocks around one row of a virtual database, for properties of leases.

Time in events is true time; every node, and the database, has a clock of its own. A request takes
a while, may fail though it was carried out, and is carried out while its process stands still.
Nodes are provisioned and removed in the same database; each has the roster that it read last.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable

import msgspec

from tagmesh.protocol.effects import Effect, SendTo
from tagmesh.protocol.errors import NotProvisioned
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.lease import LeaseRules
from tagmesh.protocol.lease_words import (
    MAX_DRIFT,
    Acquire,
    GiveUp,
    LeaseExtended,
    LeaseOver,
    LeaseSettings,
    LeaseView,
    LeaseWon,
    ReadRow,
    Renew,
)
from tagmesh.protocol.leased_tags import LeasedTag
from tagmesh.protocol.tag_messages import Vow, VowRequest
from tagmesh.protocol.tag_words import (
    Activated,
    Deactivated,
    LeaveLease,
    LookAtLease,
    Owner,
    Spread,
    TagRow,
    TagView,
)
from tests.protocol.tag_bench import CLUSTER, me

MAX_ANSWER_S = 0.3
TIMEOUT_S = 2.0
ROSTER_S = 10.0
"""A change of the rows is read within this, by those that reach the database."""


class Clock:
    """Runs wrong by a constant share, and began anywhere."""

    def __init__(self, luck: random.Random, drift: float) -> None:
        self.rate = 1 + luck.choice((-drift, 0.0, drift, luck.uniform(-drift, drift)))
        self.offset = luck.uniform(0, 1e6)

    def at(self, true_s: float) -> float:
        return self.offset + self.rate * true_s

    def true(self, shown_s: float) -> float:
        return (shown_s - self.offset) / self.rate


class Database:
    """The row; judged by its own clock."""

    def __init__(self, clock: Clock, ttl_s: float, enrolled: Iterable[int]) -> None:
        self.clock, self.ttl_s = clock, ttl_s
        self.enrolled = set(enrolled)
        """The nodes that have a row."""
        self.row = TagRow(tag="vip", number=0, owner=None, released=True, mode="lease")
        self.ends = 0.0
        self.away = False

    def read(self, true_s: float) -> TagRow:
        left_s = max(0.0, self.ends - self.clock.at(true_s))
        return msgspec.structs.replace(self.row, left_s=left_s)

    def change(
        self, effect: Effect, owner: Owner, electors: tuple[NodeId, ...], true_s: float
    ) -> tuple[bool, TagRow]:
        """Whether it was done, and the row as it is now. `NotProvisioned`: who asks has no row."""
        row, now = self.row, self.clock.at(true_s)
        if owner.node_id not in self.enrolled and not isinstance(effect, GiveUp):
            raise NotProvisioned(f"node {owner.node_id} has no row")
        match effect:
            case Acquire():
                known = not row.electors or owner.node_id in row.electors
                free = row.released or (now >= self.ends and known)
                if row.number > effect.seen or not free or row.paused:
                    return False, self.read(true_s)
                number = effect.seen + 1
                self._write(number=number, owner=owner, released=False, mode="lease")
                self._write(electors=electors)
                self.ends = now + self.ttl_s
            case Renew() | GiveUp():
                if (row.owner, row.number, row.released) != (owner, effect.number, False):
                    return False, self.read(true_s)
                if isinstance(effect, Renew):
                    self._write(electors=electors)
                    self.ends = now + self.ttl_s
                else:
                    self._write(released=True)
                    self.ends = now
        return True, self.read(true_s)

    def prefer(self, nodes: tuple[int, ...]) -> None:
        self._write(preferred=tuple(NodeId(n) for n in nodes))

    def pause(self, *, paused: bool) -> None:
        self._write(paused=paused)

    def _write(self, **changed: object) -> None:
        self.row = msgspec.structs.replace(self.row, **changed)


class Node:
    """One life of a node."""

    def __init__(self, net: LeaseNet, number: int, life: int) -> None:
        self.id = NodeId(number)
        self.me = me(number, life)
        self.clock = net.clocks[number]
        self.dead = False
        self.paused_until = 0.0
        self.roster = frozenset(net.database.enrolled)
        self.tag = LeasedTag(
            cluster_id=CLUSTER, tag="vip", me=self.me, priority=50, wall=lambda: net.now
        )
        self.lease = LeaseRules(
            cluster_id=CLUSTER,
            tag="vip",
            me=self.me,
            settings=net.settings,
            view=LeaseView(),
            now=self.clock.at(net.now),
        )
        self.tick_at: float | None = None
        self.inbox: list[Callable[[float], Iterable[Effect]]] = []

    def owns(self, true_s: float) -> bool:
        """Would a guard let it act now?"""
        token = self.tag.token
        return not self.dead and token is not None and self.tag.valid(token, self.clock.at(true_s))


class LeaseNet:
    """Nodes 1 … ``size``."""

    def __init__(
        self, size: int, seed: int, settings: LeaseSettings, drift: float = MAX_DRIFT
    ) -> None:
        self.luck = random.Random(seed)
        self.settings = settings
        self.ids = range(1, size + 1)
        self.now = 0.0
        self.clocks = {n: Clock(self.luck, drift) for n in self.ids}
        self.database = Database(Clock(self.luck, drift), settings.ttl_s, self.ids)
        self.cut_off: set[int] = set()
        """Nodes that do not reach the database."""
        self.cut: set[frozenset[int]] = set()
        """Links that are down."""
        self.unfit: set[int] = set()
        self.numbers: dict[int, Owner] = {}
        """Under which number who was active."""
        self.changes: list[tuple[float, int | None]] = []
        """(true time, who was active from then on)."""
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.nodes = {n: Node(self, n, 100) for n in self.ids}
        self.look_around()

    # The world ---------------------------------------------------------------------------------

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, act))

    def run(self, seconds: float) -> None:
        """Let that much true time pass."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, act = heapq.heappop(self._events)
            act()
            self.check()
        self.now = end
        self.check()

    def check(self) -> None:
        """I3: never two owners at one instant."""
        owners = [n for n, node in self.nodes.items() if node.owns(self.now)]
        assert len(owners) <= 1, f"nodes {owners} have the tag at {self.now}"
        owner = owners[0] if owners else None
        if not self.changes or self.changes[-1][1] != owner:
            self.changes.append((self.now, owner))

    @property
    def owner(self) -> int | None:
        return self.changes[-1][1] if self.changes else None

    # Trouble -----------------------------------------------------------------------------------

    def pause(self, n: int, seconds: float) -> None:
        """The process stands still; its clock does not."""
        self.nodes[n].paused_until = max(self.nodes[n].paused_until, self.now + seconds)

    def kill(self, n: int) -> None:
        self.nodes[n].dead = True
        self.look_around()

    def restart(self, n: int) -> None:
        self.nodes[n].dead = True
        if n not in self.database.enrolled:
            return
        self.nodes[n] = Node(self, n, self.nodes[n].me.incarnation + 1)
        self.look_around()

    def enrol(self, n: int, *, on: bool) -> None:
        """Add the row of a node, whose process starts then, or delete it; others read it later."""
        (self.database.enrolled.add if on else self.database.enrolled.discard)(n)
        if on and self.nodes[n].dead:
            self.restart(n)
        for node in self.nodes.values():
            self._refresh_later(node)

    def _refresh_later(self, node: Node) -> None:
        self.after(self.luck.uniform(0, ROSTER_S), lambda: self._refresh(node))

    def _refresh(self, node: Node) -> None:
        """Who finds that it has no row any more leaves, and ends."""
        if self._is_lost(node):
            self._refresh_later(node)
            return

        def read(now: float) -> Iterable[Effect]:
            node.roster = frozenset(self.database.enrolled)
            self.after(0.0, self.look_around)
            if node.id in node.roster:
                return []
            self.after(0.0, lambda: self._end(node))
            return node.tag.stop("removed", now)

        self.at(node, read)

    def _end(self, node: Node) -> None:
        node.dead = True
        self.look_around()

    def _is_lost(self, node: Node) -> bool:
        return self.database.away or int(node.id) in self.cut_off

    def set_link(self, a: int, b: int, *, up: bool) -> None:
        if a != b:
            (self.cut.discard if up else self.cut.add)(frozenset((a, b)))
            self.look_around()

    def linked(self, a: int, b: int) -> bool:
        one, other = self.nodes[a], self.nodes[b]
        alive = not one.dead and not other.dead
        known = a in other.roster and b in one.roster
        return alive and known and frozenset((a, b)) not in self.cut

    def look_around(self) -> None:
        for n, node in self.nodes.items():
            lives = {
                NodeId(m): int(self.nodes[m].me.incarnation)
                for m in self.ids
                if m != n and self.linked(n, m)
            }
            fit = frozenset(NodeId(m) for m in self.ids if m not in self.unfit)
            members = tuple(NodeId(m) for m in sorted(node.roster))
            around = LeaseView(members=members, lives=lives, fit=fit)
            tags = TagView(lives=lives, fit=fit, others=len(members) - 1)
            self.at(node, lambda now, v=around, x=node: x.lease.view_changed(v, now))  # type: ignore[misc]  # bound now
            self.at(node, lambda now, v=tags, x=node: x.tag.view_changed(v, now))  # type: ignore[misc]  # bound now

    # What the actors will do ---------------------------------------------------------------------

    def at(self, node: Node, act: Callable[[float], Iterable[Effect]]) -> None:
        """Something reaches a node: now, or as soon as its process goes on."""
        node.inbox.append(act)
        self._go_on(node)

    def _go_on(self, node: Node) -> None:
        if self.now < node.paused_until:
            self.after(node.paused_until - self.now, lambda: self._go_on(node))
            return
        while node.inbox and not node.dead:
            self.perform(node, node.inbox.pop(0)(node.clock.at(self.now)))
            self._arm(node)

    def _arm(self, node: Node) -> None:
        deadline = node.lease.deadline
        due = None if deadline is None else max(self.now, node.clock.true(deadline)) + 1e-6
        if due is not None and due != node.tick_at:
            node.tick_at = due
            self.after(due - self.now, lambda: self._tick(node, due))

    def _tick(self, node: Node, due: float) -> None:
        if node.tick_at == due:
            node.tick_at = None
            self.at(node, node.lease.tick)

    def perform(self, node: Node, effects: Iterable[Effect]) -> None:
        now = node.clock.at(self.now)
        for effect in effects:
            match effect:
                case ReadRow() | Acquire() | Renew() | GiveUp():
                    self._ask(node, effect)
                case LeaseWon():
                    self.perform(node, node.tag.leased(effect.number, effect.until_s, now))
                case LeaseExtended():
                    self.perform(node, node.tag.lease_extended(effect.until_s))
                case LeaseOver():
                    over = node.tag.lease_over(effect.reason, effect.successor, now)
                    self.perform(node, over)
                case LeaveLease():
                    left = node.lease.give_up(effect.reason, effect.successor, now)
                    self.perform(node, left)
                case LookAtLease():
                    self.perform(node, node.lease.look(effect.number, effect.successor, now))
                case SendTo():
                    self._send(node, int(effect.node_id), effect.message)
                case Spread():
                    for peer in self.ids:
                        if peer != node.id:
                            self._send(node, peer, effect.claim)
                case Activated():
                    first = self.numbers.setdefault(effect.token.epoch.number, node.me)
                    assert first == node.me, "a number given twice"
                case Deactivated():
                    pass

    def _send(self, sender: Node, to: int, message: object) -> None:
        receiver = self.nodes[to]

        def arrive() -> None:
            if not self.linked(int(sender.id), to) or receiver is not self.nodes[to]:
                return
            if isinstance(message, VowRequest | Vow):
                self.at(receiver, lambda now: receiver.lease.receive(sender.id, message, now))
            else:
                self.at(receiver, lambda now: receiver.tag.claim_heard(message, now))  # type: ignore[arg-type]  # a claim

        if self.linked(int(sender.id), to):
            self.after(self.luck.uniform(0.001, 0.2), arrive)

    def _ask(self, node: Node, effect: Effect) -> None:
        rules, electors = node.lease, node.lease.electors
        lost = self._is_lost(node)
        reaches = not lost or self.luck.random() < 0.3

        def answer_of() -> Callable[[float], list[Effect]]:
            if isinstance(effect, ReadRow):
                row = self.database.read(self.now)
                return lambda now: rules.row_read(row, now)
            try:
                done, row = self.database.change(effect, node.me, electors, self.now)
            except NotProvisioned as error:
                why = str(error)
                return lambda now: rules.dismissed(why, now)
            if isinstance(effect, GiveUp):
                return rules.given_up
            kinds = {Acquire: rules.acquired, Renew: rules.renewed}
            method = kinds[type(effect)] if done else rules.refused
            return lambda now: method(row, now)

        def carry_out() -> None:
            answer = answer_of()
            if not lost:
                self.after(self.luck.uniform(0, MAX_ANSWER_S), lambda: self.at(node, answer))

        if reaches:
            self.after(self.luck.uniform(0, MAX_ANSWER_S if not lost else TIMEOUT_S), carry_out)
        if lost:
            self.after(TIMEOUT_S, lambda: self.at(node, lambda now: rules.failed("away", now)))
