"""The link actor: the shell of `protocol.link`, one per (cluster, other node)."""

from __future__ import annotations

from typing import Any

from ..protocol.because import About
from ..protocol.config import ClusterSettings
from ..protocol.effects import Announce, Count, Effect, Send
from ..protocol.events import Event
from ..protocol.identity import Incarnation, NodeRecord
from ..protocol.link import (
    AnswerQuestion,
    AskOthers,
    CauseChanged,
    DropConnection,
    Link,
    LinkChanged,
    State,
    Timing,
)
from ..protocol.messages import ProbeAnswer
from .actor import ClusterActor
from .context import Context
from .mail import (
    Attach,
    Attached,
    Describe,
    Detached,
    DropPath,
    FromPeer,
    HelpWanted,
    LinkReport,
    PeerGone,
    Question,
    ReportState,
)


def timing_of(settings: ClusterSettings, record: NodeRecord) -> Timing:
    """The link's times from the cluster's settings and the row's retries."""
    return Timing(
        ping_interval_s=settings.ping_interval_s,
        ping_timeout_s=settings.ping_timeout_s,
        node_timeout_s=settings.node_timeout_s,
        flap_window_s=settings.flap_window_s,
        retries=record.ping_retries,
    )


class LinkActor(ClusterActor):
    """Owns one `Link`."""

    def __init__(self, context: Context, record: NodeRecord) -> None:
        super().__init__(context, ("link", record.cluster_id, record.node_id))
        timing = timing_of(context.config.cluster(record.cluster_id), record)
        self.rules = Link(record.cluster_id, record.node_id, timing, self.now)
        self._node = ("node", record.cluster_id)
        self._peer = ("peer", record.node_id)

    @property
    def deadline(self) -> float | None:
        """See `ClusterActor.deadline`."""
        return self.rules.deadline

    def on_start(self) -> None:
        """Ask for the connection, should there be one already."""
        self.context.supervisor.tell(self._peer, Attach(self.rules.cluster_id))

    def on_tick(self, now: float) -> None:
        """Let the rules look at the clock, and at when something came of the peer."""
        lane = self.context.lanes.get(self.rules.peer)
        if lane is not None:
            self.apply(self.rules.heard(lane.heard_at))
        self.apply(self.rules.tick(now))

    def on_receive(self, message: object) -> Any:
        """One case per mail."""
        now = self.now
        match message:
            case FromPeer():
                for item in message.messages:
                    if isinstance(item, ProbeAnswer):
                        self.apply(self.rules.answered(message.peer, item))
                    else:
                        self.apply(self.rules.receive(item, now))
            case Attached():
                self.apply(self.rules.attached(message.incarnation, now))
            case Detached():
                self.apply(self.rules.lost(message.cause, now))
            case PeerGone():
                self.apply(self.rules.gone(message.cause, now))
            case Question():
                self.apply(self.rules.asked(message.asker, message.number, now))
            case ReportState():
                self._report(self.rules.state, self.rules.state, self.rules.cause)
            case Describe():
                return self.rules
            case _:
                raise AssertionError(f"no such mail: {message!r}")
        return None

    def perform(self, effect: Effect) -> None:
        """See `ClusterActor.perform`."""
        tell = self.context.supervisor.tell
        match effect:
            case Send():
                self.context.send(self.rules.peer, effect.message)
            case LinkChanged():
                self._announce(effect)
                self._report(effect.before, effect.after, effect.cause)
            case CauseChanged():
                self._note(effect.cause, self.rules.state.shown, self.rules.state.shown)
            case AskOthers():
                tell(self._node, HelpWanted(self.rules.peer, effect.number))
            case AnswerQuestion():
                answer = ProbeAnswer(self.rules.cluster_id, self.rules.peer, effect.number, True)
                self.context.send(effect.asker, answer)
            case DropConnection():
                tell(self._peer, DropPath(effect.cause))
            case Count():
                self.context.drops[effect.rule] += 1
            case _:
                raise AssertionError(f"no such effect: {effect!r}")

    def _report(self, before: State, after: State, cause: str) -> None:
        incarnation = self.rules.incarnation
        self.context.supervisor.tell(
            self._node,
            LinkReport(
                peer=self.rules.peer,
                before=before,
                after=after,
                incarnation=Incarnation(incarnation) if incarnation is not None else None,
                cause=cause,
            ),
        )

    def _note(self, cause: str, before: str, after: str) -> None:
        about = About("link", str(self.rules.peer))
        self.context.events.note(self.rules.cluster_id, about, cause, before=before, after=after)

    def _announce(self, changed: LinkChanged) -> None:
        if changed.before.shown != changed.after.shown:
            self.context.events.publish(
                Announce(
                    kind=Event.LINK_CHANGED,
                    node_id=self.rules.peer,
                    before=changed.before.shown,
                    after=changed.after.shown,
                    cause=changed.cause,
                ),
                self.rules.cluster_id,
            )
