"""What the kernel is told about the socket of a connection."""

from __future__ import annotations

import socket
import struct

MAX_UNSENT_BYTES = 64 * 1024
"""In the kernel, not sent yet (TCP_NOTSENT_LOWAT): a ping waits for it, and for one chunk (B13).
Without a bound it grows to MiB. What the peer's kernel holds unread is bounded by credit."""

_RESET = struct.pack("ii", 1, 0)


def set_options(sock: socket.socket, user_timeout_s: float | None) -> None:
    """Send at once, keep little unsent; ``user_timeout_s``: TCP_USER_TIMEOUT, None = the system's.

    Nothing when the peer is gone already: reading will tell.
    """
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)
        if user_timeout_s is not None:
            milliseconds = max(1, round(user_timeout_s * 1000))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    except OSError:
        pass


def reset_at_close(sock: socket.socket) -> None:
    """Closing it ends the connection with a reset instead of in order (SO_LINGER)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
