"""A loopback network on virtual time, with two nodes: what its tests share."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from tagmesh.protocol.config import TransportSettings
from tagmesh.protocol.identity import BinsUrl, NodeId
from tagmesh.protocol.messages import Message
from tagmesh.transport import Connection, Ending, LoopbackNetwork, LoopbackTransport
from tests.transport.links import Recorder, identity, node

SETTINGS = TransportSettings(connect_timeout_s=1.0, handshake_timeout_s=5.0, close_timeout_s=1.0)
URL = BinsUrl("node-2", 5556)


class Clock:
    """Virtual time: what is deferred, in order of time, then of asking."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []

    def defer(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._waiting, (self.now_s + delay_s, next(self._order), action))

    def run(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self._waiting and self._waiting[0][0] <= end_s:
            self.now_s, _, action = heapq.heappop(self._waiting)
            action()
        self.now_s = end_s

    @property
    def waiting(self) -> int:
        return len(self._waiting)


class Wire:
    """A path with a delay per direction; None = cut."""

    def __init__(self) -> None:
        self.delays: dict[tuple[NodeId, NodeId], float | None] = {}
        self.lose_next = 0
        self.held: list[Callable[[], None]] = []

    def delay_s(self, source: NodeId, target: NodeId, size_bytes: int) -> float | None:
        assert size_bytes >= 0
        if self.lose_next:
            self.lose_next -= 1
            return None
        return self.delays.get((source, target), 0.010)

    def hold(self, source: NodeId, target: NodeId, action: Callable[[], None]) -> None:
        self.held.append(action)

    def set(self, delay_s: float | None) -> None:
        self.delays = {(node(1), node(2)): delay_s, (node(2), node(1)): delay_s}


class World:
    """Nodes 1 and 2; 2 listens."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.wire = Wire()
        self.network = LoopbackNetwork(self.clock.defer, self.wire, SETTINGS)
        self.told: list[tuple[NodeId, NodeId, list[Message]]] = []
        self.network.on_sent = lambda end, messages: self.told.append(
            (end.node, end.peer_node, list(messages))
        )
        self.one = self.network.transport(node(1), identity(1), lambda: self.clock.now_s)
        self.refused: list[tuple[str, Ending]] = []
        self.two = self.listening()
        self.dialled: list[Connection] = []
        self.failures: list[Ending] = []

    def listening(self) -> LoopbackTransport:
        self.accepted: list[Connection] = []
        transport = self.network.transport(node(2), identity(2), lambda: self.clock.now_s)
        transport.listen(URL, self.accepted.append, lambda *refusal: self.refused.append(refusal))
        return transport

    def dial(self) -> None:
        self.one.dial(URL, node(2), self.dialled.append, self.failures.append)

    def connect(self) -> tuple[Recorder, Recorder]:
        self.dial()
        self.clock.run(1.0)
        return Recorder(self.dialled[-1]), Recorder(self.accepted[-1])
