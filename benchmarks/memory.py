"""Memory of this process, as Linux counts it."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

from .report import BenchmarkFailed

MIB = 1024 * 1024


def memory_bytes(kind: str) -> int:
    """``VmHWM`` (peak) or ``VmRSS`` (now) of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    raise BenchmarkFailed(f"no {kind} in /proc/self/status")


def held_bytes() -> int:
    """What this process holds, without what it has freed."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return memory_bytes("VmRSS")


def begin_peak() -> None:
    """From now on the peak is what is largest from now on."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
