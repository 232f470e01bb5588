"""The roster of db_mode 0: what the configuration says, others may be learned (J-4)."""

from __future__ import annotations

from typing import Any

import pytest

import tagmesh.storage
from tagmesh.protocol.config import read_config
from tagmesh.protocol.errors import NotProvisioned
from tagmesh.protocol.identity import BinsUrl, ClusterId, NodeId, NodeRecord
from tagmesh.storage import FixedRoster


def _record(node: int, cluster: int = 1) -> NodeRecord:
    return NodeRecord(
        cluster_id=ClusterId(cluster), node_id=NodeId(node), url=BinsUrl("h", 5000 + node)
    )


def test_records_of_the_own_clusters_come_sorted_and_others_may_join() -> None:
    roster = FixedRoster([_record(3), _record(1, 7), _record(2, 5), _record(1), _record(4, 7)])
    snapshot = roster.load(NodeId(1))
    assert [(r.cluster_id, r.node_id) for r in snapshot.records] == [(1, 1), (1, 3), (7, 1), (7, 4)]
    assert snapshot.dynamic
    assert (snapshot.invalid, snapshot.identities, snapshot.warnings) == ((), {}, ())


def test_a_node_in_no_cluster_is_told_what_to_do() -> None:
    with pytest.raises(NotProvisioned, match=r"node 9 is in no cluster .*add a \[\[cluster\]\]"):
        FixedRoster([_record(1)]).load(NodeId(9))


def test_a_configuration_gives_me_and_the_neighbours() -> None:
    raw: dict[str, Any] = {
        "node": {"id": 2},
        "provisioning": {"mode": "static"},
        "cluster": [
            {
                "id": 1,
                "ping_retries": 5,
                "me": {"url": "bins:a", "flags": "seed", "priority": 7},
                "neighbours": [{"node_id": 1, "url": "bins:b:6000", "description": "b"}],
            },
            {"id": 4, "me": {"url": "bins:c"}},
        ],
    }
    roster = FixedRoster.from_config(read_config(raw))
    first, second, third = roster.load(NodeId(2)).records
    assert (first.node_id, first.url, first.description) == (1, BinsUrl("b", 6000), "b")
    assert (second.node_id, second.seed, second.priority, second.ping_retries) == (2, True, 7, 5)
    assert (third.cluster_id, third.node_id, third.url) == (4, 2, BinsUrl("c"))
    assert {record.db_id for record in (first, second, third)} == {-1}
    assert roster.name == "configuration"
    roster.close()


def test_the_front_door_is_sorted() -> None:
    names = tagmesh.storage.__all__
    assert names == sorted(names)
    assert all(hasattr(tagmesh.storage, name) for name in names)
