"""Commands from node to node: each node answers what the role it gives the asker allows (I-2, I-3).

A request carries a JSON-RPC request as the faces for people take it, and a key: a changing command
that comes again under its key is not done again, the first reply is repeated (B15).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from ..capabilities.background import Run
from ..capabilities.pending import Reply
from ..capabilities.requests import Requests
from ..protocol.config import AdminSettings
from ..protocol.errors import Misuse
from ..protocol.identity import NodeId
from ..protocol.roles import ROLES
from . import mi
from .command import Command
from .port import NodePort

PARALLEL = 4
"""Commands of other nodes that are done at the same time."""
MAX_KEY_CHARS = 64
KEPT_KEYS = 1000
"""Changing commands whose replies are kept, for when they are asked for again."""
KEPT_S = 600.0
"""For how long."""


class RemoteCommands(Requests):
    """The capability of one cluster. Switched off, no other node can have this one do anything."""

    name = "tagmesh-commands"

    def __init__(
        self, port: NodePort, table: Mapping[str, Command], settings: AdminSettings, run: Run
    ) -> None:
        super().__init__(run=run, parallel=PARALLEL)
        self._node = port
        self._table = table
        self._default = ROLES[settings.remote]
        self._roles = dict(settings.remote_nodes)
        self._read_only = settings.read_only
        self._done = Done()
        self.on_request(self._serve)

    def ask(self, node: int, key: str, request: bytes, timeout_s: float) -> Reply:
        """Have another node do it; the reply is the JSON-RPC reply, or an error of the way."""
        return self.request(node, [key, request], timeout_s)

    def do_here(self, request: bytes, who: str) -> bytes:
        """As `ask`, on this node, for somebody who was let in already."""
        call = mi.parse(request, self._table)
        if isinstance(call, mi.Call):
            return mi.answer(call, self._node, who) or b""
        return call or b""

    def command(self, name: str) -> Command | None:
        """As this node knows it."""
        return self._table.get(name)

    def asks_nodes(self, name: str) -> bool:
        """Whether this command asks other nodes itself."""
        command = self.command(name)
        return command is not None and command.asks_nodes

    def _serve(self, payload: Any, source: NodeId) -> bytes:
        key, request = _understood(payload)
        call = mi.parse(request, self._table)
        if not isinstance(call, mi.Call):
            return call or b""
        why = self._refusal(call.command, source)
        if why:
            self._node.note(f"node {source}", call.command.name, call.shown(), f"refused: {why}")
            return mi.refuse(call, why) or b""
        if not call.command.changing:
            return mi.answer(call, self._node) or b""
        return self._done.once(
            (source, key), lambda: mi.answer(call, self._node, f"node {source}") or b""
        )

    def _refusal(self, command: Command, source: NodeId) -> str:
        if command.asks_nodes:
            return "a command that asks other nodes is not done for another node"
        if self._read_only and command.changing:
            return mi.READ_ONLY
        role = self._roles.get(source, self._default)
        if role < command.role:
            return (
                f"node {source} is {role} here, {command.name} needs {command.role};"
                " see [admin] remote and remote_nodes of the node addressed"
            )
        return ""


class Done:
    """Replies of changing commands by their keys: what is asked for twice is done once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, str], tuple[float, bytes | None]] = OrderedDict()

    def once(self, key: tuple[int, str], do: Callable[[], bytes]) -> bytes:
        """What ``do`` returned for this key, now or then. `Misuse` while it is still being done."""
        with self._lock:
            self._forget()
            if key in self._kept:
                _, reply = self._kept[key]
                if reply is None:
                    raise Misuse("this command, with this key, is being done already")
                return reply
            self._kept[key] = (self._clock(), None)
        try:
            reply = do()
        except BaseException:
            with self._lock:
                self._kept.pop(key, None)
            raise
        with self._lock:
            self._kept[key] = (self._clock(), reply)
        return reply

    def _forget(self) -> None:
        oldest = self._clock() - KEPT_S
        while self._kept:
            key, (at, reply) = next(iter(self._kept.items()))
            if reply is None or (len(self._kept) < KEPT_KEYS and at >= oldest):
                return
            del self._kept[key]


def _understood(payload: object) -> tuple[str, bytes]:
    match payload:
        case [str() as key, bytes() as request] if len(key) <= MAX_KEY_CHARS:
            return key, request
    raise Misuse("this is not a key and a JSON-RPC request")
