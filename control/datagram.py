"""The management interface over datagrams, UDP or Unix, as mi_datagram of OpenSIPS has it.

One datagram is one request and gets one datagram back, where the request came from. A Unix socket
is the node owner's alone (mode 0600); UDP is on loopback only, where every user of this machine can
reach it.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import msgspec
from gevent.pool import Pool

from ..protocol.errors import Misuse
from . import mi, private_files
from .asking import Asking
from .port import NodePort

MAX_REPLY_BYTES = 32 * 1024
"""The buffer of the OpenSIPS package for Python: of a longer reply its clients lose the end."""
MAX_PARALLEL = 32
"""Requests under way; more of them wait in the kernel, which drops them when that is too much."""
SEND_TIMEOUT_S = 2.0
"""How long a client's full buffer may stop a reply."""

RETRY_S = 0.01
"""After an error of the socket; without a pause one that lasts would stop the node."""

_log = logging.getLogger("tagmesh.mi")


class DatagramServer:
    """A running server. It serves in the hub of the thread that made it."""

    def __init__(self, port: NodePort, address: str, *, read_only: bool = False) -> None:
        """Bind ``udp:host:port`` or ``unix:path`` and serve; UDP port 0 takes a free one.

        Raises `Misuse` when the address is malformed, not on loopback, or not ours to use.
        """
        kind, _, place = address.partition(":")
        self._path: Path | None = None
        if kind == "unix":
            self._path = Path(place)
            bound, self._identity = private_files.bind_datagram(self._path)
        elif kind == "udp":
            bound = _bind_udp(place)
        else:
            raise Misuse(f"{address!a}: must begin with udp: or unix:")
        self._socket = gevent.socket.socket(fileno=bound.detach())
        self._asking = Asking(port, "datagram", read_only=read_only)
        self._answers = Pool(MAX_PARALLEL)
        self._reader = gevent.spawn(self._read)

    @property
    def address(self) -> str:
        """Where it listens, as it is written in the configuration."""
        if self._path is not None:
            return f"unix:{self._path}"
        host, number = self._socket.getsockname()[:2]
        return f"udp:[{host}]:{number}" if ":" in host else f"udp:{host}:{number}"

    def stop(self) -> None:
        """Stop reading, give up requests under way, remove the socket."""
        self._reader.kill()
        self._answers.kill()
        self._socket.close()
        if self._path is not None:
            private_files.remove(self._path, self._identity)
        self._asking.close()

    def _read(self) -> None:
        while True:
            try:
                request, sender = self._socket.recvfrom(mi.MAX_REQUEST_BYTES + 1)
            except OSError as error:  # an earlier reply met nobody, or no memory is left
                _log.debug("datagram: %s", error, extra={"event": "mi_datagram_error"})
                gevent.sleep(RETRY_S)
                continue
            self._answers.spawn(self._answer, request, sender)

    def _answer(self, request: bytes, sender: Any) -> None:
        reply = self._asking.manage(request)
        if reply is None or not sender:  # a Unix client without an address cannot be answered
            return
        if len(reply) > MAX_REPLY_BYTES:
            reply = _too_large(reply)
        try:
            with gevent.Timeout(SEND_TIMEOUT_S, False):
                self._socket.sendto(reply, sender)
        except OSError as error:
            _log.debug("no reply: %s", error, extra={"event": "mi_reply_failed"})


class _Answered(msgspec.Struct):
    """What is needed of a reply to put another in its place."""

    id: mi.Id


def _too_large(reply: bytes) -> bytes:
    code, message = mi.SERVER_ERROR
    data = "reply too large for datagram; ask over HTTP or the fifo"
    error = {"code": code, "message": message, "data": data}
    answered = msgspec.json.decode(reply, type=_Answered)
    return msgspec.json.encode({"jsonrpc": "2.0", "error": error, "id": answered.id})


def _bind_udp(place: str) -> socket.socket:
    host, _, number = place.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        if not ipaddress.ip_address(host).is_loopback:
            raise Misuse(f"udp:{place!a}: only a loopback address is allowed")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_DGRAM)
    except ValueError as error:
        raise Misuse(f'udp:{place!a}: must have the form "udp:127.0.0.1:8080"') from error
    try:
        bound.bind((host, int(number)))
    except (OSError, ValueError, OverflowError) as error:
        bound.close()
        raise Misuse(
            f"[admin] datagram: cannot listen at udp:{place!a}: {error}; choose another port"
        ) from error
    bound.setblocking(False)
    return bound
