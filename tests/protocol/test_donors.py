"""Who may be a donor, who is asked first, and why not the others (S-22)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.protocol.contract import Condition
from tagmesh.protocol.donors import (
    CapabilityView,
    Peer,
    Rejection,
    Wants,
    candidates,
    explain_donor,
    fellows,
    of_tag,
)
from tagmesh.protocol.identity import NodeId, NodeRecord
from tagmesh.protocol.messages import CapState
from tests.protocol.capability_bench import peer, said, view
from tests.protocol.tag_sync_bench import here

ANY = Wants()


def ids(peers: list[Peer]) -> list[int]:
    return [p.node_id for p in peers]


def why_not(around: CapabilityView, wants: Wants = ANY) -> dict[int, tuple[Rejection | None, str]]:
    return {v.node_id: (v.rejection, v.detail) for v in explain_donor(around, wants)}


def test_each_part_of_the_order_counts_after_the_one_before() -> None:
    """S-22: without data last, hops, position, node id."""
    around = view(
        peer(2, said(without_data=True, position=99), hops=1),
        peer(3, said(position=5), hops=2),
        peer(4, said(position=1), hops=1),
        peer(5, said(position=7), hops=1),
        peer(6, said(position=7), hops=1),
    )
    assert ids(candidates(around, ANY)) == [5, 6, 4, 3, 2]


@pytest.mark.parametrize(
    ("other", "rejection", "detail"),
    [
        (peer(2, enabled=False), Rejection.NODE_DISABLED, "its row says so"),
        (peer(2, hops=0), Rejection.UNREACHABLE, "no path leads to it"),
        (peer(2, None), Rejection.NO_CAPABILITY, "it has not registered the capability"),
        (peer(2, said(version_min=2, version_max=3)), Rejection.VERSION,
         "it knows 2 to 3, this node 1 to 1"),
        (peer(2, CapState.SYNCING), Rejection.NOT_OK, "syncing"),
        (peer(2, CapState.DISABLED), Rejection.NOT_OK, "disabled"),
        (peer(2, said(CapState.PENDING, reason="busy")), Rejection.NOT_OK, "pending: busy"),
    ],
)  # fmt: skip
def test_every_rejection_has_its_code_and_says_more(
    other: Peer, rejection: Rejection, detail: str
) -> None:
    around = view(other, peer(3))
    assert ids(candidates(around, ANY)) == [3]
    assert why_not(around) == {2: (rejection, detail), 3: (None, "1 hop, position 0")}


def test_who_failed_since_it_became_ok_is_named_with_the_reason() -> None:
    around = view(
        peer(2, life=7), peer(3, life=7), peer(4, CapState.PENDING, life=7),
        peer(5, said(generation=2)),
    )  # fmt: skip
    tried = dict.fromkeys([(NodeId(2), 7, 0), (NodeId(3), 6, 0), (NodeId(4), 7, 0)], "busy")
    tried[NodeId(5), 1, 1] = "not_ok"
    verdicts = explain_donor(around, ANY, tried)
    assert [(v.node_id, v.place, v.rejection, v.detail) for v in verdicts] == [
        (3, 1, None, "1 hop, position 0"),
        (5, 2, None, "1 hop, position 0"),
        (2, None, Rejection.TRIED, "busy"),
        (4, None, Rejection.NOT_OK, "pending"),
    ]
    assert [v.accepted for v in verdicts] == [True, True, False, False]


@pytest.mark.parametrize(
    ("condition", "mine", "theirs", "met"),
    [
        ("any", None, "b", True),
        ("same_sip_addr", "a", "a", True),
        ("same_sip_addr", "a", "b", False),
        ("same_sip_addr", None, None, False),
        ("same_sip_addr", "a", None, False),
        ("different_sip_addr", "a", "a", False),
        ("different_sip_addr", "a", "b", True),
        ("different_sip_addr", None, None, True),
    ],
)
def test_null_never_equals_null_in_a_condition(
    condition: Condition, mine: str | None, theirs: str | None, met: bool
) -> None:
    """OpenSIPS#1369, #1372, #3714"""
    around = view(peer(2, sip_addr=theirs), sip_addr=mine)
    assert bool(candidates(around, Wants(condition))) == met


def test_a_condition_that_is_not_met_shows_both_addresses() -> None:
    around = view(peer(2, sip_addr="sip:é"))
    assert why_not(around, Wants("same_sip_addr"))[2] == (
        Rejection.CONDITION,
        "same_sip_addr wanted; sip_addr is null here and 'sip:\\xe9' there",
    )


def test_a_condition_of_the_application_sees_both_rows() -> None:
    def west(mine: NodeRecord, theirs: NodeRecord) -> bool:
        return mine.description == theirs.description == "west"

    around = view(peer(2, description="east"), peer(3, description="west"), description="west")
    assert ids(candidates(around, Wants(west))) == [3]
    assert why_not(around, Wants(west))[2][0] is Rejection.CONDITION


def test_a_condition_that_raises_rejects_and_says_so() -> None:
    def broken(mine: NodeRecord, theirs: NodeRecord) -> bool:
        raise KeyError(theirs.node_id)

    assert why_not(view(peer(2)), Wants(broken))[2] == (
        Rejection.CONDITION,
        "the condition raised KeyError: 2",
    )


@pytest.mark.parametrize(
    ("mine", "theirs", "fit"),
    [
        ((1, 1), (1, 3), True),
        ((2, 4), (4, 9), True),
        ((2, 4), (1, 2), True),
        ((2, 4), (5, 9), False),
    ],
)
def test_one_data_format_that_both_know_is_enough(
    mine: tuple[int, int], theirs: tuple[int, int], fit: bool
) -> None:
    low, high = theirs
    around = view(peer(2, said(version_min=low, version_max=high)))
    assert bool(candidates(around, Wants("any", *mine))) == fit


def test_fellows_are_who_could_be_a_donor_if_it_were_ok() -> None:
    states = {2: CapState.OK, 3: CapState.PENDING, 4: CapState.DISABLED, 5: CapState.UNSYNCED}
    around = view(*(peer(n, s) for n, s in states.items()), peer(6, hops=0), peer(7, None))
    assert ids(fellows(around, ANY)) == [2, 3, 5]


@pytest.mark.parametrize(
    ("visible", "hidden", "share", "quorum"),
    [
        (0, 0, 0.5, True),
        (0, 1, 0.5, False),
        (1, 1, 0.5, True),
        (1, 2, 0.5, False),
        (2, 2, 0.5, True),
        (0, 9, 0.0, True),
        (8, 1, 1.0, False),
        (9, 0, 1.0, True),
    ],
)
def test_a_quorum_is_more_than_the_share_of_the_enabled_nodes(
    visible: int, hidden: int, share: float, quorum: bool
) -> None:
    """Whether they have the capability or not. A share of 1 asks for all of them."""
    near = [peer(10 + n, None) for n in range(visible)]
    far = [peer(30 + n, hops=0) for n in range(hidden)]
    off = [peer(50 + n, hops=0, enabled=False) for n in range(3)]
    assert view(*near, *far, *off).quorum(share) == quorum


PEERS = st.lists(
    st.builds(
        lambda node, state, hops, position, empty, version: peer(
            node,
            said(state, position=position, without_data=empty, version_max=version)
            if state is not None
            else None,
            hops=hops,
        ),
        st.integers(2, 12),
        st.sampled_from([None, CapState.OK, CapState.OK, CapState.PENDING]),
        st.integers(0, 3),
        st.integers(0, 2),
        st.booleans(),
        st.integers(1, 2),
    ),
    unique_by=lambda p: p.node_id,
)


@given(PEERS)
def test_the_explanation_agrees_with_the_choice_and_leaves_nobody_out(peers: list[Peer]) -> None:
    around = view(*peers)
    chosen = candidates(around, ANY)
    verdicts = explain_donor(around, ANY)
    assert sorted(v.node_id for v in verdicts) == sorted(ids(list(around.peers)))
    assert [v.node_id for v in verdicts if v.accepted] == ids(chosen)
    assert [v.place for v in verdicts if v.accepted] == list(range(1, len(chosen) + 1))
    for better, worse in itertools.pairwise(chosen):
        a, b = better.said, worse.said
        assert (a.without_data, better.hops, -a.position, better.node_id) < (
            b.without_data, worse.hops, -b.position, worse.node_id
        )  # fmt: skip
    assert all(p.said.state is CapState.OK and p.hops for p in chosen)


def test_of_a_tag_its_owner_alone_is_a_donor_and_the_others_are_told_why() -> None:
    """K-1."""
    around = view(peer(2), peer(3), peer(4, CapState.PENDING))
    first, *others = of_tag(explain_donor(around, Wants()), here("vip", 3))
    assert (first.node_id, first.place) == (3, 1)
    assert [(v.node_id, v.rejection) for v in others] == [
        (2, Rejection.NOT_TAG_OWNER),
        (4, Rejection.NOT_OK),
    ]
    assert others[0].detail == "node 3 has vip: a test says so"


def test_of_a_tag_that_nobody_has_nobody_is_a_donor() -> None:
    """K-4."""
    around = view(peer(2))
    (only,) = of_tag(explain_donor(around, Wants()), here("vip", None))
    assert (only.rejection, only.detail) == (
        Rejection.NOT_TAG_OWNER,
        "nobody has vip: a test says so",
    )
