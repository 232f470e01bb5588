"""Every setting, declared once: its key, type, default, limits, help and OpenSIPS name.

A table is a frozen dataclass whose fields are made by `setting`; validation, ``config show``,
the commented example file and the documentation are derived from it. Values never change at run
time (I13). Durations are seconds and carry ``_s`` in the field's name, sizes carry ``_bytes``;
in the file they are written ``4s``, ``500ms``, ``1MiB``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .capability_settings import EXAMPLE_NAME as CAPABILITY_EXAMPLE
from .capability_settings import CapabilitySettings, read_capabilities
from .cluster_settings import (
    MAX_CLUSTERS,
    MAX_NODES,
    ME_KEYS,
    NEIGHBOUR_KEYS,
    ClusterReader,
    ClusterSettings,
)
from .identity import BinsUrl, ClusterId, NodeId
from .kinds import (
    bins_url,
    choice,
    columns,
    database_url,
    datagram_address,
    duration,
    flag,
    http_address,
    integer,
    path,
    size,
    table_name,
    text,
    trust_domain,
)
from .messages import MIN_FRAME_BYTES
from .roles import ROLES, NodeRole, node_roles
from .settings import REQUIRED, ConfigError, Kind, Problem, Reader, peek, setting, settings_of
from .tag_settings import EXAMPLE_NAME as TAG_EXAMPLE
from .tag_settings import TagSettings, read_tags

__all__ = [
    "COLUMNS",
    "MAX_CLUSTERS",
    "MAX_NODES",
    "ME_KEYS",
    "NAMED_TABLES",
    "NEIGHBOUR_KEYS",
    "REPEATED_TABLES",
    "TABLES",
    "AdminSettings",
    "CapabilitySettings",
    "ClusterSettings",
    "Config",
    "ConfigError",
    "Kind",
    "NodeSettings",
    "Problem",
    "ProvisioningSettings",
    "TagSettings",
    "TlsSettings",
    "TransportSettings",
    "own_id",
    "read_config",
    "setting",
    "settings_of",
]

COLUMNS = (
    "id", "cluster_id", "node_id", "url", "state", "no_ping_retries", "priority",
    "sip_addr", "flags", "description",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """``[node]``: this process."""

    id: int = setting(
        integer(1), REQUIRED, "own id, the same in every cluster", opensips="my_node_id", example=1
    )
    listen: BinsUrl | None = setting(  # noqa: RUF009 - BinsUrl is frozen
        bins_url(),
        None,
        "where to listen; left out: the url of the own row",
        opensips="socket",
        example="bins:10.0.0.5:5556",
    )
    description: str | None = setting(
        text(), None, "free text shown beside the id", example="node-a"
    )
    state_dir: str = setting(path(), "state", "folder for what must survive a restart")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProvisioningSettings:
    """``[provisioning]``: who may join."""

    mode: str = setting(
        choice("database", "static"),
        "database",
        "database: rows decide; static: [[cluster]] tables give the first nodes, it learns others",
        opensips="db_mode",
    )
    url: str = setting(database_url(), "sqlite:///nodes.db", "SQLAlchemy URL", opensips="db_url")
    table: str = setting(table_name(), "clusterer", "provisioning table", opensips="db_table")
    columns: Mapping[str, str] = setting(
        columns(COLUMNS), {}, "column names that differ", opensips="*_col"
    )
    refresh_interval_s: float = setting(
        duration(0.1), "2s", "how often the rows are read again", key="refresh_interval"
    )
    query_timeout_s: float = setting(
        duration(0.1, 60), "2s", "longest wait for the database", key="query_timeout"
    )
    boot_patience_s: float = setting(
        duration(0.0, 3600),
        "10s",
        "at start: how long to try an unreachable database",
        key="boot_patience",
    )
    removal_memory_s: float = setting(
        duration(60.0, 31 * 86400.0),
        "24h",
        "how long a removed node is remembered and refused",
        key="removal_memory",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TlsSettings:
    """``[tls]``: certificates. Verification is always on, in both directions."""

    ca: str = setting(path(), "tls/ca.crt", "certificates of the trusted CAs", opensips="ca_list")
    certificate: str = setting(path(), "tls/node.crt", "own certificate", opensips="certificate")
    private_key: str = setting(
        path(), "tls/node.key", "own key; must not be readable by others", opensips="private_key"
    )
    crl: str = setting(path(optional=True), "", "revocation list; empty: none", opensips="crl_dir")
    trust_domain: str = setting(
        trust_domain(), "tagmesh", "the domain in spiffe://<trust-domain>/node/<id>"
    )
    min_version: str = setting(
        choice("1.3", "1.2"), "1.3", "oldest TLS version", opensips="tls_method"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransportSettings:
    """``[transport]``: limits of the links' connections."""

    connect_timeout_s: float = setting(
        duration(0.05, 60),
        "1s",
        "TCP connect",
        opensips="bins_async_local_connect_timeout",
        key="connect_timeout",
    )
    handshake_timeout_s: float = setting(
        duration(0.05, 60),
        "5s",
        "TLS and HELLO together",
        opensips="bins_handshake_timeout",
        key="handshake_timeout",
    )
    close_timeout_s: float = setting(
        duration(0.05, 60), "1s", "orderly end of a connection", key="close_timeout"
    )
    max_frame_bytes: int = setting(
        size(MIN_FRAME_BYTES, 64 * 1024**2),
        "1MiB",
        "longest frame accepted",
        opensips="bins_max_msg_chunks",
        key="max_frame",
    )
    send_queue_bytes: int = setting(
        size(2 * MIN_FRAME_BYTES, 1024**3),
        "8MiB",
        "most bytes waiting for a slow peer",
        opensips="bins_async_max_postponed_chunks",
        key="send_queue",
    )
    half_open: int = setting(
        integer(1, 65536), 64, "connections in handshake; the oldest is evicted"
    )
    handshakes_per_s: int = setting(integer(1, 100_000), 50, "handshakes begun per second")
    handshake_burst: int = setting(integer(1, 100_000), 100, "handshakes begun at once")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdminSettings:
    """``[admin]``: faces for people."""

    http: str = setting(
        http_address(),
        "",
        'MI and state over HTTP, "127.0.0.1:8888"; off loopback only with token_file; empty: none',
        opensips="mi_http",
    )
    fifo: str = setting(
        path(optional=True), "", "MI over a fifo of this path; empty: none", opensips="fifo_name"
    )
    fifo_reply_dir: str = setting(
        path(),
        "/tmp",  # noqa: S108 - the clients of OpenSIPS use it; who may answer there is checked
        "where clients make their reply fifos",
        opensips="reply_dir",
    )
    datagram: str = setting(
        datagram_address(),
        "",
        'MI over datagrams, "udp:127.0.0.1:8080" or "unix:/path"; empty: none',
        opensips="socket_name",
    )
    token_file: str = setting(
        path(optional=True),
        "",
        "a file whose content HTTP callers must know, mode 0600; empty: nothing to know",
    )
    read_only: bool = setting(flag(), False, "refuse every command that changes something")
    remote: str = setting(
        choice(*ROLES),
        "observer",
        "what other nodes may have this node do with cluster_call and the like: observer = commands"
        " that change nothing, operator = also tags, syncs and status, admin = everything",
    )
    remote_nodes: tuple[NodeRole, ...] = setting(
        node_roles(),
        [],
        "what single nodes may, instead of that",
    )
    fault_switch: bool = setting(
        flag(), False, "allow `ctl link cut|heal`; for demonstrations and tests"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A whole configuration, validated."""

    node: NodeSettings
    provisioning: ProvisioningSettings = dataclasses.field(default_factory=ProvisioningSettings)
    tls: TlsSettings = dataclasses.field(default_factory=TlsSettings)
    transport: TransportSettings = dataclasses.field(default_factory=TransportSettings)
    clusters: tuple[ClusterSettings, ...] = ()
    capabilities: tuple[CapabilitySettings, ...] = ()
    tags: tuple[TagSettings, ...] = ()
    admin: AdminSettings = dataclasses.field(default_factory=AdminSettings)

    def cluster(self, cluster: ClusterId) -> ClusterSettings:
        """The settings of a cluster; one without a table of its own takes the defaults."""
        found = [c for c in self.clusters if c.id == cluster]
        return found[0] if found else ClusterSettings(id=cluster)

    def capability(self, cluster: ClusterId, name: str) -> CapabilitySettings:
        """The settings of a capability; one without a table of its own takes the defaults."""
        found = [c for c in self.capabilities if c.name == name and c.cluster in (None, cluster)]
        return found[0] if found else CapabilitySettings(name=name)

    def tag(self, cluster: ClusterId, name: str) -> TagSettings:
        """The settings of a sharing tag; one without a table of its own takes the defaults."""
        found = [t for t in self.tags if t.name == name and t.cluster in (None, cluster)]
        return found[0] if found else TagSettings(name=name)


TABLES: Mapping[str, type] = {
    "node": NodeSettings,
    "provisioning": ProvisioningSettings,
    "tls": TlsSettings,
    "transport": TransportSettings,
    "cluster": ClusterSettings,
    "capability": CapabilitySettings,
    "tag": TagSettings,
    "admin": AdminSettings,
}
NAMED_TABLES: Mapping[str, str] = {"capability": CAPABILITY_EXAMPLE, "tag": TAG_EXAMPLE}
"""There may be several of each, every one with a name such as this."""
REPEATED_TABLES = ("cluster", *NAMED_TABLES)
"""In the fields ``clusters``, ``capabilities`` and ``tags`` of `Config`."""


def read_config(raw: Mapping[str, Any], source: str = "configuration") -> Config:
    """Validate a parsed configuration file.

    Raises `ConfigError` with *all* problems: each names table, key, allowed values and, for an
    unknown key, the nearest known one.
    """
    reader = Reader()
    reader.unknown("(top level)", raw, list(TABLES))
    parts: dict[str, Any] = {
        name: reader.table(kind, name, raw.get(name, {}))
        for name, kind in TABLES.items()
        if name not in REPEATED_TABLES
    }
    node_id = peek(NodeSettings, raw.get("node"), "id")
    mode = peek(ProvisioningSettings, raw.get("provisioning", {}), "mode")
    clusters = ClusterReader(reader, node_id, mode).read(raw)
    given = raw.get("cluster", [])
    certain = mode == "static" and isinstance(given, list) and len(clusters) == len(given)
    known = [cluster.id for cluster in clusters] if certain else None
    capabilities = read_capabilities(reader, raw.get("capability", {}), known)
    tags = read_tags(reader, raw.get("tag", {}), known, database=mode != "static")
    if reader.problems:
        raise ConfigError(reader.problems, source)
    return Config(clusters=clusters, capabilities=capabilities, tags=tags, **parts)


def own_id(config: Config) -> NodeId:
    """The configured node id, typed."""
    return NodeId(config.node.id)
