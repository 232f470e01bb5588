"""What every transport promises: the same tests on real TLS sockets and on the loopback."""

from __future__ import annotations

import random
from collections.abc import Sequence

import gevent
import pytest

from tagmesh.protocol.errors import Misuse, Reason
from tagmesh.protocol.identity import BinsUrl
from tagmesh.protocol.messages import Message
from tagmesh.transport import Connection, Ending
from tests.transport.links import (
    ANY_PORT,
    Network,
    Pair,
    Recorder,
    node,
    ping,
    text,
    until,
)


def test_both_sides_know_who_the_other_is(network: Network) -> None:
    pair = Pair(network)
    assert pair.left.connection.identity.node_id == 2
    assert pair.right.connection.identity.node_id == 1
    assert pair.left.connection.dialled
    assert not pair.right.connection.dialled
    url = pair.listener.url
    assert url.port != 0
    assert pair.left.connection.address == f"{url.host}:{url.port}"


def test_messages_arrive_in_order_both_ways(network: Network) -> None:
    pair = Pair(network)
    for recorder, other in ((pair.left, pair.right), (pair.right, pair.left)):
        assert recorder.connection.send([ping(1), ping(2)])
        assert recorder.connection.send([])
        assert recorder.connection.send([ping(3)])
        until(lambda other=other: len(other.messages) == 3)  # type: ignore[misc]
        assert other.messages == [ping(1), ping(2), ping(3)]


def test_ten_thousand_random_small_messages_both_ways(network: Network) -> None:
    rng = random.Random(7)
    pair = Pair(network)
    sent: dict[Recorder, list[Message]] = {pair.left: [], pair.right: []}
    while min(map(len, sent.values())) < 10_000:
        recorder = rng.choice([pair.left, pair.right])
        batch: list[Message] = [
            rng.choice([ping(rng.randrange(2**60)), text(rng.randrange(200))])
            for _ in range(rng.randrange(1, 60))
        ]
        assert recorder.connection.send(batch)
        sent[recorder] += batch
        if rng.random() < 0.1:
            gevent.sleep(0)
    until(lambda: len(pair.right.messages) == len(sent[pair.left]))
    until(lambda: len(pair.left.messages) == len(sent[pair.right]))
    assert pair.right.messages == sent[pair.left]
    assert pair.left.messages == sent[pair.right]
    assert len(pair.right.batches) < 2_000, "many messages, few calls"


def test_what_is_sent_together_is_delivered_in_one_call(network: Network) -> None:
    pair = Pair(network)
    batch = [ping(number) for number in range(300)]
    assert pair.left.connection.send(batch)
    until(lambda: len(pair.right.messages) == 300)
    assert len(pair.right.batches) == 1


def test_what_arrives_before_start_is_kept(network: Network) -> None:
    pair = Pair(network, start=False)
    pair.left.start()
    assert pair.left.connection.send([ping(1)])
    gevent.sleep(0.02)
    assert pair.left.connection.send([ping(2)])
    gevent.sleep(0.02)
    pair.right.start()
    assert not pair.right.batches, "never from inside start()"
    until(lambda: len(pair.right.messages) == 2)
    assert pair.right.messages == [ping(1), ping(2)]


def test_callbacks_never_come_from_inside_send(network: Network) -> None:
    pair = Pair(network, start=False)
    depth = 0
    echoed: list[Message] = []

    def echo(messages: Sequence[Message]) -> None:
        nonlocal depth
        assert depth == 0
        depth += 1
        echoed.extend(messages)
        if len(echoed) < 200:
            assert pair.left.connection.send(messages)
        depth -= 1

    pair.left.connection.start(echo, pair.left.endings.append)
    right: list[Message] = []

    def answer(messages: Sequence[Message]) -> None:
        right.extend(messages)
        assert pair.right.connection.send(messages)

    pair.right.connection.start(answer, pair.right.endings.append)
    assert pair.left.connection.send([ping(1)])
    until(lambda: len(echoed) == 200)
    assert not pair.left.endings


def test_close_delivers_everything_and_both_end_clean(patient: Network) -> None:
    pair = Pair(patient)
    batch = [text(250)] * 1_000
    for _ in range(16):  # 4 MB
        assert pair.left.connection.send(batch)
    pair.left.connection.close("enough")
    pair.left.connection.close("a second call does nothing")
    assert not pair.left.connection.send([ping(1)]), "closed for new messages"
    right, left = pair.right.ending, pair.left.ending
    assert len(pair.right.messages) == 16_000
    assert (right.cause, right.clean, right.reason) == ("closed by the peer", True, None)
    assert (left.cause, left.clean) == ("enough", True)
    assert right.node_id == 1


def test_both_may_close_at_once(network: Network) -> None:
    pair = Pair(network)
    pair.left.connection.close("left")
    pair.right.connection.close("right")
    assert pair.left.ending.cause == "left"
    assert pair.right.ending.cause == "right"
    assert pair.left.ending.clean
    assert pair.right.ending.clean


def test_close_is_over_in_time_when_the_peer_does_not_read(network: Network) -> None:
    pair = Pair(network)
    pair.right.connection.pause()
    while pair.left.connection.send([text(250)] * 1_000):
        gevent.sleep(0)
    pair.left.connection.close("enough")
    ending = pair.left.ending
    assert ending.cause == "enough"
    assert not ending.clean


def test_abort_ends_both_sides_at_once(network: Network) -> None:
    pair = Pair(network)
    pair.left.connection.abort("no more")
    assert not pair.left.endings, "never from inside abort()"
    assert pair.left.ending.cause == "no more"
    ending = pair.right.ending
    assert not ending.clean
    assert ending.reason is None
    assert not pair.left.connection.send([ping(1)])
    assert not pair.right.connection.send([ping(1)])


def test_on_end_comes_once_and_last(network: Network) -> None:
    pair = Pair(network)
    assert pair.left.connection.send([ping(1)])
    pair.left.connection.close("one")
    pair.left.connection.abort("two")
    pair.right.connection.abort("three")
    assert pair.left.ending
    assert pair.right.ending
    gevent.sleep(0.05)
    assert len(pair.left.endings) == len(pair.right.endings) == 1
    assert pair.left.after_end == pair.right.after_end == 0


def test_an_end_before_start_is_told_after_start(network: Network) -> None:
    pair = Pair(network, start=False)
    pair.right.connection.abort("never wanted")
    pair.right.start()
    assert not pair.right.endings
    assert pair.right.ending.cause == "never wanted"


def test_wrong_node_is_refused_on_both_sides(network: Network) -> None:
    one, two = network.transport(1), network.transport(2)
    connections: list[Connection] = []
    refused: list[Ending] = []
    failures: list[Ending] = []
    listener = two.listen(ANY_PORT, connections.append, lambda _, ending: refused.append(ending))
    one.dial(listener.url, node(9), connections.append, failures.append)
    until(lambda: bool(failures and refused))
    assert (failures[0].reason, failures[0].by_peer) == (Reason.CERT_IDENTITY, False)
    assert failures[0].node_id == 2
    assert (refused[0].reason, refused[0].by_peer) == (Reason.CERT_IDENTITY, True)
    assert not connections


def test_nobody_listens(network: Network) -> None:
    one, two = network.transport(1), network.transport(2)
    listener = two.listen(ANY_PORT, lambda _: None, lambda *_: None)
    listener.close()
    failures: list[Ending] = []
    one.dial(listener.url, node(2), lambda _: None, failures.append)
    assert not failures, "never from inside dial()"
    until(lambda: bool(failures))
    assert failures[0].nobody_there
    assert failures[0].cause == "connection refused"
    assert failures[0].reason is None


def test_a_cancelled_dial_calls_nobody(network: Network) -> None:
    one, two = network.transport(1), network.transport(2)
    called: list[object] = []
    listener = two.listen(ANY_PORT, lambda _: None, lambda *_: None)
    dial = one.dial(listener.url, node(2), called.append, called.append)
    dial.cancel()
    dial.cancel()
    gevent.sleep(0.05)
    assert not called


def test_an_address_in_use_is_told_clearly(network: Network) -> None:
    one, two = network.transport(1), network.transport(2)
    listener = one.listen(ANY_PORT, lambda _: None, lambda *_: None)
    with pytest.raises(Misuse, match="the address is in use"):
        two.listen(listener.url, lambda _: None, lambda *_: None)
    listener.close()
    two.listen(listener.url, lambda _: None, lambda *_: None)


def test_block_ends_and_refuses_until_unblocked(network: Network) -> None:
    pair = Pair(network)
    pair.one.block(node(2))
    assert "test switch" in pair.left.ending.cause
    assert not pair.right.ending.clean
    failures: list[Ending] = []
    connections: list[Connection] = []
    pair.one.dial(pair.listener.url, node(2), connections.append, failures.append)
    until(lambda: bool(failures))
    assert "test switch" in failures[0].cause
    pair.one.unblock(node(2))
    pair.one.dial(pair.listener.url, node(2), connections.append, failures.append)
    until(lambda: bool(connections))


def test_block_refuses_what_comes_in(network: Network) -> None:
    one, two = network.transport(1), network.transport(2)
    refused: list[Ending] = []
    connections: list[Connection] = []
    dialled: list[Connection] = []
    two.block(node(1))
    listener = two.listen(ANY_PORT, connections.append, lambda _, ending: refused.append(ending))
    one.dial(listener.url, node(2), dialled.append, lambda _: None)
    until(lambda: bool(refused and dialled))
    assert "test switch" in refused[0].cause
    assert refused[0].node_id == 1
    assert not connections
    assert not Recorder(dialled[0]).ending.clean, "TLS 1.3: up at the dialler, then dropped"


def test_both_may_dial_at_once(network: Network) -> None:
    one, two = network.transport(1), network.transport(2)
    connections: list[Connection] = []
    first = one.listen(ANY_PORT, connections.append, lambda *_: None)
    second = two.listen(ANY_PORT, connections.append, lambda *_: None)
    one.dial(second.url, node(2), connections.append, lambda _: None)
    two.dial(first.url, node(1), connections.append, lambda _: None)
    until(lambda: len(connections) == 4)


def test_a_closed_transport_ends_its_connections_and_refuses_work(network: Network) -> None:
    pair = Pair(network)
    pair.two.close()
    assert "transport was closed" in pair.right.ending.cause
    assert not pair.left.ending.clean
    with pytest.raises(Misuse, match="closed"):
        pair.two.dial(BinsUrl("127.0.0.1", 1), node(1), lambda _: None, lambda _: None)
    with pytest.raises(Misuse, match="closed"):
        pair.two.listen(ANY_PORT, lambda _: None, lambda *_: None)
