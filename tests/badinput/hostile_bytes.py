"""Run as a program: decode each hostile frame; prints ``{name: [CPU seconds, bytes of RSS]}``.

Each frame has a forked process of its own, so nothing is served from memory that an earlier one
left behind; the kernel's high-water mark is set back before it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

from tagmesh.protocol.errors import PeerViolation
from tagmesh.protocol.wire import decode
from tagmesh.transport.frames import FrameReader, frame
from tests.protocol.test_wire import ARRAY_OF_4G, HOSTILE, MALFORMED, repeated

FRAME_BYTES = 1024**2  # the default max_frame
CANARY = "canary"
CANARY_BYTES = 16 * 1024**2
CANARY_S = 0.1
_MAP_OF_4G = b"\xdf\xff\xff\xff\xff"

FRAMES: dict[str, bytes] = {
    **{name: frame(body) for name, body in {**MALFORMED, **HOSTILE}.items() if body},
    "W2 length 4 GiB": b"\xff\xff\xff\xff" + b"\0" * 65536,
    "W6 10,000 nested array32": frame(b"\x91\x92\x63" + ARRAY_OF_4G * 10_000),
    "W6 10,000 nested array32 in a list of ids": frame(b"\x91\x93\x16\x01" + ARRAY_OF_4G * 10_000),
    "W6 10,000 nested map32": frame(b"\x91\x92\x63" + _MAP_OF_4G * 10_000),
    "W6 map of 4 G": frame(b"\x91" + _MAP_OF_4G),
    "W6 map of 4 G for a field": frame(b"\x91\x93\x0a\x01" + _MAP_OF_4G),
    "W6 4 G neighbours": frame(b"\x91\x98\x14\x01\x02\x03\x04\x05" + ARRAY_OF_4G),
    "W6 4 G clusters in a HELLO": frame(
        b"\x91\x9a\x01\x01\x01\x01\x01\xc4\x0812345678\xc4\x00" + ARRAY_OF_4G
    ),
    "W6 bytes of 4 GiB": frame(b"\x91\x94\x02\x01\xc6\xff\xff\xff\xff12345678"),
    "W6 ext of 4 GiB": frame(b"\x91\x93\x0a\x01\xc9\xff\xff\xff\xff\x05"),
    "W8 a million timestamps": repeated(b"\xd6\xff\0\0\0\0"),
    "W9 a million texts": repeated(b"\xa1a"),
    "W11 a million floats": repeated(b"\xcb\x7f\xf8\0\0\0\0\0\0"),
    "neighbours without end": frame(
        b"\x91\x98\x14\x01\x02\x03\x04\x05\xdd"
        + struct.pack(">I", FRAME_BYTES // 4)
        + b"\x92\x01\x01" * (FRAME_BYTES // 4)
    ),
}


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def receive(data: bytes) -> None:
    """What a connection does with ``data``."""
    with contextlib.suppress(PeerViolation):
        for body in FrameReader(2 * FRAME_BYTES).receive([data]):  # with its headers
            decode(body)


def canary(_data: bytes) -> None:
    """Takes memory and time: were it not seen, the figures would mean nothing."""
    bytearray(CANARY_BYTES)[:] = b"x" * CANARY_BYTES
    begin = time.process_time()
    while time.process_time() - begin < CANARY_S:
        pass


def measure(act: Callable[[bytes], None], data: bytes) -> tuple[float, int]:
    """(CPU seconds, bytes above what was there before), in a child with one thread only."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before, begin = _peak_bytes(), time.process_time()
        act(data)
        figures = time.process_time() - begin, _peak_bytes() - before
        os.write(writing, json.dumps(figures).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        seconds, size = json.load(answer)
    os.waitpid(child, 0)
    return seconds, size


if __name__ == "__main__":
    figures = {name: measure(receive, data) for name, data in FRAMES.items()}
    print(json.dumps({**figures, CANARY: measure(canary, b"")}))
