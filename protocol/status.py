"""What a node tells of itself: one snapshot that the MI, the CLI and embedders read."""

from __future__ import annotations

import msgspec

from .contract import Progress, SyncReport, TagEvidence


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took, each time."""

    bounds_s: list[float]
    """Ascending."""
    counts: list[int]
    """How many were above the bound before and at most this one; last those above all bounds."""
    sum_s: float


class PeerCapability(msgspec.Struct, frozen=True, kw_only=True):
    """What another node says of one of its capabilities."""

    name: str
    state: str
    """As in `CapabilityStatus`."""
    reason: str = ""
    without_data: bool = False


class DonorSession(msgspec.Struct, frozen=True, kw_only=True):
    """A sync in which this node is the donor."""

    joiner: int
    state: str
    """``accepted`` | ``snapshotting`` | ``sending``"""
    done: int
    """Records sent."""
    total: int
    """Records to be sent, an estimate."""
    bytes: int


class PlanStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A mirror plan that waits for a decision, or can be undone (B8)."""

    plan_id: int
    state: str
    """``waiting`` | ``dropping`` | ``dropped`` | ``restoring``"""
    reason: str
    """Why it waited: ``dry_run`` or ``guard``; empty when it did not."""
    records: int
    """That it drops."""
    dropped: int
    """Dropped so far."""


class CapabilityStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One capability of this node."""

    name: str
    state: str
    """``disabled`` | ``unsynced`` | ``pending`` | ``syncing`` | ``ok`` | ``degraded``"""
    reason: str
    """Why it is in this state."""
    enabled: bool
    """Not switched off by an operator."""
    without_data: bool
    """It declared itself OK without a donor (S-27)."""
    progress: Progress | None
    """Of the sync under way."""
    donating: list[DonorSession]
    last_report: SyncReport | None
    """How the last sync ended."""
    quarantined: int
    """Messages and records that their handlers refused by raising, since the start."""
    plans: list[PlanStatus]
    evidence: list[TagEvidence] = []
    """How the records of each sharing tag were synced last, by tag."""
    records_taken: int = 0
    """That syncs brought to this node since its start."""
    records_given: int = 0
    """That this node read for the syncs of others since its start."""
    pending: dict[str, str] = {}
    """Sharing tags whose records are not complete here, each with the reason (K-4)."""


class TagChange(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a sharing tag's history, as heard here."""

    number: int
    """Of the epoch."""
    owner: int
    """Of the epoch."""
    holder: int | None
    """None: the epoch was given up."""
    reason: str
    wall_s: float


class TagStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One sharing tag as seen from this node."""

    name: str
    state: str
    """Here: ``backup`` | ``claiming`` | ``active`` | ``handing_over``"""
    mode: str
    """``manual`` | ``lease``"""
    declared: bool
    """False: known from other nodes only (H-27)."""
    holder: int | None
    """The node that has it; None = nobody."""
    why: str
    """Why that node has it, or what became of the last owner."""
    number: int
    """Of the highest epoch claimed; 0 = none."""
    owner: int | None
    """Of that epoch, which it may have given up."""
    history: list[TagChange] = []
    """The oldest first."""
    paused: bool = False
    """Mode lease: nobody takes it over by itself."""
    preferred: list[int] = []
    """Mode lease: who is to have it, the best first; empty = all."""
    electors: list[int] = []
    """Mode lease: whom the owner knew when it renewed, so who may take the lease when it runs out;
    empty = all."""
    barriers: dict[int, str] = {}
    """Mode lease: why each node would not take the lease; empty text: it may."""


class PeerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One other node of a cluster, as seen from here."""

    node_id: int
    db_id: int
    url: str
    description: str | None
    state: str
    """``enabled`` | ``disabled`` | ``invalid``"""
    link: str
    """``Up`` | ``Probe`` | ``Down``, as OpenSIPS shows it."""
    link_state: str
    """The state of the link machine (behaviour 1.7)."""
    next_hop: int | None
    route: list[int]
    """Nodes on the way, the destination last; empty = unreachable."""
    rtt_s: float | None
    """Round trip of the last answered ping, seconds."""
    rtts: Distribution | None = None
    """Round trips of all pings that were answered in time; None: there is no link."""
    incarnation: int | None
    since_s: float
    """Seconds in this link state."""
    why: str
    """Why the link is in this state, e.g. ``refused: cert_identity``."""
    capabilities: list[PeerCapability] = []
    """Sorted by name; those of a node that is not reachable are not known (N-2)."""

    @property
    def connected(self) -> bool:
        """The link is up, and messages have a way: link states follow a link by some ms."""
        return self.link == "Up" and self.next_hop is not None


class ClusterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster as seen from this node."""

    cluster_id: int
    enabled: bool
    peers: list[PeerStatus]
    """Sorted by node id; this node is not among them."""
    topology: list[tuple[int, list[int]]]
    """(node, its neighbours) for each known node; this node first (clusterer_list_topology)."""
    capabilities: list[CapabilityStatus] = []
    """Of this node, sorted by name."""
    tags: list[TagStatus] = []
    """That this node declared or heard of, sorted by name."""


class RefusalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Connections refused for one reason, summed up."""

    node_id: int | None
    """The id proved by the certificate; None when there was none to read."""
    direction: str
    """``incoming`` | ``outgoing``"""
    by: str
    """``us`` | ``them``"""
    address: str
    reason: str
    detail: str
    count: int
    last_wall_s: float


class EventCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often a kind of event has come since the start, also beyond those that are kept."""

    cluster_id: int | None
    kind: str
    cause: str = ""
    """Code of the cause."""
    count: int


class HandshakeCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many TLS handshakes ended in one way."""

    role: str
    """``client`` | ``server``"""
    result: str
    """``done``, ``broken``, or the reason of a refusal"""
    count: int


class TrafficStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What went through the connections of this node since its start."""

    messages_received: dict[str, int]
    """By the type of the message; a batch of a capability is one."""
    messages_sent: dict[str, int]
    bytes_received: int
    """Of TCP."""
    bytes_sent: int
    handshakes: list[HandshakeCount]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The whole snapshot. ``version`` changes when a field changes its meaning."""

    version: int = 1
    node_id: int
    description: str | None
    url: str
    software: str
    incarnation: int
    started_wall_s: float
    uptime_s: float
    healthy: bool
    ready: bool
    """Enabled, provisioned, and every sync that the start asked for was done."""
    roster: str
    """Where the provisioned nodes come from, without secrets, and how old the snapshot is."""
    roster_error: str | None
    """Why the storage could not be asked the last time; None = it could."""
    clusters: list[ClusterStatus]
    invalid_rows: list[str]
    refusals: list[RefusalStatus]
    crashes: int
    """Actors restarted since start."""
    waits_for: list[str] = []
    """What is missing to be ready, in words."""
    actors: dict[str, int] = {}
    """Actors that exist, by kind (``gate``, ``storage``, ``node``, ``peer``, ``link``)."""
    inboxes: dict[str, int] = {}
    """Messages that wait for the actors of a kind."""
    events: list[EventCount] = []
    """In order of cluster and kind."""
    drops: dict[str, int] = {}
    """Messages that a rule dropped since the start, by its label (G-15)."""
    traffic: TrafficStatus | None = None
    """None where there is no network (simulated nodes)."""
    storage_calls: Distribution | None = None
    """Calls of the storage: provisioning, leases, stores of tags."""
    hub_lag_s: float | None = None
    """How long the hub took to turn to this question."""
    certificate_ends_wall_s: float | None = None
    """When this node's certificate expires; None where there is none (simulated nodes)."""
