"""What programs that watch a node ask over HTTP: state, probes, load balancers, Prometheus."""

from __future__ import annotations

import json
import logging

import msgspec
import pytest

from tagmesh.control import http_status
from tagmesh.protocol.status import Status
from tests.control.fake_node import FakeNode, capability, make_status, tag
from tests.control.http_calls import exchange, rpc


def test_state_is_the_whole_snapshot(url: str) -> None:
    status, headers, body = exchange(url, "GET", "/api/v1/state")
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert msgspec.json.decode(body, type=Status) == make_status()


@pytest.mark.parametrize(("path", "field"), [("/healthz", "healthy"), ("/readyz", "ready")])
def test_probes_follow_the_node(url: str, node: FakeNode, path: str, field: str) -> None:
    assert exchange(url, "GET", path)[::2] == (
        200,
        json.dumps({field: True}, separators=(",", ":")).encode(),
    )
    node.current = msgspec.structs.replace(node.current, **{field: False})
    status, _, body = exchange(url, "GET", path)
    assert (status, json.loads(body)) == (503, {field: False})


@pytest.mark.parametrize(("state", "code"), [("ok", 200), ("syncing", 503), ("disabled", 503)])
def test_a_load_balancer_asks_for_one_capability(
    url: str, node: FakeNode, state: str, code: int
) -> None:
    (first, *_) = node.current.clusters
    cluster = msgspec.structs.replace(first, capabilities=[capability("a name", state=state)])
    node.current = msgspec.structs.replace(node.current, clusters=[cluster])
    where = f"/cap/{cluster.cluster_id}/a%20name"
    status, _, body = exchange(url, "GET", where)
    assert (status, json.loads(body)) == (code, {"state": state})
    for other, why in ((f"{where}s", "has no capability"), ("/cap/77/a%20name", "not in cluster")):
        status, _, body = exchange(url, "GET", other)
        assert status == 404
        assert why in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("state", "code"), [("active", 200), ("backup", 503), ("claiming", 503), ("handing_over", 503)]
)
def test_a_load_balancer_asks_for_one_sharing_tag(
    url: str, node: FakeNode, state: str, code: int
) -> None:
    (first, *_) = node.current.clusters
    cluster = msgspec.structs.replace(first, tags=[tag("vip1", state=state)])
    node.current = msgspec.structs.replace(node.current, clusters=[cluster])
    status, _, body = exchange(url, "GET", f"/tag/{cluster.cluster_id}/vip1")
    assert (status, json.loads(body)) == (code, {"state": state})
    status, _, body = exchange(url, "GET", f"/tag/{cluster.cluster_id}/vip9")
    assert status == 404
    assert "no sharing tag" in json.loads(body)["error"]


def test_metrics_are_served_as_prometheus_wants_them(url: str) -> None:
    status, headers, body = exchange(url, "GET", "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'tagmesh_link_up{cluster_id="1",node_id="2"} 1.0' in body


@pytest.mark.parametrize("path", ["/api/v1/state", "/metrics", "/tag/1/vip1", "/cap/1/x"])
def test_a_node_that_tells_nothing_is_unavailable(url: str, node: FakeNode, path: str) -> None:
    node.broken = RuntimeError("no")
    status, _, body = exchange(url, "GET", path)
    assert status == 503
    assert "does not tell its status" in json.loads(body)["error"]


def test_a_node_that_tells_late_is_not_healthy(
    url: str, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exchange(url, "GET", "/healthz")[0] == 200
    monkeypatch.setattr(http_status, "MAX_ANSWER_S", 0.0)
    status, _, body = exchange(url, "GET", "/healthz")
    assert (status, json.loads(body)) == (503, {"healthy": False})
    assert exchange(url, "GET", "/readyz")[0] == 200


def test_a_node_that_cannot_tell_its_status(
    url: str, node: FakeNode, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    node.broken = RuntimeError("stopped")
    with caplog.at_level(logging.CRITICAL):
        assert exchange(url, "GET", "/healthz")[0] == 503
        assert exchange(url, "GET", "/readyz")[0] == 503
        assert exchange(url, "GET", "/cap/1/users")[0] == 503
        status, _, body = exchange(url, "GET", "/api/v1/state")
        assert rpc(url, "clusterer_list")[1]["error"]["code"] == -32000
    assert status == 503
    assert "RuntimeError: stopped" in json.loads(body)["error"]
    assert capfd.readouterr() == ("", "")
