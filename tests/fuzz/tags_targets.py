"""Targets that drive the rules of sharing tags with histories read from bytes."""

from __future__ import annotations

from collections.abc import Iterable

from tagmesh.protocol.effects import Count, Effect
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import ClusterId, Incarnation, NodeId
from tagmesh.protocol.lease import LeaseRules
from tagmesh.protocol.lease_words import (
    Acquire,
    GiveUp,
    LeaseOver,
    LeaseSettings,
    LeaseView,
    LeaseWon,
    ReadRow,
    Renew,
)
from tagmesh.protocol.messages import MAX_NUMBER, Digest
from tagmesh.protocol.tag_claims import ClaimTable
from tagmesh.protocol.tag_messages import Claim, TagClaims, Vow, VowRequest
from tagmesh.protocol.tag_words import (
    Activated,
    ClaimHeard,
    Deactivated,
    NumberHeard,
    Owner,
    Spread,
    StoreEpoch,
    TagRow,
    TagState,
    TagView,
    digest_of_terms,
    rank_of,
)
from tagmesh.protocol.tags import TagRules
from tests.fuzz.draw import Draw

MAX_STEPS = 200
CLUSTER, ME = ClusterId(1), Owner(NodeId(1), Incarnation(100))
MEMBERS = (NodeId(1), NodeId(2), NodeId(3))
_NODES = (2, 1, 3, 9)
_LIVES = (100, 101, 99, 0, 2**63 - 1)
_NUMBERS = (1, 2, 3, 0, 7, 2**32, 2**33, 2**63 - 1, 2**63, 2**64 - 1)


class OneTag:
    """Does for table and rules what the actors do, and holds them to what they promise."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.now = 0.0
        self.table = ClaimTable(cluster_id=CLUSTER, me=ME.node_id, members=MEMBERS)
        self.table.declare("vip")
        self.table.link_up(NodeId(2))
        self.rules = TagRules(
            cluster_id=CLUSTER, tag="vip", me=ME, priority=50, wall=lambda: self.now
        )
        self.asked: list[StoreEpoch] = []
        self.active = False

    def step(self) -> None:
        act, rules = self.draw.byte() % 12, self.rules
        before = self.table.of("vip")
        try:
            match act:
                case 0:
                    self.perform(rules.activate("x", self.now, force=self.draw.byte() > 127))
                case 1:
                    self.perform(rules.release("x", self.now))
                case 2:
                    to = NodeId(self.draw.pick(_NODES))
                    self.perform(rules.hand_over(to, "x", self.now))
                case 3:
                    self.now += self.draw.pick((0.1, 3.0, 20.0))
                    self.perform(rules.tick(self.now))
                case 4:
                    self.perform(rules.view_changed(self._view(), self.now))
                case 5 | 6:
                    self._answer()
                case 7:
                    chosen = [NodeId(n) for n in (1, 2, 3, 9)[: 3 + self.draw.byte() % 2]]
                    self.perform(self.table.set_members(chosen))
                case _:
                    self._receive()
        except Misuse:
            assert act <= 2, "only a caller's word is refused so"
        self._check(before)

    def _view(self) -> TagView:
        lives = {NodeId(n): self.draw.pick(_LIVES) for n in (2, 3)[: self.draw.byte() % 3]}
        fit = frozenset(NodeId(n) for n in (1, 2, 3)[: self.draw.byte() % 4])
        return TagView(lives=lives, fit=fit, others=2)

    def _answer(self) -> None:
        if not self.asked:
            return
        asked = self.asked.pop(self.draw.byte() % len(self.asked))
        kind = self.draw.byte() % 3
        if kind == 0:
            effects = self.rules.stored(asked.attempt, asked.seen + 1, self.now)
        elif kind == 1:
            owner = NodeId(self.draw.pick(_NODES))
            effects = self.rules.store_lost(asked.attempt, asked.seen + 1, owner, self.now)
        else:
            effects = self.rules.store_failed(asked.attempt, "away", self.now)
        self.perform(effects)

    def _receive(self) -> None:
        sender = NodeId(self.draw.pick(_NODES))
        message: TagClaims | Digest = Digest(1, [], self.draw.take(2))
        if self.draw.byte() % 8:
            claims = [self._claim() for _ in range(1 + self.draw.byte() % 3)]
            message = TagClaims(1, claims)
        effects = self.table.receive(sender, message)
        if sender not in (2, 3, 9) or (sender == 9 and effects == [Count("G-4")]):
            assert effects == [Count("G-4")], "nobody but members is listened to"
        self.perform(effects)

    def _claim(self) -> Claim:
        draw = self.draw
        successor = (draw.pick(_NODES), draw.pick(_LIVES)) if draw.byte() % 2 else None
        return Claim(
            tag=draw.pick(("vip", "other")),
            number=draw.pick(_NUMBERS),
            owner=draw.pick(_NODES),
            incarnation=draw.pick(_LIVES),
            priority=draw.pick((50, 40, 60)),
            released=draw.byte() % 2 == 1,
            mode=draw.pick(("manual", "lease")),
            reason=draw.pick(("", "\x1b" * 256)),
            successor=successor,
        )

    def perform(self, effects: Iterable[Effect]) -> None:
        """As the actors will."""
        for effect in effects:
            match effect:
                case ClaimHeard() if effect.claim.tag == "vip":
                    self.perform(self.rules.claim_heard(effect.claim, self.now))
                case NumberHeard() if effect.tag == "vip":
                    self.perform(self.rules.number_heard(effect.number, self.now))
                case Spread():
                    self.perform(self.table.claim(effect.claim))
                case StoreEpoch():
                    self.asked = [*self.asked[-7:], effect]
                case Activated() | Deactivated():
                    assert self.active == isinstance(effect, Deactivated), "both edges in turn"
                    self.active = not self.active

    def _check(self, before: Claim | None) -> None:
        held, known = self.table.of("vip"), self.rules.known
        ranks = [claim and rank_of(claim) for claim in (held, known)]
        assert ranks[0] == ranks[1], "table and rules know the same"
        if before is not None:
            assert held is not None
            assert rank_of(before) <= rank_of(held), "numbers never go back"
        assert self.active == (self.rules.state is TagState.ACTIVE)
        if self.active:
            assert held is not None
            assert (held.owner, held.incarnation, held.released) == (*ME, False)
            assert self.rules.token is not None
            assert self.rules.valid(self.rules.token, self.now)


def tags(data: bytes) -> None:
    """A tag in mode manual among claims of any kind."""
    one = OneTag(draw := Draw(data))
    for _ in range(MAX_STEPS):
        if not draw:
            break
        one.step()


class OneLease:
    """Does for a lease what the tag actor does; rows and answers are of any kind."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.now = 0.0
        view = LeaseView(members=MEMBERS, fit=frozenset(MEMBERS))
        self.rules = LeaseRules(
            cluster_id=CLUSTER, tag="vip", me=ME, settings=LeaseSettings(failback_s=2.0),
            view=view, now=0.0,
        )  # fmt: skip
        self.request: Effect | None = None
        self.holding = False
        self._perform(self.rules.tick(0.0))

    def step(self) -> None:
        rules, draw, act = self.rules, self.draw, self.draw.byte() % 8
        match act:
            case 0 | 1:
                self.now += draw.pick((0.1, 1.0, 3.0, 20.0))
                effects = rules.tick(self.now)
            case 2 | 3:
                effects = self._answer()
            case 4:
                to = draw.pick((None, *MEMBERS))
                effects = rules.give_up("x", to, self.now)
            case 5:
                lives = dict.fromkeys((2, 3)[: draw.byte() % 3], 100)
                fit = frozenset(MEMBERS[: draw.byte() % 4])
                members = MEMBERS[: 1 + draw.byte() % 3]
                shown = LeaseView(
                    members=members, lives={NodeId(n): v for n, v in lives.items()}, fit=fit
                )
                effects = rules.view_changed(shown, self.now)
            case 6:
                to = draw.pick((None, *MEMBERS))
                effects = rules.look(draw.pick(_NUMBERS[:8]), to, self.now)
            case _:
                effects = rules.receive(NodeId(draw.pick(_NODES)), self._message(), self.now)
        self._perform(effects)

    def _message(self) -> VowRequest | Vow:
        number, turn = self.draw.pick(_NUMBERS[:8]), self.draw.pick((1, 0, 2, MAX_NUMBER))
        if self.draw.byte() % 2:
            return Vow(1, "vip", number, turn)
        known = digest_of_terms(MEMBERS[: 1 + self.draw.byte() % 3], LeaseSettings().ttl_s)
        return VowRequest(1, "vip", number, turn, known)

    def _row(self) -> TagRow:
        draw = self.draw
        life = Incarnation(draw.pick(_LIVES))
        return TagRow(
            tag="vip",
            number=draw.pick(_NUMBERS[:8]),
            owner=draw.pick((None, ME, Owner(NodeId(2), life))),
            released=draw.byte() % 2 == 1,
            mode=draw.pick(("lease", "manual")),
            left_s=draw.pick((0.0, 1.0, 10.0)),
            paused=draw.byte() % 4 == 3,
            preferred=MEMBERS[: draw.byte() % 4][::-1],
        )

    def _answer(self) -> list[Effect]:
        rules, request, kind = self.rules, self.request, self.draw.byte() % 3
        self.request = None
        if request is None:
            return []
        if kind == 2:
            return rules.failed("away", self.now)
        row = self._row()
        match request:
            case ReadRow():
                return rules.row_read(row if kind else None, self.now)
            case Acquire() | Renew() if kind:
                return rules.refused(row, self.now)
            case Acquire():
                return rules.acquired(row, self.now)
            case Renew():
                return rules.renewed(row, self.now)
        return rules.given_up(self.now)

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case ReadRow() | Acquire() | Renew() | GiveUp():
                    assert self.request is None, "one request at a time"
                    self.request = effect
                case LeaseWon() | LeaseOver():
                    assert self.holding == isinstance(effect, LeaseOver), "both edges in turn"
                    self.holding = not self.holding
        assert self.holding == self.rules.holding
        if self.holding:
            assert self.now < self.rules.until_s <= self.now + 10.0
        due = self.rules.deadline
        assert due is None or due > self.now, "what is due is done"


def leases(data: bytes) -> None:
    """A lease among rows and messages of any kind."""
    one = OneLease(draw := Draw(data))
    for _ in range(MAX_STEPS):
        if not draw:
            break
        one.step()
