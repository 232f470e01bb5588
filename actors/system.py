"""One node process, wired: its actors on a given runtime, transport and roster.

The same in production and in the simulator; `node.Node` puts a thread, a configuration file
and a face for applications round it.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pykka

from ..protocol.config import Config, own_id
from ..protocol.contract import Capability, KeyedCapability
from ..protocol.errors import Misuse, NodeDown, TimedOut
from ..protocol.greeting import OUR_VERSIONS, Versions
from ..protocol.identity import BinsUrl, ClusterId, Incarnation, NodeId, NodeRecord
from ..protocol.link import Link
from ..protocol.messages import MAX_CAPABILITIES
from ..protocol.routing import Dropped
from ..protocol.status import (
    CapabilityStatus,
    ClusterStatus,
    PeerCapability,
    PeerStatus,
    Status,
    TagStatus,
)
from ..protocol.topology import Topology
from ..storage.base import Roster, RosterSnapshot, TagStore
from ..transport.base import Connection, Listener, Transport
from .application import Application
from .capability import start_capability
from .context import Context, Name
from .fencing import Fence
from .gate import GateActor
from .leased_tag import start_tag
from .mail import (
    Describe,
    DialNow,
    Flush,
    Followed,
    Incoming,
    PositionMoved,
    RefusedOnTheWay,
    SyncWanted,
    TraceRoute,
    ViewChanged,
)
from .partitioning import WorkPartition
from .port import CapabilityPort, Commands
from .registration import Registration
from .reports import capabilities_of, peer_capabilities, waits_for
from .runtime import Runtime
from .storage import StorageActor
from .tag_entry import TagEntry, TagListener
from .tag_mail import LeaveTag
from .tag_reports import tag_of, tags_of
from .why import link_cause
from .worker import Worker

ASK_TIMEOUT_S = 5.0


class NodeSystem:
    """The actors of one node. Belongs to the hub's thread."""

    def __init__(
        self,
        *,
        config: Config,
        incarnation: Incarnation,
        runtime: Runtime,
        transport: Transport,
        roster: Roster,
        tag_store: TagStore,
        software: str,
        versions: Versions = OUR_VERSIONS,
    ) -> None:
        self.context = Context(
            config=config,
            me=own_id(config),
            incarnation=incarnation,
            runtime=runtime,
            transport=transport,
            roster=roster,
            tag_store=tag_store,
            software=software,
            versions=versions,
        )
        self.started_wall_s = runtime.wall()
        self._started = runtime.monotonic()
        self._listener: Listener | None = None
        self._traces = 0

    @property
    def url(self) -> BinsUrl:
        """Where this node listens."""
        assert self._listener is not None, "started"
        return self._listener.url

    def start(self, snapshot: RosterSnapshot) -> None:
        """Listen and start the actors that the roster asks for; `Misuse` if that cannot be."""
        context = self.context
        own = next(r.url for r in snapshot.records if r.node_id == context.me)
        self._listener = context.transport.listen(
            context.config.node.listen or own,
            self._incoming,
            lambda address, ending: self._tell(("gate",), RefusedOnTheWay(address, ending)),
        )
        context.supervisor.start_child(("gate",), lambda: GateActor.start(context))
        context.supervisor.start_child(("storage",), lambda: StorageActor.start(context, snapshot))

    def wait_begun(self) -> None:
        """Wait until the capabilities of the clusters that the roster names have begun.

        So what their applications send is taken, from the first message on.
        """
        self.ask(("storage",), Describe())
        self.ask(("gate",), Describe())
        for cluster, name in sorted(self.context.registrations):
            self.wait_capability(cluster, name)

    def wait_capability(self, cluster: ClusterId, name: str) -> None:
        """The same for one capability; in a cluster without this node it does not begin, and one
        whose actor crashes begins when it is restarted."""
        if self.context.supervisor.has(("capability", cluster, name)):
            with contextlib.suppress(Misuse):
                self.ask_capability(cluster, name, Describe())

    def leave(self, reason: str) -> bool:
        """Give up what must not wait for the end: the leases on tags. Whether there is anything."""
        tags = self.context.supervisor.names("tag")
        for name in tags:
            self._tell(name, LeaveTag(reason))
        return bool(tags)

    def stop(self, *, silent: bool = False) -> None:
        """Leave: peers are told, connections are flushed and closed by their actors.

        ``silent``: nothing more is stored, as after a crash.
        """
        self.context.silent = silent
        if self._listener is not None:
            self._listener.close()
        self.context.supervisor.stop_all()

    def _incoming(self, connection: Connection) -> None:
        if not self.context.supervisor.tell(("gate",), Incoming(connection)):
            connection.abort("overloaded")

    def _tell(self, name: Name, mail: object) -> None:
        self.context.supervisor.tell(name, mail)

    # Questions from outside; they wait, so never from an actor or a hub callback ---------------

    def ask(self, name: Name, mail: object) -> Any:
        """Ask an actor by its name; `Misuse` while it restarts, `TimedOut`."""
        ref = self.context.supervisor.ref(name)
        if ref is None:
            raise Misuse(f"{name} is restarting; ask again in a second")
        try:
            return ref.ask(mail, timeout=ASK_TIMEOUT_S)
        except pykka.ActorDeadError as error:
            raise Misuse(f"{name} is restarting; ask again in a second") from error
        except pykka.Timeout:
            raise TimedOut(f"{name} did not answer within {ASK_TIMEOUT_S:g} s") from None

    def trace_route(self, cluster: ClusterId, node: NodeId, timeout_s: float) -> list[NodeId]:
        """The nodes that a message to ``node`` passes, the destination last.

        Raises `Misuse` for an unknown cluster, `NodeDown` at once when there is no path, and when
        no answer comes in time.
        """
        if not self.context.supervisor.has(("node", cluster)):
            raise Misuse(f"this node is in no cluster {cluster}")
        self._traces += 1
        future = self.ask(("node", cluster), TraceRoute(node, self._traces))
        if isinstance(future, Dropped):
            raise NodeDown(f"node {node} cannot be reached: {future.reason}")
        try:
            visited: list[NodeId] = future.get(timeout=timeout_s)
        except pykka.Timeout:
            raise NodeDown(f"node {node} did not answer a trace within {timeout_s:g} s") from None
        return visited

    # Capabilities ------------------------------------------------------------------------------

    def register(self, cluster: ClusterId, capability: Capability, worker: Worker) -> Registration:
        """Offer a capability in a cluster; `Misuse` when its name is taken there."""
        context, name = self.context, capability.name
        if (cluster, name) in context.registrations:
            raise Misuse(f"cluster {cluster} has a capability {name!r} on this node already")
        if len(context.registered(cluster)) >= MAX_CAPABILITIES:
            raise Misuse(f"a node has at most {MAX_CAPABILITIES} capabilities in a cluster")
        actor = ("capability", cluster, name)
        settings = context.config.cluster(cluster)

        def tell(mail: object) -> None:
            context.supervisor.tell(actor, mail)

        def flush() -> None:
            context.supervisor.hand(actor, Flush())

        application = Application(capability, context.recorder.fault)
        commands = Commands(
            flush=flush,
            request_sync=lambda wish: tell(SyncWanted(wish)),
            changed=lambda: tell(PositionMoved()),
            run=lambda function: worker.submit(lambda: application.tell(function), _no_error),
        )
        port = CapabilityPort(
            context.me,
            cluster,
            context.runtime,
            commands,
            settings.outbox_bytes,
            keyed=isinstance(capability, KeyedCapability),
            fence=Fence(context, cluster, name),
        )
        capability.port = port
        registration = Registration(
            cluster=cluster,
            capability=capability,
            application=application,
            worker=worker,
            port=port,
            enabled=context.config.capability(cluster, name).enabled,
        )
        context.registrations[cluster, name] = registration
        self.divide(cluster, name, registration.partition)
        if context.supervisor.has(("node", cluster)):
            start_capability(context, registration)
        return registration

    def ask_capability(self, cluster: ClusterId, name: str, mail: object) -> Any:
        """Ask a capability's actor; see `ask`."""
        return self.ask(("capability", cluster, name), mail)

    def divide(self, cluster: ClusterId, name: str, partition: WorkPartition) -> None:
        """Divide the work of a registered capability among the nodes (P-1)."""
        actor: Name = ("capability", cluster, name)
        registration = self.context.registrations[cluster, name]
        incarnation = self.context.incarnation
        ping_timeout_s = self.context.config.cluster(cluster).ping_timeout_s
        follow = lambda view, weight: self._tell(actor, Followed(view, weight))  # noqa: E731
        partition.begin(registration, incarnation, ping_timeout_s, follow)
        registration.partition = partition
        if self.context.supervisor.has(actor):
            self._tell(actor, ViewChanged())

    def capability_status(self, cluster: ClusterId, name: str) -> CapabilityStatus:
        """How one capability of this node is."""
        listed = capabilities_of(self.context, cluster, self.ask)
        return next(status for status in listed if status.name == name)

    # Sharing tags ------------------------------------------------------------------------------

    def declare_tag(
        self, cluster: ClusterId, tag: str, listeners: list[TagListener], *, active: bool
    ) -> TagEntry:
        """Use a sharing tag in a cluster; `Misuse` when there are too many.

        ``active``: it is to be active here from the start.
        """
        known = self.context.tags.get((cluster, tag))
        if known is not None:  # it was handed over to this node before anybody here asked for it
            known.listen(listeners)
            return known
        entry = self.context.new_tag(cluster, tag, listeners, starts_active=active)
        self.context.tags[cluster, tag] = entry
        if self.context.supervisor.has(("node", entry.cluster)):
            try:
                start_tag(self.context, entry)
            except Misuse:
                del self.context.tags[entry.cluster, entry.name]
                raise
        return entry

    def ask_tag(self, cluster: ClusterId, tag: str, mail: object) -> Any:
        """Ask a tag's actor; see `ask`."""
        if not self.context.supervisor.has(("tag", cluster, tag)):
            raise Misuse(f"this node is in no cluster {cluster}, so it cannot have tag {tag!a}")
        return self.ask(("tag", cluster, tag), mail)

    def tag_status(self, cluster: ClusterId, tag: str) -> TagStatus:
        """How one declared tag is, as seen from here."""
        return tag_of(self.context, cluster, tag, self.ask)

    def clusters(self) -> list[ClusterId]:
        """Those in which this node has a row, in order."""
        records: tuple[NodeRecord, ...] = self.ask(("storage",), Describe())["records"]
        return sorted(r.cluster_id for r in records if r.node_id == self.context.me)

    def dial_now(self, peer: NodeId) -> None:
        """Try to reach a node at once instead of after the back-off."""
        self._tell(("peer", peer), DialNow())

    def status(self) -> Status:
        """The whole snapshot; see `protocol.status`."""
        context = self.context
        storage = self.ask(("storage",), Describe())
        gate: GateActor = self.ask(("gate",), Describe())
        records: tuple[NodeRecord, ...] = storage["records"]
        mine = [r for r in records if r.node_id == context.me]
        enabled = [r.cluster_id for r in mine if r.enabled]
        missing = waits_for(list(context.registrations.values()), enabled)
        if not enabled:
            missing = [f"node {context.me} has no enabled row"]
        description = context.config.node.description
        return Status(
            node_id=context.me,
            description=description or (mine[0].description if mine else None),
            url=str(self.url),
            software=context.software,
            incarnation=context.incarnation,
            started_wall_s=self.started_wall_s,
            uptime_s=context.runtime.monotonic() - self._started,
            healthy=context.supervisor.healthy,
            ready=not missing,
            roster=f"{context.roster.name}, read {storage['age_s']:.1f} s ago",
            roster_error=storage["error"],
            clusters=[self._cluster(r, records) for r in mine],
            invalid_rows=[
                f"row {i.db_id} (cluster {i.cluster_id}, node {i.node_id}): {i.reason}"
                for i in storage["invalid"]
            ],
            refusals=list(gate.refusals.values()),
            crashes=context.supervisor.crashes,
            waits_for=missing,
            actors=context.supervisor.count(),
            events=context.events.counts(),
            drops=dict(context.drops),
        )

    def _cluster(self, own: NodeRecord, records: tuple[NodeRecord, ...]) -> ClusterStatus:
        cluster = own.cluster_id
        others = [r for r in records if r.cluster_id == cluster and r.node_id != own.node_id]
        capabilities = capabilities_of(self.context, cluster, self.ask)
        tags = tags_of(self.context, cluster, self.ask)
        if not self.context.supervisor.has(("node", cluster)):
            peers = [self._peer(record, None, None) for record in others]
            return ClusterStatus(
                cluster_id=cluster,
                enabled=False,
                peers=peers,
                topology=[],
                capabilities=capabilities,
                tags=tags,
            )
        topology: Topology = self.ask(("node", cluster), Describe())
        peers = []
        for record in others:
            name = ("link", cluster, record.node_id)
            running = self.context.supervisor.ref(name) is not None
            link = self.ask(name, Describe()) if running else None
            peers.append(self._peer(record, link, topology))
        adjacency = [(int(n), [int(x) for x in near]) for n, near in topology.adjacency()]
        return ClusterStatus(
            cluster_id=cluster,
            enabled=own.enabled,
            peers=peers,
            topology=adjacency,
            capabilities=capabilities,
            tags=tags,
        )

    def _peer(self, record: NodeRecord, link: Link | None, topology: Topology | None) -> PeerStatus:
        route = list(topology.route(record.node_id)) if topology is not None else []
        now = self.context.runtime.monotonic()
        return PeerStatus(
            node_id=record.node_id,
            db_id=record.db_id,
            url=str(record.url),
            description=record.description,
            state="enabled" if record.enabled else "disabled",
            link=link.state.shown if link is not None else "Down",
            link_state=link.state.value if link is not None else "none",
            next_hop=route[0] if route else None,
            route=[int(n) for n in route],
            rtt_s=link.rtt_s if link is not None else None,
            rtts=link.rtts.told() if link is not None else None,
            incarnation=topology.incarnation_of(record.node_id) if topology is not None else None,
            since_s=now - link.since if link is not None else 0.0,
            why=link_cause(record, link),
            capabilities=self._told(record) if topology is not None else [],
        )

    def _told(self, record: NodeRecord) -> list[PeerCapability]:
        view = self.context.views.get(record.cluster_id)
        states = view.capabilities.get(record.node_id, {}) if view is not None else {}
        return peer_capabilities(states)


def _no_error(error: BaseException | None) -> None:
    assert error is None, "what an application's function raises is logged"
