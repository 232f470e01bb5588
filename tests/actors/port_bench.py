"""A port whose hub is another thread, which the test lets run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast
from unittest.mock import Mock

from tagmesh.actors.fencing import Fence
from tagmesh.actors.outbox import verdict_of
from tagmesh.actors.port import CapabilityPort, Commands
from tagmesh.protocol.capability_words import SyncWish
from tagmesh.protocol.contract import Outcome
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.payloads import Joined, array_header, unpack_payloads
from tagmesh.simulation.runtime import Scheduler, SimulatedRuntime

TWO, THREE = NodeId(2), NodeId(3)


class Runtime(SimulatedRuntime):
    """The hub is another thread, which the test lets run."""

    hub = False

    def __init__(self) -> None:
        super().__init__(Scheduler(0), "0")
        self.soon: list[Callable[[], None]] = []
        self.wishes: list[SyncWish] = []
        """Syncs that were asked for."""

    def in_hub(self) -> bool:
        return self.hub

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)


def port_of(runtime: Runtime, limit_bytes: int, *, keyed: bool = False) -> CapabilityPort:
    commands = Commands(
        flush=lambda: None,
        request_sync=runtime.wishes.append,
        changed=lambda: None,
        run=lambda function: function(),
    )
    port = CapabilityPort(
        NodeId(1),
        ClusterId(1),
        runtime,
        commands,
        limit_bytes,
        keyed=keyed,
        fence=cast("Fence", Mock()),
    )
    port.verdicts = {
        TWO: verdict_of(Outcome.SENT, [TWO]),
        THREE: verdict_of(Outcome.UNREACHABLE, detail="no path leads to it"),
    }
    return port


def messages_in(pieces: Sequence[Joined]) -> list[Any]:
    return [
        message
        for piece in pieces
        for message in unpack_payloads(array_header(piece.count) + piece.payloads, piece.count)
    ]
