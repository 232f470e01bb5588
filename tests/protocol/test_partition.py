"""Work partitioning: agreement, small moves, and never two workers for one key (P-1 … P-5)."""

from __future__ import annotations

import random

import msgspec
import pytest

from tagmesh.protocol.donors import Peer
from tagmesh.protocol.effects import Effect
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import MAX_WEIGHT, CapState
from tagmesh.protocol.partition import (
    SLOTS,
    Adopted,
    Arrival,
    Gained,
    Lost,
    Partition,
    slot_of,
)
from tests.protocol.partition_bench import UNSYNCED, around, peer, record, said, view_of

# Views and owners -----------------------------------------------------------------------------


def test_all_members_have_the_same_view_and_so_has_who_is_none() -> None:
    """P-1"""
    one = view_of(1, 2, 3)
    assert one == view_of(2, 1, 3) == view_of(3, 1, 2) == view_of(1, 2, 3, me=9)
    assert [m.node_id for m in one.members] == [1, 2, 3]
    assert one.index_of(NodeId(2)) == (1, 3)
    assert one.id != view_of(1, 2).id


def test_a_view_never_changes_with_version_process_or_hash_seed() -> None:
    """Two versions of the software in one cluster must agree; never change these numbers."""
    view = view_of(1, 2, 3)
    assert view.id == 242155357458736161
    assert view.owners[:12] == (1, 3, 2, 3, 2, 3, 1, 2, 3, 3, 1, 3)
    assert [slot_of(key) for key in ("", "alice", b"\xff", 42)] == [692, 2697, 3985, 2170]


def test_the_same_key_as_text_and_as_bytes_is_one() -> None:
    assert slot_of("alice") == slot_of(b"alice")
    assert slot_of(42) == slot_of("42")


def test_without_members_nobody_owns_anything() -> None:
    part = Partition(NodeId(1), 7)
    assert part.see(said(UNSYNCED), around(1)) == []
    assert (part.view.owner("x"), part.view.id) == (None, 0)
    assert part.my_index() == (None, 0)
    assert not part.works_on("x")


def test_my_index_is_that_of_opensips_but_for_an_unsynced_self() -> None:
    """P-4; row 30 of the defects."""
    part = Partition(NodeId(2), 7)
    others = (peer(1), peer(3), peer(4, said(UNSYNCED)), peer(5, hops=0))
    part.see(said(), around(2, *others))
    assert part.my_index() == (1, 3)
    part.see(said(CapState.SYNCING), around(2, *others))
    assert part.my_index() == (None, 2)


def test_a_disabled_node_and_one_without_the_capability_are_no_members() -> None:
    part = Partition(NodeId(1), 7)
    disabled = msgspec.structs.replace(peer(2), record=record(2, enabled=False))
    without = msgspec.structs.replace(peer(3), state=None)
    part.see(said(), around(1, disabled, without))
    assert part.my_index() == (0, 1)


@pytest.mark.parametrize("size", [2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 30])
def test_a_change_moves_few_keys_and_only_of_the_one_that_came_or_left(size: int) -> None:
    """P-2, B17: at most 1.3 / n."""
    for number in range(3):
        ids = random.Random(1000 * size + number).sample(range(1, 5000), size)
        before, after = view_of(*ids[1:]), view_of(*ids)
        moved = {s for s in range(SLOTS) if before.owners[s] != after.owners[s]}
        assert {after.owners[s] for s in moved} == {ids[0]}
        assert 0.7 / size <= len(moved) / SLOTS <= 1.3 / size
        keys = [f"user-{n}" for n in range(2000)]
        moved_keys = sum(before.owner(key) != after.owner(key) for key in keys)
        assert moved_keys == sum(slot_of(key) in moved for key in keys)


def test_of_a_hundred_members_each_has_about_its_share() -> None:
    owners = view_of(*range(1, 101)).owners
    shares = sorted(owners.count(NodeId(n)) * 100 / SLOTS for n in range(1, 101))
    assert 0.4 < shares[0] <= shares[-1] < 1.6


def test_shares_follow_the_weights() -> None:
    """P-5"""
    weights = {1: 1, 2: 2, 3: 5, 4: MAX_WEIGHT}
    part = Partition(NodeId(1), 7)
    others = (peer(node, said(weight=weights[node])) for node in (2, 3, 4))
    part.see(said(weight=weights[1]), around(1, *others))
    owners, whole = part.view.owners, sum(weights.values())
    for node, weight in weights.items():
        assert owners.count(NodeId(node)) / SLOTS == pytest.approx(weight / whole, rel=0.15)


def test_other_weights_are_another_view() -> None:
    part = Partition(NodeId(1), 7)
    part.see(said(), around(1, peer(2, said(weight=2))))
    assert part.view.id != view_of(1, 2).id


def test_who_takes_no_part_is_no_member_and_consents() -> None:
    """P-3: whoever begins to work waits also for those that take no part, and may begin any
    moment."""
    worker, idle = Partition(NodeId(1), 7), Partition(NodeId(2), 7, observes=True)
    effects = worker.see(said(), around(1, peer(2, said(weight=0))))
    assert (slots(effects, Gained), worker.my_index()) == (set(), (0, 1))
    effects = idle.see(said(weight=0), around(2, peer(1)))
    assert adopted(effects) == [worker.view.id]
    assert idle.view.owner("x") is None, "nobody asks it"
    effects = worker.see(said(), around(1, peer(2, said(weight=0, view=worker.view.id))))
    assert slots(effects, Gained) == set(range(SLOTS))


def test_who_begins_to_work_wants_consent_to_a_view_with_itself_in_it() -> None:
    """It saw the work divided among the others before; that they follow that view says nothing."""
    others = view_of(2, 3).id
    part = Partition(NodeId(1), 7)
    effects = part.see(
        said(weight=0), around(1, peer(2, said(view=others)), peer(3, said(view=others)))
    )
    assert adopted(effects) == [others]
    effects = part.see(said(), around(1, peer(2, said(view=others)), peer(3, said(view=others))))
    assert slots(effects, Gained) == set()
    all_three = said(view=part.view.id)
    effects = part.see(said(), around(1, peer(2, all_three), peer(3, all_three)))
    assert slots(effects, Gained) == {s for s, o in enumerate(part.view.owners) if o == 1}


# Arrival --------------------------------------------------------------------------------------


def test_arrived_at_once_where_everybody_is_in_sight() -> None:
    """P-4: a node alone in its cluster, or one that sees all the others, does not wait."""
    assert Arrival(1.0).look(around(1), 100.0)
    assert Arrival(1.0).look(around(1, peer(2), peer(3, hops=2)), 100.0)
    gone = Peer(record=record(3, enabled=False))
    assert Arrival(1.0).look(around(1, peer(2), gone), 100.0), "a disabled node is not waited for"


def test_who_sees_not_everybody_waits_as_long_as_a_link_takes_to_be_down() -> None:
    """P-4: three retries, and the first ping."""
    arrival = Arrival(0.25)
    assert not arrival.look(around(1, peer(2, hops=0)), 100.0)
    assert arrival.deadline == 101.0
    assert not arrival.look(around(1, peer(2, hops=0)), 100.999)
    assert arrival.look(around(1, peer(2, hops=0)), 101.0)
    assert arrival.deadline is None


def test_the_waiting_ends_when_the_last_one_comes_into_sight_and_never_begins_again() -> None:
    arrival = Arrival(1.0)
    assert not arrival.look(around(1, peer(2), peer(3, hops=0)), 100.0)
    assert arrival.look(around(1, peer(2), peer(3)), 100.1)
    assert arrival.look(around(1, peer(2, hops=0), peer(3, hops=0)), 100.2)
    assert arrival.deadline is None


def test_two_that_begin_to_work_at_the_same_moment_wait_for_each_other() -> None:
    one, other = Partition(NodeId(1), 7), Partition(NodeId(2), 7)
    idle = said(weight=0)
    assert slots(one.see(said(), around(1, peer(2, idle))), Gained) == set()
    assert slots(other.see(said(), around(2, peer(1, idle))), Gained) == set()
    alone = (one.view.id, other.view.id)
    effects = one.see(said(view=alone[0]), around(1, peer(2, said(view=alone[1]))))
    effects += other.see(said(view=alone[1]), around(2, peer(1, said(view=alone[0]))))
    assert slots(effects, Gained) == set()
    both = one.view.id
    assert both == other.view.id
    mine = slots(one.see(said(view=both), around(1, peer(2, said(view=both)))), Gained)
    theirs = slots(other.see(said(view=both), around(2, peer(1, said(view=both)))), Gained)
    assert mine | theirs == set(range(SLOTS))
    assert not mine & theirs


def test_who_begins_to_take_part_consents_once_more() -> None:
    part = Partition(NodeId(1), 7)
    part.see(said(), around(1, peer(2, said(weight=0))))
    part.see(said(), around(1, peer(2, said(weight=0, view=part.view.id))))
    assert len(part.held) == SLOTS
    effects = part.see(said(), around(1, peer(2)))
    assert slots(effects, Lost)
    part.let_go()
    effects = part.see(said(), around(1, peer(2, hops=0)))
    assert len(part.held) == SLOTS, "it has gone"


# Hand-over, step by step ----------------------------------------------------------------------


def slots(effects: list[Effect], kind: type[Lost] | type[Gained]) -> set[int]:
    return {slot for e in effects if isinstance(e, kind) for slot in e.slots}


def adopted(effects: list[Effect]) -> list[int]:
    return [e.view for e in effects if isinstance(e, Adopted)]


def test_alone_everything_is_mine_at_once() -> None:
    part = Partition(NodeId(1), 7)
    effects = part.see(said(), around(1))
    assert adopted(effects) == [part.view.id]
    assert slots(effects, Gained) == set(range(SLOTS))
    assert part.works_on("anything")


def test_who_comes_waits_until_the_other_has_let_go() -> None:
    """P-3: lost is confirmed before it is gained."""
    old, new = Partition(NodeId(1), 7), Partition(NodeId(2), 7)
    old.see(said(), around(1))
    lonely = old.view.id
    effects = new.see(said(), around(2, peer(1, said(view=lonely))))
    both = new.view.id
    assert adopted(effects) == [both]
    assert slots(effects, Gained) == set()

    effects = old.see(said(), around(1, peer(2, said(view=both))))
    lost = slots(effects, Lost)
    assert 0 < len(lost) < SLOTS
    assert adopted(effects) == [], "the application has not let go yet"
    assert not old.held & lost
    assert old.let_go() == [Adopted(both)]

    effects = new.see(said(), around(2, peer(1, said(view=both))))
    assert slots(effects, Gained) == lost
    assert old.held | new.held == set(range(SLOTS))


def test_what_the_dead_had_is_taken_at_once_from_whom_followed_me_before() -> None:
    part = Partition(NodeId(1), 7)
    part.see(said(), around(1, peer(2), peer(3)))
    three = part.view.id
    effects = part.see(said(), around(1, peer(2, said(view=three)), peer(3, said(view=three))))
    mine = slots(effects, Gained)
    effects = part.see(said(), around(1, peer(2, said(view=three)), peer(3, hops=0)))
    assert slots(effects, Gained) == {s for s, o in enumerate(part.view.owners) if o == 1} - mine


def test_whoever_leaves_in_order_is_waited_for() -> None:
    part = Partition(NodeId(1), 7)
    part.see(said(), around(1, peer(2)))
    both = part.view.id
    part.see(said(), around(1, peer(2, said(view=both))))
    kept = part.held
    part.see(said(), around(1, peer(2, said(UNSYNCED, view=both))))
    assert part.held == kept
    alone = part.view.id
    effects = part.see(said(), around(1, peer(2, said(UNSYNCED, view=alone))))
    assert slots(effects, Gained) == set(range(SLOTS)) - kept


def test_a_node_that_may_become_a_member_must_know_that_i_am_one() -> None:
    """Else both of two nodes that become OK in the same moment believe to be alone."""
    part = Partition(NodeId(1), 7)
    assert slots(part.see(said(), around(1, peer(2, said(UNSYNCED)))), Gained) == set()
    knows = peer(2, said(UNSYNCED, view=part.view.id))
    assert slots(part.see(said(), around(1, knows)), Gained) == set(range(SLOTS))


def test_an_old_consent_is_none_after_having_been_away() -> None:
    """The same members again, but the other may have taken everything meanwhile."""
    part = Partition(NodeId(1), 7)
    part.see(said(), around(1, peer(2)))
    stale = said(view=part.view.id)
    assert slots(part.see(said(), around(1, peer(2, stale))), Gained)
    effects = part.see(said(UNSYNCED), around(1, peer(2, stale)))
    assert slots(effects, Lost)
    assert part.let_go() == [Adopted(part.view.id)]
    effects = part.see(said(generation=2), around(1, peer(2, stale)))
    assert slots(effects, Gained) == set()
    assert slots(part.see(said(generation=2), around(1, peer(2, said(view=part.view.id)))), Gained)


def test_leaving_and_returning_in_one_step_is_leaving_all_the_same() -> None:
    part = Partition(NodeId(1), 7)
    part.see(said(), around(1))
    effects = part.see(said(generation=2), around(1))
    assert slots(effects, Lost) == set(range(SLOTS))
    assert slots(part.let_go(), Gained) == set(range(SLOTS))


def test_a_restarted_member_has_not_consented() -> None:
    part = Partition(NodeId(1), 7)
    part.see(said(), around(1, peer(2)))
    both = said(view=part.view.id)
    part.see(said(), around(1, peer(2, both), peer(3)))
    part.see(said(), around(1, peer(2, both)))
    kept = part.held
    part.see(said(), around(1, peer(2, both, life=8)))
    assert part.held <= kept


def test_new_weights_ask_for_new_consent() -> None:
    part = Partition(NodeId(1), 7)
    part.see(said(), around(1, peer(2)))
    old = said(view=part.view.id)
    part.see(said(), around(1, peer(2, old)))
    kept = part.held
    heavy = said(weight=9)
    assert slots(part.see(heavy, around(1, peer(2, old))), Gained) == set()
    effects = part.see(heavy, around(1, peer(2, said(view=part.view.id))))
    assert slots(effects, Gained)
    assert part.held > kept


def test_in_one_phase_mode_nobody_waits() -> None:
    part = Partition(NodeId(1), 7, two_phase=False)
    effects = part.see(said(), around(1, peer(2, said(view=99))))
    assert slots(effects, Gained) == {s for s, o in enumerate(part.view.owners) if o == 1}


def test_the_smaller_part_of_a_network_may_be_kept_from_working() -> None:
    part = Partition(NodeId(1), 7, quorum_share=0.5)
    far = peer(3, hops=0)
    part.see(said(), around(1, peer(2), far))
    effects = part.see(said(), around(1, peer(2, said(view=part.view.id)), far))
    assert slots(effects, Gained)
    effects = part.see(said(), around(1, peer(2, hops=0), far))
    assert slots(effects, Lost)
    assert part.held == frozenset()
