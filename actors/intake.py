"""Messages on their way to the application; during a sync they may have to wait (S-23).

What a batch used of its connection's credit is given back when the application has dealt with it,
or when it is held: what is held is bounded by number and bytes instead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..protocol.identity import NodeId
from ..protocol.messages import Packets
from .lane import Lane, size_of

if TYPE_CHECKING:
    from .registration import Registration


class Intake:
    """Belongs to a capability actor; runs in its turns."""

    def __init__(
        self,
        registration: Registration,
        *,
        max_messages: int,
        max_bytes: int,
        delivered: Callable[[Lane, int], None],
    ) -> None:
        """``delivered(lane, size_bytes)``: the application has dealt with so much."""
        self._registration = registration
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._delivered = delivered
        self._held: deque[tuple[Packets, int]] = deque()
        """With the messages at the beginning that are not to be delivered."""
        self._held_messages = 0
        self._held_bytes = 0
        self.holding = False
        """Messages wait for the end of a sync."""

    def take(self, lane: Lane, packets: Packets, skip: int) -> bool:
        """Hand a batch over, or hold it. False: no more may be held, so all are handed over."""
        size = size_of(packets)
        if not self.holding:
            self._hand_over(packets, skip, lambda: self._delivered(lane, size))
            return True
        lane.consumed(packets.cluster_id, packets.capability, size)
        self._held.append((packets, skip))
        self._held_messages += packets.count - skip
        self._held_bytes += size
        if self._held_messages <= self._max_messages and self._held_bytes <= self._max_bytes:
            return True
        self.release()
        return False

    def release(self) -> None:
        """Hand over what was held, in order."""
        held, self._held = self._held, deque()
        self._held_messages = self._held_bytes = 0
        for packets, skip in held:
            self._hand_over(packets, skip, _nothing)

    def drop(self) -> None:
        """Forget what is held."""
        self._held.clear()
        self._held_messages = self._held_bytes = 0

    def _hand_over(self, packets: Packets, skip: int, then: Callable[[], None]) -> None:
        deliver = self._registration.application.deliver

        def done(error: BaseException | None) -> None:
            assert error is None, "the application's mistakes are set aside"
            then()

        self._registration.worker.submit(
            lambda: deliver(packets.payloads, packets.count, skip, NodeId(packets.source)), done
        )


def _nothing() -> None:
    """The credit was given back when it was held."""
