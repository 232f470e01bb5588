"""Phrases that carry their cause."""

from __future__ import annotations

import copy

import pytest

from tagmesh.protocol.because import (
    About,
    Cause,
    attempt,
    because,
    following,
    refused,
    reworded,
    rule_of_refusal,
)
from tagmesh.protocol.errors import Reason

LINK = About("link", "3")


def test_a_phrase_is_a_string_that_knows_its_code_its_rule_and_what_it_followed_from() -> None:
    said = because("4 pings unanswered", Cause.SILENT, LINK)
    assert said == "4 pings unanswered"
    assert (said.code, said.rule, said.about) == ("silent", "L-3", LINK)
    assert str(said.about) == "link 3"


def test_the_first_cause_stays_whoever_hands_it_on() -> None:
    said = because("4 pings unanswered", Cause.SILENT)
    assert because(said, Cause.CONNECTION_LOST) is said
    assert because(said, Cause.CONNECTION_LOST, LINK).about == LINK
    assert because("closed", Cause.CONNECTION_LOST).code == "connection_lost"
    assert because("closed").code == "unstated"


def test_other_words_and_another_place_keep_the_cause() -> None:
    said = because("silent", Cause.SILENT)
    assert (reworded(said, "path lost"), reworded(said, "path lost").code) == (
        "path lost",
        "silent",
    )
    assert (following(said, LINK), following(said, LINK).about) == ("silent", LINK)


def test_what_is_made_of_a_phrase_is_an_ordinary_string_and_a_copy_is_the_same() -> None:
    said = because("silent", Cause.SILENT)
    assert {type(str(said)), type(said[:3]), type(f"{said}")} == {str}
    assert copy.deepcopy(said) is said


@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_has_a_rule_and_its_reason_is_the_code(reason: Reason) -> None:
    said = refused(reason, 3, by_us=True)
    assert (said.code, said.rule) == (reason.value, rule_of_refusal(reason))
    assert said.rule in ("J-2", "J-3", "X-3", "G-11")


def test_what_a_row_says_is_told_by_the_row_when_it_is_ours() -> None:
    assert refused(Reason.DISABLED, 3, by_us=True).about == About("row", "3")
    assert refused(Reason.DISABLED, 3, by_us=False).about is None
    assert refused(Reason.VERSION, 3, by_us=True).about is None


@pytest.mark.parametrize(
    ("reason", "nobody_there", "code"),
    [
        (Reason.CERT_EXPIRED, False, "cert_expired"),
        (None, True, "nobody_listens"),
        (None, False, "dial_failed"),
    ],
)
def test_an_attempt_that_failed(reason: Reason | None, nobody_there: bool, code: str) -> None:
    assert attempt("so it ended", reason, nobody_there=nobody_there).code == code


def test_every_code_is_told_once_and_has_a_rule() -> None:
    assert all(cause.rule for cause in Cause)
