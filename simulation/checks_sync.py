"""I4, I6, N-2: who is asked for a sync and who serves one, and that each of them ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.events import Event, EventRecord
from ..protocol.identity import NodeId
from ..protocol.messages import CapState, Message, SyncAnswer, SyncChunk, SyncEnd, SyncRequest
from . import inside
from .check import Check
from .rows import CLUSTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..actors.context import Name
    from ..transport.loopback_connection import Endpoint
    from .trouble import Trouble
    from .world import Process, World

_Key = tuple[int, int, str]
"""(node, incarnation, capability)"""


class SyncChecks(Check):
    """Needs nothing of the capabilities, so it is for those of applications too."""

    def __init__(self, world: World, trouble: Trouble) -> None:
        super().__init__(world, trouble)
        self._began: dict[tuple[int, int, Name, int], float] = {}
        """(node, its process, actor, session) → when it was first seen."""
        self._left_ok: dict[_Key, float | None] = {}
        """What was OK → since when it is so no longer; None = it is."""
        self._wrong: list[tuple[str, str]] = []
        """(invariant, what was sent): an actor would take what is raised for a crash of its own."""
        sent = world.network.on_sent

        def watch(end: Endpoint, messages: Sequence[Message]) -> None:
            for message in messages:
                self._sync(end.node, message)
            if sent is not None:
                sent(end, messages)

        world.network.on_sent = watch
        world.on_step.append(self._tell)

    def _tell(self, _world: World) -> None:
        for invariant, text in self._wrong:
            self.fail(invariant, text)

    def event(self, node: NodeId, record: EventRecord) -> None:
        """Remember who is OK."""
        process = self.world.processes.get(node)
        if record.kind is Event.CAPABILITY_CHANGED and process is not None:
            key = (node, process.system.context.incarnation, record.capability or "")
            if record.after == "ok":
                self._left_ok[key] = None
            elif record.before == "ok":
                self._left_ok[key] = self.world.now

    def _sync(self, node: NodeId, message: Message) -> None:
        match message:
            case SyncRequest() if message.source == node:
                self._asks(node, message)
            case SyncChunk() | SyncEnd() if message.source == node:
                self._serves(node, message)
            case SyncAnswer() if message.source == node and not message.refusal:
                self._serves(node, message)
            case _:
                pass

    def _asks(self, node: NodeId, request: SyncRequest) -> None:
        """N-2: nobody is asked for what only an earlier life of it had."""
        donor = self.world.processes.get(NodeId(request.destination))
        if donor is None:
            return
        life = donor.system.context.incarnation
        view = self.world.processes[node].system.context.views[CLUSTER]
        known = view.incarnations.get(NodeId(request.destination)) == life
        if known and (request.destination, life, request.capability) not in self._left_ok:
            text = f"node {node} asks node {request.destination} for {request.capability}"
            self._wrong.append(("N-2", f"{text}, which was not OK in its present life"))

    def _serves(self, node: NodeId, message: SyncAnswer | SyncChunk | SyncEnd) -> None:
        """I4: what is not OK serves nobody; in the same moment it may not have heard of it."""
        process = self.world.processes.get(node)
        if process is None:
            return
        context = process.system.context
        said = context.registrations[CLUSTER, message.capability].said
        since = self._left_ok.get((node, context.incarnation, message.capability), 0.0)
        if said.state is not CapState.OK and since is not None and since < self.world.now:
            text = f"node {node} serves {message.capability} to {message.destination}"
            self._wrong.append(("I4", f"{text} while it is {said.state.name.lower()}"))

    def look(self) -> None:
        """Sessions."""
        began: dict[tuple[int, int, Name, int], float] = {}
        for node, process in self.running():
            for name, session in inside.sessions(process):
                session_key = (node, id(process), name, session)
                since = began[session_key] = self._began.get(session_key, self.world.now)
                self._session(node, process, name, since)
        self._began = began

    def _session(self, node: NodeId, process: Process, name: Name, since: float) -> None:
        settings = self.settings(process)
        donor_s = (
            settings.sync_request_timeout_s + settings.sync_timeout_s + settings.resume_timeout_s
        )
        allowed_s = 2 * donor_s * len(self.world.ids)
        if self.world.now - since > allowed_s:
            self.fail("I6", f"session {name} of node {node} goes on for {allowed_s:g} s")
