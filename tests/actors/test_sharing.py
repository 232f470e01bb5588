"""Sharing tags as an application uses them, over real TLS and a real database."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tagmesh import (
    Event,
    EventRecord,
    LocalCluster,
    Misuse,
    SharingTag,
    StaleTag,
    Token,
)
from tests.actors.leftovers import nothing_stays, until


@pytest.fixture(scope="module")
def lab() -> Iterator[LocalCluster]:
    """Three nodes that all tests of this file share: each takes names of its own."""
    with nothing_stays(), LocalCluster(3) as lab:
        yield lab


def tags(lab: LocalCluster, name: str) -> list[SharingTag]:
    return [node.cluster(1).tag(name) for node in lab]


def test_one_has_it_and_all_know(lab: LocalCluster) -> None:
    one, two, three = tags(lab, "one")
    assert (one.active, one.token, one.holder, one.epoch) == (False, None, None, None)
    one.activate()
    assert one.active
    until(lambda: [t.holder for t in (one, two, three)] == [1, 1, 1])
    two.activate(reason="maintenance of node 1")
    assert two.active
    until(lambda: not one.active and three.status().why == "maintenance of node 1")
    assert three.holder == 2
    assert one.epoch == two.epoch == (two.token.epoch if two.token else None)
    assert [(c.epoch.number, c.owner) for c in three.history] == [(1, 1), (2, 2)]
    assert three.history[-1].reason == "maintenance of node 1"
    assert lab[3].cluster(1).tag("one") is three


def test_hand_over_and_release(lab: LocalCluster) -> None:
    one, two, three = tags(lab, "hand")
    with pytest.raises(Misuse, match="tag 'hand' of cluster 1 is not active here: nobody"):
        one.hand_over(2)
    one.activate()
    with pytest.raises(Misuse, match="node 9 is not reachable"):
        one.hand_over(9)
    one.hand_over(3)
    assert three.active
    assert not one.active
    three.release(reason="enough")
    assert not three.active
    until(lambda: two.status().why == "node 3 released it: enough")
    with pytest.raises(Misuse, match="is not active here"):
        three.release()


def test_a_tag_can_be_given_to_a_node_that_did_not_use_it(lab: LocalCluster) -> None:
    one = lab[1].cluster(1).tag("new there")
    one.activate()
    one.hand_over(3)
    three = lab[3].cluster(1).tag("new there")
    assert three.active
    heard: list[Token] = []
    three.on_backup(heard.append)
    token = three.token
    three.hand_over(1)
    assert one.active
    until(lambda: heard == [token])


def test_a_guard_lets_nobody_go_on_under_an_old_epoch(lab: LocalCluster) -> None:
    """H-24."""
    one, two, _ = tags(lab, "guard")
    with pytest.raises(StaleTag, match="tag 'guard' of cluster 1 is not active here"), one.guard():
        pytest.fail("entered")
    one.activate()
    with one.guard() as guard:
        guard.check()
        two.activate()
        until(lambda: not one.active)
        with pytest.raises(StaleTag, match="under epoch 1 of node 1 any more"):
            guard.check()
    one.activate()
    with pytest.raises(StaleTag), one.guard(guard.token):
        pytest.fail("it is active, but under another epoch")


def test_the_application_hears_of_both_edges_in_a_thread_of_its_own(lab: LocalCluster) -> None:
    """H-2, H-3: edges only."""
    one, two, _ = tags(lab, "heard")
    heard: list[tuple[str, Token, str]] = []
    events: list[EventRecord] = []
    lab[1].on(Event.TAG_CHANGED)(events.append)

    @one.on_active
    def _active(token: Token) -> None:
        heard.append(("active", token, threading.current_thread().name))

    @one.on_backup
    def _backup(token: Token) -> None:
        heard.append(("backup", token, threading.current_thread().name))

    one.activate()
    token = one.token
    one.activate()
    two.activate()
    until(lambda: len(heard) == 2 and len(events) == 2)
    assert heard == [(state, token, "tagmesh-1-tag-heard") for state in ("active", "backup")]
    assert [(e.tag, e.after) for e in events] == [("heard", "active"), ("heard", "backup")]


def test_a_node_that_is_killed_has_it_no_longer_and_does_not_steal_it_back(
    lab: LocalCluster,
) -> None:
    one, two, three = tags(lab, "killed")
    three.activate()
    until(lambda: one.holder == 3)
    lab.kill(3)
    lab.restart(3)
    again = lab[3].cluster(1).tag("killed")
    until(lambda: one.status().why == "node 3 had it last and restarted")
    two.activate()
    until(lambda: again.holder == 2)
    assert not three.active


def test_names_that_no_tag_can_have(lab: LocalCluster) -> None:
    for name in ("", " vip", "x" * 65, "a\n"):
        with pytest.raises(Misuse, match="cannot be the name of a sharing tag"):
            lab[1].cluster(1).tag(name)


def test_tags_stand_in_the_status(lab: LocalCluster) -> None:
    """H-27: what others use is shown, too."""
    lab[1].cluster(1).tag("shown").activate()

    def seen(node: int) -> tuple[str, bool, int | None] | None:
        (cluster,) = lab[node].status().clusters
        found = [t for t in cluster.tags if t.name == "shown"]
        return (found[0].state, found[0].declared, found[0].holder) if found else None

    until(lambda: (seen(1), seen(2)) == (("active", True, 1), ("backup", False, 1)))


def test_a_tag_is_there_before_the_node_and_after_it() -> None:
    with nothing_stays(), LocalCluster(1) as lab:
        node = lab[1]
        tag = node.cluster(1).tag("vip")
        with pytest.raises(Misuse, match="has no lease: its mode is manual"):
            tag.pause()
        tag.activate()
        node.stop()
        assert not tag.active
        with pytest.raises(Misuse, match="is not running"):
            tag.activate()
        node.start()
        assert not tag.active
        tag.activate()
        assert tag.epoch is not None
        assert tag.epoch.number == 2
