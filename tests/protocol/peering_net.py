"""Two peerings wired back to back: a network whose every step the test chooses."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Literal

import msgspec
import pytest

from tagmesh.protocol.effects import Effect
from tagmesh.protocol.errors import PeerViolation, Reason
from tagmesh.protocol.greeting import OUR_VERSIONS, Versions
from tagmesh.protocol.identity import ClusterId, Incarnation, NodeId
from tagmesh.protocol.messages import Hello, Message, Welcome
from tagmesh.protocol.peering import (
    CancelDial,
    Close,
    Dial,
    Identity,
    Lost,
    Peering,
    PeeringTiming,
    SendOn,
)

ONE, TWO = NodeId(1), NodeId(2)
GREETING_TIMEOUT, PROBE_TIMEOUT, CAP = 5.0, 1.0, 5.0
OFFERS = {ClusterId(1): "digest"}

Step = tuple[Literal["open", "deliver", "break"], int, NodeId]
"""What the network can do next, with which connection, at which side."""


class Sessions:
    """Session ids that differ; an object, so that a copy of the world goes on by itself."""

    def __init__(self, node: int, life: int) -> None:
        self.prefix = bytes([node, life])
        self.count = 0

    def __call__(self) -> bytes:
        self.count += 1
        return self.prefix + self.count.to_bytes(6, "big")


def peering(
    me: NodeId,
    peer: NodeId,
    incarnation: int = 1,
    offers: dict[ClusterId, str] = OFFERS,
    versions: Versions = OUR_VERSIONS,
) -> Peering:
    identity = Identity(
        node_id=me,
        incarnation=Incarnation(incarnation),
        max_frame_bytes=4096,
        software="test",
        versions=versions,
    )
    timing = PeeringTiming(
        greeting_timeout_s=GREETING_TIMEOUT, probe_timeout_s=PROBE_TIMEOUT, reconnect_cap_s=CAP
    )
    return Peering(identity, peer, timing, offers, lambda: 0.5, Sessions(me, incarnation))


class Wire:
    """One connection, or the attempt to make one."""

    def __init__(self, dialler: NodeId) -> None:
        self.dialler = dialler
        self.keys: dict[NodeId, int] = {}
        """The key at each side where it was opened."""
        self.over: set[NodeId] = set()
        """Sides that know that it ended."""
        self.broken = False
        """Nothing gets through any more, not even that it ended."""
        self.inbound: dict[NodeId, list[Message | str]] = {ONE: [], TWO: []}
        """What is on its way to each side; a text is the end and its cause."""


class Net:
    """The shells of both sides and everything between them."""

    def __init__(self, one: Peering | None = None, two: Peering | None = None) -> None:
        self.now = 100.0
        self.sides = {ONE: one or peering(ONE, TWO), TWO: two or peering(TWO, ONE)}
        self.wires: list[Wire] = []
        self.log: tuple[tuple[NodeId, Effect], ...] = ()
        self.whole = True
        """Attempts to connect reach the other side."""
        self.keys = 0
        self.breaks = 0
        """How many connections may still break while orders are explored."""

    # What the test does ---------------------------------------------------------------------

    def start(self, *nodes: NodeId) -> Net:
        for node in nodes or (ONE, TWO):
            self.perform(node, self.sides[node].start(self.now))
        return self

    def perform(self, node: NodeId, effects: list[Effect]) -> list[Effect]:
        for effect in effects:
            self.log = (*self.log, (node, effect))
            match effect:
                case Dial():
                    self.wires.append(Wire(node))
                case CancelDial():
                    for wire in self._attempts(node):
                        self._end_at(wire, node, "cancelled")
                case SendOn(key, message):
                    self._post(self.wire_of(node, key), other(node), message)
                case Close(key, cause):
                    self._end_at(self.wire_of(node, key), node, cause)
        return effects

    def steps(self) -> list[Step]:
        found: list[Step] = []
        for number, wire in enumerate(self.wires):
            for node in (ONE, TWO):
                if node in wire.over:
                    continue
                if node in wire.keys:
                    if wire.inbound[node]:
                        found.append(("deliver", number, node))
                elif self.whole and not wire.over and not wire.broken:
                    found.append(("open", number, node))
                elif node == wire.dialler:
                    found.append(("deliver", number, node))
        return found

    def do(self, step: Step) -> list[Effect]:
        verb, number, node = step
        wire, side = self.wires[number], self.sides[node]
        if verb == "break":
            self.breaks -= 1
            self.lose(number, node, other(node))
            return []
        if verb == "open":
            self.keys += 1
            wire.keys[node] = self.keys
            dialled = wire.dialler == node
            return self.perform(node, side.opened(self.keys, self.now, dialled=dialled))
        if node not in wire.keys:
            self._end_at(wire, node, "timed out")
            return self.perform(node, side.dial_failed("timed out", self.now, gone=False))
        item = wire.inbound[node].pop(0)
        if isinstance(item, str):
            wire.over.add(node)
            return self.perform(node, side.closed(wire.keys[node], item, self.now))
        return self.receive(node, wire.keys[node], item)

    def receive(self, node: NodeId, key: int, message: Message) -> list[Effect]:
        """Deliver as a shell does: a violation closes that connection."""
        side = self.sides[node]
        try:
            return self.perform(node, side.receive(key, message, self.now))
        except PeerViolation as violation:
            self._end_at(self.wire_of(node, key), node, str(violation))
            reason = Reason.VIOLATION
            return self.perform(node, side.closed(key, str(violation), self.now, reason=reason))

    def settle(self) -> Net:
        """Let the network do all it can, oldest connection first; no time passes."""
        while steps := self.steps():
            self.do(steps[0])
        return self

    def run(self, seconds: float) -> Net:
        """Let time pass, the network being faster than any timer."""
        until = self.now + seconds
        self.settle()
        while (due := self.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.tick()
            self.settle()
        self.now = until
        return self

    def next_deadline(self) -> float | None:
        return min((d for s in self.sides.values() if (d := s.deadline) is not None), default=None)

    def tick(self) -> None:
        for node, side in self.sides.items():
            self.perform(node, side.tick(self.now))

    def lose(self, number: int, *told: NodeId) -> None:
        """A connection breaks; what was on its way is lost. Sides not told hold on to it."""
        wire = self.wires[number]
        self._break(wire)
        for node in told:
            if node in wire.keys and node not in wire.over:
                wire.over.add(node)
                self.perform(node, self.sides[node].closed(wire.keys[node], "reset", self.now))

    def lose_established(self) -> None:
        """The connection in use breaks; both sides are told."""
        self.lose(self.wires.index(self.assert_one_connection()), ONE, TWO)

    def restart(self, node: NodeId, *, told: bool) -> None:
        """Another process with that id starts; the other side hears of the old one's end or not."""
        peer, life = other(node), self.sides[node].identity.incarnation + 1
        for number, wire in enumerate(self.wires):
            if node not in wire.over:
                wire.over.add(node)
                self.lose(number, *([peer] if told else []))
        self.sides[node] = peering(node, peer, life)
        self.start(node)

    # What the test asks ---------------------------------------------------------------------

    def wire_of(self, node: NodeId, key: int) -> Wire:
        return next(w for w in self.wires if w.keys.get(node) == key)

    def established(self, node: NodeId) -> Wire | None:
        key = self.sides[node].established
        return None if key is None else self.wire_of(node, key)

    def effects(self, node: NodeId, kind: type[Effect]) -> list[Effect]:
        return [e for n, e in self.log if n == node and isinstance(e, kind)]

    def assert_one_connection(self) -> Wire:
        """Both sides have the same established connection, nothing else, and nothing to do."""
        wire = self.established(ONE)
        assert wire is not None
        assert wire is self.established(TWO)
        assert [w for w in self.wires if len(w.over) < 2] == [wire]
        assert not self.steps()
        assert [side.deadline for side in self.sides.values()] == [None, None]
        return wire

    def copy(self) -> Net:
        """A world of its own; only what never changes is shared."""
        fixed: list[object] = [
            self.log,
            *(m for w in self.wires for q in w.inbound.values() for m in q),
        ]
        for side in self.sides.values():
            fixed += [side.identity, side.timing, side.offers]
            fixed += [g._hello for g in side._connections.values()]
        return copy.deepcopy(self, {id(thing): thing for thing in fixed})

    def fingerprint(self) -> object:
        """Equal for worlds that go on equally."""
        sides = [
            (
                s.established, s._wanted, s._dialling, s._dial_at, s._lost_session, s._probe,
                [(k, g.phase, g.session, g.since, g._hello is None)
                 for k, g in s._connections.items()],
            )
            for s in self.sides.values()
        ]  # fmt: skip
        wires = [
            (
                w.dialler,
                sorted(w.keys.items()),
                sorted(w.over),
                w.broken,
                w.inbound[ONE],
                w.inbound[TWO],
            )
            for w in self.wires
        ]
        lost = [len(self.effects(node, Lost)) for node in self.sides]
        return repr((self.now, self.breaks, lost, sides, wires))

    def _attempts(self, node: NodeId) -> Iterator[Wire]:
        return (w for w in self.wires if w.dialler == node and node not in w.keys and not w.over)

    def _end_at(self, wire: Wire, node: NodeId, cause: str) -> None:
        wire.over.add(node)
        self._post(wire, other(node), f"closed by the peer: {cause}")
        if other(node) not in wire.keys:
            self._break(wire)

    def _break(self, wire: Wire) -> None:
        wire.broken = True
        wire.inbound = {ONE: [], TWO: []}
        wire.over |= {node for node in (ONE, TWO) if node not in wire.keys} - {wire.dialler}

    def _post(self, wire: Wire, node: NodeId, item: Message | str) -> None:
        if not wire.broken and node not in wire.over:
            wire.inbound[node].append(item)


def other(node: NodeId) -> NodeId:
    return TWO if node == ONE else ONE


def explore(first: Net) -> list[Net]:
    """Every world in which all orders of steps can end; time passes only when nothing else can."""
    ends: list[Net] = []
    seen = {first.fingerprint()}
    todo = [first]
    while todo:
        net = todo.pop()
        steps = net.steps()
        if net.breaks:
            steps += [("break", n, ONE) for n, w in enumerate(net.wires) if w.keys and not w.over]
        worlds = [net.copy() for _ in steps]
        for world, step in zip(worlds, steps, strict=True):
            world.do(step)
        if not net.steps() and (due := net.next_deadline()) is not None:
            net.now = max(due, net.now)
            net.tick()
            worlds.append(net)
        elif not steps:
            ends.append(net)
        for world in worlds:
            mark = world.fingerprint()
            if mark not in seen:
                seen.add(mark)
                todo.append(world)
    return ends


BOTH = pytest.mark.parametrize("me", [ONE, TWO], ids=["chooser", "follower"])
"""Each test for both roles: the lower id chooses."""


def sent(effects: list[Effect], kind: type[Message]) -> list[Message]:
    return [e.message for e in effects if isinstance(e, SendOn) and isinstance(e.message, kind)]


def without_sends(effects: list[Effect]) -> list[Effect]:
    return [e for e in effects if not isinstance(e, SendOn)]


def connected() -> Net:
    net = Net().start(ONE).settle()
    net.start(TWO)
    net.assert_one_connection()
    return net


HELLO = Hello(
    protocol_min=1,
    protocol_max=1,
    node_id=1,
    incarnation=1,
    session=b"\xee" * 8,
    lost_session=b"",
    clusters=[],
    max_frame_bytes=4096,
    software="test",
)


def waiting(me: int) -> tuple[Peering, Hello]:
    """A side that took a HELLO and waits for WELCOME."""
    side = peering(ONE, TWO) if me == ONE else peering(TWO, ONE)
    (hello,) = sent(side.opened(1, 0.0, dialled=True), Hello)
    assert isinstance(hello, Hello)
    theirs = msgspec.structs.replace(
        hello, node_id=other(side.identity.node_id), session=b"\xee" * 8
    )
    side.receive(1, theirs, 0.0)
    return side, hello


def knock(net: Net, side: Peering, key: int, incarnation: int) -> tuple[int, list[Effect]]:
    (ours,) = sent(side.opened(key, net.now, dialled=False), Hello)
    assert isinstance(ours, Hello)
    theirs = msgspec.structs.replace(
        ours, node_id=side.peer, incarnation=incarnation, session=b"intruder"
    )
    effects = side.receive(key, theirs, net.now)
    if side.identity.node_id == TWO:  # the peer chooses: it says WELCOME first
        effects += side.receive(key, Welcome(1, ours.session, [1]), net.now)
    return key, effects
