"""What can be wished for is checked where it is wished."""

from __future__ import annotations

import pytest

from tagmesh.protocol.capability_words import SyncWish
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.messages import MAX_NAME_CHARS, MAX_TAGS


def test_tags_that_a_session_cannot_carry_are_the_callers_mistake() -> None:
    many = tuple(map(str, range(MAX_TAGS + 1)))
    assert SyncWish(many[1:]).tags == many[1:]
    with pytest.raises(Misuse, match="ask for at most 64"):
        SyncWish(many)
    with pytest.raises(Misuse, match="is longer than 64 characters"):
        SyncWish(("x" * (MAX_NAME_CHARS + 1),))
