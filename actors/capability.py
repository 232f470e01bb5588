"""The capability actor: one capability of one cluster here, the shell of `protocol.capability`.

It owns the capability's streams, starts a joiner when a sync is wanted and a donor for each request
that may be served, and hands messages to the application's worker. During a sync the messages of a
capability whose records carry no versions are held, bounded, until it is over (S-23).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..protocol.capability import CapabilityRules
from ..protocol.capability_settings import policy_of
from ..protocol.capability_words import (
    Answer,
    CancelDonating,
    CancelJoining,
    DropWaiting,
    RequestAnswered,
    StartSession,
    StateChanged,
    SyncOver,
    TellState,
)
from ..protocol.contract import KeyedCapability, SyncReport
from ..protocol.donors import CapabilityView
from ..protocol.effects import Announce, Count, Effect
from ..protocol.identity import NodeId
from ..protocol.messages import (
    CapState,
    Packets,
    Routed,
    SyncAck,
    SyncAnswer,
    SyncEnd,
    SyncRequest,
    SyncStop,
    Taken,
)
from ..protocol.mirror import MirrorSettings
from ..protocol.sync_admission import AbortDonor, PassOn, StartDonor
from ..protocol.sync_words import SendRouted
from .actor import ClusterActor, ReplyFuture, soonest
from .application import Delivery
from .context import Context
from .diffing import Diffing
from .flows import Flows
from .intake import Intake
from .lane import Bulk, Lane, size_of
from .mail import (
    BulkArrived,
    CapabilitiesChanged,
    Describe,
    DiffWanted,
    DonorOver,
    EndSession,
    Flush,
    Followed,
    LaneOpen,
    Mirrored,
    MirrorWanted,
    PlanDecision,
    PositionMoved,
    RoutedArrived,
    SessionOver,
    Switch,
    SyncWanted,
    ViewChanged,
)
from .mirroring import Mirroring
from .registration import Registration
from .straight import Straight
from .syncing import Syncing
from .tag_standing import tags_of
from .view import View, capability_view

OVERFLOW = "overflow"


class CapabilityActor(ClusterActor):
    """Owns one `CapabilityRules` and the flows, sessions and plans of one capability."""

    def __init__(self, context: Context, registration: Registration) -> None:
        cluster, name = registration.cluster, registration.name
        super().__init__(context, ("capability", cluster, name))
        self.registration = registration
        self.settings = context.config.cluster(cluster)
        self._view = context.views[cluster]
        self._reached: dict[NodeId, int] = {}
        """Nodes that the application knows to be up, each with its life."""
        capability = registration.capability
        self.rules = CapabilityRules(
            name,
            policy_of(capability, context.config.capability(cluster, name), self.settings),
            self._around(),
            context.runtime.random.random,
            registration.application.position,
            next(registration.starts),
        )
        self.flows = Flows(
            context,
            self.name,
            name,
            registration.port,
            registration.incoming,
            reliable=capability.delivery == "at_least_once",
            limit_bytes=self.settings.outbox_bytes,
            on_room=lambda node: self._notice(lambda: capability.on_room(node)),
        )
        self.mirroring = Mirroring(
            MirrorSettings(
                guard_records=self.settings.mirror_guard_records,
                guard_share=self.settings.mirror_guard_share,
            ),
            registration,
            lambda mail: self._tell(self.name, mail),
            lambda dropped, plan: self._tell(self.syncing.joiner, Mirrored(dropped, plan)),
        )
        self._intake = Intake(
            registration,
            max_messages=self.settings.sync_queue_messages,
            max_bytes=self.settings.sync_queue_bytes,
            delivered=lambda lane, size: lane.consumed(cluster, name, size),
        )
        self.syncing = Syncing(context, registration, self._intake)
        self._answer: Answer | None = None
        self._diffing = Diffing()
        if context.runtime.straight:
            registration.shorten(Straight(self, self.flows, self._intake))

    @property
    def deadline(self) -> float | None:
        """See `ClusterActor.deadline`."""
        of_flows, of_mirroring = self.flows.deadline, self.mirroring.deadline
        of_work = self.registration.partition.deadline
        if of_flows is None and of_mirroring is None and of_work is None:
            return self.rules.deadline  # as mostly, and asked after every mail
        return soonest(self.rules.deadline, of_flows, of_mirroring, of_work)

    # Life -------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Begin as the operator left it."""
        part = self.registration.partition
        self.apply(self.rules.adopted(part.adopted, part.weight, self.now))
        if self.registration.enabled:
            self.apply(self.rules.enable(self.now))
        self._say()
        self._see(self._view)

    def on_stop(self) -> None:
        """The cluster is left, or the node stops."""
        self.syncing.end()
        self._diffing.end()
        self.flows.stop()

    def on_failure(self, *_exc_info: Any) -> None:
        """A crash: sessions do not outlive their capability's actor."""
        self.syncing.end()
        self._diffing.end()

    def on_tick(self, now: float) -> None:
        """Let the rules look at the clock."""
        self.apply(self.rules.tick(now))
        self.flows.tick(now)
        self.mirroring.tick(now)
        of_work = self.registration.partition.deadline
        if of_work is not None and of_work <= now:
            self.registration.divide(self._around(), now)

    def on_receive(self, message: object) -> Any:
        """One case per mail."""
        match message:
            case BulkArrived():
                self._bulk(message.lane, message.messages)
            case Flush():
                self.flows.flush()
            case LaneOpen():
                self.flows.lane_open(message.peer)
            case RoutedArrived():
                for item in message.messages:
                    self._routed(item)
            case ViewChanged():
                self._see(self.context.views[self.registration.cluster])
            case SessionOver():
                self._session_over(message)
            case DonorOver():
                self.syncing.served(message.session)
            case Followed():
                self.apply(self.rules.adopted(message.view, message.weight, self.now))
            case PositionMoved():
                self.apply(self.rules.moved(self.now))
            case _:
                return self._asked(message)
        return None

    def _asked(self, message: object) -> Any:
        """What operators and the application ask for."""
        match message:
            case SyncWanted():
                self._answer = None
                self.apply(self.rules.request_sync(message.wish, self.now))
                return self._answer
            case DiffWanted():
                return self._diff(message)
            case Switch():
                self._switch(message)
            case MirrorWanted():
                self.mirroring.offer(message.step, self.now)
            case PlanDecision():
                return self.mirroring.decide(message, self.now, ReplyFuture())
            case Describe():
                return self
            case _:
                self.mirroring.answered(message, self.now)
        return None

    def _diff(self, wanted: DiffWanted) -> ReplyFuture:
        self._answer = None
        asked = self._diffing.wanted(wanted)
        self.apply(self.rules.request_diff(wanted.node_id, wanted.tag, self.now))
        self._diffing.answered(self._answer)
        return asked.reply

    def _switch(self, switch: Switch) -> None:
        self.registration.enabled = switch.enabled
        if switch.enabled:
            self.apply(self.rules.enable(self.now))
        else:
            self.apply(self.rules.disable(switch.reason, self.now))

    # What is known of the cluster -------------------------------------------------------------

    def _see(self, view: View) -> None:
        self._view = view
        self.flows.see(view, enabled=self.rules.state is not CapState.DISABLED)
        capability = self.registration.capability
        for node in sorted(self._reached.keys() | view.incarnations.keys()):
            before, after = self._reached.get(node), view.incarnations.get(node)
            if before is not None and before != after:
                cause = "no path leads to it" if after is None else "it restarted"
                self._notice(lambda n=node, c=cause: capability.on_node_down(n, c))
            if after is not None and before != after:
                self._notice(lambda n=node, i=after: capability.on_node_up(n, i))
        self._reached = dict(view.incarnations)
        around = self._around()
        self.apply(self.rules.view_changed(around, self.now))
        self.registration.divide(around, self.now)
        for name in self.syncing.names():
            self._tell(name, ViewChanged())

    def _around(self) -> CapabilityView:
        registration = self.registration
        keyed = isinstance(registration.capability, KeyedCapability)
        tags = tags_of(self.context, registration.cluster) if keyed else ()
        return capability_view(self._view, registration.name, tags)

    # Messages ---------------------------------------------------------------------------------

    def _bulk(self, lane: Lane, bulks: Sequence[Bulk]) -> None:
        batches: list[Delivery] = []
        for bulk in bulks:
            if isinstance(bulk, Packets):
                skip = self.flows.received(bulk)
                if skip is not None:
                    batches.append(Delivery(bulk, skip))
                    continue
            else:
                # at most a window of chunks is on its way, so they need no credit of the lane
                self.syncing.pass_on(bulk)
            lane.consumed(bulk.cluster_id, bulk.capability, size_of(bulk))
        if batches and not self._intake.take(lane, batches):
            self._tell(self.syncing.joiner, EndSession(OVERFLOW))

    def _routed(self, message: Routed) -> None:
        match message:
            case Taken():
                self.flows.taken(message, self.now)
            case SyncRequest():
                self.apply(self.syncing.request(message, self.rules.state, self._view))
            case SyncAck() | SyncStop() | SyncAnswer() | SyncEnd():
                self.syncing.pass_on(message)
            case _:
                self.context.drops["unsupported"] += 1

    # Sessions ---------------------------------------------------------------------------------

    def _session_over(self, over: SessionOver) -> None:
        self.syncing.over(over.session)
        self._diffing.ended(over.session, over.report.reason)
        self.apply(self.rules.session_ended(over.session, over.report, self.now))

    # Effects ----------------------------------------------------------------------------------

    def perform(self, effect: Effect) -> None:
        """See `ClusterActor.perform`."""
        capability = self.registration.capability
        match effect:
            case StateChanged():
                self.registration.said = effect.state
                self.registration.application.open = effect.state.state is not CapState.DISABLED
                self._say()
            case TellState():
                self._notice(lambda: capability.on_state(effect.state, effect.reason))
            case StartSession():
                diff = self._diffing.started(effect.session) if effect.wish.diff else None
                self.syncing.start(effect, self.rules.choose, diff)
            case SyncOver():
                self._sync_over(effect.report)
            case CancelJoining():
                self.syncing.over(effect.session)
                self._diffing.ended(effect.session, effect.reason)
            case CancelDonating():
                self.syncing.stop_serving(effect.reason)
            case StartDonor():
                self.syncing.serve(effect)
            case PassOn():
                self.syncing.pass_on(effect.request)
            case AbortDonor():
                self.syncing.stop_serving(effect.reason, effect.session)
            case SendRouted():
                self.context.send_routed(effect.message)
            case DropWaiting():
                self.flows.drop()
                self._intake.drop()
            case RequestAnswered():
                self._answer = effect.answer
            case Announce():
                self.context.events.publish(effect, self.registration.cluster)
            case Count():
                self.context.drops[effect.rule] += 1
            case _:
                raise AssertionError(f"no such effect: {effect!r}")

    def _sync_over(self, report: SyncReport) -> None:
        self.registration.last_report = report
        self._notice(lambda: self.registration.capability.sync_done(report))

    def _say(self) -> None:
        """The other nodes, who sends from here, and who divides the work, hear of my state."""
        self.registration.port.current_state = self.registration.said.state
        self.registration.divide(self._around(), self.now)
        self.flows.see(self._view, enabled=self.rules.state is not CapState.DISABLED)
        self._tell(("node", self.registration.cluster), CapabilitiesChanged())

    def _notice(self, notice: Any) -> None:
        """Tell the application something, where its code runs."""
        application = self.registration.application
        self.registration.worker.submit(lambda: application.tell(notice), _no_error)

    def _tell(self, name: Any, mail: object) -> None:
        self.context.supervisor.tell(name, mail)


def start_capability(context: Context, registration: Registration) -> None:
    """Start the actor of a capability, in a cluster whose node actor runs."""
    name = ("capability", registration.cluster, registration.name)
    context.supervisor.start_child(name, lambda: CapabilityActor.start(context, registration))


def _no_error(error: BaseException | None) -> None:
    assert error is None, "what a notice raises is logged"
