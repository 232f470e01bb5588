"""A node of a simulated world whose every word is up to the test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from tagmesh.protocol import messages as m
from tagmesh.protocol.config import read_config
from tagmesh.protocol.identity import BinsUrl, NodeId, PeerIdentity
from tagmesh.simulation.world import CLUSTER, World
from tagmesh.transport import Connection, Ending
from tagmesh.transport.frames import frame
from tagmesh.transport.loopback_connection import Endpoint, Item, ItemKind

T = TypeVar("T", bound=m.Message)

PATIENCE_S = 2.0


class Puppet:
    """Plays node ``node``, with a certificate of node ``certificate``; one connection at a time."""

    def __init__(self, world: World, node: int, certificate: int | None = None) -> None:
        self.world = world
        self.node = node
        identity = PeerIdentity(
            node_id=NodeId(certificate or node),
            fingerprint="f" * 64,
            not_after_wall_s=4_000_000_000.0,
        )
        self._transport = world.network.transport(NodeId(node), identity)
        self.connection: Connection | None = None
        self.received: list[m.Message] = []
        self.sent: list[m.Message] = []
        self.endings: list[Ending] = []

    def dial(self, target: int) -> None:
        """A new connection with ``target``, TLS done; nothing is said yet."""
        connections: list[Connection] = []
        failures: list[Ending] = []
        self._transport.dial(
            BinsUrl(f"node-{target}"), NodeId(target), connections.append, failures.append
        )
        self.world.until(lambda: bool(connections or failures), within_s=PATIENCE_S)
        assert not failures, failures
        self.connection = connections[0]
        self.received, self.sent, self.endings = [], [], []
        self.connection.start(self.received.extend, self.endings.append)

    def hello(self) -> m.Hello:
        """A HELLO with which every node of the world is content."""
        digest = read_config({"node": {"id": 1}}).cluster(CLUSTER).digest
        return m.Hello(
            1, 1, self.node, 77, b"recorded", b"",
            [m.ClusterOffer(CLUSTER, digest)], m.MIN_FRAME_BYTES, "puppet",
        )  # fmt: skip

    def greet(self, target: int) -> None:
        """A new connection with ``target``, established as it should be."""
        self.dial(target)
        self.say(self.hello())
        theirs = self.wait_for(m.Hello)
        self.say(m.Welcome(1, theirs.session, [CLUSTER]))
        self.wait_for(m.Welcome)

    def say(self, *messages: m.Message, seconds: float = 0.05) -> None:
        """Send in one frame and let ``seconds`` pass."""
        assert self.connection is not None
        self.sent += messages
        self.connection.send(messages)
        self.world.run_for(seconds)

    def say_bytes(self, data: bytes) -> None:
        """Send these bytes as they are."""
        assert isinstance(self.connection, Endpoint)
        self.connection.emit(Item(ItemKind.DATA, data))
        self.world.run_for(0.05)

    def say_unchecked(self, message: m.Message, **changes: object) -> None:
        """A message some of whose fields are out of bounds; the encoder looks at none."""
        wrong = msgspec.structs.replace(message, **changes)
        self.say_bytes(frame(msgspec.msgpack.encode([wrong])))

    def wait_for(self, kind: type[T]) -> T:
        """The first message of a kind on this connection."""
        self.world.until(lambda: bool(self.heard(kind)), within_s=PATIENCE_S)
        return self.heard(kind)[0]

    def heard(self, kind: type[T]) -> Sequence[T]:
        """What came of a kind on this connection."""
        return [message for message in self.received if isinstance(message, kind)]

    @property
    def closed(self) -> bool:
        """The other end has closed this connection."""
        return bool(self.endings)
