"""Sockets and fifos in the file system that only their owner can use.

Whoever can write to one of them manages the node, so it is mode 0600 from its first moment, and
nothing that lies at its path already is followed, opened for everybody or taken over: a symbolic
link or a file of somebody else is refused, what a dead process of ours left is replaced, and what a
living one serves is left to it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from ..protocol.errors import Misuse

MODE = 0o600
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

Identity = tuple[int, int]
"""(device, inode): which file lies at a path."""


def make_fifo(path: Path) -> tuple[int, Identity]:
    """A new fifo and its file descriptor, non-blocking, that reads and never sees its end.

    Raises `Misuse` when the path is not ours to use.
    """
    _check_folder(path)
    _clear(path, stat.S_ISFIFO, _has_reader)
    try:
        os.mkfifo(path, MODE)
        # also a writer, so that there is always one: a fifo whose last writer left reads as ended
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(path, error) from error
    found = os.fstat(fd)
    if not stat.S_ISFIFO(found.st_mode) or found.st_uid != os.geteuid():
        os.close(fd)
        raise Misuse(f"{path}: somebody replaced the fifo while it was opened; use a safer folder")
    return fd, (found.st_dev, found.st_ino)


def bind_datagram(path: Path) -> tuple[socket.socket, Identity]:
    """A new, non-blocking Unix datagram socket bound to ``path``.

    Raises `Misuse` when the path is not ours to use.
    """
    _check_folder(path)
    _clear(path, stat.S_ISSOCK, _has_listener)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        os.fchmod(bound.fileno(), MODE)  # Linux gives the file the mode of the socket
        bound.bind(str(path))
        found = path.lstat()
    except OSError as error:
        bound.close()
        raise _unusable(path, error) from error
    bound.setblocking(False)
    return bound, (found.st_dev, found.st_ino)


def remove(path: Path, identity: Identity) -> None:
    """Remove what `make_fifo` or `bind_datagram` made, unless something else lies there now."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        if (found.st_dev, found.st_ino) == identity:
            path.unlink()


def _check_folder(path: Path) -> None:
    """Whoever can rename in the folder can put his own fifo in the place of ours."""
    try:
        folder = path.parent.stat()
    except OSError as error:
        raise _unusable(path.parent, error) from error
    safe = not folder.st_mode & _OTHERS_WRITE or folder.st_mode & stat.S_ISVTX
    if folder.st_uid not in (os.geteuid(), 0) or not safe:
        raise Misuse(
            f"{path}: the folder {path.parent} belongs to somebody else or lets others write, who "
            "could take its place; use a folder of the node's own, as /run/tagmesh with mode 0700"
        )


def _clear(path: Path, is_kind: Callable[[int], bool], served: Callable[[Path], bool]) -> None:
    """Remove what a process that ended left at ``path``."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(path, error) from error
    if not is_kind(found.st_mode) or found.st_uid != os.geteuid():
        raise Misuse(
            f"{path}: something else lies there already (a link, a file, or somebody else's); "
            "remove it or choose another path"
        )
    if served(path):
        raise Misuse(f"{path}: another process serves it; stop that one or choose another path")
    try:
        path.unlink()
    except OSError as error:
        raise _unusable(path, error) from error


def _has_reader(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC))
    except OSError as error:
        return error.errno != errno.ENXIO
    return True


def _has_listener(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except OSError as error:
            return error.errno != errno.ECONNREFUSED
    return True


def _unusable(path: Path, error: OSError) -> Misuse:
    return Misuse(f"{path}: cannot be used: {error.strerror or error}; choose another path")
