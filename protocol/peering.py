"""Peering: the one connection between this process and another node's (design section 4, J-1).

Each side may dial; TLS has proved who the other is; admission by the roster has been asked before
anything here happens. Then both sides say HELLO, judge the other's, and answer WELCOME or
REFUSAL. A connection is *established* when both WELCOMEs are there: only then do links use it.

======================  =========================================================================
phase of a connection   what moves it on
======================  =========================================================================
GREETING                opened; our HELLO is out; waits for the peer's HELLO, judges it
WAITING                 their HELLO was good, our WELCOME is out; waits for theirs
ESTABLISHED             carries the links
CONTESTED               a newer process of the same id came while an older connection is
                        established: the old one gets a ping and one ping_timeout to answer
======================  =========================================================================

When both sides dialled, the connection dialled by the lower node id stays (both compute the
same). A HELLO whose ``lost_session`` names the connection we still hold tells that it is dead for
the peer, so the new one replaces it at once.

Dialling: at once at start and after a loss, then with jittered exponential back-off up to
``reconnect_cap`` (L-5); at most one attempt at a time; not at all while a connection is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

from .effects import Count, Effect
from .errors import Misuse, PeerViolation, Reason
from .identity import ClusterId, Incarnation, NodeId
from .messages import (
    PROTOCOL_VERSION,
    ClusterOffer,
    Hello,
    Message,
    Ping,
    Pong,
    Refusal,
    Welcome,
)

FIRST_BACKOFF_S = 0.05
SOFTWARE_CHARS = 64

ConnectionKey = int
"""The shell's name for a connection; grows with each one."""


class Phase(StrEnum):
    """Where a connection is on its way to being established."""

    GREETING = "greeting"
    WAITING = "waiting"
    CONTESTED = "contested"
    ESTABLISHED = "established"


class Dial(Effect, frozen=True):
    """Open a connection to the peer's url."""


class CancelDial(Effect, frozen=True):
    """Give the attempt up; a connection is there."""


class SendOn(Effect, frozen=True):
    """Send on one particular connection."""

    connection: ConnectionKey
    message: Message


class Close(Effect, frozen=True):
    """Flush and close a connection."""

    connection: ConnectionKey
    cause: str


class Established(Effect, frozen=True):
    """Links may use this connection."""

    connection: ConnectionKey
    incarnation: Incarnation
    clusters: tuple[ClusterId, ...]


class Lost(Effect, frozen=True):
    """The established connection is gone."""

    connection: ConnectionKey
    cause: str


class Gone(Effect, frozen=True):
    """The peer cannot be had now: nobody listens, or a refusal."""

    cause: str


class NoteRefusal(Effect, frozen=True, kw_only=True):
    """A connection was refused; for logs, ``list`` and the event."""

    connection: ConnectionKey | None
    reason: Reason
    detail: str
    by_us: bool


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What this process says of itself in HELLO, the same on every connection."""

    node_id: NodeId
    incarnation: Incarnation
    max_frame_bytes: int
    software: str


class PeeringTiming(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds."""

    greeting_timeout_s: float
    """HELLO and WELCOME must be through within this."""
    probe_timeout_s: float
    """How long an old connection has to show life when a new process of that id comes."""
    reconnect_cap_s: float


class _Greeting:
    """What is known of one connection."""

    __slots__ = ("deadline", "dialled", "hello", "key", "phase", "session", "welcomed")

    def __init__(
        self, key: ConnectionKey, session: bytes, deadline: float, *, dialled: bool
    ) -> None:
        self.key = key
        self.session = session  # what our HELLO carried, what the peer's WELCOME must repeat
        self.dialled = dialled
        self.phase = Phase.GREETING
        self.deadline = deadline
        self.hello: Hello | None = None
        self.welcomed: Welcome | None = None


class Peering:
    """The machine of one peer. ``draw`` returns numbers in [0, 1) for jitter, ``session`` 8 bytes."""

    def __init__(
        self,
        identity: Identity,
        peer: NodeId,
        timing: PeeringTiming,
        offers: Mapping[ClusterId, str],
        draw: Callable[[], float],
        new_session: Callable[[], bytes],
    ) -> None:
        self.identity = identity
        self.peer = peer
        self.timing = timing
        self.offers = dict(offers)
        """Cluster → configuration digest, for each cluster shared with the peer."""
        self.established: ConnectionKey | None = None
        self.last_failure = "not tried yet"
        self._draw = draw
        self._new_session = new_session
        self._connections: dict[ConnectionKey, _Greeting] = {}
        self._dialling = False
        self._attempts = 0
        self._dial_at: float | None = None
        self._lost_session = b""
        self._probe = 0
        self._probe_answered = False
        self._effects: list[Effect] = []

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called."""
        times = [g.deadline for g in self._connections.values() if g.phase is not Phase.ESTABLISHED]
        if self._dial_at is not None:
            times.append(self._dial_at)
        return min(times, default=None)

    # What happens -------------------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Begin to look for the peer."""
        return self.dial_soon(now)

    def dial_soon(self, now: float) -> list[Effect]:
        """Dial now, unless a connection is there or under way (start, healing, a changed url)."""
        self._attempts = 0
        self._dial_at = now
        self._dial_if_due(now)
        return self._flush()

    def dial_failed(
        self,
        cause: str,
        now: float,
        *,
        gone: bool,
        reason: Reason | None = None,
        by_us: bool = True,
    ) -> list[Effect]:
        """The attempt ended without a connection. ``gone``: there is proof that nobody listens."""
        self._dialling = False
        self.last_failure = cause if reason is None else f"refused: {reason.value}"
        if reason is not None:
            self._effects.append(
                NoteRefusal(connection=None, reason=reason, detail=cause, by_us=by_us)
            )
        if (gone or reason is not None) and self.established is None:
            self._effects.append(Gone(self.last_failure))
        self._back_off(now)
        return self._flush()

    def opened(self, key: ConnectionKey, now: float, *, dialled: bool) -> list[Effect]:
        """An admitted connection, TLS done: greet."""
        if dialled:
            self._dialling = False
        elif self._dialling and self.peer < self.identity.node_id:
            self._dialling = False  # theirs stays in any case: it was dialled by the lower id
            self._effects.append(CancelDial())
        session = self._new_session()
        greeting = _Greeting(key, session, now + self.timing.greeting_timeout_s, dialled=dialled)
        self._connections[key] = greeting
        self._send(
            key,
            Hello(
                protocol_min=PROTOCOL_VERSION,
                protocol_max=PROTOCOL_VERSION,
                node_id=self.identity.node_id,
                incarnation=self.identity.incarnation,
                session=session,
                lost_session=self._lost_session,
                clusters=[ClusterOffer(c, digest) for c, digest in sorted(self.offers.items())],
                max_frame_bytes=self.identity.max_frame_bytes,
                software=self.identity.software[:SOFTWARE_CHARS],
            ),
        )
        return self._flush()

    def receive(self, key: ConnectionKey, message: Message, now: float) -> list[Effect]:
        """A HELLO, WELCOME, REFUSAL or process ping. `PeerViolation` when out of order (W18)."""
        greeting = self._connections.get(key)
        if greeting is None:
            return [Count("late")]
        if isinstance(message, Hello):
            self._hello(greeting, message, now)
        elif isinstance(message, Welcome):
            self._welcome(greeting, message, now)
        elif isinstance(message, Refusal):
            self._refused(greeting, message, now)
        elif isinstance(message, Ping):
            self._require_established(greeting)
            self._send(key, Pong(0, message.number))
        elif isinstance(message, Pong):
            self._require_established(greeting)
            self._probe_answered = self._probe_answered or message.number == self._probe
            self._judge_contest(now)
        else:
            raise Misuse(f"peering does not take {type(message).__name__}")
        return self._flush()

    def closed(
        self,
        key: ConnectionKey,
        cause: str,
        now: float,
        *,
        reason: Reason | None = None,
        by_us: bool = True,
    ) -> list[Effect]:
        """A connection ended. ``reason`` when a refusal ended it (a TLS alert, a violation)."""
        greeting = self._connections.pop(key, None)
        if greeting is None:
            return []
        self.last_failure = cause if reason is None else f"refused: {reason.value}"
        if reason is not None:
            self._effects.append(
                NoteRefusal(connection=key, reason=reason, detail=cause, by_us=by_us)
            )
        if self.established == key:
            self._lose(greeting, cause, now)
        elif self.established is None:
            if reason is not None:
                self._effects.append(Gone(self.last_failure))
            self._back_off(now)
        return self._flush()

    def drop(self, cause: str, now: float) -> list[Effect]:
        """Close the established connection: its path is dead. Dialling starts anew."""
        if self.established is not None:
            self._close(self._connections[self.established], cause)
            self._back_off(now)
        return self._flush()

    def refuse(self, reason: Reason, detail: str, now: float) -> list[Effect]:
        """The roster no longer admits the peer: tell it, close everything, dial no more."""
        for greeting in list(self._connections.values()):
            self._refuse(greeting, reason, detail)
        if self._dialling:
            self._dialling = False
            self._effects.append(CancelDial())
        self._dial_at = None
        self._effects.append(Gone(f"refused: {reason.value}"))
        return self._flush()

    def tick(self, now: float) -> list[Effect]:
        """The deadline passed."""
        for greeting in list(self._connections.values()):
            if greeting.phase is Phase.ESTABLISHED or now < greeting.deadline:
                continue
            if greeting.phase is Phase.CONTESTED:
                self._judge_contest(now)
            else:
                self._close(greeting, f"no {'WELCOME' if greeting.hello else 'HELLO'} in time")
                self._back_off(now)
        self._dial_if_due(now)
        return self._flush()

    # The greeting ---------------------------------------------------------------------------

    def _hello(self, greeting: _Greeting, hello: Hello, now: float) -> None:
        if greeting.phase is not Phase.GREETING or greeting.hello is not None:
            raise PeerViolation("a second HELLO")
        if hello.node_id != self.peer:
            raise PeerViolation(
                f"HELLO of node {hello.node_id} on a connection of node {self.peer}"
            )
        greeting.hello = hello
        refusal = self._judge(hello)
        if refusal is not None:
            self._refuse(greeting, *refusal)
            self._back_off(now)
            return
        self._settle_duplicates(greeting, hello, now)

    def _judge(self, hello: Hello) -> tuple[Reason, str] | None:
        if not hello.protocol_min <= PROTOCOL_VERSION <= hello.protocol_max:
            spoken = f"{hello.protocol_min} … {hello.protocol_max}"
            return Reason.VERSION, f"you speak protocol {spoken}, we speak {PROTOCOL_VERSION}"
        theirs = {offer.cluster_id: offer.config_digest for offer in hello.clusters}
        common = sorted(set(theirs) & set(self.offers))
        if not common:
            return (
                Reason.NO_COMMON_CLUSTER,
                f"we share clusters {sorted(self.offers)}, you offer {sorted(theirs)}",
            )
        differing = [c for c in common if theirs[c] != self.offers[ClusterId(c)]]
        if differing:
            return Reason.CONFIG_MISMATCH, f"settings of cluster {differing[0]} differ (rerouting)"
        return None

    def _settle_duplicates(self, greeting: _Greeting, hello: Hello, now: float) -> None:
        """Decide between this connection and others with the same peer."""
        held = self._connections.get(self.established) if self.established is not None else None
        if held is None:
            rival = next(
                (
                    g
                    for g in self._connections.values()
                    if g is not greeting and g.hello is not None
                ),
                None,
            )
            self._keep_one(greeting, rival)
            return
        assert held.hello is not None, "an established connection has greeted"
        if hello.incarnation != held.hello.incarnation:
            self._contest(greeting, held, now)
        elif hello.lost_session and hello.lost_session == self._dialler_session(held):
            self._close(held, "the peer lost it and connected anew")
            self._say_welcome(greeting)
        else:
            self._keep_one(greeting, held)

    def _keep_one(self, greeting: _Greeting, rival: _Greeting | None) -> None:
        if rival is None:
            self._say_welcome(greeting)
        elif greeting.dialled == rival.dialled:
            # A side dials only while it has no connection: the older one is dead for it.
            self._close(rival, "connected anew")
            self._say_welcome(greeting)
        elif self._preferred(greeting):
            self._close(rival, "both sides dialled; the other connection stays")
            self._say_welcome(greeting)
        else:
            self._close(greeting, "both sides dialled; the other connection stays")

    def _preferred(self, greeting: _Greeting) -> bool:
        return greeting.dialled == (self.identity.node_id < self.peer)

    def _contest(self, greeting: _Greeting, held: _Greeting, now: float) -> None:
        """Another process claims the id of a live connection (J-2 `duplicate_id`)."""
        greeting.phase = Phase.CONTESTED
        greeting.deadline = now + self.timing.probe_timeout_s
        self._probe += 1
        self._probe_answered = False
        self._send(held.key, Ping(0, self._probe))

    def _judge_contest(self, now: float) -> None:
        for greeting in [g for g in self._connections.values() if g.phase is Phase.CONTESTED]:
            held = self._connections.get(self.established) if self.established is not None else None
            if held is not None and self._probe_answered:
                detail = f"node {self.peer} is connected and alive as another process"
                self._refuse(greeting, Reason.DUPLICATE_ID, detail)
            elif held is None or now >= greeting.deadline:
                if held is not None:
                    self._close(held, "silent, and a new process of that id came")
                self._say_welcome(greeting)

    def _dialler_session(self, greeting: _Greeting) -> bytes:
        assert greeting.hello is not None, "only greeted connections are compared"
        return greeting.session if greeting.dialled else greeting.hello.session

    def _say_welcome(self, greeting: _Greeting) -> None:
        assert greeting.hello is not None, "WELCOME answers a HELLO"
        common = {offer.cluster_id for offer in greeting.hello.clusters} & set(self.offers)
        greeting.phase = Phase.WAITING
        self._send(greeting.key, Welcome(PROTOCOL_VERSION, greeting.hello.session, sorted(common)))
        if greeting.welcomed is not None:
            self._establish(greeting)

    def _welcome(self, greeting: _Greeting, welcome: Welcome, now: float) -> None:
        if greeting.hello is None or greeting.welcomed is not None:
            raise PeerViolation("a WELCOME out of turn")
        if welcome.session != greeting.session:
            raise PeerViolation("a WELCOME of another session")
        greeting.welcomed = welcome
        if greeting.phase is Phase.WAITING:
            self._establish(greeting)

    def _establish(self, greeting: _Greeting) -> None:
        assert greeting.hello is not None, "established after both HELLOs"
        assert self.established is None, "one established connection at a time"
        assert greeting.welcomed is not None, "established after both WELCOMEs"
        greeting.phase = Phase.ESTABLISHED
        self.established = greeting.key
        self._attempts = 0
        self._dial_at = None
        if self._dialling:
            self._dialling = False
            self._effects.append(CancelDial())
        clusters = tuple(ClusterId(c) for c in greeting.welcomed.clusters if c in self.offers)
        incarnation = Incarnation(greeting.hello.incarnation)
        self._effects.append(Established(greeting.key, incarnation, clusters))

    def _refused(self, greeting: _Greeting, refusal: Refusal, now: float) -> None:
        known = refusal.reason in {reason.value for reason in Reason}
        reason = Reason(refusal.reason) if known else Reason.VIOLATION
        detail = refusal.detail if known else f"unknown reason {ascii(refusal.reason)}"
        self._effects.append(
            NoteRefusal(connection=greeting.key, reason=reason, detail=detail, by_us=False)
        )
        self._close(greeting, f"refused: {reason.value}")
        if self.established is None:
            self._effects.append(Gone(f"refused: {reason.value}"))
        self._back_off(now)

    # Parts ----------------------------------------------------------------------------------

    def _require_established(self, greeting: _Greeting) -> None:
        if greeting.phase is not Phase.ESTABLISHED:
            raise PeerViolation("a message before WELCOME")

    def _refuse(self, greeting: _Greeting, reason: Reason, detail: str) -> None:
        self._send(greeting.key, Refusal(reason.value, detail))
        self._effects.append(
            NoteRefusal(connection=greeting.key, reason=reason, detail=detail, by_us=True)
        )
        self._close(greeting, f"refused: {reason.value}")

    def _close(self, greeting: _Greeting, cause: str) -> None:
        self._connections.pop(greeting.key, None)
        self.last_failure = cause
        self._effects.append(Close(greeting.key, cause))
        if self.established == greeting.key:
            self._unestablish(greeting, cause)

    def _unestablish(self, greeting: _Greeting, cause: str) -> None:
        self._lost_session = self._dialler_session(greeting)
        self.established = None
        self._effects.append(Lost(greeting.key, cause))

    def _lose(self, greeting: _Greeting, cause: str, now: float) -> None:
        self._unestablish(greeting, cause)
        self._judge_contest(now)
        self._attempts = 0
        self._dial_at = now
        self._dial_if_due(now)

    def _back_off(self, now: float) -> None:
        """Plan the next dial (L-5)."""
        if self._dialling or self._connections:
            return
        pause = min(FIRST_BACKOFF_S * 2.0 ** min(self._attempts, 16), self.timing.reconnect_cap_s)
        self._attempts += 1
        self._dial_at = now + pause * (0.5 + 0.5 * self._draw())

    def _dial_if_due(self, now: float) -> None:
        if self._dial_at is None or now < self._dial_at:
            return
        self._dial_at = None
        if not self._dialling and not self._connections:
            self._dialling = True
            self._effects.append(Dial())

    def _send(self, key: ConnectionKey, message: Message) -> None:
        self._effects.append(SendOn(key, message))

    def _flush(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects
