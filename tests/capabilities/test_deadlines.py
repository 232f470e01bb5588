"""Deadlines are told once, never early, a second late at most, and leave nothing behind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tagmesh.capabilities.deadlines import SLOT_MS, Deadlines

ALL = 1000


def test_a_key_is_due_after_its_deadline_and_once() -> None:
    deadlines = Deadlines()
    deadlines.add(5000, b"a")
    deadlines.add(5999, b"b")
    assert deadlines.due(4999, ALL) == []
    assert deadlines.due(5999, ALL) == []
    assert sorted(deadlines.due(6000, ALL)) == [b"a", b"b"]
    assert deadlines.due(10**9, ALL) == []


def test_what_is_discarded_is_never_due() -> None:
    deadlines = Deadlines()
    deadlines.add(5000, b"a")
    deadlines.discard(5000, b"a")
    deadlines.discard(5000, b"was not there")
    assert deadlines.due(10**9, ALL) == []


def test_a_limit_leaves_the_rest_for_the_next_time() -> None:
    deadlines = Deadlines()
    for number in range(10):
        deadlines.add(1000 + number % 2 * 5000, bytes((number,)))
    found = [deadlines.due(10**6, 4) for _ in range(4)]
    assert [len(keys) for keys in found] == [4, 4, 2, 0]
    assert len(set().union(*found)) == 10


def test_a_key_rewritten_for_ever_leaves_nothing_behind() -> None:
    deadlines = Deadlines()
    for number in range(10_000):
        deadlines.add(number * SLOT_MS, b"a")
        deadlines.discard(number * SLOT_MS, b"a")
    deadlines.add(1, b"a")
    assert deadlines.slots.keys() == {1}
    assert len(deadlines._order) < 100


@given(st.dictionaries(st.binary(min_size=1, max_size=2), st.integers(0, 20_000), max_size=30))
def test_every_key_is_due_within_a_second(wanted: dict[bytes, int]) -> None:
    deadlines = Deadlines()
    for key, deadline_ms in wanted.items():
        deadlines.add(deadline_ms, key)
    told = {key: now for now in range(0, 22_000, 250) for key in deadlines.due(now, ALL)}
    assert told.keys() == wanted.keys()
    assert all(0 <= told[key] - wanted[key] <= SLOT_MS + 250 for key in wanted)
    assert deadlines.slots == {}
