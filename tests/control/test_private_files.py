"""Sockets and fifos that only their owner can use: who may lie at their path, and who may not."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tagmesh.control import private_files
from tagmesh.protocol.errors import Misuse

Make = Callable[[Path], tuple[int, tuple[int, int]]]


def make_socket(path: Path) -> tuple[int, tuple[int, int]]:
    bound, identity = private_files.bind_datagram(path)
    return bound.detach(), identity


@pytest.fixture(params=[private_files.make_fifo, make_socket])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Nothing depends on a careful one."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_only_the_owner_can_use_it_and_it_goes_away(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "mi"
    fd, identity = make(path)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    os.close(fd)
    private_files.remove(path, identity)
    assert not path.exists()


def test_what_a_dead_process_left_is_replaced(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "mi"
    os.close(make(path)[0])
    fd, _ = make(path)
    os.close(fd)


def test_what_a_living_process_serves_is_left_to_it(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "mi"
    fd, identity = make(path)
    with pytest.raises(Misuse, match="another process serves it"):
        make(path)
    found = path.lstat()
    assert (found.st_dev, found.st_ino) == identity
    os.close(fd)


@pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling link", "the other kind"])
def test_what_is_not_ours_to_replace_is_left_alone(make: Make, tmp_path: Path, kind: str) -> None:
    path, target = tmp_path / "mi", tmp_path / "target"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        os.close(make(target)[0])  # a stale one of ours: even so a link is not followed
        path.symlink_to(target)
    elif kind == "dangling link":
        path.symlink_to(target)
    elif make is make_socket:
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(str(path))
    before = path.lstat()
    with pytest.raises(Misuse, match="something else lies there already"):
        make(path)
    assert path.lstat() == before


def test_a_folder_where_others_can_rename_is_refused(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(Misuse, match="lets others write"):
        make(folder / "mi")
    folder.chmod(0o1777)  # as /tmp: nobody can rename what is ours
    os.close(make(folder / "mi")[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_what_belongs_to_somebody_else_is_refused(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "mi"
    os.close(make(path)[0])
    os.chown(path, 12345, 12345)
    with pytest.raises(Misuse, match="somebody else's"):
        make(path)
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(Misuse, match="belongs to somebody else"):
        make(folder / "mi")


def test_a_folder_that_is_not_there_and_a_name_too_long_are_told(
    make: Make, tmp_path: Path
) -> None:
    with pytest.raises(Misuse, match="No such file"):
        make(tmp_path / "none" / "mi")
    with pytest.raises(Misuse, match="too long"):
        make(tmp_path / ("x" * 300))


def test_what_took_its_place_is_not_removed(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "mi"
    fd, identity = make(path)
    path.rename(tmp_path / "moved")
    path.write_text("somebody else's")
    private_files.remove(path, identity)
    assert path.read_text() == "somebody else's"
    path.unlink()
    private_files.remove(path, identity)  # nothing there: nothing to do
    os.close(fd)
