"""Sharing tags in a database: who gets which number, and who holds a lease (P4, B4)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tagmesh.protocol.errors import Misuse, NotProvisioned, StorageUnavailable
from tagmesh.protocol.identity import BinsUrl, NodeId
from tagmesh.protocol.tag_claims import MAX_KNOWN_TAGS
from tagmesh.protocol.tag_messages import Claim
from tagmesh.protocol.tag_words import MAX_EPOCH_NUMBER, Owner, TagRow
from tagmesh.storage import SqlTagStore
from tagmesh.storage.base import MAX_PREFERRED
from tests.storage.owners import A_RESTARTED, C1, C2, SLACK_S, TTL_S, VIP, A, B, C, row_of

if TYPE_CHECKING:
    from .conftest import Storage

BRIEF_S = 0.05


def _wait_until_over(tags: SqlTagStore) -> None:
    deadline_s = time.monotonic() + SLACK_S
    while row_of(tags).left_s:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def _claim(number: int, owner: Owner, *, released: bool = False) -> Claim:
    return Claim(VIP, number, owner.node_id, owner.incarnation, 50, released=released)


# Claims -------------------------------------------------------------------------------------------


def test_the_first_claim_and_what_every_node_reads_of_it(
    tags: SqlTagStore, storage: Storage
) -> None:
    assert tags.read(C1, VIP) is None
    assert tags.load(C1) == ()
    done, row = tags.claim(C1, VIP, A, seen=0)
    assert done
    assert row == TagRow(tag=VIP, number=1, owner=A, released=False)
    with storage.tags() as other:
        assert other.load(C1) == (row,)
        assert other.load(C2) == ()


def test_of_two_who_saw_the_same_one_succeeds(tags: SqlTagStore) -> None:
    assert tags.claim(C1, VIP, A, seen=4).done
    done, row = tags.claim(C1, VIP, B, seen=4)
    assert not done
    assert row is not None
    assert (row.number, row.owner) == (5, A)
    assert tags.claim(C1, VIP, B, seen=5) == (True, row_of(tags))
    assert (row_of(tags).number, row_of(tags).owner) == (6, B)


def test_a_number_follows_what_was_heard_elsewhere(tags: SqlTagStore) -> None:
    tags.claim(C1, VIP, A, seen=0)
    assert tags.claim(C1, VIP, B, seen=41).done
    assert row_of(tags).number == 42


def test_only_the_owner_gives_a_tag_up_and_its_number_stays(tags: SqlTagStore) -> None:
    tags.claim(C1, VIP, A, seen=0)
    for owner, number in ((B, 1), (A_RESTARTED, 1), (A, 2), (A, 0)):
        done, row = tags.release(C1, VIP, owner, number=number)
        assert not done
        assert row == row_of(tags)
        assert not row.released
    assert tags.release(C1, VIP, A, number=1).done
    assert (row_of(tags).number, row_of(tags).owner, row_of(tags).released) == (1, A, True)
    assert not tags.claim(C1, VIP, B, seen=0).done
    assert tags.claim(C1, VIP, B, seen=1).done
    assert not row_of(tags).released
    assert tags.release(C1, "other", A, number=1) == (False, None)


def test_a_claim_made_by_force_is_kept_unless_a_higher_one_is(tags: SqlTagStore) -> None:
    assert tags.keep(C1, _claim(7, A)).done
    assert (row_of(tags).number, row_of(tags).owner) == (7, A)
    assert not tags.keep(C1, _claim(6, B)).done
    assert tags.keep(C1, _claim(7, B, released=True)).done  # the rules know which of two counts
    assert (row_of(tags).number, row_of(tags).owner, row_of(tags).released) == (7, B, True)
    assert not tags.claim(C1, VIP, A, seen=6).done


def test_tags_are_told_apart_by_every_character(tags: SqlTagStore) -> None:
    names = sorted([VIP, "VIP1", "vip1-", "víp1", "北", "x" * 64])
    for number, name in enumerate(names, 1):
        assert tags.claim(C1, name, A, seen=number - 1).done
        assert tags.claim(C2, name, B, seen=100).done
    assert {row.tag: row.number for row in tags.load(C1)} == {
        name: number for number, name in enumerate(names, 1)
    }


@pytest.mark.parametrize("name", ["", "x" * 65, "vip ", " vip", "a\0b", "a\nb", "\ud800", "\u202e"])
def test_a_name_that_not_every_database_keeps_is_refused(
    sqlite_storage: Storage, name: str
) -> None:
    sqlite_storage.init()
    with sqlite_storage.tags() as tags:
        with pytest.raises(Misuse, match="cannot be the name of a sharing tag"):
            tags.claim(C1, name, A, seen=0)
        with pytest.raises(Misuse, match="cannot be the name of a sharing tag"):
            tags.acquire(C1, name, A, seen=0, ttl_s=TTL_S)
        assert tags.load(C1) == ()


def test_the_highest_number_is_the_last(tags: SqlTagStore) -> None:
    assert tags.claim(C1, VIP, A, seen=MAX_EPOCH_NUMBER - 1).done
    assert row_of(tags).number == MAX_EPOCH_NUMBER
    with pytest.raises(Misuse, match="is the last there is"):
        tags.claim(C1, VIP, A, seen=MAX_EPOCH_NUMBER)


def test_one_tag_too_many_is_refused(tags: SqlTagStore, storage: Storage) -> None:
    names = ", ".join(f"(1, 't{number}', 'manual')" for number in range(MAX_KNOWN_TAGS - 1))
    insert = "INSERT INTO cluster_tags (cluster_id, tag, mode) VALUES "
    storage.run(insert + names)
    assert tags.claim(C1, VIP, A, seen=0).done
    with pytest.raises(Misuse, match="has 256 sharing tags already"):
        tags.claim(C1, "another", A, seen=0)
    assert tags.claim(C1, VIP, B, seen=1).done
    assert tags.claim(C2, "another", A, seen=0).done
    storage.run(insert + "(1, 'by hand', 'manual')")
    assert len(tags.load(C1)) == MAX_KNOWN_TAGS


# Leases -------------------------------------------------------------------------------------------


def test_a_lease_keeps_everybody_away_while_it_lasts(tags: SqlTagStore) -> None:
    done, row = tags.acquire(C1, VIP, A, seen=0, ttl_s=TTL_S)
    assert done
    assert row is not None
    assert (row.number, row.owner, row.mode) == (1, A, "lease")
    assert TTL_S - SLACK_S < row.left_s <= TTL_S + 0.002
    assert not tags.acquire(C1, VIP, B, seen=9, ttl_s=TTL_S).done
    assert not tags.acquire(C1, VIP, A_RESTARTED, seen=9, ttl_s=TTL_S).done
    assert not tags.claim(C1, VIP, B, seen=9).done
    assert not tags.keep(C1, _claim(9, B)).done
    assert (row_of(tags).number, row_of(tags).owner) == (1, A)


def test_a_lease_that_is_over_is_taken_over_once_and_renewed_no_more(tags: SqlTagStore) -> None:
    tags.acquire(C1, VIP, A, seen=0, ttl_s=BRIEF_S)
    _wait_until_over(tags)
    assert tags.acquire(C1, VIP, B, seen=1, ttl_s=TTL_S).done
    assert not tags.acquire(C1, VIP, A, seen=1, ttl_s=TTL_S).done
    done, row = tags.renew(C1, VIP, A, number=1, ttl_s=TTL_S)
    assert not done
    assert row is not None
    assert (row.number, row.owner) == (2, B)


def test_renewing_lengthens_a_lease_also_one_that_is_over(tags: SqlTagStore) -> None:
    tags.acquire(C1, VIP, A, seen=0, ttl_s=BRIEF_S)
    _wait_until_over(tags)
    assert tags.renew(C1, VIP, A, number=1, ttl_s=TTL_S).done
    assert row_of(tags).left_s > TTL_S - SLACK_S
    assert row_of(tags).number == 1
    assert not tags.acquire(C1, VIP, B, seen=1, ttl_s=TTL_S).done


def test_what_is_not_mine_is_not_renewed(tags: SqlTagStore) -> None:
    assert tags.renew(C1, VIP, A, number=1, ttl_s=TTL_S) == (False, None)
    tags.claim(C1, VIP, A, seen=0)
    assert not tags.renew(C1, VIP, A, number=1, ttl_s=TTL_S).done  # by hand, not by lease
    assert tags.acquire(C1, VIP, A, seen=1, ttl_s=TTL_S).done
    for owner, number in ((B, 2), (A_RESTARTED, 2), (A, 1), (A, 3)):
        assert not tags.renew(C1, VIP, owner, number=number, ttl_s=2 * TTL_S).done
    assert row_of(tags).left_s < TTL_S + SLACK_S
    assert tags.release(C1, VIP, A, number=2).done
    assert not tags.renew(C1, VIP, A, number=2, ttl_s=TTL_S).done


def test_a_lease_given_up_is_free_at_once(tags: SqlTagStore) -> None:
    tags.acquire(C1, VIP, A, seen=0, ttl_s=TTL_S)
    assert tags.release(C1, VIP, A, number=1).done
    assert row_of(tags).left_s == 0
    assert tags.acquire(C1, VIP, B, seen=1, ttl_s=TTL_S).done
    assert row_of(tags).number == 2


def test_a_tag_activated_by_hand_has_no_end_for_others(tags: SqlTagStore) -> None:
    tags.claim(C1, VIP, A, seen=0)
    assert not tags.acquire(C1, VIP, B, seen=1, ttl_s=TTL_S).done
    assert tags.acquire(C1, VIP, A_RESTARTED, seen=1, ttl_s=TTL_S).done  # configured anew
    assert (row_of(tags).number, row_of(tags).owner, row_of(tags).mode) == (2, A_RESTARTED, "lease")
    tags.release(C1, VIP, A_RESTARTED, number=2)
    tags.claim(C1, VIP, A, seen=2)
    assert (row_of(tags).mode, row_of(tags).left_s) == ("manual", 0)
    tags.release(C1, VIP, A, number=3)
    assert tags.acquire(C1, VIP, B, seen=3, ttl_s=TTL_S).done


def test_a_paused_tag_is_not_taken_over_but_kept(tags: SqlTagStore) -> None:
    assert tags.pause(C1, VIP, paused=True).paused
    assert not tags.acquire(C1, VIP, A, seen=0, ttl_s=BRIEF_S).done
    tags.pause(C1, VIP, paused=False)
    assert tags.acquire(C1, VIP, A, seen=0, ttl_s=BRIEF_S).done
    assert tags.pause(C1, VIP, paused=True).number == 1
    _wait_until_over(tags)
    assert not tags.acquire(C1, VIP, B, seen=1, ttl_s=TTL_S).done
    assert tags.renew(C1, VIP, A, number=1, ttl_s=TTL_S).done
    assert row_of(tags).paused


def test_who_is_preferred(tags: SqlTagStore, storage: Storage) -> None:
    most = tuple(NodeId(2**31 - n) for n in range(1, MAX_PREFERRED + 1))
    assert tags.prefer(C1, VIP, most).preferred == most
    for wrong in ((*most, NodeId(1)), (NodeId(1), NodeId(1))):
        with pytest.raises(Misuse, match="at most 16 different ones"):
            tags.prefer(C1, VIP, wrong)
    tags.claim(C1, VIP, A, seen=0)
    assert row_of(tags).preferred == most
    assert tags.prefer(C1, VIP, []).preferred == ()
    storage.run("UPDATE cluster_tags SET preferred = ' 3, x,-1,0,3 ,2'")
    assert row_of(tags).preferred == (3, 2)
    storage.run("UPDATE cluster_tags SET preferred = NULL")
    assert row_of(tags).preferred == ()


@pytest.mark.parametrize("change", ["number = -1", "owner = -1", "mode = 'x'", "released = 2"])
def test_a_row_that_makes_no_sense_is_named(
    tags: SqlTagStore, storage: Storage, change: str
) -> None:
    tags.claim(C1, VIP, A, seen=0)
    storage.run(f"UPDATE cluster_tags SET {change}")  # noqa: S608 - one of the four above
    for call in (lambda: tags.load(C1), lambda: tags.read(C1, VIP)):
        with pytest.raises(StorageUnavailable, match="row of tag 'vip1' cannot be used") as caught:
            call()
        assert change.partition(" ")[0] in str(caught.value)
        assert not caught.value.may_pass


# Several hosts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "Node-A"])
def test_a_file_may_judge_the_nodes_of_one_host(sqlite_storage: Storage, host: str) -> None:
    me = sqlite_storage.node(1, url=BinsUrl("node-a", 5001))
    with sqlite_storage.tags() as tags:
        tags.check_shared(me, [me, sqlite_storage.node(2, url=BinsUrl(host, 5002))])


def test_a_file_may_not_judge_several_hosts(sqlite_storage: Storage) -> None:
    me = sqlite_storage.node(1, url=BinsUrl("10.0.0.5"))
    other = sqlite_storage.node(2, url=BinsUrl("10.0.0.6"))
    with sqlite_storage.tags() as tags, pytest.raises(Misuse) as caught:
        tags.check_shared(me, [me, other])
    said = str(caught.value)
    assert "node 2 at bins:10.0.0.6:5556 is on another host than node 1 at" in said
    assert "PostgreSQL" in said


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mariadb"])
def test_a_server_judges_all(sqlite_storage: Storage, scheme: str) -> None:
    nodes = [sqlite_storage.node(n, url=BinsUrl(f"10.0.0.{n}")) for n in (1, 2)]
    with sqlite_storage.tags(url=f"{scheme}://db/opensips") as tags:
        tags.check_shared(nodes[0], nodes)


def test_a_lease_that_ran_out_goes_to_its_electors_and_a_released_one_to_everybody(
    tags: SqlTagStore,
) -> None:
    tags.acquire(C1, VIP, A, seen=0, ttl_s=BRIEF_S, electors=[A.node_id])
    _wait_until_over(tags)
    assert not tags.acquire(C1, VIP, B, seen=1, ttl_s=TTL_S).done
    both = [A.node_id, B.node_id]
    assert tags.renew(C1, VIP, A, number=1, ttl_s=BRIEF_S, electors=both).done
    assert row_of(tags).electors == (A.node_id, B.node_id)
    _wait_until_over(tags)
    only_b = [B.node_id]
    assert tags.acquire(C1, VIP, B, seen=1, ttl_s=TTL_S, electors=only_b).done
    assert tags.release(C1, VIP, B, number=2).done
    assert tags.acquire(C1, VIP, A, seen=2, ttl_s=TTL_S).done


@pytest.mark.parametrize("gone", ["DELETE FROM clusterer", "UPDATE clusterer SET state = 0"])
def test_the_store_gives_no_lease_to_a_node_without_an_enabled_row(
    tags: SqlTagStore, storage: Storage, gone: str
) -> None:
    """Whatever its roster says, which may be older: the same statement looks at both tables."""
    assert tags.acquire(C1, VIP, A, seen=0, ttl_s=TTL_S).done
    assert tags.acquire(C2, VIP, A, seen=0, ttl_s=TTL_S).done
    storage.run(f"{gone} WHERE node_id = 1 AND cluster_id = 1")
    with pytest.raises(NotProvisioned, match="no enabled row of node 1 in cluster 1"):
        tags.renew(C1, VIP, A, number=1, ttl_s=TTL_S)
    with pytest.raises(NotProvisioned, match="no enabled row of node 1 in cluster 1"):
        tags.acquire(C1, "vip2", A_RESTARTED, seen=0, ttl_s=TTL_S)
    assert (row_of(tags).owner, tags.read(C1, "vip2")) == (A, None)
    assert tags.renew(C2, VIP, A, number=1, ttl_s=TTL_S).done, "of another cluster"
    assert tags.release(C1, VIP, A, number=1).done, "it may still give it up"


def test_a_lease_whose_owner_and_electors_are_gone_is_freed_by_a_person(
    tags: SqlTagStore, storage: Storage
) -> None:
    electors = [A.node_id, B.node_id]
    assert tags.acquire(C1, VIP, A, seen=0, ttl_s=BRIEF_S, electors=electors).done
    _wait_until_over(tags)
    storage.run("DELETE FROM clusterer WHERE node_id = 1 AND cluster_id = 1")
    with pytest.raises(Misuse, match="node 2 may have it still, or take it"):
        tags.free(C1, VIP, stopped=electors)
    storage.run("UPDATE clusterer SET state = 0 WHERE node_id = 2 AND cluster_id = 1")
    assert not row_of(tags).released
    assert tags.free(C1, VIP, stopped=electors).released
    assert tags.acquire(C1, VIP, C, seen=1, ttl_s=TTL_S).done
    assert not tags.renew(C2, VIP, A, number=1, ttl_s=TTL_S).done
    with pytest.raises(Misuse, match="lasts for another"):
        tags.free(C1, VIP, stopped=electors)
    with pytest.raises(Misuse, match="is free"):
        tags.free(C1, "unknown", stopped=electors)
