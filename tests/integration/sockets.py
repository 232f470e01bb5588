"""The TCP connections of a process, as the kernel tells them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

OPEN = frozenset({"01", "08"})
"""ESTABLISHED, and CLOSE_WAIT: the other end is gone and ours was forgotten."""


class Pair(NamedTuple):
    """The two ports of a connection, the process's own first."""

    local: int
    remote: int


def connections(pid: int) -> set[Pair]:
    """Every open TCP connection (IPv4) of the process."""
    inodes = set(_inodes(pid))
    pairs = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] in OPEN and fields[9] in inodes:
            pairs.add(Pair(_port(fields[1]), _port(fields[2])))
    return pairs


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _inodes(pid: int) -> Iterator[str]:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue  # closed since
        if target.startswith("socket:["):
            yield target[len("socket:[") : -1]
