"""Two real nodes, operated over every face that their configuration switches on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.opensips_cli import OpenSipsCli
from tests.integration.process_cluster import ProcessCluster

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessCluster]:
    with ProcessCluster(tmp_path_factory.mktemp("operated"), 2) as cluster:
        config = cluster.space.config(1)
        more = 'fifo = "mi.fifo"\nfifo_reply_dir = "."\ndatagram = "unix:mi.sock"'
        config.write_text(config.read_text().replace("[admin]", f"[admin]\n{more}"))
        cluster.start()
        cluster.until(cluster.all_up, PATIENCE_S)
        yield cluster


def ctl(cluster: ProcessCluster, *words: str) -> subprocess.CompletedProcess[str]:
    config = str(cluster.space.config(1))
    return subprocess.run(
        [sys.executable, "-m", "tagmesh", "ctl", "-c", config, *words],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("TAGMESH_")},
    )  # fmt: skip


def test_opensips_cli_over_the_fifo_and_the_socket(cluster: ProcessCluster, tmp_path: Path) -> None:
    home = cluster.space.config(1).parent
    fifo = OpenSipsCli(
        tmp_path, communication_type="fifo", fifo_file=home / "mi.fifo", fifo_reply_dir=home
    )
    unix = OpenSipsCli(
        tmp_path, communication_type="datagram", datagram_unix_socket=home / "mi.sock",
        datagram_timeout=PATIENCE_S,
    )  # fmt: skip
    for cli in (fifo, unix):
        ((listed,),) = [c["Nodes"] for c in cli.mi("clusterer_list")["Clusters"]]
        assert (listed["node_id"], listed["link_state"]) == (2, "Up")


def test_health_asks_both_nodes_and_finds_them_well(cluster: ProcessCluster) -> None:
    assert ctl(cluster, "wait", "--ready", "--node", "2").returncode == 0
    done = ctl(cluster, "health", f"http://{cluster.space.admin[2]}", "-o", "json")
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    assert {one["text"] for one in found["findings"]} >= {
        "2 nodes asked, all answer",
        "all nodes asked see the same topology",
        "no certificate ends soon",
    }


def test_events_of_the_start_are_there(cluster: ProcessCluster) -> None:
    done = ctl(cluster, "events")
    assert done.returncode == 0
    assert "node_up cluster 1 node 2" in done.stdout


def test_metrics_tell_of_the_link(cluster: ProcessCluster) -> None:
    url = f"http://{cluster.space.admin[1]}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as reply:
        families = {f.name: f for f in text_string_to_metric_families(reply.read().decode())}
    up = {s.labels["node_id"]: s.value for s in families["tagmesh_link_up"].samples}
    assert up == {"2": 1.0}
    assert families["tagmesh_link_transitions"].samples[0].value >= 1
    assert families["tagmesh_certificate_expiry_timestamp_seconds"].samples[0].value > 1e9
