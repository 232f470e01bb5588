"""``[[cluster]]``: timing, and the rows of static mode."""

from __future__ import annotations

from typing import Any

import pytest

from tagmesh.protocol.cluster_settings import (
    MAX_CLUSTERS,
    MAX_NODES,
    ME_KEYS,
    NEIGHBOUR_KEYS,
    STATIC_EXAMPLES,
    ClusterReader,
    ClusterSettings,
    row_of,
)
from tagmesh.protocol.credit import Spent
from tagmesh.protocol.identity import BinsUrl, ClusterId, NodeId, NodeRecord
from tagmesh.protocol.messages import MAX_BATCH_BYTES
from tagmesh.protocol.settings import Reader, settings_of

ME = {"url": "bins:10.0.0.1"}


def read(
    clusters: object, mode: str | None = "database", own_id: int | None = 1
) -> tuple[tuple[ClusterSettings, ...], list[str]]:
    reader = Reader()
    raw = {} if clusters is None else {"cluster": clusters}
    found = ClusterReader(reader, own_id, mode).read(raw)
    return found, [str(problem) for problem in reader.problems]


def static(own_id: int | None = 1, **keys: Any) -> tuple[tuple[ClusterSettings, ...], list[str]]:
    return read([{"id": 7, **keys}], "static", own_id)


def neighbour(node: object, **keys: Any) -> dict[str, Any]:
    return {"node_id": node, "url": f"bins:10.0.0.{node}", **keys}


def test_a_cluster_with_nothing_said_has_the_defaults() -> None:
    assert read([{"id": 7}]) == ((ClusterSettings(id=7),), [])
    assert read(None) == ((), [])


def test_what_must_agree_in_a_cluster_is_in_the_digest() -> None:
    one = ClusterSettings(id=1)
    assert one.digest == ClusterSettings(id=1, ping_interval_s=9).digest
    assert one.digest != ClusterSettings(id=1, rerouting=False).digest
    assert one.digest != ClusterSettings(id=1, credit_window_bytes=2**20 + 1).digest
    assert len(one.digest) == 16


def test_a_batch_of_any_size_fits_the_windows() -> None:
    """Else one packet would wait for ever for room that never comes; credit needs two."""
    least = {"credit_window": "256KiB", "outbox": "128KiB", "sync_packet_size": 65_535}
    (cluster,), problems = read([{"id": 1, **least}])
    assert problems == []
    assert Spent(cluster.credit_window_bytes).left_bytes >= 2 * MAX_BATCH_BYTES
    assert cluster.outbox_bytes >= MAX_BATCH_BYTES
    assert cluster.sync_packet_size_bytes < MAX_BATCH_BYTES
    for key, too_little in (("credit_window", "255KiB"), ("outbox", "127KiB")):
        assert len(read([{"id": 1, key: too_little}])[1]) == 1
    assert len(read([{"id": 1, "sync_packet_size": 65_536}])[1]) == 1


def test_names_and_defaults_of_opensips() -> None:
    """1.2"""
    theirs = {
        field.metadata["opensips"]: field.metadata["default"]
        for _, field in settings_of(ClusterSettings)
    }
    assert theirs["seed_fallback_interval"] == "5s"
    assert theirs["sync_timeout"] == "15s"
    assert theirs["sync_packet_size"] == 32_768


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            {"ping_timeout": "4s"},
            "ping_timeout: 4s, but ping_interval is 4s; allowed: less than ping_interval",
        ),
        (
            {"ping_interval": "500ms"},
            "ping_timeout: 1s, but ping_interval is 500ms; allowed: less than ping_interval",
        ),
        (
            {"reconnect_cap": "61s", "digest_interval": "2m"},
            "reconnect_cap: 61s, but node_timeout is 60s; allowed: at most node_timeout",
        ),
        (
            {"digest_interval": "4.5s"},
            "reconnect_cap: 5s, but digest_interval is 4.5s; allowed: at most digest_interval",
        ),
        (
            {"sync_timeout": "5s"},
            "resume_timeout: 5s, but sync_timeout is 5s; allowed: less than sync_timeout",
        ),
        (
            {"sync_request_timeout": "16s"},
            "sync_request_timeout: 16s, but sync_timeout is 15s; allowed: less than sync_timeout",
        ),
    ],
)
def test_durations_that_contradict_each_other(keys: dict[str, str], problem: str) -> None:
    """C7 and section 2 of the promises: A < B is refused."""
    assert read([{"id": 1, **keys}])[1] == [f"[cluster #1] {problem}"]


def test_durations_at_their_bounds() -> None:
    keys = {"reconnect_cap": "10s", "node_timeout": "10s", "ping_timeout": "3999ms"}
    assert read([{"id": 1, **keys}])[1] == []


def test_two_clusters_with_one_id() -> None:
    """C9; also when another key of one of them is wrong."""
    found = read([{"id": 1}, {"id": 2}, {"id": 1, "rerouting": 5}])[1]
    assert found == [
        "[cluster #3] rerouting: 5 is not a switch; allowed: true | false",
        "[cluster #3] id: 1 stands twice; allowed: each id once",
    ]


def test_clusters_without_ids_are_not_twins() -> None:
    missing = "id: is missing; allowed: a whole number 1 … 2147483647"
    assert read([{}, {}])[1] == [f"[cluster #1] {missing}", f"[cluster #2] {missing}"]


def test_more_clusters_than_there_may_be() -> None:
    """C10"""
    tables = [{"id": number} for number in range(1, MAX_CLUSTERS + 1)]
    assert len(read(tables)[0]) == MAX_CLUSTERS
    assert read([*tables, {"id": 0}])[1] == ["[cluster] -: 65 clusters; allowed: at most 64"]


@pytest.mark.parametrize(
    ("clusters", "problem"),
    [
        ({"id": 1}, "[cluster] -: {'id': 1} is not a list of tables; allowed: [[cluster]]"),
        ([5], "[cluster #1] -: 5 is not a table; allowed: a table"),
    ],
)
def test_what_is_no_cluster(clusters: object, problem: str) -> None:
    assert read(clusters)[1] == [problem]


def test_rows_need_static_mode() -> None:
    clusters, problems = read([{"id": 1, "me": ME, "neighbours": []}])
    assert clusters == (ClusterSettings(id=1),)
    allowed = 'allowed: nothing, or mode = "static" in [provisioning]'
    assert problems == [
        f"[cluster #1] me: only static mode has it; {allowed}",
        f"[cluster #1] neighbours: only static mode has it; {allowed}",
    ]


def test_static_rows_become_records() -> None:
    other = neighbour(2, no_ping_retries=0, priority=9, flags="seed", sip_addr="sip:b")
    (cluster,), problems = static(
        ping_retries=5, me={**ME, "description": "a"}, neighbours=[other, neighbour(3)]
    )
    assert problems == []
    assert cluster.me == NodeRecord(
        cluster_id=ClusterId(7), node_id=NodeId(1), url=BinsUrl("10.0.0.1"), ping_retries=5,
        description="a",
    )  # fmt: skip
    assert cluster.neighbours[0] == NodeRecord(
        cluster_id=ClusterId(7), node_id=NodeId(2), url=BinsUrl("10.0.0.2"), ping_retries=0,
        priority=9, flags="seed", sip_addr="sip:b",
    )  # fmt: skip
    assert (cluster.neighbours[1].node_id, cluster.neighbours[1].ping_retries) == (3, 5)


def test_a_record_in_the_notation_of_the_file() -> None:
    row = neighbour(2, no_ping_retries=0, priority=9, flags="seed", sip_addr="s", description="d")
    record = static(me=ME, neighbours=[row])[0][0].neighbours[0]
    assert row_of(record) == {**row, "url": "bins:10.0.0.2:5556"}
    assert row_of(record).keys() == set(NEIGHBOUR_KEYS)


def test_the_examples_are_valid() -> None:
    examples = {key: value for key, (value, _) in STATIC_EXAMPLES.items()}
    assert static(**examples)[1] == []


@pytest.mark.parametrize(
    ("keys", "problems"),
    [
        ({}, ['[cluster #1] me: is missing; allowed: { url = "bins:host:port" }']),
        (
            {"me": 5},
            [f"[cluster #1.me] -: 5 is not a table; allowed: {', '.join(ME_KEYS)}"],
        ),
        (
            {"me": {}},
            ['[cluster #1.me] url: is missing; allowed: "bins:host" or "bins:host:port"'],
        ),
        (
            {"me": {**ME, "node_id": 9}},
            [
                f"[cluster #1.me] node_id: unknown key; allowed: {', '.join(ME_KEYS)};"
                " did you mean 'no_ping_retries'?"
            ],
        ),
        (
            {"me": ME, "neighbours": 5},
            [
                "[cluster #1] neighbours: 5 is not a list;"
                ' allowed: [ { node_id = 2, url = "bins:host:port" } ]'
            ],
        ),
        (
            {"me": ME, "neighbours": [neighbour(2), {**neighbour("3"), "urll": 1}]},
            [
                f"[cluster #1.neighbours #2] urll: unknown key; allowed: "
                f"{', '.join(NEIGHBOUR_KEYS)}; did you mean 'url'?",
                "[cluster #1.neighbours #2] node_id: '3' is not a whole number;"
                " allowed: a whole number 1 … 2147483647",
            ],
        ),
        (
            {"me": ME, "neighbours": [neighbour(2), neighbour(2), neighbour(1)]},
            [
                "[cluster #1.neighbours #2] node_id: 2 stands twice;"
                " allowed: each id once, without the own",
                "[cluster #1.neighbours #3] node_id: 1 is the own id;"
                " allowed: each id once, without the own",
            ],
        ),
    ],
)
def test_static_rows_that_cannot_be(keys: dict[str, Any], problems: list[str]) -> None:
    assert static(**keys)[1] == problems


def test_static_mode_needs_a_cluster() -> None:
    expected = "[cluster] -: is missing; allowed: static mode needs at least one [[cluster]]"
    assert read(None, "static")[1] == read([], "static")[1] == [expected]


def test_more_nodes_than_there_may_be() -> None:
    """C10"""
    rows = [neighbour(2) | {"node_id": number} for number in range(2, MAX_NODES + 1)]
    (cluster,), problems = static(me=ME, neighbours=rows)
    assert (len(cluster.neighbours) + 1, problems) == (MAX_NODES, [])
    assert static(me=ME, neighbours=[*rows, {}])[1] == [
        "[cluster #1] neighbours: 512 rows; allowed: at most 511"
    ]


def test_rows_are_checked_even_when_the_cluster_or_the_own_id_is_wrong() -> None:
    """All mistakes at once, none of them made up."""
    clusters, problems = read([{"id": 0, "me": {"url": "x"}, "neighbours": [5]}], "static", None)
    assert clusters == ()
    assert [problem.split(":")[0] for problem in problems] == [
        "[cluster #1] id",
        "[cluster #1.me] url",
        "[cluster #1.neighbours #1] -",
    ]
    (cluster,), problems = static(own_id=None, me=ME, neighbours=[neighbour(1)])
    assert (cluster.me, problems) == (None, [])


def test_with_a_wrong_mode_nothing_is_said_about_static_rows() -> None:
    assert read([{"id": 1, "me": ME}], None)[1] == []
