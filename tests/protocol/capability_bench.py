"""Nodes, states and views of one capability, and its machine, for the tests of its rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tagmesh.protocol.capability import CapabilityRules
from tagmesh.protocol.capability_words import (
    Answer,
    Policy,
    RequestAnswered,
    StartSession,
    SyncWish,
)
from tagmesh.protocol.contract import SyncReport
from tagmesh.protocol.donors import CapabilityView, Peer
from tagmesh.protocol.effects import Announce, Effect
from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import BinsUrl, ClusterId, NodeId, NodeRecord
from tagmesh.protocol.messages import CapabilityState, CapState
from tagmesh.protocol.tag_words import TagHere

NAME = "dialogs"


def record(node: int, **fields: Any) -> NodeRecord:
    """A row of the roster."""
    url = BinsUrl("host")
    return NodeRecord(cluster_id=ClusterId(1), node_id=NodeId(node), url=url, **fields)


def said(state: CapState = CapState.OK, **fields: Any) -> CapabilityState:
    """What a node says of the capability."""
    return CapabilityState(NAME, state, **fields)


def peer(
    node: int,
    state: CapState | CapabilityState | None = CapState.OK,
    *,
    hops: int = 1,
    life: int = 1,
    **row: Any,
) -> Peer:
    """Another node; a bare state stands for a `CapabilityState` with defaults."""
    word = said(state) if isinstance(state, CapState) else state
    return Peer(record=record(node, **row), incarnation=life, hops=hops, state=word)


def view(*peers: Peer, me: int = 1, tags: Sequence[TagHere] = (), **row: Any) -> CapabilityView:
    """What node ``me`` knows."""
    others = sorted(peers, key=lambda p: p.node_id)
    return CapabilityView(me=Peer(record=record(me, **row)), peers=tuple(others), tags=tuple(tags))


SYNCED_AT_START = Policy(startup_sync=True, auto_sync=True)
BY_HAND = Policy(startup_sync=True)
ALONE = view(peer(2, hops=0), peer(3, hops=0))


class Bench:
    """One machine, its clock, and everything it asked for."""

    def __init__(
        self, policy: Policy = SYNCED_AT_START, around: CapabilityView = ALONE, position: int = 0
    ) -> None:
        self.now = 100.0
        self.position = position
        self.rules = CapabilityRules(NAME, policy, around, lambda: 0.0, lambda: self.position)
        self.all: list[Effect] = []
        self.last: list[Effect] = []

    def do(self, effects: list[Effect]) -> list[Effect]:
        self.last = effects
        self.all += effects
        return effects

    def enable(self) -> Bench:
        self.do(self.rules.enable(self.now))
        return self

    def move(self, position: int) -> list[Effect]:
        self.position = position
        return self.do(self.rules.moved(self.now))

    def see(self, *peers: Any, **row: Any) -> Bench:
        self.do(self.rules.view_changed(view(*peers, **row), self.now))
        return self

    def request(self, **wish: Any) -> Answer:
        effects = self.do(self.rules.request_sync(SyncWish(**wish), self.now))
        (answered,) = [e for e in effects if isinstance(e, RequestAnswered)]
        return answered.answer

    def ended(self, *, ok: bool = True, donor: int | None = 2, reason: str = "busy") -> Bench:
        """The session under way has asked ``donor`` and ended."""
        session = self.session
        while (chosen := self.rules.choose(self.excluded(donor))) is not None:
            if chosen.node_id == donor:
                break
        report = SyncReport(
            ok=ok,
            reason="" if ok else reason,
            donor=NodeId(donor) if donor else None,
            items=3 * ok,
            seconds=1.5,
        )
        self.do(self.rules.session_ended(session, report, self.now))
        return self

    def excluded(self, donor: int | None) -> frozenset[NodeId]:
        return frozenset(NodeId(n) for n in range(1, 20) if n != donor)

    def tick_at_deadline(self) -> Bench:
        assert self.rules.deadline is not None
        self.now = self.rules.deadline
        self.do(self.rules.tick(self.now))
        return self

    @property
    def session(self) -> int:
        """The number of the session begun last."""
        return [e.session for e in self.all if isinstance(e, StartSession)][-1]

    @property
    def state(self) -> CapState:
        """As the other nodes were told."""
        return self.rules.published.state

    def of(self, kind: type[Effect]) -> list[Any]:
        """The effects of that kind of the last input."""
        return [e for e in self.last if isinstance(e, kind)]

    def events(self) -> list[Event]:
        return [e.kind for e in self.last if isinstance(e, Announce)]


def synced(policy: Policy = SYNCED_AT_START) -> Bench:
    """A bench that is OK with the data of node 2."""
    return Bench(policy).enable().see(peer(2)).ended()


def without_data(*peers: Any) -> Bench:
    """A seed that is OK without data."""
    bench = Bench(around=view(*peers, flags="seed")).enable().tick_at_deadline()
    assert bench.rules.published.without_data
    return bench
