"""The HTTP face: Flask on gevent's server, for programs and people on the same machine.

``POST /mi``: JSON-RPC. ``GET /api/v1/state``: the whole snapshot. ``GET /healthz`` and
``GET /readyz``: 200 or 503. For load balancers ``GET /cap/<cluster>/<name>``: 200 while that
capability is OK on this node, and ``GET /tag/<cluster>/<tag>``: 200 while that sharing tag is
active here; else 503. ``GET /metrics``: for Prometheus. ``GET /events``: a stream, see `sse`.

A web page that somebody opens on this machine can make the browser send requests here. Three
checks stop it: JSON-RPC must be declared as ``application/json``, which a page may send to another
origin only after asking, and nothing here says yes; ``Host`` must name this machine, so a foreign
name that resolves to 127.0.0.1 does not help; ``Origin``, which browsers add, must be our own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import logging
from collections.abc import Callable
from typing import Any

import flask
import gevent.socket
import msgspec
from gevent.pywsgi import WSGIHandler, WSGIServer
from werkzeug.exceptions import (
    Forbidden,
    HTTPException,
    LengthRequired,
    MethodNotAllowed,
    NotFound,
    ServiceUnavailable,
    Unauthorized,
    UnsupportedMediaType,
)

from ..protocol.errors import Misuse
from ..protocol.status import ClusterStatus, Status
from . import mi, sse
from .asking import Asking
from .port import NodePort
from .token import admits

MAX_CONNECTIONS = 128
IDLE_TIMEOUT_S = 15.0
"""A connection that neither sends nor takes a byte for so long is closed."""
STOP_TIMEOUT_S = 0.5
"""How long requests under way may take to end when the server stops."""
MAX_LOGGED_CHARS = 128
OPEN = frozenset(["healthz", "readyz", "cap", "tag"])
"""Asked without the token: they tell load balancers a word each."""

_log = logging.getLogger("tagmesh.http")


@dataclasses.dataclass(frozen=True)
class _Snapshot:
    """A status, or why there is none."""

    status: Status | None
    error: str = ""


class HttpServer:
    """A running server. It serves in the hub of the thread that called `serve`."""

    def __init__(self, server: WSGIServer, node: Asking, url: str) -> None:
        self._server = server
        self._node = node
        self.url = url
        """``http://host:port``, without a path."""

    def stop(self) -> None:
        """Stop accepting, give requests under way `STOP_TIMEOUT_S`, free the port."""
        self._server.stop(timeout=STOP_TIMEOUT_S)
        self._node.close()


def serve(port: NodePort, address: str, *, token: str = "", read_only: bool = False) -> HttpServer:
    """Serve on ``host:port``, a loopback address; port 0 takes a free one.

    ``token``: what callers must know, empty: nothing; see `token`.
    Raises `Misuse` when the address is malformed, not on loopback, or cannot be bound.
    """
    host, number = _loopback(address)
    family = gevent.socket.AF_INET6 if ":" in host else gevent.socket.AF_INET
    listener = gevent.socket.socket(family, gevent.socket.SOCK_STREAM)
    try:
        listener.setsockopt(gevent.socket.SOL_SOCKET, gevent.socket.SO_REUSEADDR, 1)
        listener.bind((host, number))
        listener.listen(MAX_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise Misuse(
            f"[admin] http = {address!a}: cannot listen there: {error.strerror}; "
            "choose another port, or port 0 for a free one"
        ) from error
    node = Asking(port, read_only=read_only)
    server = WSGIServer(
        listener,
        _application(node, host, token),
        log=None,
        error_log=None,
        handler_class=_Handler,
        spawn=MAX_CONNECTIONS,
    )
    server.start()
    shown = f"[{host}]" if ":" in host else host
    return HttpServer(server, node, f"http://{shown}:{listener.getsockname()[1]}")


def _loopback(address: str) -> tuple[str, int]:
    host, colon, number = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (number.isascii() and number.isdigit()) or int(number) > 65535:
        raise Misuse(f'[admin] http = {address!a}: must have the form "127.0.0.1:8888"')
    if host == "localhost":
        return "127.0.0.1", int(number)
    try:
        on_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        on_loopback = False
    if not on_loopback:
        raise Misuse(
            f"[admin] http = {address!a}: only a loopback address is allowed, because whoever "
            "reaches this port manages the node; use 127.0.0.1 and reach it from elsewhere through "
            "ssh -L or a proxy that authenticates"
        )
    return host, int(number)


class _Handler(WSGIHandler):  # type: ignore[misc]
    """A client that vanishes, stalls or talks nonsense is not our error: no traceback for it.

    gevent prints one for every socket error but two (gevent #1852).
    """

    def handle(self) -> None:
        self.socket.settimeout(IDLE_TIMEOUT_S)
        reader = self.rfile
        try:
            super().handle()
        except OSError as error:
            self.log_error("%s", error)
        finally:
            # gevent leaves it to the collector, which may come when the hub is gone already
            with contextlib.suppress(OSError):
                reader.close()

    def handle_error(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if isinstance(error, OSError):
            self.close_connection = True
            self.log_error("%s", error)
        else:
            super().handle_error(kind, error, trace)

    def _handle_client_error(self, error: Exception) -> Any:
        if isinstance(error, OSError):
            self.log_error("%s", error)
            return None
        return super()._handle_client_error(error)

    def log_error(self, msg: str, *args: object) -> None:
        text = ascii(msg % args if args else msg)[:MAX_LOGGED_CHARS]
        _log.debug("request from %s: %s", self.client_address, text, extra={"event": "http_client"})


def _application(node: Asking, host: str, token: str) -> flask.Flask:
    app = flask.Flask("tagmesh", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = mi.MAX_REQUEST_BYTES
    streams = sse.Streams(node)
    hosts = {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host}

    @app.before_request
    def same_machine() -> None:
        _check_caller(hosts)
        if flask.request.endpoint not in OPEN and not admits(
            token, flask.request.headers.get("Authorization", "")
        ):
            raise Unauthorized(
                "the request needs Authorization: Bearer and the content of [admin] token_file"
            )

    @app.post("/mi")
    def manage() -> flask.Response:
        if flask.request.mimetype != "application/json":
            raise UnsupportedMediaType("the request needs Content-Type: application/json")
        if flask.request.content_length is None:  # werkzeug would cut a longer body silently
            raise LengthRequired
        return _manage(node, flask.request.get_data())

    @app.get("/api/v1/state")
    def state() -> flask.Response:
        return _state(node)

    @app.get("/healthz")
    def healthz() -> flask.Response:
        return _probe(node, "healthy", lambda status: status.healthy)

    @app.get("/readyz")
    def readyz() -> flask.Response:
        return _probe(node, "ready", lambda status: status.ready)

    @app.get("/cap/<int:cluster>/<path:name>")
    def cap(cluster: int, name: str) -> flask.Response:
        return _capability(node, cluster, name)

    @app.get("/tag/<int:cluster>/<path:name>")
    def tag(cluster: int, name: str) -> flask.Response:
        return _tag(node, cluster, name)

    @app.get("/metrics")
    def metrics() -> flask.Response:
        return _metrics(node)

    @app.get("/events")
    def events() -> flask.Response:
        if streams.full:
            raise ServiceUnavailable(f"there are {sse.MAX_STREAMS} streams of events already")
        after = flask.request.headers.get("Last-Event-ID", flask.request.args.get("after"))
        response = flask.Response(streams.begin(after), mimetype="text/event-stream")
        response.cache_control.no_store = True
        return response

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> flask.Response:
        response = _json({"error": error.description}, error.code or 500)
        if isinstance(error, Unauthorized):
            response.headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.allow.update(error.valid_methods)
        return response

    return app


def _check_caller(hosts: set[str]) -> None:
    """Raise `Forbidden` when a foreign web page may be behind the request."""
    host = flask.request.headers.get("Host", "")
    name, colon, number = host.rpartition(":")
    name = name if colon and number.isdigit() else host
    if name.lower() not in hosts:
        raise Forbidden(f"the Host header must be one of {', '.join(sorted(hosts))}")
    origin = flask.request.headers.get("Origin")
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        raise Forbidden("the Origin header names another site")


def _manage(node: Asking, body: bytes) -> flask.Response:
    reply = node.manage(body)
    if reply is None:
        return flask.Response(status=202)
    return flask.Response(reply, mimetype="application/json")


def _snapshot(port: NodePort) -> _Snapshot:
    try:
        return _Snapshot(port.status())
    except Exception as error:  # noqa: BLE001 - the caller gets a reply, the log the traceback
        _log.exception("no status", extra={"event": "status_failed"})
        return _Snapshot(None, f"{type(error).__name__}: {error}")


def _state(node: Asking) -> flask.Response:
    response = _json(_status(node))
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
    return _json({name: passed}, 200 if passed else 503)


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
    return _json({"state": states[name]}, 200 if states[name] == good else 503)


def _json(value: Any, status: int = 200) -> flask.Response:
    return flask.Response(msgspec.json.encode(value), status, mimetype="application/json")
