"""The HTTP face on gevent's server: for programs and people on the same machine, and for others
who know a token.

What it answers stands in `http_routes` and `http_status`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
from typing import Any

import gevent.socket
from gevent.pywsgi import WSGIHandler, WSGIServer

from ..protocol.errors import Misuse
from .asking import Asking
from .http_routes import application
from .port import NodePort

MAX_CONNECTIONS = 128
IDLE_TIMEOUT_S = 15.0
"""A connection that neither sends nor takes a byte for so long is closed."""
STOP_TIMEOUT_S = 0.5
"""How long requests under way may take to end when the server stops."""
MAX_LOGGED_CHARS = 128

_log = logging.getLogger("tagmesh.http")


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
    """Serve on ``host:port``; port 0 takes a free one.

    ``token``: what callers must know, empty: nothing; see `token`. Raises `Misuse` when the
    address is malformed, is not on loopback and there is no token, or cannot be bound.
    """
    host, number, local = _parse(address)
    if not local and not token:
        raise Misuse(
            f"[admin] http = {address!a}: off loopback whoever reaches this port would manage the "
            "node; set token_file, or use 127.0.0.1 and reach it from elsewhere through ssh -L or "
            "a proxy that authenticates"
        )
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
    node = Asking(port, "http", read_only=read_only)
    server = WSGIServer(
        listener,
        application(node, host if local else None, token),
        log=None,
        error_log=None,
        handler_class=_Handler,
        spawn=MAX_CONNECTIONS,
    )
    server.start()
    shown = f"[{host}]" if ":" in host else host
    return HttpServer(server, node, f"http://{shown}:{listener.getsockname()[1]}")


def _parse(address: str) -> tuple[str, int, bool]:
    """(host, port, is it on loopback)"""
    host, colon, number = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (number.isascii() and number.isdigit()) or int(number) > 65535:
        raise Misuse(f'[admin] http = {address!a}: must have the form "127.0.0.1:8888"')
    if host == "localhost":
        return "127.0.0.1", int(number), True
    try:
        return host, int(number), ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise Misuse(f"[admin] http = {address!a}: {host!a} is no IP address") from error


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
