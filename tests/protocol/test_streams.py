"""Streams: batches, numbers, limits, the receiver (R-9). See also test_streams_reliable and
test_streams_network."""

from __future__ import annotations

from itertools import accumulate, pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.protocol.messages import MAX_BATCH_BYTES, MAX_NODES, MAX_PAYLOAD_BYTES, Packets, Taken
from tagmesh.protocol.payloads import BATCH_BYTES, array_header, unpack_payloads
from tagmesh.protocol.streams import (
    MAX_MESSAGE_NUMBER,
    STREAM_BYTES,
    Acknowledge,
    Deliver,
    InStream,
    OutStream,
)
from tagmesh.protocol.wire import decode, encode
from tests.protocol.stream_ends import DROPPED, IN, OUT, pack, packets, sender, take, take_all, text

# Batches ----------------------------------------------------------------------------------------


def test_what_waits_is_joined_and_numbered() -> None:
    stream = sender(waiting=3)
    stream.ttl = 4
    assert stream.waiting_bytes == 3
    assert take(stream) == Packets(1, 1, 5, 2, 4, "calls", 7, 0, 3, pack([0, 1, 2]))
    assert stream.waiting_bytes == 0
    assert stream.next_batch() is None
    stream.offer(pack(3))
    assert take(stream) == Packets(1, 1, 5, 2, 4, "calls", 7, 3, 1, pack([3]))
    assert stream.deadline is None, "at most once: nothing to wait for"


def test_a_single_message_that_waits_for_nothing_is_the_batch_it_would_be() -> None:
    usual, single = sender(waiting=0), sender(waiting=0)
    for number in range(3):
        assert usual.offer(pack(number))
        assert single.single(pack(number)) == take(usual)
    assert single.single(pack(3)) is not None
    single.take_back()
    assert usual.offer(pack(4))
    assert single.single(pack(4)) == take(usual), "the number is used for what is sent"


def test_a_message_that_others_wait_before_is_no_single_one() -> None:
    stream = sender(waiting=1)
    assert stream.single(pack(1)) is None
    assert stream.next_batch() is not None
    assert stream.single(pack(1)) is None, "it is joined, not sent"
    stream.sent(0.0)
    assert stream.single(pack(1)) is not None


def test_nor_is_one_that_must_be_kept() -> None:
    assert sender(waiting=0, reliable=True).single(pack(1)) is None


def test_a_batch_stays_the_next_one_until_it_is_sent() -> None:
    """The way is full: the caller comes again."""
    stream = sender(waiting=3)
    first = stream.next_batch()
    assert stream.waiting_bytes == 3
    stream.offer(pack(3))
    assert stream.next_batch() == first
    assert stream.sent(0.0) == 3, "bytes that wait no longer"
    assert take(stream).number == 3


def test_a_batch_longer_than_allowed_waits() -> None:
    stream = sender(waiting=3)
    assert stream.next_batch(max_bytes=3) is None
    assert stream.next_batch(max_bytes=4) is not None


sizes = st.lists(
    st.one_of(
        st.integers(3, 257),
        st.integers(3, MAX_PAYLOAD_BYTES),
        st.sampled_from([BATCH_BYTES - 1, BATCH_BYTES, BATCH_BYTES + 1, MAX_PAYLOAD_BYTES]),
    ),
    max_size=30,
)


@given(sizes)
def test_batches_are_full_and_in_order(lengths: list[int]) -> None:
    """No batch exceeds its bytes unless it is one message, and no batch could have held the first
    message of the next."""
    stream = OutStream(OUT, 1)
    offered = [text(length) for length in lengths]
    assert all(map(stream.offer, offered))
    assert stream.waiting_bytes == sum(lengths)
    batches = take_all(stream)
    ends = [*accumulate(batch.count for batch in batches)]
    assert [batch.number for batch in batches] == [0, *ends][: len(batches)]
    sent = [offered[batch.number : end] for batch, end in zip(batches, ends, strict=True)]
    for batch, payloads in zip(batches, sent, strict=True):
        assert batch.payloads == array_header(len(payloads)) + b"".join(payloads)
    assert sum(map(len, sent)) == len(offered)
    assert all(sum(map(len, those)) <= BATCH_BYTES or len(those) == 1 for those in sent)
    for payloads, after in pairwise(sent):
        assert sum(map(len, payloads)) + len(after[0]) > BATCH_BYTES
    assert all(decode(encode([batch])).messages == [batch] for batch in batches)


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 150)), max_size=20))
def test_joined_messages_stay_together_and_are_counted(pieces: list[tuple[int, int]]) -> None:
    stream = OutStream(OUT, 1)
    offered = []
    for count, size in pieces:
        message = pack(b"x" * size)
        assert stream.offer(message * count, count)
        offered += [b"x" * size] * count
    batches = take_all(stream)
    assert [m for batch in batches for m in unpack_payloads(batch.payloads, batch.count)] == offered
    assert [batch.number for batch in batches] == [
        sum(batch.count for batch in batches[:place]) for place in range(len(batches))
    ]
    assert all(len(batch.payloads) <= BATCH_BYTES + 5 for batch in batches)


def test_the_smallest_messages_fill_a_batch() -> None:
    stream = OutStream(OUT, 1)
    assert stream.offer(b"\x07" * (BATCH_BYTES - 1), BATCH_BYTES - 1)
    assert stream.offer(b"\x07")
    assert stream.offer(b"\x07")
    assert [batch.count for batch in take_all(stream)] == [BATCH_BYTES, 1]


def test_a_message_longer_than_any_may_be_is_our_bug() -> None:
    stream = OutStream(OUT, 1)
    stream.offer(text(MAX_BATCH_BYTES))
    with pytest.raises(AssertionError, match="longer than any may be"):
        stream.next_batch()


def test_a_destination_that_lives_anew_does_not_miss_what_the_old_one_was_sent() -> None:
    stream = sender(waiting=2)
    assert take(stream).floor == 0
    stream.offer(pack(2))
    stream.restarted(10)
    batch = take(stream)
    assert (batch.number, batch.floor) == (2, 2)
    fresh = InStream(IN)
    assert fresh.receive(batch) == [Deliver(0)]
    assert fresh.lost == 0


# The limit of what waits --------------------------------------------------------------------------


def test_no_more_waits_than_may() -> None:
    """I10. The caller hears it, and what was accepted before is kept."""
    stream = OutStream(OUT, 1)
    kib = text(1024)
    assert all(stream.offer(kib) for _ in range(STREAM_BYTES // 1024))
    assert not stream.offer(pack(1))
    assert stream.waiting_bytes == STREAM_BYTES
    take(stream)
    assert not stream.offer(kib * (BATCH_BYTES // 1024 + 1), BATCH_BYTES // 1024 + 1)
    assert stream.offer(kib * (BATCH_BYTES // 1024), BATCH_BYTES // 1024)
    assert sum(batch.count for batch in take_all(stream)) == STREAM_BYTES // 1024


def test_given_up_messages_take_no_numbers() -> None:
    """At most once: the receiver must not take them for lost."""
    stream = sender(waiting=2)
    take(stream)
    assert all(map(stream.offer, [text(BATCH_BYTES), text(10)]))
    assert stream.next_batch() is not None
    assert stream.clear() == BATCH_BYTES + 10
    assert (stream.waiting_bytes, stream.next_batch()) == (0, None)
    stream.offer(pack(2))
    assert take(stream).number == 2


# The receiver -------------------------------------------------------------------------------------


def test_at_most_once_takes_what_is_new_and_counts_what_is_missing() -> None:
    stream = InStream(IN)
    assert stream.receive(packets(0, 3)) == [Deliver(0)]
    assert stream.receive(packets(3, 2)) == [Deliver(0)]
    assert stream.receive(packets(9, 2)) == [Deliver(0), DROPPED]
    assert (stream.lost, stream.dropped) == (4, 0)
    assert stream.receive(packets(5, 4)) == [DROPPED], "late: overtaken by what was delivered"
    assert stream.receive(packets(9, 2)) == [DROPPED]
    assert (stream.lost, stream.dropped) == (4, 6)
    assert stream.receive(packets(10, 3)) == [Deliver(1), DROPPED], "only what is new"
    assert (stream.lost, stream.dropped) == (4, 7)


def test_reliable_takes_what_is_next_and_acknowledges() -> None:
    stream = InStream(IN)
    stream.ttl = 3
    acknowledged = Taken(1, 2, 9, 1, 3, "calls", 5, 7, 3)
    assert stream.receive(packets(0, 3, reliable=True)) == [Deliver(0), Acknowledge(acknowledged)]
    assert stream.receive(packets(4, 3, reliable=True)) == [DROPPED], "3 is missing"
    repeated = stream.receive(packets(0, 3, reliable=True))
    assert repeated == [DROPPED, Acknowledge(acknowledged)], "the Taken before may be lost"
    further = stream.receive(packets(2, 3, reliable=True))
    assert further == [
        Deliver(1),
        DROPPED,
        Acknowledge(msgspec.structs.replace(acknowledged, number=5)),
    ]
    assert (stream.lost, stream.dropped) == (0, 7)


@pytest.mark.parametrize("reliable", [True, False])
def test_a_newer_stream_and_a_newer_life_win(reliable: bool) -> None:
    stream = InStream(IN)

    def delivered(number: int = 0, **fields: int) -> bool:
        effects = stream.receive(packets(number, reliable=reliable, **fields))
        return effects[0] == Deliver(0)

    assert delivered(stream=7)
    assert delivered(stream=8)
    assert not delivered(1, stream=7)
    assert not delivered(1, incarnation=4, stream=9)
    assert delivered(incarnation=6, stream=1)
    assert not delivered(1, incarnation=5, stream=9)
    assert stream.dropped == 3


@pytest.mark.parametrize("reliable", [True, False])
def test_who_does_not_know_the_stream_begins_at_its_floor(reliable: bool) -> None:
    """A receiver that was started anew."""
    stream = InStream(IN)
    assert stream.receive(packets(5, 2, reliable=reliable, floor=5))[0] == Deliver(0)
    assert (stream.lost, stream.dropped) == (0, 0)


def test_a_reliable_stream_begins_no_later_than_its_floor() -> None:
    stream = InStream(IN)
    assert stream.receive(packets(7, reliable=True, floor=5)) == [DROPPED]
    assert stream.receive(packets(5, 2, reliable=True, floor=5))[0] == Deliver(0)


@pytest.mark.parametrize("reliable", [True, False])
def test_what_was_given_up_is_not_waited_for(reliable: bool) -> None:
    stream = InStream(IN)
    stream.receive(packets(0, 2, reliable=reliable))
    assert stream.receive(packets(6, 2, reliable=reliable, floor=6))[:2] == [Deliver(0), DROPPED]
    assert stream.lost == 4


def test_numbers_end_before_an_acknowledgement_could_not_say_them() -> None:
    """Else our own `Taken` would be a violation for whoever decodes it."""
    stream = InStream(IN)
    last = packets(MAX_MESSAGE_NUMBER - 1, reliable=True, floor=MAX_MESSAGE_NUMBER - 1)
    beyond = msgspec.structs.replace(last, count=2)
    assert stream.receive(beyond) == [DROPPED]
    delivered, answer = stream.receive(last)
    assert delivered == Deliver(0)
    assert isinstance(answer, Acknowledge)
    assert answer.message.number == MAX_MESSAGE_NUMBER
    assert decode(encode([answer.message])).messages == [answer.message]


def test_a_stream_may_travel_as_far_as_there_are_nodes() -> None:
    """Until the shell knows how many there are."""
    stream = sender(waiting=1)
    assert take(stream).ttl == InStream(IN).ttl == MAX_NODES
