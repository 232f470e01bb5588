"""What can be wished for is checked where it is wished."""

from __future__ import annotations

import pytest

from tagmesh.protocol.capability_words import SyncWish, wish_of
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.messages import MAX_NAME_CHARS, MAX_TAGS


def test_tags_that_a_session_cannot_carry_are_the_callers_mistake() -> None:
    many = tuple(map(str, range(MAX_TAGS + 1)))
    assert SyncWish(many[1:]).tags == many[1:]
    with pytest.raises(Misuse, match="ask for at most 64"):
        SyncWish(many)
    with pytest.raises(Misuse, match="is longer than 64 characters"):
        SyncWish(("x" * (MAX_NAME_CHARS + 1),))


def test_what_somebody_may_ask_for() -> None:
    assert wish_of(["vip"], keyed=False) == SyncWish(("vip",))
    assert wish_of(keyed=True, mirror=True, dry_run=True) == SyncWish(mirror=True, dry_run=True)
    with pytest.raises(Misuse, match="only a KeyedCapability can be mirrored"):
        wish_of(keyed=False, mirror=True)
    with pytest.raises(Misuse, match="a dry run tells what a mirror would drop"):
        wish_of(keyed=True, dry_run=True)
