"""The management interface: JSON-RPC 2.0 as OpenSIPS answers it, as a function of bytes.

What OpenSIPS does beyond or against the JSON-RPC text, and clients rely on:

* positional parameters are matched to a recipe by their number, named ones by number and names;
  empty ``params`` are none; an integer may arrive as a string of digits;
* a request without ``id`` is a notification and gets no reply, unless it cannot be understood;
  ``"id": null`` is not a notification;
* a batch is an invalid request.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from .command import DONE, Argument, Command, CommandError, Kind
from .port import NodePort

MAX_REQUEST_BYTES = 64 * 1024
MAX_DEPTH = 16
"""Arrays and objects inside each other in one request."""
MIN_INT, MAX_INT = -(2**31), 2**31 - 1
"""Integers are C ints in OpenSIPS."""

READ_ONLY = "[admin] read_only = true: commands that change something are refused"
PARSE_ERROR = (-32700, "Parse error")
INVALID_REQUEST = (-32600, "Invalid Request")
METHOD_NOT_FOUND = (-32601, "Method not found")
INVALID_PARAMS = (-32602, "Invalid params")
SERVER_ERROR = (-32000, "Server error")

_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")

_log = logging.getLogger("tagmesh.mi")

Id = int | float | str | None | msgspec.UnsetType
"""The id of a request; UNSET: a notification."""


@dataclasses.dataclass(frozen=True)
class Call:
    """A request that names a command and fits one of its recipes."""

    request_id: Id
    command: Command
    arguments: Mapping[str, Argument]

    def shown(self) -> str:
        """The arguments, for people."""
        return ", ".join(f"{name}={value}" for name, value in self.arguments.items())


class _Failure(Exception):  # noqa: N818 - not raised to callers
    """An error reply: (code, message) and data."""

    def __init__(self, error: tuple[int, str], data: str = "") -> None:
        super().__init__(error, data)
        self.error = error
        self.data = data


def run_here(
    port: NodePort, table: Mapping[str, Command], method: str, params: list[Any] | dict[str, Any]
) -> Any:
    """What a command returns, for programs in this process. Raises `CommandError`."""
    request = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
    reply = msgspec.json.decode(handle(msgspec.json.encode(request), table, port) or b"{}")
    if "error" in reply:
        error = reply["error"]
        raise CommandError(error["code"], error["message"], error.get("data", ""))
    return reply["result"]


def handle(request: bytes, table: Mapping[str, Command], port: NodePort) -> bytes | None:
    """The reply to one request; None when there is none to send. Raises nothing."""
    call = parse(request, table)
    return answer(call, port) if isinstance(call, Call) else call


def parse(request: bytes, table: Mapping[str, Command]) -> Call | bytes | None:
    """The call a request asks for, or else the reply that says what is wrong with it.

    Separate from `answer` so that a server can look at ``command.waits`` before it runs anything.
    """
    request_id: Id = msgspec.UNSET
    try:
        envelope = _envelope(request)
        request_id = _request_id(envelope)
        command, arguments = _command(envelope, table)
    except _Failure as failure:
        return _error(request_id, *failure.error, failure.data)
    return Call(request_id, command, arguments)


def answer(call: Call, port: NodePort, who: str = "mi") -> bytes | None:
    """Run the command; the reply, or None for a notification. Raises nothing.

    ``who`` asks, for the audit of what is changed.
    """
    command = call.command
    outcome = DONE
    try:
        result = command.run(port, **call.arguments)
        return _reply(call.request_id, {"result": result})
    except CommandError as error:
        outcome = str(error)
        return _error(call.request_id, error.code, error.message, error.data)
    except Exception:  # noqa: BLE001 - the caller gets a reply, the log the traceback
        outcome = "failed, see the log"
        _log.exception("command %s failed", command.name, extra={"event": "mi_failed"})
        return _error(call.request_id, *SERVER_ERROR, "Command handler returned null")
    finally:
        if command.changing:
            port.note(who, command.name, call.shown(), outcome)


def refuse(call: Call, why: str) -> bytes | None:
    """The reply to somebody who may not have this done."""
    return _error(call.request_id, 403, "Not allowed", why)


def _envelope(request: bytes) -> dict[str, Any]:
    if len(request) > MAX_REQUEST_BYTES:
        raise _Failure(INVALID_REQUEST, f"a request has at most {MAX_REQUEST_BYTES} bytes")
    try:
        envelope = msgspec.json.decode(request)
    except (ValueError, RecursionError) as error:
        raise _Failure(PARSE_ERROR) from error
    if not isinstance(envelope, dict):
        raise _Failure(INVALID_REQUEST, "a request is one JSON object; batches are not supported")
    if _too_deep(envelope):
        raise _Failure(INVALID_REQUEST, f"a request is at most {MAX_DEPTH} levels deep")
    return envelope


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return any(isinstance(item, dict | list) for item in level)


def _request_id(envelope: dict[str, Any]) -> Id:
    value = envelope.get("id", msgspec.UNSET)
    good = value is None or value is msgspec.UNSET or isinstance(value, str | float)
    if isinstance(value, int) and not isinstance(value, bool):
        good = -(2**63) <= value < 2**63
    if not good:
        raise _Failure(INVALID_REQUEST, "id must be a string, a 64-bit number or null")
    return cast("Id", value)


def _command(
    envelope: dict[str, Any], table: Mapping[str, Command]
) -> tuple[Command, dict[str, Argument]]:
    """(command, its arguments by name)"""
    method, params = envelope.get("method"), envelope.get("params", [])
    if envelope.get("jsonrpc") != "2.0":
        raise _Failure(INVALID_REQUEST, 'the member "jsonrpc" must be "2.0"')
    if not isinstance(method, str):
        raise _Failure(INVALID_REQUEST, 'the member "method" must be a string')
    if not isinstance(params, list | dict):
        raise _Failure(INVALID_REQUEST, 'the member "params" must be an array or an object')
    if method not in table:
        near = difflib.get_close_matches(method[:64], table, n=1)
        raise _Failure(METHOD_NOT_FOUND, f"did you mean '{near[0]}'?" if near else "")
    command = table[method]
    recipe = _positional(command, params) if isinstance(params, list) else _named(command, params)
    values = params if isinstance(params, list) else [params[name] for name in recipe]
    return command, {
        name: _argument(name, command.types[name], value)
        for name, value in zip(recipe, values, strict=True)
    }


def _positional(command: Command, params: list[Any]) -> tuple[str, ...]:
    if params and command.named_only:
        raise _Failure(INVALID_PARAMS, "Command only supports named parameters")
    fitting = [recipe for recipe in command.recipes if len(recipe) == len(params)]
    if not fitting:
        raise _Failure(INVALID_PARAMS, "Too few or too many parameters")
    if len(fitting) > 1:
        raise _Failure(INVALID_PARAMS, "Ambiguous call, use named parameters instead")
    return fitting[0]


def _named(command: Command, params: dict[str, Any]) -> tuple[str, ...]:
    fitting = [recipe for recipe in command.recipes if len(recipe) == len(params)]
    if not fitting:
        raise _Failure(INVALID_PARAMS, "Too few or too many parameters")
    for recipe in fitting:
        if set(recipe) == set(params):
            return recipe
    raise _Failure(INVALID_PARAMS, "Named parameters do not match")


def _argument(name: str, kind: Kind, value: object) -> Argument:
    bad = _Failure(INVALID_PARAMS, f"Bad type for parameter '{name}'")
    if kind is list:
        if not isinstance(value, list):
            raise bad
        if any(isinstance(item, bool) or not isinstance(item, int | str) for item in value):
            raise bad
        return [str(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise bad
    if kind is str:
        return str(value)
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise bad
    if not MIN_INT <= int(value) <= MAX_INT:
        raise bad
    return int(value)


def _error(request_id: Id, code: int, message: str, data: str) -> bytes | None:
    if request_id is msgspec.UNSET:
        if (code, message) not in (PARSE_ERROR, INVALID_REQUEST):
            return None
        request_id = None
    error = {"code": code, "message": message, **({"data": data} if data else {})}
    return _reply(request_id, {"error": error})


def _reply(request_id: Id, outcome: dict[str, Any]) -> bytes | None:
    if request_id is msgspec.UNSET:
        return None
    return msgspec.json.encode({"jsonrpc": "2.0", **outcome, "id": request_id})
