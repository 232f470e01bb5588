"""One session of a joiner with one donor: from the request to the last chunk taken (S-20 … S-24).

The theory. ``Q`` = request_timeout, ``U`` = resume_timeout, ``P`` = sync_timeout. What follows
COMPLETE, LOST (this donor is given up) and STUCK (our own application is) stands in `sync_joiner`.

=========  ====================  ===============================================================
state      trigger               reaction
=========  ====================  ===============================================================
REQUESTED  ANSWER                accepted: SyncAck(0) → RECEIVING; refused → LOST
REQUESTED  BACK                  the request again
REQUESTED  TICK (Q/2; Q)         the request again; → LOST
RECEIVING  ANSWER                again, with the donor's estimate
RECEIVING  CHUNK                 the next one: Apply; others are dropped, a gap is asked for
RECEIVING  TAKEN                 SyncAck; the last one → COMPLETE
RECEIVING  END                   kept; all taken → COMPLETE
RECEIVING  BACK                  SyncAck(resend): resume at the first missing chunk
RECEIVING  TICK (silent for Q)   SyncAck(resend); then after 2·Q, 4·Q, … of silence
RECEIVING  TICK (U unreachable)  → LOST
RECEIVING  TICK (P no progress)  → LOST; → STUCK when chunks came that nobody takes
both       RESTARTED, STOP       → LOST
both       GONE                  remembered, until BACK
=========  ====================  ===============================================================

SyncAck says what the application has taken, so chunks that are neither acknowledged nor new are
few (the window), and it is the only thing that makes the donor send: whatever is lost, the answer,
a chunk, an ack or the end, silence follows, and SyncAck(resend) after Q heals it. (The pauses grow:
on a line so slow that a chunk takes longer than Q, asking makes it slower.) Chunks are taken in the
order of their numbers, so a number is taken once, and with finitely many numbers and at most P
without progress between two of them every try ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from .effects import Count, Effect
from .errors import Misuse, PeerViolation
from .messages import (
    MAX_TEXT_CHARS,
    Routed,
    SyncAck,
    SyncAnswer,
    SyncChunk,
    SyncEnd,
    SyncRequest,
    SyncStop,
)
from .sync_extras import Extras
from .sync_pieces import checksum, decode_chunk
from .sync_sections import SectionKey, Tally
from .sync_words import (
    Apply,
    Candidate,
    Here,
    SendRouted,
    SyncSettings,
    TryState,
    TryTrigger,
    Why,
)

_MESSAGES: Mapping[type[Routed], TryTrigger] = {
    SyncAnswer: TryTrigger.ANSWER,
    SyncChunk: TryTrigger.CHUNK,
    SyncEnd: TryTrigger.END,
    SyncStop: TryTrigger.STOP,
}
_RUNNING = (TryState.REQUESTED, TryState.RECEIVING)


class Try:
    """The machine of one session; see the table above. Times are seconds of a monotonic clock."""

    def __init__(
        self,
        here: Here,
        settings: SyncSettings,
        donor: Candidate,
        request: SyncRequest,
        extras: Extras | None,
        now: float,
        covers: Callable[[str], bool] = lambda _tag: True,
    ) -> None:
        """``extras`` hears of the records that come, when somebody wants to mirror. Records whose
        tags are not covered are not taken, whatever the donor sends (K-1)."""
        self.settings = settings
        self.donor = donor
        self.request = request
        self.state = TryState.REQUESTED
        self.reason = ""
        """Why the donor was given up."""
        self.moved: tuple[str, ...] = ()
        """With the reason `Why.TAG_MOVED`: the tags that the donor does not have any more."""
        self._covers = covers
        self.told = False
        """The donor knows, or cannot know, that the session is over."""
        self.answer: SyncAnswer | None = None
        self.tally = Tally()
        self.bytes = 0
        self._head = here.head(donor.node_id)
        self._extras = extras
        self._received = 0
        """Chunks accepted."""
        self._taken = 0
        """Chunks that the application has taken."""
        self._end: SyncEnd | None = None
        self._asked_again = False
        """The next chunk was asked for when another one came in its place."""
        self._ask_at = now + settings.request_timeout_s / 2
        """When silence has lasted long enough to ask again."""
        self._pause_s = settings.request_timeout_s
        """Silence after which to ask the next time."""
        self._progress_at = now
        self._unreachable_at: float | None = None
        self._effects: list[Effect] = []

    # What happens -------------------------------------------------------------------------

    def start(self) -> list[Effect]:
        """Begin; once."""
        return [SendRouted(self.request)]

    def receive(self, message: Routed, now: float) -> list[Effect]:
        """A message of the donor; what is not of this session is dropped and counted (S-20)."""
        trigger = _MESSAGES.get(type(message))
        if trigger is None:
            raise Misuse(f"a joiner does not take {type(message).__name__}")
        if not self._owns(message) or (self.state, trigger) not in self.TABLE:
            return [Count("S-20")]
        return self._fire(trigger, now, message)

    def applied(self, session: int, number: int, refused: int, now: float) -> list[Effect]:
        """The application took the chunk, but for so many records."""
        if (session, number) != (self.counter, self._taken) or number == self._received:
            return []  # of a session before this one
        return self._fire(TryTrigger.TAKEN, now, refused)

    def donor_changed(
        self, *, reachable: bool, incarnation: int | None, now: float
    ) -> list[Effect]:
        """The donor's node can be reached, in this life, or cannot. May be told again and again."""
        if not reachable:
            return self._fire(TryTrigger.GONE, now, None)
        if incarnation != self.donor.incarnation:
            return self._fire(TryTrigger.RESTARTED, now, None)
        return self._fire(TryTrigger.BACK, now, None) if self._unreachable_at is not None else []

    def tick(self, now: float) -> list[Effect]:
        """The deadline passed."""
        if self.state.over or now < self.deadline:
            return []
        return self._fire(TryTrigger.TICK, now, None)

    # What others want to know ----------------------------------------------------------------

    @property
    def counter(self) -> int:
        """Number of the session."""
        return self.request.session.counter

    @property
    def deadline(self) -> float:
        """When `tick` wants to be called."""
        if self.state is TryState.REQUESTED:
            return self._ask_at
        patience = self._progress_at + self.settings.sync_timeout_s
        if self._unreachable_at is not None:
            return min(patience, self._unreachable_at + self.settings.resume_timeout_s)
        if self._taken < self._received:
            return patience  # it is not the donor that is silent
        return min(patience, self._ask_at)

    @property
    def missing(self) -> list[SectionKey] | None:
        """The sections that differ from what the donor sent (S-25); None = nobody knows which."""
        whole = self._end is not None and self.tally.complete(self._end.tags)
        return self.tally.failed if whole else None

    def serves(self, tag: str) -> bool:
        """The donor speaks for this tag: it serves all, or this one among others."""
        answer = self.answer
        if not self._covers(tag) or (answer and tag in dict(answer.unserved)):
            return False
        served = answer.tags if answer is not None else []
        return tag in served if served or self.request.tags else True

    def stop(self, reason: str) -> list[Effect]:
        """The session is over for us: tell the donor, unless it knows."""
        if self.told:
            return []
        self.told = True
        word = reason[:MAX_TEXT_CHARS]
        return [SendRouted(SyncStop(*self._head, self.request.session, word))]

    # Reactions, one per row of the table ----------------------------------------------------

    def _fire(self, trigger: TryTrigger, now: float, what: object) -> list[Effect]:
        reaction = self.TABLE.get((self.state, trigger))
        if reaction is not None:
            reaction(self, now, what)
        effects, self._effects = self._effects, []
        return effects

    def _repeat(self, _now: float, _nothing: None) -> None:
        self._unreachable_at = None
        self._effects.append(SendRouted(self.request))

    def _requested_tick(self, now: float, _nothing: None) -> None:
        last = self._progress_at + self.settings.request_timeout_s
        if now >= last:
            self._lose(Why.TIMEOUT)
        else:
            self._ask_at = last
            self._effects.append(SendRouted(self.request))

    def _answered(self, now: float, answer: SyncAnswer) -> None:
        if answer.refusal:
            self.told = True
            self._lose(answer.refusal)
        elif not self.request.version_min <= answer.version <= self.request.version_max:
            self._lose(Why.VERSION)
        else:
            self.answer = answer
            self.state = TryState.RECEIVING
            self._progressed(now)
            self._acknowledge(now)

    def _answered_again(self, _now: float, answer: SyncAnswer) -> None:
        if not answer.refusal:
            self.answer = answer

    def _chunk(self, now: float, chunk: SyncChunk) -> None:
        if chunk.number < self._received:
            self._effects.append(Count("S-24 duplicate"))
        elif self._received - self._taken >= self.settings.window_chunks:
            self._effects.append(Count("S-24 window"))
        elif chunk.number > self._received:
            self._out_of_place(now, "S-24 gap")
        elif checksum(chunk.pieces) != chunk.checksum:
            self._out_of_place(now, "S-24 checksum")
        else:
            self._next_chunk(now, chunk)

    def _chunk_taken(self, now: float, refused: int) -> None:
        self._taken += 1
        self._progressed(now)
        if self._extras is not None:
            self._extras.taken(refused)
        self._acknowledge(now)
        self._complete_if_all_taken()

    def _ended(self, now: float, end: SyncEnd) -> None:
        if end.chunks < self._received or (self._end is not None and self._end != end):
            self._lose(Why.MALFORMED)
        elif self._end is None:
            self._end = end
            self._progressed(now)
            self._complete_if_all_taken()

    def _stopped(self, _now: float, stop: SyncStop) -> None:
        self.told = True
        self.moved = tuple(tag for tag, _ in stop.moved)
        self._lose(stop.reason or Why.MALFORMED)

    def _restarted(self, _now: float, _nothing: None) -> None:
        self.told = True
        self._lose(Why.RESTARTED)

    def _gone(self, now: float, _nothing: None) -> None:
        if self._unreachable_at is None:
            self._unreachable_at = now

    def _back(self, now: float, _nothing: None) -> None:
        self._unreachable_at = None
        self._acknowledge(now, resend=True)

    def _receiving_tick(self, now: float, _nothing: None) -> None:
        gone = self._unreachable_at
        if gone is not None and now >= gone + self.settings.resume_timeout_s:
            self._lose(Why.UNREACHABLE)
        elif now < self._progress_at + self.settings.sync_timeout_s:
            self._pause_s *= 2
            self._acknowledge(now, resend=True)
        else:
            stuck = self._taken < self._received
            self._lose(Why.TIMEOUT, TryState.STUCK if stuck else TryState.LOST)

    # Parts of reactions ---------------------------------------------------------------------

    def _owns(self, message: Any) -> bool:
        return bool(
            message.session == self.request.session
            and message.source == self.donor.node_id
            and message.incarnation == self.donor.incarnation
        )

    def _out_of_place(self, now: float, rule: str) -> None:
        self._effects.append(Count(rule))
        if not self._asked_again:
            self._asked_again = True
            self._acknowledge(now, resend=True)

    def _next_chunk(self, now: float, chunk: SyncChunk) -> None:
        try:
            pieces = [(piece, self.tally.take(piece)) for piece in decode_chunk(chunk.pieces)]
        except PeerViolation:
            self._lose(Why.MALFORMED)
            return
        self._received += 1
        self.bytes += len(chunk.pieces)
        self._progressed(now)
        self._asked_again = False
        wanted = [pair for pair in pieces if self._covers(pair[0].tag)]
        if len(wanted) < len(pieces):
            self._effects.append(Count("K-1"))
            pieces = wanted
        self._effects.append(Apply(self.counter, chunk.number, [piece for piece, _ in pieces]))
        if self._extras is not None:
            self._effects += self._extras.came(self.counter, pieces)

    def _progressed(self, now: float) -> None:
        self._progress_at = now
        self._pause_s = self.settings.request_timeout_s
        self._ask_at = now + self._pause_s

    def _acknowledge(self, now: float, *, resend: bool = False) -> None:
        self._ask_at = now + self._pause_s
        session, window = self.request.session, self.settings.window_chunks
        ack = SyncAck(*self._head, session, self._taken, window, resend)
        self._effects.append(SendRouted(ack))

    def _complete_if_all_taken(self) -> None:
        if self._end is not None and self._end.chunks == self._received == self._taken:
            self.state = TryState.COMPLETE

    def _lose(self, reason: str, state: TryState = TryState.LOST) -> None:
        self.state = state
        self.reason = reason

    TABLE: ClassVar[Mapping[tuple[TryState, TryTrigger], Callable[[Try, float, Any], None]]] = {
        (TryState.REQUESTED, TryTrigger.ANSWER): _answered,
        (TryState.REQUESTED, TryTrigger.BACK): _repeat,
        (TryState.REQUESTED, TryTrigger.TICK): _requested_tick,
        (TryState.RECEIVING, TryTrigger.ANSWER): _answered_again,
        (TryState.RECEIVING, TryTrigger.CHUNK): _chunk,
        (TryState.RECEIVING, TryTrigger.TAKEN): _chunk_taken,
        (TryState.RECEIVING, TryTrigger.END): _ended,
        (TryState.RECEIVING, TryTrigger.BACK): _back,
        (TryState.RECEIVING, TryTrigger.TICK): _receiving_tick,
        **dict.fromkeys([(s, TryTrigger.RESTARTED) for s in _RUNNING], _restarted),
        **dict.fromkeys([(s, TryTrigger.STOP) for s in _RUNNING], _stopped),
        **dict.fromkeys([(s, TryTrigger.GONE) for s in _RUNNING], _gone),
    }
    """The table at the top, for the machine. Messages of no row are counted, news is ignored."""
