"""Whole clusters of one capability: crashes, cuts, switches, requests; in the end all are synced.

Sync sessions are played, not run: a donor answers and its records arrive a moment later.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tagmesh.protocol.capability import CapabilityRules
from tagmesh.protocol.capability_words import (
    CancelJoining,
    Policy,
    StartSession,
    StateChanged,
    SyncOver,
    SyncWish,
)
from tagmesh.protocol.contract import SyncReport
from tagmesh.protocol.donors import CapabilityView, Peer
from tagmesh.protocol.effects import Announce, Effect
from tagmesh.protocol.events import Event
from tagmesh.protocol.fallback import SETTLE_S
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import CapState
from tests.protocol.capability_bench import NAME, peer, view

FAULTS_S = 60.0
QUIET_S = 120.0
"""Longest way out: everybody's turn of S-28, a pause, and a sync after it."""
POLICY = Policy(startup_sync=True, auto_sync=True)


class Node:
    """One life: its machine, its records, and what it knows of the others."""

    def __init__(self, cluster: Cluster, me: int, life: int, records: set[int]) -> None:
        self.cluster, self.me, self.life, self.records = cluster, me, life, records
        self.known: dict[int, Peer] = {}
        self.newest: dict[int, int] = {}
        self.session: int | None = None
        self.wakes_at: float | None = None
        self.open_requests = 0
        self.rules = CapabilityRules(
            NAME, POLICY, self.view(), cluster.random.random, lambda: len(self.records)
        )

    def view(self) -> CapabilityView:
        """As the rules take it."""
        peers = [self.known.get(n, peer(n, None, hops=0)) for n in self.cluster.ids if n != self.me]
        flags = "seed" if self.me in self.cluster.seeds else None
        return view(*peers, me=self.me, flags=flags)


class Cluster:
    """Nodes 1 … size on virtual time. What a node says arrives late, the newest word wins."""

    def __init__(self, size: int, seeds: set[int], seed: int) -> None:
        self.ids = list(range(1, size + 1))
        self.seeds = seeds
        self.random = random.Random(seed)
        self.now = 0.0
        self.order = itertools.count()
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.cuts: set[frozenset[int]] = set()
        self.alive: dict[int, Node] = {}
        self.lives = 0
        self.sessions: list[float] = []
        self.disk: dict[int, set[int]] = {n: set() for n in self.ids}

    # time and knowledge

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        self.at(self.now + delay_s, action)

    def at(self, when_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (when_s, next(self.order), action))

    def run(self, until_s: float) -> None:
        while self.agenda and self.agenda[0][0] <= until_s:
            self.now, _, action = heapq.heappop(self.agenda)
            action()
        self.now = until_s

    def path(self, a: int, b: int) -> bool:
        return a in self.alive and b in self.alive and frozenset((a, b)) not in self.cuts

    def spread(self, source: int) -> None:
        """What the node says now reaches each other one after a while."""
        for other in self.ids:
            if other != source:
                self.inform(other, source)

    def inform(self, other: int, source: int) -> None:
        node = self.alive.get(source)
        word = peer(source, node.rules.published, life=node.life) if node else None
        number = next(self.order)

        def arrive() -> None:
            knower = self.alive.get(other)
            if knower is None or knower.newest.get(source, -1) > number:
                return
            knower.newest[source] = number
            seen = word if word is not None and self.path(other, source) else None
            knower.known[source] = seen or peer(source, None, hops=0)
            self.perform(knower, knower.rules.view_changed(knower.view(), self.now))

        self.later(0.001 + 0.2 * self.random.random(), arrive)

    def perform(self, node: Node, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case StateChanged():
                    self.spread(node.me)
                case StartSession():
                    assert node.session is None, "one at a time"
                    node.session = effect.session
                    self.sessions.append(self.now)
                    self.ask(node, effect.session, frozenset())
                case CancelJoining():
                    assert node.session == effect.session
                    node.session = None
                case SyncOver():
                    node.open_requests = 0
                case _:
                    pass
        self.wake(node)

    def wake(self, node: Node) -> None:
        when = node.rules.deadline
        if when is not None and when != node.wakes_at:
            node.wakes_at = when
            self.at(max(when, self.now), partial(self.tick, node, when))

    def tick(self, node: Node, when: float) -> None:
        if self.lives_on(node) and node.wakes_at == when:
            node.wakes_at = None
            self.perform(node, node.rules.tick(self.now))

    def lives_on(self, node: Node) -> bool:
        return self.alive.get(node.me) is node

    # sessions

    def ask(self, node: Node, session: int, refused: frozenset[NodeId]) -> None:
        def under_way() -> bool:
            return self.lives_on(node) and node.session == session

        def choose() -> None:
            if not under_way():
                return
            candidate = node.rules.choose(refused)
            if candidate is None:
                self.end(node, SyncReport(ok=False, reason="no_donor"))
                return
            donor = self.alive.get(candidate.node_id)
            here = donor is not None and donor.life == candidate.incarnation
            if not here or donor is None or not self.serves(node, donor):
                self.later(0.5, lambda: self.ask(node, session, refused | {candidate.node_id}))
                return
            self.later(0.3, lambda: finish(donor))

        def finish(donor: Node) -> None:
            if not under_way():
                return
            if not self.lives_on(donor) or not self.serves(node, donor):
                self.ask(node, session, refused | {NodeId(donor.me)})
                return
            node.records |= donor.records
            self.perform(node, node.rules.moved(self.now))
            if under_way():
                self.end(node, SyncReport(ok=True, donor=NodeId(donor.me)))

        self.later(0.01, choose)

    def serves(self, node: Node, donor: Node) -> bool:
        return self.path(node.me, donor.me) and donor.rules.state is CapState.OK

    def end(self, node: Node, report: SyncReport) -> None:
        session, node.session = node.session, None
        assert session is not None
        self.perform(node, node.rules.session_ended(session, report, self.now))

    # what happens to nodes

    def start(self, me: int, *, with_disk: bool = True) -> None:
        if me in self.alive:
            return
        self.lives += 1
        records = self.disk[me] if with_disk else set()
        self.disk[me] = set()
        node = self.alive[me] = Node(self, me, self.lives, records)
        for other in self.ids:
            if other != me:
                self.inform(me, other)
        self.perform(node, node.rules.enable(self.now))

    def kill(self, me: int) -> None:
        node = self.alive.pop(me, None)
        if node is not None:
            self.disk[me] = node.records
            self.spread(me)

    def cut(self, a: int, b: int, *, healed: bool = False) -> None:
        if a != b:
            (self.cuts.discard if healed else self.cuts.add)(frozenset((a, b)))
            self.inform(a, b)
            self.inform(b, a)

    def switch(self, me: int, *, on: bool) -> None:
        if (node := self.alive.get(me)) is not None:
            rules = node.rules
            self.perform(node, rules.enable(self.now) if on else rules.disable("test", self.now))

    def request(self, me: int) -> None:
        if (node := self.alive.get(me)) is not None:
            node.open_requests += 1
            self.perform(node, node.rules.request_sync(SyncWish(), self.now))

    def write(self, me: int) -> None:
        """A new record, replicated to whom it reaches now."""
        record = next(self.order)
        for other in self.ids:
            if other == me or self.path(me, other):
                node = self.alive.get(other)
                if node is not None:
                    node.records.add(record)
                    self.perform(node, node.rules.moved(self.now))

    def recover(self) -> None:
        """Faults end."""
        for a, b in itertools.combinations(self.ids, 2):
            self.cut(a, b, healed=True)
        for me in self.ids:
            self.start(me)
            self.switch(me, on=True)

    def states(self) -> list[CapState]:
        return [self.alive[n].rules.published.state for n in sorted(self.alive)]


ACTIONS: dict[str, Callable[[Cluster, int, int], None]] = {
    "kill": lambda cluster, a, _: cluster.kill(a),
    "start": lambda cluster, a, _: cluster.start(a),
    "start empty": lambda cluster, a, _: cluster.start(a, with_disk=False),
    "cut": lambda cluster, a, b: cluster.cut(a, b),
    "heal": lambda cluster, a, b: cluster.cut(a, b, healed=True),
    "off": lambda cluster, a, _: cluster.switch(a, on=False),
    "on": lambda cluster, a, _: cluster.switch(a, on=True),
    "request": lambda cluster, a, _: cluster.request(a),
    "write": lambda cluster, a, _: cluster.write(a),
}
Faults = list[tuple[str, float, int, int]]
FAULTS = st.lists(
    st.tuples(
        st.sampled_from(list(ACTIONS)),
        st.floats(0, FAULTS_S),
        st.integers(1, 5),
        st.integers(1, 5),
    ),
    max_size=40,
)


@settings(max_examples=150, derandomize=True)
@given(FAULTS, st.sets(st.integers(1, 5), max_size=2), st.integers(0, 999))
@example([], set(), 0)
@example([("request", 30.0, n, 1) for n in range(1, 6)], set(), 0)
def test_in_the_end_all_are_synced_and_every_request_had_an_end(
    faults: Faults, seeds: set[int], seed: int
) -> None:
    """I6, S-10, S-21, S-27, S-28"""
    cluster = Cluster(5, seeds, seed)
    for me in cluster.ids:
        cluster.later(cluster.random.random(), partial(cluster.start, me))
    for what, at, a, b in faults:
        cluster.later(at, partial(ACTIONS[what], cluster, a, b))
    cluster.run(FAULTS_S)
    cluster.recover()
    cluster.run(FAULTS_S + QUIET_S)
    assert cluster.states() == [CapState.OK] * 5
    assert [node.open_requests for node in cluster.alive.values()] == [0] * 5
    assert [node.session for node in cluster.alive.values()] == [None] * 5
    empty = [n for n, node in cluster.alive.items() if node.rules.published.without_data]
    assert len(empty) in (0, 5), "who is without data syncs from those that have data"
    before = len(cluster.sessions)
    cluster.run(FAULTS_S + QUIET_S + 600.0)
    assert len(cluster.sessions) == before, "and then there is nothing left to do"


@pytest.mark.parametrize(("absent", "before_s", "after_s"), [(0, SETTLE_S / 2, 2.0), (1, 4.9, 8.0)])
def test_a_fresh_cluster_without_a_seed_decides_for_one_and_all_others_sync(
    absent: int, before_s: float, after_s: float
) -> None:
    """At once when it is whole, else after a while."""
    cluster = Cluster(5, set(), 1)
    present = 5 - absent
    for me in cluster.ids[:present]:
        cluster.start(me)
    cluster.run(before_s)
    assert cluster.states() == [CapState.PENDING] * present
    cluster.run(after_s)
    assert cluster.states() == [CapState.OK] * present
    assert len(cluster.sessions) == present - 1


def test_the_empty_seed_of_a_restarted_cluster_is_not_the_one_to_decide() -> None:
    """#1591: all restart, the seed has lost its records; nothing is lost."""
    cluster = Cluster(4, {1}, 1)
    for me in cluster.ids:
        cluster.disk[me] = set(range(10 * (me - 1)))
        cluster.start(me)
    cluster.run(40.0)
    assert cluster.states() == [CapState.OK] * 4
    assert all(node.records == set(range(30)) for node in cluster.alive.values())


@pytest.mark.parametrize("late", [1, 3])
def test_two_groups_that_began_without_data_unite(late: int) -> None:
    """Each has a seed; they meet later. Nobody's records are lost."""
    cluster = Cluster(4, {1, 3}, late)
    for a, b in itertools.product((1, 2), (3, 4)):
        cluster.cut(a, b)
    for me in cluster.ids:
        cluster.start(me)
    cluster.run(20.0)
    assert cluster.states() == [CapState.OK] * 4
    for me in (1, 3):
        cluster.write(me)
    everything = cluster.alive[1].records | cluster.alive[3].records
    assert len(everything) == 2
    cluster.recover()
    cluster.run(30.0)
    assert all(node.records == everything for node in cluster.alive.values())


def test_a_restarted_seed_that_was_alone_for_a_while_gets_the_data_when_it_returns() -> None:
    cluster = Cluster(3, {1}, 1)
    for me in cluster.ids:
        cluster.start(me)
    cluster.run(20.0)
    cluster.write(2)
    cluster.kill(1)
    for other in (2, 3):
        cluster.cut(1, other)
    cluster.start(1, with_disk=False)
    cluster.run(40.0)
    assert cluster.alive[1].rules.state is CapState.OK
    assert cluster.alive[1].records == set()
    cluster.recover()
    cluster.run(45.0)
    assert cluster.alive[1].records == cluster.alive[2].records != set()


def test_the_recorded_event_names_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Announce] = []
    perform = Cluster.perform

    def noting(cluster: Cluster, node: Node, effects: list[Effect]) -> None:
        events.extend(e for e in effects if isinstance(e, Announce))
        perform(cluster, node, effects)

    monkeypatch.setattr(Cluster, "perform", noting)
    cluster = Cluster(2, {2}, 1)
    for me in cluster.ids:
        cluster.start(me)
    cluster.run(20.0)
    causes = [e.cause for e in events if e.kind is Event.SYNCED_WITHOUT_DATA]
    assert [cause.partition(":")[0] for cause in causes] == ["S-28"]
