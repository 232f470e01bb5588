"""Every setting, declared once: its key, type, default, limits, help and OpenSIPS name.

A table is a frozen dataclass whose fields are made by `setting`; validation, ``config show``,
the commented example file and the documentation are derived from it. Values never change at run
time (I13). Durations are seconds and carry ``_s`` in the field's name, sizes carry ``_bytes``;
in the file they are written ``4s``, ``500ms``, ``1MiB``.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

from .errors import Misuse, TagmeshError
from .identity import (
    MAX_ID,
    BinsUrl,
    ClusterId,
    NodeId,
    NodeRecord,
    check_trust_domain,
)

MAX_CLUSTERS = 64
MAX_NODES = 512
"""Rows per cluster; OpenSIPS allows 128."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """One mistake in a configuration."""

    table: str
    key: str
    what: str
    """What is wrong with the value, secrets never included."""
    allowed: str
    nearest: str = ""
    """The known key nearest to an unknown one."""

    def __str__(self) -> str:
        near = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        return f"[{self.table}] {self.key}: {self.what}; allowed: {self.allowed}{near}"


class ConfigError(TagmeshError):
    """A configuration with mistakes; ``problems`` holds all of them, not the first."""

    def __init__(self, problems: list[Problem], source: str = "configuration") -> None:
        count = f"{len(problems)} mistake{'s' if len(problems) != 1 else ''}"
        super().__init__("\n".join([f"{source}: {count}", *(f"  {p}" for p in problems)]))
        self.problems = problems


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a value is read. ``read`` raises `Misuse` with what is wrong."""

    read: Callable[[Any], Any]
    allowed: str


def _integer(low: int, high: int = MAX_ID) -> Kind:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Misuse(f"{_shown(value)} is not a whole number in that range")
        return value

    return Kind(read, f"a whole number {low} … {high}")


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SIZES = {"B": 1, "KiB": 1024, "MiB": 1024**2}
_SIZE = re.compile(r"([0-9]+)(B|KiB|MiB)")


def _duration(low_s: float, high_s: float = 86400.0) -> Kind:
    def read(value: Any) -> float:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        seconds = float(match[1]) * _UNITS[match[2]] if match else math.nan
        if not low_s <= seconds <= high_s:
            raise Misuse(f"{_shown(value)} is not a duration in that range")
        return seconds

    return Kind(read, f'a duration "{low_s:g}s" … "{high_s:g}s", units ms, s, m, h')


def _size(low: int, high: int) -> Kind:
    def read(value: Any) -> int:
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        size = int(match[1]) * _SIZES[match[2]] if match else -1
        if not low <= size <= high:
            raise Misuse(f"{_shown(value)} is not a size in that range")
        return size

    return Kind(read, f'a size {low} … {high} bytes as "64KiB" or "1MiB", units B, KiB, MiB')


def _text(max_chars: int = 64) -> Kind:
    def read(value: Any) -> str:
        if not isinstance(value, str) or len(value) > max_chars or not (value.isprintable()):
            raise Misuse(f"{_shown(value)} is not such a text")
        return value

    return Kind(read, f"a printable text of at most {max_chars} characters")


def _path() -> Kind:
    kind = _text(4096)
    return Kind(kind.read, "a path; a relative one starts at the configuration file's folder")


def _flag() -> Kind:
    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise Misuse(f"{_shown(value)} is not a switch")
        return value

    return Kind(read, "true | false")


def _choice(*options: str) -> Kind:
    def read(value: Any) -> str:
        if value not in options:
            raise Misuse(f"{_shown(value)} is not one of the options")
        return str(value)

    return Kind(read, " | ".join(f'"{option}"' for option in options))


def _bins_url() -> Kind:
    def read(value: Any) -> BinsUrl:
        if not isinstance(value, str):
            raise Misuse(f"{_shown(value)} is not a url")
        return BinsUrl.parse(value)

    return Kind(read, "bins:host[:port]")


def _trust_domain() -> Kind:
    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise Misuse(f"{_shown(value)} is not a text")
        return check_trust_domain(value)

    return Kind(read, "lower-case letters, digits, '.', '_', '-'")


def _columns() -> Kind:
    known = COLUMNS

    def read(value: Any) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise Misuse(f"{_shown(value)} is not a table of column names")
        for key, name in value.items():
            if key not in known:
                raise Misuse(f"{ascii(key)} is not a column of the provisioning table")
            if not isinstance(name, str) or not _COLUMN.fullmatch(name):
                raise Misuse(f"{_shown(name)} cannot be a column name")
        return dict(value)

    return Kind(read, f"{{ column = \"its name in your table\" }} for {', '.join(known)}")


COLUMNS = (
    "id", "cluster_id", "node_id", "url", "state", "no_ping_retries", "priority",
    "sip_addr", "flags", "description",
)  # fmt: skip
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


_REQUIRED: Any = object()


def setting(kind: Kind, default: Any, doc: str, *, opensips: str = "", key: str = "") -> Any:
    """Declare one setting. ``default`` is written as in the file; ``opensips`` is its name there."""
    metadata = {"kind": kind, "default": default, "doc": doc, "opensips": opensips, "key": key}
    if default is _REQUIRED:
        return dataclasses.field(metadata=metadata)
    value = default if default is None else kind.read(default)
    if isinstance(value, dict):
        return dataclasses.field(default_factory=lambda: dict(value), metadata=metadata)
    return dataclasses.field(default=value, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """``[node]``: this process."""

    id: int = setting(_integer(1), _REQUIRED, "own node id, the same in every cluster", opensips="my_node_id")
    listen: BinsUrl | None = setting(
        _bins_url(), None, "where to listen; left out: the url of the own row", opensips="socket"
    )
    description: str | None = setting(_text(), None, "free text shown beside the id")
    state_dir: str = setting(_path(), "state", "folder for what must survive a restart")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProvisioningSettings:
    """``[provisioning]``: who may join."""

    mode: str = setting(
        _choice("database", "static"),
        "database",
        "database: rows decide; static: [[cluster]] tables give the first neighbours, the rest is learned",
        opensips="db_mode",
    )
    url: str = setting(_text(1024), "sqlite:///nodes.db", "SQLAlchemy URL", opensips="db_url")
    table: str = setting(_text(), "clusterer", "provisioning table", opensips="db_table")
    columns: Mapping[str, str] = setting(_columns(), {}, "column names that differ", opensips="*_col")
    refresh_interval_s: float = setting(
        _duration(0.1), "2s", "how often the rows are read again", key="refresh_interval"
    )
    query_timeout_s: float = setting(
        _duration(0.1, 60), "2s", "longest wait for the database", key="query_timeout"
    )
    boot_patience_s: float = setting(
        _duration(0.0, 3600), "10s", "at start: how long to try an unreachable database", key="boot_patience"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TlsSettings:
    """``[tls]``: certificates. Verification is always on, in both directions."""

    ca: str = setting(_path(), "tls/ca.crt", "certificates of the trusted CAs", opensips="ca_list")
    certificate: str = setting(_path(), "tls/node.crt", "own certificate", opensips="certificate")
    private_key: str = setting(
        _path(), "tls/node.key", "own key; must not be readable by others", opensips="private_key"
    )
    crl: str = setting(_path(), "", "revocation list; empty: none", opensips="crl_dir")
    trust_domain: str = setting(
        _trust_domain(), "tagmesh", "the domain in spiffe://<trust-domain>/node/<id>"
    )
    min_version: str = setting(_choice("1.3", "1.2"), "1.3", "oldest TLS version", opensips="tls_method")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransportSettings:
    """``[transport]``: limits of the links' connections."""

    connect_timeout_s: float = setting(
        _duration(0.05, 60), "1s", "TCP connect", opensips="bins_async_local_connect_timeout", key="connect_timeout"
    )
    handshake_timeout_s: float = setting(
        _duration(0.05, 60), "5s", "TLS and HELLO together", opensips="bins_handshake_timeout", key="handshake_timeout"
    )
    close_timeout_s: float = setting(
        _duration(0.05, 60), "1s", "orderly end of a connection", key="close_timeout"
    )
    max_frame_bytes: int = setting(
        _size(4096, 64 * 1024**2), "1MiB", "longest frame accepted", opensips="bins_max_msg_chunks", key="max_frame"
    )
    send_queue_bytes: int = setting(
        _size(64 * 1024, 1024**3), "8MiB", "most bytes waiting for a slow peer", opensips="bins_async_max_postponed_chunks", key="send_queue"
    )
    half_open: int = setting(_integer(1, 65536), 64, "connections in handshake; the oldest is evicted")
    handshakes_per_s: int = setting(_integer(1, 100_000), 50, "handshakes begun per second")
    handshake_burst: int = setting(_integer(1, 100_000), 100, "handshakes begun at once")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """``[[cluster]]``: timing and routing of one cluster; in static mode also who is in it."""

    id: int = setting(_integer(1), _REQUIRED, "cluster id", opensips="cluster_id")
    ping_interval_s: float = setting(
        _duration(0.01), "4s", "pause between pings on an UP link", opensips="ping_interval", key="ping_interval"
    )
    ping_timeout_s: float = setting(
        _duration(0.01), "1s", "a pong must come within this", opensips="ping_timeout", key="ping_timeout"
    )
    ping_retries: int = setting(
        _integer(0, 1000), 3, "static mode: pings after the first unanswered one", opensips="no_ping_retries"
    )
    node_timeout_s: float = setting(
        _duration(0.01), "60s", "longest pause before a DOWN node is tried again", opensips="node_timeout", key="node_timeout"
    )
    reconnect_cap_s: float = setting(
        _duration(0.01), "5s", "longest pause between dials, at most node_timeout", key="reconnect_cap"
    )
    digest_interval_s: float = setting(
        _duration(0.01), "10s", "pause between topology digests", key="digest_interval"
    )
    flap_window_s: float = setting(
        _duration(0.0), "60s", "flaps within this window lengthen the time in Probe", key="flap_window"
    )
    rerouting: bool = setting(_flag(), True, "reach nodes through others", opensips="enable_rerouting")
    me: Mapping[str, Any] | None = None
    neighbours: tuple[NodeRecord, ...] = ()

    @property
    def digest(self) -> str:
        """Digest of what must agree on all nodes of a cluster (`config_mismatch`)."""
        agreed = f"{self.rerouting}"
        return hashlib.sha256(agreed.encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdminSettings:
    """``[admin]``: faces for people."""

    http: str = setting(_text(), "", 'MI and state over HTTP, "127.0.0.1:8888"; empty: none', opensips="mi_http")
    fault_switch: bool = setting(_flag(), False, "allow `ctl link cut|heal`; for demonstrations and tests")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A whole configuration, validated."""

    node: NodeSettings
    provisioning: ProvisioningSettings = dataclasses.field(default_factory=ProvisioningSettings)
    tls: TlsSettings = dataclasses.field(default_factory=TlsSettings)
    transport: TransportSettings = dataclasses.field(default_factory=TransportSettings)
    clusters: tuple[ClusterSettings, ...] = ()
    admin: AdminSettings = dataclasses.field(default_factory=AdminSettings)

    def cluster(self, cluster: ClusterId) -> ClusterSettings:
        """The settings of a cluster; one without a table of its own takes the defaults."""
        found = [c for c in self.clusters if c.id == cluster]
        return found[0] if found else ClusterSettings(id=cluster)


TABLES: Mapping[str, type] = {
    "node": NodeSettings,
    "provisioning": ProvisioningSettings,
    "tls": TlsSettings,
    "transport": TransportSettings,
    "cluster": ClusterSettings,
    "admin": AdminSettings,
}


def settings_of(table: type) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """(key in the file, field) of each declared setting of a table, in order."""
    for field in dataclasses.fields(table):
        if "kind" in field.metadata:
            yield field.metadata["key"] or field.name, field


_Table = TypeVar("_Table")


class _Reader:
    """Reads tables and gathers every problem instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def table(self, kind: type[_Table], name: str, raw: object, extra: Mapping[str, Any]) -> _Table | None:
        """One table; None when something required is missing or wrong."""
        if not isinstance(raw, dict):
            self.problems.append(Problem(name, "-", f"{_shown(raw)} is not a table", "a table"))
            return None
        fields = dict(settings_of(kind))
        self.unknown(name, raw, [*fields, *extra])
        values = dict(extra)
        complete = True
        for key, field in fields.items():
            if key in raw:
                ok, values[field.name] = self.value(name, key, field.metadata["kind"], raw[key])
                complete = complete and ok
            elif field.metadata["default"] is _REQUIRED:
                allowed = field.metadata["kind"].allowed
                self.problems.append(Problem(name, key, "is missing", allowed))
                complete = False
        return kind(**values) if complete else None

    def value(self, table: str, key: str, kind: Kind, raw: object) -> tuple[bool, Any]:
        """(read?, value)"""
        try:
            return True, kind.read(raw)
        except Misuse as misuse:
            self.problems.append(Problem(table, key, str(misuse), kind.allowed))
            return False, None

    def unknown(self, table: str, raw: Mapping[str, Any], known: list[str]) -> None:
        """Report each key of ``raw`` that is not known, with the nearest one that is."""
        for key in raw:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)
                what = f"unknown key {_shown(key)}"
                self.problems.append(
                    Problem(table, _shown(key).strip("'"), what, ", ".join(known), near[0] if near else "")
                )


def read_config(raw: Mapping[str, Any], source: str = "configuration") -> Config:
    """Validate a parsed configuration file.

    Raises `ConfigError` with *all* problems: each names table, key, allowed values and, for an
    unknown key, the nearest known one.
    """
    reader = _Reader()
    reader.unknown("(top level)", raw, list(TABLES))
    parts: dict[str, Any] = {}
    for name, kind in TABLES.items():
        if name != "cluster" and (name in raw or name == "node"):
            parts[name] = reader.table(kind, name, raw.get(name, {}), {})
    node = parts.get("node")
    provisioning = parts.get("provisioning") or ProvisioningSettings()
    static = provisioning.mode == "static"
    clusters = _read_clusters(reader, raw.get("cluster", []), node, static=static)
    if static and not clusters and "cluster" not in raw:
        reader.problems.append(Problem("cluster", "-", "is missing", "static mode needs at least one [[cluster]]"))
    if reader.problems:
        raise ConfigError(reader.problems, source)
    return Config(clusters=tuple(clusters), **parts)


def _read_clusters(
    reader: _Reader, raw: object, node: NodeSettings | None, *, static: bool
) -> list[ClusterSettings]:
    if not isinstance(raw, list):
        reader.problems.append(Problem("cluster", "-", "is not a list of tables", "[[cluster]]"))
        return []
    if len(raw) > MAX_CLUSTERS:
        reader.problems.append(
            Problem("cluster", "-", f"{len(raw)} clusters", f"at most {MAX_CLUSTERS} clusters")
        )
    clusters: list[ClusterSettings] = []
    for position, table in enumerate(raw[:MAX_CLUSTERS], 1):
        name = f"cluster #{position}"
        cluster = _read_cluster(reader, name, table, node, static=static)
        if cluster is None:
            continue
        if any(other.id == cluster.id for other in clusters):
            reader.problems.append(Problem(name, "id", f"{cluster.id} stands twice", "each id once"))
        _check_timing(reader, name, cluster)
        clusters.append(cluster)
    return clusters


def _check_timing(reader: _Reader, name: str, cluster: ClusterSettings) -> None:
    def complain(key: str, what: str, allowed: str) -> None:
        reader.problems.append(Problem(name, key, what, allowed))

    if cluster.ping_timeout_s >= cluster.ping_interval_s:
        complain(
            "ping_timeout",
            f"{cluster.ping_timeout_s:g}s is not shorter than ping_interval {cluster.ping_interval_s:g}s",
            "less than ping_interval",
        )
    if cluster.reconnect_cap_s > cluster.node_timeout_s:
        complain(
            "reconnect_cap",
            f"{cluster.reconnect_cap_s:g}s is longer than node_timeout {cluster.node_timeout_s:g}s",
            "at most node_timeout",
        )
    if cluster.digest_interval_s < cluster.reconnect_cap_s:
        complain(
            "digest_interval",
            f"{cluster.digest_interval_s:g}s is shorter than reconnect_cap {cluster.reconnect_cap_s:g}s",
            "at least reconnect_cap",
        )


ME_KEYS = ("url", "flags", "sip_addr", "description", "priority", "no_ping_retries")
NEIGHBOUR_KEYS = ("node_id", *ME_KEYS)


def _read_cluster(
    reader: _Reader, name: str, raw: object, node: NodeSettings | None, *, static: bool
) -> ClusterSettings | None:
    if not isinstance(raw, dict):
        return reader.table(ClusterSettings, name, raw, {})
    extra: dict[str, Any] = {"me": None, "neighbours": ()}
    cluster = reader.table(ClusterSettings, name, raw, extra)
    if cluster is None or node is None:
        return cluster
    if not static:
        for key in ("me", "neighbours"):
            if key in raw:
                reader.problems.append(
                    Problem(name, key, "only static mode has it", 'mode = "static" in [provisioning]')
                )
        return cluster
    records = _read_static(reader, name, raw, cluster, node)
    me = next((r for r in records if r.node_id == node.id), None)
    return dataclasses.replace(
        cluster, me=me, neighbours=tuple(r for r in records if r.node_id != node.id)
    )


def _read_static(
    reader: _Reader, name: str, raw: Mapping[str, Any], cluster: ClusterSettings, node: NodeSettings
) -> list[NodeRecord]:
    me, neighbours = raw.get("me"), raw.get("neighbours", [])
    if not isinstance(me, dict):
        reader.problems.append(Problem(name, "me", "is missing", '{ url = "bins:host:port" }'))
        return []
    if not isinstance(neighbours, list) or len(neighbours) > MAX_NODES:
        reader.problems.append(
            Problem(name, "neighbours", "is not such a list", f"at most {MAX_NODES} tables")
        )
        return []
    records: list[NodeRecord] = []
    rows = [("me", {**me, "node_id": node.id}, ME_KEYS)]
    rows += [(f"neighbours #{n}", row, NEIGHBOUR_KEYS) for n, row in enumerate(neighbours, 1)]
    for key, row, known in rows:
        if not isinstance(row, dict):
            reader.problems.append(Problem(name, key, "is not a table", ", ".join(known)))
            continue
        reader.unknown(f"{name}.{key}", {k: v for k, v in row.items() if k != "node_id"}, list(known))
        record = _read_record(reader, f"{name}.{key}", row, cluster)
        if record is not None and any(r.node_id == record.node_id for r in records):
            reader.problems.append(
                Problem(name, key, f"node id {record.node_id} stands twice", "each id once")
            )
        elif record is not None:
            records.append(record)
    return records


def _read_record(
    reader: _Reader, table: str, row: Mapping[str, Any], cluster: ClusterSettings
) -> NodeRecord | None:
    kinds = {
        "node_id": _integer(1), "url": _bins_url(), "flags": _text(), "sip_addr": _text(),
        "description": _text(), "priority": _integer(0), "no_ping_retries": _integer(0, 1000),
    }  # fmt: skip
    values: dict[str, Any] = {"ping_retries": cluster.ping_retries}
    complete = True
    for key, kind in kinds.items():
        if key in row:
            ok, value = reader.value(table, key, kind, row[key])
            values["ping_retries" if key == "no_ping_retries" else key] = value
            complete = complete and ok
        elif key in ("node_id", "url"):
            reader.problems.append(Problem(table, key, "is missing", kind.allowed))
            complete = False
    return NodeRecord(cluster_id=ClusterId(cluster.id), **values) if complete else None


def own_id(config: Config) -> NodeId:
    """The configured node id, typed."""
    return cast("NodeId", config.node.id)
