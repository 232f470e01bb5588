"""Messages on their way to the application; during a sync they may have to wait (S-23).

All batches that a turn of the hub brought are handed over at once, so that a worker is woken once,
and says once that it is ready. What they used of their connection's credit is given back when the
application has dealt with them, or when they are held: what is held is bounded by number and bytes
instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .application import Delivery
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
        self._held: list[Delivery] = []
        self._held_messages = 0
        self._held_bytes = 0
        self.holding = False
        """Messages wait for the end of a sync."""

    def take(self, lane: Lane, batches: Sequence[Delivery]) -> bool:
        """Hand batches over, or hold them. False: no more may be held, so all are handed over."""
        size = sum([size_of(packets) for packets, _ in batches])
        if not self.holding:
            self._hand_over(batches, lambda: self._delivered(lane, size))
            return True
        first = batches[0].packets
        lane.consumed(first.cluster_id, first.capability, size)
        self._held += batches
        self._held_messages += sum([packets.count - skip for packets, skip in batches])
        self._held_bytes += size
        if self._held_messages <= self._max_messages and self._held_bytes <= self._max_bytes:
            return True
        self.release()
        return False

    def release(self) -> None:
        """Hand over what was held, in order."""
        held, self._held = self._held, []
        self._held_messages = self._held_bytes = 0
        if held:
            self._hand_over(held, _nothing)

    def drop(self) -> None:
        """Forget what is held."""
        self._held.clear()
        self._held_messages = self._held_bytes = 0

    def _hand_over(self, batches: Sequence[Delivery], then: Callable[[], None]) -> None:
        deliver = self._registration.application.deliver

        def done(error: BaseException | None) -> None:
            assert error is None, "the application's mistakes are set aside"
            then()

        self._registration.worker.submit(lambda: deliver(batches), done)


def _nothing() -> None:
    """The credit was given back when it was held."""
