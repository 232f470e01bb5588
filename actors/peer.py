"""The peer actor: the shell of `protocol.peering`, one per other node process.

It owns the connection with that process, which serves every cluster both are in, and hands what
arrives to the link and node actors of the cluster it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..protocol.because import About, attempt
from ..protocol.effects import Count, Effect
from ..protocol.errors import PeerViolation, Reason
from ..protocol.identity import ClusterId, Incarnation, NodeId, NodeRecord
from ..protocol.membership import Admitted, Denied
from ..protocol.messages import Goodbye, Hello, Message, Refusal, Welcome
from ..protocol.peering import (
    CancelDial,
    Close,
    Dial,
    Established,
    Gone,
    Identity,
    Lost,
    NoteRefusal,
    Peering,
    PeeringTiming,
    SendOn,
)
from ..transport import base as transport
from .actor import ClusterActor
from .context import Context
from .delivery import deliver, deliver_single
from .lane import Lane
from .mail import (
    AskAdmission,
    Attach,
    Attached,
    Connected,
    Describe,
    Detached,
    DialFailed,
    DialNow,
    DropPath,
    Ended,
    LaneOpen,
    PeerBarred,
    PeerChanged,
    PeerGone,
    Received,
    Verdict,
)
from .refusing import note_refusal

PAUSE_AT = 1000
"""Batches waiting in the inbox at which reading from the peer pauses (H3)."""
_GREETING = (Hello, Welcome, Refusal)


def _of_connection(message: Any) -> bool:
    """A message is about the connection itself, not about one of its clusters."""
    return isinstance(message, _GREETING) or message.cluster_id == 0


class PeerActor(ClusterActor):
    """Owns one `Peering` and the connections it speaks of."""

    def __init__(
        self,
        context: Context,
        peer: NodeId,
        records: tuple[NodeRecord, ...],
        offers: dict[ClusterId, str],
    ) -> None:
        super().__init__(context, ("peer", peer))
        self.peer = peer
        self._records = records
        self._url = records[0].url
        self.clusters: tuple[ClusterId, ...] = ()
        """Served by the established connection."""
        self.incarnation: Incarnation | None = None
        self._connections: dict[int, transport.Connection] = {}
        self._closing: dict[int, transport.Connection] = {}
        """Closed by the rules, not over yet: a refusal is noted after its connection is closed."""
        self._pending: dict[int, transport.Connection] = {}
        """Waiting for the storage actor's verdict."""
        self._dial: transport.Dial | None = None
        self._next_key = 0
        self._paused: set[int] = set()
        self.rules = Peering(
            Identity(
                node_id=context.me,
                incarnation=context.incarnation,
                max_frame_bytes=context.config.transport.max_frame_bytes,
                software=context.software,
                versions=context.versions,
                descriptions={c: d.own for c, d in context.descriptions.items()},
            ),
            peer,
            self._timing(),
            offers,
            context.runtime.random.random,
            lambda: context.runtime.random.randbytes(8),
        )

    def _timing(self) -> PeeringTiming:
        settings = [self.context.config.cluster(r.cluster_id) for r in self._records]
        return PeeringTiming(
            greeting_timeout_s=self.context.config.transport.handshake_timeout_s,
            probe_timeout_s=min(s.ping_timeout_s for s in settings),
            reconnect_cap_s=min(s.reconnect_cap_s for s in settings),
        )

    @property
    def deadline(self) -> float | None:
        """See `ClusterActor.deadline`."""
        return self.rules.deadline

    def on_start(self) -> None:
        """Look for the peer."""
        self.apply(self.rules.start(self.now))

    def on_stop(self) -> None:
        """Say goodbye and close."""
        if self.rules.established is not None:
            connection = self._connections[self.rules.established]
            connection.send([Goodbye(cluster, "stopping") for cluster in self.clusters])
        self._let_go("stopping", flush=True)

    def on_failure(self, *_exc_info: Any) -> None:
        """A crash: nothing of the connections may stay."""
        self._let_go("internal error", flush=False)
        self._tell_links(Detached("internal error"))

    def _let_go(self, cause: str, *, flush: bool) -> None:
        if self._dial is not None:
            self._dial.cancel()
        for connection in [*self._connections.values(), *self._pending.values()]:
            if flush:
                connection.close(cause)
            else:
                connection.abort(cause)
        self._connections.clear()
        self._pending.clear()
        self.context.lanes.pop(self.peer, None)

    def on_tick(self, now: float) -> None:
        """Let the rules look at the clock."""
        self.apply(self.rules.tick(now))

    def on_receive(self, message: object) -> Any:
        """One case per mail."""
        if self._paused:
            self._unpause()
        match message:
            case Received():
                self._received(message.key, message.messages)
            case Connected():
                self._ask_admission(message.connection)
            case Verdict():
                self._judged(message)
            case Ended():
                self._ended(message.key, message.ending)
            case DialFailed():
                self._dial_failed(message.ending)
            case Attach():
                self._attach(message.cluster_id)
            case DropPath():
                self.apply(self.rules.drop(message.cause, self.now))
            case DialNow():
                self.apply(self.rules.dial_soon(self.now))
            case PeerChanged():
                self._changed(message)
            case PeerBarred():
                self.apply(self.rules.refuse(message.reason, message.detail, self.now))
            case Describe():
                return self.rules
            case _:
                raise AssertionError(f"no such mail: {message!r}")
        return None

    # Connections ------------------------------------------------------------------------------

    def _ask_admission(self, connection: transport.Connection) -> None:
        """TLS knows who it is; the storage actor knows whether it may (J-1)."""
        self._next_key += 1
        key = self._next_key
        if connection.dialled:
            self._dial = None
        self._pending[key] = connection
        ask = AskAdmission(connection.identity, key, self.name)
        self.context.supervisor.tell(("storage",), ask)

    def _judged(self, verdict: Verdict) -> None:
        connection = self._pending.pop(verdict.key, None)
        key = verdict.key
        if connection is None:
            if key in self._connections and isinstance(verdict.verdict, Denied):
                denied = verdict.verdict
                self.apply(self.rules.refuse(denied.reason, denied.detail, self.now))
            return
        self._connections[key] = connection
        connection.start(
            partial(self._arrived, key),
            lambda ending: self._tell_name(Ended(key, ending)),
        )
        match verdict.verdict:
            case Admitted():
                opened = self.rules.opened(key, self.now, dialled=connection.dialled)
                self.apply(opened)
            case Denied(reason, detail):
                connection.send([Refusal(reason.value, detail)])
                connection.close(f"refused: {reason.value}")
                del self._connections[key]
                if connection.dialled:
                    failed = self.rules.dial_failed(detail, self.now, gone=True, reason=reason)
                    self.apply(failed)
                else:
                    self._note(connection, reason, detail, by_us=True)

    def _arrived(self, key: int, messages: Sequence[Message]) -> None:
        """A turn of the loop brought messages: mostly nothing else is going on here."""
        self.context.recorder.came(self.peer, messages, self.now)
        alone = len(messages) == 1 and not (self.awake or self.over or self._paused)
        if alone and key == self.rules.established:
            lane = self.context.lanes.get(self.peer)
            if lane and deliver_single(self.context, lane, self.clusters, messages[0]):
                return
        mail = Received(key, messages)
        if self.act(mail):
            return
        self.context.supervisor.tell(self.name, mail)
        if len(self.inbox.waiting) > PAUSE_AT and key not in self._paused:
            connection = self._connections.get(key)
            if connection is not None:
                self._paused.add(key)
                connection.pause()

    def _unpause(self) -> None:
        """At every mail: after a pause the last one handled need not be a batch of the peer."""
        if len(self.inbox) < PAUSE_AT // 2:
            for key in sorted(self._paused):
                if key in self._connections:
                    self._connections[key].resume()
            self._paused.clear()

    def _ended(self, key: int, ending: transport.Ending) -> None:
        if self._closing.pop(key, None) is not None or key not in self._connections:
            return
        by_us, now = not ending.by_peer, self.now
        self.apply(self.rules.closed(key, ending.cause, now, reason=ending.reason, by_us=by_us))
        self._connections.pop(key, None)

    def _dial_failed(self, ending: transport.Ending) -> None:
        self._dial = None
        by_us, now, gone, cause = not ending.by_peer, self.now, ending.nobody_there, ending.cause
        said = attempt(cause, ending.reason, nobody_there=gone)
        self.context.events.note(None, About("dial", str(self.peer)), said)
        self.apply(self.rules.dial_failed(cause, now, gone=gone, reason=ending.reason, by_us=by_us))

    def _changed(self, changed: PeerChanged) -> None:
        """New rows: another url or other clusters mean another connection; else nothing happens.

        What is connected is judged again: its certificate may be revoked now.
        """
        moved = changed.records[0].url != self._url or set(changed.offers) != set(self.rules.offers)
        self._records, self._url = changed.records, changed.records[0].url
        self.rules.offers = dict(changed.offers)
        if moved:
            self.apply(self.rules.drop("its row changed", self.now))
        if self.rules.established is None:
            self.apply(self.rules.dial_soon(self.now))
        for key, connection in self._connections.items():
            ask = AskAdmission(connection.identity, key, self.name)
            self.context.supervisor.tell(("storage",), ask)

    # What arrives -------------------------------------------------------------------------------

    def _received(self, key: int, messages: Sequence[Message]) -> None:
        try:
            if key != self.rules.established or any(map(_of_connection, messages)):
                messages = [m for m in messages if not self._greeted(key, m)]
            lane = self.context.lanes.get(self.peer)
            if key == self.rules.established and lane is not None:
                lane.heard_at = self.now
                deliver(self.context, lane, self.clusters, messages)
        except PeerViolation as violation:
            self._violated(key, violation)

    def _greeted(self, key: int, message: Message) -> bool:
        """Whether a message was about the connection itself; `PeerViolation` if out of turn."""
        if _of_connection(message):
            self.apply(self.rules.receive(key, message, self.now))
            return True
        if key in self._connections and key != self.rules.established:
            raise PeerViolation("a message before WELCOME")
        return False

    def _violated(self, key: int, violation: PeerViolation) -> None:
        connection = self._connections.get(key)
        if connection is None:
            return
        cause = f"violation: {violation}"
        connection.send([Refusal(Reason.VIOLATION.value, str(violation)[:128])])
        connection.close(cause)
        self.apply(self.rules.closed(key, cause, self.now, reason=Reason.VIOLATION))
        self._connections.pop(key, None)

    # Effects ------------------------------------------------------------------------------------

    def perform(self, effect: Effect) -> None:
        """See `ClusterActor.perform`."""
        match effect:
            case SendOn():
                self._send(effect.connection, effect.message)
            case Dial():
                self._dial = self.context.transport.dial(
                    self._url,
                    self.peer,
                    lambda connection: self._tell_name(Connected(connection)),
                    lambda ending: self._tell_name(DialFailed(ending)),
                )
            case CancelDial():
                if self._dial is not None:
                    self._dial.cancel()
                    self._dial = None
            case Close():
                connection = self._connections.pop(effect.connection, None)
                if connection is not None:
                    self._closing[effect.connection] = connection
                    connection.close(effect.cause)
            case Established():
                self._established(effect)
            case Lost():
                self.context.lanes.pop(self.peer, None)
                self._tell_links(Detached(effect.cause))
                self.clusters, self.incarnation = (), None
            case Gone():
                for record in self._records:
                    self._tell_link(record.cluster_id, PeerGone(effect.cause))
            case NoteRefusal():
                self._noted(effect)
            case Count():
                self.context.drops[effect.rule] += 1
            case _:
                raise AssertionError(f"no such effect: {effect!r}")

    def _established(self, effect: Established) -> None:
        connection = self._connections[effect.connection]
        config, recorder = self.context.config, self.context.recorder
        self.context.lanes[self.peer] = Lane(
            self.peer,
            connection,
            self.context.supervisor,
            lambda cluster: config.cluster(ClusterId(cluster)).credit_window_bytes,
            lambda message: recorder.sent(self.peer, message, self.now),
        )
        self.clusters, self.incarnation = effect.clusters, effect.incarnation
        self._tell_links(Attached(effect.incarnation))
        for cluster in self.clusters:
            self.context.supervisor.tell(("node", cluster), LaneOpen(self.peer))

    def _tell_name(self, mail: Connected | DialFailed | Ended) -> None:
        self.context.supervisor.tell(self.name, mail)

    def _send(self, key: int, message: Message) -> None:
        connection = self._connections.get(key)
        self.context.recorder.sent(self.peer, message, self.now)
        if connection is None or not connection.send([message]):
            self.context.drops["not sent"] += 1

    def _attach(self, cluster: ClusterId) -> None:
        if cluster in self.clusters and self.incarnation is not None:
            self._tell_link(cluster, Attached(self.incarnation))

    def _tell_links(self, mail: Attached | Detached) -> None:
        for cluster in self.clusters:
            self._tell_link(cluster, mail)

    def _tell_link(self, cluster: ClusterId, mail: Attached | Detached | PeerGone) -> None:
        self.context.supervisor.tell(("link", cluster, self.peer), mail)

    def _noted(self, refusal: NoteRefusal) -> None:
        key = refusal.connection or 0  # keys begin at 1
        connection = self._connections.get(key) or self._closing.get(key)
        self._note(connection, refusal.reason, refusal.detail, by_us=refusal.by_us)

    def _note(
        self, connection: transport.Connection | None, reason: Reason, detail: str, *, by_us: bool
    ) -> None:
        note_refusal(self.context, self.peer, self._url, connection, reason, detail, by_us=by_us)
