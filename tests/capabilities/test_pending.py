"""Requests under way: every one ends once, one timer does for all."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tagmesh.capabilities.pending import GRACE_S, PAUSE_S, Pending, Reply
from tagmesh.protocol.contract import Capability
from tagmesh.protocol.errors import Busy, NodeDown, TimedOut
from tests.capabilities.fake_cluster import FakeCluster


class Nobody(Capability):
    """Has a port."""

    name = "nobody"


def bench(limit: int = 100) -> tuple[FakeCluster[Nobody], Pending]:
    cluster = FakeCluster(Nobody, nodes=1)
    return cluster, Pending(limit, cluster[1])


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
    cluster, pending = bench()
    replies = {timeout_s: begun(pending, timeout_s)[1] for timeout_s in (5, 1, 3, 3.5, 2)}
    for now_s in (0.9, 1, 1.9, 2, 3, 3.4, 3.5, 4.9, 5):
        cluster.advance(now_s - cluster.now_s)
        assert {t for t, reply in replies.items() if reply.done()} == {
            t for t in replies if t <= now_s
        }
    with pytest.raises(TimedOut, match="in 3 s"):
        replies[3].result()
    assert pending.timed_out == 5
    assert cluster.timers == 0


def test_one_timer_does_for_all() -> None:
    cluster, pending = bench()
    for _ in range(50):
        begun(pending, 5)
    assert cluster.timers == 1
    numbers = [begun(pending, 2)[0] for _ in range(50)]
    assert cluster.timers == 2, "an earlier one was needed"
    for number in numbers:
        pending.finish(number, None)
    cluster.advance(3)
    assert cluster.timers <= 2
    cluster.advance(2)
    assert cluster.timers == 0
    assert (pending.timed_out, len(pending)) == (50, 0)


def test_after_the_node_was_stopped_and_started_requests_still_time_out() -> None:
    cluster, pending = bench()
    _, before = begun(pending, 5)
    cluster.advance(1)
    cluster.stop_and_start(1)
    _, after = begun(pending, 10)
    cluster.advance(10)
    assert before.done()
    assert after.done()


def test_there_is_a_limit_and_what_is_done_makes_room() -> None:
    _, pending = bench(limit=10)
    numbers = [begun(pending, 5)[0] for _ in range(10)]
    assert pending.begin(Reply(2, 5)) is None
    pending.finish(numbers[3], None)
    begun(pending, 5)


def test_requests_that_are_done_long_before_their_time_leave_nothing_behind() -> None:
    cluster, pending = bench(limit=10)
    for number in range(10_000):
        assert pending.finish(begun(pending, 3600)[0], number)
    assert len(pending) == 0
    assert cluster.timers == 1


def test_many_that_end_one_after_the_other_are_not_looked_at_for_each() -> None:
    cluster, pending = bench(limit=1000)
    looked: list[float] = []
    pending._replies = Counted(looked, lambda: cluster.now_s)
    replies = [begun(pending, 1 + number / 10_000)[1] for number in range(1000)]
    cluster.advance(1.1 + PAUSE_S)
    assert all(reply.done() for reply in replies)
    assert len(looked) <= 0.1 / PAUSE_S + 2


class Counted(dict[int, Reply]):
    """Notes when it is copied."""

    def __init__(self, looked: list[float], clock: Callable[[], float]) -> None:
        super().__init__()
        self.looked, self.clock = looked, clock

    def copy(self) -> dict[int, Reply]:
        self.looked.append(self.clock())
        return super().copy()


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
