"""A status as Prometheus reads it (``GET /metrics``).

Labels are bounded by what is provisioned or configured: cluster, node, capability, tag, and words
of ours. States are one gauge per state, 1 for the one that holds. Counters begin with the process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector, CollectorRegistry

from ..protocol.events import Event
from ..protocol.status import (
    CapabilityStatus,
    ClusterStatus,
    Distribution,
    EventCount,
    PeerStatus,
    Status,
    TagStatus,
    TrafficStatus,
)

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LINK_STATES = ("Up", "Probe", "Down")
SYNC_STATES = ("receiving", "donating")


def exposition(status: Status) -> bytes:
    """The metrics of one node in the text format 0.0.4."""
    registry = CollectorRegistry()
    registry.register(_Families(status))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        status = self._status
        yield from _node(status)
        yield from _clusters(status.clusters)
        peers = [(cluster, peer) for cluster in status.clusters for peer in cluster.peers]
        yield from _links(peers)
        yield from _capabilities([(c, one) for c in status.clusters for one in c.capabilities])
        yield from _tags([(c, tag) for c in status.clusters for tag in c.tags])
        yield from _counters(status)
        if status.traffic is not None:
            yield from _traffic(status.traffic)


def _node(status: Status) -> Iterator[Metric]:
    yield _gauge(
        "build_info", "Version of the software, always 1.", ["version"], [((status.software,), 1)]
    )
    own = ("", str(status.node_id), status.description or "", status.url)
    infos = [(own, 1)] + [
        ((str(c.cluster_id), str(p.node_id), p.description or "", p.url), 1)
        for c in status.clusters
        for p in c.peers
    ]
    yield _gauge(
        "node_info",
        "Provisioned nodes, always 1; this node has no cluster_id.",
        ["cluster_id", "node_id", "description", "url"],
        infos,
    )
    yield _gauge("healthy", "Whether the actors of this node run.", [], [((), status.healthy)])
    yield _gauge(
        "ready", "Whether this node is provisioned and its start is done.", [], [((), status.ready)]
    )
    yield _gauge("uptime_seconds", "Since the start of this node.", [], [((), status.uptime_s)])
    yield _gauge(
        "provisioning_up",
        "Whether the provisioned nodes could be read the last time.",
        [],
        [((), status.roster_error is None)],
    )
    if status.certificate_ends_wall_s is not None:
        yield _gauge(
            "certificate_expiry_timestamp_seconds",
            "When a certificate expires, seconds since the epoch.",
            ["kind"],
            [(("node",), status.certificate_ends_wall_s)],
        )
    yield _gauge(
        "actors",
        "Actors that exist.",
        ["kind"],
        [((kind,), count) for kind, count in sorted(status.actors.items())],
    )
    yield _gauge(
        "actor_inbox_length",
        "Messages that wait for the actors of a kind.",
        ["actor"],
        [((kind,), count) for kind, count in sorted(status.inboxes.items())],
    )
    if status.hub_lag_s is not None:
        yield _gauge(
            "hub_lag_seconds",
            "How long the hub took to turn to this question.",
            [],
            [((), status.hub_lag_s)],
        )
    if status.storage_calls is not None:
        yield _histogram(
            "db_query_seconds",
            "Calls of the storage: provisioned nodes, leases and stores of tags.",
            [],
            [((), status.storage_calls)],
        )


def _clusters(clusters: list[ClusterStatus]) -> Iterator[Metric]:
    counted: list[tuple[str, str, Callable[[PeerStatus], bool]]] = [
        ("cluster_nodes", "Nodes of a cluster, this one included.", lambda _peer: True),
        ("cluster_nodes_up", "Nodes with a link that is up.", lambda peer: peer.link == "Up"),
        (
            "cluster_nodes_reachable",
            "Nodes that a message has a way to.",
            lambda peer: bool(peer.route),
        ),
    ]
    for name, text, holds in counted:
        values = [
            ((str(c.cluster_id),), 1 + sum(holds(p) for p in c.peers if p.state != "invalid"))
            for c in clusters
        ]
        yield _gauge(name, text, ["cluster_id"], values)


def _links(peers: list[tuple[ClusterStatus, PeerStatus]]) -> Iterator[Metric]:
    labels = ["cluster_id", "node_id"]
    named = [((str(c.cluster_id), str(p.node_id)), p) for c, p in peers]
    yield _gauge(
        "link_state",
        "The state of the direct link with a node: 1 for the one it is in.",
        [*labels, "state"],
        [((*key, state), p.link == state) for key, p in named for state in LINK_STATES],
    )
    up = [(key, p.link == "Up") for key, p in named]
    yield _gauge("link_up", "Whether the direct link with a node is up.", labels, up)
    yield _histogram(
        "ping_rtt_seconds",
        "Round trips of pings that were answered in time.",
        labels,
        [(key, p.rtts) for key, p in named if p.rtts is not None],
    )
    hops = [(key, len(p.route)) for key, p in named]
    yield _gauge("route_hops", "Links on the way to a node; 0: unreachable.", labels, hops)


def _capabilities(found: list[tuple[ClusterStatus, CapabilityStatus]]) -> Iterator[Metric]:
    labels = ["cluster_id", "capability"]
    named = [((str(c.cluster_id), one.name), one) for c, one in found]
    synced = [(key, one.state == "ok") for key, one in named]
    yield _gauge("capability_synced", "Whether a capability here is OK.", labels, synced)
    enabled = [(key, one.enabled) for key, one in named]
    yield _gauge("capability_enabled", "Whether a capability is not switched off.", labels, enabled)
    yield _gauge(
        "sync_sessions",
        "Syncs under way on this node.",
        [*labels, "state"],
        [
            ((*key, state), count)
            for key, one in named
            for state, count in zip(
                SYNC_STATES, (int(one.progress is not None), len(one.donating)), strict=True
            )
        ],
    )
    yield _gauge(
        "sync_duration_seconds",
        "How long the last sync took that ended.",
        labels,
        [(key, one.last_report.seconds) for key, one in named if one.last_report is not None],
    )
    yield _counter(
        "sync_items",
        "Records that syncs brought (joiner) or that were read for others (donor).",
        [*labels, "role"],
        [
            ((*key, role), count)
            for key, one in named
            for role, count in (("joiner", one.records_taken), ("donor", one.records_given))
        ],
    )
    yield _counter(
        "quarantined",
        "Messages and records that a capability's handlers refused.",
        labels,
        [(key, one.quarantined) for key, one in named],
    )


def _tags(found: list[tuple[ClusterStatus, TagStatus]]) -> Iterator[Metric]:
    labels = ["cluster_id", "tag"]
    named = [((str(c.cluster_id), tag.name), tag) for c, tag in found if tag.declared]
    active = [(key, tag.state in ("active", "handing_over")) for key, tag in named]
    yield _gauge("tag_active", "Whether a sharing tag is active on this node.", labels, active)


def _counters(status: Status) -> Iterator[Metric]:
    happened: Counter[tuple[str, str]] = Counter()
    for event in status.events:
        happened[_cluster_label(event), event.kind] += event.count
    yield _counter("events", "Events by kind.", ["cluster_id", "kind"], list(happened.items()))
    changes = [((c,), n) for (c, kind), n in happened.items() if kind == Event.LINK_CHANGED.value]
    text = "Changes of the state of a direct link."
    yield _counter("link_transitions", text, ["cluster_id"], changes)
    yield _counter(
        "tag_transitions",
        "Sharing tags that became active here or backup, by the code of the cause.",
        ["cluster_id", "reason"],
        [
            ((_cluster_label(event), event.cause), event.count)
            for event in status.events
            if event.kind == Event.TAG_CHANGED.value
        ],
    )
    reasons: Counter[tuple[str, str]] = Counter()
    for refusal in status.refusals:
        reasons[refusal.reason, refusal.by] += refusal.count
    yield _counter(
        "join_refused",
        "Connections refused, by us or by them.",
        ["reason", "by"],
        sorted(reasons.items()),
    )
    yield _counter(
        "message_drops",
        "Messages that a rule dropped, by the label of the rule.",
        ["reason"],
        [((reason,), count) for reason, count in sorted(status.drops.items())],
    )
    yield _counter("actor_failures", "Actors restarted.", [], [((), status.crashes)])


def _cluster_label(event: EventCount) -> str:
    return "" if event.cluster_id is None else str(event.cluster_id)


def _traffic(traffic: TrafficStatus) -> Iterator[Metric]:
    directions = (("received", traffic.messages_received), ("sent", traffic.messages_sent))
    yield _counter(
        "messages",
        "Messages of the protocol by type; a batch of a capability is one.",
        ["direction", "type"],
        [((way, kind), count) for way, kinds in directions for kind, count in kinds.items()],
    )
    yield _counter(
        "transport_bytes",
        "Bytes of the connections with other nodes, encrypted.",
        ["direction"],
        [(("received",), traffic.bytes_received), (("sent",), traffic.bytes_sent)],
    )
    yield _counter(
        "tls_handshakes",
        "Handshakes that are over, by how they ended.",
        ["role", "result"],
        [((one.role, one.result), one.count) for one in traffic.handshakes],
    )


_Values = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, text: str, labels: list[str], values: _Values) -> Metric:
    family = GaugeMetricFamily(f"tagmesh_{name}", text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _counter(name: str, text: str, labels: list[str], values: _Values) -> Metric:
    """``name`` without its ``_total``."""
    family = CounterMetricFamily(f"tagmesh_{name}", text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _histogram(
    name: str, text: str, labels: list[str], values: Iterable[tuple[tuple[str, ...], Distribution]]
) -> Metric:
    family = HistogramMetricFamily(f"tagmesh_{name}", text, labels=labels)
    for key, one in values:
        bounds = [*map(str, one.bounds_s), "+Inf"]
        reached = list(accumulate(one.counts))
        family.add_metric(key, list(zip(bounds, reached, strict=True)), one.sum_s)
    return family
