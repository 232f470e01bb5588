"""The send queue: bounded, control before data, packed into frames of at most 64 KiB."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.protocol import wire
from tagmesh.protocol.config import ConfigError, TransportSettings, read_config
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.messages import (
    MAX_BATCH_BYTES,
    Goodbye,
    Message,
    SyncChunk,
    SyncId,
)
from tagmesh.protocol.trace_messages import Trace
from tagmesh.transport.frames import FrameReader
from tagmesh.transport.sendqueue import DATA_SHARE, MAX_CHUNK_BYTES, MAX_DATA_BYTES, SendQueue
from tests.transport.links import packets, ping

LIMIT = 8 * 1024 * 1024
MAX_FRAME = 1024 * 1024


def trace(nodes: int = 0) -> Trace:
    """Five bytes for each node."""
    visited = [2**31 - 1] * nodes
    return Trace(cluster_id=1, source=1, destination=2, number=1, ttl=1, visited=visited)


def sync_chunk(number: int) -> SyncChunk:
    return SyncChunk(
        cluster_id=1,
        source=1,
        incarnation=1,
        destination=2,
        ttl=1,
        capability="map",
        session=SyncId(joiner=2, incarnation=1, counter=1),
        number=number,
        checksum=0,
        pieces=b"x",
    )


def taken(queue: SendQueue) -> list[Message]:
    """The messages of the one frame that is next."""
    (body,) = FrameReader(MAX_FRAME).receive([bytes(queue.take())])
    return wire.decode(body).messages


def frames_of(queue: SendQueue) -> list[list[Message]]:
    reader = FrameReader(MAX_FRAME)
    frames = []
    while chunk := queue.take():
        assert len(chunk) <= MAX_CHUNK_BYTES
        frames += [wire.decode(body).messages for body in reader.receive([bytes(chunk)])]
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
    queue = SendQueue(LIMIT, MAX_FRAME)
    first, second, chunk = packets(1), packets(2), sync_chunk(3)
    assert queue.offer([first, ping(1), chunk])
    assert queue.offer([second])
    assert queue.offer([ping(2)])
    messages = [message for frame in frames_of(queue) for message in frame]
    assert messages == [ping(1), ping(2), first, chunk, second]


def test_control_overtakes_data_at_the_next_frame() -> None:
    """However much waits: a ping leaves right behind the frame being written (B13)."""
    queue = SendQueue(LIMIT, MAX_FRAME)
    bulk: list[Message] = [packets(number, 32 * 1024) for number in range(7)]
    assert queue.offer(bulk)
    kinds = []
    for number in range(7):
        (data,) = taken(queue)
        assert queue.offer([ping(number)])
        (control,) = taken(queue)
        kinds += [data, control]
    assert kinds[::2] == bulk
    assert kinds[1::2] == [ping(number) for number in range(7)]


def test_control_overtakes_what_is_left_of_a_long_frame_only_behind_it() -> None:
    queue = SendQueue(LIMIT, MAX_FRAME)
    first, second = packets(1, 90 * 1024), packets(2, 90 * 1024)
    assert queue.offer([first, second])
    begun = queue.take()
    assert len(begun) == MAX_CHUNK_BYTES
    assert queue.offer([ping(1)])
    reader = FrameReader(MAX_FRAME)
    bodies = reader.receive([bytes(begun), bytes(queue.take()), bytes(queue.take())])
    assert [wire.decode(body).messages for body in bodies] == [[first], [ping(1)]]


def test_a_frame_that_does_not_fit_what_is_left_of_a_chunk_waits_for_the_next() -> None:
    queue = SendQueue(LIMIT, MAX_FRAME)
    assert queue.offer([packets(1, 40 * 1024), packets(2, 40 * 1024)])
    first = queue.take()
    assert queue.take(MAX_CHUNK_BYTES - len(first)) == b""
    assert queue.queued_bytes == len(first)
    assert len(queue.take()) == len(first)


def test_data_that_waits_is_bounded_and_leaves_room_for_control() -> None:
    for limit, data_limit in ((LIMIT, MAX_DATA_BYTES), (256 * 1024, DATA_SHARE * 256 * 1024)):
        queue = SendQueue(limit, MAX_FRAME)
        while queue.offer([packets(1, 32 * 1024)]):
            pass
        assert data_limit - 33 * 1024 < queue.queued_bytes <= data_limit
        for number in range(5_000):
            assert queue.offer([ping(number)])


def test_room_is_told_once_and_only_after_a_refusal() -> None:
    queue = SendQueue(LIMIT, MAX_FRAME)
    assert queue.offer([packets(1, 32 * 1024)])
    assert not queue.has_room_again(), "nobody was refused"
    while queue.offer([packets(1, 32 * 1024)]):
        pass
    while queue.queued_bytes > MAX_DATA_BYTES // 2:
        assert not queue.has_room_again()
        assert queue.take()
    assert not queue.has_room_again(taken_bytes=LIMIT // 2), "taken, not yet written"
    assert queue.has_room_again()
    assert not queue.has_room_again(), "once"


def test_room_for_control_is_told_when_half_of_the_queue_is_empty() -> None:
    queue = SendQueue(64 * 1024, MAX_FRAME)
    while queue.offer([ping(1)] * 100):
        pass
    assert not queue.has_room_again()
    assert queue.take()
    assert queue.has_room_again()


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
    with pytest.raises(Misuse, match="and 49152 of data"):
        SendQueue(64 * 1024, MAX_FRAME).offer([packets(1, 60 * 1024)])
    assert queue.queued_bytes == 0


def test_the_smallest_queue_allowed_takes_the_largest_data() -> None:
    def settings(send_queue: str) -> TransportSettings:
        cluster = {"id": 1}
        tables = {"node": {"id": 1}, "cluster": [cluster], "transport": {"send_queue": send_queue}}
        return read_config(tables).transport

    with pytest.raises(ConfigError, match="send_queue"):
        settings("255KiB")
    smallest = settings("256KiB")
    queue = SendQueue(smallest.send_queue_bytes, smallest.max_frame_bytes)
    assert queue.offer([packets(1, MAX_BATCH_BYTES)])
