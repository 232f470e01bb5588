"""How often is too often: pings answered (W16), links that flap (L-4), dials that fail (L-5)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

FREE_FLAPS = 2
"""Times a link may come back within the flap window before L-4 holds it in PROVING."""
MAX_FLAPS = 16
"""Flaps remembered; the hold has long reached its cap by then."""
FIRST_BACKOFF_S = 0.05
"""Pause after the first failed dial; each further one doubles it."""
_MAX_DOUBLINGS = 16


class PerSecond:
    """Lets ``limit`` things through in each second, counted from the first one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._since = 0.0
        self._served = 0

    def allows(self, now: float) -> bool:
        """Whether one more is within the limit; it is counted."""
        if self._served == 0 or now - self._since >= 1.0:
            self._since, self._served = now, 0
        self._served += 1
        return self._served <= self._limit


class Flaps:
    """L-4: the n-th return of a link within ``window_s`` is watched longer before it counts as UP.

    The first `FREE_FLAPS` returns are free, the next is watched for ``first_s``, then twice as
    long each time, up to ``cap_s``.
    """

    def __init__(self, *, window_s: float, first_s: float, cap_s: float) -> None:
        self._window_s = window_s
        self._first_s = first_s
        self._cap_s = cap_s
        self._times: deque[float] = deque(maxlen=MAX_FLAPS)

    def note(self, now: float) -> None:
        """A link that was UP went DOWN."""
        self._times.append(now)

    def forget(self) -> None:
        """Another process than before: nothing it did counts."""
        self._times.clear()

    def count(self, now: float) -> int:
        """Flaps within the window."""
        while self._times and now - self._times[0] > self._window_s:
            self._times.popleft()
        return len(self._times)

    def hold_s(self, now: float) -> float:
        """How long to watch a link that answers again; 0 = not at all."""
        over = self.count(now) - FREE_FLAPS
        return min(self._first_s * 2.0 ** (over - 1), self._cap_s) if over > 0 else 0.0


class Backoff:
    """L-5: pauses between dials: none at first, then jittered, doubling, at most ``cap_s``.

    A connection that ends is dialled anew at once, unless it and the one before it ended within
    ``cap_s`` of their beginning: a peer that accepts and drops must not be dialled in a tight loop.
    """

    def __init__(self, *, cap_s: float, draw: Callable[[], float]) -> None:
        self._cap_s = cap_s
        self._draw = draw
        self._attempts = 0
        self._short_lived = 0

    def fresh(self) -> None:
        """Forget failures: there is a reason to believe that it works now."""
        self._attempts = self._short_lived = 0

    def ended(self, lasted_s: float) -> None:
        """An established connection ended after ``lasted_s``."""
        if lasted_s >= self._cap_s:
            self._short_lived = 0
        self._attempts = self._short_lived
        self._short_lived += 1

    def pause_s(self) -> float:
        """The pause before the next dial, which counts as one more attempt."""
        attempts, self._attempts = self._attempts, self._attempts + 1
        if attempts == 0:
            return 0.0
        pause = min(FIRST_BACKOFF_S * 2.0 ** min(attempts - 1, _MAX_DOUBLINGS), self._cap_s)
        return pause * (0.5 + 0.5 * self._draw())
