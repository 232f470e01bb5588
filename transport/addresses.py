"""Host names and addresses: how a ``bins:`` URL becomes something to bind or connect to."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, NamedTuple

import gevent

from ..protocol.errors import Misuse
from ..protocol.identity import BinsUrl

RESOLVE_TIMEOUT_S = 2.0
"""A name server that does not answer must not hold up more than this one attempt (H20)."""


class Address(NamedTuple):
    """One thing to bind or connect to."""

    family: int
    sockaddr: tuple[Any, ...]


def literal(url: BinsUrl) -> Address | None:
    """The address in ``url`` when it needs no name server."""
    try:
        ip = ipaddress.ip_address(url.host)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv4Address):
        return Address(socket.AF_INET, (url.host, url.port))
    host, _, scope = url.host.partition("%")
    try:
        index = socket.if_nametoindex(scope) if scope else 0
    except OSError:
        return None
    return Address(socket.AF_INET6, (host, url.port, 0, index))


def resolve(url: BinsUrl) -> list[Address]:
    """All addresses of the name in ``url``; `Misuse` says why there are none.

    Waits (at most `RESOLVE_TIMEOUT_S`) in the calling greenlet; the query runs in gevent's thread
    pool, so the hub goes on.
    """
    address = literal(url)
    if address is not None:
        return [address]
    found = None
    with gevent.Timeout(RESOLVE_TIMEOUT_S, False):
        try:
            found = gevent.get_hub().resolver.getaddrinfo(
                url.host, url.port, socket.AF_UNSPEC, socket.SOCK_STREAM
            )
        except Exception as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise Misuse(f"name {url.host!a} cannot be resolved: {why}") from error
    if not found:
        raise Misuse(f"name {url.host!a} cannot be resolved within {RESOLVE_TIMEOUT_S:g} s")
    unique = dict.fromkeys(Address(family, sockaddr) for family, _, _, _, sockaddr in found)
    return list(unique)


def shown_address(sockaddr: Any) -> str:
    """``host:port`` for people."""
    if not isinstance(sockaddr, tuple) or len(sockaddr) < 2:
        return "unknown"
    host, port = sockaddr[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
