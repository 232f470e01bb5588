"""Who was removed survives the process, and a damaged file lets nobody in (X-3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagmesh.protocol.errors import StorageUnavailable
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.removal_messages import Removal
from tagmesh.protocol.tombstones import MAX_TOMBSTONES, Stone
from tagmesh.storage import RemovalFile
from tagmesh.storage.removal_file import newest_of_each

ONE = ClusterId(1)


def stone(node: int, removed_ms: int = 5) -> Stone:
    return ONE, Removal(node, removed_ms, 7, "an operator")


def test_what_was_written_last_is_read_by_the_next_process(tmp_path: Path) -> None:
    shelf = RemovalFile(str(tmp_path), NodeId(1))
    assert shelf.read() == ()
    shelf.write([stone(3)])
    shelf.write([stone(3), stone(4)])
    assert RemovalFile(str(tmp_path), NodeId(1)).read() == (stone(3), stone(4))
    assert RemovalFile(str(tmp_path), NodeId(2)).read() == ()


def test_a_file_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "node-1.removals").write_bytes(b'[[1,[0,"x"]]')
    with pytest.raises(StorageUnavailable, match=r"node-1.removals cannot be read: .*were removed"):
        RemovalFile(str(tmp_path), NodeId(1)).read()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="cannot be written: No such file"):
        RemovalFile(str(tmp_path / "none"), NodeId(1)).write([stone(3)])


def test_the_last_word_about_each_node_is_kept_and_the_oldest_goes() -> None:
    assert newest_of_each([stone(3, 5), stone(4, 1), stone(3, 9)]) == [stone(4, 1), stone(3, 9)]
    many = [stone(10 + n, n) for n in range(MAX_TOMBSTONES + 1)]
    assert newest_of_each(many) == many[1:]
