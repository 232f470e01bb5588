"""When a person may free a lease that ran out, and what is said when not (B4)."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.lease_orphans import check_free, claimants
from tagmesh.protocol.tag_words import TagRow
from tests.protocol.lease_bench import row
from tests.protocol.tag_bench import CLUSTER, ONE, THREE, TWO

ORPHAN = msgspec.structs.replace(row(4, 2), electors=(ONE, TWO))


def test_when_nobody_of_all_who_could_have_it_can_come_back() -> None:
    check_free(CLUSTER, "vip", ORPHAN, enabled=[], stopped=[ONE, TWO, THREE])


@pytest.mark.parametrize(
    ("read", "enabled", "stopped", "said"),
    [
        (None, (), (1, 2), "is free: any candidate takes it"),
        (row(4, 2, released=True), (), (1, 2), "is free: any candidate takes it"),
        (row(4, 2, mode="manual"), (), (1, 2), "has no lease: node 2 was given it by hand"),
        (msgspec.structs.replace(ORPHAN, left_s=3.21), (), (1, 2), "lasts for another 3.2 s"),
        (row(4, 2), (), (1, 2), "anybody may take its lease"),
        (ORPHAN, (1,), (1, 2), "node 1 may have it still, or take it: start one"),
        (ORPHAN, (1, 2), (1, 2), "tagmesh db rm --cluster 1 --node N"),
        (ORPHAN, (), (1,), "node 2 may have it still.*name all of them: 1 2"),
        (ORPHAN, (), (), "nodes 1, 2 may have it still"),
    ],
)
def test_a_refusal_says_what_to_do(
    read: TagRow | None, enabled: tuple[int, ...], stopped: tuple[int, ...], said: str
) -> None:
    with pytest.raises(Misuse, match=said):
        check_free(CLUSTER, "vip", read, list(map(NodeId, enabled)), list(map(NodeId, stopped)))


def test_who_could_have_it_are_its_owner_and_its_electors() -> None:
    assert claimants(ORPHAN) == (ONE, TWO)
    assert claimants(msgspec.structs.replace(ORPHAN, electors=(THREE,))) == (TWO, THREE)
    assert claimants(row(4, 2)) == ()
