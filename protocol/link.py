"""The link: can I exchange messages directly with that neighbour? (behaviour 1.7, L-1 … L-5)

One object per (cluster, other node). It is told when the connection with that node comes and goes,
what arrives on it and what time it is; it answers with pings, pongs and changes of state.

The theory. ``R`` = configured retries, ``c`` = retries left, ``T`` = ping_timeout, ``P`` =
ping_interval. There is a connection in RESTARTED, RETRYING, PROVING and UP, and in no other state:
"sending a ping fails" of the original is "there is no connection" here.

=====================  ==================  ======================================================
state                  trigger             reaction
=====================  ==================  ======================================================
RESTART                TICK (at once)      R = 0 → DOWN; else c = R → RETRY_SEND_FAIL
RETRY_SEND_FAIL        TICK (each T)       c − 1; c = 0 → DOWN
RESTARTED, PROVING     TICK (unanswered T) R = 0 → DOWN; else ping, c = R − 1 → RETRYING
UP                     TICK (unanswered T) the same
UP                     TICK (P passed)     ping
PROVING                TICK (T passed)     ping
RETRYING               TICK (unanswered T) c > 0: ping, c − 1; c = 0 → DOWN
RESTARTED, RETRYING    ANSWERED            → UP, or → PROVING while flaps are damped
PROVING                ANSWERED            proved long enough → UP
UP                     ANSWERED            next ping after P
no connection          ATTACHED            ping → RESTARTED
connection             LOST                → RESTART (its tick follows at once)
any but DOWN           GONE                → DOWN
DOWN                   GONE                the cause shown is the new one
=====================  ==================  ======================================================

From the last life sign to DOWN it takes at most P + (R + 1)·T; without a connection R·T.

Where we differ from the original (R itself never changes: row 2 of 1.23):

* Each ping has a number that its pong repeats, so no pong is matched with another ping (L-1).
  TEMP, which guessed, is gone.
* Whatever arrives is a life sign: a tick that finds one since the last ping asks again and counts
  nothing; in RETRYING all retries but the one just sent are there again (L-2).
* With the last retry the neighbours are asked whether they reach the node (L-3); their answers
  name the cause. A tick that comes late by more than T / 2 gives no verdict: this process was
  stalled, not the others.
* DOWN for silence gives the connection up (H22). Dialling again is the business of `peering`, and
  whoever dials, the new connection restarts the link (L-5): no message can arrive in DOWN, so the
  original's "PING in DOWN" is not needed. A node whose host says that nobody listens is GONE at
  once, without counting retries.
* A link that went DOWN often within ``flap_window`` is kept in PROVING for a while, pinged every
  T, before it is UP (L-4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from .because import Because, Cause, because, reworded
from .damping import Flaps, PerSecond
from .effects import Count, Effect, Send
from .errors import Misuse
from .histogram import Histogram
from .identity import ClusterId, NodeId
from .link_words import (
    CONNECTED,
    UNCONNECTED,
    AnswerQuestion,
    AskOthers,
    CauseChanged,
    DropConnection,
    LinkChanged,
    State,
    Timing,
    Trigger,
)
from .messages import Message, Ping, Pong, ProbeAnswer

__all__ = [
    "MAX_PINGS_PER_S",
    "AnswerQuestion",
    "AskOthers",
    "CauseChanged",
    "DropConnection",
    "Link",
    "LinkChanged",
    "State",
    "Timing",
    "Trigger",
]

MAX_PINGS_PER_S = 1000
"""Pings answered per second and link; more are dropped (W16)."""


class Link:
    """The machine of one link; see the table above. Times are seconds of a monotonic clock."""

    def __init__(self, cluster_id: ClusterId, peer: NodeId, timing: Timing, now: float) -> None:
        self.cluster_id = cluster_id
        self.peer = peer
        self.timing = timing
        self.state = State.RESTART
        self.since = now
        self.cause = because("not tried yet", Cause.NOT_TRIED)
        self.deadline: float | None = now
        """When `tick` wants to be called; None = only messages can change anything."""
        self.incarnation: int | None = None
        self.rtt_s: float | None = None
        self.rtts = Histogram()
        self._number = 0
        self._pinged_at: float | None = None
        """When the outstanding ping was sent; None = none is outstanding."""
        self._heard_at = now
        self._retries_left = 0
        self._asked_number: int | None = None
        """Number of our open question to the neighbours; None = there is none."""
        self._reached_by: list[NodeId] = []
        self._questions: dict[NodeId, int] = {}
        """Neighbours that asked us to probe the peer, with their numbers (L-3)."""
        self._was_up = False
        self._flaps = Flaps(
            window_s=timing.flap_window_s,
            first_s=timing.ping_timeout_s,
            cap_s=timing.node_timeout_s / 2,
        )
        self._proved_at = now
        self._pings = PerSecond(MAX_PINGS_PER_S)
        self._effects: list[Effect] = []

    # What happens -------------------------------------------------------------------------

    def attached(self, incarnation: int, now: float) -> list[Effect]:
        """A connection with the peer is up (both sides said WELCOME).

        Told twice of the same (it asked while the news was on its way) a link does nothing;
        `Misuse` when another process takes over a connection whose end was not told.
        """
        if self.state.connected and incarnation == self.incarnation:
            return []
        if self.state.connected:
            raise Misuse(f"link with node {self.peer} is attached already, to another process")
        if incarnation != self.incarnation:
            self._flaps.forget()  # a process that was started anew is not a path that flaps
            self._was_up = False
        self.incarnation = incarnation
        self._heard_at = now
        return self._fire(Trigger.ATTACHED, now, because("connected", Cause.CONNECTED))

    def lost(self, cause: str, now: float) -> list[Effect]:
        """The connection ended. Nothing when this link has given it up already."""
        lost = because(cause, Cause.CONNECTION_LOST)
        return self._fire(Trigger.LOST, now, lost) if self.state.connected else []

    def gone(self, cause: str, now: float) -> list[Effect]:
        """There is proof that the peer cannot be had now: nobody listens, or it was refused."""
        return self._fire(Trigger.GONE, now, because(cause, Cause.NOBODY_LISTENS))

    def heard(self, at: float) -> list[Effect]:
        """Something arrived from the peer at that time: a sign of life (L-2)."""
        self._heard_at = max(self._heard_at, at)
        return []

    def receive(self, message: Message, now: float) -> list[Effect]:
        """A ping or pong of this link; `Misuse` for anything else."""
        if not isinstance(message, Ping | Pong):
            raise Misuse(f"a link does not take {type(message).__name__}")
        if not self.state.connected:
            return [Count("late")]  # of a connection that was given up
        self._heard_at = now
        if isinstance(message, Ping):
            return self._pinged(message, now)
        return self._ponged(message, now)

    def asked(self, asker: NodeId, number: int, now: float) -> list[Effect]:
        """``asker`` wants to know whether we reach the peer: answer when a ping is answered.

        A ping that is outstanding serves; so however often is asked, one ping at a time is out.
        """
        if not self.state.connected:
            return [Count("L-3")]
        self._questions[asker] = number
        if self._pinged_at is None:
            self._ask(now)
        return self._flush()

    def answered(self, helper: NodeId, answer: ProbeAnswer) -> list[Effect]:
        """A neighbour's word about the peer; it names the cause should the link go down (L-3)."""
        wanted = answer.number == self._asked_number and helper not in self._reached_by
        if not (wanted and answer.reached):
            return [Count("L-3")]
        self._reached_by.append(helper)
        return []

    def tick(self, now: float) -> list[Effect]:
        """The deadline passed."""
        if self.deadline is None or now < self.deadline:
            return []
        late = now - self.deadline > self.timing.ping_timeout_s / 2
        if late and self.state is not State.RESTART:
            self._repeat_round(now)
            return [Count("L-3 late"), *self._flush()]
        return self._fire(Trigger.TICK, now, self.cause)

    # Reactions, one per row of the table ----------------------------------------------------

    def _fire(self, trigger: Trigger, now: float, cause: Because) -> list[Effect]:
        self.TABLE[self.state, trigger](self, now, cause)
        return self._flush()

    def _restart_tick(self, now: float, before: Because) -> None:
        cause = reworded(before, f"{before}; no connection")
        if self.timing.retries == 0:
            self._enter(State.DOWN, now, cause)
        else:
            self._retries_left = self.timing.retries
            self._enter(State.RETRY_SEND_FAIL, now, cause)

    def _send_fail_tick(self, now: float, _cause: Because) -> None:
        self._retries_left -= 1
        if self._retries_left == 0:
            self._enter(State.DOWN, now, self.cause)
        else:
            self.deadline = now + self.timing.ping_timeout_s

    def _waiting_tick(self, now: float, _cause: Because) -> None:
        if not self._unanswered():
            self._ask(now)
        elif self.timing.retries == 0:
            self._give_up(now)
        else:
            self._retries_left = self.timing.retries - 1
            late = f"no answer within {self.timing.ping_timeout_s:g} s"
            self._enter(State.RETRYING, now, because(late, Cause.NO_ANSWER))
            self._retry(now)

    def _retrying_tick(self, now: float, _cause: Because) -> None:
        if not self._unanswered():
            self._retries_left = self.timing.retries - 1
            self._retry(now)
        elif self._retries_left == 0:
            self._give_up(now)
        else:
            self._retries_left -= 1
            self._retry(now)

    def _first_ping(self, now: float, cause: Because) -> None:
        self._enter(State.RESTARTED, now, cause)
        self._ask(now)

    def _connection_lost(self, now: float, cause: Because) -> None:
        self._enter(State.RESTART, now, cause)

    def _cannot_be_had(self, now: float, cause: Because) -> None:
        self._enter(State.DOWN, now, cause)

    def _still_gone(self, _now: float, cause: Because) -> None:
        left = self.cause.code == Cause.LEFT and cause.code == Cause.NOBODY_LISTENS
        if cause != self.cause and not left:  # of course nobody listens there
            self.cause = cause
            self._effects.append(CauseChanged(cause))

    def _answered_first(self, now: float, _cause: Because) -> None:
        hold = self._flaps.hold_s(now)
        if hold > 0:
            self._proved_at = now + hold
            flaps = self._flaps.count(now)
            text = f"flapped {flaps} times: watched for {hold:g} s"
            self._enter(State.PROVING, now, because(text, Cause.FLAPPING))
        else:
            self._enter(State.UP, now, because("answers", Cause.ANSWERS))

    def _answered_proving(self, now: float, _cause: Because) -> None:
        if now >= self._proved_at:
            self._enter(State.UP, now, because("answers steadily", Cause.ANSWERS))
        else:
            self.deadline = now + self.timing.ping_timeout_s

    def _answered_up(self, now: float, _cause: Because) -> None:
        self.deadline = now + self.timing.ping_interval_s

    # Parts of reactions ---------------------------------------------------------------------

    def _pinged(self, ping: Ping, now: float) -> list[Effect]:
        if not self._pings.allows(now):
            return [Count("W16")]
        return [Send(Pong(self.cluster_id, ping.number))]

    def _ponged(self, pong: Pong, now: float) -> list[Effect]:
        if pong.number != self._number or self._pinged_at is None:
            return [Count("L-1")]
        rtt = now - self._pinged_at
        if rtt >= self.timing.ping_timeout_s:
            return [Count("L-1")]  # only a life sign: too late to count as an answer
        self.rtt_s = rtt
        self.rtts.add(rtt)
        self._pinged_at = None
        answers = [AnswerQuestion(asker, n) for asker, n in sorted(self._questions.items())]
        self._questions.clear()
        return [*answers, *self._fire(Trigger.ANSWERED, now, self.cause)]

    def _unanswered(self) -> bool:
        """A ping is outstanding and nothing arrived since."""
        return self._pinged_at is not None and self._heard_at <= self._pinged_at

    def _ask(self, now: float) -> None:
        """Send a ping and give it a ping_timeout."""
        self._number += 1
        self._pinged_at = now
        self.deadline = now + self.timing.ping_timeout_s
        self._effects.append(Send(Ping(self.cluster_id, self._number)))

    def _retry(self, now: float) -> None:
        """Ping once more in RETRYING; with the last one the neighbours are asked too."""
        self._ask(now)
        if self._retries_left == 0:
            self._reached_by = []
            self._asked_number = self._number
            self._effects.append(AskOthers(self._number))

    def _repeat_round(self, now: float) -> None:
        """A void round: ask again, count nothing; nobody else is to blame (L-3)."""
        if self.state is State.RETRYING:
            self._retry(now)
        elif self.state.connected:
            self._ask(now)
        else:
            self.deadline = now + self.timing.ping_timeout_s

    def _give_up(self, now: float) -> None:
        """The peer is silent: DOWN, and away with the connection."""
        tries = self.timing.retries + 1
        text, code = f"{tries} {'ping' if tries == 1 else 'pings'} unanswered", Cause.SILENT
        if self._reached_by:
            helpers = ", ".join(f"node {n}" for n in sorted(self._reached_by))
            text += f", but reached by {helpers}: the path is broken"
            code = Cause.PATH_BROKEN
        elif self._asked_number is not None:
            text += ", and no other node said it reaches it"
        cause = because(text, code)
        self._enter(State.DOWN, now, cause)
        self._effects.append(DropConnection(cause))

    def _enter(self, state: State, now: float, cause: Because) -> None:
        """The one place where the state changes: sets every field of the new state."""
        before, self.state = self.state, state
        self.cause = cause
        self.since = now
        self.deadline = {
            State.RESTART: now,
            State.DOWN: None,
            State.UP: now + self.timing.ping_interval_s,
        }.get(state, now + self.timing.ping_timeout_s)
        self._asked_number = None
        self._reached_by = []
        if not state.connected:
            self._pinged_at = None
            self._questions.clear()
        if state is State.DOWN and self._was_up:
            self._flaps.note(now)
        self._was_up = state is State.UP or (self._was_up and state is not State.DOWN)
        self._effects.append(LinkChanged(before=before, after=state, cause=cause))

    def _flush(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    TABLE: ClassVar[Mapping[tuple[State, Trigger], Callable[[Link, float, Because], None]]] = {
        (State.RESTART, Trigger.TICK): _restart_tick,
        (State.RETRY_SEND_FAIL, Trigger.TICK): _send_fail_tick,
        (State.RESTARTED, Trigger.TICK): _waiting_tick,
        (State.PROVING, Trigger.TICK): _waiting_tick,
        (State.UP, Trigger.TICK): _waiting_tick,
        (State.RETRYING, Trigger.TICK): _retrying_tick,
        (State.RESTARTED, Trigger.ANSWERED): _answered_first,
        (State.RETRYING, Trigger.ANSWERED): _answered_first,
        (State.PROVING, Trigger.ANSWERED): _answered_proving,
        (State.UP, Trigger.ANSWERED): _answered_up,
        **dict.fromkeys([(s, Trigger.ATTACHED) for s in UNCONNECTED], _first_ping),
        **dict.fromkeys([(s, Trigger.LOST) for s in CONNECTED], _connection_lost),
        **dict.fromkeys([(s, Trigger.GONE) for s in State if s is not State.DOWN], _cannot_be_had),
        (State.DOWN, Trigger.GONE): _still_gone,
    }
    """The table at the top, for the machine. No other pair can happen."""
