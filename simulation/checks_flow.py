"""I10 of capabilities: what waits, is held, passes through or is under way is bounded (R-10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..actors.lane import MESSAGE_BYTES
from ..protocol.messages import MAX_BATCH_BYTES
from ..protocol.streams import UNACKNOWLEDGED_BYTES
from . import inside
from .check import Check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..actors.lane import Lane
    from ..protocol.identity import NodeId
    from .inside import Endpoint
    from .trouble import Trouble
    from .world import Process, World

FLIGHT_BYTES = MAX_BATCH_BYTES + MESSAGE_BYTES
"""A batch that was let through before the limit was reached."""


class FlowChecks(Check):
    """Needs nothing of the capabilities, so it is for those of applications too."""

    def __init__(self, world: World, trouble: Trouble) -> None:
        super().__init__(world, trouble)
        self._overfull: set[tuple[int, str]] = set()
        """(node, capability) that held too much for a sync when it was looked at last."""

    def look(self) -> None:
        """Outboxes, streams, what a sync holds; what passes through; credit."""
        ends = {
            end: lane
            for process in self.world.processes.values()
            for end, lane in inside.lanes(process)
        }
        for end, lane in ends.items():
            far = inside.far_end(end)
            if far in ends:
                self._credit(end, lane, ends[far])
        self._held()
        for node, process in self.running():
            self._own(node, process)
            most = len(self.world.ids) * (self.settings(process).credit_window_bytes + FLIGHT_BYTES)
            for (hop, name), size in inside.passing_bytes(process).items():
                limits = [(f"bytes wait for {hop}", size, most)]
                self._under(f"{name} by way of node {node}", limits)

    def _own(self, node: NodeId, process: Process) -> None:
        settings = self.settings(process)
        for actor in inside.capabilities(process):
            limits: list[tuple[str, int, int]] = []
            for peer in self.world.ids:
                waiting = actor.registration.port.waiting_bytes(peer)
                limits.append((f"bytes wait for {peer}", waiting, settings.outbox_bytes))
                sent = actor.flows.unacknowledged_bytes(peer)
                most = UNACKNOWLEDGED_BYTES + FLIGHT_BYTES
                limits.append((f"bytes unacknowledged by {peer}", sent, most))
            self._under(f"{actor.registration.name} of node {node}", limits)

    def _held(self) -> None:
        """A sync for which too much is held ends at once (S-23), which takes some turns."""
        overfull: set[tuple[int, str]] = set()
        for node, process in self.running():
            settings = self.settings(process)
            for actor in inside.capabilities(process):
                name = actor.registration.name
                messages, size = inside.held_messages(actor), inside.held_bytes(actor)
                if messages > settings.sync_queue_messages or size > settings.sync_queue_bytes:
                    overfull.add((node, name))
                    if (node, name) in self._overfull:
                        text = f"{messages} messages, {size} bytes are held in a sync that goes on"
                        self.fail("I10", f"{name} of node {node}: {text}")
        self._overfull = overfull

    def _credit(self, end: Endpoint, lane: Lane, far: Lane) -> None:
        """What a node has sent on a connection and the other one has not dealt with."""
        most = self.settings(self.world.processes[end.node]).credit_window_bytes
        handled = far.handled_bytes()
        for flow, sent in lane.sent_bytes().items():
            under_way = sent - handled.get(flow, 0)
            limits = [(f"bytes sent to {lane.peer} and not dealt with", under_way, most)]
            self._under(f"{flow[1]} of node {end.node}", limits)

    def _under(self, whose: str, limits: Sequence[tuple[str, int, int]]) -> None:
        for what, amount, limit in limits:
            if amount > limit:
                self.fail("I10", f"{whose}: {amount} {what}; the limit is {limit}")
