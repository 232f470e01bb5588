"""Requests under way: every one ends once, the heap stays small, one timer does for all."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tagmesh.capabilities.pending import GRACE_S, Pending, Reply
from tagmesh.protocol.errors import Busy, NodeDown, TimedOut


class Clock:
    """Time and timers of a test."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay_s: float, function: Callable[[], None]) -> None:
        self.timers.append((self.now_s + delay_s, function))

    def pass_to(self, now_s: float) -> None:
        while self.timers:
            self.timers.sort(key=lambda timer: timer[0])
            if self.timers[0][0] > now_s:
                break
            due_s, function = self.timers.pop(0)
            self.now_s = due_s
            function()
        self.now_s = now_s


def bench(limit: int = 100) -> tuple[Clock, Pending]:
    clock = Clock()
    return clock, Pending(limit, lambda: clock.now_s, clock.call_later)


def begun(pending: Pending, timeout_s: float, node: int = 2) -> tuple[int, Reply]:
    reply = Reply(node, timeout_s)
    number = pending.begin(reply)
    assert number is not None
    return number, reply


def test_a_reply_is_waited_for_and_then_there_for_everybody() -> None:
    _, pending = bench()
    number, reply = begun(pending, 5)
    assert not reply.done()
    got: list[object] = []
    waiters = [threading.Thread(target=lambda: got.append(reply.result())) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    assert pending.finish(number, "the reply")
    for waiter in waiters:
        waiter.join()
    assert got == ["the reply"] * 3
    assert reply.done()
    assert reply.result() == "the reply"
    assert len(pending) == 0


def test_a_request_ends_once() -> None:
    _, pending = bench()
    number, reply = begun(pending, 5)
    assert pending.finish(number, 1)
    assert not pending.finish(number, 2)
    assert not pending.finish(77, 2)
    assert reply.result() == 1


def test_an_error_is_raised_where_the_result_is_asked_for() -> None:
    _, pending = bench()
    number, reply = begun(pending, 5)
    pending.finish(number, None, Busy("not now"))
    for _ in range(2):
        with pytest.raises(Busy, match="not now"):
            reply.result()


def test_who_waits_no_longer_than_it_likes_may_ask_again() -> None:
    _, pending = bench()
    number, reply = begun(pending, 5)
    with pytest.raises(TimedOut, match=r"node 2 did not answer in 0\.01 s"):
        reply.result(timeout_s=0.01)
    assert not reply.done()
    pending.finish(number, 1)
    assert reply.result(timeout_s=0.0) == 1


def test_waiting_ends_even_if_the_node_was_stopped() -> None:
    """No timer of this request ever runs."""
    assert GRACE_S <= 1.0
    with pytest.raises(TimedOut):
        Reply(2, timeout_s=0.001 - GRACE_S).result()


def test_functions_are_called_once_whenever_they_were_added() -> None:
    _, pending = bench()
    number, reply = begun(pending, 5)
    called: list[object] = []
    reply.add_done_callback(lambda r: called.append(("before", r.result())))
    pending.finish(number, 1)
    reply.add_done_callback(lambda r: called.append(("after", r.result())))
    assert called == [("before", 1), ("after", 1)]


def test_requests_time_out_one_by_one_and_on_time() -> None:
    clock, pending = bench()
    replies = {timeout_s: begun(pending, timeout_s)[1] for timeout_s in (5, 1, 3, 3.5, 2)}
    for now_s in (100.9, 101, 101.9, 102, 103, 103.4, 103.5, 104.9, 105):
        clock.pass_to(now_s)
        assert {t for t, reply in replies.items() if reply.done()} == {
            t for t in replies if 100 + t <= now_s
        }
    with pytest.raises(TimedOut, match="in 3 s"):
        replies[3].result()
    assert pending.timed_out == 5
    assert clock.timers == []


def test_one_timer_does_for_all() -> None:
    clock, pending = bench()
    for _ in range(50):
        begun(pending, 5)
    assert len(clock.timers) == 1
    numbers = [begun(pending, 2)[0] for _ in range(50)]
    assert len(clock.timers) == 2, "an earlier one was needed"
    for number in numbers:
        pending.finish(number, None)
    clock.pass_to(102)
    assert len(clock.timers) <= 2
    clock.pass_to(105)
    assert clock.timers == []
    assert (pending.timed_out, len(pending)) == (50, 0)


def test_a_timer_that_comes_early_does_nothing_too_early() -> None:
    clock, pending = bench()
    _, reply = begun(pending, 5)
    ((due_s, function),) = clock.timers
    clock.timers.clear()
    clock.now_s = due_s - 0.001
    function()
    assert not reply.done()
    clock.pass_to(due_s)
    assert reply.done()


def test_there_is_a_limit_and_what_is_done_makes_room() -> None:
    _, pending = bench(limit=10)
    numbers = [begun(pending, 5)[0] for _ in range(10)]
    assert pending.begin(Reply(2, 5)) is None
    pending.finish(numbers[3], None)
    begun(pending, 5)


def test_requests_that_are_done_long_before_their_time_leave_nothing_behind() -> None:
    clock, pending = bench(limit=10)
    for number in range(10_000):
        assert pending.finish(begun(pending, 3600)[0], number)
    assert len(pending._deadlines) <= 21
    assert len(clock.timers) == 1


def test_the_requests_to_a_node_end_together() -> None:
    _, pending = bench()
    to_two = [begun(pending, 5, node=2)[1] for _ in range(5)]
    to_three = [begun(pending, 5, node=3)[1] for _ in range(5)]
    pending.fail(NodeDown("node 2 went down"), 2)
    assert all(reply.done() for reply in to_two)
    assert not any(reply.done() for reply in to_three)
    with pytest.raises(NodeDown):
        to_two[4].result()
    pending.fail(Busy("over"))
    assert len(pending) == 0
