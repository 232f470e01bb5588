"""What a sync amounts to over its tries (S-29)."""

from __future__ import annotations

from tagmesh.protocol.contract import Progress, SyncReport
from tagmesh.protocol.sync_account import Account
from tagmesh.protocol.sync_try import Try
from tagmesh.protocol.sync_words import Candidate, SyncSettings
from tests.protocol.sync_script import (
    AT_JOINER,
    CANDIDATE,
    DONOR,
    OTHER,
    T0,
    answer,
    chunk,
    here,
    pieces,
    request,
)

DATA = {("", 1): [b"\x01", b"\x02"], ("", 2): [b"\x03"]}


def a_try(total: int, *, other: bool = False) -> Try:
    """One that received `DATA`, of which section 2 is wrong."""
    donor, at = (Candidate(OTHER, 8), here(OTHER, 8)) if other else (CANDIDATE, here(DONOR, 5))
    rules = Try(AT_JOINER, SyncSettings(), donor, request(), None, T0)
    rules.receive(answer(total=total, at=at), T0)
    rules.receive(chunk(0, pieces(DATA, lie=[("", 2)]), at=at), T0)
    return rules


def test_progress_of_the_first_try() -> None:
    account = Account()
    account.began_at = T0
    fresh = Try(AT_JOINER, SyncSettings(), CANDIDATE, request(), None, T0)
    assert account.progress(fresh, "requested", T0 + 1) == Progress(
        donor=DONOR, state="requested", done=0, total=0, bytes=0, seconds=1.0
    )
    told = account.progress(a_try(100), "receiving", T0 + 2)
    assert (told.done, told.total, told.bytes) == (3, 100, len(pieces(DATA)))
    assert account.told_at == T0 + 2


def test_an_estimate_is_never_below_what_came() -> None:
    assert Account().progress(a_try(1), "receiving", T0).total == 3


def test_tries_add_up() -> None:
    account = Account()
    account.began_at = T0
    account.close(a_try(100))
    told = account.progress(a_try(50, other=True), "receiving", T0)
    assert (told.donor, told.done, told.total) == (OTHER, 6, 53)
    assert told.bytes == 2 * len(pieces(DATA))


def test_the_report_counts_what_is_verified_and_names_the_last_donor() -> None:
    account = Account()
    account.began_at = T0
    account.refused = 2
    account.close(a_try(100))
    account.close(a_try(100, other=True))
    assert account.report("", 4, 9, T0 + 5) == SyncReport(
        ok=True,
        donor=OTHER,
        items=4,
        bytes=2 * len(pieces(DATA)),
        seconds=5.0,
        dropped=4,
        sections=2,
        quarantined=2,
        plan_id=9,
    )


def test_a_sync_that_failed_before_it_had_a_donor() -> None:
    report = Account().report("no_donor", 0, None, 1.0)
    assert (report.ok, report.reason, report.donor, report.items) == (False, "no_donor", None, 0)
