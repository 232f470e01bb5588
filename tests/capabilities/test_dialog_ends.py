"""Dialogs end once, where their tag is active, and functions of the application hear of it."""

from __future__ import annotations

import pytest

from tagmesh.capabilities.dialog_records import Dialog
from tagmesh.capabilities.dialogs import LOOK_S, MAX_EXPIRED, UNTAGGED_GRACE_S
from tagmesh.protocol.errors import NotTagOwner
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import CapState
from tests.capabilities.dialog_samples import LIFE_S, NOW_S, booted, dialog, keys


def test_an_expired_dialog_ends_once_where_its_tag_is_active() -> None:
    cluster = booted(3)
    cluster[1].create(dialog(1), "vip1")
    cluster[2].create(dialog(2), "vip2")
    cluster.advance(LIFE_S)
    assert [cluster[node].heard for node in (1, 2, 3)] == [[], [], []], "never early"
    cluster.advance(2 * LOOK_S)
    assert cluster[1].heard == [("over", dialog(1).callid, 1), ("expired", dialog(1).callid, 1)]
    assert cluster[2].heard == [("over", dialog(2).callid, 1), ("expired", dialog(2).callid, 1)]
    assert cluster[3].heard == []
    assert [keys(cluster, node) for node in (1, 2, 3)] == [[], [], []]
    cluster.advance(10 * LIFE_S)
    assert sum(len(cluster[node].heard) for node in (1, 2, 3)) == 4


def test_a_dialog_that_goes_on_expires_later() -> None:
    cluster = booted()
    cluster[1].create(dialog(1), "vip1")
    cluster.advance(LIFE_S / 2)
    cluster[1].update(dialog(1).key, timeout=NOW_S + 200)
    cluster.advance(LIFE_S)
    assert cluster[1].heard == []
    cluster.advance(200)
    assert [what for what, _, _ in cluster[1].heard] == ["over", "expired"]


def test_a_function_can_give_a_dialog_more_time() -> None:
    cluster = booted()
    longer = iter((NOW_S + 200,))

    @cluster[1].on_expired
    def extend(over: Dialog, _token: object) -> None:
        for timeout in longer:
            cluster[1].update(over.key, timeout=timeout)

    cluster[1].create(dialog(1), "vip1")
    cluster.advance(LIFE_S + 2 * LOOK_S)
    assert [what for what, _, _ in cluster[1].heard] == ["over"]
    assert keys(cluster, 1) == keys(cluster, 2) == [dialog(1).key]
    cluster.advance(200)
    assert [what for what, _, _ in cluster[1].heard] == ["over", "over", "expired"]
    assert keys(cluster, 1) == keys(cluster, 2) == []


def test_nothing_expires_while_nobody_has_the_tag_and_all_when_somebody_has() -> None:
    """The owner dies; the next one ends what has expired meanwhile, under its own epoch."""
    cluster = booted()
    cluster[1].create(dialog(1), "vip1")
    cluster.advance(1)
    cluster.restart(1)
    cluster.advance(5 * LIFE_S)
    assert cluster[2].heard == []
    assert keys(cluster, 2) == [dialog(1).key], "kept for the next owner"
    cluster.activate(2, "vip1")
    cluster.advance(2 * LOOK_S)
    assert cluster[2].heard == [("over", dialog(1).callid, 2), ("expired", dialog(1).callid, 2)]
    assert keys(cluster, 2) == []


def test_the_former_owner_does_nothing_more() -> None:
    cluster = booted()
    cluster[1].create(dialog(1), "vip1")
    cluster.settle()
    cluster.activate(2, "vip1")
    with pytest.raises(NotTagOwner):
        cluster[1].terminate(dialog(1).key)
    cluster.advance(LIFE_S + 2 * LOOK_S)
    assert cluster[1].heard == []
    assert [what for what, _, _ in cluster[2].heard] == ["over", "expired"]


def test_a_tag_that_moves_while_the_function_runs_leaves_the_end_to_the_next() -> None:
    """At least once: the next owner calls the function as well, with a higher token."""
    cluster = booted()
    cluster[1].create(dialog(1), "vip1")

    @cluster[1].on_expired
    def moves(_dialog: Dialog, _token: object) -> None:
        cluster.activate(2, "vip1")

    cluster.advance(LIFE_S + 3 * LOOK_S)
    assert cluster[1].heard == [("over", dialog(1).callid, 1)], "no accounting here"
    assert cluster[2].heard == [("over", dialog(1).callid, 2), ("expired", dialog(1).callid, 2)]


def test_a_dialog_without_a_tag_ends_where_it_was_written_or_is_forgotten() -> None:
    cluster = booted()
    cluster[1].create(dialog(1))
    cluster[2].create(dialog(2))
    cluster.advance(1)
    cluster.restart(2)
    cluster.advance(LIFE_S + 2 * LOOK_S)
    assert cluster[1].heard == [
        ("over", dialog(1).callid, None),
        ("expired", dialog(1).callid, None),
    ]
    assert keys(cluster, 1) == [dialog(2).key]
    cluster.advance(UNTAGGED_GRACE_S)
    assert keys(cluster, 1) == []
    assert len(cluster[1].heard) == 2


def test_a_terminated_dialog_is_accounted_for_where_that_was_done() -> None:
    cluster = booted()
    cluster[1].create(dialog(1), "vip1")
    cluster.settle()
    cluster[1].terminate(dialog(1).key)
    cluster.advance(2 * LIFE_S)
    assert cluster[1].heard == [("terminated", dialog(1).callid, 1)]
    assert cluster[2].heard == []


def test_a_function_that_raises_ends_the_dialog_all_the_same() -> None:
    cluster = booted()

    @cluster[1].on_expired
    def broken(_dialog: Dialog, _token: object) -> None:
        raise RuntimeError("no BYE today")

    cluster[1].create(dialog(1), "vip1")
    cluster.advance(LIFE_S + 2 * LOOK_S)
    assert keys(cluster, 1) == []
    assert cluster[1].failures == 1


def test_a_node_that_is_switched_off_ends_nothing_until_it_is_on() -> None:
    cluster = booted()
    cluster[1].create(dialog(1), "vip1")
    cluster.ports[NodeId(1)].current_state = CapState.DISABLED
    cluster.advance(LIFE_S + 10 * LOOK_S)
    assert cluster[1].heard == []
    cluster.ports[NodeId(1)].current_state = CapState.OK
    cluster.advance(2 * LOOK_S)
    assert [what for what, _, _ in cluster[1].heard] == ["over", "expired"]


def test_very_many_expire_in_turns_of_the_hub() -> None:
    cluster = booted()
    for number in range(MAX_EXPIRED + 10):
        cluster[1].create(dialog(number), "vip1")
    cluster.advance(LIFE_S + 2 * LOOK_S)
    assert len(cluster[1].heard) == 2 * (MAX_EXPIRED + 10)
    assert len(cluster[2]) == 0
