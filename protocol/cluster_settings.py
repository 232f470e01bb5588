"""``[[cluster]]``: the settings of one cluster and, in static mode, the rows of its first nodes."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from .identity import ClusterId, NodeRecord
from .kinds import bins_url, duration, flag, integer, share, size, text, write_duration
from .messages import MAX_WINDOW
from .settings import REQUIRED, Kind, Reader, setting, shown
from .tag_settings import TagStart, tag_starts

MAX_CLUSTERS = 64
MAX_NODES = 512
"""Rows per cluster; OpenSIPS allows 128."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """``[[cluster]]``: timing and routing of one cluster; in static mode also who is in it."""

    id: int = setting(integer(1), REQUIRED, "cluster id", opensips="cluster_id", example=1)
    ping_interval_s: float = setting(
        duration(0.01),
        "4s",
        "pause between pings on an UP link",
        opensips="ping_interval",
        key="ping_interval",
    )
    ping_timeout_s: float = setting(
        duration(0.01),
        "1s",
        "a pong must come within this",
        opensips="ping_timeout",
        key="ping_timeout",
    )
    ping_retries: int = setting(
        integer(0, 1000),
        3,
        "static mode: pings after the first unanswered one",
        opensips="no_ping_retries",
    )
    node_timeout_s: float = setting(
        duration(0.01),
        "60s",
        "longest pause before a DOWN node is tried again",
        opensips="node_timeout",
        key="node_timeout",
    )
    reconnect_cap_s: float = setting(
        duration(0.01),
        "5s",
        "longest pause between dials, at most node_timeout",
        key="reconnect_cap",
    )
    digest_interval_s: float = setting(
        duration(0.01), "10s", "pause between topology digests", key="digest_interval"
    )
    flap_window_s: float = setting(
        duration(0.0),
        "60s",
        "flaps within this window lengthen the time in Probe",
        key="flap_window",
    )
    rerouting: bool = setting(
        flag(), True, "reach nodes through others", opensips="enable_rerouting"
    )
    seed_fallback_interval_s: float = setting(
        duration(0.01),
        "5s",
        "a seed that finds no donor for so long is synced without data",
        opensips="seed_fallback_interval",
        key="seed_fallback_interval",
    )
    newest_decides: bool = setting(
        flag(), True, "when no node is synced: the one with the newest data becomes it, seed or not"
    )
    quorum_share: float = setting(
        share(), 0.5, "newest_decides needs more than this share of the nodes in sight"
    )
    sync_timeout_s: float = setting(
        duration(0.05),
        "15s",
        "longest time without progress in a sync",
        opensips="sync_timeout",
        key="sync_timeout",
    )
    sync_request_timeout_s: float = setting(
        duration(0.02),
        "2s",
        "a donor must answer a request within this; else the next one is asked",
        key="sync_request_timeout",
    )
    resume_timeout_s: float = setting(
        duration(0.01),
        "5s",
        "a sync goes on where it was when its donor is back within this",
        key="resume_timeout",
    )
    sync_packet_size_bytes: int = setting(
        integer(1024, 65_535),
        32_768,
        "a sync packet is closed when it is as full as this, in bytes",
        opensips="sync_packet_size",
        key="sync_packet_size",
    )
    sync_window: int = setting(
        integer(1, MAX_WINDOW), 8, "sync packets on their way before one is acknowledged"
    )
    max_donor_sessions: int = setting(
        integer(1, 1024), 4, "nodes served at once; others are told busy"
    )
    sync_queue_messages: int = setting(
        integer(1, 10_000_000), 50_000, "messages that wait for a sync to end, per capability"
    )
    sync_queue_bytes: int = setting(
        size(64 * 1024, 1024**3), "16MiB", "their size together", key="sync_queue"
    )
    mirror_guard_records: int = setting(
        integer(0),
        20,
        "a mirror that would drop more records than this and more than mirror_guard_share waits",
    )
    mirror_guard_share: float = setting(
        share(), 0.5, "share of the own records that a mirror may drop unasked"
    )
    credit_window_bytes: int = setting(
        size(256 * 1024, 64 * 1024**2),
        "1MiB",
        "bytes of a capability on their way on one connection; the same on all nodes",
        key="credit_window",
    )
    outbox_bytes: int = setting(
        size(128 * 1024, 1024**3),
        "4MiB",
        "messages of a capability that wait to be sent; more is busy",
        key="outbox",
    )
    sharing_tags: tuple[TagStart, ...] = setting(
        tag_starts(),
        [],
        "sharing tags, and which of them this node is to have from its start; how they go from node"
        " to node stands in [tag]",
        opensips="sharing_tag",
        example=["vip1=active", "vip2"],
    )
    me: NodeRecord | None = None
    """The own row, in static mode."""
    neighbours: tuple[NodeRecord, ...] = ()
    """The rows of the first neighbours, in static mode."""

    @property
    def digest(self) -> str:
        """Digest of what must agree on all nodes of a cluster (`config_mismatch`)."""
        agreed = f"{self.rerouting} {self.credit_window_bytes}"
        return hashlib.sha256(agreed.encode()).hexdigest()[:16]


_ME_KINDS: Mapping[str, Kind] = {
    "url": bins_url(),
    "flags": text(),
    "sip_addr": text(),
    "description": text(),
    "priority": integer(0),
    "no_ping_retries": integer(0, 1000),
}
_NEIGHBOUR_KINDS: Mapping[str, Kind] = {"node_id": integer(1), **_ME_KINDS}
STATIC_EXAMPLES: Mapping[str, tuple[Any, str]] = {
    "me": (
        {"url": "bins:10.0.0.5:5556"},
        f"static mode: the own row; keys {', '.join(_ME_KINDS)}",
    ),
    "neighbours": (
        [{"node_id": 2, "url": "bins:10.0.0.6:5556"}],
        f"static mode: the first neighbours; keys {', '.join(_NEIGHBOUR_KINDS)}",
    ),
}
"""Key to (example, explanation) of what only static mode has."""
ME_KEYS = tuple(_ME_KINDS)
NEIGHBOUR_KEYS = tuple(_NEIGHBOUR_KINDS)


class ClusterReader:
    """Reads ``[[cluster]]``. ``own_id`` or ``mode`` is None when it is wrong itself."""

    def __init__(self, reader: Reader, own_id: int | None, mode: str | None) -> None:
        self.reader = reader
        self.own_id = own_id
        self.mode = mode

    def read(self, raw: Mapping[str, Any]) -> tuple[ClusterSettings, ...]:
        """The clusters whose own keys are right; every problem is told to the reader."""
        complain = self.reader.complain
        tables = raw.get("cluster", [])
        if not isinstance(tables, list):
            complain("cluster", "-", f"{shown(tables)} is not a list of tables", "[[cluster]]")
            return ()
        if len(tables) > MAX_CLUSTERS:
            complain("cluster", "-", f"{len(tables)} clusters", f"at most {MAX_CLUSTERS}")
        if not tables and self.mode == "static":
            complain("cluster", "-", "is missing", "static mode needs at least one [[cluster]]")
        clusters: list[ClusterSettings] = []
        taken: list[object] = []
        for position, table in enumerate(tables[:MAX_CLUSTERS], 1):
            name = f"cluster #{position}"
            cluster = self.cluster(name, table)
            if cluster is not None:
                clusters.append(cluster)
            given = table.get("id") if isinstance(table, Mapping) else None
            if given is not None and given in taken:
                complain(name, "id", f"{shown(given)} stands twice", "each id once")
            taken.append(given)
        return tuple(clusters)

    def cluster(self, name: str, raw: object) -> ClusterSettings | None:
        """One cluster with its static rows; None when its own keys are wrong."""
        cluster = self.reader.table(ClusterSettings, name, raw, tuple(STATIC_EXAMPLES))
        if cluster is not None:
            self.timing(name, cluster)
        if not isinstance(raw, Mapping):
            return None
        if self.mode == "database":
            for key in STATIC_EXAMPLES:
                if key in raw:
                    allowed = 'nothing, or mode = "static" in [provisioning]'
                    self.reader.complain(name, key, "only static mode has it", allowed)
        if self.mode != "static":
            return cluster
        me, neighbours = self.me(name, raw), self.neighbours(name, raw)
        if cluster is None:
            return None
        defaults = {"cluster_id": ClusterId(cluster.id), "ping_retries": cluster.ping_retries}
        return dataclasses.replace(
            cluster,
            me=_record({"node_id": self.own_id, **me}, defaults) if me and self.own_id else None,
            neighbours=tuple(_record(row, defaults) for row in neighbours),
        )

    def timing(self, name: str, cluster: ClusterSettings) -> None:
        """Relations between durations."""

        def bounded(key: str, value_s: float, word: str, other: str, other_s: float) -> None:
            if value_s > other_s or (value_s == other_s and word == "less than"):
                what = f"{write_duration(value_s)}, but {other} is {write_duration(other_s)}"
                self.reader.complain(name, key, what, f"{word} {other}")

        cap_s, timeout_s = cluster.reconnect_cap_s, cluster.ping_timeout_s
        interval_s = cluster.ping_interval_s
        bounded("ping_timeout", timeout_s, "less than", "ping_interval", interval_s)
        bounded("reconnect_cap", cap_s, "at most", "node_timeout", cluster.node_timeout_s)
        bounded("reconnect_cap", cap_s, "at most", "digest_interval", cluster.digest_interval_s)
        sync_s = cluster.sync_timeout_s
        request_s, resume_s = cluster.sync_request_timeout_s, cluster.resume_timeout_s
        bounded("sync_request_timeout", request_s, "less than", "sync_timeout", sync_s)
        bounded("resume_timeout", resume_s, "less than", "sync_timeout", sync_s)

    def me(self, name: str, raw: Mapping[str, Any]) -> dict[str, Any] | None:
        """The own row, checked."""
        if "me" not in raw:
            self.reader.complain(name, "me", "is missing", '{ url = "bins:host:port" }')
            return None
        return self.row(f"{name}.me", raw["me"], _ME_KINDS, ["url"])

    def neighbours(self, name: str, raw: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The neighbours' rows that are right; each id once, and not the own."""
        rows = raw.get("neighbours", [])
        most = MAX_NODES - 1  # and the own row
        if not isinstance(rows, list):
            allowed = '[ { node_id = 2, url = "bins:host:port" } ]'
            self.reader.complain(name, "neighbours", f"{shown(rows)} is not a list", allowed)
            return []
        if len(rows) > most:
            self.reader.complain(name, "neighbours", f"{len(rows)} rows", f"at most {most}")
        good: list[dict[str, Any]] = []
        taken = {self.own_id: "is the own id"}
        for position, raw_row in enumerate(rows[:most], 1):
            table = f"{name}.neighbours #{position}"
            row = self.row(table, raw_row, _NEIGHBOUR_KINDS, ["node_id", "url"])
            if row is None:
                continue
            if row["node_id"] in taken:
                what = f"{row['node_id']} {taken[row['node_id']]}"
                self.reader.complain(table, "node_id", what, "each id once, without the own")
            taken[row["node_id"]] = "stands twice"
            good.append(row)
        return good

    def row(
        self, table: str, raw: object, kinds: Mapping[str, Kind], required: list[str]
    ) -> dict[str, Any] | None:
        """One row; None when something in it is wrong."""
        if not isinstance(raw, Mapping):
            self.reader.complain(table, "-", f"{shown(raw)} is not a table", ", ".join(kinds))
            return None
        self.reader.unknown(table, raw, list(kinds))
        return self.reader.values(table, raw, kinds, required)


def _record(row: Mapping[str, Any], defaults: Mapping[str, Any]) -> NodeRecord:
    return NodeRecord(**{**defaults, **{_field(key): value for key, value in row.items()}})


def _field(key: str) -> str:
    return "ping_retries" if key == "no_ping_retries" else key


def row_of(record: NodeRecord, keys: Sequence[str] = NEIGHBOUR_KEYS) -> dict[str, Any]:
    """A static row in the notation of the file; with `ME_KEYS` the own one."""
    values = {key: getattr(record, _field(key)) for key in keys}
    kinds = _NEIGHBOUR_KINDS
    return {key: kinds[key].write(value) for key, value in values.items() if value is not None}
