"""Targets about packets: the batch a capability decodes, streams and credit in any history."""

from __future__ import annotations

from contextlib import suppress

from tagmesh.protocol import messages as m
from tagmesh.protocol.credit import CREDIT_BYTES, Granted, Spent
from tagmesh.protocol.effects import Count
from tagmesh.protocol.errors import PeerViolation
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.payloads import BadPayloads, unpack_payloads
from tagmesh.protocol.streams import (
    UNACKNOWLEDGED_BYTES,
    Acknowledge,
    Deliver,
    Ends,
    InStream,
    OutStream,
)
from tagmesh.protocol.wire import decode, encode
from tests.fuzz.draw import Draw

MAX_STEPS = 200
_NUMBERS = (0, 1, 2, 3, 5, 8, 300, 2**63 - 1, 2**63 - 2)
_LIVES = (5, 6, 4, 0, 2**63 - 1)


def payloads(data: bytes) -> None:
    """A batch: as many messages as it claims, or `BadPayloads` (I11)."""
    count = data[0] if data else 1
    try:
        messages = unpack_payloads(data[1:], count)
    except BadPayloads as violation:
        text = str(violation)
        assert text.isprintable(), "it goes to logs"
        assert len(text) < 250, "one short line"
        return
    assert len(messages) == count


class Streams:
    """A receiver and a sender, held to what they promise; their peers say anything."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.into = InStream(_ends(2, 1))
        self.out = OutStream(_ends(1, 2), 1, reliable=draw.byte() % 2 == 1)
        self.now = 0.0
        self.last = (-1, -1, -1)
        """The last message delivered: (life, stream, number)."""

    def step(self) -> None:
        """One thing happens; afterwards the promises hold."""
        act, out = self.draw.byte() % 8, self.out
        if act < 4:
            self._receive(_packets(self.draw))
        elif act == 4:
            out.offer(b"\x07" * (1 + self.draw.byte()))
        elif act == 5:
            if out.next_batch() is not None:
                out.sent(self.now)
        elif act == 6:
            effects = out.receive(_taken(self.draw), self.now)
            assert all(isinstance(effect, Count) for effect in effects)
        else:
            self.now += self.draw.byte()
            self.draw.pick((lambda: out.tick(self.now), out.route_changed, out.clear))()
        self._check_sender()

    def _receive(self, batch: m.Packets) -> None:
        for effect in self.into.receive(batch):
            match effect:
                case Deliver():
                    assert 0 <= effect.skip < batch.count
                    first = (batch.incarnation, batch.stream, batch.number + effect.skip)
                    assert first > self.last, "twice or out of order"
                    self.last = (*first[:2], batch.number + batch.count - 1)
                case Acknowledge():
                    assert batch.reliable
                    _bounds(effect.message)
                case Count():
                    pass
                case _:
                    raise AssertionError(f"no effect of a stream: {effect!r}")

    def _check_sender(self) -> None:
        """What waits can be sent; what is kept is bounded and looked after."""
        out = self.out
        batch = out.next_batch()
        if batch is not None:
            _bounds(batch)
            assert batch.floor <= batch.number
        assert out._unacknowledged_bytes == sum(b.size_bytes for b in (*out._sent, *out._again))
        assert out._unacknowledged_bytes <= UNACKNOWLEDGED_BYTES
        assert (out.deadline is not None) == bool(out._sent)


def stream(data: bytes) -> None:
    """Batches and acknowledgements of any kind: nothing twice, nothing stuck (R-9)."""
    streams = Streams(Draw(data))
    for _ in range(MAX_STEPS):
        if not streams.draw:
            break
        streams.step()


def _ends(me: int, peer: int) -> Ends:
    return Ends(
        cluster_id=ClusterId(1),
        capability="calls",
        me=NodeId(me),
        incarnation=5,
        peer=NodeId(peer),
    )


def _packets(draw: Draw) -> m.Packets:
    life, number = draw.pick(_LIVES), draw.pick(_NUMBERS)
    return m.Packets(
        1, 1, life, 2, 9, "calls",
        stream=draw.pick(_NUMBERS), number=number, count=draw.pick((1, 2, 3, m.MAX_BATCH)),
        payloads=b"", reliable=draw.byte() % 2 == 1, floor=draw.pick((0, number, *_NUMBERS)),
    )  # fmt: skip


def _taken(draw: Draw) -> m.Taken:
    life, of, number = draw.pick(_LIVES), draw.pick((1, *_NUMBERS)), draw.pick(_NUMBERS)
    return m.Taken(1, 2, draw.pick(_LIVES), 1, 9, "calls", life, of, number)


def _bounds(message: m.Message) -> None:
    """What we send a peer must be able to decode."""
    assert decode(encode([message])).messages == [message]


def credit(data: bytes) -> None:
    """Any messages and credits of a peer: `PeerViolation`, or within the window (R-10)."""
    draw = Draw(data)
    spent, granted = Spent(), Granted()
    for _ in range(MAX_STEPS):
        if not draw:
            break
        act, size = draw.byte() % 4, draw.pick((1, 1000, m.MAX_BATCH_BYTES))
        with suppress(PeerViolation):
            _one_credit_step(act, size, draw, spent, granted)
        assert 0 <= granted.held_bytes <= CREDIT_BYTES
        assert spent.left_bytes >= 0


def _one_credit_step(act: int, size: int, draw: Draw, spent: Spent, granted: Granted) -> None:
    if act == 0:
        before = spent.left_bytes
        assert spent.spend(size) == (size <= before)
    elif act == 1:
        spent.granted(draw.pick((CREDIT_BYTES, 0, 2 * CREDIT_BYTES, 2**63 - 1)))
    elif act == 2:
        granted.received(size)
    else:
        limit = granted.consumed(min(size, granted.held_bytes))
        if limit is not None:
            _bounds(m.Credit(1, "calls", limit))
