"""A small client of the HTTP face, from the standard library, for ``tagmesh ctl``."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..protocol.errors import Misuse, TagmeshError
from ..protocol.status import Status

DEFAULT_URL = "http://127.0.0.1:8888"
TIMEOUT_S = 5.0
"""Longest wait for a byte of the reply; longer than any command waits itself."""
MAX_REPLY_BYTES = 16 * 1024 * 1024


class NoAnswer(TagmeshError):  # noqa: N818 - a term of the command line: exit code 5
    """The instance cannot be reached, or what answers there is not tagmesh."""


class MiError(TagmeshError):
    """The instance answered with an error: ``code``, ``message`` and, often, ``data``."""

    def __init__(self, code: int, message: str, data: str = "") -> None:
        super().__init__(f"{message} ({data})" if data else message)
        self.code = code
        self.message = message
        self.data = data


class MiClient:
    """Talks to one instance. ``url``: ``http://host:port``, a path ``/mi`` at its end is fine."""

    def __init__(
        self, url: str = DEFAULT_URL, timeout_s: float = TIMEOUT_S, *, token: str = ""
    ) -> None:
        """``token``: what the instance wants to hear, if it wants something."""
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url = url.rstrip("/").removesuffix("/mi")
        try:
            parts = urllib.parse.urlsplit(self.url)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # a port that is none, a bracket that does not close
            good = False
        if not good:
            raise Misuse(f"{url!a} is no address of an instance; write {DEFAULT_URL}")
        self._timeout_s = timeout_s
        # No proxy: the instance listens on loopback, and $http_proxy must not see the requests.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def beside(self, url: str) -> MiClient:
        """For another instance, with the same token."""
        other = MiClient(url, self._timeout_s)
        other._headers = self._headers
        return other

    def call(self, method: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
        """The result of a command. Raises `MiError` or `NoAnswer`."""
        named = isinstance(params, Mapping)
        request = {
            "jsonrpc": "2.0",
            "id": "1",
            "method": method,
            "params": dict(params) if named else list(params),
        }
        reply = self._json(self._exchange("/mi", json.dumps(request).encode()))
        if not isinstance(reply, dict):
            raise self._stranger("its reply is no JSON object")
        if "error" in reply:
            raise self._error(reply["error"])
        if "result" not in reply:
            raise self._stranger("its reply has neither a result nor an error")
        return reply["result"]

    def state(self) -> tuple[Status, Any]:
        """The snapshot, typed and as the JSON that came. Raises `NoAnswer` or `MiError`."""
        body = self._exchange("/api/v1/state", None)
        raw = self._json(body)
        try:
            return msgspec.json.decode(body, type=Status), raw
        except msgspec.ValidationError as error:
            raise self._stranger(f"its status has another form ({error})") from error

    def _exchange(self, path: str, body: bytes | None) -> bytes:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            request = urllib.request.Request(self.url + path, body, headers)  # noqa: S310 - checked
            with self._opener.open(request, timeout=self._timeout_s) as response:
                reply: bytes = response.read(MAX_REPLY_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error.code, error.read(MAX_REPLY_BYTES)) from error
        except urllib.error.URLError as error:
            raise self._silent(error.reason) from error
        except OSError as error:
            raise self._silent(error) from error
        except http.client.HTTPException as error:
            raise self._stranger(f"it does not speak HTTP ({type(error).__name__})") from error
        if len(reply) > MAX_REPLY_BYTES:
            raise self._stranger(f"its reply is longer than {MAX_REPLY_BYTES} bytes")
        return reply

    def _json(self, body: bytes) -> Any:
        try:
            return msgspec.json.decode(body)
        except (ValueError, RecursionError) as error:
            raise self._stranger("its reply is not JSON") from error

    def _error(self, error: Any) -> TagmeshError:
        try:
            code, message, data = error["code"], str(error["message"]), error.get("data", "")
            return MiError(int(code), message, str(data))
        except (TypeError, KeyError, ValueError, AttributeError):
            return self._stranger("its error has another form")

    def _refused(self, status: int, body: bytes) -> TagmeshError:
        try:
            text = str(msgspec.json.decode(body)["error"])
        except (ValueError, RecursionError, TypeError, KeyError):
            return self._stranger(f"it answers HTTP {status}")
        return MiError(status, f"HTTP {status}", text)

    def _silent(self, why: object) -> NoAnswer:
        text = getattr(why, "strerror", None) or str(why) or type(why).__name__
        return NoAnswer(
            f"no answer from {self.url}: {text}\n"
            "Is the node running, with [admin] http set in its configuration? Start it with "
            "'tagmesh node run', or name another instance with --url or $TAGMESH_URL."
        )

    def _stranger(self, what: str) -> NoAnswer:
        return NoAnswer(
            f"what answers at {self.url} is not a tagmesh of this version: {what}\n"
            "Compare the port with [admin] http of the node, or name another with --url."
        )
