"""Counters add up over the cluster, whatever happens to messages and nodes."""

from __future__ import annotations

import threading

import pytest

from tagmesh.capabilities.counters import MAX_AMOUNT, MAX_COUNTERS, Counters
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import NodeId
from tests.capabilities.fake_cluster import FakeCluster


def values(cluster: FakeCluster[Counters], name: str = "calls") -> list[int]:
    return [counters.value(name) for counters in cluster.capabilities.values()]


def test_what_nodes_add_and_take_away_is_summed_everywhere() -> None:
    cluster = FakeCluster(Counters)
    cluster[1].add("calls")
    cluster[2].add("calls", 10)
    cluster[3].add("calls", -4)
    cluster[1].add("other", 2)
    cluster.settle()
    assert values(cluster) == [7, 7, 7]
    assert values(cluster, "other") == [2, 2, 2]
    assert values(cluster, "nobody touched it") == [0, 0, 0]


def test_lost_repeated_and_overtaking_messages_do_not_matter_once_a_later_one_comes() -> None:
    cluster = FakeCluster(Counters, seed=3)
    cluster.loss, cluster.duplicates, cluster.reorders = 0.5, 0.3, True
    for _ in range(50):
        for counters in cluster.capabilities.values():
            counters.add("calls")
        cluster.step()
    cluster.settle()
    cluster.loss = 0.0
    for counters in cluster.capabilities.values():
        counters.add("calls")
    cluster.settle()
    assert values(cluster) == [153] * 3


def test_an_old_number_after_a_newer_one_does_nothing() -> None:
    cluster = FakeCluster(Counters)
    for cell in (["calls", 2, 7, 5, 1], ["calls", 2, 7, 3, 1], ["calls", 2, 7, 5, 0]):
        cluster[1].on_message(cell, NodeId(2))
    assert cluster[1].value("calls") == 4


def test_who_was_cut_off_or_busy_is_told_when_that_is_over() -> None:
    cluster = FakeCluster(Counters)
    cluster.cut(1, 3)
    cluster.busy.add((2, 3))
    cluster[1].add("calls", 5)
    cluster[2].add("calls", 1)
    cluster[3].add("calls", 100)
    cluster.settle()
    assert values(cluster) == [6, 106, 100]
    cluster.heal(1, 3)
    cluster.room(2, 3)
    cluster.settle()
    assert values(cluster) == [106, 106, 106]


def test_a_node_that_starts_again_gets_its_own_part_back_and_adds_to_it() -> None:
    cluster = FakeCluster(Counters)
    cluster[1].add("calls", 7)
    cluster.settle()
    cluster.now_s += 1
    cluster.restart(1)
    cluster[1].add("calls", 2)  # before the sync: kept beside what is to come
    assert cluster.sync(joiner=1, donor=2) == 1
    cluster.settle()
    assert values(cluster) == [9, 9, 9]


def test_threads_lose_nothing() -> None:
    cluster = FakeCluster(Counters, nodes=1)

    def add() -> None:
        for _ in range(2000):
            cluster[1].add("calls")

    adders = [threading.Thread(target=add) for _ in range(4)]
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join()
    assert cluster[1].value("calls") == 8000


@pytest.mark.parametrize(("name", "amount"), [("", 1), ("x" * 65, 1), ("x", MAX_AMOUNT + 1)])
def test_what_cannot_be_added_is_said_at_once(name: str, amount: int) -> None:
    cluster = FakeCluster(Counters)
    with pytest.raises(Misuse, match="cannot add"):
        cluster[1].add(name, amount)
    assert cluster.under_way == 0


def test_there_is_a_limit_of_counters_for_both_sides() -> None:
    cluster = FakeCluster(Counters, nodes=1)
    for number in range(MAX_COUNTERS):
        cluster[1].add(str(number))
    with pytest.raises(Misuse, match="10000 already"):
        cluster[1].add("one more")
    with pytest.raises(Misuse, match="10000 already"):
        cluster[1].on_message(["and another", 2, 1, 1, 0], NodeId(2))
    cluster[1].add("0")
    assert cluster[1].value("0") == 2


@pytest.mark.parametrize(
    "message", [None, 5, [], ["x"], ["x", 0, 1, 1, 1], ["x", 2, 1, -1, 0], {"name": "x"}]
)
def test_what_is_no_cell_is_refused_and_changes_nothing(message: object) -> None:
    cluster = FakeCluster(Counters)
    with pytest.raises(ValueError, match=r"Expected|array"):
        cluster[1].on_message(message, NodeId(2))
    assert cluster[1].value("x") == 0
