"""A registered capability's way into the cluster: what application threads call.

A message is packed at the call, so a mistake in it is the caller's, and what is sent is the message
as it was then. It waits here until the node's hub takes it, all that waits at once: producers wake
the hub once per burst. What may be sent where is read from verdicts that the capability actor
replaces whenever it changes, so a call answers at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..protocol.capability_words import SyncWish
from ..protocol.contract import Outcome, Result
from ..protocol.errors import Misuse
from ..protocol.identity import ClusterId, NodeId
from ..protocol.messages import MAX_PAYLOAD_BYTES, CapState

if TYPE_CHECKING:
    from .runtime import Runtime

_pack = msgspec.msgpack.Encoder().encode
_STRANGER = Result(Outcome.UNREACHABLE, detail="it is no other enabled node of the cluster")


class Verdict(NamedTuple):
    """What becomes of a message for one destination, as things stand."""

    accepted: bool
    first: Result
    """When nothing waits for that destination."""
    behind: Result
    """When something does."""


def verdict_of(outcome: Outcome, route: Sequence[NodeId] = (), detail: str = "") -> Verdict:
    """The verdict with this outcome for a message that nothing waits before."""
    result = Result(outcome, tuple(route), detail)
    accepted = outcome is Outcome.SENT
    behind = Result(Outcome.QUEUED, tuple(route)) if accepted else result
    return Verdict(bool(result), result, behind)


class Commands(msgspec.Struct, frozen=True):
    """What a port asks of its capability actor, each called in the hub."""

    flush: Callable[[], None]
    request_sync: Callable[[SyncWish], None]
    changed: Callable[[], None]
    run: Callable[[Callable[[], None]], None]
    """Call where the capability's code runs."""


class CapabilityPort:
    """See `protocol.contract.Port`."""

    def __init__(
        self,
        node_id: NodeId,
        cluster_id: ClusterId,
        runtime: Runtime,
        commands: Commands,
        limit_bytes: int,
    ) -> None:
        """``limit_bytes`` bounds what waits for one destination."""
        self.node_id = node_id
        self.cluster_id = cluster_id
        self._runtime = runtime
        self._commands = commands
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._boxes: dict[NodeId, list[bytes]] = {}
        self._waiting_bytes: dict[NodeId, int] = {}
        self._told_busy: set[NodeId] = set()
        self._awake = False
        self.verdicts: Mapping[NodeId, Verdict] = {}
        """Of every other enabled node; replaced as a whole by the capability actor."""
        self.current_state = CapState.UNSYNCED
        self.closed = False
        """The node has stopped: the capability may be registered with another one."""

    # Called by applications, from any thread -----------------------------------------------------

    def send(self, node: int, message: Any, timeout: float = 0.0) -> Result:
        """See `Port.send`."""
        return self._put(NodeId(node), [pack(message)], timeout)

    def send_many(self, node: int, messages: Iterable[Any], timeout: float = 0.0) -> Result:
        """See `Port.send_many`."""
        return self._put(NodeId(node), [pack(message) for message in messages], timeout)

    def broadcast(self, message: Any, timeout: float = 0.0) -> dict[NodeId, Result]:
        """See `Port.broadcast`."""
        payloads = [pack(message)]
        return {node: self._put(node, payloads, timeout) for node in self.verdicts}

    def request_sync(
        self, *, tags: Sequence[str] = (), mirror: bool = False, dry_run: bool = False
    ) -> None:
        """See `Port.request_sync`."""
        wish = SyncWish(tuple(tags), mirror, dry_run)
        self._runtime.call_soon(lambda: self._commands.request_sync(wish))

    def state(self) -> CapState:
        """See `Port.state`."""
        return self.current_state

    def changed(self) -> None:
        """See `Port.changed`."""
        self._runtime.call_soon(self._commands.changed)

    def call(self, function: Callable[[], None]) -> None:
        """See `Port.call`."""
        self._runtime.call_soon(lambda: self._commands.run(function))

    def call_later(self, delay_s: float, function: Callable[[], None]) -> None:
        """See `Port.call_later`."""

        def arm() -> None:
            self._runtime.call_later(delay_s, lambda: self._commands.run(function))

        self._runtime.call_soon(arm)

    def now(self) -> float:
        """See `Port.now`."""
        return self._runtime.monotonic()

    def wall(self) -> float:
        """See `Port.wall`."""
        return self._runtime.wall()

    def _put(self, node: NodeId, payloads: list[bytes], timeout: float) -> Result:
        verdict = self.verdicts.get(node)
        if verdict is None:
            return _STRANGER
        if not verdict.accepted:
            return verdict.first
        size = sum(map(len, payloads))
        with self._lock:
            waiting = self._waiting_bytes.get(node, 0)
            if waiting + size > self._limit_bytes:
                if timeout <= 0 or not self._wait_for_room(node, size, timeout):
                    return self._busy(node, size, waiting)
                waiting = self._waiting_bytes.get(node, 0)
            self._waiting_bytes[node] = waiting + size
            self._boxes.setdefault(node, []).extend(payloads)
            asleep, self._awake = not self._awake, True
        if asleep:
            self._runtime.call_soon(self._commands.flush)
        return verdict.behind if waiting else verdict.first

    def _busy(self, node: NodeId, size: int, waiting: int) -> Result:
        if size > self._limit_bytes:
            raise Misuse(
                f"{size} bytes at once can never be accepted for one node; at most"
                f" {self._limit_bytes} may wait (setting outbox): send less at once"
            )
        self._told_busy.add(node)
        return Result(Outcome.BUSY, detail=f"{waiting} bytes wait for node {node}")

    def _wait_for_room(self, node: NodeId, size: int, timeout: float) -> bool:
        """Wait, without the lock, until ``size`` bytes fit; in the hub nobody may wait."""
        if self._runtime.in_hub():
            raise Misuse("a call with a timeout would stop the node's hub: use on_room instead")
        deadline = time.monotonic() + timeout
        while self._waiting_bytes.get(node, 0) + size > self._limit_bytes:
            left = deadline - time.monotonic()
            if left <= 0 or not self._room.wait(left):
                return False
        return True

    # Called by the capability actor, in the hub --------------------------------------------------

    def collect(self) -> dict[NodeId, list[bytes]]:
        """Everything accepted since the last call, per destination, in order."""
        with self._lock:
            boxes, self._boxes = self._boxes, {}
            self._awake = False
        return boxes

    def waiting_bytes(self, node: NodeId) -> int:
        """What was accepted for a node and has not been sent."""
        return self._waiting_bytes.get(node, 0)

    def released(self, node: NodeId, size: int) -> bool:
        """``size`` bytes wait no longer; True when somebody was told `BUSY` and may try again."""
        with self._lock:
            waiting = self._waiting_bytes[node] - size
            self._waiting_bytes[node] = waiting
            if waiting > self._limit_bytes // 2:
                return False
            self._room.notify_all()
            told = node in self._told_busy
            self._told_busy.discard(node)
        return told


def pack(message: Any) -> bytes:
    """The payload of a message; `Misuse` for what cannot be carried."""
    try:
        payload = _pack(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Misuse(
            f"a {type(message).__name__} cannot be sent as it is ({error}): use numbers, texts,"
            " bytes, lists and dicts of such"
        ) from error
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Misuse(
            f"a message of {len(payload)} bytes is longer than {MAX_PAYLOAD_BYTES}: split it"
        )
    return payload
