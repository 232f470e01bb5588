"""The link: can I exchange messages directly with that neighbour? (behaviour 1.7, L-1 … L-5)

One object per (cluster, other node). It is told when the connection with that node comes and goes,
what arrives on it and what time it is; it answers with pings, pongs and changes of state.

The theory. ``R`` = configured retries, ``c`` = retries left, ``T`` = ping_timeout, ``P`` =
ping_interval. "Sending a ping" succeeds when there is a connection and fails when there is none.

========================  ==================  ====================================================
state                     trigger             reaction
========================  ==================  ====================================================
RESTART                   TICK (at once)      ping → RESTARTED; no connection: R = 0 → DOWN,
                                              else c = R → RETRY_SEND_FAIL
RETRY_SEND_FAIL           TICK (each T)       c − 1; ping → RETRYING; no connection: c = 0 → DOWN
RESTARTED                 TICK (unanswered T) R = 0 → DOWN; else ping, c = R − 1 → RETRYING
UP                        TICK (unanswered T) the same
UP                        TICK (P passed)     ping
RETRYING                  TICK (unanswered T) c > 0: ping, c − 1; c = 0 → DOWN
PROVING                   TICK (each T)       ping; unanswered → as RESTARTED
RESTARTED, RETRYING       ANSWERED            → UP, or → PROVING while flaps are damped
PROVING                   ANSWERED            proved long enough → UP
RESTART, RETRY_SEND_FAIL, ATTACHED            ping → RESTARTED
DOWN
any but DOWN              LOST                → RESTART (its tick follows at once)
any                       GONE                → DOWN
DOWN                      PINGED              ping → RESTARTED
========================  ==================  ====================================================

Where we differ from the original (the retry count R itself never changes: row 2 of 1.23):

* Each ping has a number that its pong repeats, so no pong is matched with another ping (L-1).
  TEMP, which guessed, is gone.
* Whatever arrives is a life sign: a tick that finds one since the last ping asks again and
  counts nothing (L-2).
* With the last retry the neighbours are asked whether they reach the node (L-3); their answers
  name the cause. A tick that comes late by more than T / 2 gives no verdict: this process was
  stalled, not the others.
* DOWN drops the connection; dialling again is the business of `peering` (L-5). A node whose host
  says that nobody listens is GONE at once: no need to count retries.
* A link that went DOWN often within ``flap_window`` is kept in PROVING for a while, pinged every
  T, before it is UP (L-4).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from .effects import Count, Effect, Send
from .errors import Misuse
from .messages import Ping, Pong, ProbeAnswer

if TYPE_CHECKING:
    from .identity import ClusterId, NodeId
    from .messages import Message

MAX_PINGS_PER_S = 1000
"""Pings answered per second and link; more are dropped (W16)."""
FREE_FLAPS = 2
"""Times a link may come back within the flap window before L-4 holds it in PROVING."""


class State(StrEnum):
    """States of the link machine."""

    RESTART = "restart"
    RETRY_SEND_FAIL = "retry_send_fail"
    RESTARTED = "restarted"
    RETRYING = "retrying"
    PROVING = "proving"
    UP = "up"
    DOWN = "down"

    @property
    def shown(self) -> str:
        """``Up`` | ``Probe`` | ``Down``, as ``clusterer_list`` shows it (behaviour 1.8)."""
        return {State.UP: "Up", State.DOWN: "Down"}.get(self, "Probe")


class Trigger(StrEnum):
    """What can happen to a link."""

    TICK = "tick"
    ATTACHED = "attached"
    LOST = "lost"
    GONE = "gone"
    ANSWERED = "answered"
    PINGED = "pinged"


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """The configured times of a link, seconds. Never changes (I13)."""

    ping_interval_s: float
    ping_timeout_s: float
    node_timeout_s: float
    flap_window_s: float
    retries: int

    @property
    def detection_s(self) -> float:
        """Longest time from the silence of a peer to DOWN."""
        return self.ping_interval_s + (self.retries + 1) * self.ping_timeout_s


class LinkChanged(Effect, frozen=True, kw_only=True):
    """The link went from one state to another."""

    before: State
    after: State
    cause: str


class AskOthers(Effect, frozen=True):
    """Ask up to three common neighbours whether they reach the node (L-3)."""

    number: int


class AnswerQuestion(Effect, frozen=True):
    """The peer answered us: tell the neighbour that asked (L-3)."""

    asker: NodeId
    number: int


class DropConnection(Effect, frozen=True):
    """The path is dead: close the connection and dial anew (H22)."""

    cause: str


class Link:
    """The machine of one link; see the table above. Times are seconds of a monotonic clock."""

    def __init__(self, cluster_id: ClusterId, peer: NodeId, timing: Timing, now: float) -> None:
        self.cluster_id = cluster_id
        self.peer = peer
        self.timing = timing
        self.state = State.RESTART
        self.since = now
        self.cause = "not tried yet"
        self.deadline: float | None = now
        """When `tick` wants to be called; None = only messages can change anything."""
        self.incarnation: int | None = None
        self.rtt_s: float | None = None
        self._attached = False
        self._number = 0
        self._asked_number = 0
        self._pinged_at: float | None = None
        """When the outstanding ping was sent; None = none is outstanding."""
        self._heard_at = -1.0
        self._retries_left = 0
        self._went_down: deque[float] = deque()
        self._was_up = False
        self._proved_at = 0.0
        self._reached_by: list[NodeId] = []
        self._questions: dict[NodeId, int] = {}
        """Neighbours that asked us to probe the peer, with their numbers (L-3)."""
        self._served = (0.0, 0)
        self._effects: list[Effect] = []

    # What happens -------------------------------------------------------------------------

    def attached(self, incarnation: int, now: float) -> list[Effect]:
        """A connection with the peer is up (both sides said WELCOME)."""
        if self._attached:
            raise Misuse(f"link with node {self.peer} is attached already")
        if incarnation != self.incarnation:
            self._went_down.clear()  # a process that was started anew is not a path that flaps
        self._attached = True
        self.incarnation = incarnation
        self._heard_at = now
        return self._fire(Trigger.ATTACHED, now, "connected")

    def lost(self, cause: str, now: float) -> list[Effect]:
        """The connection ended."""
        self._attached = False
        self._pinged_at = None
        self._questions.clear()
        return self._fire(Trigger.LOST, now, cause)

    def gone(self, cause: str, now: float) -> list[Effect]:
        """There is proof that the peer cannot be had now: nobody listens, or it was refused."""
        self._attached = False
        self._pinged_at = None
        return self._fire(Trigger.GONE, now, cause)

    def heard(self, now: float) -> list[Effect]:
        """Something arrived from the peer: a sign of life (L-2)."""
        self._heard_at = now
        return []

    def receive(self, message: Message, now: float) -> list[Effect]:
        """A ping, pong or probe answer of this link."""
        self._heard_at = now
        if isinstance(message, Ping):
            return self._pinged(message, now)
        if isinstance(message, Pong):
            return self._ponged(message, now)
        raise Misuse(f"a link does not take {type(message).__name__}")

    def asked(self, asker: NodeId, number: int, now: float) -> list[Effect]:
        """``asker`` wants to know whether we reach the peer: ping it and answer when it answers."""
        if not self._attached:
            return [Count("L-3")]
        self._questions[asker] = number
        self._ping(now)
        return self._flush()

    def answered(self, helper: NodeId, answer: ProbeAnswer) -> list[Effect]:
        """A neighbour's word about the peer; it names the cause should the link go down (L-3)."""
        if (
            answer.number == self._asked_number
            and answer.reached
            and helper not in self._reached_by
        ):
            self._reached_by.append(helper)
            return []
        return [Count("L-3")]

    def tick(self, now: float) -> list[Effect]:
        """The deadline passed."""
        if self.deadline is None or now < self.deadline:
            return []
        late = now - self.deadline > self.timing.ping_timeout_s / 2
        if late and self.state is not State.RESTART:
            if self._attached:
                self._ping(now)
            self._wait_for_pong(now)  # void round: we slept, so nobody else is to blame (L-3)
            return [Count("L-3 late"), *self._flush()]
        return self._fire(Trigger.TICK, now, "")

    # Reactions, one per row of the table ----------------------------------------------------

    def _fire(self, trigger: Trigger, now: float, cause: str) -> list[Effect]:
        reaction = TABLE.get((self.state, trigger))
        if reaction is not None:
            reaction(self, now, cause)
        return self._flush()

    def _restart_tick(self, now: float, _cause: str) -> None:
        if self._attached:
            self._ping(now)
            self._enter(State.RESTARTED, now, "first ping sent")
        elif self.timing.retries == 0:
            self._down(now, f"{self.cause}; no connection")
        else:
            self._retries_left = self.timing.retries
            self._enter(State.RETRY_SEND_FAIL, now, f"{self.cause}; no connection")

    def _send_fail_tick(self, now: float, _cause: str) -> None:
        self._retries_left -= 1
        if self._retries_left <= 0:
            self._down(now, self.cause)
        else:
            self.deadline = now + self.timing.ping_timeout_s

    def _waiting_tick(self, now: float, _cause: str) -> None:
        if self._pinged_at is None:  # UP or PROVING: the pause between two pings is over
            self._ping(now)
            self._wait_for_pong(now)
        elif self._heard_at > self._pinged_at:
            self._ping(now)
            self._wait_for_pong(now)
        elif self.timing.retries == 0:
            self._down(now, self._silence())
        else:
            self._retries_left = self.timing.retries - 1
            self._retry(now)
            self._enter(State.RETRYING, now, f"no answer within {self.timing.ping_timeout_s:g} s")

    def _retrying_tick(self, now: float, _cause: str) -> None:
        assert self._pinged_at is not None, "RETRYING always has a ping outstanding"
        if self._heard_at > self._pinged_at:
            self._retries_left = max(self._retries_left, 1)
            self._ping(now)
        elif self._retries_left == 0:
            self._down(now, self._silence())
            return
        else:
            self._retries_left -= 1
            self._retry(now)
        self._wait_for_pong(now)

    def _first_ping(self, now: float, cause: str) -> None:
        self._ping(now)
        self._enter(State.RESTARTED, now, cause)

    def _connection_lost(self, now: float, cause: str) -> None:
        self._enter(State.RESTART, now, cause)

    def _answered_up(self, now: float, _cause: str) -> None:
        hold = self._hold_s(now)
        if hold > 0:
            self._proved_at = now + hold
            self._enter(
                State.PROVING, now, f"flapped {len(self._went_down)} times: watched {hold:g} s"
            )
        else:
            self._enter(State.UP, now, "answers")

    def _answered_proving(self, now: float, _cause: str) -> None:
        if now >= self._proved_at:
            self._enter(State.UP, now, "answers steadily")
        else:
            self.deadline = now + self.timing.ping_timeout_s

    def _answered_again(self, now: float, _cause: str) -> None:
        self.deadline = now + self.timing.ping_interval_s

    def _down(self, now: float, cause: str) -> None:
        if self._was_up:
            self._went_down.append(now)
            self._was_up = False
        self._enter(State.DOWN, now, cause)
        if self._attached:
            self._effects.append(DropConnection(cause))

    # Parts of reactions ---------------------------------------------------------------------

    def _pinged(self, ping: Ping, now: float) -> list[Effect]:
        start, served = self._served
        if now - start >= 1.0:
            start, served = now, 0
        self._served = (start, served + 1)
        if served >= MAX_PINGS_PER_S:
            return [Count("W16")]
        self._effects.append(Send(Pong(self.cluster_id, ping.number)))
        return self._fire(Trigger.PINGED, now, "it pings")

    def _ponged(self, pong: Pong, now: float) -> list[Effect]:
        if pong.number != self._number or self._pinged_at is None:
            return [Count("L-1")]
        rtt = now - self._pinged_at
        if rtt >= self.timing.ping_timeout_s:
            return [Count("L-1")]  # only a life sign: too late to count as an answer
        self.rtt_s = rtt
        self._pinged_at = None
        for asker, number in sorted(self._questions.items()):
            self._effects.append(AnswerQuestion(asker, number))
        self._questions.clear()
        return self._fire(Trigger.ANSWERED, now, "")

    def _ping(self, now: float) -> None:
        self._number += 1
        self._pinged_at = now
        self._effects.append(Send(Ping(self.cluster_id, self._number)))

    def _retry(self, now: float) -> None:
        self._ping(now)
        if self._retries_left == 0:
            self._reached_by = []
            self._asked_number = self._number
            self._effects.append(AskOthers(self._number))

    def _wait_for_pong(self, now: float) -> None:
        self.deadline = now + self.timing.ping_timeout_s

    def _silence(self) -> str:
        tries = self.timing.retries + 1
        others = (
            f"but node {', '.join(map(str, self._reached_by))} reaches it: the path is broken"
            if self._reached_by
            else "and no other node said it reaches it"
        )
        return f"{tries} pings unanswered, {others}"

    def _hold_s(self, now: float) -> float:
        while self._went_down and now - self._went_down[0] > self.timing.flap_window_s:
            self._went_down.popleft()
        over = len(self._went_down) - FREE_FLAPS
        if over <= 0:
            return 0.0
        return min(
            self.timing.ping_timeout_s * 2.0 ** min(over - 1, 16), self.timing.node_timeout_s / 2
        )

    def _enter(self, state: State, now: float, cause: str) -> None:
        """The one place where the state changes: sets every field of the new state."""
        before, self.state = self.state, state
        self.cause = cause
        self.since = now
        self.deadline = {
            State.RESTART: now,
            State.DOWN: None,
            State.UP: now + self.timing.ping_interval_s,
        }.get(state, now + self.timing.ping_timeout_s)
        if state in (State.DOWN, State.UP):
            self._reached_by = []
        if state is State.DOWN:
            self._pinged_at = None
        self._was_up = self._was_up or state is State.UP
        self._effects.append(LinkChanged(before=before, after=state, cause=cause))

    def _flush(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects


_Reaction = Callable[[Link, float, str], None]
_ALIVE = tuple(state for state in State if state is not State.DOWN)

TABLE: Mapping[tuple[State, Trigger], _Reaction] = {
    (State.RESTART, Trigger.TICK): Link._restart_tick,
    (State.RETRY_SEND_FAIL, Trigger.TICK): Link._send_fail_tick,
    (State.RESTARTED, Trigger.TICK): Link._waiting_tick,
    (State.PROVING, Trigger.TICK): Link._waiting_tick,
    (State.UP, Trigger.TICK): Link._waiting_tick,
    (State.RETRYING, Trigger.TICK): Link._retrying_tick,
    (State.RESTARTED, Trigger.ANSWERED): Link._answered_up,
    (State.RETRYING, Trigger.ANSWERED): Link._answered_up,
    (State.PROVING, Trigger.ANSWERED): Link._answered_proving,
    (State.UP, Trigger.ANSWERED): Link._answered_again,
    (State.RESTART, Trigger.ATTACHED): Link._first_ping,
    (State.RETRY_SEND_FAIL, Trigger.ATTACHED): Link._first_ping,
    (State.DOWN, Trigger.ATTACHED): Link._first_ping,
    (State.DOWN, Trigger.PINGED): Link._first_ping,
    **{(state, Trigger.LOST): Link._connection_lost for state in _ALIVE},
    **{(state, Trigger.GONE): Link._down for state in _ALIVE},
}
"""The table at the top, for the machine. A pair that is not here changes nothing."""
