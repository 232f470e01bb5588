"""A registered capability's way into the cluster: what application threads call.

A message is packed at the call, so a mistake in it is the caller's, and what is sent is the message
as it was then. It waits in an `Outbox` until the node's hub takes it, all that waits at once:
producers wake the hub once per burst. What may be sent where is read from verdicts that the
capability actor replaces whenever it changes, so a call answers at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..protocol.capability_words import SyncWish, wish_of
from ..protocol.contract import Outcome, Result
from ..protocol.errors import Misuse
from ..protocol.identity import ClusterId, NodeId
from ..protocol.messages import CapState
from ..protocol.payloads import UNPACKABLE, Joined, checked, encode, pack, pack_many
from .hubcalls import give_way
from .outbox import AHEAD_BYTES, LOOSE_BYTES, MAX_LOOSE, Outbox, Verdict, verdict_of

if TYPE_CHECKING:
    from .fencing import Fence
    from .runtime import Runtime

PAUSE_S = 1e-3
"""For so long a thread that is far ahead waits for the hub. If that was not enough nobody does so
again, while there is room, before the hub has caught up."""

_STRANGER = verdict_of(Outcome.UNREACHABLE, detail="it is no other enabled node of the cluster")


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
        *,
        keyed: bool,
        fence: Fence,
    ) -> None:
        """``limit_bytes`` bounds what waits for one destination; ``keyed``: the records have keys,
        so they can be mirrored; ``fence`` judges those that have tags."""
        self.fence = fence
        self.tag, self.judge, self.refused = fence.tag, fence.judge, fence.refused
        self.node_id = node_id
        self.cluster_id = cluster_id
        self._runtime = runtime
        self.now: Callable[[], float] = runtime.monotonic
        """See `Port.now`."""
        self._commands = commands
        self._limit_bytes = limit_bytes
        self._keyed = keyed
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._outboxes: dict[int, Outbox] = {}
        self._awake = False
        self._verdicts: Mapping[NodeId, Verdict] = {}
        self.current_state = CapState.UNSYNCED
        self.straight: Callable[[int, bytes], bool] | None = None
        """The short way, `Straight.send`, of a capability actor that has one."""
        self.closed = False
        """The node has stopped: the capability may be registered with another one."""

    # Called by applications, from any thread -----------------------------------------------------

    def send(self, node: int, message: Any, timeout: float = 0.0) -> Result:
        """See `Port.send`. Called for every message, so all that most of them need stands here."""
        try:
            payload = encode(message)
        except UNPACKABLE:
            payload = pack(message)  # it tells what is wrong
        outbox = self._outboxes.get(node)
        if outbox is None or not outbox.open or len(payload) > LOOSE_BYTES:
            return self._put(node, [Joined(1, checked(payload))], timeout)
        if not self._awake and self.straight is not None and self.straight(node, payload):
            return outbox.verdict.first
        outbox.loose.append(payload)
        waiting = len(outbox.loose)
        result = outbox.result if waiting == 1 else outbox.behind
        if waiting > MAX_LOOSE:
            with self._lock:
                outbox.join()
            if outbox.ahead:
                self._give_way(outbox, timeout)
        if not self._awake:
            self._wake()
        return result

    def send_many(self, node: int, messages: Iterable[Any], timeout: float = 0.0) -> Result:
        """See `Port.send_many`."""
        return self._put(node, pack_many(list(messages)), timeout)

    def broadcast(self, message: Any, timeout: float = 0.0) -> dict[NodeId, Result]:
        """See `Port.broadcast`."""
        pieces = [Joined(1, pack(message))]
        return {node: self._put(node, pieces, timeout) for node in self.verdicts}

    def request_sync(
        self, *, tags: Sequence[str] = (), mirror: bool = False, dry_run: bool = False
    ) -> None:
        """See `Port.request_sync`."""
        wish = wish_of(tags, keyed=self._keyed, mirror=mirror, dry_run=dry_run)
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

    def wall(self) -> float:
        """See `Port.wall`."""
        return self._runtime.wall()

    def _put(self, node: int, pieces: Sequence[Joined], timeout: float) -> Result:
        outbox = self._outboxes.get(node)
        if outbox is None:
            return _STRANGER.first
        if not outbox.verdict.accepted:
            return outbox.verdict.first
        size = sum([len(piece.payloads) for piece in pieces])
        with self._lock:
            waiting = outbox.count()
            fits = waiting + size <= self._limit_bytes
            if not fits and not self._wait_for_room(outbox, size, timeout):
                return self._busy(node, outbox, size, waiting)
            result = outbox.put(pieces)
        if not self._awake:
            self._wake()
        if outbox.ahead:
            self._give_way(outbox, timeout)
        return result

    def _give_way(self, outbox: Outbox, timeout: float) -> None:
        """Let the hub send what waits. Who may wait does so until half of what is of use is left,
        if that is soon: at a slow connection there is room for more."""
        if not self._awake:
            self._wake()
        if self._runtime.in_hub():
            return
        if timeout > 0 and outbox.moves:
            with self._lock:
                if outbox.ahead:
                    outbox.moves = self._room.wait(min(timeout, PAUSE_S))
        elif outbox.overdue:
            give_way()

    def _wake(self) -> None:
        """Have the hub take what waits. Whoever finds ``_awake`` set relies on that it will."""
        self._awake = True
        try:
            self._runtime.call_soon(self._commands.flush)
        except BaseException:  # Ctrl-C
            self._runtime.call_soon(self._commands.flush)
            raise

    def _busy(self, node: int, outbox: Outbox, size: int, waiting: int) -> Result:
        if size > self._limit_bytes:
            raise Misuse(
                f"{size} bytes at once can never be accepted for one node; at most"
                f" {self._limit_bytes} may wait (setting outbox): send less at once"
            )
        outbox.told_busy = True
        return Result(Outcome.BUSY, detail=f"{waiting} bytes wait for node {node}")

    def _wait_for_room(self, outbox: Outbox, size: int, timeout: float) -> bool:
        """Wait, without the lock, until ``size`` bytes fit; in the hub nobody may wait."""
        if timeout <= 0:
            return False
        if self._runtime.in_hub():
            raise Misuse("a call with a timeout would stop the node's hub: use on_room instead")
        deadline = time.monotonic() + timeout
        while outbox.count() + size > self._limit_bytes:
            left = deadline - time.monotonic()
            if left <= 0 or not self._room.wait(left):
                return False
        return True

    # Called by the capability actor, in the hub --------------------------------------------------

    @property
    def verdicts(self) -> Mapping[NodeId, Verdict]:
        """Of every other enabled node; replaced as a whole by the capability actor."""
        return self._verdicts

    @verdicts.setter
    def verdicts(self, verdicts: Mapping[NodeId, Verdict]) -> None:
        with self._lock:
            for node in self._outboxes.keys() - verdicts.keys():
                self._outboxes[node].judge(_STRANGER)
            for node, verdict in verdicts.items():
                if node in self._outboxes:
                    self._outboxes[node].judge(verdict)
                else:
                    self._outboxes[node] = Outbox(self._limit_bytes, verdict)
        self._verdicts = verdicts

    def collect(self) -> dict[NodeId, list[Joined]]:
        """Everything accepted since the last call, per destination, in order."""
        self._awake = False  # before looking: what comes later wakes again
        with self._lock:
            return {
                NodeId(node): pieces
                for node, outbox in self._outboxes.items()
                if (pieces := outbox.take())
            }

    def waiting_bytes(self, node: NodeId) -> int:
        """What was accepted for a node and has not been sent."""
        outbox = self._outboxes.get(node)
        if outbox is None:
            return 0
        with self._lock:
            return outbox.count()

    def released(self, node: NodeId, size: int) -> bool:
        """``size`` bytes wait no longer; True when somebody was told `BUSY` and may try again."""
        outbox = self._outboxes[node]
        with self._lock:
            outbox.released(size)
            waiting = outbox.count()
            if waiting <= AHEAD_BYTES // 2:
                outbox.moves = True
                self._room.notify_all()
            if waiting > self._limit_bytes // 2:
                return False
            self._room.notify_all()
            told, outbox.told_busy = outbox.told_busy, False
        return told
