"""What a node with a good certificate may say wrong, seen from outside (reliability, W1 … W18).

Node 2 is the puppet; nodes 1 and 3 run and are linked. Whatever is said, the two stay linked,
no actor crashes and the log stays short. W14 and W15 are about messages that do not exist yet;
the bytes of W5 … W11 one by one are in ``tests/protocol/test_wire.py``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tagmesh.actors.node import NodeActor
from tagmesh.protocol import messages as m
from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.link import MAX_PINGS_PER_S, State
from tagmesh.protocol.peering import MAX_PROCESS_PINGS_PER_S
from tagmesh.protocol.wire import encode
from tagmesh.simulation.world import CLUSTER, World
from tagmesh.transport.frames import frame
from tests.badinput.puppet import Puppet

ME = 2
MAX_LOG_CHARS = 512
MAX_LOG_LINES = 10

LINK_STATE = m.LinkState(CLUSTER, ME, 77, 77, 1, [(1, 1)])


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    """Nodes 1 and 3, linked before and after, whatever node 2 does meanwhile."""
    world = World(seed=1, nodes=3)
    world.boot(1)
    world.boot(3)
    world.run_for(1.0)  # the links have their actors
    world.until(lambda: world.link(1, 3) is world.link(3, 1) is State.UP, within_s=10)
    begun = {node: len(world.events[NodeId(node)]) for node in (1, 3)}
    caplog.clear()
    yield world
    for node, other in ((1, 3), (3, 1)):
        assert world.link(node, other) is State.UP
        assert world.route(node, other) == (other,)
        news = world.events[NodeId(node)][begun[node] :]
        about = [e for e in news if e.node_id == other and e.kind is not Event.ROSTER_CHANGED]
        assert about == [], "the good link noticed nothing"
        assert supervisor(world, node).crashes == 0
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) <= MAX_LOG_LINES
    assert all(len(line) <= MAX_LOG_CHARS and line.isprintable() for line in lines)


@pytest.fixture
def puppet(world: World) -> Puppet:
    return Puppet(world, ME)


def supervisor(world: World, node: int) -> Any:
    return world.processes[NodeId(node)].system.context.supervisor


def drops(world: World, node: int, rule: str) -> int:
    return world.processes[NodeId(node)].system.context.drops[rule]


def refusals(world: World, node: int) -> list[str]:
    """Reasons under which a node refused somebody, from its events."""
    events = world.events[NodeId(node)]
    return [e.cause.split()[0] for e in events if e.kind is Event.JOIN_REFUSED]


def topology(world: World, node: int) -> Any:
    """All that a node knows of the cluster."""
    actor = supervisor(world, node).actor(("node", CLUSTER))
    assert isinstance(actor, NodeActor)
    return actor.rules.adjacency(), dict(actor.rules._states._said), actor.rules.reachable


# Bytes ------------------------------------------------------------------------------------------

BYTES = {
    "W1 HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "W1 SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "W2 length 0": b"\0\0\0\0",
    "W2 length 2^32-1": b"\xff\xff\xff\xff",
    "W2 one byte too long": (1024 * 1024 + 1).to_bytes(4, "big"),
    "W3 one byte short": (8).to_bytes(4, "big") + encode([m.Ping(1, 1)]) + b"\0" * 3,
    "W5 reserved": frame(b"\xc1"),
    "W6 4 G messages": frame(b"\xdd\xff\xff\xff\xff"),
    "W7 deep": frame(b"\x91" * 100_000),
    "W9 not UTF-8": frame(b"\x91\x93\x18\x01\xa2\xff\xfe"),
    "W11 2^64-1": frame(b"\x91\x93\x0a\x01\xcf" + b"\xff" * 8),
}


@pytest.mark.parametrize("name", BYTES)
@pytest.mark.parametrize("greeted", [True, False])
def test_bytes_that_are_no_message_close_the_connection(
    world: World, puppet: Puppet, name: str, greeted: bool
) -> None:
    (puppet.greet if greeted else puppet.dial)(1)
    puppet.say_bytes(BYTES[name])
    assert puppet.closed
    assert refusals(world, 1) == ["violation"]
    assert world.link(1, ME) is not State.UP


def test_a_message_of_a_newer_version_is_skipped(world: World, puppet: Puppet) -> None:
    """W4: the connection stays, and what stands beside it is served."""
    puppet.greet(1)
    puppet.say_bytes(frame(b"\x92\x92\xcd\x03\xe7\x01" + encode([m.Ping(CLUSTER, 5)])[1:]))
    assert not puppet.closed
    assert [pong.number for pong in puppet.heard(m.Pong)] == [5]


def test_a_protocol_nobody_speaks_is_refused_by_name(world: World, puppet: Puppet) -> None:
    """W4"""
    puppet.dial(1)
    hello = puppet.hello()
    puppet.say(m.Hello(9, 65535, *[getattr(hello, f) for f in hello.__struct_fields__[2:]]))
    assert [refusal.reason for refusal in puppet.heard(m.Refusal)] == ["version"]
    assert puppet.closed


# Who it is (W12) ---------------------------------------------------------------------------------


@pytest.mark.parametrize("claimed", [1, 3, 9])
def test_a_hello_of_another_node_is_refused(world: World, puppet: Puppet, claimed: int) -> None:
    """W12: the certificate says node 2. Not even the dialled node's own id is believed."""
    puppet.dial(1)
    puppet.node = claimed
    puppet.say(puppet.hello())
    assert [refusal.reason for refusal in puppet.heard(m.Refusal)] == ["cert_identity"]
    assert puppet.closed
    assert refusals(world, 1) == ["cert_identity"]
    assert not puppet.heard(m.Welcome)


@pytest.mark.parametrize(("certificate", "why"), [(9, "unknown_node"), (1, "duplicate_id")])
def test_a_certificate_of_nobody_or_of_myself_is_refused(
    world: World, certificate: int, why: str
) -> None:
    """W12: not one of its words is looked at, and no actor of it is made."""
    stranger = Puppet(world, ME, certificate)
    stranger.dial(1)
    stranger.say(stranger.hello(), seconds=1.0)
    assert [refusal.reason for refusal in stranger.heard(m.Refusal)] == [why]
    assert stranger.closed
    assert not stranger.heard(m.Hello)
    assert not supervisor(world, 1).has(("peer", certificate))


def test_a_removed_node_is_closed_and_stays_out(world: World, puppet: Puppet) -> None:
    """W12: its connection ends, its words change nothing, it cannot come back."""
    puppet.greet(1)
    puppet.say(LINK_STATE)
    world.remove(ME)
    world.until(lambda: puppet.closed, within_s=5)
    assert [refusal.reason for refusal in puppet.heard(m.Refusal)] == ["unknown_node"]
    before = topology(world, 1)
    puppet.dial(1)
    puppet.say(puppet.hello(), LINK_STATE, seconds=1.0)
    assert puppet.closed
    assert topology(world, 1) == before


# Link states (W13) --------------------------------------------------------------------------------

OUT_OF_BOUNDS: dict[str, dict[str, object]] = {
    "1025 neighbours": {"neighbours": [(n, 1) for n in range(1, m.MAX_NODES + 2)]},
    "sequence 2^63": {"sequence": 2**63},
    "epoch -1": {"epoch": -1},
    "26 hops": {"hops": m.MAX_HOPS + 1},
    "node 0": {"origin": 0},
    "neighbour NaN": {"neighbours": [(float("nan"), 1)]},
}
NONSENSE: dict[str, tuple[str, dict[str, object]]] = {
    "itself as a neighbour": ("S11", {"neighbours": [(ME, 77)]}),
    "a neighbour twice": ("S11", {"neighbours": [(1, 1), (1, 2)]}),
    "an unknown neighbour": ("S11", {"neighbours": [(1, 1), (9, 1)]}),
    "an unknown origin": ("T-7", {"origin": 9}),
    "an old life of node 3": ("T-10", {"origin": 3, "epoch": 1, "incarnation": 1}),
    "the highest epoch in my name": ("T-9", {"origin": 1, "epoch": 2**63 - 1}),
    "another cluster": ("G-2", {"cluster_id": 7}),
}


@pytest.mark.parametrize("name", OUT_OF_BOUNDS)
def test_a_link_state_out_of_bounds_closes_the_connection(
    world: World, puppet: Puppet, name: str
) -> None:
    puppet.greet(1)
    puppet.say_unchecked(LINK_STATE, **OUT_OF_BOUNDS[name])
    assert puppet.closed
    assert refusals(world, 1) == ["violation"]


@pytest.mark.parametrize("name", NONSENSE)
def test_a_link_state_that_makes_no_sense_changes_nothing(
    world: World, puppet: Puppet, name: str
) -> None:
    rule, changes = NONSENSE[name]
    puppet.greet(1)
    before, counted = topology(world, 1), drops(world, 1, rule)
    puppet.say_unchecked(LINK_STATE, **changes)
    assert topology(world, 1) == before
    assert drops(world, 1, rule) == counted + 1
    assert not puppet.closed


# How much (W16) -----------------------------------------------------------------------------------


def test_no_more_pings_are_answered_than_it_is_worth(world: World, puppet: Puppet) -> None:
    """100,000 in a second: 1,000 are served, the rest is dropped and counted, cheaply."""
    puppet.greet(1)
    began_cpu_s = time.process_time()
    for burst in range(100):
        puppet.say(*[m.Ping(CLUSTER, burst * 1000 + n) for n in range(1000)], seconds=0.0099)
    took_cpu_s = time.process_time() - began_cpu_s
    world.run_for(0.01)
    served, dropped = len(puppet.heard(m.Pong)), drops(world, 1, "W16")
    assert served + dropped == 100_000
    assert MAX_PINGS_PER_S <= served <= 2 * MAX_PINGS_PER_S, "the second begins with the first one"
    assert took_cpu_s < 2.0, "sender, network and receiver together; 0.4 s without a load"
    assert not puppet.closed


def test_pings_of_the_process_are_rarer_still(world: World, puppet: Puppet) -> None:
    puppet.greet(1)
    puppet.say(*[m.Ping(0, n) for n in range(10_000)], seconds=0.5)
    assert len(puppet.heard(m.Pong)) == MAX_PROCESS_PINGS_PER_S
    assert drops(world, 1, "W16") == 10_000 - MAX_PROCESS_PINGS_PER_S


# When (W17, W18) ----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [1, 3])
def test_a_recorded_session_cannot_be_replayed(world: World, puppet: Puppet, target: int) -> None:
    """W17: it fits the session of its own connection only, whoever says WELCOME first."""
    puppet.greet(target)
    puppet.say(LINK_STATE)
    recording = puppet.sent
    assert not puppet.closed
    assert puppet.connection is not None
    puppet.connection.abort("recorded")
    world.run_for(1.0)
    before = topology(world, target)
    puppet.dial(target)
    for message in recording:
        puppet.say(message)
    assert puppet.closed
    assert refusals(world, target) == ["violation"]
    assert world.link(target, ME) is not State.UP
    assert topology(world, target) == before


@pytest.mark.parametrize("message", [m.Ping(CLUSTER, 1), m.Ping(0, 1), LINK_STATE])
@pytest.mark.parametrize("hello_first", [True, False])
@pytest.mark.parametrize("target", [1, 3])
def test_nothing_is_heard_before_welcome(
    world: World, puppet: Puppet, message: m.Message, hello_first: bool, target: int
) -> None:
    """W18"""
    before = topology(world, target)
    puppet.dial(target)
    puppet.say(*([puppet.hello()] if hello_first else []), message)
    assert puppet.closed
    assert refusals(world, target) == ["violation"]
    assert not puppet.heard(m.Pong)
    assert topology(world, target) == before


@pytest.mark.parametrize("established", [True, False])
@pytest.mark.parametrize("target", [1, 3])
def test_a_second_hello_closes(
    world: World, puppet: Puppet, established: bool, target: int
) -> None:
    """W18"""
    if established:
        puppet.greet(target)
    else:
        puppet.dial(target)
        puppet.say(puppet.hello())
    assert not puppet.closed
    puppet.say(puppet.hello())
    assert puppet.closed
    assert refusals(world, target) == ["violation"]
