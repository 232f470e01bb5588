"""The numbers of a node as OpenSIPS names statistics."""

from __future__ import annotations

from tagmesh.control.statistics import chosen, statistics_of
from tagmesh.protocol.status import EventCount
from tests.control.fake_node import make_status, refusal

VALUES = statistics_of(
    make_status(
        crashes=2,
        refusals=[refusal(), refusal(count=4)],
        drops={"R-3": 6, "G-4": 1},
        events=[
            EventCount(cluster_id=1, kind="node_down", count=3),
            EventCount(cluster_id=2, kind="node_down", count=4),
            EventCount(cluster_id=1, kind="join_refused", count=5),
        ],
    )
)


def test_what_there_is() -> None:
    assert VALUES == {
        "core:timestamp": 61,
        "clusterer:clusterer_nodes": 2,
        "clusterer:clusterer_nodes_up": 1,
        "clusterer:clusterer_nodes_down": 1,
        "tagmesh:actor_failures": 2,
        "tagmesh:refused_connections": 7,
        "tagmesh:message_drops": 7,
        "tagmesh:join_refused": 5,
        "tagmesh:node_down": 7,
    }


def test_all_a_module_or_one_by_either_name() -> None:
    assert chosen(VALUES, ["all"]) == VALUES
    clusterer = [name for name in VALUES if name.startswith("clusterer:")]
    assert list(chosen(VALUES, ["clusterer:"])) == clusterer
    assert chosen(VALUES, ["clusterer_nodes_up"]) == {"clusterer:clusterer_nodes_up": 1}
    assert chosen(VALUES, ["core:timestamp", "clusterer_nodes"]) == {
        "core:timestamp": 61,
        "clusterer:clusterer_nodes": 2,
    }


def test_what_is_unknown_is_left_out() -> None:
    assert chosen(VALUES, ["nothing", "nothing:", "core", "timestamp"]) == {"core:timestamp": 61}
    assert chosen(VALUES, []) == {}
