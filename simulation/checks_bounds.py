"""I10, I11, I16: what is limited stays under its limit, and nobody's actors crash."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING

from ..actors.actor import MAX_INBOX
from ..actors.context import Name
from ..actors.peer import PAUSE_AT
from ..protocol.events import Event, EventRecord
from ..protocol.identity import NodeId
from . import inside
from .check import Check
from .inside import Seen
from .trouble import Trouble

if TYPE_CHECKING:
    from .world import World

PEER_SLACK = 200
"""Mail of a peer actor beside the batches at which reading pauses (H3): links, gate, timers."""
STEPS_FREE_S = 500
STEPS_PER_PAIR_S = 100
"""What a world of n nodes may do in one virtual second when b processes began in it or just before:
this and 100·n·(n + b); more is a storm (I16). It does up to 22·n·(n + b) when nodes find each other
or a path is healed, 44 with capabilities that synchronise.
"""
STEPS_PER_TRACE = 10
"""What a history sends is not the storm."""


class BoundChecks(Check):
    """Limits."""

    def __init__(self, world: World, trouble: Trouble, seen: Seen | None = None) -> None:
        super().__init__(world, trouble, seen)
        self.storm_at = 0
        """Steps of the scheduler beyond which `storm` must be asked."""
        self._steps_before = 0
        self._begun = self._begun_before = 0
        """Processes since the last survey, and between the two before."""

    def booted(self, node: NodeId) -> None:  # noqa: ARG002 - the shape of all hooks
        """All others have to do with whoever begins."""
        self._begun += 1

    def event(self, node: NodeId, record: EventRecord) -> None:
        """Applications are not drowned either; the ring counts all events of a life."""
        if record.kind is Event.LINK_CHANGED and record.before == record.after:
            self.fail("I8", f"node {node} hears of a change that is none: {record}")

    def storm(self) -> None:
        """I16: too many steps since the last survey?"""
        kinds = self.world.sent.items()
        traces = sum(count for (_, _, kind), count in kinds if kind == "Trace")
        nodes = len(self.world.ids)
        pairs = nodes * (nodes + self._begun + self._begun_before)
        most = STEPS_FREE_S + STEPS_PER_PAIR_S * pairs + STEPS_PER_TRACE * traces
        self.storm_at = self._steps_before + most
        if self.world.scheduler.steps > self.storm_at:
            text = f"more than {most} steps in one virtual second of {nodes} nodes"
            self.fail("I16", f"{text}: a storm")

    def survey(self) -> None:
        """Steps are counted anew."""
        self._steps_before = self.world.scheduler.steps
        self.storm_at = self._steps_before + STEPS_FREE_S
        self._begun, self._begun_before = 0, self._begun

    def look(self) -> None:
        """Inboxes, queues, buffers; crashes."""
        for node, process in sorted(self.world.processes.items()):
            context = process.system.context
            if context.supervisor.crashes:
                self.fail("I11", f"{context.supervisor.crashes} actors of node {node} crashed")
            inboxes = self.seen.cast(process).inboxes
            if max(map(len, inboxes.values()), default=0) > PAUSE_AT + PEER_SLACK:
                self._crowded(node, inboxes)
            queue_bytes = context.config.transport.send_queue_bytes
            frame_bytes = context.config.transport.max_frame_bytes
            for end in process.transport.endpoints():
                if end.queued_bytes > queue_bytes:
                    text = f"{end.queued_bytes} bytes wait for node {end.peer_node}"
                    self.fail("I10", f"{text} at node {node}; the limit is {queue_bytes}")
                if inside.kept_bytes(end) > frame_bytes + inside.HEADER_BYTES:
                    text = f"node {node} keeps {inside.kept_bytes(end)} bytes of one frame"
                    self.fail("I10", f"{text}; the longest accepted has {frame_bytes}")

    def _crowded(self, node: NodeId, inboxes: Mapping[Name, Sized]) -> None:
        for name, inbox in inboxes.items():
            limit = PAUSE_AT + PEER_SLACK if name[0] == "peer" else MAX_INBOX
            if len(inbox) > limit:
                text = f"{len(inbox)} messages wait at actor {name} of node {node}"
                self.fail("I10", f"{text}; the limit is {limit}")

    def healed(self) -> None:
        """Each pair has one connection, and none is left over."""
        running = list(self.running())
        for node, process in running:
            far = sorted(end.peer_node for end in process.transport.endpoints())
            others = [n for n, _ in running if n != node and self._whole(node, n)]
            if far != others:
                self.fail("I10", f"node {node} holds connections with {far}, not with {others}")

    def _whole(self, a: NodeId, b: NodeId) -> bool:
        return self.trouble.path_until(a, b) < self.world.now
