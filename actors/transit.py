"""Data that passes through this node on its way (R-1, C-6): whatever the node's own capabilities.

A message that finds no room on the next connection waits here, and is credited to the connection it
came on only when it has left; so what waits is bounded by the credit given, and who sends too fast
is slowed down all the way back. Routes that change may make nodes wait for each other in a circle:
what waits longer than `PATIENCE_S` is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from .lane import Bulk, Lane, size_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..protocol.identity import NodeId
    from .supervisor import Name

PATIENCE_S = 5.0

_Flow = tuple["NodeId", str]
"""(next hop, capability)"""


class _Held(NamedTuple):
    came_on: Lane
    message: Bulk
    until: float


class Transit:
    """The data of one cluster that is passing through."""

    def __init__(
        self,
        name: Name,
        lanes: Mapping[NodeId, Lane],
        next_hop: Callable[[NodeId], NodeId | None],
        count: Callable[[str], None],
    ) -> None:
        """``name``: the actor that calls `lane_open`; ``count`` counts drops by rule (G-15)."""
        self._name = name
        self._lanes = lanes
        self._next_hop = next_hop
        self._count = count
        self._held: dict[_Flow, deque[_Held]] = {}

    @property
    def deadline(self) -> float | None:
        """When the message that has waited longest is given up."""
        return min((held[0].until for held in self._held.values()), default=None)

    def forward(self, lane: Lane, message: Bulk, now: float) -> None:
        """Send on what came on ``lane``, or keep it until there is room."""
        hop = self._next_hop(message.destination)  # type: ignore[arg-type]  # an id off the wire
        if message.ttl == 0 or hop is None or hop not in self._lanes:
            self._drop(lane, message, "R-11" if message.ttl == 0 else "R-3")
            return
        onward = msgspec.structs.replace(message, ttl=message.ttl - 1)
        held = self._held.get((hop, message.capability))
        if held is None and self._lanes[hop].send(onward):
            _consumed(lane, message)
            return
        self._held.setdefault((hop, message.capability), deque()).append(
            _Held(lane, onward, now + PATIENCE_S)
        )
        if held is None:
            self._lanes[hop].wait(message.cluster_id, message.capability, self._name)

    def lane_open(self, hop: NodeId) -> None:
        """There may be room on the connection with ``hop``."""
        for flow in [f for f in self._held if f[0] == hop]:
            self._drain(flow)

    def tick(self, now: float) -> None:
        """Give up what has waited too long; what its next hop lost is gone then at the latest."""
        for flow, held in list(self._held.items()):
            while held and held[0].until <= now:
                late = held.popleft()
                self._drop(late.came_on, late.message, "R-10")
            if not held:
                del self._held[flow]

    def _drain(self, flow: _Flow) -> None:
        held, lane = self._held[flow], self._lanes.get(flow[0])
        while held:
            first = held[0]
            if lane is None:
                return  # a new connection, or `tick`, comes
            if not lane.send(first.message):
                lane.wait(first.message.cluster_id, flow[1], self._name)
                return
            held.popleft()
            _consumed(first.came_on, first.message)
        del self._held[flow]

    def _drop(self, lane: Lane, message: Bulk, rule: str) -> None:
        self._count(rule)
        _consumed(lane, message)


def _consumed(lane: Lane, message: Bulk) -> None:
    lane.consumed(message.cluster_id, message.capability, size_of(message))
