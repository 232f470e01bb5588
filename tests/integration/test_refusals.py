"""Who may join: every kind of stranger against a running cluster, in both directions (J-1 … J-4).

Two good nodes run all the time. One stranger at a time comes: a real process whose own roster says
that it belongs. It dials the cluster, and where it has a row the cluster dials it.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tagmesh.control.workspace import CLUSTER
from tagmesh.protocol.identity import NodeId, NodeRecord
from tagmesh.storage import Provisioning
from tests.integration.process_cluster import CALM_POLL_S, ProcessCluster
from tests.integration.stranger import Stranger
from tests.integration.watch import (
    Verdict,
    Watch,
    link_of,
    logged,
    provisioning_of,
    same_ca,
    topology_nodes,
    verdict,
)
from tests.pki import DAY, Paths, TestCa, now

SOON_S = 8.0
"""Dials back off to 5 s; each way must be tried once."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One kind of stranger, and what both sides must say of it."""

    name: str
    tls: Callable[[TestCa, int], Paths] = lambda ca, node: ca.issue(node)
    provision: Callable[[Provisioning, NodeRecord, Paths], None] = lambda _p, _r, _t: None
    here: frozenset[Verdict]
    there: frozenset[Verdict]


def both_ways(by: str, reason: str) -> frozenset[Verdict]:
    return frozenset({("incoming", by, reason), ("outgoing", by, reason)})


def enabled(provisioning: Provisioning, record: NodeRecord, _tls: Paths) -> None:
    provisioning.add(record)


def disabled(provisioning: Provisioning, record: NodeRecord, _tls: Paths) -> None:
    provisioning.add(msgspec.structs.replace(record, enabled=False))


def pinned_to_another(provisioning: Provisioning, record: NodeRecord, _tls: Paths) -> None:
    disabled(provisioning, record, _tls)
    provisioning.pin(CLUSTER, record.node_id, "ab" * 32)
    provisioning.set_state(CLUSTER, record.node_id, enabled=True)


def pinned(provisioning: Provisioning, record: NodeRecord, tls: Paths) -> None:
    certificate = x509.load_pem_x509_certificate(tls.certificate.read_bytes())
    disabled(provisioning, record, tls)
    provisioning.pin(CLUSTER, record.node_id, certificate.fingerprint(hashes.SHA256()).hex(":"))
    provisioning.set_state(CLUSTER, record.node_id, enabled=True)


def revoked(provisioning: Provisioning, record: NodeRecord, _tls: Paths) -> None:
    disabled(provisioning, record, _tls)
    provisioning.revoke(CLUSTER, record.node_id)
    provisioning.set_state(CLUSTER, record.node_id, enabled=True)


def of_another_ca(ca: TestCa, node: int) -> Paths:
    """It trusts our CA, but another one signed its certificate."""
    paths = TestCa(ca.directory / f"other-{node}").issue(node)
    paths.ca.write_bytes(ca.ca_path.read_bytes())
    return paths


def expired(ca: TestCa, node: int) -> Paths:
    end = now() - datetime.timedelta(minutes=1)
    return ca.issue(node, not_before=end - DAY, not_after=end)


CELLS = [
    Cell(
        name="not provisioned",
        here=frozenset({("incoming", "us", "unknown_node")}),
        there=frozenset({("outgoing", "them", "unknown_node")}),
    ),
    Cell(
        name="certificate of another node",
        tls=lambda ca, _node: ca.issue(2),
        provision=enabled,
        here=both_ways("us", "cert_identity"),
        # node 2 is told that it is not alone
        there=both_ways("them", "cert_identity") | {("outgoing", "them", "duplicate_id")},
    ),
    Cell(
        name="certificate of another CA",
        tls=of_another_ca,
        provision=enabled,
        here=both_ways("us", "cert_untrusted"),
        there=both_ways("them", "cert_untrusted"),
    ),
    Cell(
        name="expired certificate",
        tls=expired,
        provision=enabled,
        here=both_ways("us", "cert_expired"),
        there=both_ways("them", "cert_expired"),
    ),
    Cell(
        name="certificate without URI SAN",
        tls=lambda ca, node: ca.issue(node, uris=[]),
        provision=enabled,
        here=both_ways("us", "cert_identity"),
        there=both_ways("them", "cert_identity"),
    ),
    Cell(
        name="disabled row",
        provision=disabled,
        here=frozenset({("incoming", "us", "disabled")}),
        there=frozenset({("outgoing", "them", "disabled")}),
    ),
    Cell(
        name="another certificate is pinned",
        provision=pinned_to_another,
        here=both_ways("us", "cert_fingerprint"),
        there=both_ways("them", "cert_fingerprint"),
    ),
    Cell(
        name="revoked",
        provision=revoked,
        here=both_ways("us", "cert_revoked"),
        there=both_ways("them", "cert_revoked"),
    ),
    Cell(name="good", provision=pinned, here=frozenset(), there=frozenset()),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessCluster]:
    environ = {"TAGMESH_PROVISIONING_REFRESH_INTERVAL": "200ms"}
    folder = tmp_path_factory.mktemp("cluster")
    with ProcessCluster(folder, 2, environ=environ, poll_s=CALM_POLL_S) as running:
        running.start()
        running.until(running.all_up, 30)
        yield running


@pytest.fixture(scope="module")
def ca(cluster: ProcessCluster, tmp_path_factory: pytest.TempPathFactory) -> TestCa:
    """Issues certificates of the cluster's own CA, good ones and others."""
    return same_ca(cluster, tmp_path_factory.mktemp("ca"))


def node_of(cell: Cell) -> int:
    return 10 + CELLS.index(cell)


@contextmanager
def visit(cluster: ProcessCluster, ca: TestCa, cell: Cell, tmp_path: Path) -> Iterator[Stranger]:
    """The stranger of this cell, running; afterwards it and its row are gone."""
    node = node_of(cell)
    tls = cell.tls(ca, node)
    stranger = Stranger(tmp_path / "stranger", node, tls, dict(cluster.space.urls))
    watch = Watch(cluster)
    with provisioning_of(cluster) as provisioning:
        cell.provision(provisioning, stranger.record, tls)
        has_row = any(r.node_id == node for r in provisioning.rows().records)
    with stranger:
        cluster.until(lambda: stranger.status() is not None, 15)
        yield stranger
    if has_row:
        with provisioning_of(cluster) as provisioning:
            provisioning.remove(CLUSTER, NodeId(node))
    cluster.until(lambda: cluster.status(1).actors == watch.actors, 3)
    cluster.until(lambda: watch.sockets() == 1, 3)
    assert cluster.all_up()


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_matrix(cluster: ProcessCluster, ca: TestCa, cell: Cell, tmp_path: Path) -> None:
    watch = Watch(cluster, gone={node_of(other) for other in CELLS if other is not cell})
    with visit(cluster, ca, cell, tmp_path) as stranger:
        if cell.name == "good":
            cluster.until(lambda: link_of(cluster.status(1), stranger.node) == "Up", SOON_S)
            cluster.until(lambda: link_of(stranger.status(), 1) == "Up", SOON_S)
            cluster.until(lambda: stranger.node in topology_nodes(cluster, 1), SOON_S)
            assert watch.refusals() == frozenset()
            return
        cluster.until(lambda: watch.refusals() >= cell.here, SOON_S)
        cluster.until(lambda: told(stranger) >= cell.there, SOON_S)
        nothing_is_left(cluster, stranger, watch)
        assert watch.refusals() == cell.here
        assert told(stranger) == cell.there
        assert [v for v in cell.here if not logged(watch.log(), v)] == []
        assert [v for v in cell.there if not logged(stranger.log.read_text(), v)] == []
        why = {p.node_id: p.why for p in cluster.status(1).clusters[0].peers}
        if ("outgoing", "us") in {v[:2] for v in cell.here}:
            (reason,) = {v[2] for v in cell.here}
            assert why[stranger.node] == f"refused: {reason}"
        else:
            assert cluster.status(1).actors == watch.actors


def told(stranger: Stranger) -> frozenset[Verdict]:
    status = stranger.status()
    return frozenset(verdict(r) for r in status.refusals) if status is not None else frozenset()


def nothing_is_left(cluster: ProcessCluster, stranger: Stranger, watch: Watch) -> None:
    """Between two attempts there is no connection, and there never was a link."""
    cluster.until(lambda: watch.sockets() == 1, 3)
    cluster.until(lambda: not stranger.connections(), 3)
    assert topology_nodes(cluster, 1) == {1, 2}
    assert topology_nodes(cluster, 2) == {1, 2}
    assert link_of(cluster.status(1), stranger.node) in ("Down", "no peer")
    assert link_of(stranger.status(), 1) == "Down"
    assert "node_up" not in watch.log()
    assert "node_up" not in stranger.log.read_text()
    assert cluster.all_up()


def test_exactly_one_cell_of_the_matrix_is_admitted() -> None:
    assert [cell.name for cell in CELLS if not cell.here] == ["good"]
