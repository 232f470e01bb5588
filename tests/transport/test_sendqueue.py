"""The send queue: bounded, control before data, packed into frames of at most 64 KiB."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.protocol import wire
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.messages import Goodbye, Message, Ping, Trace
from tagmesh.transport.frames import FrameReader
from tagmesh.transport.sendqueue import MAX_CHUNK_BYTES, SendQueue

LIMIT = 8 * 1024 * 1024
MAX_FRAME = 1024 * 1024


def ping(number: int) -> Ping:
    return Ping(cluster_id=1, number=number)


def trace(nodes: int = 0) -> Trace:
    """Five bytes for each node."""
    visited = [2**31 - 1] * nodes
    return Trace(cluster_id=1, source=1, destination=2, number=1, ttl=1, visited=visited)


def frames_of(queue: SendQueue) -> list[list[Message]]:
    reader = FrameReader(MAX_FRAME)
    frames = []
    while chunk := queue.take():
        assert len(chunk) <= MAX_CHUNK_BYTES
        frames += [wire.decode(body).messages for body in reader.receive(bytes(chunk))]
    assert reader.pending_bytes == 0
    assert queue.queued_bytes == 0
    return frames


@given(sizes=st.lists(st.integers(min_value=1, max_value=700), max_size=12))
def test_everything_comes_out_in_order(sizes: list[int]) -> None:
    queue = SendQueue(LIMIT, MAX_FRAME)
    sent: list[Message] = []
    for size in sizes:
        batch: list[Message] = [ping(len(sent) + k) for k in range(size)]
        assert queue.offer(batch)
        sent += batch
    assert [message for frame in frames_of(queue) for message in frame] == sent


def test_many_small_sends_share_a_frame() -> None:
    queue = SendQueue(LIMIT, MAX_FRAME)
    for number in range(1_000):
        assert queue.offer([ping(number)])
    assert frames_of(queue) == [[ping(number) for number in range(1_000)]]


def test_frames_are_filled_to_64_kib_and_not_beyond() -> None:
    queue = SendQueue(LIMIT, MAX_FRAME)
    batch = [Goodbye(cluster_id=1, cause="x" * 250)] * 2_000
    assert queue.offer(batch)
    frames = frames_of(queue)
    assert sum(map(len, frames)) == 2_000
    assert len(frames) <= 520_000 // MAX_CHUNK_BYTES * 2


def test_a_long_message_travels_alone_in_pieces() -> None:
    queue = SendQueue(LIMIT, MAX_FRAME)
    long = [trace(1024)] * 60
    assert queue.offer([ping(1), *long, ping(2)])
    frames = frames_of(queue)
    assert [m for frame in frames for m in frame] == [ping(1), *long, ping(2)]
    assert queue.offer([Goodbye(cluster_id=1, cause="x" * 200_000)])
    chunks = [bytes(chunk) for chunk in iter(queue.take, b"")]
    assert [len(chunk) for chunk in chunks[:-1]] == [MAX_CHUNK_BYTES] * 3


def test_control_goes_before_data() -> None:
    queue = SendQueue(LIMIT, MAX_FRAME, data_kinds=frozenset({Trace}))
    data = trace()
    assert queue.offer([data, ping(1)])
    assert queue.offer([data])
    assert queue.offer([ping(2)])
    messages = [message for frame in frames_of(queue) for message in frame]
    assert messages == [ping(1), ping(2), data, data]


def test_the_limit_counts_what_waits() -> None:
    queue = SendQueue(64 * 1024, MAX_FRAME)
    batch = [Goodbye(cluster_id=1, cause="x" * 250)] * 100
    accepted = 0
    while queue.offer(batch):
        accepted += 1
    assert accepted == 64 * 1024 // 25_600
    assert queue.queued_bytes <= 64 * 1024
    assert queue.take()
    assert queue.offer(batch), "room again"
    assert not queue.offer(batch, taken_bytes=64 * 1024)
    queue.clear()
    assert queue.queued_bytes == 0
    assert queue.take() == b""


def test_what_can_never_be_sent_is_our_mistake() -> None:
    queue = SendQueue(64 * 1024, 4096)
    with pytest.raises(Misuse, match=r"longer than a frame may be \(4096, transport.max_frame\)"):
        queue.offer([trace(1024)])
    with pytest.raises(Misuse, match="can never fit the send queue"):
        queue.offer([ping(number) for number in range(20_000)])
    assert queue.queued_bytes == 0
