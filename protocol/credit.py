"""Credit: how many bytes of a capability may be on their way over a connection (R-10, B13).

One pair of counters per connection, cluster and capability, for each direction: `Spent` at the
sender, `Granted` at the receiver. All counts run from the beginning of the connection and only
grow, so a lost or repeated count cannot arise and there is nothing to reset.

The theory. ``W`` = window, ``g`` = what was consumed when the last limit was given, so the sender
may have sent at most ``g + W`` in all. Consumed = the application has handled it, or a transit node
has handed it to the next connection.

* Bounded: what is received and not consumed is at most ``g + W − g = W`` bytes, whatever the
  application does. A peer that sends more breaks the protocol.
* Nobody starves: the receiver gives a new limit when ``W / 2`` was consumed since the last one. A
  sender that waits with a message of ``m`` bytes has sent more than ``g + W − m``. All of it is
  consumed some time, that is more than ``W − m`` since the last limit; for ``m ≤ W / 2`` that is
  enough for a new one. Hence the window is at least twice the longest message.
* Cheap: a `Credit` message per half window, about nine full batches with the default.
"""

from __future__ import annotations

from .errors import PeerViolation
from .messages import MAX_BATCH_BYTES

CREDIT_BYTES = 1024 * 1024
"""The window. Both sides know it: it holds from the beginning, without a message."""


class Spent:
    """The sender's side of one capability on one connection."""

    __slots__ = ("_limit_bytes", "_spent_bytes")

    def __init__(self, window_bytes: int = CREDIT_BYTES) -> None:
        self._limit_bytes = _checked(window_bytes)
        self._spent_bytes = 0

    @property
    def left_bytes(self) -> int:
        """What may be sent now."""
        return self._limit_bytes - self._spent_bytes

    @property
    def spent_bytes(self) -> int:
        """What was sent."""
        return self._spent_bytes

    def spend(self, size_bytes: int) -> bool:
        """Whether a message of that size may be sent; it counts as sent then."""
        spent = self._spent_bytes + size_bytes
        if spent > self._limit_bytes:
            return False
        self._spent_bytes = spent
        return True

    def take_back(self, size_bytes: int) -> None:
        """What was spent last was not sent after all."""
        self._spent_bytes -= size_bytes

    def granted(self, limit_bytes: int) -> None:
        """The receiver's `Credit` came. `PeerViolation` when it takes back what it gave."""
        if limit_bytes < self._limit_bytes:
            raise PeerViolation(
                f"credit of {limit_bytes} bytes after one of {self._limit_bytes}: it only grows"
            )
        self._limit_bytes = limit_bytes


class Granted:
    """The receiver's side of one capability on one connection."""

    __slots__ = ("_consumed_bytes", "_limit_bytes", "_received_bytes", "_window_bytes")

    def __init__(self, window_bytes: int = CREDIT_BYTES) -> None:
        self._window_bytes = self._limit_bytes = _checked(window_bytes)
        self._received_bytes = 0
        self._consumed_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Received and not consumed yet; at most the window."""
        return self._received_bytes - self._consumed_bytes

    @property
    def consumed_bytes(self) -> int:
        """What has been dealt with."""
        return self._consumed_bytes

    def received(self, size_bytes: int) -> None:
        """A message came. `PeerViolation` when it is more than was allowed."""
        if not self.takes(size_bytes):
            received = self._received_bytes + size_bytes
            raise PeerViolation(f"{received} bytes came where credit allowed {self._limit_bytes}")

    def takes(self, size_bytes: int) -> bool:
        """Whether a message of that size was allowed to come; it counts as received then."""
        received = self._received_bytes + size_bytes
        if received > self._limit_bytes:
            return False
        self._received_bytes = received
        return True

    def consumed(self, size_bytes: int) -> int | None:
        """So many bytes of what came are dealt with; the limit to send as `Credit`, if it is time.

        To be called once for every byte that came, also for what is dropped: bytes that are never
        consumed are credit lost for good.
        """
        self._consumed_bytes += size_bytes
        assert self._consumed_bytes <= self._received_bytes, "consumed what never came"
        limit = self._consumed_bytes + self._window_bytes
        if limit - self._limit_bytes < self._window_bytes // 2:
            return None
        self._limit_bytes = limit
        return limit


def _checked(window_bytes: int) -> int:
    assert window_bytes >= 2 * MAX_BATCH_BYTES, "a smaller window may never let a message through"
    return window_bytes
