"""Peering: the one connection between this process and another node's (design section 4, J-1).

Each side may dial; TLS has proved who the other is; admission by the roster has been asked before
anything here happens. What is said on each connection is in `greeting`. Here: which of several
connections stays, what becomes of it, and when to dial.

**Which stays.** The node with the lower id chooses: it says WELCOME first, on one connection at a
time, and the other node follows. It keeps what it has chosen, unless

* the new connection's HELLO names the held one in ``lost_session``: it is dead for the peer; or
* the peer dialled both: a side dials only while it has no connection, so the newer one stays; or
* another process speaks: an older incarnation is refused as `duplicate_id`; for a newer one the
  held connection gets a ping, and ``probe_timeout`` to answer it: alive, the new one is refused;
  silent, it is replaced. (A connection that was chosen but not yet established is just replaced.)

**Dialling.** At once at start and after a loss, then with jittered exponential back-off up to
``reconnect_cap`` (L-5); one attempt at a time; not at all while a connection is there. After each
input holds: unless the peer was refused, there is a connection, an attempt, or a time for one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from .because import Cause, because, refused
from .damping import Backoff, PerSecond
from .effects import Count, Effect
from .errors import Misuse, PeerViolation, Reason
from .greeting import ConnectionKey, Greeting, Identity, Phase, reason_of
from .identity import ClusterId, Incarnation, NodeId
from .messages import Hello, Message, Ping, Pong, Refusal, Welcome
from .peering_words import (
    CancelDial,
    Close,
    Dial,
    Established,
    Gone,
    Lost,
    NoteRefusal,
    PeeringTiming,
    SendOn,
)

__all__ = [
    "CancelDial",
    "Close",
    "ConnectionKey",
    "Dial",
    "Established",
    "Gone",
    "Identity",
    "Lost",
    "NoteRefusal",
    "Peering",
    "PeeringTiming",
    "Phase",
    "SendOn",
]

MAX_GREETINGS = 8
"""Connections of one peer that are not established; one more closes the oldest."""
MAX_PROCESS_PINGS_PER_S = 10
"""Process pings answered per second; a contest needs one."""


class _Probe(msgspec.Struct, frozen=True):
    """The ping that decides a contest."""

    number: int
    until: float


class Peering:
    """The machine of one peer. Times are seconds of a monotonic clock.

    ``draw`` gives numbers in [0, 1) for jitter, ``new_session`` 8 random bytes.
    """

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
        self.last_failure = because("not tried yet", Cause.NOT_TRIED)
        self._chooses = identity.node_id < peer
        self._new_session = new_session
        self._connections: dict[ConnectionKey, Greeting] = {}
        self._wanted = False
        """Started, and not refused since."""
        self._dialling = False
        self._dial_at: float | None = None
        self._backoff = Backoff(cap_s=timing.reconnect_cap_s, draw=draw)
        self._incarnation: int | None = None
        """Of the process that was established last."""
        self._lost_session = b""
        self._probe_number = 0
        self._probe: _Probe | None = None
        self._pings = PerSecond(MAX_PROCESS_PINGS_PER_S)
        self._effects: list[Effect] = []

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called."""
        calm = self._dial_at is None and self._probe is None
        if calm and len(self._connections) == (self.established is not None):
            return None  # as mostly, and asked all the time
        times = [g.since + self.timing.greeting_timeout_s for g in self._greetings()]
        times += [self._dial_at] if self._dial_at is not None else []
        times += [self._probe.until] if self._probe is not None else []
        return min(times, default=None)

    # What happens -------------------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Begin to look for the peer."""
        return self.dial_soon(now)

    def dial_soon(self, now: float) -> list[Effect]:
        """Dial now, unless a connection is there or under way (start, healing, a changed url)."""
        self._wanted = True
        self._backoff.fresh()
        self._dial_at = None
        return self._finish(now)

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
        self.last_failure = because(cause, Cause.NOBODY_LISTENS if gone else Cause.DIAL_FAILED)
        if reason is not None:
            self._note(None, reason, cause, by_us=by_us)
        if reason is not None or (gone and not self._connections):
            self._gone()
        return self._finish(now)

    def opened(self, key: ConnectionKey, now: float, *, dialled: bool) -> list[Effect]:
        """An admitted connection, TLS done: greet."""
        self._wanted = True
        self._dial_at = None
        if dialled:
            self._dialling = False
        elif not self._chooses:
            self._cancel_dial()  # the chooser dialled: it had no connection to choose
        waiting = self._greetings()
        if len(waiting) >= MAX_GREETINGS:
            self._close(waiting[0], "too many connections at once", now)
        greeting = Greeting(key, self._new_session(), dialled=dialled, opened_at=now)
        self._connections[key] = greeting
        hello = greeting.say_hello(self.identity, self.offers, lost_session=self._lost_session)
        self._send(greeting, hello)
        return self._finish(now)

    def receive(self, key: ConnectionKey, message: Message, now: float) -> list[Effect]:
        """A HELLO, WELCOME, REFUSAL or process ping; `Misuse` for what links take.

        Raises `PeerViolation` when it is out of turn (W18); the shell then closes the connection
        and says so with `closed`.
        """
        greeting = self._connections.get(key)
        if greeting is None:
            return [Count("late")]
        match message:
            case Hello():
                self._hello(greeting, message, now)
            case Welcome():
                self._welcome(greeting, message, now)
            case Refusal():
                reason, detail = reason_of(message)
                self._close(greeting, f"refused: {reason.value}", now)
                self._note(key, reason, detail, by_us=False)
                self._gone()
            case _ if greeting.phase is not Phase.ESTABLISHED:
                raise PeerViolation("a message before WELCOME")
            case Ping(cluster_id=0):
                if self._pings.allows(now):
                    self._send(greeting, Pong(0, message.number))
                else:
                    self._effects.append(Count("W16"))
            case Pong(cluster_id=0):
                self._probe_answered(message, now)
            case _:
                raise Misuse(f"peering does not take {type(message).__name__}")
        return self._finish(now)

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
        greeting = self._connections.get(key)
        if greeting is None:
            return []
        self._end(greeting, cause, now)
        if reason is not None:
            self._note(key, reason, cause, by_us=by_us)
            self._gone()
        return self._finish(now)

    def drop(self, cause: str, now: float) -> list[Effect]:
        """Close the established connection: its path is dead. Dialling starts anew."""
        if self.established is not None:
            self._close(self._connections[self.established], cause, now)
        return self._finish(now)

    def refuse(self, reason: Reason, detail: str, now: float) -> list[Effect]:
        """The roster no longer admits the peer: tell it, close everything, dial no more.

        Until `dial_soon`, or until a connection of the peer is admitted again.
        """
        for greeting in list(self._connections.values()):
            self._refuse(greeting, reason, detail, now)
        self._cancel_dial()
        self._dial_at = None
        self._wanted = False
        self.last_failure = refused(reason, self.peer, by_us=True)
        self._effects.append(Gone(self.last_failure))
        return self._finish(now)

    def tick(self, now: float) -> list[Effect]:
        """The deadline passed."""
        if self._probe is not None and now >= self._probe.until:
            assert self.established is not None, "a probe ends with the connection it is on"
            held = self._connections[self.established]
            self._close(held, "silent, and a newer process of that id came", now)
        for greeting in self._greetings():
            if now >= greeting.since + self.timing.greeting_timeout_s:
                self._close(greeting, f"no {greeting.missing} in time", now)
        return self._finish(now)

    # Which connection stays -------------------------------------------------------------------

    def _hello(self, greeting: Greeting, hello: Hello, now: float) -> None:
        refusal = greeting.take_hello(hello, self.identity, self.peer, self.offers)
        if refusal is not None:
            self._refuse(greeting, *refusal, now)
            self._gone()
        elif self._chooses:
            self._settle(greeting, now)

    def _welcome(self, greeting: Greeting, welcome: Welcome, now: float) -> None:
        greeting.take_welcome(welcome)
        if self._chooses:
            self._establish(greeting, now)
        else:
            self._settle(greeting, now)

    def _settle(self, candidate: Greeting, now: float) -> None:
        """A connection could be taken now: decide between it and the one held."""
        held = self._held(other_than=candidate)
        if held is None:
            self._take(candidate, now)
        elif candidate.hello.incarnation < held.hello.incarnation:
            self._refuse_duplicate(candidate, "a newer process of that id is connected", now)
        elif candidate.hello.incarnation > held.hello.incarnation:
            self._contest(candidate, held, now)
        elif self._replaces(candidate, held):
            self._close(held, "the peer connected anew", now)
            self._take(candidate, now)
        else:
            self._close(candidate, "both sides dialled; the other connection stays", now)

    def _held(self, other_than: Greeting | None = None) -> Greeting | None:
        """The connection taken before, if any: established, or chosen and waited for."""
        phases = (Phase.ESTABLISHED, Phase.WAITING) if self._chooses else (Phase.ESTABLISHED,)
        held = (g for g in self._connections.values() if g.phase in phases)
        return next((g for g in held if g is not other_than), None)

    def _replaces(self, candidate: Greeting, held: Greeting) -> bool:
        if not self._chooses:
            return True  # the peer chose it, so it has given the other one up
        if candidate.hello.lost_session == held.dialler_session:
            return True
        return candidate.dialled == held.dialled and candidate.key > held.key

    def _take(self, greeting: Greeting, now: float) -> None:
        self._send(greeting, greeting.say_welcome())
        if self._chooses:
            greeting.phase, greeting.since = Phase.WAITING, now
        else:
            self._establish(greeting, now)

    def _establish(self, greeting: Greeting, now: float) -> None:
        assert self.established is None, "one established connection at a time"
        greeting.phase, greeting.since = Phase.ESTABLISHED, now
        self.established = greeting.key
        if greeting.hello.incarnation != self._incarnation:
            self._backoff.fresh()
        self._incarnation = greeting.hello.incarnation
        self._cancel_dial()
        incarnation = Incarnation(greeting.hello.incarnation)
        self._effects.append(Established(greeting.key, incarnation, greeting.clusters))

    # Contests ---------------------------------------------------------------------------------

    def _contest(self, candidate: Greeting, held: Greeting, now: float) -> None:
        """A newer process claims the id of a connection that is held (J-2 `duplicate_id`)."""
        if held.phase is not Phase.ESTABLISHED:
            self._close(held, "a newer process of that id came", now)
            self._take(candidate, now)
            return
        candidate.phase = Phase.CONTESTED
        if self._probe is None:
            self._probe_number += 1
            self._probe = _Probe(self._probe_number, now + self.timing.probe_timeout_s)
            self._send(held, Ping(0, self._probe_number))

    def _probe_answered(self, pong: Pong, now: float) -> None:
        if self._probe is None or pong.number != self._probe.number:
            self._effects.append(Count("L-1"))
            return
        self._probe = None
        for greeting in self._contested():
            self._refuse_duplicate(greeting, "another process of that id is alive", now)

    # Parts ----------------------------------------------------------------------------------

    def _greetings(self) -> list[Greeting]:
        """Connections that are not established, oldest first."""
        return [g for g in self._connections.values() if g.phase is not Phase.ESTABLISHED]

    def _contested(self) -> list[Greeting]:
        return [g for g in self._greetings() if g.phase is Phase.CONTESTED]

    def _refuse_duplicate(self, greeting: Greeting, why: str, now: float) -> None:
        self._refuse(greeting, Reason.DUPLICATE_ID, f"node {self.peer}: {why}", now)

    def _refuse(self, greeting: Greeting, reason: Reason, detail: str, now: float) -> None:
        self._send(greeting, Refusal(reason.value, detail))
        self._close(greeting, f"refused: {reason.value}", now)
        self._note(greeting.key, reason, detail, by_us=True)

    def _note(self, key: ConnectionKey | None, reason: Reason, detail: str, *, by_us: bool) -> None:
        self.last_failure = refused(reason, self.peer, by_us=by_us)
        self._effects.append(NoteRefusal(connection=key, reason=reason, detail=detail, by_us=by_us))

    def _gone(self) -> None:
        """The last failure proves that the peer cannot be had, unless a connection is held."""
        if self._held() is None:
            self._effects.append(Gone(self.last_failure))

    def _close(self, greeting: Greeting, cause: str, now: float) -> None:
        self._effects.append(Close(greeting.key, cause))
        self._end(greeting, cause, now)

    def _end(self, greeting: Greeting, cause: str, now: float) -> None:
        del self._connections[greeting.key]
        self.last_failure = because(cause, Cause.CONNECTION_LOST)
        if self.established == greeting.key:
            self.established = None
            self._probe = None
            self._lost_session = greeting.dialler_session
            self._backoff.ended(now - greeting.since)
            self._effects.append(Lost(greeting.key, self.last_failure))

    def _cancel_dial(self) -> None:
        if self._dialling:
            self._dialling = False
            self._effects.append(CancelDial())

    def _send(self, greeting: Greeting, message: Message) -> None:
        self._effects.append(SendOn(greeting.key, message))

    def _finish(self, now: float) -> list[Effect]:
        """What follows from every input: contests whose held connection is gone, the next dial."""
        if self._probe is None:
            for greeting in self._contested():
                self._settle(greeting, now)
        if self._wanted and not self._dialling and not self._connections:
            if self._dial_at is None:
                self._dial_at = now + self._backoff.pause_s()
            if now >= self._dial_at:
                self._dial_at = None
                self._dialling = True
                self._effects.append(Dial())
        effects, self._effects = self._effects, []
        return effects
