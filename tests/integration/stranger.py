"""A node process outside the good cluster: its own roster, certificate and configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tagmesh.control.client import MiClient, NoAnswer
from tagmesh.control.configfile import load_config
from tagmesh.control.ports import free_ports
from tagmesh.control.workspace import CLUSTER, FAST
from tagmesh.protocol.identity import BinsUrl, NodeId, NodeRecord
from tagmesh.protocol.status import Status
from tagmesh.storage import Provisioning
from tests.integration.sockets import Pair, connections
from tests.pki import Paths

UNCHECKED = str(Path(__file__).with_name("unchecked_node.py"))


class Stranger:
    """Node ``node`` with the files ``tls``, which believes in a roster of itself and ``others``.

    A context manager that ends the process.
    """

    def __init__(self, folder: Path, node: int, tls: Paths, others: dict[int, str]) -> None:
        listen, admin = free_ports(2)
        self.node = node
        self.folder = folder
        self.port = listen
        self.url = f"bins:127.0.0.1:{listen}"
        self.admin = f"http://127.0.0.1:{admin}"
        self.config = folder / "tagmesh.toml"
        self.log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        self._write(
            node={"id": node},
            provisioning={"url": f"sqlite:///{folder / 'nodes.db'}"},
            tls={
                "ca": str(tls.ca),
                "certificate": str(tls.certificate),
                "private_key": str(tls.private_key),
            },
            cluster={"id": CLUSTER, **FAST},
            admin={"http": f"127.0.0.1:{admin}", "fault_switch": True},
        )
        self._provision({node: self.url, **others}.items())

    def __enter__(self) -> Stranger:
        self.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, UNCHECKED, "node", "run", "-c", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ,
            )

    @property
    def record(self) -> NodeRecord:
        """The row that would provision it."""
        return row(self.node, self.url)

    def status(self) -> Status | None:
        """None while it does not answer."""
        try:
            return MiClient(self.admin, timeout_s=2.0).state()[0]
        except NoAnswer:
            return None

    def connections(self) -> set[Pair]:
        """Without those of its management interface."""
        assert self._process is not None
        admin = int(self.admin.rpartition(":")[2])
        return {pair for pair in connections(self._process.pid) if pair.local != admin}

    def _write(self, **tables: dict[str, Any]) -> None:
        lines: list[str] = []
        for name, table in tables.items():
            lines.append("[[cluster]]" if name == "cluster" else f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        self.config.write_text("\n".join(lines) + "\n")

    def _provision(self, urls: Iterable[tuple[int, str]]) -> None:
        provisioning = Provisioning(load_config(self.config).provisioning)
        try:
            provisioning.init()
            for node, url in urls:
                provisioning.add(row(node, url))
        finally:
            provisioning.close()


def row(node: int, url: str) -> NodeRecord:
    """An enabled row of the cluster."""
    return NodeRecord(cluster_id=CLUSTER, node_id=NodeId(node), url=BinsUrl.parse(url))
