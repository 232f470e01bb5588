"""Whom a node serves as a donor (S-21)."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol import sync_admission
from tagmesh.protocol.effects import Effect
from tagmesh.protocol.messages import CapState, SyncAnswer, SyncId
from tagmesh.protocol.sync_admission import (
    MAX_DONOR_SESSIONS,
    AbortDonor,
    Admission,
    Offer,
    PassOn,
    StartDonor,
)
from tests.protocol.sync_script import AT_DONOR, JOINER, JOINER_LIFE, counts, here, request, sent

OK = Offer(state=CapState.OK, version_min=1, version_max=1)


def offer(state: CapState = CapState.OK, versions: tuple[int, int] = (1, 1)) -> Offer:
    return Offer(state=state, version_min=versions[0], version_max=versions[1])


def refusals(effects: list[Effect]) -> list[str]:
    return [answer.refusal for answer in sent(effects, SyncAnswer)]


def test_accepted() -> None:
    rules = Admission(AT_DONOR)
    assert rules.request(request(), OK) == [StartDonor(request(), 1)]
    assert rules.running == [request().session]
    rules.ended(request().session)
    assert rules.running == []


@pytest.mark.parametrize("state", [state for state in CapState if state is not CapState.OK])
def test_only_a_complete_capability_serves(state: CapState) -> None:
    rules = Admission(AT_DONOR)
    effects = rules.request(request(), offer(state))
    assert refusals(effects) == ["disabled" if state is CapState.DISABLED else "not_ok"]
    (answer,) = sent(effects, SyncAnswer)
    assert (answer.destination, answer.session) == (JOINER, request().session)
    assert rules.running == []


@pytest.mark.parametrize(
    ("theirs", "ours", "chosen"),
    [((1, 1), (1, 1), 1), ((1, 5), (2, 3), 3), ((2, 3), (1, 5), 3), ((1, 2), (2, 9), 2)],
)
def test_the_highest_version_that_both_know(
    theirs: tuple[int, int], ours: tuple[int, int], chosen: int
) -> None:
    asked = request(versions=theirs)
    rules = Admission(AT_DONOR)
    assert rules.request(asked, offer(versions=ours)) == [StartDonor(asked, chosen)]


@pytest.mark.parametrize(("theirs", "ours"), [((1, 1), (2, 3)), ((4, 5), (2, 3))])
def test_no_version_that_both_know(theirs: tuple[int, int], ours: tuple[int, int]) -> None:
    effects = Admission(AT_DONOR).request(request(versions=theirs), offer(versions=ours))
    assert refusals(effects) == ["version"]


def test_a_donor_serves_a_few_at_a_time() -> None:
    rules = Admission(AT_DONOR)
    asked = [request(joiner=here(10 + n, 1)) for n in range(MAX_DONOR_SESSIONS + 1)]
    for each in asked[:-1]:
        assert rules.request(each, OK) == [StartDonor(each, 1)]
    assert refusals(rules.request(asked[-1], OK)) == ["busy"]
    rules.ended(asked[0].session)
    another = request(2, joiner=here(10 + MAX_DONOR_SESSIONS, 1))
    assert rules.request(another, OK) == [StartDonor(another, 1)]


def test_a_repeated_request_goes_to_its_session() -> None:
    rules = Admission(AT_DONOR)
    rules.request(request(), OK)
    assert rules.request(request(), OK) == [PassOn(request())]


def test_a_repeated_request_that_was_refused_is_refused_again() -> None:
    """Whatever it would be told now: the joiner has gone on, or will."""
    rules = Admission(AT_DONOR)
    rules.request(request(), offer(CapState.SYNCING))
    assert refusals(rules.request(request(), OK)) == ["not_ok"]
    assert rules.running == []


def test_a_request_that_comes_again_after_the_session_opens_no_other_one() -> None:
    rules = Admission(AT_DONOR)
    rules.request(request(), OK)
    rules.ended(request().session)
    assert counts(rules.request(request(), OK)) == ["S-20"]
    assert rules.running == []


def test_a_newer_request_ends_the_session_that_runs() -> None:
    rules = Admission(AT_DONOR, max_sessions=1)
    rules.request(request(4), OK)
    effects = rules.request(request(6), OK)
    old = SyncId(JOINER, JOINER_LIFE, 4)
    assert effects == [AbortDonor(old, "superseded"), StartDonor(request(6), 1)]
    rules.ended(old)
    assert rules.running == [SyncId(JOINER, JOINER_LIFE, 6)], "the end of the old one came late"
    assert counts(rules.request(request(5), OK)) == ["S-20"], "overtaken"


def test_also_when_it_is_refused() -> None:
    rules = Admission(AT_DONOR)
    rules.request(request(4), OK)
    effects = rules.request(request(6), offer(CapState.DISABLED))
    assert isinstance(effects[0], AbortDonor)
    assert refusals(effects) == ["disabled"]


def test_another_life_of_the_joiner_begins_counting_anew() -> None:
    rules = Admission(AT_DONOR)
    rules.request(request(9), OK)
    reborn = request(1, joiner=here(JOINER, JOINER_LIFE + 1))
    abort, start = rules.request(reborn, OK)
    assert (type(abort), start) == (AbortDonor, StartDonor(reborn, 1))
    assert counts(rules.request(request(10), OK)) == ["S-20"], "of the earlier life"


def test_a_life_with_a_lower_number_that_is_reached_is_the_present_one() -> None:
    """T-9: its disk and its clock were set back; requests of the life before count for less."""
    rules = Admission(AT_DONOR)
    rules.request(request(9), OK)
    reborn = request(1, joiner=here(JOINER, JOINER_LIFE - 1))
    assert counts(rules.request(reborn, OK)) == ["S-20"], "that life is not known to be there"
    reached = msgspec.structs.replace(OK, joiner_life=JOINER_LIFE - 1)
    abort, start = rules.request(reborn, reached)
    assert (type(abort), start) == (AbortDonor, StartDonor(reborn, 1))
    assert rules.running == [reborn.session]


def test_nobody_asks_in_another_nodes_name() -> None:
    rules = Admission(AT_DONOR)
    stranger = here(77, 1)
    foreign = request(joiner=stranger)
    for session in (SyncId(JOINER, 1, 1), SyncId(77, 2, 1)):
        head = stranger.head(2)
        forged = type(foreign)(*head, session, 1, 1, [], [], [])
        assert counts(rules.request(forged, OK)) == ["S-20"]


def test_as_many_joiners_are_remembered_as_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest; whoever was forgotten and repeats itself, seems to ask for the first time."""
    monkeypatch.setattr(sync_admission, "MAX_JOINERS", 3)
    rules = Admission(AT_DONOR)
    first, second, third, fourth = (request(joiner=here(10 + n, 1)) for n in range(4))
    first_again = request(2, joiner=here(10, 1))
    for each in (first, second, third, first_again, fourth):
        rules.request(each, offer(CapState.SYNCING))
    for remembered in (first_again, third, fourth):
        assert refusals(rules.request(remembered, OK)) == ["not_ok"]
    assert rules.request(second, OK) == [StartDonor(second, 1)]
