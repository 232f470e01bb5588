"""Writes that the node with the tag does for others: done once, or an error that says why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tagmesh.capabilities import forwarding
from tagmesh.capabilities.forwarding import FORWARD_TIMEOUT_S
from tagmesh.capabilities.map_messages import Forwarded, Write
from tagmesh.capabilities.pending import Reply
from tagmesh.capabilities.records import pack_key, pack_value
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tagmesh.protocol.errors import (
    Busy,
    CapabilityDisabled,
    Misuse,
    NodeDown,
    NotTagOwner,
    RemoteError,
    TimedOut,
    Unreachable,
)
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import CapState
from tests.capabilities.fake_cluster import FakeCluster
from tests.capabilities.map_bench import AT_ONCE, same_everywhere

Maps = FakeCluster[ReplicatedMap]


@pytest.fixture
def cluster() -> Maps:
    """Node 1 has the tag."""
    made: Maps = FakeCluster(lambda: ReplicatedMap("calls", run=AT_ONCE, forward=True))
    made.activate(1, "vip")
    return made


def put(key: str = "k", value: object = "of 2") -> Write:
    return Write("put", pack_key(key), "vip", pack_value(value))


def ask(cluster: Maps, write: Write, node: int = 2) -> Reply:
    """What a write on a backup does, without waiting."""
    return cluster[node].forwarding.ask(1, "vip", write)


def waiting(cluster: Maps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a reply lets the cluster go on."""
    inner = Reply.result

    def result(self: Reply, timeout_s: float | None = None) -> Any:
        cluster.settle()
        return inner(self, timeout_s)

    monkeypatch.setattr(Reply, "result", result)


def test_the_owner_does_what_a_backup_is_asked_for(
    cluster: Maps, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(cluster, monkeypatch)
    cluster[2].put("k", {"a": 1}, tag="vip", ttl_s=100)
    assert cluster[2].fetch("k") == {"a": 1}, "it is here when the call returns"
    cluster[3].patch("k", {"b": 2})
    cluster[2].put("gone", 1, tag="vip")
    cluster[3].delete("gone")
    assert same_everywhere(cluster) == {"k": {"a": 1, "b": 2}}
    cluster.advance(102)
    assert same_everywhere(cluster) == {}


def test_without_forward_it_is_refused(cluster: Maps) -> None:
    cluster[2].forward = False
    with pytest.raises(NotTagOwner, match="active on node 1"):
        cluster[2].put("k", 1, tag="vip")
    cluster.settle()
    assert same_everywhere(cluster) == {}


def test_nobody_is_asked_when_nobody_has_the_tag(cluster: Maps) -> None:
    cluster.release(1, "vip")
    with pytest.raises(NotTagOwner, match="active nowhere"):
        cluster[2].put("k", 1, tag="vip")


def test_the_owner_judges_by_its_own_token(cluster: Maps) -> None:
    """So another life of it, which got the message again, does nothing."""
    late = ask(cluster, put())
    cluster.activate(1, "vip", told=[1])
    cluster.settle()
    with pytest.raises(NotTagOwner, match="not active on node 1 under epoch 1 of node 1 any more"):
        late.result()
    cluster.ports[NodeId(1)].tokens.clear()
    gone = ask(cluster, put())
    cluster.settle()
    with pytest.raises(NotTagOwner):
        gone.result()
    assert same_everywhere(cluster) == {}
    moved = cluster[2].forwarding.ask(3, "vip", put())
    with pytest.raises(NotTagOwner, match="has just moved"):
        moved.result()


def fill(cluster: Maps) -> None:
    cluster[1]._max_records = 0


def switch_off(cluster: Maps) -> None:
    cluster.ports[NodeId(1)].current_state = CapState.DISABLED


@pytest.mark.parametrize(
    ("write", "trouble", "error", "text"),
    [
        (put(), fill, Busy, "node 1: map 'calls' is full"),
        (put(), switch_off, CapabilityDisabled, "node 1: map 'calls' is switched off"),
        (Write("delete", pack_key("none")), None, KeyError, "none"),
        (Write("patch", pack_key("k"), "vip", pack_value([1])), None, Misuse, "no dict"),
        (Write("put", pack_key("k"), "vip", b"\xc1", -1.0), None, Misuse, "ttl_s is -1"),
        (Write("patch", pack_key("k"), "vip", b"\xc1"), None, RemoteError, "node 1"),
        (Write("put", pack_key("k"), "other", b"\xc0"), None, NotTagOwner, "active nowhere"),
    ],
)
def test_what_the_owner_raises_is_raised_where_it_was_asked(
    cluster: Maps,
    write: Write,
    trouble: Callable[[Maps], None] | None,
    error: type[Exception],
    text: str,
) -> None:
    if trouble is not None:
        trouble(cluster)
    reply = ask(cluster, write)
    cluster.settle()
    with pytest.raises(error, match=text):
        reply.result()


def test_every_request_ends(cluster: Maps, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = ask(cluster, put("slow"))
    cluster.loss = 1.0
    cluster.advance(FORWARD_TIMEOUT_S + 0.1)
    with pytest.raises(TimedOut):
        slow.result()
    cluster.loss = 0.0
    down = ask(cluster, put("down"))
    cluster.cut(1, 2)
    with pytest.raises(NodeDown, match="node 1 went down"):
        down.result()
    with pytest.raises(Unreachable):
        ask(cluster, put("none")).result()
    cluster.heal(1, 2)
    off = ask(cluster, put("off"))
    cluster[2].on_state(CapState.DISABLED, "an operator")
    with pytest.raises(CapabilityDisabled):
        off.result()
    stopped = ask(cluster, put("stopped"))
    cluster[2].on_stop()
    with pytest.raises(Unreachable, match="stopped"):
        stopped.result()
    monkeypatch.setattr(forwarding, "MAX_FORWARDED", 0)
    fresh: Maps = FakeCluster(lambda: ReplicatedMap("calls", run=AT_ONCE, forward=True))
    fresh.activate(1, "vip")
    with pytest.raises(Busy, match="0 writes wait"):
        ask(fresh, put()).result()


def test_what_cannot_be_sent_is_the_callers_mistake(
    cluster: Maps, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: object) -> None:
        raise Misuse("too long")

    monkeypatch.setattr(cluster.ports[NodeId(2)], "send", refuse)
    with pytest.raises(Misuse, match="too long"):
        ask(cluster, put())
    assert len(cluster[2].forwarding._pending) == 0


def test_an_answer_to_an_earlier_life_ends_nothing(cluster: Maps) -> None:
    reply = ask(cluster, put())
    cluster[2].forwarding.answered(Forwarded(1, 1, "Busy", "of long ago"), NodeId(1))
    assert not reply.done()
    cluster.settle()
    assert reply.result() is None
