"""Targets that drive rules objects with histories read from bytes: greetings and link states."""

from __future__ import annotations

import random
from typing import Any

from tagmesh.protocol import messages as m
from tagmesh.protocol.effects import Announce, Count, Effect, RefreshRoster, SendTo
from tagmesh.protocol.errors import Misuse, PeerViolation, Reason
from tagmesh.protocol.greeting import Identity, Phase
from tagmesh.protocol.identity import BinsUrl, ClusterId, Incarnation, NodeId, NodeRecord
from tagmesh.protocol.peering import (
    MAX_GREETINGS,
    MAX_PROCESS_PINGS_PER_S,
    CancelDial,
    Close,
    Dial,
    Established,
    Gone,
    Lost,
    NoteRefusal,
    Peering,
    PeeringTiming,
    SendOn,
)
from tagmesh.protocol.topology import Topology
from tagmesh.protocol.wire import decode, encode
from tests.fuzz.draw import Draw

MAX_STEPS = 200
CLUSTER = ClusterId(1)
_U63 = (5, 6, 7, 0, 2**63 - 1, 2**63 - 2)


class Shell:
    """Does for a `Peering` what the peer actor does, and holds it to what it promises."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.me, self.peer = draw.pick(((1, 2), (2, 1)))
        self.now = 0.0
        self.rules = Peering(
            Identity(
                node_id=NodeId(self.me),
                incarnation=Incarnation(5),
                max_frame_bytes=m.MIN_FRAME_BYTES,
                software="fuzz",
            ),
            NodeId(self.peer),
            PeeringTiming(greeting_timeout_s=5.0, probe_timeout_s=1.0, reconnect_cap_s=5.0),
            {CLUSTER: "digest", ClusterId(2): "other"},
            random.Random(1).random,
            self._session,
        )
        self.sessions: dict[int, bytes] = {}
        self.greeted: dict[int, m.Hello] = {}
        """The last HELLO that came on each open connection."""
        self.open: list[int] = []
        self.dialling = False
        self.refused = False
        self.established: int | None = None
        self._keys = 0
        self._pings = 0
        """Answered ones."""

    def _session(self) -> bytes:
        self._keys += 1
        self.sessions[self._keys] = self._keys.to_bytes(8, "big")
        return self.sessions[self._keys]

    def step(self) -> None:
        """One thing happens; afterwards the promises of the module hold."""
        act = self.draw.byte() % 16
        if act < 9:
            self._receive()
        elif act < 11:
            self._opened()
        else:
            self._other(act)
        rules = self.rules
        assert rules.established == self.established
        waiting = [g for g in rules._connections.values() if g.phase is not Phase.ESTABLISHED]
        assert len(waiting) <= MAX_GREETINGS
        assert sorted(rules._connections) == sorted(self.open)
        looking = self.dialling or self.open or rules._dial_at is not None
        assert looking or not rules._wanted, "nobody looks for the peer any more"

    def _opened(self) -> None:
        dialled = self.dialling and self.draw.byte() % 2 == 0
        self.dialling = self.dialling and not dialled
        key = self._keys + 1
        self.open.append(key)
        self.apply(self.rules.opened(key, self.now, dialled=dialled))

    def _other(self, act: int) -> None:
        rules, draw = self.rules, self.draw
        if act == 11:
            self.now += draw.pick((0.01, 0.5, 1.0, 5.0, 60.0))
            self.apply(rules.tick(self.now))
        elif act == 12 and self.open:
            key = draw.pick(self.open)
            reason = draw.pick((None, Reason.VIOLATION, Reason.CERT_REVOKED))
            self.apply(rules.closed(key, "ended", self.now, reason=reason), ended=key)
        elif act == 13 and self.dialling:
            self.dialling = False
            reason = draw.pick((None, Reason.CERT_EXPIRED))
            gone = draw.byte() % 2 == 0
            self.apply(rules.dial_failed("no", self.now, gone=gone, reason=reason))
        elif act == 14:
            self.apply(rules.drop("silent", self.now))
        else:
            self.apply(
                rules.refuse(Reason.DISABLED, "row", self.now)
                if draw.byte() % 4 == 3
                else rules.dial_soon(self.now)
            )

    def _receive(self) -> None:
        key = self.draw.pick(self.open or [99])
        message = _peering_message(self.draw, self, key)
        before = dict(self.rules._connections)
        try:
            effects = self.rules.receive(key, message, self.now)
        except PeerViolation as violation:
            assert self.rules._connections == before, "the shell closes it, nobody else"
            cause = f"violation: {violation}"
            closed = self.rules.closed(key, cause, self.now, reason=Reason.VIOLATION)
            self.apply(closed, ended=key)
            return
        except Misuse:
            assert key == self.established, "links take it, so there must be links"
            assert not isinstance(message, m.Hello | m.Welcome | m.Refusal)
            return
        if key in self.open:
            self._accepted(key, message, effects)
        self.apply(effects)

    def _accepted(self, key: int, message: m.Message, effects: list[Effect]) -> None:
        """It was no violation: then it was the right thing at the right time."""
        match message:
            case m.Hello():
                assert key not in self.greeted, "W18: a second HELLO"
                self.greeted[key] = message
            case m.Welcome():
                assert message.session == self.sessions[key], "W17: of another session"
                assert message.protocol == m.PROTOCOL_VERSION
            case m.Ping() | m.Pong():
                assert key == self.established, "W18: before WELCOME"
                self._pings += any(isinstance(e, SendOn) for e in effects)
                assert self._pings <= MAX_PROCESS_PINGS_PER_S * (1 + self.now), "W16"
            case _:
                pass

    def apply(self, effects: list[Effect], ended: int | None = None) -> None:
        """Perform as the shell does."""
        if ended is not None:
            self.open.remove(ended)
        for effect in effects:
            match effect:
                case Dial():
                    assert not self.dialling, "one attempt at a time"
                    self.dialling = True
                case CancelDial():
                    assert self.dialling, "there was one"
                    self.dialling = False
                case Close():
                    self.open.remove(effect.connection)
                case Established():
                    self._established(effect)
                case Lost():
                    assert effect.connection == self.established, "lost what was held"
                    self.established = None
                case SendOn():
                    assert effect.connection in self.open, "nothing is said after the end"
                case Gone() | NoteRefusal() | Count():
                    pass
                case _:
                    raise AssertionError(f"no effect of a peering: {effect!r}")

    def _established(self, effect: Established) -> None:
        assert self.established is None, "one at a time"
        assert effect.connection in self.open
        hello = self.greeted[effect.connection]
        assert hello.node_id == self.peer, "S3, W12"
        offered = {offer.cluster_id for offer in hello.clusters}
        assert effect.clusters, "a connection for something"
        assert set(effect.clusters) <= offered & self.rules.offers.keys()
        self.established = effect.connection


def _peering_message(draw: Draw, shell: Shell, key: int) -> m.Message:
    kind = draw.byte() % 12
    mine = shell.sessions.get(key, bytes(8))
    if kind < 4:
        return m.Hello(
            protocol_min=draw.pick((1, 1, 1, 2)),
            protocol_max=draw.pick((1, 65535, 1, 2)),
            node_id=draw.pick((shell.peer,) * 6 + (shell.me, 3)),
            incarnation=draw.pick(_U63),
            session=draw.pick((b"theirs!!", b"another!", mine)),
            lost_session=draw.pick((b"", mine, *list(shell.sessions.values())[-4:])),
            clusters=draw.pick(
                (
                    [m.ClusterOffer(1, "digest")],
                    [m.ClusterOffer(1, "digest"), m.ClusterOffer(2, "other")],
                    [m.ClusterOffer(2, "other"), m.ClusterOffer(2, "other")],
                    [m.ClusterOffer(1, "differs")],
                    [],
                    [m.ClusterOffer(9, "digest")],
                )
            ),
            max_frame_bytes=draw.pick((m.MIN_FRAME_BYTES, 2**31 - 1)),
            software=draw.pick(("", "x" * 256, "\x1b[31m")),
        )
    if kind < 8:
        clusters = draw.pick(([1], [1, 2], [2], [], [9]))
        session = draw.pick((mine, mine, mine, b"replayed"))
        return m.Welcome(draw.pick((1, 1, 1, 65535)), session, clusters)
    number = draw.pick((1, 2, 3, 0, 2**63 - 1))
    return draw.pick(
        (
            m.Ping(0, number),
            m.Pong(0, number),
            m.Refusal(draw.pick(("violation", "news", "\x1b", "cert_expired")), "\n" * 256),
            m.LinkState(1, shell.peer, 1, 1, 1, []),
        )
    )


def hello(data: bytes) -> None:
    """Greetings on several connections at once: `PeerViolation` or nothing (W12, W17, W18)."""
    shell = Shell(Draw(data))
    shell.apply(shell.rules.start(0.0))
    for _ in range(MAX_STEPS):
        if not shell.draw:
            break
        shell.step()


MEMBERS = {
    NodeId(n): NodeRecord(cluster_id=CLUSTER, node_id=NodeId(n), url=BinsUrl(f"n{n}"))
    for n in (1, 2, 3, 4)
}
_NODES = (2, 3, 4, 1, 9, 2**31 - 1)
REFUSED = frozenset(["G-4", "T-7", "S11", "T-9"])
"""Labels under which a link state is refused as a whole."""


def link_state(data: bytes) -> None:
    """Link states, digests and wants of peers: what is refused leaves the table as it was (W13)."""
    topology_after(data)


def topology_after(data: bytes) -> Topology:
    """What is known in the end."""
    draw = Draw(data)
    rules = Topology(
        cluster_id=CLUSTER,
        me=NodeId(1),
        incarnation=5,
        members=MEMBERS,
        rerouting=draw.byte() % 4 != 3,
        digest_interval_s=10.0,
    )
    now = 0.0
    for _ in range(MAX_STEPS):
        if not draw:
            break
        act = draw.byte() % 8
        if act == 0:
            effects = rules.link_up(NodeId(draw.pick(_NODES)), draw.pick(_U63), now, "answers")
        elif act == 1:
            effects = rules.link_down(NodeId(draw.pick(_NODES)), now, "silent")
        elif act == 2:
            now += draw.pick((0.1, 10.0, 100.0))
            effects = rules.tick(now)
        else:
            effects = _received(rules, NodeId(draw.pick(_NODES)), topology_message(draw), now)
        _check(rules, effects)
    return rules


def topology_message(draw: Draw) -> m.LinkState | m.Digest | m.Want:
    """Well formed; what it says need not make sense."""
    kind = draw.byte() % 8
    if kind == 6:
        size = draw.byte() % 6
        entries = [(draw.pick(_NODES), draw.pick(_U63), draw.pick(_U63)) for _ in range(size)]
        return m.Digest(CLUSTER, entries)
    if kind == 7:
        return m.Want(CLUSTER, [draw.pick(_NODES) for _ in range(draw.byte() % 6)])
    return m.LinkState(
        cluster_id=CLUSTER,
        origin=draw.pick(_NODES),
        incarnation=draw.pick(_U63),
        epoch=draw.pick(_U63),
        sequence=draw.pick((1, 2, 3, 0, 2**63 - 1)),
        neighbours=[(draw.pick(_NODES), draw.pick(_U63)) for _ in range(draw.byte() % 5)],
        hops=draw.pick((0, 1, 25)),
        capabilities=[_capability(draw) for _ in range(draw.byte() % 4)],
    )


def _capability(draw: Draw) -> m.CapabilityState:
    return m.CapabilityState(
        name=draw.pick(("calls", "users", "\x1b", "n" * m.MAX_NAME_CHARS)),
        state=draw.pick(tuple(m.CapState)),
        position=draw.pick(_U63),
        reason=draw.pick(("", "no donor", "\n" * m.MAX_TEXT_CHARS)),
    )


def _received(
    rules: Topology, sender: NodeId, message: m.LinkState | m.Digest | m.Want, now: float
) -> list[Effect]:
    before = _table(rules)
    effects = rules.receive(sender, message, now)
    counted = {effect.rule for effect in effects if isinstance(effect, Count)}
    others = [e for e in effects if not isinstance(e, Count | RefreshRoster)]
    if isinstance(message, m.LinkState) and counted and not others:
        assert counted <= REFUSED | {"T-10", "G-14"}
        if counted != {"G-14"}:
            assert _table(rules) == before, f"refused ({counted}), yet the table changed"
    if sender not in MEMBERS:
        assert counted == {"G-4"}, "nobody but members is listened to"
    return effects


def _table(rules: Topology) -> Any:
    states, reach = rules._states, rules._reach
    links = {node: frozenset(near) for node, near in states.items()}
    return dict(states._said), links, dict(reach.routes), dict(reach._announced)


def _check(rules: Topology, effects: list[Effect]) -> None:
    """Only effects of a topology, each of which can be sent; only members are ever named."""
    for effect in effects:
        match effect:
            case SendTo():
                assert effect.node_id in MEMBERS
                _bounds(effect.message)
            case Announce():
                assert effect.node_id in MEMBERS
            case Count() | RefreshRoster():
                pass
            case _:
                raise AssertionError(f"no effect of a topology: {effect!r}")
    assert rules._states.keys() <= MEMBERS.keys()
    assert rules.reachable <= MEMBERS.keys() - {1}
    for node in rules.reachable:
        route = rules.route(node)
        assert route[-1] == node
        assert len(set(route)) == len(route), "loop-free"
        assert 1 not in route
    for node in MEMBERS.keys() - rules.reachable - {1}:
        assert rules.capabilities_of(node) == (), "of an unreachable node nothing is known (N-2)"


def _bounds(message: m.Message) -> None:
    """What we send a peer must be able to decode."""
    decoded = decode(encode([message]))
    assert decoded.messages == [message]
