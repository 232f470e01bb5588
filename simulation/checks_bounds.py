"""I10, I11, I16: what is limited stays under its limit, and nobody's actors crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..actors.actor import MAX_INBOX
from ..actors.peer import PAUSE_AT
from ..protocol.events import Event, EventRecord
from ..protocol.identity import NodeId
from . import inside
from .check import Check
from .trouble import Trouble

if TYPE_CHECKING:
    from .world import World

PEER_SLACK = 200
"""Mail of a peer actor beside the batches at which reading pauses (H3): links, gate, timers."""
STEPS_FREE_S = 500
STEPS_PER_CUBE_S = 25
"""What a world of n nodes may do in one virtual second: this and 25·n³. When all of them find each
other at once it does 10 to 13·n³ (each of n² links is told to n nodes); more is a storm (I16)."""
STEPS_PER_TRACE = 10
"""What a history sends is not the storm."""


class BoundChecks(Check):
    """Limits."""

    def __init__(self, world: World, trouble: Trouble) -> None:
        super().__init__(world, trouble)
        self._most_steps = STEPS_FREE_S
        self._second = 0
        self._steps_before = 0

    def event(self, node: NodeId, record: EventRecord) -> None:
        """Applications are not drowned either; the ring counts all events of a life."""
        if record.kind is Event.LINK_CHANGED and record.before == record.after:
            self.fail("I8", f"node {node} hears of a change that is none: {record}")

    def storm(self) -> None:
        """I16: after each step."""
        second, steps = int(self.world.now), self.world.scheduler.steps
        if second != self._second:
            self._second, self._steps_before = second, steps
        elif steps - self._steps_before > self._most_steps:
            traces = sum(
                count for (_, _, kind), count in self.world.sent.items() if kind == "Trace"
            )
            nodes = len(self.world.ids)
            most = STEPS_FREE_S + STEPS_PER_CUBE_S * nodes**3 + STEPS_PER_TRACE * traces
            if steps - self._steps_before > most:
                text = f"more than {most} steps in one virtual second of {nodes} nodes"
                self.fail("I16", f"{text}: a storm")
            self._most_steps = most

    def look(self) -> None:
        """Inboxes, queues, buffers; crashes."""
        for node, process in sorted(self.world.processes.items()):
            crashes = process.system.context.supervisor.crashes
            if crashes:
                self.fail("I11", f"{crashes} actors of node {node} crashed")
            for name, waiting in inside.inboxes(process):
                limit = PAUSE_AT + PEER_SLACK if name[0] == "peer" else MAX_INBOX
                if waiting > limit:
                    text = f"{waiting} messages wait at actor {name} of node {node}"
                    self.fail("I10", f"{text}; the limit is {limit}")
            transport = process.system.context.config.transport
            for end in process.transport.endpoints():
                if end.queued_bytes > transport.send_queue_bytes:
                    text = f"{end.queued_bytes} bytes wait for node {end.peer_node}"
                    limit = transport.send_queue_bytes
                    self.fail("I10", f"{text} at node {node}; the limit is {limit}")
                if inside.kept_bytes(end) > transport.max_frame_bytes + inside.HEADER_BYTES:
                    text = f"node {node} keeps {inside.kept_bytes(end)} bytes of one frame"
                    limit = transport.max_frame_bytes
                    self.fail("I10", f"{text}; the longest accepted has {limit}")

    def healed(self) -> None:
        """Each pair has one connection, and none is left over."""
        for node, process in self.running():
            far = sorted(end.peer_node for end in process.transport.endpoints())
            others = [n for n, _ in self.running() if n != node and self._whole(node, n)]
            if far != others:
                self.fail("I10", f"node {node} holds connections with {far}, not with {others}")

    def _whole(self, a: NodeId, b: NodeId) -> bool:
        return self.trouble.path_until(a, b) < self.world.now
