"""What the HTTP face tells of the node's status, to programs that watch it.

``GET /api/v1/state``: the whole snapshot. ``GET /healthz`` and ``GET /readyz``: 200 or 503. For
load balancers ``GET /cap/<cluster>/<name>``: 200 while that capability is OK on this node, and
``GET /tag/<cluster>/<tag>``: 200 while that sharing tag is active here; else 503. ``GET /metrics``:
for Prometheus.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

import flask
import msgspec
from werkzeug.exceptions import NotFound, ServiceUnavailable

from ..protocol.status import ClusterStatus, Status
from .asking import Asking
from .port import NodePort

OPEN = frozenset(f"status.{name}" for name in ("healthz", "readyz", "cap", "tag"))
"""Asked without the token: they tell load balancers a word each."""

MAX_ANSWER_S = 1.0
"""A node that takes longer to tell its status is not healthy: its hub lags."""

_log = logging.getLogger("tagmesh.http")


@dataclasses.dataclass(frozen=True)
class _Snapshot:
    """A status, or why there is none."""

    status: Status | None
    error: str = ""


def status_routes(node: Asking) -> flask.Blueprint:
    """To be registered with the application."""
    routes = flask.Blueprint("status", __name__)

    @routes.get("/api/v1/state")
    def state() -> flask.Response:
        return _state(node)

    @routes.get("/healthz")
    def healthz() -> flask.Response:
        begin = time.monotonic()
        return _probe(
            node,
            "healthy",
            lambda status: status.healthy and time.monotonic() - begin < MAX_ANSWER_S,
        )

    @routes.get("/readyz")
    def readyz() -> flask.Response:
        return _probe(node, "ready", lambda status: status.ready)

    @routes.get("/cap/<int:cluster>/<path:name>")
    def cap(cluster: int, name: str) -> flask.Response:
        return _capability(node, cluster, name)

    @routes.get("/tag/<int:cluster>/<path:name>")
    def tag(cluster: int, name: str) -> flask.Response:
        return _tag(node, cluster, name)

    @routes.get("/metrics")
    def metrics() -> flask.Response:
        return _metrics(node)

    return routes


def _snapshot(port: NodePort) -> _Snapshot:
    try:
        return _Snapshot(port.status())
    except Exception as error:  # noqa: BLE001 - the caller gets a reply, the log the traceback
        _log.exception("no status", extra={"event": "status_failed"})
        return _Snapshot(None, f"{type(error).__name__}: {error}")


def _state(node: Asking) -> flask.Response:
    response = as_json(_status(node))
    response.cache_control.no_store = True
    return response


def _status(node: Asking) -> Status:
    snapshot = node.call(_snapshot)
    if snapshot.status is None:
        raise ServiceUnavailable(f"the node does not tell its status: {snapshot.error}")
    return snapshot.status


def _metrics(node: Asking) -> flask.Response:
    from .metrics import CONTENT_TYPE, exposition  # prometheus-client is needed only here

    return flask.Response(exposition(_status(node)), content_type=CONTENT_TYPE)


def _probe(node: Asking, name: str, good: Callable[[Status], bool]) -> flask.Response:
    snapshot = node.call(_snapshot)
    passed = snapshot.status is not None and good(snapshot.status)
    return as_json({name: passed}, 200 if passed else 503)


def _capability(node: Asking, cluster_id: int, name: str) -> flask.Response:
    named = [(c.name, c.state) for c in _cluster(node, cluster_id).capabilities]
    return _standing(named, "ok", name, f"capability in cluster {cluster_id}")


def _tag(node: Asking, cluster_id: int, name: str) -> flask.Response:
    named = [(t.name, t.state) for t in _cluster(node, cluster_id).tags]
    return _standing(named, "active", name, f"sharing tag in cluster {cluster_id}")


def _cluster(node: Asking, cluster_id: int) -> ClusterStatus:
    for cluster in _status(node).clusters:
        if cluster.cluster_id == cluster_id:
            return cluster
    raise NotFound(f"this node is not in cluster {cluster_id}")


def _standing(named: list[tuple[str, str]], good: str, name: str, what: str) -> flask.Response:
    states = dict(named)
    if name not in states:
        raise NotFound(f"this node has no {what} with the name {ascii(name)[:80]}")
    return as_json({"state": states[name]}, 200 if states[name] == good else 503)


def as_json(value: Any, status: int = 200) -> flask.Response:
    """A reply of one JSON document."""
    return flask.Response(msgspec.json.encode(value), status, mimetype="application/json")
