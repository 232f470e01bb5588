"""Messages on their way to the application; during a sync they may have to wait (S-23).

All batches that a turn of the hub brought are handed over at once, so that a worker is woken once,
and says once that it is ready. What they used of their connection's credit is given back when the
application has dealt with them, or when they are held: what is held is bounded by number and bytes
instead. What comes beyond the bound, until the sync has ended for it, keeps its credit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .application import Delivery
from .lane import Lane, size_of
from .worker import InlineWorker

if TYPE_CHECKING:
    from ..protocol.messages import Packets
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
        self._inline = isinstance(registration.worker, InlineWorker)
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._delivered = delivered
        self._held: list[Delivery] = []
        self._held_messages = 0
        self._held_bytes = 0
        self._owed: list[tuple[Lane, int]] = []
        """Credit of held messages that was not given back."""
        self.holding = False
        """Messages wait for the end of a sync."""

    def take(self, lane: Lane, batches: Sequence[Delivery]) -> bool:
        """Hand batches over, or hold them. False: more are held than may be, so the sync has to
        end; they are not handed over before it has, or its older records would replace them."""
        size = sum([size_of(batch.packets) for batch in batches])
        if not self.holding:
            if self._inline:
                self._registration.application.deliver(batches)
                self._settle([(lane, size)])
            else:
                self._hand_over(batches, lambda: self._delivered(lane, size))
            return True
        self._held += batches
        self._held_messages += sum([batch.packets.count - batch.skip for batch in batches])
        self._held_bytes += size
        if self._held_messages > self._max_messages or self._held_bytes > self._max_bytes:
            self._owed.append((lane, size))
            return False
        first = batches[0].packets
        lane.consumed(first.cluster_id, first.capability, size)
        return True

    def take_one(self, lane: Lane, packets: Packets, skip: int, size_bytes: int) -> None:
        """`take` a batch that came alone while nothing is held."""
        application = self._registration.application
        if not self._inline:
            self.take(lane, [Delivery(packets, skip)])
            return
        if application.open:
            application.deliver_one(packets, skip)
        lane.consumed(packets.cluster_id, packets.capability, size_bytes)

    def release(self) -> None:
        """Hand over what was held, in order."""
        held, self._held = self._held, []
        owed = self._forget()
        if held:
            self._hand_over(held, lambda: self._settle(owed))

    def drop(self) -> None:
        """Forget what is held."""
        self._held.clear()
        self._settle(self._forget())

    def _forget(self) -> list[tuple[Lane, int]]:
        self._held_messages = self._held_bytes = 0
        owed, self._owed = self._owed, []
        return owed

    def _settle(self, owed: Sequence[tuple[Lane, int]]) -> None:
        for lane, size in owed:
            self._delivered(lane, size)

    def _hand_over(self, batches: Sequence[Delivery], then: Callable[[], None]) -> None:
        deliver = self._registration.application.deliver

        def done(error: BaseException | None) -> None:
            assert error is None, "the application's mistakes are set aside"
            then()

        self._registration.worker.submit(lambda: deliver(batches), done)
