"""The gate: turns strangers away, and starts and stops the actors that the roster asks for."""

from __future__ import annotations

import logging
from typing import Any

from ..protocol.because import Because, Cause, because, rule_of_refusal
from ..protocol.descriptions import record_of
from ..protocol.effects import Announce
from ..protocol.errors import Misuse, Reason
from ..protocol.events import Event
from ..protocol.identity import ClusterId, NodeId, NodeRecord
from ..protocol.membership import Admitted, Denied, RosterDiff
from ..protocol.messages import ClusterOffer, Hello, Refusal
from ..protocol.status import RefusalStatus
from ..transport import base as transport
from .actor import ClusterActor
from .capability import start_capability
from .context import Context
from .leased_tag import start_tag
from .link import LinkActor
from .mail import (
    AskAdmission,
    Connected,
    Describe,
    Greeted,
    Incoming,
    Learned,
    MembersChanged,
    PeerBarred,
    PeerChanged,
    RefusalNoted,
    RefusedOnTheWay,
    RosterAsked,
    RosterUpdate,
    Verdict,
)
from .node import NodeActor
from .peer import PeerActor
from .removal_mail import RefusedAsRemoved

MAX_REFUSALS = 256
"""Kinds of refusals remembered; the one that came least recently goes first."""

logger = logging.getLogger("tagmesh.gate")

_Records = tuple[NodeRecord, ...]


class GateActor(ClusterActor):
    """One per process. Keeps the refusals and decides which actors exist."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, ("gate",))
        self.refusals: dict[tuple[object, ...], RefusalStatus] = {}
        self._strangers: dict[int, transport.Connection] = {}
        self._next_key = 0

    def on_start(self) -> None:
        """Ask for the roster; at the very start the storage actor is not there yet and sends it."""
        if self.context.supervisor.has(("storage",)):
            self.context.supervisor.tell(("storage",), RosterAsked())

    def on_failure(self, *_exc_info: Any) -> None:
        """A crash: let nobody wait at the door."""
        for connection in self._strangers.values():
            connection.abort("internal error")

    def on_receive(self, message: object) -> Any:
        """One case per mail."""
        match message:
            case RosterUpdate():
                self._roster(message)
            case Incoming():
                self._incoming(message.connection)
            case Verdict():
                self._judged(message)
            case Greeted():
                self._greeted(message)
            case RefusedOnTheWay():
                self._refused_on_the_way(message)
            case RefusalNoted():
                self._note(message)
                self._refused_as_removed(message)
            case Describe():
                return self
            case _:
                raise AssertionError(f"no such mail: {message!r}")
        return None

    # Strangers --------------------------------------------------------------------------------

    def _incoming(self, connection: transport.Connection) -> None:
        name = ("peer", connection.identity.node_id)
        if self.context.supervisor.has(name):
            self.context.supervisor.tell(name, Connected(connection))
            return
        self._next_key += 1
        self._strangers[self._next_key] = connection
        ask = AskAdmission(connection.identity, self._next_key, self.name)
        self.context.supervisor.tell(("storage",), ask)

    def _judged(self, verdict: Verdict) -> None:
        connection = self._strangers.pop(verdict.key, None)
        if connection is None:
            return
        name = ("peer", connection.identity.node_id)
        match verdict.verdict:
            case Admitted() if self.context.supervisor.has(name):
                self.context.supervisor.tell(name, Connected(connection))
            case Admitted():
                self._meet(verdict.key, connection)
            case Denied(reason, detail):
                self._turn_away(connection, reason, detail)

    def _meet(self, key: int, connection: transport.Connection) -> None:
        """Dynamic mode: a node without a row may join; its HELLO tells where it listens (J-4)."""
        self._strangers[key] = connection
        tell = self.context.supervisor.tell
        connection.start(
            lambda messages: _ignore(tell(self.name, Greeted(key, messages))),
            lambda _ending: _ignore(tell(self.name, Greeted(key, ()))),
        )
        self.context.runtime.call_later(
            self.context.config.transport.handshake_timeout_s,
            lambda: _ignore(tell(self.name, Greeted(key, ()))),
        )

    def _greeted(self, greeted: Greeted) -> None:
        """Take what the HELLO says and end this connection: its actors are there at the next."""
        connection = self._strangers.pop(greeted.key, None)
        if connection is None:
            return
        hello = greeted.messages[0] if greeted.messages else None
        node = connection.identity.node_id
        if isinstance(hello, Hello) and hello.node_id == node:
            for offer in hello.clusters:
                self._learn(node, offer)
        connection.close("noted who you are; dial again")

    def _learn(self, node: NodeId, offer: ClusterOffer) -> None:
        described = offer.description
        claims = (node, offer.cluster_id)
        if described is None or (described.origin, described.cluster_id) != claims:
            return
        try:
            record = record_of(described)
        except Misuse as misuse:
            logger.warning("node %s describes itself badly: %s", node, misuse)
            return
        self.context.supervisor.tell(("storage",), Learned(record))

    def _turn_away(self, connection: transport.Connection, reason: Reason, detail: str) -> None:
        connection.start(lambda _messages: None, lambda _ending: None)
        connection.send([Refusal(reason.value, detail[:256])])
        connection.close(f"refused: {reason.value}")
        self._note(
            RefusalNoted(
                node_id=connection.identity.node_id,
                incoming=True,
                by_us=True,
                address=connection.address,
                reason=reason,
                detail=detail,
            )
        )

    def _refused_on_the_way(self, refused: RefusedOnTheWay) -> None:
        ending = refused.ending
        if ending.reason is None:
            logger.debug("connection from %s ended: %s", refused.address, ending.cause)
            return
        self._note(
            RefusalNoted(
                node_id=ending.node_id,
                incoming=True,
                by_us=not ending.by_peer,
                address=refused.address,
                reason=ending.reason,
                detail=ending.cause,
            )
        )

    def _note(self, noted: RefusalNoted) -> None:
        """Count it; log and announce the 1st, 2nd, 4th, 8th … of a kind (S12)."""
        host = noted.address.rpartition(":")[0] if noted.node_id is None else ""
        kind = (noted.node_id, noted.incoming, noted.by_us, noted.reason, host)
        before = self.refusals.pop(kind, None)
        count = before.count + 1 if before is not None else 1
        while len(self.refusals) >= MAX_REFUSALS:
            self.refusals.pop(next(iter(self.refusals)))
        status = RefusalStatus(
            node_id=noted.node_id,
            direction="incoming" if noted.incoming else "outgoing",
            by="us" if noted.by_us else "them",
            address=noted.address,
            reason=noted.reason.value,
            detail=ascii(noted.detail)[1:-1][:256],
            count=count,
            last_wall_s=self.context.runtime.wall(),
        )
        self.refusals[kind] = status
        if count & (count - 1) == 0:
            cause = f"{noted.reason.value} ({status.direction}, by {status.by}): {status.detail}"
            logger.warning("refused %s: %s [%d times]", ascii(noted.address), cause, count)
            why = Because(cause, noted.reason.value, rule_of_refusal(noted.reason))
            announce = Announce(kind=Event.JOIN_REFUSED, node_id=noted.node_id, cause=why)
            self.context.events.publish(announce)

    def _refused_as_removed(self, noted: RefusalNoted) -> None:
        """Whoever has a connection with this node is a better witness than who refuses it."""
        removed = noted.reason is Reason.TOMBSTONED and not noted.by_us
        if removed and noted.node_id is not None and not self.context.lanes:
            self.context.supervisor.tell(("storage",), RefusedAsRemoved(noted.node_id))

    # The roster -------------------------------------------------------------------------------

    def _roster(self, update: RosterUpdate) -> None:
        records = update.records
        mine = {r.cluster_id for r in records if r.node_id == self.context.me and r.enabled}
        others = tuple(
            r
            for r in records
            if r.cluster_id in mine and r.enabled and r.node_id != self.context.me
        )
        self._announce(update.diff)
        self._clusters(mine, others, records)
        self._peers(others, records)

    def _clusters(self, mine: set[ClusterId], others: _Records, records: _Records) -> None:
        """Node actors and link actors: exactly those the rows ask for (D-8)."""
        wanted: dict[tuple[str | int, ...], NodeRecord] = {
            ("link", r.cluster_id, r.node_id): r for r in others
        }
        supervisor = self.context.supervisor
        for name in supervisor.names("link"):
            if name not in wanted:
                supervisor.stop_child(name)
        for name in [*supervisor.names("capability"), *supervisor.names("tag")]:
            if name[1] not in mine:
                supervisor.stop_child(name)
        for name in supervisor.names("node"):
            if name[1] not in mine:
                supervisor.tell(name, MembersChanged(()))
                supervisor.stop_child(name)
        for cluster in sorted(mine):
            members = tuple(r for r in records if r.cluster_id == cluster and r.enabled)
            if supervisor.has(("node", cluster)):
                supervisor.tell(("node", cluster), MembersChanged(members))
            else:
                self._start_node(cluster, members)
        for name, record in wanted.items():
            if not supervisor.has(name):
                self._start_link(name, record)

    def _start_node(self, cluster: ClusterId, members: _Records) -> None:
        context = self.context
        context.supervisor.start_child(
            ("node", cluster), lambda: NodeActor.start(context, cluster, members)
        )
        for registration in context.registered(cluster):
            start_capability(context, registration)
        for entry in context.tagged(cluster):
            start_tag(context, entry)

    def _start_link(self, name: tuple[str | int, ...], record: NodeRecord) -> None:
        context = self.context
        context.supervisor.start_child(name, lambda: LinkActor.start(context, record))

    def _peers(self, others: _Records, records: _Records) -> None:
        rows: dict[NodeId, list[NodeRecord]] = {}
        for record in others:
            rows.setdefault(record.node_id, []).append(record)
        supervisor = self.context.supervisor
        for name in supervisor.names("peer"):
            if name[1] not in rows:
                self._bar(name, records)
        for node, shared in rows.items():
            offers = {
                r.cluster_id: self.context.config.cluster(r.cluster_id).digest for r in shared
            }
            if supervisor.has(("peer", node)):
                supervisor.tell(("peer", node), PeerChanged(tuple(shared), offers))
            else:
                self._start_peer(node, tuple(shared), offers)

    def _start_peer(self, node: NodeId, rows: _Records, offers: dict[ClusterId, str]) -> None:
        context = self.context
        context.supervisor.start_child(
            ("peer", node), lambda: PeerActor.start(context, node, rows, offers)
        )

    def _bar(self, name: tuple[str | int, ...], records: _Records) -> None:
        """Removed or disabled, the peer or I: tell the peer why, then nothing of it stays."""
        me = self.context.me
        in_cluster = any(r.node_id == me and r.enabled for r in records)
        out = name[1] if in_cluster else me
        known = any(r.node_id == out for r in records)
        reason = Reason.DISABLED if known else Reason.UNKNOWN_NODE
        detail = f"node {out} is {'disabled' if known else 'no longer provisioned'}"
        if not known and self.context.tombstones.removed_from(NodeId(int(out))):
            reason, detail = Reason.TOMBSTONED, f"node {out} was removed"
        self.context.supervisor.tell(name, PeerBarred(reason, detail))
        self.context.supervisor.stop_child(name)

    def _announce(self, diff: RosterDiff) -> None:
        for word, records, code in (
            ("added", diff.added, Cause.ROW_ADDED),
            ("removed", diff.removed, Cause.ROW_REMOVED),
            ("changed", diff.changed, Cause.ROW_CHANGED),
        ):
            for record in records:
                state = "" if record.enabled else ", disabled"
                there = record.enabled or code is Cause.ROW_REMOVED
                cause = because(
                    f"{word}: {record.url}{state}", code if there else Cause.ROW_DISABLED
                )
                if code is Cause.ROW_REMOVED:
                    cause = self._why_removed(record) or cause
                    self._expelled(record, cause)
                announce = Announce(kind=Event.ROSTER_CHANGED, node_id=record.node_id, cause=cause)
                self.context.events.publish(announce, record.cluster_id)

    def _why_removed(self, record: NodeRecord) -> Because | None:
        stone = self.context.tombstones.standing(record.cluster_id, record.node_id)
        if stone is None:
            return None
        return because(
            f"removed by {ascii(stone.by)[1:-1] or 'somebody'}: {record.url}", Cause.REMOVED
        )

    def _expelled(self, record: NodeRecord, cause: Because) -> None:
        """Tell the application, when it is this node (X-4)."""
        if record.node_id == self.context.me:
            announce = Announce(kind=Event.EXPELLED, node_id=record.node_id, cause=cause)
            self.context.events.publish(announce, record.cluster_id)


def _ignore(_taken: bool) -> None:
    """A callback has no result; the supervisor has counted what was not taken."""
