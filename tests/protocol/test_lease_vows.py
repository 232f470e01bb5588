"""The vows that let an owner go on without the database (B4)."""

from __future__ import annotations

import msgspec

from tagmesh.protocol.effects import Count, Effect, SendTo
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.lease import LeaseRules
from tagmesh.protocol.lease_words import (
    Acquire,
    LeaseExtended,
    LeaseSettings,
    LeaseView,
    ReadRow,
)
from tagmesh.protocol.tag_messages import Vow, VowRequest
from tagmesh.protocol.tag_words import digest_of_terms
from tests.protocol.lease_bench import LASTS_S, SETTINGS, TERMS, holder, node, row
from tests.protocol.tag_bench import CLUSTER, ONE, THREE, TWO


def vow_request(number: int = 1, round_: int = 1, terms: bytes = TERMS) -> VowRequest:
    return VowRequest(CLUSTER, "vip", number, round_, terms)


def away() -> LeaseRules:
    """Node 1 could not renew in second 3, and asked for vows in second 4."""
    rules = holder()
    rules.tick(3.0)
    assert rules.failed("away", 4.0) == [SendTo(TWO, vow_request()), SendTo(THREE, vow_request())]
    return rules


def vow(
    rules: LeaseRules, sender: int, now: float, number: int = 1, round_: int = 1
) -> list[Effect]:
    return rules.receive(NodeId(sender), Vow(CLUSTER, "vip", number, round_), now)


def test_when_all_others_vow_the_lease_lasts_from_when_they_were_asked() -> None:
    rules = away()
    assert vow(rules, 2, 4.1) == vow(rules, 2, 4.2) == []
    assert vow(rules, 3, 4.3) == [LeaseExtended(4.0 + LASTS_S)]


def test_the_only_node_needs_nobody_to_let_it() -> None:
    alone = LeaseView(members=(ONE,), fit=frozenset({ONE}))
    rules = node(view=alone)
    rules.row_read(row(), 0.0)
    rules.acquired(row(1, 1, 10.0), 0.1)
    rules.tick(3.0)
    assert rules.failed("away", 4.0) == [LeaseExtended(4.0 + LASTS_S)]


def test_only_vows_of_this_round_by_members_count() -> None:
    rules = away()
    assert vow(rules, 2, 4.1, round_=0) == vow(rules, 2, 4.1, number=2) == [Count("B4")]
    for stranger in (9, 1):
        assert vow(rules, stranger, 4.1) == [Count("G-4")]
    rules.tick(6.0)
    assert rules.failed("away", 6.1)[0] == SendTo(TWO, vow_request(round_=2))
    assert vow(rules, 3, 6.2) == [Count("B4")]
    assert vow(node(), 2, 0.1) == [Count("B4")]


def test_a_vow_keeps_its_giver_from_the_lease_for_a_ttl() -> None:
    rules = node(2)
    rules.row_read(row(1, 1, 2.0), 0.0)
    assert rules.receive(ONE, vow_request(), 1.0) == [SendTo(ONE, Vow(CLUSTER, "vip", 1, 1))]
    for now in (3.0, 6.0, 9.0):
        assert rules.tick(now) == [ReadRow()]
        assert rules.row_read(row(1, 1), now) == []
    assert rules.deadline == 1.0 + SETTINGS.ttl_s + SETTINGS.rank_delay_s
    assert rules.tick(11.2) == [Acquire(1)]


def test_who_may_take_the_lease_or_knows_better_gives_no_vow() -> None:
    """It asks for it, holds it, gives it back, heard of a later one; or it knows other members, has
    other settings, or would forget the vow in a restart.
    """
    asking = node()
    asking.row_read(row(1, 2), 0.0)
    giving = node()
    giving.row_read(row(1, 1, 5.0), 0.0)
    later = node()
    later.look(2, None, 0.0)
    for rules in (asking, holder(), giving, later):
        assert rules.receive(TWO, vow_request(), 0.5) == [Count("B4")]
    for other in (
        digest_of_terms([ONE, TWO], SETTINGS.ttl_s),
        digest_of_terms([ONE, TWO, THREE], 9.0),
    ):
        assert node().receive(TWO, vow_request(terms=other), 0.5) == [Count("B4")]
    careless = node(settings=LeaseSettings(failsafe=False))
    assert careless.receive(TWO, vow_request(), 0.5) == [Count("B4")]
    assert node().receive(NodeId(9), vow_request(), 0.5) == [Count("G-4")]


def test_who_was_disabled_since_the_last_renewal_could_still_take_the_lease() -> None:
    rules = holder()
    rules.view_changed(LeaseView(members=(ONE,), fit=frozenset({ONE})), 1.0)
    rules.tick(3.0)
    assert rules.failed("away", 4.0) == []
    assert rules.until_s == LASTS_S


def test_electors_of_a_renewal_that_was_answered_are_all_that_count() -> None:
    rules = holder()
    rules.view_changed(LeaseView(members=(ONE,), fit=frozenset({ONE})), 1.0)
    rules.tick(3.0)
    assert rules.electors == (ONE,)
    rules.renewed(row(1, 1, 10.0), 3.1)
    rules.tick(6.0)
    assert rules.failed("away", 7.0) == [LeaseExtended(7.0 + LASTS_S)]


def test_who_is_no_elector_takes_no_lease_that_ran_out() -> None:
    for electors, asks in (((ONE, TWO), False), ((ONE, THREE), True), ((), True)):
        rules = node(3, view=LeaseView(members=(ONE, THREE), fit=frozenset({THREE})))
        over = msgspec.structs.replace(row(1, 1), electors=electors)
        assert (rules.row_read(over, 0.0) == [Acquire(1)]) is asks


def test_who_may_have_got_the_lease_gives_no_vow_before_it_has_read_the_row() -> None:
    rules = node(2, view=LeaseView(members=(ONE, TWO, THREE), fit=frozenset({TWO})))
    assert rules.row_read(row(1, 1), 0.0) == [Acquire(1)]
    rules.failed("away", 0.5)
    assert rules.receive(ONE, vow_request(), 1.0) == [Count("B4")]
