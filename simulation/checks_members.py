"""I1, I7: who has no row, is removed or disabled or shows a wrong certificate is nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..protocol.config import TransportSettings
from ..protocol.events import Event, EventRecord
from ..protocol.identity import NodeId
from . import inside
from .check import Check
from .trouble import Trouble

if TYPE_CHECKING:
    from .world import Process, World

LINGER_S = 1.5
"""Close_timeout and the way there: what the roster forbids is gone within this."""
LEARN_S = 1.0
"""Beyond the refresh interval: a row that changed has been read by everybody who can."""


class MemberChecks(Check):
    """What each node holds of others, against the rows."""

    def __init__(self, world: World, trouble: Trouble) -> None:
        super().__init__(world, trouble)
        self._ever: set[NodeId] = set()
        """Every id that has had a row."""
        self._rows: dict[NodeId, bool] = {}
        self._edits = 0
        self._rows_since = 0.0
        self._offences: dict[tuple[object, ...], float] = {}
        """What should not be there, and since when it is."""

    def event(self, node: NodeId, record: EventRecord) -> None:
        """I7: nobody is announced who has no row here."""
        if record.kind is Event.NODE_UP and not self.world.dynamic:
            view = self._view(self.world.processes[node])
            if record.node_id is not None and not view.get(record.node_id, False):
                self.fail("I7", f"node {node} announces node {record.node_id}, which it bars")

    def survey(self) -> None:
        """The rows, and everything that is in use without one."""
        rows = {n: r.enabled for n, r in self.world.roster.records.items()}
        edits = self.world.storage.edits
        if (rows, edits) != (self._rows, self._edits) or self.storage_troubled():
            self._rows, self._edits, self._rows_since = rows, edits, self.world.now
        self._ever |= rows.keys()
        offences: dict[tuple[object, ...], float] = {}
        for node, process in self.running():
            view = self._view(process)
            if not view and self.world.now - self.trouble.until(node) < LINGER_S:
                continue  # it is starting
            self._impostors(node, process)
            self._versions(node, process)
            if not self.world.dynamic:
                self._strangers(node, process, view)
                self._rows_taken(node, process, view)
            for what in self._barred(node, process, view):
                offences[what] = self._offences.get(what, self.world.now)
                if self.world.now - offences[what] > self._linger_s(node):
                    text = f"node {what[0]} still has {what[1]} of node {what[2]}"
                    self.fail("I1", f"{text}, which its rows do not admit")
        self._offences = offences

    def _linger_s(self, node: NodeId) -> float:
        """How long a connection without admission may stay: who reads nothing does not see its
        end, and without rows (db_mode 0) a stranger may take its time to say HELLO.
        """
        transport = TransportSettings()
        reads = self.trouble.since("slow_reader", node) is None
        late_s = 0.0 if reads else transport.close_timeout_s
        return LINGER_S + late_s + (transport.handshake_timeout_s if self.world.dynamic else 0.0)

    def _view(self, process: Process) -> dict[NodeId, bool]:
        """Each node in the roster as this process knows it: is it enabled?"""
        actor = inside.storage_of(process)
        records = actor.rules.records.values() if actor is not None else ()
        return {r.node_id: r.enabled for r in records}

    def _impostors(self, node: NodeId, process: Process) -> None:
        """G-11: the other end of a connection in use is the machine of the node it speaks for."""
        for peer in inside.peers(process):
            end = inside.held(peer)
            if end is None:
                continue
            far = end.peer_node  # whose machine it is, whatever the certificate says
            if far != peer.peer or end.identity.node_id != peer.peer:
                text = f"node {node} takes node {far}, certificate {end.identity.node_id},"
                self.fail("I1", f"{text} for node {peer.peer}")

    def _versions(self, node: NodeId, process: Process) -> None:
        """J-2: what is spoken on a connection in use is known at both ends."""
        for peer in inside.peers(process):
            spoken = inside.spoken(peer)
            if spoken is None:
                continue
            version, theirs = spoken
            for low, high in (process.versions, theirs):
                if not low <= version <= high:
                    text = f"nodes {node} and {peer.peer} speak protocol {version}"
                    self.fail("J-2", f"{text}, which one of them does not know")

    def _strangers(self, node: NodeId, process: Process, view: dict[NodeId, bool]) -> None:
        """Who never had a row is mentioned nowhere, not even by somebody trusted (S11)."""
        actor = inside.node_of(process, process.system.context.config.clusters[0].id)
        mentioned = inside.mentioned(actor) if actor is not None else set()
        strangers = sorted((mentioned | view.keys()) - self._ever)
        if strangers:
            self.fail("I1", f"node {node} knows of node {strangers[0]}, which never had a row")

    def _rows_taken(self, node: NodeId, process: Process, view: dict[NodeId, bool]) -> None:
        refresh_s = process.system.context.config.provisioning.refresh_interval_s
        age_s = self.world.now - max(self._rows_since, self.trouble.until(node))
        if node not in self._rows or view == self._rows or age_s <= refresh_s + LEARN_S:
            return
        changed = sorted(set(view.items()) ^ set(self._rows.items()))
        text = f"node {node} has not taken the row of node {changed[0][0]} into account"
        self.fail("I7", f"{text} for {age_s:.1f} s")

    def _barred(
        self, node: NodeId, process: Process, view: dict[NodeId, bool]
    ) -> Iterator[tuple[object, ...]]:
        """(node, what, whom, which) for everything the node holds of somebody not admitted."""

        def bars(other: NodeId) -> bool:
            return not (view.get(node, False) and view.get(other, False))

        for actor in inside.links(process):
            if bars(actor.rules.peer):
                yield node, "the link", actor.rules.peer, actor
        for peer in inside.peers(process):
            if bars(peer.peer):
                yield node, "the peer actor", peer.peer, peer
        for end in process.transport.endpoints():
            if bars(end.identity.node_id):
                yield node, "a connection", end.identity.node_id, end
        topology = inside.node_of(process, process.system.context.config.clusters[0].id)
        if topology is not None:
            for other in inside.origins(topology):
                if other != node and bars(other):
                    yield node, "the adjacency", other, None
