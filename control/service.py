"""What a service manager hears of a node: sd_notify(3), without its library.

systemd names a datagram socket in ``$NOTIFY_SOCKET`` and, for its watchdog, a period in
``$WATCHDOG_USEC``. Elsewhere neither is set, and nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

MAX_STATUS_CHARS = 200


class Service:
    """The way to the manager, if there is one. Never raises and never blocks."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environ) if address else None
        """How often to call `alive`, twice per period of the manager's; None: not at all."""

    def ready(self, status: str) -> None:
        """The node listens, or has reloaded. ``status``: a line for ``systemctl status``."""
        self._send("READY=1", f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """A reload begins; `ready` follows."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The node leaves."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """The node works; who does not say so in time is killed and started again."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), self._address)


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    period, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not period.isdecimal() or int(period) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(period) / 1e6 / 2


def _line(text: str) -> str:
    return " ".join(text[:MAX_STATUS_CHARS].split())
