"""A program on a terminal of its own, as somebody sits before it: typed to and read by pexpect.

The program is started by subprocess and not by pexpect, which would fork this process with its
threads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pexpect.fdpexpect

COLUMNS = 200
CLEAR_LINE = "\x15"
TAB = "\t"


@contextlib.contextmanager
def terminal(command: Sequence[str], *, env: Mapping[str, str], timeout_s: float) -> Iterator[Any]:
    """What pexpect calls a spawn."""
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    try:
        running = subprocess.Popen(
            command,
            stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(theirs)
    try:
        yield pexpect.fdpexpect.fdspawn(mine, encoding="utf-8", timeout=timeout_s)
    finally:
        running.kill()
        running.wait()
        with contextlib.suppress(OSError):
            os.close(mine)
