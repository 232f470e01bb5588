"""Streams: one node's messages of a capability to another node, in order (R-9).

`OutStream` at the source, one per (destination, capability), lets messages wait, joins them to
batches and numbers them; `InStream` at the destination, one per (source, capability), tells what
of a batch may be delivered. The nodes on the way keep nothing. While routes change, batches may be
lost and may overtake each other; connections neither repeat nor reorder.

The theory. Messages of a stream are numbered from 0 without a gap. The receiver keeps one number,
``next``: it takes a batch only from there on and moves on past its end. What lies below came
already, or was overtaken by what was delivered since: it is dropped. So nothing is ever delivered
twice or out of order, whatever arrives.

* At most once: what is sent is forgotten. A batch that begins above ``next`` shows that those
  between are lost or late; they are counted, and the batch is taken.
* Reliable (go-back-N): what is sent is kept until `Taken` acknowledges it. The receiver drops a
  batch that begins above ``next`` and acknowledges every other one, the repeated too, since the
  `Taken` before may be lost. The sender goes back to the first one unacknowledged when none was
  acknowledged for a while, when the route changed and when the destination lives anew. Each
  batch is sent again as it was, so an acknowledged number is the end of a batch.

Every batch says below which number, its ``floor``, nothing comes any more. A receiver that does not
know the stream begins there: a process started anew goes on where the acknowledged ends. (To number
the stream anew instead, when the receiver seems to have forgotten it, could deliver twice: it may
have taken the old numbers meanwhile, or what it seems to have forgotten is a `Taken` that comes
late.) ``next`` never stays behind the floor, so giving up messages does not stop those after them.
A receiver must be kept for as long as its process lives: without its ``next``, what it took and the
sender does not know to be taken is delivered again.

Newer lives and streams win: a batch of an earlier life of the source, or of an earlier stream of
this life, is dropped. A source whose own state is lost (its capability was started anew) begins a
stream with a higher number.

A `Taken` holds whichever life of the destination says it: all from the floor up to its number was
taken. Yet once a new life is known only that one is listened to, so that it is sent what the old
one had no time to acknowledge.

Batches come through others, so what makes no sense is no violation of the neighbour's: it is
dropped, and counted like all that R-9 drops.
"""

from __future__ import annotations

from collections import deque

import msgspec

from .effects import Count, Effect
from .identity import ClusterId, NodeId
from .messages import MAX_BATCH_BYTES, MAX_NODES, Packets, Taken
from .payloads import BATCH_BYTES, array_header

STREAM_BYTES = 4 * 1024 * 1024
"""Messages that may wait for one destination."""
UNACKNOWLEDGED_BYTES = 4 * 1024 * 1024
"""Messages of a reliable stream that are kept until they are acknowledged."""
MAX_UNACKNOWLEDGED = 4096
"""The same in batches: small ones cost more than their bytes."""
RESEND_AFTER_S = 1.0
"""Silence after which a reliable stream goes back; doubled each time, up to `MAX_RESEND_S`."""
MAX_RESEND_S = 16.0
MAX_MESSAGE_NUMBER = 2**63 - 1


class Deliver(Effect, frozen=True):
    """Hand the messages of the batch to the application, without the first ``skip`` of them."""

    skip: int


class Acknowledge(Effect, frozen=True):
    """Send to the source of the stream."""

    message: Taken


class Ends(msgspec.Struct, frozen=True, kw_only=True):
    """Between whom a stream runs, seen from here."""

    cluster_id: ClusterId
    capability: str
    me: NodeId
    incarnation: int
    """Mine."""
    peer: NodeId


class _Batch(msgspec.Struct, frozen=True):
    number: int
    """Of its first message."""
    count: int
    payloads: bytes
    size_bytes: int
    """Of the messages, without the header of their array."""


class OutStream:
    """The sender's side. Payloads are packed messages, at least a byte each.

    ``stream`` must be above that of every former object for the same destination in this life: the
    clock's microseconds will do.
    """

    def __init__(
        self, ends: Ends, stream: int, *, reliable: bool = False, limit_bytes: int = STREAM_BYTES
    ) -> None:
        self.ttl = MAX_NODES
        """Hops that a batch may make; the shell keeps it at the number of members (R-11)."""
        self.deadline: float | None = None
        """When `tick` wants to be called; None = nothing is outstanding."""
        self._ends = ends
        self._stream = stream
        self._reliable = reliable
        self._limit_bytes = limit_bytes
        self._tail: list[bytes | memoryview] = [
            b""
        ]  # the place of the array's header, then what waits
        self._tail_bytes = self._tail_count = 0
        self._closed: deque[_Batch] = deque()
        """Joined, not sent."""
        self._closed_bytes = 0
        self._next = 0
        """Number of the first message in the tail."""
        self._sent: deque[_Batch] = deque()
        """Unacknowledged, sent since the stream last went back; before all of `_again`."""
        self._again: deque[_Batch] = deque()
        """Unacknowledged, to be sent again."""
        self._unacknowledged_bytes = 0
        self._floor = 0
        self._pause_s = RESEND_AFTER_S
        self._life = 0
        """The destination's, as far as known."""

    # What waits -----------------------------------------------------------------------------

    @property
    def waiting_bytes(self) -> int:
        """Messages that were never sent."""
        return self._closed_bytes + self._tail_bytes

    @property
    def unacknowledged_bytes(self) -> int:
        """Messages of a reliable stream that were sent and not acknowledged."""
        return self._unacknowledged_bytes

    def offer(self, payloads: bytes | memoryview, count: int = 1) -> bool:
        """Let ``count`` joined messages wait (`payloads.Joined`); False when as much waits as may.

        They share a batch with those around them, as far as it holds them.
        """
        size = len(payloads)
        tail = self._tail_bytes + size
        if self._closed_bytes + tail > self._limit_bytes:
            return False
        if tail > BATCH_BYTES and self._tail_count:
            self._close()
            tail = size
        self._tail.append(payloads)
        self._tail_count += count
        self._tail_bytes = tail
        return True

    def _close(self) -> None:
        """The tail becomes a batch."""
        tail, self._tail = self._tail, [b""]
        count = self._tail_count
        tail[0] = array_header(count)
        self._closed.append(_Batch(self._next, count, b"".join(tail), self._tail_bytes))
        self._next += count
        self._closed_bytes += self._tail_bytes
        self._tail_bytes = self._tail_count = 0

    def clear(self) -> int:
        """Give up everything that waits or is unacknowledged; the bytes that wait no longer."""
        freed = self.waiting_bytes
        self._next = self._floor = self._unsent
        for queue in (self._closed, self._sent, self._again):
            queue.clear()
        self._tail = [b""]
        self._tail_bytes = self._tail_count = 0
        self._closed_bytes = self._unacknowledged_bytes = 0
        self.deadline = None
        return freed

    # Sending --------------------------------------------------------------------------------

    def next_batch(self, max_bytes: int = MAX_BATCH_BYTES) -> Packets | None:
        """What to send now: the same again until `sent` is called.

        None: nothing waits, or it is longer than ``max_bytes``, or too much is unacknowledged.
        """
        if self._again:
            batch: _Batch | None = self._again[0]
        elif self._closed or self._tail_bytes:
            batch = self._first_unsent()
        else:
            return None
        if batch is None or len(batch.payloads) > max_bytes:
            return None
        ends = self._ends
        return Packets(
            cluster_id=ends.cluster_id,
            source=ends.me,
            incarnation=ends.incarnation,
            destination=ends.peer,
            ttl=self.ttl,
            capability=ends.capability,
            stream=self._stream,
            number=batch.number,
            count=batch.count,
            payloads=batch.payloads,
            reliable=self._reliable,
            floor=self._floor,
        )

    def single(self, payload: bytes | memoryview) -> Packets | None:
        """A batch of one message that waits for nothing; it counts as sent, unless `take_back`
        follows. None: something waits before it, or it has to be kept: `offer` it."""
        if self._tail_count or self._closed or self._reliable:
            return None
        number = self._next
        self._next = number + 1
        ends = self._ends
        return Packets(
            cluster_id=ends.cluster_id,
            source=ends.me,
            incarnation=ends.incarnation,
            destination=ends.peer,
            ttl=self.ttl,
            capability=ends.capability,
            stream=self._stream,
            number=number,
            count=1,
            payloads=_ONE + payload,
            floor=self._floor,
        )

    def take_back(self) -> None:
        """What `single` gave last could not be sent."""
        self._next -= 1

    def _first_unsent(self) -> _Batch | None:
        if not self._closed:
            self._close()
        batch = self._closed[0]
        assert len(batch.payloads) <= MAX_BATCH_BYTES, "a message longer than any may be"
        if self._sent and (
            len(self._sent) >= MAX_UNACKNOWLEDGED
            or self._unacknowledged_bytes + batch.size_bytes > UNACKNOWLEDGED_BYTES
        ):
            return None
        return batch

    def sent(self, now: float) -> int:
        """What `next_batch` gave last is on its way; the bytes that wait no longer."""
        freed = 0
        if self._again:
            batch = self._again.popleft()
        else:
            batch = self._closed.popleft()
            freed = batch.size_bytes
            self._closed_bytes -= freed
        if self._reliable:
            self._sent.append(batch)
            self._unacknowledged_bytes += freed
            if self.deadline is None:
                self.deadline = now + self._pause_s
        return freed

    # What happens to what was sent ----------------------------------------------------------

    @property
    def _unsent(self) -> int:
        """Number of the first message that was never sent."""
        return self._closed[0].number if self._closed else self._next

    def receive(self, message: Taken, now: float) -> list[Effect]:
        """The destination acknowledges."""
        if (
            (message.life, message.stream) != (self._ends.incarnation, self._stream)
            or message.incarnation < self._life
            or message.number > self._unsent
        ):
            return [Count("R-9")]
        acknowledged = False
        for queue in (self._sent, self._again):
            while queue and queue[0].number + queue[0].count <= message.number:
                batch = queue.popleft()
                self._unacknowledged_bytes -= batch.size_bytes
                self._floor = batch.number + batch.count
                acknowledged = True
        if acknowledged:
            self._pause_s = RESEND_AFTER_S
            self.deadline = now + self._pause_s if self._sent else None
        return []

    def tick(self, now: float) -> list[Effect]:
        """Time has passed. Nothing was acknowledged for a while: go back."""
        if self.deadline is not None and now >= self.deadline:
            self._go_back()
            self._pause_s = min(2 * self._pause_s, MAX_RESEND_S)
        return []

    def route_changed(self) -> None:
        """What is unacknowledged may be lost: go back."""
        self._go_back()
        self._pause_s = RESEND_AFTER_S

    def restarted(self, incarnation: int) -> None:
        """The destination lives anew: what is unacknowledged, and all that follows, is for it."""
        self._life = incarnation
        if not self._reliable:
            self._floor = self._unsent
        self.route_changed()

    def _go_back(self) -> None:
        self._again.extendleft(reversed(self._sent))
        self._sent.clear()
        self.deadline = None


_ONE = array_header(1)
DELIVER_ALL: list[Effect] = [Deliver(0)]
"""What a batch mostly gives; nobody changes it."""


class InStream:
    """The receiver's side."""

    def __init__(self, ends: Ends) -> None:
        self.ttl = MAX_NODES
        """Hops that an acknowledgement may make; see `OutStream.ttl`."""
        self.lost = 0
        """Messages that a gap showed to be missing when later ones were delivered."""
        self.dropped = 0
        """Messages not taken: they came before, too late, or (reliable) too early."""
        self._ends = ends
        self._key = (-1, -1)
        """(incarnation, stream) of the source."""
        self.life = -1
        """Of the source, that is listened to; −1 = nothing came yet."""
        self._next = 0

    def receive(self, message: Packets) -> list[Effect]:
        """A batch came. At most one `Deliver` is among the effects, and before all others."""
        key = (message.incarnation, message.stream)
        end = message.number + message.count
        if key < self._key or end > MAX_MESSAGE_NUMBER:
            return self._drop(message.count)
        usual = key == self._key and message.floor <= message.number == self._next
        if usual and not message.reliable:
            self._next = end
            return DELIVER_ALL
        if key > self._key:
            self._key = key
            self.life = message.incarnation
            self._next = message.floor
        begin = message.floor if message.reliable else max(message.floor, message.number)
        effects: list[Effect] = []
        if begin > self._next:
            self.lost += begin - self._next
            self._next = begin
            effects.append(Count("R-9"))
        if message.number > self._next:
            return effects + self._drop(message.count)
        skip = min(self._next - message.number, message.count)
        if skip:
            effects += self._drop(skip)
        if skip < message.count:
            self._next = end
            effects.insert(0, Deliver(skip))
        if message.reliable:
            effects.append(Acknowledge(self._taken()))
        return effects

    def _drop(self, count: int) -> list[Effect]:
        self.dropped += count
        return [Count("R-9")]

    def _taken(self) -> Taken:
        ends = self._ends
        return Taken(
            cluster_id=ends.cluster_id,
            source=ends.me,
            incarnation=ends.incarnation,
            destination=ends.peer,
            ttl=self.ttl,
            capability=ends.capability,
            life=self._key[0],
            stream=self._key[1],
            number=self._next,
        )
