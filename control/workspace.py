"""A throw-away cluster on disk: CA, certificates, database and one configuration file per node.

The demonstration, the laboratory, benchmarks and tests all begin here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..protocol.config import read_config
from ..protocol.identity import BinsUrl, ClusterId, NodeId, NodeRecord
from ..storage import Provisioning
from . import pki
from .configfile import load_config
from .ports import free_ports

CLUSTER = ClusterId(1)
FAST = {
    "ping_interval": "1s",
    "ping_timeout": "250ms",
    "digest_interval": "5s",
    "seed_fallback_interval": "500ms",
}
"""Times of a laboratory: trouble shows within 2 s."""


class Workspace:
    """``count`` provisioned nodes with ids 1 … count on free loopback ports, in ``folder``."""

    def __init__(
        self,
        folder: Path,
        count: int,
        *,
        timing: Mapping[str, str | int] | None = None,
        admin: bool = True,
        names: str = "node",
        capabilities: Mapping[str, str] | None = None,
        leases: Mapping[str, Mapping[str, str]] | None = None,
        database: str = "",
    ) -> None:
        """``timing`` overrides settings of ``[[cluster]]``; ``capabilities``: name to module, of
        each node; ``names``: how the nodes are described; ``leases``: sharing tags in mode lease,
        each with its settings; ``database``: its URL, instead of a file in the folder."""
        self.folder = folder
        self._leases = leases or {}
        self._database = database or f"sqlite:///{folder / 'nodes.db'}"
        self.ids = tuple(range(1, count + 1))
        self._timing = {**FAST, **(timing or {})}
        self._capabilities = {
            f'capability."{name}"': {"cluster": CLUSTER, "module": module}
            for name, module in (capabilities or {}).items()
        }
        ports = iter(free_ports(2 * count))
        self.urls = {n: f"bins:127.0.0.1:{next(ports)}" for n in self.ids}
        self.admin = {n: f"127.0.0.1:{next(ports)}" if admin else "" for n in self.ids}
        pki.init_ca(folder / "ca")
        for n in self.ids:
            pki.issue(folder / "ca", NodeId(n), folder / f"node-{n}" / "tls", ips=["127.0.0.1"])
            self.config(n).write_text(_toml(self._settings(n)), encoding="utf-8")
        provisioning = Provisioning(load_config(self.config(1)).provisioning)
        try:
            provisioning.init()
            for n in self.ids:
                provisioning.add(self._row(n, names))
        finally:
            provisioning.close()

    def config(self, node: int) -> Path:
        """The configuration file of a node."""
        return self.folder / f"node-{node}" / "tagmesh.toml"

    def _settings(self, n: int) -> dict[str, Any]:
        settings = {
            "node": {"id": n},
            "provisioning": {"url": self._database},
            "cluster": {"id": CLUSTER, **self._timing, **self._tags},
            "admin": {"http": self.admin[n], "fault_switch": True},
        }
        read_config({**settings, "cluster": [settings["cluster"]]})
        leases = {f'tag."{t}"': {"mode": "lease", **of} for t, of in self._leases.items()}
        return {**settings, **self._capabilities, **leases}

    @property
    def _tags(self) -> dict[str, list[str]]:
        return {"sharing_tags": list(self._leases)} if self._leases else {}

    def _row(self, n: int, names: str) -> NodeRecord:
        return NodeRecord(
            cluster_id=CLUSTER,
            node_id=NodeId(n),
            url=BinsUrl.parse(self.urls[n]),
            flags="seed" if n == 1 else None,
            description=f"{names}-{n}",
        )


def _toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    lines: list[str] = []
    for name, table in tables.items():
        lines.append("[[cluster]]" if name == "cluster" else f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"
