"""Sharing tags of a node without a database: numbers never go back."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tagmesh.protocol.errors import Misuse, StorageUnavailable
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.tag_claims import MAX_KNOWN_TAGS
from tagmesh.protocol.tag_messages import Claim
from tagmesh.protocol.tag_words import MAX_EPOCH_NUMBER, Owner, TagRow
from tagmesh.storage import FileTagStore
from tests.storage.owners import A_RESTARTED, C1, C2, VIP, A, B

ME = NodeId(1)


@pytest.fixture
def tags(tmp_path: Path) -> FileTagStore:
    return FileTagStore(str(tmp_path), ME)


def _heard(number: int, owner: Owner, tag: str = VIP, *, released: bool = False) -> Claim:
    return Claim(tag, number, owner.node_id, owner.incarnation, 50, released=released)


def test_what_is_claimed_is_there_after_a_restart(tags: FileTagStore, tmp_path: Path) -> None:
    assert tags.load(C1) == ()
    assert list(tmp_path.iterdir()) == []
    done, row = tags.claim(C1, VIP, A, seen=0)
    assert done
    assert row == TagRow(tag=VIP, number=1, owner=A, released=False)
    tags.claim(C1, "abc", A, seen=5)
    tags.claim(C2, VIP, A, seen=8)
    tags.close()
    again = FileTagStore(str(tmp_path), ME)
    assert [(row.tag, row.number) for row in again.load(C1)] == [("abc", 6), (VIP, 1)]
    assert [row.number for row in again.load(C2)] == [9]
    assert FileTagStore(str(tmp_path), NodeId(2)).load(C1) == ()


def test_the_next_number_is_above_every_one_given_or_heard(tags: FileTagStore) -> None:
    tags.claim(C1, VIP, A, seen=0)
    assert tags.keep(C1, _heard(7, B)).done
    done, row = tags.claim(C1, VIP, A, seen=1)
    assert not done
    assert row == TagRow(tag=VIP, number=7, owner=B, released=False)
    assert tags.claim(C1, VIP, A, seen=7).done
    assert not tags.keep(C1, _heard(7, B)).done
    assert tags.keep(C1, _heard(8, B, released=True)).done  # the rules know which of two counts
    (row,) = tags.load(C1)
    assert (row.number, row.owner, row.released) == (8, B, True)


def test_only_the_owner_gives_a_tag_up(tags: FileTagStore) -> None:
    assert tags.release(C1, VIP, A, number=1) == (False, None)
    tags.claim(C1, VIP, A, seen=0)
    for owner, number in ((B, 1), (A_RESTARTED, 1), (A, 2)):
        assert not tags.release(C1, VIP, owner, number=number).done
    done, row = tags.release(C1, VIP, A, number=1)
    assert done
    assert row == TagRow(tag=VIP, number=1, owner=A, released=True)
    assert tags.load(C1) == (row,)


def test_of_many_threads_that_saw_the_same_one_succeeds(tags: FileTagStore) -> None:
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(tags.claim(C1, VIP, A, seen=0).done))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] * 7 + [True]


def test_limits(tags: FileTagStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tags.claim(C1, VIP, A, seen=MAX_EPOCH_NUMBER - 1).done
    with pytest.raises(Misuse, match="is the last there is"):
        tags.claim(C1, VIP, A, seen=MAX_EPOCH_NUMBER)
    with pytest.raises(Misuse, match="cannot be the name of a sharing tag"):
        tags.claim(C1, "vip ", A, seen=0)
    monkeypatch.setattr(os, "fsync", lambda _fd: None)
    for number in range(MAX_KNOWN_TAGS):
        tags.claim(C2, f"t{number}", A, seen=0)
    calls: list[Callable[[], object]] = [
        lambda: tags.claim(C2, VIP, A, seen=0),
        lambda: tags.keep(C2, _heard(1, B)),
    ]
    for call in calls:
        with pytest.raises(Misuse, match="has 256 sharing tags already"):
            call()
    assert tags.claim(C2, "t0", A, seen=1).done


@pytest.mark.parametrize("content", ["", "{", "[]", '{"1": {"vip1": {"tag": "vip1"}}}'])
def test_a_file_that_cannot_be_read_does_not_count_as_empty(
    tags: FileTagStore, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "node-1.tags"
    path.write_text(content)
    calls: list[Callable[[], object]] = [
        lambda: tags.load(C1),
        lambda: tags.claim(C1, VIP, A, seen=0),
        lambda: tags.keep(C1, _heard(1, B)),
        lambda: tags.release(C1, VIP, A, number=1),
    ]
    for call in calls:
        with pytest.raises(StorageUnavailable, match="cannot be read") as caught:
            call()
        assert str(path) in str(caught.value)
        assert not caught.value.may_pass
    assert path.read_text() == content


def test_a_claim_that_cannot_be_written_is_not_made(tags: FileTagStore, tmp_path: Path) -> None:
    tags.claim(C1, VIP, A, seen=0)
    (tmp_path / "node-1.tags-new").mkdir()  # in the way, also for root
    with pytest.raises(StorageUnavailable, match="cannot be written") as caught:
        tags.claim(C1, VIP, A, seen=1)
    assert caught.value.may_pass
    assert [row.number for row in tags.load(C1)] == [1]
    (tmp_path / "node-1.tags-new").rmdir()
    assert tags.claim(C1, VIP, A, seen=1).done
