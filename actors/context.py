"""What every actor of one node process is given: the ports, who it is, and how to reach others."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

from ..protocol.descriptions import Descriptions
from ..protocol.flight_recorder import FlightRecorder
from ..protocol.greeting import OUR_VERSIONS, Versions
from ..protocol.identity import ClusterId, NodeId
from ..protocol.tombstones import Tombstones
from .eventlog import EventLog
from .supervisor import Name, Supervisor
from .tag_entry import TagEntry

if TYPE_CHECKING:
    from ..protocol.config import Config
    from ..protocol.identity import Incarnation
    from ..protocol.messages import Message, Routed
    from ..protocol.tag_claims import ClaimTable
    from ..storage.base import Roster, TagStore
    from ..transport.base import Transport
    from .lane import Lane
    from .registration import Registration
    from .runtime import Runtime
    from .tag_entry import TagListener
    from .view import View

__all__ = ["Context", "Name"]


@dataclasses.dataclass(kw_only=True)
class Context:
    """One per node; no module-level state, so several nodes live in one process."""

    config: Config
    me: NodeId
    incarnation: Incarnation
    runtime: Runtime
    transport: Transport
    roster: Roster
    tag_store: TagStore
    software: str
    silent: bool = False
    """It ends as a crash would: nothing more is stored."""
    versions: Versions = OUR_VERSIONS
    """Of the protocol; others than ours only in simulated clusters."""
    events: EventLog = dataclasses.field(init=False)
    supervisor: Supervisor = dataclasses.field(init=False)
    recorder: FlightRecorder = dataclasses.field(default_factory=FlightRecorder)
    """The last messages of every link (B14)."""
    descriptions: dict[ClusterId, Descriptions] = dataclasses.field(default_factory=dict)
    """Dynamic mode: who joined without a row, per cluster (J-4). Empty in database mode."""
    tombstones: Tombstones = dataclasses.field(init=False)
    """Who was removed; kept by the storage actor."""
    views: dict[ClusterId, View] = dataclasses.field(default_factory=dict)
    """The newest of each cluster, kept by its node actor."""
    registrations: dict[tuple[ClusterId, str], Registration] = dataclasses.field(
        default_factory=dict
    )
    """The capabilities of this node."""
    claims: dict[ClusterId, ClaimTable] = dataclasses.field(default_factory=dict)
    """On sharing tags: of each cluster the table of its node actor."""
    tags: dict[tuple[ClusterId, str], TagEntry] = dataclasses.field(default_factory=dict)
    """The sharing tags that this node declared."""
    lanes: dict[NodeId, Lane] = dataclasses.field(default_factory=dict)
    """Of the peers with an established connection, kept by their peer actors."""
    node_starts: Counter[ClusterId] = dataclasses.field(default_factory=Counter)
    """How many node actors each cluster has had in this process."""
    drops: Counter[str] = dataclasses.field(default_factory=Counter)
    """How often a rule dropped something, by its label (G-15)."""

    def __post_init__(self) -> None:
        self.events = EventLog(self.runtime.wall, self.me)
        self.supervisor = Supervisor(self.runtime)
        self.tombstones = Tombstones(self.config.provisioning.removal_memory_s)
        if self.config.provisioning.mode == "static":
            for cluster in self.config.clusters:
                assert cluster.me is not None, "static mode has it"
                configured = {r.node_id: r for r in cluster.neighbours}
                self.descriptions[ClusterId(cluster.id)] = Descriptions(
                    cluster.me, self.incarnation, configured
                )

    def registered(self, cluster: ClusterId) -> list[Registration]:
        """The capabilities of one cluster, by name."""
        return [r for (c, _), r in sorted(self.registrations.items(), key=_key) if c == cluster]

    def tagged(self, cluster: ClusterId) -> list[TagEntry]:
        """The sharing tags declared in one cluster, by name."""
        return [entry for (c, _), entry in sorted(self.tags.items(), key=_key) if c == cluster]

    def new_tag(
        self, cluster: ClusterId, name: str, listeners: list[TagListener], *, starts_active: bool
    ) -> TagEntry:
        """A tag as the configuration has it; not declared yet."""
        settings = self.config.tag(cluster, name)
        clock = self.runtime.monotonic
        return TagEntry(cluster, name, settings, clock, listeners, starts_active=starts_active)

    def send(self, peer: NodeId, message: Message) -> None:
        """Send a control message to a node on the connection with it, if there is one."""
        lane = self.lanes.get(peer)
        if lane is None or not lane.control(message):
            self.drops["not sent"] += 1

    def send_routed(self, message: Routed) -> None:
        """Send a control message of this node to ``message.destination``, wherever that is."""
        view = self.views.get(ClusterId(message.cluster_id))
        route = view.routes.get(NodeId(message.destination)) if view is not None else None
        if route is None:
            self.drops["R-3"] += 1
        else:
            self.send(route[0], message)


def _key(item: tuple[tuple[ClusterId, str], object]) -> tuple[ClusterId, str]:
    return item[0]
