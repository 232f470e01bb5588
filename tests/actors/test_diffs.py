"""Which records other nodes do not have alike, over real TLS, from the command line too (B7)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from tagmesh import LocalCluster, Misuse
from tagmesh.actors.actor import ReplyFuture
from tagmesh.actors.cluster import Cluster
from tagmesh.actors.mail import DiffWanted
from tagmesh.control.cli import root
from tagmesh.protocol import verifying
from tagmesh.protocol.diffing import KeyDiff, NodeDiff, Unlike
from tagmesh.protocol.errors import TimedOut, Unknown
from tests.actors.cluster_bench import Calls
from tests.actors.leftovers import nothing_stays, until
from tests.capabilities.map_bench import lose
from tests.control.fake_node import served


@pytest.fixture(scope="module")
def lab() -> Iterator[LocalCluster]:
    """Three nodes that do not repair what is done to their copies."""
    with pytest.MonkeyPatch.context() as patch, nothing_stays(), LocalCluster(3) as lab:
        patch.setattr(verifying.Verifying, "see", lambda *_: None)
        yield lab


def compared(cluster: Cluster, name: str, tag: str, *nodes: int) -> list[NodeDiff]:
    """When the syncs of the beginning are over."""
    found: list[NodeDiff] = []

    def all_compared() -> bool:
        found[:] = cluster.diff(name, tag, nodes)
        return bool(found) and all(node.compared for node in found)

    until(all_compared)
    return found


def test_an_operator_sees_which_keys_differ_and_nothing_changes(lab: LocalCluster) -> None:
    lab[1].cluster(1).tag("vip1").activate()
    calls = [node.replicated_dict("calls", tag="vip1") for node in lab]
    until(lambda: [lab[n].cluster(1).status("calls").state for n in (1, 2, 3)] == ["ok"] * 3)
    calls[0].update({f"call {n}": n for n in range(1000)})
    lab.settle()
    first, second = compared(lab[1].cluster(1), "calls", "vip1")
    assert (first.alike, second.alike) == (True, True)

    lose(calls[1].map, {"call 7", "call 700"})
    lose(calls[0].map, {"call 8"})
    with served(lab[1]) as url:
        args = ["ctl", "--url", url, "diff", "calls", "--tag", "vip1", "-o", "json"]
        done = CliRunner().invoke(root, args, prog_name="tagmesh")
    assert (done.exit_code, done.stderr) == (1, "")
    two, three = json.loads(done.stdout)["nodes"]
    assert (two["missing"], two["extra"], two["different"]) == (2, 1, 0)
    assert {each["key"]: each["unlike"] for each in two["keys"]} == {
        "call 7": "missing",
        "call 700": "missing",
        "call 8": "extra",
    }
    assert (three["missing"], three["extra"]) == (0, 1)
    assert [len(copy) for copy in calls] == [999, 998, 1000], "it only looks"
    (of_1,) = compared(lab[2].cluster(1), "calls", "vip1")
    assert (of_1.node_id, of_1.missing, of_1.extra) == (1, 1, 2), "the owner alone, seen from here"
    assert KeyDiff("call 7", Unlike.EXTRA) in of_1.keys


def test_what_cannot_be_compared_says_so(lab: LocalCluster) -> None:
    cluster = lab[1].cluster(1)
    cluster.register(Calls("plain"))
    with pytest.raises(Misuse, match="have no keys"):
        cluster.diff("plain")
    users = cluster.replicated_dict("lonely")
    assert len(users) == 0
    with pytest.raises(Misuse, match="at most 10000 keys"):
        cluster.diff("lonely", limit=10_001)
    with pytest.raises(Unknown, match="no other node 9"):
        cluster.diff("lonely", nodes=[9])
    (two, three) = cluster.diff("lonely")
    assert (two.compared, three.compared) == (False, False)
    assert two.reason.startswith("no_capability"), two.reason


@pytest.mark.parametrize(
    ("reason", "why"), [(None, "no answer"), ("in_progress", "a sync is under way here")]
)
def test_it_is_waited_for_so_long(
    lab: LocalCluster, monkeypatch: pytest.MonkeyPatch, reason: str | None, why: str
) -> None:
    cluster = lab[1].cluster(1)
    cluster.replicated_dict("busy")
    lab[2].replicated_dict("busy")
    until(lambda: any(verdict.accepted for verdict in cluster.explain_donor("busy")))
    ask = cluster._ask

    def never(name: str, mail: object) -> Any:
        if not isinstance(mail, DiffWanted):
            return ask(name, mail)
        future = ReplyFuture()
        if reason is not None:
            future.set(NodeDiff(node_id=mail.node_id, compared=False, reason=reason))
        return future

    monkeypatch.setattr(cluster, "_ask", never)
    with pytest.raises(TimedOut, match=f"not compared with node 2 in 0.1 s: {why}"):
        cluster.diff("busy", nodes=[2], timeout=0.1)
