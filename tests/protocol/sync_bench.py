"""A joiner and its donors over a channel that loses, repeats and delays; for the tests of syncs."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from tagmesh.protocol import wire
from tagmesh.protocol.contract import SyncReport
from tagmesh.protocol.effects import Count, Effect
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import CapState, Routed, SyncChunk, SyncRequest
from tagmesh.protocol.mirror import Drop, Mirror, MirrorDone, MirrorSettings
from tagmesh.protocol.sync_admission import AbortDonor, Admission, Offer, PassOn, StartDonor
from tagmesh.protocol.sync_donor import Donor
from tagmesh.protocol.sync_joiner import Joiner
from tagmesh.protocol.sync_words import (
    Apply,
    AskExtraKeys,
    AskItems,
    AskSections,
    Candidate,
    Ended,
    Finished,
    Here,
    MirrorStep,
    Progressed,
    SendRouted,
    SyncSettings,
    Wish,
)
from tests.protocol.sync_store import Store

JOINER = NodeId(1)
FIRST, SECOND = NodeId(2), NodeId(3)
CLUSTER, CAPABILITY, TTL = 1, "calls", 8
LATENCY_S = 0.01
WISH = Wish(keyed=True, version_min=1, version_max=1)

Fate = Sequence[float]
"""Delays after which a message arrives; none = it is lost, two = it comes twice."""


def here(node: int, incarnation: int) -> Here:
    return Here(
        cluster_id=CLUSTER, node_id=node, incarnation=incarnation, capability=CAPABILITY, ttl=TTL
    )


class DonorNode:
    """A donor's node: admission, sessions, application."""

    def __init__(self, node_id: NodeId, store: Store) -> None:
        self.node_id = node_id
        self.store = store
        self.plain: list[bytes] | None = None
        """Records of a plain capability; None = it is keyed."""
        self.incarnation = 1
        self.state = CapState.OK
        self.reachable = True
        self.tamper: Callable[[Routed], Routed] = lambda message: message
        self.restart()

    def restart(self) -> None:
        """Another life; its sessions are gone."""
        self.incarnation += 1
        self.admission = Admission(here(self.node_id, self.incarnation))
        self.sessions: dict[int, Donor] = {}
        self.generators: dict[int, list[bytes]] = {}


class World:
    """Everything on virtual time. ``fates`` are of the first messages; later ones arrive."""

    def __init__(
        self,
        local: Store,
        donors: Sequence[DonorNode],
        *,
        settings: SyncSettings | None = None,
        wish: Wish = WISH,
        fates: Iterable[Fate] = (),
    ) -> None:
        self.now = 100.0
        self.local = local
        self.donors = {donor.node_id: donor for donor in donors}
        self.settings = settings or SyncSettings()
        self.wish = wish
        self.fates = iter(fates)
        self.last_fault_at = self.now
        self.app_delay_s = 0.001
        self.incarnation = 1
        self.counters = itertools.count(1)
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.questions: dict[NodeId, deque[tuple[Joiner | Donor, Effect]]] = {}
        self.chunks = 0
        """Delivered to the joiner."""
        self.before_chunk: Callable[[int], None] = lambda number: None
        self.counted: Counter[str] = Counter()
        self.applied: dict[int, dict[tuple[str, int], Counter[bytes]]] = {}
        self.applies: list[tuple[int, int]] = []
        self.given: dict[tuple[int, int], dict[tuple[str, int], Counter[bytes]]] = {}
        """By session and life of the donor."""
        self.ended: list[Ended] = []
        self.progress: list[Progressed] = []
        self.requests: list[SyncRequest] = []
        self.sent_bytes: Counter[int] = Counter()
        self.report: SyncReport | None = None
        self.mirror = Mirror(MirrorSettings())
        self.joiner = self.new_joiner()

    # The joiner's node

    def new_joiner(self) -> Joiner:
        at = here(JOINER, self.incarnation)
        return Joiner(at, self.wish, self.settings, self.choose, self.counters)

    def restart_joiner(self) -> None:
        """Another life of the joiner's process."""
        self.incarnation += 1
        self.joiner = self.new_joiner()
        for node in self.donors.values():
            self.tell_donors(node, reachable=True)
        self.joiner_does(self.joiner.start(self.now))

    def choose(self, excluded: frozenset[NodeId]) -> Candidate | None:
        for node_id, donor in sorted(self.donors.items()):
            if node_id not in excluded and donor.reachable and donor.state is CapState.OK:
                return Candidate(node_id, donor.incarnation)
        return None

    def joiner_does(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case SendRouted(message):
                    self.send(message)
                case AskSections() | Apply() | AskExtraKeys():
                    self.ask(JOINER, self.joiner, effect)
                case MirrorStep(extras, dry_run):
                    self.mirror_does(self.mirror.offer(extras, dry_run=dry_run, now=self.now))
                case Progressed():
                    self.progress.append(effect)
                case Finished(report):
                    self.report = report
                case Count(rule):
                    self.counted[rule] += 1
                case _:
                    raise AssertionError(effect)

    def joiner_answers(self, question: Effect) -> list[Effect]:
        match question:
            case AskSections(tags):
                return self.joiner.sections(self.local.sections(tags), self.now)
            case Apply(session, number):
                return self.joiner.applied(session, number, self.take(question), self.now)
            case AskExtraKeys(session, tag, bucket, items):
                keys = self.local.extra_keys(tag, bucket, items)
                return self.joiner.extra_keys(session, tag, bucket, keys, self.now)
            case _:
                raise AssertionError(question)

    def take(self, apply: Apply) -> int:
        self.applies.append((apply.session, apply.number))
        refused = 0
        for piece in apply.pieces:
            items = [bytes(item) for item in piece.records]
            by_section = self.applied.setdefault(apply.session, {})
            by_section.setdefault((piece.tag, piece.bucket), Counter()).update(items)
            refused += self.local.take(piece.tag, items)
        return refused

    def mirror_does(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Drop(plan_id, tag, keys):
                    records = self.local.drop(tag, keys)
                    self.mirror_does(self.mirror.dropped(plan_id, tag, records, self.now))
                case MirrorDone(plan_id, dropped):
                    self.joiner_does(self.joiner.mirrored(dropped, plan_id, self.now))
                case _:
                    raise AssertionError(effect)

    # The donors' nodes

    def donor_does(self, node: DonorNode, donor: Donor, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case SendRouted(message):
                    self.send(node.tamper(message))
                case AskSections() | AskItems():
                    self.ask(node.node_id, donor, effect)
                case Ended():
                    self.ended.append(effect)
                    node.admission.ended(donor.request.session)
                    node.sessions.pop(donor.request.session.counter)
                case Count(rule):
                    self.counted[rule] += 1
                case _:
                    raise AssertionError(effect)

    def donor_answers(self, node: DonorNode, donor: Donor, question: Effect) -> list[Effect]:
        match question:
            case AskSections(tags):
                return donor.sections(node.store.sections(tags), self.now)
            case AskItems(sections):
                return self.give(node, donor, sections)
            case _:
                raise AssertionError(question)

    def give(
        self, node: DonorNode, donor: Donor, sections: Sequence[tuple[str, int]]
    ) -> list[Effect]:
        counter = donor.request.session.counter
        given = self.given.setdefault((counter, node.incarnation), {})
        if node.plain is not None:
            rest = node.generators.setdefault(counter, list(node.plain))
            batch, node.generators[counter] = rest[:50], rest[50:]
            given.setdefault(sections[0], Counter()).update(batch)
            return donor.items([batch], self.now, more=bool(node.generators[counter]))
        held = node.store.by_section()
        records = [held.get(section, []) for section in sections]
        for section, items in zip(sections, records, strict=True):
            given[section] = Counter(items)
        return donor.items(records, self.now)

    def donor_receives(self, node: DonorNode, message: Any) -> None:
        if isinstance(message, SyncRequest):
            offer = Offer(state=node.state, version_min=1, version_max=1)
            for effect in node.admission.request(message, offer):
                self.admit(node, effect)
            return
        donor = node.sessions.get(message.session.counter)
        if donor is None:
            self.counted["S-20"] += 1
        else:
            self.donor_does(node, donor, donor.receive(message, self.now))

    def admit(self, node: DonorNode, effect: Effect) -> None:
        match effect:
            case StartDonor(request, version):
                keyed = node.plain is None
                donor = Donor(
                    node.admission.here, request, self.settings,
                    keyed=keyed, version=version, position=0,
                )  # fmt: skip
                node.sessions[request.session.counter] = donor
                self.donor_does(node, donor, donor.start(self.now))
            case PassOn(request):
                donor = node.sessions[request.session.counter]
                self.donor_does(node, donor, donor.receive(request, self.now))
            case AbortDonor(session, reason):
                donor = node.sessions[session.counter]
                self.donor_does(node, donor, donor.abort(reason))
            case SendRouted(message):
                self.send(message)
            case Count(rule):
                self.counted[rule] += 1
            case _:
                raise AssertionError(effect)

    # What connects them

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (when, next(self.order), what))

    def ask(self, node_id: NodeId, machine: Joiner | Donor, question: Effect) -> None:
        """An application answers one question after the other; a dead process answers none."""
        questions = self.questions.setdefault(node_id, deque())
        questions.append((machine, question))
        if len(questions) == 1:
            self.at(self.now + self.app_delay_s, partial(self.answer, node_id))

    def answer(self, node_id: NodeId) -> None:
        machine, question = self.questions[node_id][0]
        if machine is self.joiner:
            self.joiner_does(self.joiner_answers(question))
        elif isinstance(machine, Donor):
            node = self.donors[node_id]
            if node.sessions.get(machine.request.session.counter) is machine:
                self.donor_does(node, machine, self.donor_answers(node, machine, question))
        self.questions[node_id].popleft()
        if self.questions[node_id]:
            self.at(self.now + self.app_delay_s, partial(self.answer, node_id))

    def send(self, message: Routed) -> None:
        body = wire.encode([message])
        self.sent_bytes[message.source] += len(body)
        if isinstance(message, SyncRequest):
            self.requests.append(message)
        fate = next(self.fates, None)
        if fate is not None and list(fate) != [LATENCY_S]:
            self.last_fault_at = self.now + max(fate, default=0.0)
        for delay in [LATENCY_S] if fate is None else fate:
            (copy,) = wire.decode(body).messages
            assert isinstance(copy, Routed)
            self.at(self.now + delay, partial(self.deliver, copy))

    def deliver(self, message: Routed) -> None:
        if message.destination == JOINER:
            if isinstance(message, SyncChunk):
                self.before_chunk(self.chunks)
                self.chunks += 1
            if self.donors[NodeId(message.source)].reachable:
                self.joiner_does(self.joiner.receive(message, self.now))
            return
        node = self.donors[NodeId(message.destination)]
        if node.reachable:
            self.donor_receives(node, message)

    def reachable(self, node_id: NodeId, reachable: bool) -> None:
        """The path between joiner and donor breaks or heals; both are told."""
        node = self.donors[node_id]
        node.reachable = reachable
        self.last_fault_at = max(self.last_fault_at, self.now)
        self.joiner_does(
            self.joiner.donor_changed(
                node_id, reachable=reachable, incarnation=node.incarnation, now=self.now
            )
        )
        self.tell_donors(node, reachable=reachable)

    def tell_donors(self, node: DonorNode, *, reachable: bool) -> None:
        """What this node's sessions hear of the joiner."""
        for donor in list(node.sessions.values()):
            effects = donor.joiner_changed(
                JOINER, reachable=reachable, incarnation=self.incarnation, now=self.now
            )
            self.donor_does(node, donor, effects)

    def cut(self, node_id: NodeId, seconds: float) -> None:
        self.reachable(node_id, reachable=False)
        self.at(self.now + seconds, lambda: self.reachable(node_id, reachable=True))

    def restart(self, node_id: NodeId, state: CapState = CapState.UNSYNCED) -> None:
        """The donor's process starts anew, without its data being complete."""
        node = self.donors[node_id]
        node.restart()
        node.state = state
        self.reachable(node_id, reachable=True)

    def run(self, until: float = float("inf")) -> None:
        """Let time pass until every session is over."""
        if not self.requests and self.report is None:
            self.joiner_does(self.joiner.start(self.now))
        while True:
            machines: list[Joiner | Donor] = [self.joiner]
            for node in self.donors.values():
                machines += node.sessions.values()
            due = [m.deadline for m in machines if m.deadline is not None]
            times = [*due, *(event[0] for event in self.events[:1])]
            if not times or min(times) > until:
                return
            self.now = max(self.now, min(times))
            if self.events and self.events[0][0] <= self.now:
                heapq.heappop(self.events)[2]()
            else:
                self.tick()

    def tick(self) -> None:
        self.joiner_does(self.joiner.tick(self.now))
        for node in self.donors.values():
            for donor in list(node.sessions.values()):
                self.donor_does(node, donor, donor.tick(self.now))
