"""How copies of a map become and stay the same: missed writes, restarts, syncs, mirror steps."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.capabilities import table
from tagmesh.capabilities.backlog import MAX_MISSED_KEYS
from tagmesh.capabilities.records import bucket_of, pack_key, read_head, tombstone, unpack_key
from tagmesh.capabilities.replica import RETRY_S
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tagmesh.protocol.contract import SyncReport
from tagmesh.protocol.errors import PeerViolation
from tagmesh.protocol.identity import NodeId
from tests.capabilities.fake_cluster import FakeCluster
from tests.capabilities.map_bench import contents, same_everywhere, users


def test_a_busy_node_is_told_the_last_value_of_every_key_when_it_has_room() -> None:
    cluster = users()
    cluster.busy.add((1, 2))
    for number in range(1000):
        cluster[1].put("often", number)
    cluster[1].put("once", 1)
    cluster.settle()
    assert contents(cluster[2]) == {}
    cluster.room(1, 2)
    assert cluster.under_way == 2, "a thousand writes, one message"
    cluster.settle()
    assert same_everywhere(cluster) == {"often": 999, "once": 1}


def test_room_that_comes_before_the_refusal_is_noted_is_not_missed() -> None:
    """The port says busy, and before the map has noted it the hub says that there is room."""
    cluster = users(nodes=2)
    accept = cluster.accept

    def says_busy_once(source, destination, payloads):  # type: ignore[no-untyped-def]
        cluster.accept = accept  # type: ignore[method-assign]
        cluster.busy.add((1, 2))
        result = accept(source, destination, payloads)
        cluster.room(1, 2)
        return result

    cluster.accept = says_busy_once  # type: ignore[method-assign]
    cluster[1].put("k", 1)
    cluster.settle()
    assert same_everywhere(cluster) == {"k": 1}


def test_a_node_that_is_busy_again_half_way_is_told_the_rest_later() -> None:
    cluster = users(nodes=2)
    cluster.busy.add((1, 2))
    for number in range(2000):
        cluster[1].put(number, "x" * 100)
    cluster.room(1, 2)
    cluster.busy.add((1, 2))
    cluster.settle()
    told = len(cluster[2])
    assert 0 < told < 2000
    cluster.room(1, 2)
    cluster.settle()
    assert len(same_everywhere(cluster)) == 2000


def test_long_records_are_told_a_few_at_a_time() -> None:
    cluster = users(nodes=2)
    cluster.busy.add((1, 2))
    for number in range(50):
        cluster[1].put(number, b"x" * 60_000)
    cluster.room(1, 2)
    assert cluster.under_way == 4
    cluster.settle()
    assert len(same_everywhere(cluster)) == 50


def test_two_halves_that_wrote_apart_agree_when_they_meet() -> None:
    cluster = users(nodes=4)
    for one in (1, 2):
        for other in (3, 4):
            cluster.cut(one, other)
    cluster[1].put("from 1", 1)
    cluster[2].put("both", "older")
    cluster.now_s += 1
    cluster[3].put("both", "newer")
    cluster[4].put("from 4", 4)
    cluster.settle()
    for one in (1, 2):
        for other in (3, 4):
            cluster.heal(one, other)
    cluster.settle()
    assert same_everywhere(cluster) == {"from 1": 1, "both": "newer", "from 4": 4}


def test_more_than_is_noted_by_key_is_told_by_bucket() -> None:
    cluster = users(nodes=2)
    cluster.advance(1)
    cluster.cut(1, 2)
    for number in range(MAX_MISSED_KEYS + 10):
        cluster[1].put(number, 1)
    cluster.heal(1, 2)
    cluster.settle()
    assert len(same_everywhere(cluster)) == MAX_MISSED_KEYS + 10


def test_a_node_that_starts_again_is_not_told_everything_but_asks_for_it() -> None:
    cluster = users()
    cluster.cut(1, 3)
    cluster.advance(1)
    for number in range(MAX_MISSED_KEYS + 10):
        cluster[1].put(number, 1)
    cluster.advance(1)
    cluster.restart(3)
    cluster.heal(1, 3)
    assert cluster.under_way == 0
    assert cluster.sync(joiner=3, donor=2) == MAX_MISSED_KEYS + 10
    assert len(same_everywhere(cluster)) == MAX_MISSED_KEYS + 10


def test_a_node_that_seems_switched_off_is_told_when_it_is_not() -> None:
    """It may be on again, and its sync over, before the writer hears of it (found by the swarm)."""
    cluster = users()
    cluster.disabled.add(3)
    cluster[1].put("k", 1)
    cluster.advance(5 * RETRY_S)
    assert (contents(cluster[2]), contents(cluster[3])) == ({"k": 1}, {})
    assert cluster.timers == 1, "one try at a time"
    cluster.disabled.clear()
    cluster.advance(RETRY_S)
    assert same_everywhere(cluster) == {"k": 1}
    assert cluster.timers == 0


def test_of_a_node_that_is_switched_off_and_misses_very_much_nothing_is_kept() -> None:
    cluster = users(nodes=2)
    cluster.disabled.add(2)
    for number in range(MAX_MISSED_KEYS + 1):
        cluster[1].put(number, 1)
    cluster.advance(RETRY_S)
    assert cluster.timers == 0
    cluster.disabled.clear()
    cluster.advance(RETRY_S)
    assert contents(cluster[2]) == {}, "it asks for a sync when it is switched on"


# Syncs -------------------------------------------------------------------------------------------


def test_a_sync_brings_what_differs_and_nothing_else() -> None:
    cluster = users()
    for number in range(5000):
        cluster[1].put(number, "x")
    cluster.settle()
    cluster.loss = 1.0
    cluster[1].put(17, "y")
    cluster[1].delete(99)
    cluster.settle()
    sent = cluster.sync(joiner=2, donor=1)
    assert 0 < sent < 100, "two sections of 256"
    assert contents(cluster[2]) == contents(cluster[1])
    assert cluster.sync(joiner=2, donor=1) == 0


def test_a_sync_never_makes_anything_older() -> None:
    cluster = users(nodes=2)
    cluster.loss = 1.0
    cluster[2].put("k", "donor")
    cluster.now_s += 1
    cluster[1].put("k", "joiner")
    cluster[1].put("only here", 1)
    cluster.settle()
    cluster.sync(joiner=1, donor=2)
    assert contents(cluster[1]) == {"k": "joiner", "only here": 1}


def test_a_sync_of_one_tag_leaves_the_others() -> None:
    cluster = users(nodes=2)
    cluster.loss = 1.0
    cluster.activate(1, "vip1")
    cluster.activate(1, "vip2")
    cluster[1].put("a", 1, tag="vip1")
    cluster[1].put("b", 1, tag="vip2")
    cluster.settle()
    cluster.sync(joiner=2, donor=1, tags=["vip1"])
    assert contents(cluster[2]) == {"a": 1}


def test_deletions_come_with_a_sync() -> None:
    cluster = users(nodes=2)
    cluster[1].put("k", 1)
    cluster.settle()
    cluster.loss = 1.0
    cluster[1].delete("k")
    cluster.settle()
    cluster.sync(joiner=2, donor=1)
    assert same_everywhere(cluster) == {}


def test_what_a_sync_brings_is_told_to_those_who_listen() -> None:
    cluster = users(nodes=2)
    cluster.loss = 1.0
    cluster[1].put("k", 1)
    cluster.settle()
    heard = []
    cluster[2].on_change(lambda *change: heard.append(change))
    cluster.sync(joiner=2, donor=1)
    assert heard == [("k", 1, None)]


def apart() -> FakeCluster[ReplicatedMap]:
    """Node 1 and 2 have the same, and node 2 has something that node 1 never heard of."""
    cluster = users(nodes=2)
    for number in range(20):
        cluster[1].put(number, "x")
    cluster.settle()
    cluster.loss = 1.0
    cluster[2].put("extra", 1)
    cluster.activate(2, "vip1")
    cluster[2].put("extra tagged", 1, tag="vip1")
    cluster.ports[NodeId(2)].tokens.clear()
    cluster.settle()
    return cluster


def test_a_mirror_sync_drops_what_the_donor_does_not_have() -> None:
    cluster = apart()
    heard = []
    cluster[2].on_change(lambda *change: heard.append(change))
    cluster.sync(joiner=2, donor=1, mirror=True)
    assert len(same_everywhere(cluster)) == 20
    assert sorted(heard) == [("extra", None, None), ("extra tagged", None, None)]


def extra(some: ReplicatedMap, key: str = "extra", tag: str = "") -> list[bytes]:
    """What a mirror step would drop of a key's section if the donor had nothing of it."""
    return some.extra_keys(tag, bucket_of(pack_key(key)), [])


def test_what_was_dropped_can_be_restored_exactly() -> None:
    cluster = apart()
    some = cluster[2]
    before = some.sections([])
    items = cluster[1].section_items("", bucket_of(pack_key("extra")))
    keys = some.extra_keys("", bucket_of(pack_key("extra")), [msgspec.Raw(item) for item in items])
    assert [unpack_key(read_head(key).key) for key in keys] == ["extra"]
    others = [*extra(some, "extra tagged", tag="vip1"), tombstone(read_head(keys[0]), 1)]
    dropped = some.drop("", [*keys, *others, *keys])
    assert len(dropped) == 1, "one has another tag, one is another record, one has gone"
    assert not some.has("extra")
    assert some.restore("vip1", dropped) == 0
    assert some.restore("", dropped) == 1
    assert some.sections([]) == before


@pytest.mark.parametrize("how", ["written", "deleted"])
def test_what_was_written_since_is_not_restored(how: str) -> None:
    cluster = apart()
    some = cluster[2]
    some.sections([])
    dropped = some.drop("", extra(some))
    some.put("extra", "new")
    if how == "deleted":
        some.delete("extra")
    assert some.restore("", dropped) == 0
    assert contents(some).get("extra") == ("new" if how == "written" else None)


@pytest.mark.parametrize("by", [1, 2])
def test_what_was_written_during_a_sync_is_not_extra(by: int) -> None:
    """The donor may not know of it yet, so that it lacks it says nothing."""
    cluster = apart()
    some = cluster[2]
    some.sections([])
    assert extra(some), "the donor never heard of it"
    cluster.loss = 0.0
    cluster.ports[NodeId(1)].skew_s = -60.0  # its counters are no measure of when they came
    cluster[by].put("fresh", 1)
    cluster.settle()
    assert extra(some, "fresh") == []
    some.sections([])
    assert len(extra(some, "fresh")) == 1, "it was there when the next sync began"


def test_what_was_written_since_a_mirror_was_planned_is_not_dropped() -> None:
    """A plan may be confirmed ten minutes later."""
    cluster = apart()
    some = cluster[2]
    some.sections([])
    keys = extra(some)
    some.put("extra", "new")
    assert some.drop("", keys) == []
    assert contents(some)["extra"] == "new"


def test_after_too_many_writes_nothing_is_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_WRITTEN_KEYS", 3)
    cluster = apart()
    some = cluster[2]
    some.sections([])
    for number in range(3):
        some.put(number, "x")
    assert len(extra(some)) == 1
    some.put(3, "x")
    assert extra(some) == []


def test_keys_are_noted_during_a_sync_only() -> None:
    cluster = apart()
    some = cluster[2]
    assert extra(some) == [], "nobody asked for sections"
    some.sections([])
    assert extra(some)
    some.sync_done(SyncReport(ok=True))
    some.put("other", 1)
    assert some._table.written is None


def test_tombstones_are_nothing_a_mirror_step_could_drop() -> None:
    cluster = apart()
    cluster[2].delete("extra")
    cluster[2].sections([])
    assert extra(cluster[2]) == []


# Broken messages ---------------------------------------------------------------------------------


def test_what_is_broken_in_a_batch_is_said_and_the_rest_taken() -> None:
    cluster = users()
    cluster[1].put("k", 1)
    (section,) = cluster[1].sections([])
    (item,) = cluster[1].section_items("", section.bucket)
    with pytest.raises(PeerViolation, match="2 of 3 messages are none of a map"):
        cluster[2].on_batch([{"not": "bytes"}, item, item[:-1]], NodeId(1))
    assert contents(cluster[2]) == {"k": 1}
    with pytest.raises(PeerViolation, match="1 of 1 messages"):
        cluster[2].on_batch([5], NodeId(1))


def test_broken_records_of_a_sync_are_handed_back() -> None:
    cluster = users()
    ((item, error),) = cluster[2].take_items("", [msgspec.Raw(b"\xc0")])
    assert item == b"\xc0"
    assert "array" in error


# The node stopped and started, with the map it had -----------------------------------------------


def test_a_map_outlives_a_stop_and_start_of_its_node() -> None:
    cluster = users()
    cluster[1].put("k", 1)
    cluster[1].put("expires", 1, ttl_s=10)
    cluster.settle()
    cluster.stop_and_start(1)
    cluster[1].put("new", 1)
    cluster.settle()
    assert same_everywhere(cluster) == {"k": 1, "expires": 1, "new": 1}
    cluster.advance(12)
    assert same_everywhere(cluster) == {"k": 1, "new": 1}
    assert cluster[1]._table.dead == 1, "its timer runs again"
