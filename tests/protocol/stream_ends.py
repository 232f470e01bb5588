"""Node 1 sends to node 2: what tests of streams begin with."""

from __future__ import annotations

import msgspec

from tagmesh.protocol.effects import Count
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.messages import Packets, Taken
from tagmesh.protocol.streams import Ends, OutStream

OUT = Ends(cluster_id=ClusterId(1), capability="calls", me=NodeId(1), incarnation=5, peer=NodeId(2))
IN = Ends(cluster_id=ClusterId(1), capability="calls", me=NodeId(2), incarnation=9, peer=NodeId(1))
DROPPED = Count("R-9")
pack = msgspec.msgpack.encode


def sender(*, reliable: bool = False, waiting: int = 0) -> OutStream:
    """With the messages 0, 1, … waiting."""
    stream = OutStream(OUT, 7, reliable=reliable)
    for message in range(waiting):
        assert stream.offer(pack(message))
    return stream


def text(size_bytes: int) -> bytes:
    """A packed message of that size, at least 3."""
    if size_bytes <= 65_538:
        header = b"\xc5" + (size_bytes - 3).to_bytes(2, "big")
    else:
        header = b"\xc6" + (size_bytes - 5).to_bytes(4, "big")
    return header + b"x" * (size_bytes - len(header))


def take(stream: OutStream, now: float = 0.0) -> Packets:
    """The next batch, sent."""
    batch = stream.next_batch()
    assert batch is not None
    stream.sent(now)
    return batch


def take_all(stream: OutStream) -> list[Packets]:
    batches = []
    while stream.next_batch() is not None:
        batches.append(take(stream))
    return batches


def packets(number: int, count: int = 1, **fields: object) -> Packets:
    """Of node 1, for node 2, with the numbers as messages."""
    payloads = pack(list(range(number, number + count)))
    batch = Packets(1, 1, 5, 2, 9, "calls", 7, number, count, payloads)
    return msgspec.structs.replace(batch, **fields)


def taken(number: int, *, life: int = 5, stream: int = 7, incarnation: int = 9) -> Taken:
    return Taken(1, 2, incarnation, 1, 9, "calls", life, stream, number)
