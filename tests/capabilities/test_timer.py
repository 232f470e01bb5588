"""A timer that is armed again and again, and survives a stop and start of its node."""

from __future__ import annotations

from tagmesh.capabilities.timer import Timer
from tagmesh.protocol.contract import Capability
from tests.capabilities.fake_cluster import FakeCluster


class Nobody(Capability):
    """Has a port."""

    name = "nobody"


def bench() -> tuple[FakeCluster[Nobody], Timer, list[float]]:
    cluster = FakeCluster(Nobody, nodes=1)
    called: list[float] = []
    return cluster, Timer(cluster[1], lambda: called.append(cluster.now_s)), called


def test_the_soonest_time_counts_and_it_is_called_once() -> None:
    cluster, timer, called = bench()
    assert not timer.armed()
    for delay_s in (5.0, 3.0, 4.0, 3.0):
        timer.arm(delay_s)
    assert timer.armed()
    cluster.advance(10)
    assert called == [3.0]
    assert not timer.armed()


def test_it_can_be_armed_again_also_while_it_is_called() -> None:
    """The timer for second 5, outdated by the one for second 3, must not answer for second 13."""
    cluster = FakeCluster(Nobody, nodes=1)
    called: list[float] = []

    def work() -> None:
        called.append(cluster.now_s)
        if len(called) < 3:
            timer.arm(10.0)

    timer = Timer(cluster[1], work)
    timer.arm(5.0)
    timer.arm(3.0)
    cluster.advance(40)
    assert called == [3.0, 13.0, 23.0]


def test_a_time_that_has_passed_is_now() -> None:
    cluster, timer, called = bench()
    cluster.advance(10)
    timer.arm_at(3.0)
    cluster.advance(0)
    assert called == [10.0]


def test_on_another_port_it_is_armed_anew() -> None:
    cluster, timer, called = bench()
    timer.arm(5.0)
    cluster.stop_and_start(1)
    assert not timer.armed(), "the timers of the port before never come"
    timer.arm(7.0)
    cluster.advance(10)
    assert called == [7.0]
