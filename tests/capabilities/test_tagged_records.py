"""Records with sharing tags: who tells them, who refuses them, who lets them expire.

M-2, M-5, H-24, H-27, K-7 as the copies of a map see them; decision 21 has the theory.
"""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.capabilities.map_messages import Vouched
from tagmesh.capabilities.records import Head, pack_key, read_head
from tagmesh.capabilities.replica import MAX_OVERDUE, SWEEP_S
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tagmesh.protocol.errors import NotTagOwner, PeerViolation
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.tag_words import Epoch
from tests.capabilities.fake_cluster import FakeCluster
from tests.capabilities.map_bench import contents, same_everywhere, users

Maps = FakeCluster[ReplicatedMap]


def owned(nodes: int = 3) -> Maps:
    """Tag vip is active on node 1, which wrote one record under it."""
    cluster = users(nodes)
    cluster.activate(1, "vip")
    cluster[1].put("k", "of 1", tag="vip")
    cluster.settle()
    return cluster


def refusals(cluster: Maps, node: int) -> list[tuple[str, int, int | None]]:
    """(rule, records, who told them)"""
    return [(rule, n, source) for rule, _, _, n, source in cluster.ports[NodeId(node)].refusals]


# The fence ---------------------------------------------------------------------------------------


def test_what_a_former_owner_wrote_under_its_epoch_is_refused() -> None:
    """H-24: node 1 does not know yet that node 2 has the tag."""
    cluster = owned()
    cluster.activate(2, "vip", told=[2, 3])
    cluster[1].put("k", "too late")
    cluster[1].put("new", "too late", tag="vip")
    cluster.settle()
    for node in (2, 3):
        assert contents(cluster[node]) == {"k": "of 1"}
        assert sum(count for _, count, _ in refusals(cluster, node)) == 2
        assert {(rule, source) for rule, _, source in refusals(cluster, node)} <= {
            ("K-7", 1),
            ("H-24", 1),
        }


def test_what_comes_before_its_claim_is_taken_and_nothing_older_after_it() -> None:
    """H-24, H-27: a write under an epoch says that it was claimed."""
    cluster = owned()
    epoch = cluster.activate(2, "vip", told=[]).epoch
    cluster[2].put("k", "of 2")
    cluster[1].put("k", "too late")
    while cluster._ways[NodeId(2), NodeId(3)]:
        cluster.step()
    cluster.settle()
    assert contents(cluster[3]) == {"k": "of 2"}
    assert cluster.ports[NodeId(3)].tag("vip").epoch == epoch
    assert contents(cluster[2]) == {"k": "of 2"}


def test_what_comes_first_of_two_owners_gives_way_to_the_later_epoch() -> None:
    cluster = owned()
    cluster.ports[NodeId(1)].skew_s = 60.0
    cluster[1].put("k", "clock of node 1 is ahead")
    cluster.settle()
    cluster.activate(2, "vip", told=[1, 2])
    cluster[2].put("k", "of 2")
    cluster.settle()
    assert same_everywhere(cluster) == {"k": "of 2"}


def test_a_record_of_a_tag_that_nobody_heard_of_is_kept() -> None:
    """H-27: as backup, and the tag is known from then on."""
    cluster = users()
    cluster.activate(1, "strange", told=[])
    assert cluster.ports[NodeId(2)].tag("strange").epoch is None
    cluster[1].put("k", 1, tag="strange")
    cluster.settle()
    assert same_everywhere(cluster) == {"k": 1}
    stands = cluster.ports[NodeId(2)].tag("strange")
    assert (stands.active, stands.holder) == (False, 1)
    with pytest.raises(NotTagOwner):
        cluster[2].put("k", 2)


def test_only_the_writer_tells_a_record_of_a_tag() -> None:
    """Whoever relays what another one wrote may have what the owner of today never had."""
    cluster = owned()
    item = cluster[2]._item(pack_key("k"))
    newer = msgspec.structs.replace(read_head(item or b""), counter=2**60)
    assert item is not None
    cluster.ports[NodeId(2)].send(3, msgspec.msgpack.encode([*msgspec.structs.astuple(newer), 1]))
    cluster.settle()
    assert contents(cluster[3]) == {"k": "of 1"}
    assert refusals(cluster, 3) == [("H-24", 1, 2)]


def test_what_was_on_its_way_when_the_tag_was_handed_over_is_taken_everywhere() -> None:
    """H-25: by the new owner, too, unless it has written the key since."""
    cluster = owned()
    cluster[1].put("k", "on its way")
    cluster[1].put("late", "on its way", tag="vip")
    cluster.release(1, "vip")
    cluster.activate(2, "vip")
    cluster[2].put("k", "of 2")
    cluster.settle()
    assert same_everywhere(cluster) == {"k": "of 2", "late": "on its way"}
    assert [refusals(cluster, node) for node in (1, 2, 3)] == [[], [], []]


# What was missed ---------------------------------------------------------------------------------


def test_what_a_node_missed_is_told_by_the_owner_of_today() -> None:
    """Also what was written under an earlier epoch: its owner vouches for it."""
    cluster = owned()
    cluster.cut(1, 3)
    cluster[1].put("k", "missed")
    cluster.activate(1, "vip")
    cluster.heal(1, 3)
    cluster.settle()
    assert same_everywhere(cluster) == {"k": "missed"}
    assert refusals(cluster, 3) == []


def test_what_a_node_missed_is_not_told_by_a_former_owner() -> None:
    """The owner of today may not have it, and if it has, it tells it."""
    cluster = owned()
    cluster.cut(1, 2)
    cluster.cut(1, 3)
    cluster[1].put("k", "nobody heard of it")
    cluster[1].put("plain", 1)
    cluster.activate(2, "vip")
    cluster.heal(1, 2)
    cluster.heal(1, 3)
    cluster.settle()
    assert contents(cluster[2]) == contents(cluster[3]) == {"k": "of 1", "plain": 1}
    assert refusals(cluster, 2) == refusals(cluster, 3) == []


@pytest.mark.parametrize("late", ["newer", "older"])
def test_a_sync_from_the_owner_replaces_what_earlier_epochs_left(late: str) -> None:
    """Node 3 heard a write of node 1 that node 2, the owner of today, never had."""
    cluster = owned()
    cluster.cut(1, 2)
    if late == "older":
        cluster[1].put("k", "fenced")
    cluster.activate(2, "vip", told=[2])
    if late == "newer":
        cluster[1].put("k", "fenced")
    cluster.settle()
    assert contents(cluster[3]) == {"k": "fenced"}
    cluster.tell(cluster.ports[NodeId(2)].claims.claims[0], [1, 3])
    for node in (1, 3):
        cluster.sync(node, 2, ["vip"])
    assert same_everywhere(cluster) == {"k": "of 1"}


def test_a_sync_from_the_owner_undoes_nothing_that_the_owner_wrote_since() -> None:
    cluster = owned()
    items = [
        msgspec.Raw(i)
        for s in cluster[1].sections([])
        for i in cluster[1].section_items("vip", s.bucket)
    ]
    cluster.activate(1, "vip")
    cluster[1].put("k", "newer")
    cluster.settle()
    epoch = cluster.ports[NodeId(1)].tokens["vip"].epoch
    assert cluster[3].take_items("vip", items, epoch=epoch) == []
    assert contents(cluster[3]) == {"k": "newer"}


def test_a_sync_replaces_nothing_where_the_tag_is_active_unless_it_is_forced() -> None:
    """K-7. What the owner lacks altogether it adopts: better a record too many than one lost."""
    cluster = owned(4)
    cluster.cut(1, 4)
    cluster[1].put("k", "newer")
    cluster[1].put("other", "of 1", tag="vip")
    cluster.settle()
    cluster.activate(4, "vip")
    cluster.sync(joiner=4, donor=2)
    assert contents(cluster[4]) == {"k": "of 1", "other": "of 1"}
    assert refusals(cluster, 4) == [("K-7", 1, None)]
    cluster.sync(joiner=4, donor=2)
    cluster[4].delete("other")
    cluster.cut(2, 4)
    cluster.sync(joiner=4, donor=2)
    assert contents(cluster[4]) == {"k": "of 1"}, "what it deleted it does not lack"
    items = [msgspec.Raw(i) for i in [cluster[2]._item(pack_key("k"))] if i is not None]
    cluster[4].take_items("vip", items, forced=True)
    assert contents(cluster[4]) == {"k": "newer"}


def test_a_sync_from_a_backup_brings_only_what_is_lacking_while_somebody_has_the_tag() -> None:
    """It may have what the owner never had; while nobody has the tag the newer record counts."""
    cluster = owned()
    cluster.cut(1, 2)
    cluster[1].put("k", "newer")
    cluster[1].put("other", "of 1", tag="vip")
    cluster.settle()
    cluster.sync(joiner=2, donor=3)
    assert contents(cluster[2]) == {"k": "of 1", "other": "of 1"}
    cluster.release(1, "vip")
    cluster.sync(joiner=2, donor=3)
    assert contents(cluster[2]) == {"k": "newer", "other": "of 1"}


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        [1],
        [9, [1, 1, 50], b""],
        [1, [0, 0, 0], b""],
        [1, [1, 1, 50], b"no record"],
    ],
)
def test_messages_that_are_none_of_a_map_are_set_aside(message: object) -> None:
    cluster = owned()
    with pytest.raises(PeerViolation, match="1 of 1 messages are none of a map"):
        cluster[2].on_batch([message], NodeId(1))


def test_nobody_vouches_for_what_was_written_later() -> None:
    cluster = owned()
    item = cluster[1]._item(pack_key("k"))
    assert item is not None
    early = Vouched(Epoch(0, NodeId(1), 50), item)
    with pytest.raises(PeerViolation, match="vouched for under epoch 0 of node 1"):
        cluster[2].on_batch([msgspec.to_builtins(early, builtin_types=(bytes,))], NodeId(1))


# Expiry ------------------------------------------------------------------------------------------


def test_only_the_owner_lets_records_expire() -> None:
    """M-5: the others do not show them any more, and delete them when the owner says so."""
    cluster = users()
    cluster.activate(1, "vip")
    cluster[1].put("k", 1, tag="vip", ttl_s=10)
    cluster.settle()
    heard: list[tuple[int, object, object]] = []

    def listen(node: int) -> None:
        cluster[node].on_change(lambda _key, value, source: heard.append((node, value, source)))

    listen(1)
    listen(2)
    cluster.cut(1, 2)
    cluster.advance(20)
    assert [contents(cluster[node]) for node in (1, 2, 3)] == [{}, {}, {}]
    assert heard == [(1, None, None)]
    assert not head_of(cluster, 2).deleted
    assert head_of(cluster, 3).deleted
    cluster.heal(1, 2)
    cluster.settle()
    assert heard == [(1, None, None), (2, None, 1)]
    assert same_everywhere(cluster) == {}


def test_what_expired_while_nobody_had_the_tag_is_deleted_by_the_next_owner() -> None:
    cluster = users()
    cluster.activate(1, "vip")
    for number in range(2 * MAX_OVERDUE + 1):
        cluster[1].put(number, 1, tag="vip", ttl_s=10)
    cluster[1].put("kept", 1, tag="vip", ttl_s=1000)
    cluster.advance(1)
    cluster.restart(1)
    cluster.advance(100)
    assert contents(cluster[2]) == contents(cluster[3]) == {"kept": 1}
    cluster.activate(2, "vip")
    cluster.advance(2 * SWEEP_S)
    assert {head.deleted for head in heads(cluster, 3) if head.key != pack_key("kept")} == {True}
    assert {head.epoch.owner for head in heads(cluster, 3) if head.deleted and head.epoch} == {2}
    assert contents(cluster[2]) == contents(cluster[3]) == {"kept": 1}


def test_a_record_that_expired_and_is_written_again_is_not_deleted() -> None:
    cluster = users()
    cluster.activate(1, "vip")
    cluster[1].put("k", 1, tag="vip", ttl_s=10)
    cluster.settle()
    cluster.ports[NodeId(1)].tokens.clear()
    cluster.advance(20)
    assert contents(cluster[1]) == {}
    cluster.activate(2, "vip")
    cluster[2].put("k", 2, ttl_s=1000)
    cluster.advance(20)
    assert same_everywhere(cluster) == {"k": 2}


def head_of(cluster: Maps, node: int, key: str = "k") -> Head:
    item = cluster[node]._item(pack_key(key))
    assert item is not None
    return read_head(item)


def heads(cluster: Maps, node: int) -> list[Head]:
    return [read_head(item) for item in cluster[node]._all()]
