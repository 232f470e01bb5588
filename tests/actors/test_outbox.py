"""What waits for one destination. What other threads do in between is made to happen here; see
test_port for real ones."""

from __future__ import annotations

from typing import Any

import pytest

from tagmesh.actors.outbox import (
    LOOSE_BYTES,
    LOOSE_RESERVE_BYTES,
    MAX_LOOSE,
    Outbox,
    verdict_of,
)
from tagmesh.protocol.contract import Outcome
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.payloads import BATCH_BYTES, Joined

SENT = verdict_of(Outcome.SENT, [NodeId(2)])
GONE = verdict_of(Outcome.UNREACHABLE)
LIMIT = LOOSE_RESERVE_BYTES + 1000


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(LIMIT, SENT)


def taken(outbox: Outbox) -> bytes:
    pieces = outbox.take()
    payloads = b"".join(piece.payloads for piece in pieces)
    assert sum(piece.count for piece in pieces) == len(payloads), "messages of one byte each"
    return payloads


def put(outbox: Outbox, *messages: bytes) -> None:
    pieces = [Joined(len(some), some) for some in messages]
    outbox.put(pieces)


def test_all_ways_in_keep_the_order(outbox: Outbox) -> None:
    outbox.loose.append(b"a")
    put(outbox, b"b")
    outbox.loose.append(b"c")
    put(outbox, b"de", b"fg")
    outbox.loose.append(b"h")
    assert outbox.count() == 8
    assert taken(outbox) == b"abcdefgh"
    assert outbox.count() == 8, "it is not sent yet"
    outbox.released(8)
    assert outbox.count() == 0


def test_many_small_messages_become_few_pieces(outbox: Outbox) -> None:
    for _ in range(10 * MAX_LOOSE):
        put(outbox, b"x")
    assert len(outbox.take()) <= 10


def test_no_piece_is_longer_than_a_batch_or_a_message(outbox: Outbox) -> None:
    outbox.loose += [b"l" * LOOSE_BYTES] * (3 * MAX_LOOSE)  # by many threads at once
    for _ in range(3 * MAX_LOOSE):
        outbox.put([Joined(1, b"s" * LOOSE_BYTES)])
    longer = b"z" * (BATCH_BYTES + 1)
    outbox.put([Joined(1, b"a"), Joined(1, longer), Joined(1, b"b")])
    *joined, a, long, b = outbox.take()
    assert [a.payloads, long.payloads, b.payloads] == [b"a", longer, b"b"]
    assert {len(piece.payloads) for piece in joined} == {MAX_LOOSE * LOOSE_BYTES}
    assert MAX_LOOSE * LOOSE_BYTES <= BATCH_BYTES


@pytest.mark.parametrize("step", ["__getitem__", "__delitem__"])
def test_a_message_that_comes_while_others_are_joined_comes_once(outbox: Outbox, step: str) -> None:
    """It is put without a lock, at any time."""

    class Meanwhile(list[bytes | memoryview]):
        came = False

        def _come(self) -> None:
            if not self.came:
                self.came = True
                self.append(b"m")

        def __getitem__(self, place: Any) -> Any:
            found = super().__getitem__(place)
            if step == "__getitem__":
                self._come()
            return found

        def __delitem__(self, place: Any) -> None:
            if step == "__delitem__":
                self._come()
            super().__delitem__(place)

    outbox.loose = Meanwhile()
    outbox.loose += [b"a", b"b"]
    put(outbox, b"cd")
    outbox.loose.append(b"e")
    assert outbox.count() == 6
    messages = taken(outbox)
    assert messages.count(b"m") == 1
    assert messages.replace(b"m", b"") == b"abcde"


def test_small_messages_are_loose_only_while_all_there_may_be_fit(outbox: Outbox) -> None:
    """I10: those that nobody counts, of as many threads as can be at that point at once."""
    assert LOOSE_BYTES * MAX_LOOSE < LOOSE_RESERVE_BYTES
    assert outbox.open
    put(outbox, b"x" * 1000)
    assert outbox.open
    put(outbox, b"x" * 2)
    assert not outbox.open
    taken(outbox)
    assert not outbox.open, "it waits all the same"
    outbox.released(2)
    assert outbox.open
    assert not Outbox(LOOSE_RESERVE_BYTES - 1, SENT).open


def test_nothing_is_loose_where_nothing_is_accepted(outbox: Outbox) -> None:
    outbox.judge(GONE)
    assert not outbox.open
    outbox.judge(SENT)
    assert outbox.open


def test_who_sends_hears_whether_something_waits(outbox: Outbox) -> None:
    told = [outbox.result]
    told += [outbox.put([Joined(1, message)]) for message in (b"a", b"b")]
    outbox.take()
    told.append(outbox.result)
    outbox.released(2)
    told.append(outbox.result)
    first, behind = Outcome.SENT, Outcome.QUEUED
    assert [result.outcome for result in told] == [first, first, behind, behind, first]
