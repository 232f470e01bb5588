"""Capabilities of node processes that the configuration names, seen and managed from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.integration.process_cluster import CALM_POLL_S, ProcessCluster

SOON_S = 15.0


def ctl(cluster: ProcessCluster, node: int, *words: str) -> str:
    url = f"http://{cluster.space.admin[node]}"
    done = subprocess.run(
        [sys.executable, "-m", "tagmesh", "ctl", "--url", url, *words],
        check=False, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def states(cluster: ProcessCluster, node: int) -> dict[str, tuple[str, str]]:
    (listed,) = cluster.client(node).call("clusterer_list_cap")["Clusters"]
    return {c["name"]: (c["state"], c["enabled"]) for c in listed["Capabilities"]}


def test_processes_offer_what_their_configuration_names(tmp_path: Path) -> None:
    offered = {"notes": "replicated-map", "rates": "counters"}
    with ProcessCluster(tmp_path, 3, poll_s=CALM_POLL_S, capabilities=offered) as cluster:
        cluster.start()
        cluster.until(cluster.all_up, SOON_S)
        cluster.until(lambda: all(cluster.status(n).ready for n in (1, 2, 3)), SOON_S)
        fine = ("Ok", "yes")
        names = ("notes", "rates", "tagmesh-commands", "tagmesh-requests")
        wanted = dict.fromkeys(names, fine)
        assert [states(cluster, n) for n in (1, 2, 3)] == [wanted] * 3

        assert ctl(cluster, 2, "status").count("4/4 Ok") == 3
        caps = json.loads(ctl(cluster, 2, "caps", "-o", "json"))["clusters"][0]
        assert [p["node_id"] for p in caps["peers"]] == [1, 3]

        ctl(cluster, 2, "cap", "disable", "notes")
        assert states(cluster, 2)["notes"] == ("not synced", "no")
        cluster.until(lambda: "disabled" in ctl(cluster, 1, "caps"), SOON_S)
        ctl(cluster, 2, "cap", "enable", "notes")
        cluster.until(lambda: states(cluster, 2)["notes"] == fine, SOON_S)

        ctl(cluster, 3, "sync", "start", "notes")
        cluster.until(lambda: "notes: 0 records from" in ctl(cluster, 3, "sync"), SOON_S)
        donors = json.loads(ctl(cluster, 3, "cap", "donors", "notes", "-o", "json"))["donors"]
        assert [d["place"] for d in donors] == [1, 2]


def test_readiness_follows_the_first_sync(tmp_path: Path) -> None:
    """/readyz says no until there was somebody to sync from."""
    offered = {"notes": "replicated-map"}
    with ProcessCluster(tmp_path, 2, poll_s=CALM_POLL_S, capabilities=offered) as cluster:
        cluster.start(2)
        cluster.until(lambda: cluster.listening(2), SOON_S)
        waiting = cluster.status(2)
        assert not waiting.ready
        assert waiting.waits_for[0].startswith("cluster 1: notes is pending")
        cluster.start(1)
        cluster.until(lambda: cluster.status(2).ready, SOON_S)
        assert cluster.status(2).waits_for == []


def test_a_node_does_not_start_without_a_module_it_needs(tmp_path: Path) -> None:
    with ProcessCluster(tmp_path, 1, capabilities={"notes": "no-such-thing"}) as cluster:
        cluster.start()
        assert cluster.processes[1].wait(30) == 2
        assert "no installed package offers it" in cluster.log(1).read_text()
