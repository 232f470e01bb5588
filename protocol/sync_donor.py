"""The donor's side of a sync session: sections in, numbered chunks out (S-20 … S-25, B6).

The theory. ``U`` = resume_timeout, ``P`` = sync_timeout.

============  ===================  ============================================================
state         trigger              reaction
============  ===================  ============================================================
ACCEPTED      START                it has none of the tags: refused → ABORTED (K-1)
ACCEPTED      START                SyncAnswer; keyed: AskSections → SNAPSHOTTING;
                                   else there is one section → SENDING
SNAPSHOTTING  SECTIONS             what differs is to be sent: SyncAnswer, with the estimate
                                   → SENDING
SENDING       ITEMS                to the cutter
SENDING       ACK                  what it covers is forgotten; asked to, send the rest again
SENDING       (after each of them) chunks while the window has room; ask for sections while less
                                   than a window waits; everything is cut: SyncEnd
SNAPSHOTTING  ACK                  the window is remembered
those two     REQUEST              the answer again
those two     STOP                 ``done`` → FINISHED, else → ABORTED
those two     RESTARTED            → ABORTED
those two     GONE, BACK           remembered
those two     TICK (P silence)     everything is acknowledged → FINISHED; else → ABORTED
those two     TICK (U unreachable) the same
those two     abort                SyncStop → ABORTED
those two     tags_changed         a tag that it serves left: SyncStop(tag_moved) → ABORTED (K-6)
============  ===================  ============================================================

No chunk is sent before the first ack, none beyond the window after it, and none twice unless
the joiner asks: so the donor needs no timer for resending, and what it keeps is bounded by a
window of chunks, a window of records not cut yet, and the sections it asked for last.

Sections are taken from the application one after the other, as they are then: what changes behind
them also goes out as messages, and records have versions. Their counts and digests are of what was
sent, not of what there was at the snapshot.

Why every session ends (I6): each ack that arrives is one that the joiner sent, and the joiner's
session ends; P after its last word the donor's does, even if SyncStop is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from .effects import Count, Effect
from .errors import Misuse
from .identity import NodeId
from .messages import (
    MAX_TAGS,
    MAX_TEXT_CHARS,
    Routed,
    Section,
    SyncAck,
    SyncAnswer,
    SyncChunk,
    SyncEnd,
    SyncRequest,
    SyncStop,
)
from .sync_pieces import checksum
from .sync_sections import Cutter, SectionKey, TagTotal, check_sections, grouped
from .sync_tenure import Moved, Tenure, totals_of
from .sync_words import (
    AskItems,
    AskSections,
    DonorState,
    DonorTrigger,
    Ended,
    Here,
    SendRouted,
    SyncSettings,
    Why,
)
from .tag_words import TagHere

_MESSAGES: Mapping[type[Routed], DonorTrigger] = {
    SyncRequest: DonorTrigger.REQUEST,
    SyncAck: DonorTrigger.ACK,
    SyncStop: DonorTrigger.STOP,
}
_RUNNING = (DonorState.SNAPSHOTTING, DonorState.SENDING)


class Donor:
    """The machine of one session; see the table above. Times are seconds of a monotonic clock."""

    def __init__(
        self,
        here: Here,
        request: SyncRequest,
        settings: SyncSettings,
        *,
        keyed: bool,
        version: int,
        position: int,
        tags: Sequence[TagHere] = (),
    ) -> None:
        """``version``: of the data; ``position``: see `CapabilityState.position`; ``tags``: those
        that somebody claimed, as they stand here."""
        self.request = request
        self.settings = settings
        self.state = DonorState.ACCEPTED
        self._keyed = keyed
        self._version = version
        self._position = position
        self._head = here.head(request.source)
        self._tenure = Tenure(request, tags)
        self._held: list[TagTotal] = []
        self._total = 0
        """Records to come, an estimate."""
        self._cutter = Cutter(settings.packet_bytes)
        self._to_ask: deque[tuple[SectionKey, ...]] = deque()
        self._asked: tuple[SectionKey, ...] = ()
        """The application was asked for these."""
        self._unacknowledged: deque[SyncChunk] = deque()
        """Those on their way, in the order of their numbers without a gap."""
        self._sent = 0
        """Chunks; also the number of the next one."""
        self._window = 0
        self._end: SyncEnd | None = None
        self._bytes = 0
        self._heard_at = 0.0
        self._unreachable_at: float | None = None
        self._effects: list[Effect] = []

    # What happens -------------------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Begin; once."""
        return self._fire(DonorTrigger.START, now, None)

    def receive(self, message: Routed, now: float) -> list[Effect]:
        """A joiner's message; what is not of this session is dropped and counted (S-20)."""
        trigger = _MESSAGES.get(type(message))
        if trigger is None:
            raise Misuse(f"a donor does not take {type(message).__name__}")
        if not self._owns(message) or (self.state, trigger) not in self.TABLE:
            return [Count("S-20")]
        return self._fire(trigger, now, message)

    def sections(self, sections: Sequence[Section], now: float) -> list[Effect]:
        """The application's answer to `AskSections`."""
        return self._fire(DonorTrigger.SECTIONS, now, sections)

    def items(
        self, records: Sequence[Sequence[bytes]], now: float, *, more: bool = False
    ) -> list[Effect]:
        """The application's answer to `AskItems`: the packed records of each section asked for.

        ``more``: the last one has more, ask again (plain capabilities).
        """
        return self._fire(DonorTrigger.ITEMS, now, (records, more))

    def joiner_changed(
        self, node_id: NodeId, *, reachable: bool, incarnation: int | None, now: float
    ) -> list[Effect]:
        """News of a node; only the joiner matters."""
        if node_id != self.request.source:
            return []
        if not reachable:
            return self._fire(DonorTrigger.GONE, now, None)
        same = incarnation == self.request.incarnation
        return self._fire(DonorTrigger.BACK if same else DonorTrigger.RESTARTED, now, None)

    def tags_changed(self, tags: Sequence[TagHere]) -> list[Effect]:
        """How the claimed tags stand here now: of one that left, nothing more is sent (K-6)."""
        moved = self._tenure.see(tags)
        if moved and self.state in _RUNNING:
            self._abort(Why.TAG_MOVED, f"{moved[0][0]} is no longer active here", moved)
        return self._flush()

    def abort(self, reason: str) -> list[Effect]:
        """I cannot be a donor any more: my capability left OK, or its code raised (`Why`)."""
        if self.state in _RUNNING:
            self._abort(reason, reason)
        return self._flush()

    @property
    def progress(self) -> tuple[int, int, int]:
        """(records sent, records there are to send, bytes sent); the second is an estimate."""
        return self._cutter.records, max(self._total, self._cutter.records), self._bytes

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called; None = never."""
        if self.state not in _RUNNING:
            return None
        patience = self._heard_at + self.settings.sync_timeout_s
        if self._unreachable_at is None:
            return patience
        return min(patience, self._unreachable_at + self.settings.resume_timeout_s)

    def tick(self, now: float) -> list[Effect]:
        """The deadline passed."""
        if self.deadline is None or now < self.deadline:
            return []
        return self._fire(DonorTrigger.TICK, now, None)

    # Reactions, one per row of the table ----------------------------------------------------

    def _fire(self, trigger: DonorTrigger, now: float, what: object) -> list[Effect]:
        reaction = self.TABLE.get((self.state, trigger))
        if reaction is not None:
            reaction(self, now, what)
        return self._flush()

    def _started(self, now: float, _nothing: None) -> None:
        self._heard_at = now
        if self.request.tags and not self._tenure.serves_any(self.request.tags):
            self._answer(now, None, Why.NOT_TAG_OWNER)
            self._over(DonorState.ABORTED, Why.NOT_TAG_OWNER)
            return
        self._answer(now, None)
        if self._keyed:
            self.state = DonorState.SNAPSHOTTING
            self._effects.append(AskSections(tuple(self.request.tags)))
        else:
            self.state = DonorState.SENDING
            self._to_ask.append((("", 0),))
            self._send_on()

    def _snapshot(self, now: float, sections: Sequence[Section]) -> None:
        try:
            check_sections(sections)
        except Misuse as misuse:
            self._abort(Why.DONOR_APPLICATION, str(misuse))
            return
        here = {(s.tag, s.bucket): s for s in sections if self._serves(s.tag, s.bucket)}
        there = {(section.tag, section.bucket): section for section in self.request.have}
        asked = [section for section in self.request.only if self._serves(*section)]
        differ = [key for key, section in here.items() if there.get(key) != section]
        gone = [key for key in there if key not in here and self._serves(*key)]
        sections_to_send = sorted(set(asked if self.request.only else [*differ, *gone]))
        counts = [here[key].count if key in here else 0 for key in sections_to_send]
        self._held = totals_of(sections, self._tenure.served)
        if len({tag for tag, _ in sections_to_send}) > MAX_TAGS:
            self._abort(Why.TOO_MANY_TAGS, f"more than {MAX_TAGS} tags differ")
            return
        self._total = sum(counts)
        self._to_ask = grouped(sections_to_send, counts)
        self.state = DonorState.SENDING
        self._answer(now, None)
        self._send_on()

    def _items(self, _now: float, answer: tuple[Sequence[Sequence[bytes]], bool]) -> None:
        (records, more), asked = answer, self._asked
        if not asked:
            return  # nobody asked
        assert len(records) == len(asked), "one list for each section asked for"
        self._asked = ()
        if more:
            self._to_ask.appendleft(asked[-1:])
        try:
            for section, items in zip(asked, records, strict=True):
                closes = section != asked[-1] or not more
                self._cutter.add(section, items, closes=closes)
        except Misuse as misuse:
            self._abort(Why.DONOR_APPLICATION, str(misuse))
            return
        self._send_on()

    def _acked(self, now: float, ack: SyncAck) -> None:
        first = self._sent - len(self._unacknowledged)
        self._heard_at = now
        if not first <= ack.next <= self._sent:
            self._effects.append(Count("S-24 ack"))  # late, or of chunks that there are not
            return
        for _ in range(first, ack.next):
            self._unacknowledged.popleft()
        self._window = ack.window
        if ack.resend:
            self._effects += [SendRouted(chunk) for chunk in self._unacknowledged]
            self._effects += [SendRouted(self._end)] if self._end is not None else []
        self._send_on()

    def _remember_window(self, now: float, ack: SyncAck) -> None:
        self._heard_at = now
        self._window = ack.window

    def _answer(self, _now: float, _request: SyncRequest | None, refusal: str = "") -> None:
        unserved = self._tenure.unserved
        lost = {tag for tag, _ in unserved}
        answer = SyncAnswer(
            *self._head,
            self.request.session,
            refusal,
            self._total,
            self._version,
            [tag for tag in self.request.tags if tag not in lost],
            self._position,
            unserved,
            self._held,
        )
        self._effects.append(SendRouted(answer))

    def _stopped(self, _now: float, stop: SyncStop) -> None:
        done = stop.reason == Why.DONE
        self._over(DonorState.FINISHED if done else DonorState.ABORTED, stop.reason)

    def _restarted(self, _now: float, _nothing: None) -> None:
        self._over(DonorState.ABORTED, Why.RESTARTED)

    def _gone(self, now: float, _nothing: None) -> None:
        if self._unreachable_at is None:
            self._unreachable_at = now

    def _back(self, _now: float, _nothing: None) -> None:
        self._unreachable_at = None

    def _silent(self, _now: float, _nothing: None) -> None:
        if self._end is not None and not self._unacknowledged:
            self._over(DonorState.FINISHED, Why.DONE)  # its last word was lost
        else:
            reason = Why.TIMEOUT if self._unreachable_at is None else Why.UNREACHABLE
            self._over(DonorState.ABORTED, reason)

    # Parts of reactions ---------------------------------------------------------------------

    def _owns(self, message: Any) -> bool:
        return bool(
            message.session == self.request.session
            and message.source == self.request.source
            and message.incarnation == self.request.incarnation
        )

    def _serves(self, tag: str, bucket: int) -> bool:
        tags, buckets = self.request.tags, self.request.buckets
        wanted = (not tags or tag in tags) and (not buckets or bucket in buckets)
        return wanted and self._tenure.serves(tag)

    def _send_on(self) -> None:
        """Whatever may be done now: chunks, the next question to the application, the end."""
        while len(self._unacknowledged) < self._window:
            nothing_to_come = not self._to_ask and not self._asked
            idle = not self._unacknowledged  # better a small chunk than none
            pieces = self._cutter.cut(flush=nothing_to_come or idle)
            if pieces is None:
                break
            self._send_chunk(pieces)
        wanted_bytes = self.settings.window_chunks * self.settings.packet_bytes
        if self._to_ask and not self._asked and self._cutter.waiting_bytes < wanted_bytes:
            self._asked = self._to_ask.popleft()
            self._effects.append(AskItems(self._asked))
        all_cut = not self._to_ask and not self._asked and not self._cutter.waiting_bytes
        if all_cut and self._end is None:
            totals = self._cutter.totals.listed()
            self._end = SyncEnd(*self._head, self.request.session, self._sent, totals)
            self._effects.append(SendRouted(self._end))

    def _send_chunk(self, pieces: bytes) -> None:
        session = self.request.session
        chunk = SyncChunk(*self._head, session, self._sent, checksum(pieces), pieces)
        self._sent += 1
        self._bytes += len(pieces)
        self._unacknowledged.append(chunk)
        self._effects.append(SendRouted(chunk))

    def _abort(self, reason: str, detail: str, moved: Moved = ()) -> None:
        reason = reason[:MAX_TEXT_CHARS]
        stop = SyncStop(*self._head, self.request.session, reason, list(moved))
        self._effects.append(SendRouted(stop))
        self._over(DonorState.ABORTED, detail)

    def _over(self, state: DonorState, reason: str) -> None:
        """The one place where it ends; nothing is kept."""
        self.state = state
        self._unacknowledged.clear()
        ok = state is DonorState.FINISHED
        records = self._cutter.records
        self._cutter = Cutter(self.settings.packet_bytes)
        self._effects.append(Ended(ok=ok, reason=reason, records=records, bytes=self._bytes))

    def _flush(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    TABLE: ClassVar[
        Mapping[tuple[DonorState, DonorTrigger], Callable[[Donor, float, Any], None]]
    ] = {
        (DonorState.ACCEPTED, DonorTrigger.START): _started,
        (DonorState.SNAPSHOTTING, DonorTrigger.SECTIONS): _snapshot,
        (DonorState.SNAPSHOTTING, DonorTrigger.ACK): _remember_window,
        (DonorState.SENDING, DonorTrigger.ITEMS): _items,
        (DonorState.SENDING, DonorTrigger.ACK): _acked,
        **dict.fromkeys([(s, DonorTrigger.REQUEST) for s in _RUNNING], _answer),
        **dict.fromkeys([(s, DonorTrigger.STOP) for s in _RUNNING], _stopped),
        **dict.fromkeys([(s, DonorTrigger.RESTARTED) for s in _RUNNING], _restarted),
        **dict.fromkeys([(s, DonorTrigger.GONE) for s in _RUNNING], _gone),
        **dict.fromkeys([(s, DonorTrigger.BACK) for s in _RUNNING], _back),
        **dict.fromkeys([(s, DonorTrigger.TICK) for s in _RUNNING], _silent),
    }
    """The table at the top, for the machine. Messages of no row are counted, news is ignored."""
