"""Plain HTTP requests for tests."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from typing import Any

JSON = {"Content-Type": "application/json"}
HEAD = b"POST /mi HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
"""Of a raw request, as far as it is complete."""


def exchange(
    url: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """(status, headers in lower case, body)"""
    connection = http.client.HTTPConnection(address_of(url)[0], address_of(url)[1], timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
    finally:
        connection.close()


def address_of(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def rpc(url: str, method: str, params: Any = (), **headers: str) -> tuple[int, Any]:
    request = {"jsonrpc": "2.0", "id": "1", "method": method, "params": list(params)}
    status, _, body = exchange(url, "POST", "/mi", json.dumps(request).encode(), JSON | headers)
    return status, json.loads(body)
