"""What every transport promises of a busy connection: bounds, pauses, room, control before data."""

from __future__ import annotations

import functools

import gevent
import pytest

from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.messages import Packets, Ping
from tagmesh.transport import Connection
from tagmesh.transport.sendqueue import MAX_CHUNK_BYTES, MAX_DATA_BYTES
from tests.transport.links import (
    ANY_PORT,
    Network,
    Pair,
    Recorder,
    node,
    packets,
    ping,
    text,
    until,
)


def test_pause_stops_delivery_and_the_sender_notices(small: Network) -> None:
    pair = Pair(small)
    pair.right.connection.pause()
    sent = 0
    while pair.left.connection.send([text(250)] * 100):
        sent += 100
        gevent.sleep(0)
        assert sent < 200_000, "the queue is bounded"
    assert 0 < pair.left.connection.queued_bytes <= 66 * 1024, "2 KiB more: TLS records"
    assert not pair.right.messages
    assert pair.right.connection.send([ping(1)]), "the other direction flows"
    until(lambda: pair.left.messages == [ping(1)])
    pair.right.connection.resume()
    until(lambda: len(pair.right.messages) == sent)
    until(lambda: pair.left.connection.queued_bytes == 0)
    assert pair.left.connection.send([ping(2)])


def test_who_was_refused_is_told_of_room_once(small: Network) -> None:
    pair = Pair(small)
    connection = pair.left.connection
    told: list[int] = []
    connection.on_room = lambda: told.append(connection.queued_bytes)
    assert connection.send([text(250)] * 100)
    until(lambda: connection.queued_bytes == 0)
    pair.right.connection.pause()
    while connection.send([text(250)] * 100):
        gevent.sleep(0)
    gevent.sleep(0.02)
    assert not told, "nobody was refused, then nothing was read"
    pair.right.connection.resume()
    until(lambda: connection.queued_bytes == 0)
    until(lambda: bool(told))
    assert told[0] <= 32 * 1024
    gevent.sleep(0.02)
    assert len(told) == 1


def test_room_is_told_from_the_loop_so_that_one_may_send(small: Network) -> None:
    """Who sends again when told keeps the connection busy to the end."""
    pair = Pair(small)
    connection = pair.left.connection
    left = [[ping(number)] * 200 for number in range(1_000)]
    inside = False

    def fill() -> None:
        nonlocal inside
        assert not inside, "never from inside send()"
        inside = True
        while left and connection.send(left[0]):
            left.pop(0)
        inside = False

    connection.on_room = fill
    fill()
    assert left, "more than a queue full"
    until(lambda: len(pair.right.messages) == 200_000)
    assert pair.right.messages[::200] == [ping(number) for number in range(1_000)]


def test_an_ended_connection_tells_of_no_room(small: Network) -> None:
    pair = Pair(small)
    told: list[None] = []
    pair.left.connection.on_room = lambda: told.append(None)
    pair.right.connection.pause()
    while pair.left.connection.send([text(250)] * 100):
        gevent.sleep(0)
    pair.left.connection.close("enough")
    pair.right.connection.resume()
    assert pair.left.ending
    gevent.sleep(0.02)
    assert not told


def test_a_ping_overtakes_all_data_that_is_queued(network: Network) -> None:
    """It waits for what is on the way already, never for what this side keeps (B13)."""
    pair = Pair(network)
    connection = pair.left.connection
    pair.right.connection.pause()
    sent = filled_up = 0
    while filled_up < 20:  # the kernel takes more for a while
        if connection.send([packets(sent, 32_000)]):
            sent, filled_up = sent + 1, 0
        else:
            filled_up += 1
        gevent.sleep(0.001)
    queued = connection.queued_bytes
    assert queued > MAX_DATA_BYTES // 2
    assert connection.send([ping(7)])
    pair.right.connection.resume()
    until(lambda: len(pair.right.messages) == sent + 1)
    place = pair.right.messages.index(ping(7))
    behind = pair.right.messages[place + 1 :]
    assert len(behind) * 32_000 > queued - 2 * MAX_CHUNK_BYTES
    data = [message for message in pair.right.messages if isinstance(message, Packets)]
    assert [message.number for message in data] == list(range(sent)), "among itself in order"


def test_both_sides_may_be_as_busy_as_they_can_at_once(network: Network) -> None:
    """A prototype stalled in bulk transfers with both CPUs half idle."""
    pair = Pair(network)
    count = 400  # 13 MB each way
    sent = {pair.left: 0, pair.right: 0}

    def fill(recorder: Recorder) -> None:
        while sent[recorder] < count and recorder.connection.send(
            [packets(sent[recorder], 32_000), ping(sent[recorder])]
        ):
            sent[recorder] += 1

    for recorder in sent:
        recorder.connection.on_room = functools.partial(fill, recorder)
        fill(recorder)
    for recorder in sent:
        until(lambda recorder=recorder: len(recorder.messages) == 2 * count)  # type: ignore[misc]  # bound now
        for kind in (Packets, Ping):
            numbers = [message.number for message in recorder.messages if type(message) is kind]
            assert numbers == list(range(count))


def test_a_batch_that_does_not_fit_is_not_queued_in_part(small: Network) -> None:
    pair = Pair(small)
    pair.right.connection.pause()
    while pair.left.connection.send([text(250)] * 10):
        pass
    before = pair.left.connection.queued_bytes
    assert not pair.left.connection.send([text(250)] * 200)
    assert pair.left.connection.queued_bytes == before


def test_a_batch_that_can_never_fit_is_our_mistake(small: Network) -> None:
    pair = Pair(small)
    with pytest.raises(Misuse, match="can never fit the send queue"):
        pair.left.connection.send([text(250)] * 1_000)


def test_a_slow_reader_does_not_stop_others(small: Network) -> None:
    slow = Pair(small)
    third = small.transport(3)
    accepted: list[Connection] = []
    dialled: list[Connection] = []
    listener = third.listen(ANY_PORT, accepted.append, lambda *_: None)
    slow.one.dial(listener.url, node(3), dialled.append, lambda _: None)
    until(lambda: bool(accepted and dialled))
    fast, reader = Recorder(dialled[0]), Recorder(accepted[0])
    slow.right.connection.pause()
    while slow.left.connection.send([text(250)] * 100):
        gevent.sleep(0)
    for number in range(100):
        assert fast.connection.send([ping(number)])
        until(lambda number=number: len(reader.messages) == number + 1)  # type: ignore[misc]
