"""One timer of a capability, armed again and again.

First note what is to be looked at, then arm: whoever is called looks at all there is. A node that
was stopped and started again gives its capabilities another port, and the timers of the port before
never come; so a timer counts only on the port it was armed on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..protocol.contract import Capability, Port


class Timer:
    """Calls a function where the capability's calls happen. Any thread may arm it."""

    def __init__(self, owner: Capability, function: Callable[[], None]) -> None:
        """``owner`` has a port when the timer is armed."""
        self._owner = owner
        self._function = function
        self._lock = threading.Lock()
        self._armed: tuple[Port | None, float] = (None, 0.0)
        """On which port, and when it is due; replaced as a whole: no lock is needed to read it."""

    def armed(self) -> bool:
        """Whether the function will be called."""
        return self._armed[0] is self._owner.port

    def arm(self, delay_s: float) -> None:
        """Have the function called in so many seconds, if that is sooner than it would be."""
        self.arm_at(self._owner.port.now() + delay_s)

    def arm_at(self, due_s: float) -> None:
        """The same, at a time of the port's clock."""
        port = self._owner.port
        on, at_s = self._armed
        if on is port and due_s >= at_s:
            return
        with self._lock:
            on, at_s = self._armed
            if on is port and due_s >= at_s:
                return
            self._armed = (port, due_s)
        port.call_later(max(0.0, due_s - port.now()), lambda: self._fire(port, due_s))

    def _fire(self, port: Port, due_s: float) -> None:
        with self._lock:
            if self._armed != (port, due_s):
                return  # armed for sooner, afterwards
            self._armed = (None, 0.0)
        self._function()
