"""What a test looks at when somebody knocks at a running cluster."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tagmesh.control.configfile import load_config
from tagmesh.protocol.status import RefusalStatus, Status
from tagmesh.storage import Provisioning
from tests.integration.process_cluster import ProcessCluster
from tests.integration.sockets import connections
from tests.pki import Issuer, TestCa

Verdict = tuple[str, str, str]
"""(direction, by whom, reason)"""


def same_ca(cluster: ProcessCluster, folder: Path) -> TestCa:
    theirs = cluster.space.folder / "ca"
    key = serialization.load_pem_private_key((theirs / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    made = TestCa(folder)
    made.root = Issuer(x509.load_pem_x509_certificate((theirs / "ca.crt").read_bytes()), key)
    made.ca_path.write_bytes((theirs / "ca.crt").read_bytes())
    return made


@contextmanager
def provisioning_of(cluster: ProcessCluster) -> Iterator[Provisioning]:
    provisioning = Provisioning(load_config(cluster.space.config(1)).provisioning)
    try:
        yield provisioning
    finally:
        provisioning.close()


def counts(status: Status) -> dict[tuple[int | None, Verdict, str], int]:
    return {(r.node_id, verdict(r), r.address.rpartition(":")[0]): r.count for r in status.refusals}


def verdict(refusal: RefusalStatus) -> Verdict:
    return (refusal.direction, refusal.by, refusal.reason)


class Watch:
    """What changes at node 1 from now on.

    ``gone``: nodes that were killed before. A knock of theirs may be judged yet, up to a roster
    reading later, and no socket shows it: the kernel forgets one that was reset.
    """

    def __init__(self, cluster: ProcessCluster, gone: Collection[int] = ()) -> None:
        self._cluster = cluster
        self._gone = gone
        self._counts = counts(cluster.status(1))
        self.actors = cluster.status(1).actors
        self._log_bytes = cluster.log(1).stat().st_size
        assert self.sockets() == 1, "the link with node 2"

    def refusals(self) -> frozenset[Verdict]:
        after = counts(self._cluster.status(1))
        new = [kind for kind, count in after.items() if count > self._counts.get(kind, 0)]
        return frozenset(seen for node, seen, _ in new if node not in self._gone)

    def log(self) -> str:
        return self._cluster.log(1).read_text()[self._log_bytes :]

    def sockets(self) -> int:
        """Connections of node 1 but those of its management interface."""
        admin = int(self._cluster.space.admin[1].rpartition(":")[2])
        pid = self._cluster.processes[1].pid
        return sum(pair.local != admin for pair in connections(pid))


def logged(log: str, verdict: Verdict) -> bool:
    direction, by, reason = verdict
    wanted = f": {reason} ({direction}, by {by}): "
    return any("refused" in line and wanted in line for line in log.splitlines())


def topology_nodes(cluster: ProcessCluster, node: int) -> set[int]:
    """Every node that has a link, as ``node`` sees it."""
    listed = cluster.client(node).call("clusterer_list_topology")["Clusters"][0]["Nodes"]
    return {entry["node_id"] for entry in listed if entry["Neighbours"]}.union(
        *(entry["Neighbours"] for entry in listed)
    )


def link_of(status: Status | None, node: int) -> str:
    clusters = status.clusters if status is not None else []
    links = (p.link for cluster in clusters for p in cluster.peers if p.node_id == node)
    return next(links, "no peer")
