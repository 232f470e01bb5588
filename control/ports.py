"""Free loopback ports, for demonstrations and laboratories."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

LOWEST_PORT = 10_000
TRIES = 1000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """``count`` different TCP ports nobody listens on now; all are held while they are chosen.

    They lie below those the kernel gives to outgoing connections: such a connection could take one
    before its listener does, and a dial to one without a listener could connect to itself.
    """
    end = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else 32_768
    candidates = range(LOWEST_PORT, max(end, LOWEST_PORT + TRIES))
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        for port in random.sample(candidates, TRIES):
            if len(ports) == count:
                break
            one = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                one.bind((host, port))
                ports.append(port)
    if len(ports) < count:
        raise OSError(f"fewer than {count} of {TRIES} ports of {host} are free")
    return ports
