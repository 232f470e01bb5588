"""What the HTTP face answers, and whom: Flask.

``POST /mi``: JSON-RPC. ``GET /events``: a stream, see `sse`. The rest is in `http_status`.

A web page that somebody opens on this machine can make the browser send requests here. Three
checks stop it: JSON-RPC must be declared as ``application/json``, which a page may send to another
origin only after asking, and nothing here says yes; ``Host`` must name this machine, so a foreign
name that resolves to 127.0.0.1 does not help; ``Origin``, which browsers add, must be our own. Off
loopback a machine has names that nobody told us, so there the token stands in for ``Host``: no page
knows it.
"""

from __future__ import annotations

import flask
from werkzeug.exceptions import (
    Forbidden,
    HTTPException,
    LengthRequired,
    MethodNotAllowed,
    ServiceUnavailable,
    Unauthorized,
    UnsupportedMediaType,
)

from . import mi, sse
from .asking import Asking
from .http_status import OPEN, as_json, status_routes
from .token import admits


def application(node: Asking, host: str | None, token: str) -> flask.Flask:
    """``host``: the loopback address served on, None: not on loopback; ``token``: what callers must
    know, empty: nothing."""
    assert host is not None or token, "who serves checks that"
    app = flask.Flask("tagmesh", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = mi.MAX_REQUEST_BYTES
    app.register_blueprint(status_routes(node))
    streams = sse.Streams(node)
    hosts = None if host is None else _loopback_hosts(host)

    @app.before_request
    def check() -> None:
        _check_caller(hosts)
        if flask.request.endpoint not in OPEN:
            _check_token(token)

    @app.post("/mi")
    def manage() -> flask.Response:
        return _manage(node)

    @app.get("/events")
    def events() -> flask.Response:
        return _events(streams)

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> flask.Response:
        response = as_json({"error": error.description}, error.code or 500)
        if isinstance(error, Unauthorized):
            response.headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.allow.update(error.valid_methods)
        return response

    return app


def _loopback_hosts(host: str) -> set[str]:
    return {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host}


def _check_token(token: str) -> None:
    if not admits(token, flask.request.headers.get("Authorization", "")):
        raise Unauthorized(
            "the request needs Authorization: Bearer and the content of [admin] token_file"
        )


def _check_caller(hosts: set[str] | None) -> None:
    """Raise `Forbidden` when a foreign web page may be behind the request."""
    host = flask.request.headers.get("Host", "")
    name, colon, number = host.rpartition(":")
    name = name if colon and number.isdigit() else host
    if hosts is not None and name.lower() not in hosts:
        raise Forbidden(f"the Host header must be one of {', '.join(sorted(hosts))}")
    origin = flask.request.headers.get("Origin")
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        raise Forbidden("the Origin header names another site")


def _manage(node: Asking) -> flask.Response:
    if flask.request.mimetype != "application/json":
        raise UnsupportedMediaType("the request needs Content-Type: application/json")
    if flask.request.content_length is None:  # werkzeug would cut a longer body silently
        raise LengthRequired
    reply = node.manage(flask.request.get_data())
    if reply is None:
        return flask.Response(status=202)
    return flask.Response(reply, mimetype="application/json")


def _events(streams: sse.Streams) -> flask.Response:
    if streams.full:
        raise ServiceUnavailable(f"there are {sse.MAX_STREAMS} streams of events already")
    after = flask.request.headers.get("Last-Event-ID", flask.request.args.get("after"))
    response = flask.Response(streams.begin(after), mimetype="text/event-stream")
    response.cache_control.no_store = True
    return response
