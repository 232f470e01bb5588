"""The causes of syncs that failed."""

from __future__ import annotations

import pytest

from tagmesh.protocol.because import About
from tagmesh.protocol.contract import SyncReport
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.session_causes import failed
from tagmesh.protocol.sync_words import Why


@pytest.mark.parametrize(
    ("why", "rule"),
    [(Why.NO_OWNER, "K-4"), (Why.NOT_TAG_OWNER, "K-1"), (Why.VERIFY, "S-25"), (Why.BUSY, "S-21")],
)
def test_the_code_is_the_reason_of_the_report_and_has_its_rule(why: Why, rule: str) -> None:
    said = failed(SyncReport(ok=False, reason=why, donor=NodeId(2)))
    assert (str(said), said.code, said.rule, said.about) == (why.value, why.value, rule, None)


def test_of_a_donor_that_went_away_its_history_tells_more() -> None:
    said = failed(SyncReport(ok=False, reason=Why.UNREACHABLE, donor=NodeId(2)))
    assert said.about == About("node", "2")
    assert failed(SyncReport(ok=False, reason=Why.UNREACHABLE)).about is None
