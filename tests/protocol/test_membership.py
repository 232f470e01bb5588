"""Who may join: every reason of a refusal, and what a new roster changes."""

from __future__ import annotations

import pytest

from tagmesh.protocol.cluster_settings import MAX_NODES
from tagmesh.protocol.errors import Reason
from tagmesh.protocol.identity import (
    BinsUrl,
    ClusterId,
    IdentityPolicy,
    InvalidRow,
    NodeId,
    NodeRecord,
    PeerIdentity,
)
from tagmesh.protocol.membership import Admitted, Denied, Key, Membership, RosterDiff
from tagmesh.protocol.removal_messages import Removal
from tagmesh.protocol.tombstones import Tombstones

ME, PEER = NodeId(1), NodeId(2)
A, B = ClusterId(10), ClusterId(20)
PRINT = "ab" * 32


def row(node: int, cluster: int = A, *, enabled: bool = True, host: str = "h") -> NodeRecord:
    return NodeRecord(
        cluster_id=ClusterId(cluster), node_id=NodeId(node), url=BinsUrl(host), enabled=enabled
    )


def membership(
    *records: NodeRecord,
    invalid: tuple[InvalidRow, ...] = (),
    identities: dict[Key, IdentityPolicy] | None = None,
    dynamic: bool = False,
) -> Membership:
    rules = Membership(ME, Tombstones(3600.0))
    rules.update(records, invalid, identities or {}, dynamic=dynamic)
    return rules


def peer(node: int = PEER, fingerprint: str = PRINT) -> PeerIdentity:
    return PeerIdentity(node_id=NodeId(node), fingerprint=fingerprint, not_after_wall_s=1e9)


def bad_row(node: int, cluster: int = A) -> InvalidRow:
    return InvalidRow(db_id=7, cluster_id=cluster, node_id=node, reason="url is empty")


# Admission (J-1, J-2) ---------------------------------------------------------------------------


def test_a_provisioned_enabled_node_is_admitted() -> None:
    assert membership(row(1), row(2)).admit(peer()) == Admitted((A,))


@pytest.mark.parametrize(
    ("rules", "reason", "detail"),
    [
        (membership(row(1)), Reason.UNKNOWN_NODE, "node 2 is not provisioned in cluster 10"),
        (
            membership(row(1), row(2, enabled=False)),
            Reason.DISABLED,
            "node 2 is disabled in cluster 10",
        ),
        (
            membership(row(1), invalid=(bad_row(3), bad_row(2))),
            Reason.INVALID_ROW,
            "the row of node 2 is invalid: url is empty",
        ),
        (
            membership(row(1), row(2), identities={(A, PEER): IdentityPolicy(revoked=True)}),
            Reason.CERT_REVOKED,
            "certificates of node 2 are revoked",
        ),
        (
            membership(
                row(1),
                row(2),
                identities={(A, PEER): IdentityPolicy(fingerprints=frozenset({"cd" * 32}))},
            ),
            Reason.CERT_FINGERPRINT,
            "certificate abababababababab... is not one pinned for node 2",
        ),
        (
            Membership(ME, Tombstones(3600.0)),
            Reason.NO_COMMON_CLUSTER,
            "node 1 is enabled in no cluster",
        ),
        (
            membership(row(1, enabled=False), row(2)),
            Reason.NO_COMMON_CLUSTER,
            "node 1 is enabled in no cluster",
        ),
        (
            membership(row(1), *(row(n) for n in range(3, MAX_NODES + 2)), dynamic=True),
            Reason.CLUSTER_FULL,
            f"cluster 10 has {MAX_NODES} nodes already",
        ),
    ],
    ids=lambda value: value.value if isinstance(value, Reason) else "",
)
def test_refusals(rules: Membership, reason: Reason, detail: str) -> None:
    assert rules.admit(peer()) == Denied(reason, detail)


def test_my_own_id_is_taken_even_with_a_good_certificate() -> None:
    denied = membership(row(1), row(2)).admit(peer(ME))
    assert denied == Denied(Reason.DUPLICATE_ID, "node id 1 is mine")


def test_a_pinned_certificate_is_admitted() -> None:
    pins = {(A, PEER): IdentityPolicy(fingerprints=frozenset({"cd" * 32, PRINT}))}
    assert membership(row(1), row(2), identities=pins).admit(peer()) == Admitted((A,))


def test_storage_trouble_keeps_members_and_refuses_newcomers_with_its_own_reason() -> None:
    """J-3."""
    rules = membership(row(1), row(2), invalid=(bad_row(4),))
    rules.storage_error = "database is locked"
    assert rules.admit(peer()) == Admitted((A,))
    assert rules.admit(peer(3)) == Denied(
        Reason.STORAGE_UNAVAILABLE, "node 3 is not in the last snapshot"
    )
    invalid = rules.admit(peer(4))
    assert isinstance(invalid, Denied)
    assert invalid.reason is Reason.INVALID_ROW
    rules.update((row(1), row(2)), (), {}, dynamic=False)
    unknown = rules.admit(peer(3))
    assert isinstance(unknown, Denied)
    assert unknown.reason is Reason.UNKNOWN_NODE


# Several clusters -------------------------------------------------------------------------------


def test_a_node_is_admitted_to_the_clusters_it_may_enter() -> None:
    both = membership(row(1, A), row(2, A), row(1, B), row(2, B))
    assert both.clusters() == (A, B)
    assert both.admit(peer()) == Admitted((A, B))
    one = membership(row(1, A), row(2, A, enabled=False), row(1, B), row(2, B))
    assert one.admit(peer()) == Admitted((B,))
    mine = membership(row(1, A, enabled=False), row(2, A), row(1, B), row(2, B))
    assert mine.admit(peer()) == Admitted((B,))


def test_a_telling_reason_of_one_cluster_beats_unknown_in_another() -> None:
    rules = membership(row(1, A), row(1, B), row(2, B, enabled=False))
    assert rules.admit(peer()) == Denied(Reason.DISABLED, "node 2 is disabled in cluster 20")


def test_an_invalid_row_of_another_cluster_does_not_matter() -> None:
    rules = membership(row(1, A), invalid=(bad_row(2, B),))
    denied = rules.admit(peer())
    assert isinstance(denied, Denied)
    assert denied.reason is Reason.UNKNOWN_NODE


# What a new snapshot changes (D-8) --------------------------------------------------------------


def test_the_difference_of_two_snapshots() -> None:
    rules = membership(row(1), row(2), row(3), row(4))
    diff = rules.update((row(5), row(4, host="moved"), row(2), row(1)), (), {}, dynamic=False)
    assert diff == RosterDiff(added=(row(5),), removed=(row(3),), changed=(row(4, host="moved"),))
    assert not diff.empty
    assert [n for _, n in rules.records] == [1, 2, 4, 5]


def test_the_same_snapshot_again_changes_nothing() -> None:
    pins = {(A, PEER): IdentityPolicy(revoked=True)}
    rules = membership(row(1), row(2), identities=pins)
    assert rules.update((row(2), row(1)), (), dict(pins), dynamic=False).empty


def test_differences_are_sorted_by_cluster_and_node() -> None:
    rules = Membership(ME, Tombstones(3600.0))
    rows = (row(2, B), row(1, B), row(2, A), row(1, A))
    assert rules.update(rows, (), {}, dynamic=False).added == rows[::-1]
    assert rules.update((), (), {}, dynamic=False).removed == rows[::-1]


def test_a_revocation_changes_the_node_though_its_row_is_the_same() -> None:
    """So that its connection is judged again (P17)."""
    rules = membership(row(1), row(2), row(3))
    revoked = {(A, PEER): IdentityPolicy(revoked=True)}
    diff = rules.update((row(1), row(2), row(3)), (), revoked, dynamic=False)
    assert diff == RosterDiff(changed=(row(2),))
    assert rules.update((row(1), row(2), row(3)), (), {}, dynamic=False).changed == (row(2),)


def test_a_row_that_became_invalid_removes_the_node() -> None:
    """D-5."""
    rules = membership(row(1), row(2))
    assert rules.update((row(1),), (bad_row(2),), {}, dynamic=False).removed == (row(2),)
    assert rules.invalid == (bad_row(2),)


# Joining dynamically (J-4) ----------------------------------------------------------------------


def test_in_dynamic_mode_an_unused_id_joins_and_is_learned_once() -> None:
    rules = membership(row(1), dynamic=True)
    assert rules.admit(peer()) == Admitted((A,))
    assert rules.learn(row(2)) == RosterDiff(added=(row(2),))
    assert rules.learn(row(2, host="other")).empty
    assert rules.records[A, PEER].url == BinsUrl("h")


def test_outside_dynamic_mode_nothing_is_learned() -> None:
    rules = membership(row(1))
    assert rules.learn(row(2)).empty
    assert (A, PEER) not in rules.records


def test_nothing_is_learned_of_clusters_i_am_not_in() -> None:
    assert membership(row(1, A), row(1, B, enabled=False), dynamic=True).learn(row(2, B)).empty


def test_a_row_stands_above_what_was_learned_and_learned_nodes_stay_while_dynamic() -> None:
    rules = membership(row(1), dynamic=True)
    rules.learn(row(2))
    rules.learn(row(3))
    diff = rules.update((row(1), row(2, enabled=False)), (), {}, dynamic=True)
    assert diff == RosterDiff(changed=(row(2, enabled=False),))
    assert rules.update((row(1),), (), {}, dynamic=True) == RosterDiff(
        removed=(row(2, enabled=False),)
    )
    assert rules.update((row(1),), (), {}, dynamic=False) == RosterDiff(removed=(row(3),))


def test_in_dynamic_mode_revoked_certificates_invalid_rows_and_full_clusters_still_refuse() -> None:
    revoked = {(A, PEER): IdentityPolicy(revoked=True)}
    rules = membership(row(1), invalid=(bad_row(3),), identities=revoked, dynamic=True)
    for node, reason in ((2, Reason.CERT_REVOKED), (3, Reason.INVALID_ROW)):
        denied = rules.admit(peer(node))
        assert isinstance(denied, Denied)
        assert denied.reason is reason
    assert rules.learn(row(3)).empty


def test_learning_stops_at_the_limit_per_cluster() -> None:
    rules = membership(row(1, A), row(1, B), dynamic=True)
    for node in range(2, MAX_NODES + 1):
        assert not rules.learn(row(node)).empty
    assert rules.learn(row(MAX_NODES + 1)).empty
    assert rules.admit(peer(MAX_NODES + 1)) == Admitted((B,))
    assert not rules.learn(row(2, B)).empty


def _removed(node: int, *, lifted: bool = False) -> tuple[ClusterId, Removal]:
    return A, Removal(node, 2000 if lifted else 1000, by="an operator", lifted=lifted)


def test_without_rows_a_removed_node_is_not_here_and_not_admitted_until_taken_back() -> None:
    """X-3, X-5; the third node is learned, the second configured."""
    stones = Tombstones(3600.0)
    rules = Membership(ME, stones)
    rules.update((row(ME), row(2)), (), {}, dynamic=True)
    rules.learn(row(3))
    stones.take([_removed(2), _removed(3)], 2.0)
    assert [r.node_id for r in rules.review().removed] == [2, 3]
    for node in (2, 3):
        assert rules.learn(row(node)).empty
        verdict = rules.admit(peer(node))
        assert isinstance(verdict, Denied)
        assert verdict.reason is Reason.TOMBSTONED
        assert verdict.detail == f"node {node} was removed from cluster {A} by an operator"
    stones.take([_removed(2, lifted=True)], 2.0)
    assert [r.node_id for r in rules.review().added] == [2]
    assert rules.admit(peer(2)) == Admitted((A,))


def test_without_rows_a_node_that_was_removed_itself_is_in_no_cluster() -> None:
    """X-4"""
    stones = Tombstones(3600.0)
    rules = Membership(ME, stones)
    rules.update((row(ME), row(2)), (), {}, dynamic=True)
    stones.take([_removed(ME)], 2.0)
    rules.review()
    assert rules.clusters() == ()
    denied = rules.admit(peer(2))
    assert isinstance(denied, Denied)
    assert denied.reason is Reason.NO_COMMON_CLUSTER


def test_a_row_in_the_database_is_above_a_removal() -> None:
    """X-5; and without the row the refusal tells what was done."""
    stones = Tombstones(3600.0)
    rules = Membership(ME, stones)
    stones.take([_removed(2)], 2.0)
    rules.update((row(ME), row(2)), (), {}, dynamic=False)
    assert rules.admit(peer(2)) == Admitted((A,))
    rules.update((row(ME),), (), {}, dynamic=False)
    denied = rules.admit(peer(2))
    assert isinstance(denied, Denied)
    assert denied.reason is Reason.TOMBSTONED
