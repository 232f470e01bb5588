"""Replicated maps as an application sees them: writes, reads, expiry, tags, stores (M-1, M-2)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tagmesh.capabilities.map_writes import MAX_TTL_S
from tagmesh.capabilities.records import TOMBSTONE_S
from tagmesh.capabilities.replica import MAX_SWEPT_RECORDS
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tagmesh.protocol.errors import (
    Busy,
    CapabilityDisabled,
    Misuse,
    NotTagOwner,
    PeerViolation,
)
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import CapState
from tests.capabilities.fake_cluster import FakeCluster
from tests.capabilities.map_bench import AT_ONCE, contents, same_everywhere, users


def test_what_is_put_on_one_node_is_read_on_all() -> None:
    cluster = users()
    cluster[1].put("alice", {"ip": "10.0.0.7"})
    cluster[2].put(7, [1, b"x", None])
    cluster[3].put(("a", 1), "tuple")
    assert cluster[1].fetch("alice") == {"ip": "10.0.0.7"}, "the writer sees it at once"
    cluster.settle()
    assert same_everywhere(cluster) == {
        "alice": {"ip": "10.0.0.7"}, 7: [1, b"x", None], ("a", 1): "tuple",
    }  # fmt: skip


def test_the_last_writer_wins_and_all_agree_who_that_was() -> None:
    cluster = users()
    cluster[1].put("k", "first")
    cluster.now_s += 1
    cluster[2].put("k", "second")
    cluster.settle()
    assert same_everywhere(cluster) == {"k": "second"}
    cluster[3].put("k", "at the same")
    cluster[1].put("k", "microsecond")
    cluster.settle()
    assert same_everywhere(cluster) == {"k": "at the same"}, "the higher node id"


def test_a_write_beats_every_write_it_knew_of_whatever_its_clock_says() -> None:
    cluster = users()
    cluster.ports[NodeId(1)].skew_s = 3600.0
    cluster[1].put("k", "from the future")
    cluster.settle()
    cluster[2].put("k", "later")
    cluster.settle()
    assert same_everywhere(cluster) == {"k": "later"}
    cluster[3].delete("k")
    cluster.settle()
    assert same_everywhere(cluster) == {}


def test_deleting_is_seen_by_all_and_what_is_gone_cannot_be_deleted() -> None:
    cluster = users()
    cluster[1].put("k", 1)
    cluster.settle()
    cluster[2].delete("k")
    with pytest.raises(KeyError, match="k"):
        cluster[2].delete("k")
    with pytest.raises(KeyError):
        cluster[2].delete("never there")
    cluster.settle()
    assert same_everywhere(cluster) == {}
    cluster[3].put("k", 2)
    cluster.settle()
    assert same_everywhere(cluster) == {"k": 2}


def test_a_late_write_does_not_bring_back_what_was_deleted() -> None:
    cluster = users()
    cluster.cut(1, 3)
    cluster[1].put("k", "old")
    cluster.settle()
    cluster.now_s += 1
    cluster[2].delete("k")
    cluster.settle()
    cluster.heal(1, 3)
    cluster.settle()
    assert same_everywhere(cluster) == {}


def test_tombstones_are_forgotten_after_an_hour_on_all_nodes() -> None:
    cluster = users()
    cluster[1].put("k", 1)
    cluster[1].delete("k")
    cluster.advance(TOMBSTONE_S - 1)
    assert [len(m.sections([])) for m in cluster.capabilities.values()] == [1, 1, 1]
    cluster.advance(5)
    assert [len(m.sections([])) for m in cluster.capabilities.values()] == [0, 0, 0]
    assert cluster._timers == [], "nothing is left to wake for"


def test_patching_changes_fields_and_leaves_the_others() -> None:
    cluster = users()
    cluster[1].put("alice", {"ip": "10.0.0.7", "port": 5060}, ttl_s=60)
    cluster.settle()
    cluster[2].patch("alice", {"port": 5061, "tls": True})
    cluster[2].patch("bob", {"port": 1})
    cluster.settle()
    assert same_everywhere(cluster) == {
        "alice": {"ip": "10.0.0.7", "port": 5061, "tls": True}, "bob": {"port": 1},
    }  # fmt: skip
    cluster.advance(62)
    assert same_everywhere(cluster) == {"bob": {"port": 1}}, "patching keeps the expiry"
    cluster[3].patch("alice", {"tls": False})
    assert cluster[3].fetch("alice") == {"tls": False}, "what has expired is not patched"


def test_only_dicts_have_fields() -> None:
    cluster = users()
    cluster[1].put("k", [1])
    with pytest.raises(Misuse, match="no dict"):
        cluster[1].patch("k", {"a": 1})
    assert cluster[1].fetch("k") == [1]


# Expiry ------------------------------------------------------------------------------------------


def test_an_expired_value_is_gone_at_once_for_readers_and_deleted_everywhere_soon() -> None:
    cluster = users()
    cluster[1].put("k", "secret", ttl_s=10)
    cluster[1].put("stays", 1)
    cluster.advance(9.9)
    assert cluster[3].fetch("k") == "secret"
    cluster.now_s += 0.2  # nothing was swept yet
    with pytest.raises(KeyError):
        cluster[3].fetch("k")
    assert not cluster[3].has("k")
    assert list(cluster[3].keys()) == ["stays"]
    assert list(cluster[3].items()) == [("stays", 1)]
    with pytest.raises(KeyError):
        cluster[3].delete("k")
    assert len(cluster[3]) == 1
    cluster.advance(3)
    assert same_everywhere(cluster) == {"stays": 1}
    assert all(b"secret" not in item for item in everything(cluster[2]))


def everything(some: ReplicatedMap) -> list[bytes]:
    return [i for s in some.sections([]) for i in some.section_items(s.tag, s.bucket)]


def test_putting_again_prolongs_or_ends_the_expiry() -> None:
    cluster = users()
    for key in ("a", "b", "c"):
        cluster[1].put(key, 1, ttl_s=10)
    cluster.advance(5)
    cluster[2].put("a", 2, ttl_s=10)
    cluster[2].put("b", 2)
    cluster.advance(8)
    assert same_everywhere(cluster) == {"a": 2, "b": 2}
    cluster.advance(8)
    assert same_everywhere(cluster) == {"b": 2}


@pytest.mark.parametrize("ttl_s", [0, -1, MAX_TTL_S + 1, float("nan"), float("inf")])
def test_a_time_to_live_is_a_number_of_seconds(ttl_s: float) -> None:
    cluster = users()
    with pytest.raises(Misuse, match="ttl_s"):
        cluster[1].put("k", 1, ttl_s=ttl_s)
    assert not cluster[1].has("k")


def test_records_that_expire_all_at_once_are_swept_in_portions_without_a_pause() -> None:
    cluster = users(nodes=1)
    for number in range(2 * MAX_SWEPT_RECORDS + 1):
        cluster[1].put(number, "x", ttl_s=10)
    cluster.advance(11.0)
    assert cluster[1]._table.dead == 2 * MAX_SWEPT_RECORDS + 1
    assert contents(cluster[1]) == {}


# Tags --------------------------------------------------------------------------------------------


def test_only_the_owner_of_a_tag_writes_its_records() -> None:
    """M-2: whoever is refused hears who has the tag and what to do."""
    cluster = users()
    cluster.activate(1, "vip1")
    cluster[1].put("k", {"a": 1}, tag="vip1")
    cluster.settle()
    writes: list[Callable[[], None]] = [
        lambda: cluster[2].put("k", 2),
        lambda: cluster[2].put("k", 2, tag=""),
        lambda: cluster[2].put("new", 2, tag="vip1"),
        lambda: cluster[2].patch("k", {}),
        lambda: cluster[2].delete("k"),
    ]
    for write in writes:
        with pytest.raises(NotTagOwner, match=r"active on node 1.*hand the tag over") as refused:
            write()
        assert (refused.value.tag, refused.value.holder) == ("vip1", 1)
    with pytest.raises(
        NotTagOwner, match=r"active nowhere \(nobody has claimed it yet\): activate"
    ):
        cluster[2].put("new", 2, tag="vip2")
    cluster.activate(2, "vip2")
    cluster[2].put("other", 2, tag="vip2")
    cluster[1].put("k", 3)
    cluster.settle()
    assert same_everywhere(cluster) == {"k": 3, "other": 2}
    assert {s.tag for s in cluster[3].sections([])} == {"vip1", "vip2"}, (
        "put without a tag keeps it"
    )


def test_a_record_gets_another_tag_only_where_both_are_active() -> None:
    """M-2. It moves everywhere, whatever numbers the epochs of the two tags have."""
    cluster = users()
    for _ in range(3):
        cluster.activate(1, "vip1")
    cluster[1].put("k", 1, tag="vip1")
    cluster.activate(2, "vip2")
    with pytest.raises(NotTagOwner, match="'vip2' is active on node 2"):
        cluster[1].put("k", 2, tag="vip2")
    cluster.activate(1, "vip2")
    cluster.settle()
    for tag in ("vip2", "vip1", "", "vip2"):
        cluster[1].put("k", tag, tag=tag)
        cluster.settle()
        assert same_everywhere(cluster) == {"k": tag}
        assert {s.tag for s in cluster[3].sections([])} == {tag}


def test_a_record_under_a_tag_wins_whatever_the_clocks_say() -> None:
    cluster = users()
    cluster.activate(1, "vip1")
    cluster.ports[NodeId(2)].skew_s = 3600.0
    cluster.cut(1, 2)
    cluster[2].put("k", "no owner")
    cluster[1].put("k", "owner", tag="vip1")
    cluster.heal(1, 2)
    cluster.settle()
    assert same_everywhere(cluster) == {"k": "owner"}


# Limits and mistakes -----------------------------------------------------------------------------


def test_a_full_map_says_so_and_can_still_be_changed() -> None:
    cluster = FakeCluster(lambda: ReplicatedMap("small", max_records=3, run=AT_ONCE))
    for key in "abc":
        cluster[1].put(key, 1)
    with pytest.raises(Busy, match="has 3 records"):
        cluster[1].put("d", 1)
    with pytest.raises(Busy):
        cluster[1].patch("d", {})
    cluster[1].put("a", 2)
    cluster[1].delete("b")
    cluster.settle()
    assert same_everywhere(cluster) == {"a": 2, "c": 1}


@pytest.mark.parametrize(("key", "value"), [(1.5, 1), ("k", object()), ("k", b"x" * 70_000)])
def test_what_cannot_be_stored_changes_nothing(key: Any, value: Any) -> None:
    cluster = users()
    with pytest.raises(Misuse):
        cluster[1].put(key, value)
    assert len(cluster[1]) == cluster.under_way == 0
    with pytest.raises(Misuse, match="longer than 64"):
        cluster[1].put("k", 1, tag="x" * 65)


def test_before_it_is_registered_a_map_says_what_to_do() -> None:
    calls: list[Callable[[ReplicatedMap], object]] = [
        lambda m: m.put("k", 1), len, lambda m: list(m.keys()),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(Misuse, match="register it"):
            call(ReplicatedMap("users"))


def test_where_it_is_switched_off_nothing_is_written() -> None:
    cluster = users()
    cluster.ports[NodeId(1)].current_state = CapState.DISABLED
    with pytest.raises(CapabilityDisabled):
        cluster[1].put("k", 1)
    with pytest.raises(CapabilityDisabled):
        cluster[1].patch("k", {})
    assert len(cluster[1]) == 0


def test_a_value_nobody_can_read_raises_where_it_is_read_and_nowhere_else() -> None:
    cluster = users()
    cluster[1].put("bad", None)
    cluster[1].put("good", 1)
    spoilt = everything(cluster[1])
    items = [item[:-1] + b"\xa1\xff" if item[-1:] == b"\xc0" else item for item in spoilt]
    cluster[2].on_batch(items, NodeId(1))
    with pytest.raises(PeerViolation, match="node 1 wrote under key 'bad'"):
        cluster[2].fetch("bad")
    assert cluster[2].fetch("good") == 1
    assert sorted(cluster[2].keys(), key=str) == ["bad", "good"]
    cluster[2].put("bad", "repaired")
    assert contents(cluster[2]) == {"bad": "repaired", "good": 1}


def test_threads_write_and_read_and_nothing_is_lost() -> None:
    cluster = users(nodes=1)
    errors: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for number in range(first, 4000, 4):
                cluster[1].put(number, number)
                assert cluster[1].fetch(number) == number
                if number % 7 == 0:
                    cluster[1].delete(number)
                if number % 100 == 0:
                    list(cluster[1].items())
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    workers = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert contents(cluster[1]) == {n: n for n in range(4000) if n % 7}


# Being told ------------------------------------------------------------------------------------


def test_changes_are_told_wherever_they_were_made() -> None:
    cluster = users()
    heard: list[tuple[Any, ...]] = []
    cluster[3].on_change(lambda *change: heard.append(change))
    cluster[1].put("a", 1)
    cluster[3].put("b", 2, ttl_s=10)
    cluster.settle()
    assert sorted(heard) == [("a", 1, 1), ("b", 2, 3)]
    heard.clear()
    cluster[2].delete("a")
    cluster.advance(12)
    assert sorted(heard, key=str) == [("a", None, 2), ("b", None, None)]


def test_the_position_grows_with_every_write_and_survives_a_sync() -> None:
    cluster = users()
    before = cluster[1].position()
    cluster[1].put("a", 1)
    assert cluster[1].position() > before
    cluster.settle()
    assert cluster[2].position() == cluster[1].position()
