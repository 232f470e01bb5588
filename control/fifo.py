"""The management interface over a fifo, as mi_fifo of OpenSIPS and its clients have it.

A client makes a reply fifo in the folder that both sides know, writes ``:its_name:{json}`` into
ours and reads the reply, one line, from its own. Our fifo is the node owner's alone (mode 0600), so
whoever asks is that user or root; a reply goes only into a fifo of one of the two, in that folder
and not through a link.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path

import gevent
import gevent.os
from gevent.pool import Pool

from . import private_files
from .asking import Asking
from .fifo_requests import MAX_NAME_BYTES, FifoRequest, FifoRequests
from .port import NodePort

READ_BYTES = 64 * 1024
MAX_PARALLEL = 32
"""Requests under way; more of them wait in the fifo, and then in their writers."""
SILENCE_S = 1.0
"""A request that began and did not end for so long is answered as it is."""
REPLY_TIMEOUT_S = 5.0
"""How long a client may take to open its reply fifo and to read the reply."""
RETRY_S = 0.01

_log = logging.getLogger("tagmesh.mi")


class FifoServer:
    """A running server. It serves in the hub of the thread that made it."""

    def __init__(
        self, port: NodePort, path: str, reply_folder: str, *, read_only: bool = False
    ) -> None:
        """Make the fifo and serve. Raises `Misuse` when ``path`` is not ours to use."""
        self.path = Path(path)
        self._reply_folder = Path(reply_folder)
        self._fd, self._identity = private_files.make_fifo(self.path)
        self._asking = Asking(port, "fifo", read_only=read_only)
        self._requests = FifoRequests()
        self._answers = Pool(MAX_PARALLEL)
        self._reader = gevent.spawn(self._read)

    def stop(self) -> None:
        """Stop reading, give up requests under way, remove the fifo."""
        self._reader.kill()
        self._answers.kill()
        private_files.remove(self.path, self._identity)
        os.close(self._fd)
        self._asking.close()

    def _read(self) -> None:
        while True:
            patience_s = SILENCE_S if self._requests.unfinished else None
            data: bytes | None = None
            with gevent.Timeout(patience_s, False):
                data = gevent.os.nb_read(self._fd, READ_BYTES)
            came = self._requests.give_up() if data is None else self._requests.feed(data)
            for request in came:
                self._answers.spawn(self._answer, request)

    def _answer(self, request: FifoRequest) -> None:
        reply = self._asking.manage(request.body)
        if reply is None or not request.reply_name:
            return
        why = "it was not read in time"
        with gevent.Timeout(REPLY_TIMEOUT_S, False):
            why = self._send(request.reply_name, reply + b"\n")
        if why:
            name = ascii(request.reply_name)[:MAX_NAME_BYTES]
            _log.warning("no reply into %s: %s", name, why, extra={"event": "mi_reply_failed"})

    def _send(self, name: str, reply: bytes) -> str:
        """Write into the client's fifo; why that was not possible, or nothing."""
        try:
            fd = _open(self._reply_folder, name)
        except (OSError, ValueError) as error:
            return str(error)
        try:
            while reply:
                reply = reply[gevent.os.nb_write(fd, reply) :]
        except OSError as error:
            return str(error.strerror)
        finally:
            os.close(fd)
        return ""


def _open(folder: Path, name: str) -> int:
    """The client's fifo, once the client reads it. Raises `OSError`, or `ValueError` when it is not
    one that a reply may go to."""
    own_name = os.path.basename(name)  # noqa: PTH119 - a Path would make something of "" and ".."
    if own_name in ("", ".", "..") or "\0" in own_name:
        raise ValueError("that is no name of a fifo")
    path = folder / own_name
    while True:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            gevent.sleep(RETRY_S)  # it is there, and nobody reads it yet
        else:
            break
    found = os.fstat(fd)
    if not stat.S_ISFIFO(found.st_mode) or found.st_uid not in (os.geteuid(), 0):
        os.close(fd)
        raise ValueError("it is no fifo of this user or root")
    return fd
