"""I4, I6, I10: donors are OK, sessions end, what waits for capabilities is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..actors.lane import MESSAGE_BYTES
from ..protocol.credit import CREDIT_BYTES
from ..protocol.identity import NodeId
from ..protocol.messages import MAX_BATCH_BYTES, CapState, Message, SyncChunk
from ..protocol.streams import UNACKNOWLEDGED_BYTES
from . import inside
from .check import Check
from .rows import CLUSTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..actors.context import Name
    from ..transport.loopback_connection import Endpoint
    from .trouble import Trouble
    from .world import Process, World

FLIGHT_BYTES = MAX_BATCH_BYTES + MESSAGE_BYTES
"""A batch that was let through before the limit was reached."""


class SyncChecks(Check):
    """Needs nothing of the capabilities, so it is for those of applications too."""

    def __init__(self, world: World, trouble: Trouble) -> None:
        super().__init__(world, trouble)
        self._began: dict[tuple[int, int, Name, int], float] = {}
        """(node, its process, actor, session) → when it was first seen."""
        self._not_ok: dict[tuple[int, int, str], float] = {}
        """(node, its process, capability) → since when it has been seen not to be OK."""
        sent = world.network.on_sent

        def watch(end: Endpoint, messages: Sequence[Message]) -> None:
            for message in messages:
                if isinstance(message, SyncChunk) and message.source == end.node:
                    self._chunk(end.node, message)
            if sent is not None:
                sent(end, messages)

        world.network.on_sent = watch

    def _chunk(self, node: NodeId, chunk: SyncChunk) -> None:
        """I4: what is not OK serves nobody; in the same moment it may not have heard of it."""
        process = self.world.processes.get(node)
        if process is None:
            return
        since = self._not_ok.get((node, id(process), chunk.capability))
        said = process.system.context.registrations[CLUSTER, chunk.capability].said
        if since is not None and since < self.world.now and said.state is not CapState.OK:
            text = f"node {node} serves {chunk.capability} to {chunk.destination}"
            self.fail("I4", f"{text} while it is {said.state.name.lower()}")

    def look(self) -> None:
        """States, sessions, queues."""
        began: dict[tuple[int, int, Name, int], float] = {}
        not_ok: dict[tuple[int, int, str], float] = {}
        for node, process in self.running():
            for registration in process.system.context.registered(CLUSTER):
                if registration.said.state is not CapState.OK:
                    key = (node, id(process), registration.name)
                    not_ok[key] = self._not_ok.get(key, self.world.now)
            for name, session in inside.sessions(process):
                session_key = (node, id(process), name, session)
                since = began[session_key] = self._began.get(session_key, self.world.now)
                self._session(node, process, name, since)
            self._bounds(node, process)
        self._began, self._not_ok = began, not_ok

    def _session(self, node: NodeId, process: Process, name: Name, since: float) -> None:
        settings = self.settings(process)
        donor_s = (
            settings.sync_request_timeout_s + settings.sync_timeout_s + settings.resume_timeout_s
        )
        allowed_s = 2 * donor_s * len(self.world.ids)
        if self.world.now - since > allowed_s:
            self.fail("I6", f"session {name} of node {node} goes on for {allowed_s:g} s")

    def _bounds(self, node: NodeId, process: Process) -> None:
        settings = self.settings(process)
        for actor in inside.capabilities(process):
            name = actor.registration.name
            limits: list[tuple[str, int, int]] = [
                ("messages held", inside.held_messages(actor), settings.sync_queue_messages),
                ("bytes held", inside.held_bytes(actor), settings.sync_queue_bytes),
            ]
            for peer in self.world.ids:
                waiting = actor.registration.port.waiting_bytes(peer)
                limits.append((f"bytes waiting for {peer}", waiting, settings.outbox_bytes))
                sent = actor.flows.unacknowledged_bytes(peer)
                most = UNACKNOWLEDGED_BYTES + FLIGHT_BYTES
                limits.append((f"bytes unacknowledged by {peer}", sent, most))
            self._under(f"{name} of node {node}", limits)
        for (hop, name), size in inside.passing_bytes(process).items():
            most = len(self.world.ids) * (CREDIT_BYTES + FLIGHT_BYTES)
            self._under(f"{name} by way of node {node}", [(f"bytes for {hop}", size, most)])

    def _under(self, whose: str, limits: Sequence[tuple[str, int, int]]) -> None:
        for what, amount, limit in limits:
            if amount > limit:
                self.fail("I10", f"{whose}: {amount} {what}; the limit is {limit}")
