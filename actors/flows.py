"""The messages of one capability, to and from every node: the shell of `protocol.streams`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..protocol.contract import Outcome
from ..protocol.effects import Count
from ..protocol.identity import NodeId
from ..protocol.lacking import Lacking
from ..protocol.messages import CapState, Packets, Taken
from ..protocol.payloads import Joined
from ..protocol.streams import DELIVER_ALL, Acknowledge, Deliver, Ends, InStream, OutStream
from .actor import soonest
from .outbox import LOOSE_BYTES, Verdict, verdict_of
from .port import CapabilityPort

if TYPE_CHECKING:
    from .context import Context
    from .supervisor import Name
    from .view import View


class Flows:
    """Belongs to a capability actor; runs in its turns."""

    def __init__(
        self,
        context: Context,
        name: Name,
        capability: str,
        port: CapabilityPort,
        incoming: dict[NodeId, InStream],
        *,
        reliable: bool,
        limit_bytes: int,
        on_room: Callable[[NodeId], None],
    ) -> None:
        """``incoming`` lives as long as the process; ``on_room(node)``: a sender that was told BUSY
        may try again."""
        self._context = context
        self._name = name
        self._capability = capability
        self._port = port
        self._reliable = reliable
        self._limit_bytes = limit_bytes
        self._on_room = on_room
        self._view: View = context.views[port.cluster_id]
        self._out: dict[NodeId, OutStream] = {}
        self._in = incoming
        self._enabled = False
        self._lacking = Lacking()

    @property
    def deadline(self) -> float | None:
        """When a reliable stream wants a tick, or something has waited long enough."""
        if not self._reliable:
            return None
        times = [stream.deadline for stream in self._out.values()]
        return soonest(self._lacking.deadline, *times)

    # What is known of the others ------------------------------------------------------------

    def see(self, view: View, *, enabled: bool) -> None:
        """The cluster looks like this now, and the capability is ``enabled`` here or not."""
        before, self._view, self._enabled = self._view, view, enabled
        others = sorted(view.members.keys() - {view.me})
        if self._reliable:
            self._lacking.see(self._without(view), self._context.runtime.monotonic())
        self._port.verdicts = {node: self._verdict(node) for node in others}
        for incoming in self._in.values():
            incoming.ttl = view.ttl
        for node, stream in self._out.items():
            stream.ttl = view.ttl
            if view.incarnations.get(node, -1) != before.incarnations.get(node, -1):
                self._life_changed(node, stream)
            elif view.routes.get(node) != before.routes.get(node):
                stream.route_changed()
            if not self._port.verdicts.get(node, _GONE).accepted:
                self._give_up(node, stream)
        for node in self._out.keys() - view.members.keys():
            del self._out[node]
        for node in list(self._out):
            self._pump(node)

    def _without(self, view: View) -> dict[NodeId, int]:
        """The reachable nodes that have not registered the capability, each with its life."""
        return {
            node: life
            for node, life in view.incarnations.items()
            if self._capability not in view.capabilities.get(node, {})
        }

    def _give_up(self, node: NodeId, stream: OutStream) -> None:
        if stream.unacknowledged_bytes or stream.waiting_bytes:
            self._context.drops["R-3"] += 1
        self._released(node, stream.clear())

    def _life_changed(self, node: NodeId, stream: OutStream) -> None:
        if node in self._view.incarnations:
            stream.restarted(self._view.incarnations[node])

    def _verdict(self, node: NodeId) -> Verdict:
        if not self._enabled:
            return verdict_of(Outcome.DISABLED, detail="the capability is switched off here")
        there = self._view.capabilities.get(node, {}).get(self._capability)
        if there is not None and there.state is CapState.DISABLED:
            return verdict_of(Outcome.DISABLED, detail=f"it is switched off on node {node}")
        route = self._view.routes.get(node)
        if route is not None and there is not None:
            return verdict_of(Outcome.SENT, route)
        if self._reliable and node not in self._lacking.for_good:
            return verdict_of(Outcome.QUEUED)
        if route is not None:
            return verdict_of(Outcome.DISABLED, detail=f"node {node} has not registered it")
        return verdict_of(Outcome.UNREACHABLE, detail="no path leads to it")

    def stop(self) -> None:
        """The capability's actor ends."""
        self._port.verdicts = {}
        self.drop()

    def drop(self) -> None:
        """Give up everything that waits."""
        for node, pieces in self._port.collect().items():
            self._released(node, _size(pieces))
        for node, stream in self._out.items():
            self._released(node, stream.clear())

    # Out ------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Take over what the application has sent."""
        for node, pieces in self._port.collect().items():
            stream = self._out.get(node)
            if stream is None:
                stream = self._out[node] = self._new_stream(node)
            if not self._port.verdicts.get(node, _GONE).accepted:
                self._context.drops["R-3"] += sum(piece.count for piece in pieces)
                self._released(node, _size(pieces))
                continue
            size = _size(pieces)  # what is alone goes as it would have gone in the hub's thread
            single = len(pieces) == 1 and pieces[0].count == 1 and size <= LOOSE_BYTES
            if single and self.straight(node, pieces[0].payloads):
                self._released(node, size)
                continue
            for piece in pieces:
                taken = stream.offer(piece.payloads, piece.count)
                assert taken, "the port bounds what waits by the same limit"
            self._pump(node)

    def straight(self, node: int, payload: bytes | memoryview) -> bool:
        """Send one message, which nothing waits before in the port; False, and nothing happened,
        when it has to wait here or would not leave at once."""
        to = NodeId(node)
        stream, route = self._out.get(to), self._view.routes.get(to)
        lane = self._context.lanes.get(route[0]) if route else None
        if stream is None or lane is None or (packets := stream.single(payload)) is None:
            return False
        if lane.at_once(packets):
            return True
        stream.take_back()
        return False

    def lane_open(self, peer: NodeId) -> None:
        """There may be room on the connection with ``peer``."""
        for node in list(self._out):
            if self._view.routes.get(node, _NOWHERE)[0] == peer:
                self._pump(node)

    def taken(self, message: Taken, now: float) -> None:
        """A node acknowledges."""
        node = NodeId(message.source)
        stream = self._out.get(node)
        if stream is not None:
            self._count(stream.receive(message, now))
            self._pump(node)

    def tick(self, now: float) -> None:
        """Let the reliable streams look at the clock."""
        if self._lacking.tick(now):
            self.see(self._view, enabled=self._enabled)
        for node, stream in self._out.items():
            if stream.deadline is not None and now >= stream.deadline:
                self._count(stream.tick(now))
                self._pump(node)

    def _new_stream(self, node: NodeId) -> OutStream:
        now = self._context.runtime.monotonic()
        stream = OutStream(
            self._ends(node),
            int(now * 1e6),
            reliable=self._reliable,
            limit_bytes=self._limit_bytes,
        )
        stream.ttl = self._view.ttl
        self._life_changed(node, stream)
        return stream

    def _pump(self, node: NodeId) -> None:
        """Send to one node what there is room for."""
        stream, route = self._out[node], self._view.routes.get(node)
        lane = self._context.lanes.get(route[0]) if route else None
        if lane is None:
            return
        now = self._context.runtime.monotonic()
        freed = 0
        while (batch := stream.next_batch()) is not None:
            if not lane.send(batch):
                lane.wait(self._view.cluster_id, self._capability, self._name)
                break
            freed += stream.sent(now)
        if freed:
            self._released(node, freed)

    def _released(self, node: NodeId, size: int) -> None:
        if size and self._port.released(node, size):
            self._on_room(node)

    def unacknowledged_bytes(self, node: NodeId) -> int:
        """What was sent to a node in a reliable stream and may have to be sent again."""
        stream = self._out.get(node)
        return stream.unacknowledged_bytes if stream is not None else 0

    # In -------------------------------------------------------------------------------------

    def received(self, packets: Packets) -> int | None:
        """How many of the batch's messages are not to be delivered; None = none is.

        Acknowledges a reliable stream's batch.
        """
        node = NodeId(packets.source)
        if not self._enabled or node not in self._view.members or node == self._view.me:
            self._context.drops["G-8" if node in self._view.members else "G-4"] += 1
            return None
        stream = self._in.get(node)
        life = self._view.incarnations.get(node)
        if stream is None or life == packets.incarnation < stream.life:
            # a lower number than the life before: its disk and its clock were set back (T-9)
            stream = self._in[node] = InStream(self._ends(node))
            stream.ttl = self._view.ttl
        effects = stream.receive(packets)
        if effects is DELIVER_ALL:
            return 0
        skip = None
        for effect in effects:
            match effect:
                case Deliver():
                    skip = effect.skip
                case Acknowledge():
                    self._context.send_routed(effect.message)
                case Count():
                    self._context.drops[effect.rule] += 1
        return skip

    def _ends(self, node: NodeId) -> Ends:
        return Ends(
            cluster_id=self._view.cluster_id,
            capability=self._capability,
            me=self._view.me,
            incarnation=self._view.incarnation,
            peer=node,
        )

    def _count(self, effects: object) -> None:
        for effect in effects:  # type: ignore[attr-defined]  # a list of counts
            self._context.drops[effect.rule] += 1


def _size(pieces: Iterable[Joined]) -> int:
    return sum(len(piece.payloads) for piece in pieces)


_GONE = verdict_of(Outcome.UNREACHABLE)
_NOWHERE = (None,)
