"""``GET /metrics``: read back by the parser of prometheus-client, and judged by promtool."""

from __future__ import annotations

import re

import msgspec
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tagmesh.control.metrics import exposition
from tagmesh.protocol.status import (
    Distribution,
    EventCount,
    HandshakeCount,
    Status,
    TrafficStatus,
)
from tests.control.fake_node import make_status, refusal
from tests.promtool import needs_promtool, promtool

FULL = msgspec.structs.replace(
    make_status(),
    refusals=[refusal(), refusal(address="10.0.0.8:1", count=4), refusal(by="them", count=1)],
    crashes=2,
    events=[
        EventCount(cluster_id=None, kind="join_refused", count=8),
        EventCount(cluster_id=1, kind="link_changed", count=5),
        EventCount(cluster_id=1, kind="tag_changed", cause="tag_asked", count=3),
        EventCount(cluster_id=1, kind="tag_changed", cause="tag_released", count=1),
    ],
    drops={"R-3": 6},
    certificate_ends_wall_s=1_800_000_000.0,
    hub_lag_s=0.002,
    storage_calls=Distribution(bounds_s=[0.01, 1.0], counts=[3, 2, 1], sum_s=7.5),
    traffic=TrafficStatus(
        messages_received={"Ping": 4, "Packets": 9},
        messages_sent={"Ping": 5},
        bytes_received=2000,
        bytes_sent=3000,
        handshakes=[
            HandshakeCount(role="client", result="done", count=2),
            HandshakeCount(role="server", result="cert_untrusted", count=1),
        ],
    ),
)
NAMES = [
    "build_info",
    "node_info",
    "cluster_nodes",
    "cluster_nodes_up",
    "cluster_nodes_reachable",
    "link_state",
    "link_up",
    "link_transitions",
    "ping_rtt_seconds",
    "route_hops",
    "messages",
    "message_drops",
    "transport_bytes",
    "tls_handshakes",
    "join_refused",
    "capability_synced",
    "certificate_expiry_timestamp_seconds",
    "capability_enabled",
    "sync_items",
    "sync_duration_seconds",
    "sync_sessions",
    "tag_active",
    "tag_transitions",
    "actor_inbox_length",
    "actor_failures",
    "hub_lag_seconds",
    "db_query_seconds",
]
LABELS = frozenset(
    [
        "cluster_id",
        "node_id",
        "capability",
        "tag",
        "state",
        "kind",
        "reason",
        "by",
        "version",
        "description",
        "url",
        "direction",
        "type",
        "role",
        "result",
        "actor",
        "le",
    ]
)
UNITS = ("milliseconds", "ms", "minutes", "hours", "kilobytes", "bits", "percent")


def families(status: Status) -> dict[str, Metric]:
    text = exposition(status).decode()
    found = list(text_string_to_metric_families(text))
    names = [family.name for family in found]
    assert len(names) == len(set(names))
    return {family.name: family for family in found}


def value(status: Status, name: str, **labels: str) -> float:
    return next(
        sample.value
        for family in families(status).values()
        for sample in family.samples
        if sample.name == f"tagmesh_{name}" and sample.labels == labels
    )


def test_every_name_that_is_promised_is_there() -> None:
    assert {f"tagmesh_{name}" for name in NAMES} <= set(families(FULL))


@needs_promtool
def test_promtool_has_nothing_to_say() -> None:
    assert promtool("check", "metrics", fed=exposition(FULL)) == ""


@needs_promtool
def test_promtool_would_say_it() -> None:
    bad = exposition(FULL).replace(b"tagmesh_uptime_seconds", b"tagmesh_uptime_milliseconds")
    with pytest.raises(AssertionError, match="base unit"):
        promtool("check", "metrics", fed=bad)


def test_names_are_as_those_of_prometheus_should_be() -> None:
    """Help for each, counters and only they end in _total, base units, no type in the
    name, snake case, every series once."""
    text = exposition(FULL).decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    assert types
    for name, kind in types.items():
        assert re.fullmatch(r"tagmesh_[a-z]+(_[a-z]+)*", name), name
        assert name.endswith("_total") == (kind == "counter"), name
        assert kind in ("counter", "gauge", "histogram"), name
        assert not {"gauge", "counter", *UNITS} & set(name.split("_")), name
        assert len(helps[name]) > 10
    series = [line.rpartition(" ")[0] for line in text.splitlines() if line[0] != "#"]
    assert len(series) == len(set(series))
    assert "_created" not in text
    assert text.endswith("\n")


def test_labels_are_those_that_are_bounded() -> None:
    used = {name for f in families(FULL).values() for s in f.samples for name in s.labels}
    assert used <= LABELS


def test_values_are_those_of_the_status() -> None:
    assert value(FULL, "cluster_nodes", cluster_id="1") == 3
    assert value(FULL, "cluster_nodes_up", cluster_id="1") == 2
    assert value(FULL, "cluster_nodes_reachable", cluster_id="1") == 3
    assert value(FULL, "route_hops", cluster_id="1", node_id="3") == 2
    key = {"cluster_id": "1", "capability": "dialog-dlg-repl"}
    assert value(FULL, "sync_duration_seconds", **key) == 0.5
    assert value(FULL, "tag_active", cluster_id="1", tag="vip1") == 1
    assert value(FULL, "join_refused_total", reason="unknown_node", by="us") == 7
    assert value(FULL, "join_refused_total", reason="unknown_node", by="them") == 1
    assert value(FULL, "link_transitions_total", cluster_id="1") == 5
    assert value(FULL, "message_drops_total", reason="R-3") == 6
    assert value(FULL, "actor_failures_total") == 2
    assert value(FULL, "tag_transitions_total", cluster_id="1", reason="tag_asked") == 3
    assert value(FULL, "events_total", cluster_id="1", kind="tag_changed") == 4
    assert value(FULL, "messages_total", direction="received", type="Packets") == 9
    assert value(FULL, "transport_bytes_total", direction="sent") == 3000
    assert value(FULL, "tls_handshakes_total", role="server", result="cert_untrusted") == 1
    assert value(FULL, "sync_items_total", **key, role="donor") == 50
    assert value(FULL, "actor_inbox_length", actor="link") == 5
    assert value(FULL, "hub_lag_seconds") == 0.002
    assert value(FULL, "certificate_expiry_timestamp_seconds", kind="node") == 1.8e9


def test_durations_are_cumulative_histograms() -> None:
    bounds = [value(FULL, "db_query_seconds_bucket", le=le) for le in ("0.01", "1.0", "+Inf")]
    assert bounds == [3, 5, 6]
    assert value(FULL, "db_query_seconds_count") == 6
    assert value(FULL, "db_query_seconds_sum") == 7.5
    node = {"cluster_id": "1", "node_id": "2"}
    assert value(FULL, "ping_rtt_seconds_bucket", **node, le="0.001") == 1
    assert value(FULL, "ping_rtt_seconds_count", **node) == 2


def test_a_tag_that_only_others_use_is_not_counted_as_unused_here() -> None:
    """The rule `sum by (tag) (tagmesh_tag_active) != 1` counts those who declared it."""
    tags = [s.labels["tag"] for s in families(FULL)["tagmesh_tag_active"].samples]
    assert tags == ["vip1"]


@pytest.mark.parametrize("node", ["2", "3"])
def test_a_link_is_in_one_state(node: str) -> None:
    samples = families(FULL)["tagmesh_link_state"].samples
    states = {s.labels["state"]: s.value for s in samples if s.labels["node_id"] == node}
    assert set(states) == {"Up", "Probe", "Down"}
    assert sum(states.values()) == 1


def test_what_a_row_says_of_itself_cannot_forge_a_metric() -> None:
    forged = 'x"} 1\ntagmesh_ready 0\n#\\'
    status = msgspec.structs.replace(FULL, description=forged)
    assert value(status, "ready") == 1
    infos = families(status)["tagmesh_node_info"].samples
    assert infos[0].labels["description"] == forged


def test_a_node_without_clusters_has_metrics_too() -> None:
    bare = make_status(clusters=[])
    assert value(bare, "healthy") == 1
    assert "tagmesh_certificate_expiry_timestamp_seconds" not in families(bare)
