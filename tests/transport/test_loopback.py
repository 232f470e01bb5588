"""The loopback on virtual time: delays, cuts, losses, dead nodes; the same run every time."""

from __future__ import annotations

import math

import pytest

from tagmesh.protocol.errors import Misuse
from tagmesh.transport.loopback_connection import RESEND_CAP_S, WINDOW_BYTES
from tests.transport.links import identity, node, ping, text
from tests.transport.loopback_world import SETTINGS, World


@pytest.fixture
def world() -> World:
    return World()


def test_connecting_takes_the_round_trips_of_tcp_and_tls(world: World) -> None:
    world.dial()
    world.clock.run(0.0399)
    assert not world.dialled
    world.clock.run(0.0002)
    assert world.dialled
    assert not world.accepted, "TLS 1.3: the dialler is done first"
    world.clock.run(0.010)
    assert world.accepted


def test_a_cut_path_is_a_connect_timeout(world: World) -> None:
    world.wire.set(None)
    world.dial()
    world.clock.run(0.999)
    assert not world.failures
    world.clock.run(0.002)
    assert "connect_timeout" in world.failures[0].cause
    assert not world.failures[0].nobody_there
    world.clock.run(100.0)
    assert len(world.failures) == 1
    assert world.clock.waiting == 0


def test_a_path_cut_during_the_handshake_is_a_handshake_timeout(world: World) -> None:
    world.dial()
    world.clock.run(0.025)
    world.wire.set(None)
    world.clock.run(6.0)
    assert "handshake_timeout" in world.failures[0].cause
    assert not world.accepted


def test_a_dead_node_refuses(world: World) -> None:
    world.network.kill(node(2))
    world.dial()
    world.clock.run(0.019)
    assert not world.failures
    world.clock.run(0.002)
    assert world.failures[0].nobody_there


def test_killing_a_node_ends_its_connections_at_the_peers_only(world: World) -> None:
    left, right = world.connect()
    world.network.kill(node(2))
    world.clock.run(0.011)
    assert [ending.cause for ending in left.endings] == ["closed by the peer"]
    assert not left.endings[0].clean
    world.clock.run(10.0)
    assert not right.endings, "a dead process hears nothing"
    with pytest.raises(Misuse, match="no transport"):
        world.network.kill(node(2))
    world.two = world.listening()
    world.connect()


def test_a_node_has_one_transport_at_a_time(world: World) -> None:
    with pytest.raises(Misuse, match="has a transport here already"):
        world.network.transport(node(1), identity(1))


def test_a_short_cut_delays_and_loses_nothing(world: World) -> None:
    left, right = world.connect()
    world.wire.set(None)
    for number in range(5):
        assert left.connection.send([ping(number)])
        world.clock.run(0.1)
    assert not right.messages
    world.wire.set(0.010)
    world.clock.run(1.0)
    assert right.messages == [ping(number) for number in range(5)]


def test_a_long_cut_is_over_soon_after_healing(world: World) -> None:
    left, right = world.connect()
    world.wire.set(None)
    assert left.connection.send([ping(1)])
    world.clock.run(60.0)
    world.wire.set(0.010)
    world.clock.run(RESEND_CAP_S + 0.1)
    assert right.messages == [ping(1)]


def test_a_lost_chunk_holds_up_what_follows_but_not_the_order(world: World) -> None:
    left, right = world.connect()
    world.wire.lose_next = 1
    assert left.connection.send([ping(1)])
    assert left.connection.send([ping(2)])
    world.clock.run(0.1)
    assert not right.messages
    world.clock.run(0.2)
    assert right.messages == [ping(1), ping(2)]


def test_order_survives_shrinking_delays(world: World) -> None:
    left, right = world.connect()
    for number, delay_s in enumerate([0.5, 0.2, 0.001]):
        world.wire.set(delay_s)
        assert left.connection.send([ping(number)])
    world.clock.run(0.4)
    assert not right.messages
    world.clock.run(0.2)
    assert right.messages == [ping(0), ping(1), ping(2)]


def test_a_clogged_path_holds_everything_and_loses_nothing(world: World) -> None:
    left, right = world.connect()
    world.wire.set(math.inf)
    assert left.connection.send([ping(1)])
    assert left.connection.send([ping(2)])
    world.clock.run(600.0)
    assert not right.messages
    for arrive in reversed(world.wire.held):
        arrive()
    assert right.messages == [ping(1), ping(2)]


def test_a_stalled_end_reads_when_it_may_again(world: World) -> None:
    left, right = world.connect()
    (end,) = world.two.endpoints()
    end.stall(on=True)
    assert left.connection.send([ping(1)])
    world.clock.run(60.0)
    assert not right.messages
    end.stall(on=False)
    world.clock.run(0.1)
    assert right.messages == [ping(1)]


def test_injected_messages_reach_the_consumer_until_the_end(world: World) -> None:
    left, right = world.connect()
    (end,) = world.two.endpoints()
    assert end.inject([ping(7)])
    assert right.messages == [ping(7)]
    left.connection.abort("enough")
    world.clock.run(1.0)
    assert not end.inject([ping(8)])


def test_what_is_sent_is_told(world: World) -> None:
    left, _ = world.connect()
    assert left.connection.send([ping(1), ping(2)])
    assert world.told[-1] == (node(1), node(2), [ping(1), ping(2)])


def test_a_one_way_cut_is_one_way(world: World) -> None:
    left, right = world.connect()
    world.wire.delays[node(1), node(2)] = None
    assert left.connection.send([ping(1)])
    assert right.connection.send([ping(2)])
    world.clock.run(5.0)
    assert left.messages == [ping(2)]
    assert not right.messages


def test_an_abort_on_a_cut_path_is_learnt_when_the_peer_speaks_again(world: World) -> None:
    left, right = world.connect()
    world.wire.set(None)
    left.connection.abort("link down")
    world.clock.run(10.0)
    assert left.endings
    assert not right.endings
    world.wire.set(0.010)
    world.clock.run(10.0)
    assert not right.endings
    assert right.connection.send([ping(1)])
    world.clock.run(1.0)
    assert "reset by peer" in right.endings[0].cause
    assert not right.endings[0].clean


def test_close_on_a_cut_path_ends_in_time_and_leaves_nothing_running(world: World) -> None:
    left, _ = world.connect()
    world.wire.set(None)
    assert left.connection.send([ping(1)])
    left.connection.close("over")
    world.clock.run(0.99)
    assert not left.endings
    world.clock.run(0.02)
    assert left.endings[0].cause == "over"
    assert not left.endings[0].clean
    world.clock.run(100.0)
    assert world.clock.waiting == 0


def test_a_reader_that_stops_stops_the_sender(world: World) -> None:
    left, right = world.connect()
    right.connection.pause()
    sent = 0
    while left.connection.send([text(250)] * 100):
        sent += 100
        world.clock.run(0.1)
    assert left.connection.queued_bytes > SETTINGS.send_queue_bytes - 30_000
    assert sent * 255 < SETTINGS.send_queue_bytes + WINDOW_BYTES + 100_000
    right.connection.resume()
    world.clock.run(10.0)
    assert len(right.messages) == sent


def test_two_runs_are_the_same() -> None:
    def story() -> list[str]:
        world = World()
        left, right = world.connect()
        log = []
        for number in range(50):
            world.wire.set([0.003, None, 0.2, 0.0][number % 4])
            left.connection.send([ping(number)])
            right.connection.send([ping(1000 + number)])
            world.clock.run(0.05)
            log.append(f"{world.clock.now_s:.3f} {left.messages} {right.messages}")
        left.connection.close("over")
        world.clock.run(5.0)
        return [*log, repr(left.endings), repr(right.endings)]

    assert story() == story()
