"""Certificates on a loopback network: judged as TLS judges them, and both ends hear why."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol.errors import Reason
from tagmesh.protocol.identity import PeerIdentity
from tagmesh.transport import Ending
from tagmesh.transport.loopback import CertificateEnded
from tests.transport.links import Recorder, identity, node, ping
from tests.transport.loopback_world import World

ENDS_S = 100.0
OURS = Ending(cause="its certificate expired", reason=Reason.CERT_EXPIRED)
"""As `tests/transport/test_tls.py` hears it from OpenSSL; the same for the text below."""
THEIRS = "the peer refused us: our certificate expired by the peer's clock"


@pytest.fixture
def world() -> World:
    return World()


def ending(number: int) -> PeerIdentity:
    return msgspec.structs.replace(identity(number), not_after_wall_s=ENDS_S)


def test_the_dialler_refuses_an_acceptor_whose_certificate_ended(world: World) -> None:
    world.two.identity = ending(2)
    world.clock.run(ENDS_S - 0.039)
    world.dial()
    world.clock.run(1.0)
    assert world.failures == [OURS]
    ((address, told),) = world.refused
    assert address == "node-1:0"
    assert told.cause.startswith(THEIRS)
    assert (told.reason, told.by_peer) == (Reason.CERT_EXPIRED, True)
    assert not world.dialled
    assert not world.accepted


def test_the_acceptor_refuses_a_dialler_that_believes_to_be_connected(world: World) -> None:
    world.one.identity = ending(1)
    world.clock.run(ENDS_S)
    world.dial()
    world.clock.run(0.0401)
    left = Recorder(world.dialled[0])
    assert left.connection.send([ping(1)])
    world.clock.run(1.0)
    assert world.refused == [("node-1:0", OURS)]
    (told,) = left.endings
    assert told.cause.startswith(THEIRS)
    assert (told.reason, told.by_peer, told.node_id) == (Reason.CERT_EXPIRED, True, 2)
    assert not world.accepted
    assert world.one.connections == world.two.connections == 0


def test_a_verdict_that_is_lost_is_not_heard(world: World) -> None:
    world.one.identity = ending(1)
    world.clock.run(ENDS_S)
    world.dial()
    world.clock.run(0.0401)
    left = Recorder(world.dialled[0])
    world.wire.delays[node(2), node(1)] = None
    world.clock.run(10.0)
    assert world.refused == [("node-1:0", OURS)]
    assert not left.endings


def test_a_certificate_is_good_until_it_ends_and_so_is_its_connection(world: World) -> None:
    world.one.identity, world.two.identity = ending(1), ending(2)
    world.clock.run(ENDS_S - 2.0)
    left, right = world.connect()
    world.clock.run(10.0)
    assert left.connection.send([ping(1)])
    world.clock.run(1.0)
    assert right.messages == [ping(1)]
    assert not left.endings


def test_each_side_judges_by_its_own_clock(world: World) -> None:
    world.two.identity = ending(2)
    world.one.die()
    world.one = world.network.transport(node(1), ending(1), lambda: world.clock.now_s - 50.0)
    world.clock.run(ENDS_S + 1.0)
    world.dial()
    world.clock.run(1.0)
    assert world.dialled, "node 1 takes the certificate of node 2"
    assert world.refused == [("node-1:0", OURS)]


def test_nobody_starts_with_a_certificate_that_ended(world: World) -> None:
    world.clock.run(ENDS_S)
    with pytest.raises(CertificateEnded, match="the certificate of node 3 expired"):
        world.network.transport(node(3), ending(3), lambda: world.clock.now_s)
    world.network.transport(node(3), identity(3), lambda: world.clock.now_s)


def test_without_a_clock_no_certificate_ends(world: World) -> None:
    world.clock.run(ENDS_S)
    assert not world.network.transport(node(3), ending(3)).ended(ending(2))


def test_a_certificate_of_another_node_is_refused_by_the_dialler(world: World) -> None:
    world.two.identity = identity(7)
    world.dial()
    world.clock.run(1.0)
    (failure,) = world.failures
    assert (failure.reason, failure.node_id) == (Reason.CERT_IDENTITY, 7)
    ((_, told),) = world.refused
    assert (told.reason, told.by_peer) == (Reason.CERT_IDENTITY, True)
