"""The causes of syncs that ended: `Why` with its rule, and what it followed from (B14)."""

from __future__ import annotations

from collections.abc import Mapping

from .because import About, Because
from .contract import SyncReport
from .sync_words import Why

_RULES: Mapping[str, str] = {
    Why.NO_DONOR: "S-22",
    Why.NOT_OK: "S-22",
    Why.DISABLED: "C-1",
    Why.MALFORMED: "S-20",
    Why.VERIFY: "S-25",
    Why.NOT_TAG_OWNER: "K-1",
    Why.NO_OWNER: "K-4",
    Why.TAG_MOVED: "K-6",
    Why.ACTIVE_HERE: "K-7",
}
_OF_THE_DONOR = (Why.UNREACHABLE, Why.TIMEOUT, Why.RESTARTED)


def failed(report: SyncReport) -> Because:
    """Why a sync failed; of a donor that went away the node's own history tells more."""
    gone = report.donor is not None and report.reason in _OF_THE_DONOR
    about = About("node", str(report.donor)) if gone else None
    return Because(report.reason, report.reason, _RULES.get(report.reason, "S-21"), about)
