"""I1, I7: who has no row, is removed or disabled or shows a wrong certificate is nowhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..actors.peer import PeerActor
from ..actors.storage import MAX_WAIT_S, MIN_REFRESH_GAP_S, StorageActor
from ..protocol.config import TransportSettings
from ..protocol.events import Event, EventRecord
from ..protocol.identity import NodeId, NodeRecord
from ..protocol.membership import Key
from ..protocol.peering import ConnectionKey
from . import inside
from .check import Check
from .inside import Cast, Seen
from .trouble import READ_S, Trouble

if TYPE_CHECKING:
    from .world import Process, World

OPEN, CLOSING = "an open connection", "a closing connection"
SLACK_S = 0.1
"""What simulated calls and mails take."""


_View = dict[NodeId, bool]


class MemberChecks(Check):
    """What each node holds of others, against the rows."""

    def __init__(self, world: World, trouble: Trouble, seen: Seen | None = None) -> None:
        super().__init__(world, trouble, seen)
        self._ever: set[NodeId] = set()
        """Every id that has had a row."""
        self._views: dict[StorageActor, tuple[Mapping[Key, NodeRecord], _View]] = {}
        self._before: dict[StorageActor | None, tuple[_View, float]] = {}
        """What was in the roster before its last change, and when that was."""
        self._genuine: dict[PeerActor, ConnectionKey | None] = {}
        """The connection of each peer actor that was found to be what it says."""
        self._rows: _View = {}
        self._offences: dict[tuple[object, ...], float] = {}
        """What should not be there, and since when it is."""

    def event(self, node: NodeId, record: EventRecord) -> None:
        """I7: nobody is announced who had no row here before this moment, and has none.

        In the same moment the rows may be read and not yet be on their way to who announces.
        """
        if record.kind not in (Event.NODE_UP, Event.ROSTER_CHANGED) or self.world.dynamic:
            return
        cast = self.seen.cast(self.world.processes[node])
        view, peer = self._view(cast), record.node_id
        if record.kind is Event.ROSTER_CHANGED or peer is None or view.get(peer, False):
            return
        before, at = self._before.get(cast.storage, ({}, -math.inf))
        if at < self.world.now or not before.get(peer, False):
            self.fail("I7", f"node {node} announces node {peer}, which it bars")

    def survey(self) -> None:
        """The rows, and everything that is in use without one."""
        self._rows = {n: r.enabled for n, r in self.world.storage.records.items()}
        self._ever |= self._rows.keys()
        offences: dict[tuple[object, ...], float] = {}
        for node, process in self.running():
            cast = self.seen.cast(process)
            view = self._view(cast)
            for peer in cast.peers.values():
                if peer.rules.established != self._genuine.get(peer):
                    self._impostor(node, peer)
                    self._version(node, process, peer)
                    self._genuine[peer] = peer.rules.established
            if not self.world.dynamic:
                self._strangers(node, cast, view)
                self._rows_taken(node, view)
            for what in self._barred(node, process, cast, view):
                since_s = offences[what] = self._offences.get(what, self.world.now)
                if self.world.now - since_s > self.allowed_s(node).get(what[1], 0.0):
                    text = f"node {what[0]} still has {what[1]} of node {what[2]}"
                    self.fail("I1", f"{text}, which its rows do not admit")
        self._offences = offences

    def allowed_s(self, node: NodeId) -> Mapping[object, float]:
        """How long a connection without admission may be open, and then take to close.

        A database that does not answer holds the judgement up for `MAX_WAIT_S`; without rows
        (db_mode 0) a stranger may take its time to say HELLO, and so may whoever is dialled by a
        node that reads nothing. Such a node, or one on a dead path, does not see that the other
        end has closed it too.
        """
        transport = TransportSettings()
        rows_s = MIN_REFRESH_GAP_S + MAX_WAIT_S
        reads = self.trouble.since("slow_reader", node) is None
        judged_s = rows_s if reads and not self.world.dynamic else transport.handshake_timeout_s
        return {OPEN: judged_s + SLACK_S, CLOSING: transport.close_timeout_s + SLACK_S}

    def _view(self, cast: Cast) -> _View:
        """Each node in the roster as this process knows it: is it enabled?"""
        if cast.storage is None:
            return {}
        records = cast.storage.rules.records
        kept = self._views.get(cast.storage)
        if kept is None or kept[0] != records:
            view = {r.node_id: r.enabled for r in records.values()}
            self._before[cast.storage] = (kept[1] if kept else {}, self.world.now)
            kept = self._views[cast.storage] = (dict(records), view)
        return kept[1]

    def _impostor(self, node: NodeId, peer: PeerActor) -> None:
        """G-11: the other end of a connection in use is the machine of the node it speaks for."""
        end = inside.held(peer)
        if end is None:
            return
        far = end.peer_node  # whose machine it is, whatever the certificate says
        if far != peer.peer or end.identity.node_id != peer.peer:
            text = f"node {node} takes node {far}, certificate {end.identity.node_id},"
            self.fail("I1", f"{text} for node {peer.peer}")

    def _version(self, node: NodeId, process: Process, peer: PeerActor) -> None:
        """J-2: what is spoken on a connection in use is known at both ends."""
        spoken = inside.spoken(peer)
        if spoken is None:
            return
        version, theirs = spoken
        for low, high in (process.versions, theirs):
            if not low <= version <= high:
                text = f"nodes {node} and {peer.peer} speak protocol {version}"
                self.fail("J-2", f"{text}, which one of them does not know")

    def _strangers(self, node: NodeId, cast: Cast, view: _View) -> None:
        """Who never had a row is mentioned nowhere, not even by somebody trusted (S11)."""
        tables = self.seen.tables(cast.node) if cast.node is not None else None
        mentioned = tables.mentioned if tables is not None else frozenset()
        if not (mentioned <= self._ever and view.keys() <= self._ever):
            stranger = min((mentioned | view.keys()) - self._ever)
            self.fail("I1", f"node {node} knows of node {stranger}, which never had a row")

    def _rows_taken(self, node: NodeId, view: _View) -> None:
        if node not in self._rows or view == self._rows:
            return
        edited = self.trouble.edited_until(by=(node,))
        age_s = self.world.now - max(edited, self.trouble.booted.get(node, 0.0))
        if age_s <= READ_S:
            return
        changed = sorted(set(view.items()) ^ set(self._rows.items()))
        text = f"node {node} has not taken the row of node {changed[0][0]} into account"
        self.fail("I7", f"{text} for {age_s:.1f} s")

    def _barred(
        self, node: NodeId, process: Process, cast: Cast, view: _View
    ) -> Iterator[tuple[object, ...]]:
        """(node, what, whom, which) for everything the node holds of somebody not admitted."""
        admitted = {n for n, enabled in view.items() if enabled} if view.get(node) else set()
        for peer in sorted(cast.links.keys() - admitted):
            yield node, "the link", peer, cast.links[peer]
        for peer in sorted(cast.peers.keys() - admitted):
            yield node, "the peer actor", peer, cast.peers[peer]
        for end in process.transport.endpoints():
            if end.identity.node_id not in admitted:
                what = CLOSING if inside.is_closing(end) else OPEN
                yield node, what, end.identity.node_id, end
        if cast.node is not None:
            for other in sorted(self.seen.tables(cast.node).origins - admitted - {node}):
                yield node, "the adjacency", other, None
