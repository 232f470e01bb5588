"""Credit: bounded at the receiver, never stuck at the sender, and a peer cannot cheat (R-10)."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.protocol.credit import CREDIT_BYTES, Granted, Spent
from tagmesh.protocol.errors import PeerViolation
from tagmesh.protocol.messages import MAX_BATCH_BYTES

HALF = CREDIT_BYTES // 2


def test_both_sides_begin_with_the_window() -> None:
    spent, granted = Spent(), Granted()
    assert spent.left_bytes == CREDIT_BYTES
    assert spent.spend(CREDIT_BYTES)
    granted.received(CREDIT_BYTES)
    assert (spent.left_bytes, granted.held_bytes) == (0, CREDIT_BYTES)


def test_at_the_limit_nothing_more_is_sent_and_nothing_is_counted() -> None:
    spent = Spent()
    assert spent.spend(CREDIT_BYTES - 10)
    assert not spent.spend(11)
    assert spent.left_bytes == 10
    assert spent.spend(10)
    assert not spent.spend(1)


def test_what_was_not_sent_after_all_is_not_spent() -> None:
    spent = Spent()
    assert spent.spend(CREDIT_BYTES)
    spent.take_back(10)
    assert (spent.left_bytes, spent.spent_bytes) == (10, CREDIT_BYTES - 10)


def test_who_asks_whether_it_was_allowed_gets_no_violation() -> None:
    granted = Granted()
    assert granted.takes(CREDIT_BYTES)
    assert not granted.takes(1)
    assert granted.held_bytes == CREDIT_BYTES, "what was not allowed is not counted"


def test_more_than_was_allowed_is_a_violation() -> None:
    granted = Granted()
    granted.received(CREDIT_BYTES)
    with pytest.raises(PeerViolation, match="1048577 bytes came where credit allowed 1048576"):
        granted.received(1)


def test_a_new_limit_is_given_with_each_half_window_consumed() -> None:
    granted = Granted()
    granted.received(CREDIT_BYTES)
    assert granted.consumed(HALF - 1) is None
    assert granted.consumed(1) == HALF + CREDIT_BYTES
    assert granted.consumed(HALF - 1) is None
    assert granted.consumed(1) == 2 * CREDIT_BYTES
    granted.received(CREDIT_BYTES)
    assert granted.held_bytes == CREDIT_BYTES


def test_a_new_limit_lets_the_sender_go_on() -> None:
    spent = Spent()
    assert spent.spend(CREDIT_BYTES)
    spent.granted(CREDIT_BYTES + 7)
    assert spent.left_bytes == 7
    spent.granted(CREDIT_BYTES + 7)
    assert spent.left_bytes == 7


def test_credit_that_is_taken_back_is_a_violation() -> None:
    spent = Spent()
    with pytest.raises(PeerViolation, match=r"credit of 1048575 bytes .* it only grows"):
        spent.granted(CREDIT_BYTES - 1)
    assert spent.left_bytes == CREDIT_BYTES


def test_consuming_what_never_came_is_our_bug() -> None:
    granted = Granted()
    granted.received(5)
    with pytest.raises(AssertionError, match="consumed what never came"):
        granted.consumed(6)


@pytest.mark.parametrize("side", [Spent, Granted])
def test_a_window_too_small_for_two_messages_is_our_bug(side: type[Spent | Granted]) -> None:
    """The smallest window that is allowed never starves: see the property below."""
    side(2 * MAX_BATCH_BYTES)
    with pytest.raises(AssertionError, match="may never let a message through"):
        side(2 * MAX_BATCH_BYTES - 1)


sizes = st.one_of(st.integers(1, MAX_BATCH_BYTES), st.just(MAX_BATCH_BYTES), st.integers(1, 200))
steps = st.lists(st.sampled_from(["send", "arrive", "consume", "credit"]), max_size=150)


@given(st.integers(2 * MAX_BATCH_BYTES, CREDIT_BYTES), st.lists(sizes, max_size=40), steps)
def test_a_sender_never_exceeds_and_never_starves(
    window: int, messages: list[int], order: list[str]
) -> None:
    """Messages, credits and the application each take their time, in any order; then they all
    get on, and everything is through."""
    spent, granted = Spent(window), Granted(window)
    waiting, way, held, back = deque(messages), deque[int](), deque[int](), deque[int]()

    def step(what: str) -> bool:
        """Whether anything moved."""
        if what == "send" and waiting and spent.spend(waiting[0]):
            way.append(waiting.popleft())
        elif what == "arrive" and way:
            held.append(way.popleft())
            granted.received(held[-1])  # raises if the sender exceeded
        elif what == "consume" and held:
            limit = granted.consumed(held.popleft())
            if limit is not None:
                back.append(limit)
        elif what == "credit" and back:
            spent.granted(back.popleft())
        else:
            return False
        assert granted.held_bytes == sum(held)
        assert sum(way) + sum(held) <= window
        return True

    for what in order:
        step(what)
    while any(step(what) for what in ("send", "arrive", "consume", "credit")):
        pass
    assert not waiting
    assert not held
