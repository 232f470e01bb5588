"""Dialogs on real processes: a joiner gets all of them while they change, and nobody loses any."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagmesh.control.client import MiError
from tagmesh.control.workspace import Workspace
from tests.control.fake_dialogs import CALL, booted
from tests.control.fake_node import served
from tests.integration.dialog_runs import COUNT, JOINER, OWNER, file_in, nodes_in, run
from tests.integration.opensips_cli import OpenSipsCli
from tests.integration.process_cluster import ProcessCluster
from tests.integration.told_nodes import ToldNodes


def test_25000_dialogs_arrive_complete_and_an_empty_owner_empties_nobody(tmp_path: Path) -> None:
    """One run; `make soak` has 20."""
    nodes = nodes_in(tmp_path)
    try:
        run(nodes, file_in(tmp_path, COUNT, seed=1), COUNT)
    finally:
        nodes.end()


def test_the_next_owner_ends_what_expires_after_a_take_over(tmp_path: Path) -> None:
    """Every dialog once, by the node that has the tag then."""
    nodes = nodes_in(tmp_path)
    try:
        for node in (OWNER, JOINER):
            nodes.start(node)
            nodes.until(node, lambda s: s["state"] == "ok" and s["holder"] == OWNER)
        file = file_in(tmp_path, 50, seed=2, life_s=4)
        assert nodes.ask(OWNER, "load", file=str(file))["count"] == 50
        nodes.until(JOINER, lambda s: s["count"] == 50)
        nodes.kill(OWNER)
        nodes.until(JOINER, lambda s: s["holder"] is None)
        nodes.ask(JOINER, "activate")
        ended = nodes.until(JOINER, lambda s: s["count"] == 0)["ended"]
        assert len(ended) == len(set(ended)) == 50
    finally:
        nodes.end()


def test_a_node_is_a_backup_by_its_configuration_and_answers_over_mi(tmp_path: Path) -> None:
    """``tagmesh node run`` with ``module = "dialogs"``, beside a program that has the tag."""
    space = Workspace(tmp_path, 2, capabilities={"dialog-dlg-repl": "dialogs"})
    owner = ToldNodes(space, "tests.integration.dialog_node")
    with ProcessCluster.of(space) as cluster:
        cluster.start(JOINER)
        try:
            owner.start(OWNER)
            owner.ask(OWNER, "activate")
            owner.until(OWNER, lambda s: s["state"] == "ok")
            owner.ask(OWNER, "load", file=str(file_in(tmp_path, 40, seed=3)))
            client = cluster.client(JOINER)

            def size() -> int:
                profiles = client.call("list_all_profiles", {})["Profiles"]
                if {"name": "calls", "has value": False} not in profiles:
                    return 0
                return int(
                    client.call("profile_get_size", {"profile": "calls"})["Profile"]["count"]
                )

            cluster.until(lambda: size() == 40, 10)
            page = client.call("dlg_list", {"index": "39", "counter": "5"})
            assert (page["count"], len(page["Dialogs"])) == (40, 1)
            callid = page["Dialogs"][0]["callid"]
            with pytest.raises(MiError, match="Node is backup for requested dialog"):
                client.call("dlg_end_dlg", {"dialog_id": page["Dialogs"][0]["ID"]})
            assert cluster.client(OWNER).call("dlg_end_dlg", {"dialog_id": callid}) == "OK"
            cluster.until(lambda: size() == 39, 10)
            assert client.call("dlg_cluster_sync", {"sharing_tag": "vip1"}) == "OK"
            with pytest.raises(MiError, match="Internal error while setting sync state"):
                cluster.client(OWNER).call("dlg_cluster_sync", {"sharing_tag": "vip1"})
        finally:
            owner.end()


def test_the_real_opensips_cli_lists_ends_and_syncs_dialogs(tmp_path: Path) -> None:
    node, cluster = booted()
    with served(node) as url:
        cli = OpenSipsCli(tmp_path, communication_type="http", url=f"{url}/mi")
        assert cli.mi("dlg_list")["Dialogs"][0]["callid"] == CALL.callid
        page = cli.mi("dlg_list", "index=1", "counter=1")
        assert (page["count"], len(page["Dialogs"])) == (3, 1)
        assert cli.mi("dlg_list_ctx", f"callid={CALL.callid}")["Dialog"]["ID"] == CALL.did
        assert cli.mi("profile_get_size", "trunk", "paris")["Profile"]["count"] == 2
        assert cli.mi("dlg_end_dlg", CALL.did) == "OK"
        assert cli.mi("dlg_cluster_sync", "vip1") == "OK"
        assert cluster[1].find(CALL.callid) is None
        missing = cli.run("mi", "dlg_end_dlg", CALL.did)
        assert "Requested Dialog not found" in missing.stdout + missing.stderr
