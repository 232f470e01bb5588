"""Streams that are acknowledged: the sender keeps, goes back and gives up (R-9)."""

from __future__ import annotations

import pytest

from tagmesh.protocol.messages import Taken
from tagmesh.protocol.payloads import BATCH_BYTES
from tagmesh.protocol.streams import (
    MAX_MESSAGE_NUMBER,
    MAX_RESEND_S,
    MAX_UNACKNOWLEDGED,
    RESEND_AFTER_S,
    UNACKNOWLEDGED_BYTES,
    OutStream,
)
from tests.protocol.stream_ends import DROPPED, OUT, pack, sender, take, take_all, taken, text


def test_what_is_acknowledged_is_not_sent_again() -> None:
    stream = sender(reliable=True, waiting=2)
    first = take(stream, now=10.0)
    assert first.reliable
    stream.offer(pack(2))
    second = take(stream, now=10.5)
    assert stream.deadline == 10.0 + RESEND_AFTER_S
    assert stream.receive(taken(2), 10.7) == []
    assert stream.deadline == 10.7 + RESEND_AFTER_S
    assert stream.tick(10.8) == []
    assert stream.next_batch() is None, "not time yet"
    stream.tick(10.7 + RESEND_AFTER_S)
    again = take(stream, now=20.0)
    assert (again.number, again.payloads, again.floor) == (2, second.payloads, 2)
    assert stream.receive(taken(3), 20.1) == []
    assert stream.deadline is None
    assert stream.next_batch() is None


def test_going_back_sends_everything_unacknowledged_before_anything_new() -> None:
    stream = sender(reliable=True)
    for message in range(3):
        stream.offer(pack(message))
        take(stream)
    stream.offer(pack(3))
    stream.route_changed()
    assert take(stream).number == 0
    stream.route_changed()
    stream.receive(taken(1), 0.0)
    assert [batch.number for batch in take_all(stream)] == [1, 2, 3]
    stream.receive(taken(4), 0.0)
    stream.route_changed()
    assert stream.next_batch() is None


def test_the_pause_doubles_up_to_a_limit_and_starts_anew_with_success() -> None:
    stream = sender(reliable=True, waiting=1)
    now, pauses = 0.0, []
    for _ in range(8):
        take(stream, now)
        assert stream.deadline is not None
        pauses.append(stream.deadline - now)
        now = stream.deadline
        stream.tick(now)
        assert stream.deadline is None, "nothing is outstanding until it is sent again"
    assert pauses[:5] == [RESEND_AFTER_S * 2**n for n in range(5)]
    assert set(pauses[5:]) == {MAX_RESEND_S}
    stream.route_changed()
    take(stream, now)
    assert stream.deadline == now + RESEND_AFTER_S
    stream.tick(stream.deadline)
    stream.offer(pack(1))
    assert [batch.number for batch in take_all(stream)] == [0, 1]
    stream.receive(taken(1), now)
    assert stream.deadline == now + RESEND_AFTER_S, "something was acknowledged"


def test_no_more_is_unacknowledged_than_may_be() -> None:
    stream = OutStream(OUT, 1, reliable=True, limit_bytes=2 * UNACKNOWLEDGED_BYTES)
    count = UNACKNOWLEDGED_BYTES // BATCH_BYTES
    assert all(stream.offer(text(BATCH_BYTES)) for _ in range(count + 1))
    assert len(take_all(stream)) == count
    stream.receive(taken(1, stream=1), 0.0)
    assert len(take_all(stream)) == 1
    stream.route_changed()
    assert len(take_all(stream)) == count, "sending again needs no room"
    stream.offer(text(BATCH_BYTES))
    assert stream.next_batch() is None
    stream.receive(taken(2, stream=1), 0.0)
    assert len(take_all(stream)) == 1


def test_no_more_batches_are_unacknowledged_than_may_be() -> None:
    stream = sender(reliable=True)
    for message in range(MAX_UNACKNOWLEDGED):
        stream.offer(pack(message))
        take(stream)
    stream.offer(pack(0))
    stream.offer(pack(1))
    assert stream.next_batch() is None
    stream.receive(taken(1), 0.0)
    assert take(stream).count == 2


@pytest.mark.parametrize(
    "wrong",
    [taken(2, life=4), taken(2, stream=6), taken(2, stream=8), taken(3), taken(MAX_MESSAGE_NUMBER)],
    ids=["earlier life", "earlier stream", "later stream", "more than was sent", "far more"],
)
def test_an_acknowledgement_that_makes_no_sense_is_dropped(wrong: Taken) -> None:
    stream = sender(reliable=True, waiting=2)
    take(stream)
    stream.offer(pack(2))
    assert stream.receive(wrong, 0.1) == [DROPPED]
    stream.route_changed()
    assert take(stream).number == 0


def test_late_and_partial_acknowledgements_change_nothing() -> None:
    stream = sender(reliable=True, waiting=2)
    take(stream)
    stream.offer(pack(2))
    take(stream)
    assert stream.receive(taken(2), 0.2) == []
    assert stream.receive(taken(0), 0.3) == []
    assert stream.receive(taken(1), 0.3) == []
    assert stream.deadline == 0.2 + RESEND_AFTER_S
    stream.route_changed()
    assert [(b.number, b.floor) for b in take_all(stream)] == [(2, 2)]


def test_a_destination_that_lives_anew_gets_what_was_unacknowledged() -> None:
    """And what the old life says from then on counts no more."""
    stream = sender(reliable=True, waiting=2)
    take(stream)
    stream.restarted(10)
    assert stream.receive(taken(2, incarnation=9), 0.1) == [DROPPED]
    assert take(stream).number == 0
    assert stream.receive(taken(2, incarnation=10), 0.1) == []
    assert stream.deadline is None


def test_giving_up_ends_the_waiting_for_acknowledgements() -> None:
    stream = sender(reliable=True, waiting=2)
    take(stream)
    stream.offer(pack(2))
    assert stream.clear() == 1
    assert stream.deadline is None
    stream.route_changed()
    assert stream.next_batch() is None
    stream.offer(pack(3))
    batch = take(stream)
    assert (batch.number, batch.floor) == (2, 2)
