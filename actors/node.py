"""The node actor: this node in one cluster, the shell of `protocol.topology`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..protocol.effects import Announce, Arrived, Count, Effect, Learn, RefreshRoster, SendTo
from ..protocol.flight_recorder import Began
from ..protocol.identity import ClusterId, NodeId, NodeRecord
from ..protocol.link import State
from ..protocol.messages import (
    MAX_NODES,
    Description,
    Digest,
    LinkState,
    ProbeRequest,
    Routed,
    Want,
)
from ..protocol.removal_messages import MAX_REMOVALS, Removal, Removals
from ..protocol.routing import Dropped, forward, forward_trace, outcome
from ..protocol.tag_messages import TagClaims, Vow, VowRequest
from ..protocol.tag_words import ClaimHeard, NumberHeard
from ..protocol.topology import Topology
from ..protocol.trace_messages import Trace
from .actor import ClusterActor, ReplyFuture, soonest
from .claims import Claims
from .context import Context
from .mail import (
    CapabilitiesChanged,
    Describe,
    FromPeer,
    HelpWanted,
    LaneOpen,
    Learned,
    LinkReport,
    MembersChanged,
    PassingThrough,
    ReportState,
    RosterWanted,
    TraceRoute,
    ViewChanged,
)
from .removal_mail import RemovalsHeard, RemovalsRisen
from .tag_mail import ClaimKept, ClaimMade, ClaimsRisen, KeepThis, TagsLoaded, TagsWanted, VowTold
from .transit import Transit
from .view import view_of

MAX_HELPERS = 3  # common neighbours asked about a silent peer (L-3)
MAX_TRACES = 1000
"""Traces waiting for their return; the oldest is given up."""


class NodeActor(ClusterActor):
    """Owns one `Topology`."""

    def __init__(
        self, context: Context, cluster: ClusterId, records: tuple[NodeRecord, ...]
    ) -> None:
        super().__init__(context, ("node", cluster))
        settings = context.config.cluster(cluster)
        self.cluster = cluster
        # what an earlier one of this process said may still be about, under any sequence (T-9)
        epoch = context.incarnation + context.node_starts[cluster]
        context.node_starts[cluster] += 1
        self.rules = Topology(
            cluster_id=cluster,
            me=context.me,
            incarnation=context.incarnation,
            epoch=epoch,
            members={r.node_id: r for r in records},
            rerouting=settings.rerouting,
            digest_interval_s=settings.digest_interval_s,
        )
        began = Began(
            epoch=epoch,
            rerouting=settings.rerouting,
            digest_interval_s=settings.digest_interval_s,
        )
        context.recorder.began(cluster, began)
        context.recorder.members(cluster, records, self.now)
        self.descriptions = context.descriptions.get(cluster)
        self._traces: dict[int, ReplyFuture] = {}
        self._shown = -1
        """The state of the rules that the view shows, by their count of changes."""
        context.views[cluster] = view_of(cluster, context, self.rules)
        self.claims = Claims(context, cluster, records)
        context.recorder.claims(cluster, self.claims.table.claims, self.now)
        self._transit = Transit(self.name, context.lanes, self.rules.next_hop, self._count)

    @property
    def deadline(self) -> float | None:
        """See `ClusterActor.deadline`."""
        return soonest(self.rules.deadline, self._transit.deadline, self.claims.deadline)

    def on_start(self) -> None:
        """After a crash the links and the capabilities know what we forgot."""
        self._take_capabilities()
        for name in self.context.supervisor.names("link"):
            if name[1] == self.cluster:
                self.context.supervisor.tell(name, ReportState())
        self.claims.begin()

    def on_tick(self, now: float) -> None:
        """Let the rules look at the clock."""
        self.apply(self.rules.tick(now))
        self._transit.tick(now)
        self.claims.tick(now)
        self._show()

    def on_receive(self, message: object) -> Any:
        """One case per mail."""
        reply = self._receive(message)
        self.rules.set_tags(self.claims.digest)
        self._show()
        return reply

    def _receive(self, message: object) -> Any:
        match message:
            case FromPeer():
                for item in message.messages:
                    self._from_peer(message.peer, item)
            case PassingThrough():
                for bulk in message.messages:
                    self._transit.forward(message.lane, bulk, self.now)
            case LaneOpen():
                self._transit.lane_open(message.peer)
            case LinkReport():
                self._link_changed(message)
            case HelpWanted():
                self._ask_others(message)
            case MembersChanged():
                self.context.recorder.members(self.cluster, message.records, self.now)
                members = {r.node_id: r for r in message.records}
                if self.context.me in members:
                    self.apply(self.rules.set_members(members, self.now))
                    self.apply(self.claims.table.set_members(members))
                else:
                    self.apply(self.rules.leave())
            case CapabilitiesChanged():
                self._take_capabilities()
            case RemovalsRisen():
                self._spread(message)
            case TraceRoute():
                return self._trace(message)
            case Describe():
                return self.rules
            case (
                ClaimMade() | ClaimsRisen() | KeepThis() | TagsWanted() | TagsLoaded() | ClaimKept()
            ):
                self._about_tags(message)
            case _:
                raise AssertionError(f"no such mail: {message!r}")
        return None

    def _about_tags(
        self, message: ClaimMade | ClaimsRisen | KeepThis | TagsWanted | TagsLoaded | ClaimKept
    ) -> None:
        match message:
            case ClaimMade():
                self.context.recorder.claims(self.cluster, [message.claim], self.now)
                self.apply(self.claims.made(message.claim))
            case ClaimsRisen():
                risen = [e.claim for e in message.effects if isinstance(e, ClaimHeard)]
                self.context.recorder.claims(self.cluster, risen, self.now)
                self.apply(message.effects)
            case KeepThis():
                self.claims.keep(message.claim)
            case TagsWanted():
                self.claims.load()
            case TagsLoaded():
                self.claims.loaded(message, self.now)
            case ClaimKept():
                self.claims.kept(message, self.now)

    def _from_peer(self, peer: NodeId, message: object) -> None:
        match message:
            case LinkState() | Digest() | Want():
                self.apply(self.rules.receive(peer, message, self.now))
                if isinstance(message, Digest):
                    self.apply(self.claims.table.receive(peer, message))
            case Removals():
                self._told_removals(peer, message)
            case TagClaims():
                self.apply(self.claims.table.receive(peer, message))
            case VowRequest() | Vow():
                self._vow(peer, message)
            case Description() if self.descriptions is not None:
                if self.context.tombstones.standing(self.cluster, NodeId(message.origin)):
                    self._count("X-3")
                    return
                neighbours = self.rules.neighbours
                self.apply(self.descriptions.receive(peer, message, neighbours))
            case Trace():
                self.perform(forward_trace(message, self.context.me, self.rules.next_hop))
            case Routed():
                self.perform(forward(message, self.rules.next_hop))
            case _:
                self.context.drops["unsupported"] += 1

    def _told_removals(self, peer: NodeId, message: Removals) -> None:
        if peer in self.rules.members:
            heard = RemovalsHeard(self.cluster, peer, message.removals)
            self.context.supervisor.tell(("storage",), heard)
        else:
            self._count("X-1")

    def _spread(self, risen: RemovalsRisen) -> None:
        """The removed node hears it too, as long as there is a link with it (X-4)."""
        for removal in risen.removals:
            if self.descriptions is not None and not removal.lifted:
                self.descriptions.forget(NodeId(removal.node_id))
        for peer in sorted(self.rules.neighbours - {risen.told_by}):
            self._tell_removals(peer, risen.removals)

    def _tell_removals(self, peer: NodeId, removals: Sequence[Removal]) -> None:
        for first in range(0, len(removals), MAX_REMOVALS):
            some = [*removals[first : first + MAX_REMOVALS]]
            self.perform(SendTo(peer, Removals(self.cluster, some)))

    def _vow(self, peer: NodeId, message: VowRequest | Vow) -> None:
        name = ("tag", self.cluster, message.tag)
        if self.context.supervisor.has(name):
            self.context.supervisor.tell(name, VowTold(peer, message))
        else:
            self._count("B4")

    def _take_capabilities(self) -> None:
        states = [r.said for r in self.context.registered(self.cluster)]
        self.apply(self.rules.set_capabilities(states, self.now))

    def _show(self) -> None:
        """Renew the view when something in it may have changed, and say so, if anybody looks."""
        used = self.context.registrations or self.context.tags
        if self._shown == self.rules.changes or not used:
            return
        self._shown = self.rules.changes
        self.context.views[self.cluster] = view_of(self.cluster, self.context, self.rules)
        for registration in self.context.registered(self.cluster):
            name = ("capability", self.cluster, registration.name)
            if self.context.supervisor.has(name):
                self.context.supervisor.tell(name, ViewChanged())
        for entry in self.context.tagged(self.cluster):
            if self.context.supervisor.has(("tag", self.cluster, entry.name)):
                self.context.supervisor.tell(("tag", self.cluster, entry.name), ViewChanged())

    def _link_changed(self, report: LinkReport) -> None:
        """A link is told from UP until DOWN; what lies between changes nothing (decision 2)."""
        told, where = self.context.recorder.link, (self.cluster, report.peer, self.now)
        if report.after is State.UP:
            assert report.incarnation is not None, "an UP link has been attached"
            told(*where, report.cause, incarnation=report.incarnation)
            up = self.rules.link_up(report.peer, report.incarnation, self.now, report.cause)
            self.apply(up)
            self.apply(self.claims.table.link_up(report.peer))
            self._tell_removals(report.peer, self.context.tombstones.of(self.cluster))
            for description in self.descriptions.known() if self.descriptions is not None else ():
                self.perform(SendTo(report.peer, description))
        elif report.after is State.DOWN:
            told(*where, report.cause, incarnation=None)
            self.apply(self.rules.link_down(report.peer, self.now, report.cause))
            self.apply(self.claims.table.link_down(report.peer))

    def _ask_others(self, wanted: HelpWanted) -> None:
        direct = {self.rules.next_hop(n) for n in self.rules.reachable} - {None, wanted.peer}
        for helper in sorted(n for n in direct if n is not None)[:MAX_HELPERS]:
            request = ProbeRequest(self.cluster, wanted.peer, wanted.number)
            self.context.send(helper, request)

    def _trace(self, wanted: TraceRoute) -> ReplyFuture | Dropped:
        """The future of the answer, or why nothing was sent."""
        target, members = wanted.destination, dict(self.rules.adjacency())
        route = self.rules.route(target)
        sent = outcome(self.context.me, target, route, member=target in members)
        if isinstance(sent, Dropped):
            return sent
        future = ReplyFuture()
        while len(self._traces) >= MAX_TRACES:
            self._traces.pop(next(iter(self._traces)))
        self._traces[wanted.number] = future
        trace = Trace(
            cluster_id=self.cluster,
            source=self.context.me,
            destination=target,
            number=wanted.number,
            ttl=min(len(members), MAX_NODES),
            visited=[],
        )
        self.perform(forward_trace(trace, self.context.me, self.rules.next_hop))
        return future

    def perform(self, effect: Effect) -> None:
        """See `ClusterActor.perform`."""
        tell = self.context.supervisor.tell
        match effect:
            case SendTo():
                self.context.send(effect.node_id, effect.message)
            case Announce():
                self.context.events.publish(effect, self.cluster)
            case Learn():
                tell(("storage",), Learned(effect.record))
            case RefreshRoster():
                tell(("storage",), RosterWanted(effect.cause))
            case Arrived():
                future = self._traces.pop(effect.trace.number, None)
                if future is not None:
                    future.set(list(effect.trace.visited))
            case ClaimHeard() | NumberHeard():
                self.claims.heard(effect)
            case Count():
                self._count(effect.rule)
            case _:
                raise AssertionError(f"no such effect: {effect!r}")

    def _count(self, rule: str) -> None:
        self.context.drops[rule] += 1
