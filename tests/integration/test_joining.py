"""Joining and leaving by provisioning alone, and knocking without being a node at all."""

from __future__ import annotations

import http.server
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tagmesh.control.workspace import CLUSTER
from tagmesh.protocol.identity import NodeId
from tests.integration.process_cluster import CALM_POLL_S, ProcessCluster
from tests.integration.stranger import Stranger, row
from tests.integration.watch import (
    Watch,
    link_of,
    logged,
    provisioning_of,
    same_ca,
    topology_nodes,
    verdict,
)

SOON_S = 8.0
RM_S = 3.0
"""refresh_interval is 2 s by default."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with ProcessCluster(folder, 2, poll_s=CALM_POLL_S) as running:
        running.start()
        running.until(running.all_up, 30)
        yield running


@contextmanager
def provisioned(cluster: ProcessCluster, node: int, url: str) -> Iterator[None]:
    with provisioning_of(cluster) as provisioning:
        provisioning.add(row(node, url))
        try:
            yield
        finally:
            provisioning.remove(CLUSTER, NodeId(node))


def address(cluster: ProcessCluster, node: int) -> tuple[str, int]:
    host, _, port = cluster.space.urls[node].removeprefix("bins:").rpartition(":")
    return host, int(port)


def refused(cluster: ProcessCluster, watch: Watch, direction: str, reason: str) -> None:
    """Exactly this happened, it is in the log, and nothing of it is left."""
    expected = (direction, "us", reason)
    cluster.until(lambda: watch.refusals() == {expected}, SOON_S)
    cluster.until(lambda: watch.sockets() == 1, SOON_S)
    assert logged(watch.log(), expected)
    assert topology_nodes(cluster, 1) == {1, 2}
    assert cluster.all_up()


def test_a_client_without_a_certificate_is_told_that_one_is_required(
    cluster: ProcessCluster,
) -> None:
    watch = Watch(cluster)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cluster.space.folder / "ca" / "ca.crt")
    context.check_hostname = False
    with (
        socket.create_connection(address(cluster, 1), timeout=5) as raw,
        context.wrap_socket(raw) as tls,
        pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"),
    ):
        tls.recv(1)
    refused(cluster, watch, "incoming", "cert_missing")
    assert cluster.status(1).actors == watch.actors


def test_plaintext_http_gets_no_answer(cluster: ProcessCluster) -> None:
    watch = Watch(cluster)
    with socket.create_connection(address(cluster, 1), timeout=5) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n")
        assert b"HTTP" not in raw.recv(100)  # an alert, or nothing
    refused(cluster, watch, "incoming", "tls_error")
    assert cluster.status(1).actors == watch.actors


def test_a_plaintext_server_at_the_url_of_a_row_is_no_node(cluster: ProcessCluster) -> None:
    watch = Watch(cluster)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with provisioned(cluster, 30, f"bins:127.0.0.1:{server.server_port}"):
            refused(cluster, watch, "outgoing", "tls_error")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        """Nobody reads it."""


def test_another_node_at_the_url_of_a_row_is_refused(
    cluster: ProcessCluster, tmp_path: Path
) -> None:
    """An impostor with a good certificate, but not that of the node which the row names."""
    watch = Watch(cluster)
    tls = same_ca(cluster, tmp_path / "ca").issue(31)
    with Stranger(tmp_path / "stranger", 31, tls, {}) as impostor:
        cluster.until(lambda: impostor.status() is not None, 15)
        with provisioned(cluster, 32, impostor.url):
            refused(cluster, watch, "outgoing", "cert_identity")
            told = ("incoming", "them", "cert_identity")
            cluster.until(lambda: logged(impostor.log.read_text(), told), SOON_S)
            status = impostor.status()
            assert status is not None
            assert {verdict(r) for r in status.refusals} == {told}


def tagmesh(*arguments: str) -> str:
    """Run the program; its stdout."""
    command = [sys.executable, "-m", "tagmesh", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_node_that_is_removed_by_command_stays_out_however_it_knocks(
    cluster: ProcessCluster, tmp_path: Path
) -> None:
    """X-1, X-2, X-5, X-6: it never reads the rows, so it believes to belong to the cluster."""
    watch = Watch(cluster)
    tls = same_ca(cluster, tmp_path / "ca").issue(41)
    remove = partial(cluster.client(2).call, "clusterer_remove_node", [CLUSTER, 41])
    with Stranger(tmp_path / "stranger", 41, tls, dict(cluster.space.urls)) as zombie:
        cluster.until(lambda: zombie.status() is not None, 15)

        def links() -> set[str]:
            return {link_of(cluster.status(n), 41) for n in (1, 2)}

        with provisioned(cluster, 41, zombie.url):
            cluster.until(lambda: links() == {"Up"}, SOON_S)
            assert remove() == "OK"
            cluster.until(lambda: links() == {"no peer"}, RM_S)
            cluster.until(lambda: "tombstoned" in told_by(zombie), SOON_S)
            cluster.until(lambda: watch.sockets() == 1, SOON_S)
            assert topology_nodes(cluster, 1) == {1, 2}
            assert remove() == "already removed"
        with provisioned(cluster, 41, zombie.url):
            cluster.until(lambda: links() == {"Up"}, SOON_S)
    cluster.until(lambda: links() == {"no peer"}, RM_S)


def test_rows_decide_who_is_in(cluster: ProcessCluster, tmp_path: Path) -> None:
    """A stranger knocks, is provisioned, and removed again; then a member is removed and added."""
    tls = same_ca(cluster, tmp_path / "ca").issue(40)
    stranger = Stranger(tmp_path / "stranger", 40, tls, dict(cluster.space.urls))
    where = ["-c", str(cluster.space.config(1)), "--cluster", str(CLUSTER)]

    def links(*nodes: int) -> set[str]:
        """Of each of these nodes with the stranger, as both ends see them."""
        seen = {link_of(cluster.status(n), 40) for n in nodes}
        return seen | {link_of(stranger.status(), n) for n in nodes}

    with stranger:
        cluster.until(lambda: told_by(stranger) == {"unknown_node"}, 15)
        shown = tagmesh("ctl", "--url", f"http://{cluster.space.admin[1]}", "status")
        assert "unknown_node" in shown

        tagmesh("db", "add", *where, "--node", "40", "--url", stranger.url)
        cluster.until(lambda: links(1, 2) == {"Up"}, SOON_S)

        tagmesh("db", "rm", *where, "--node", "40")
        took = cluster.until(lambda: links(1, 2) == {"no peer", "Down"}, RM_S)
        assert took <= RM_S
        assert stranger.node not in topology_nodes(cluster, 1)

        tagmesh("db", "add", *where, "--node", "40", "--url", stranger.url)
        cluster.until(lambda: links(1, 2) == {"Up"}, SOON_S)
        tagmesh("db", "rm", *where, "--node", "2")
        removed = time.monotonic()
        cluster.until(lambda: link_of(stranger.status(), 2) == "Down", RM_S)
        cluster.until(lambda: link_of(cluster.status(1), 2) == "no peer", RM_S)
        cluster.until(lambda: not cluster.status(2).ready, RM_S)
        assert time.monotonic() - removed <= RM_S
        assert links(1) == {"Up"}
        lonely = cluster.status(2)
        assert lonely.clusters == []
        assert lonely.actors == {"gate": 1, "storage": 1}
        assert "node 2" in str(lonely.roster_error)

        tagmesh("db", "add", *where, "--node", "2", "--url", cluster.space.urls[2])
        cluster.until(lambda: links(1, 2) == {"Up"}, SOON_S)
        tagmesh("db", "rm", *where, "--node", "40")


def told_by(stranger: Stranger) -> set[str]:
    """Reasons for which others refused it."""
    status = stranger.status()
    return {r.reason for r in status.refusals if r.by == "them"} if status is not None else set()
