"""What a sync amounts to over all its tries: progress while it runs, a report when it is over."""

from __future__ import annotations

from .contract import Progress, SyncReport
from .identity import NodeId
from .sync_try import Try


class Account:
    """Adds up the tries of a `Joiner` (S-29)."""

    def __init__(self) -> None:
        self.began_at = 0.0
        self.told_at = 0.0
        """When `progress` was asked for last."""
        self.refused = 0
        """Records that the application refused."""
        self._donor: NodeId | None = None
        self._records = self._verified = self._sections = self._bytes = 0

    def close(self, done: Try) -> None:
        """A try is over."""
        self._donor = done.donor.node_id
        self._records += done.tally.records
        self._verified += done.tally.verified
        self._sections += done.tally.sections
        self._bytes += done.bytes

    def progress(self, running: Try, state: str, now: float) -> Progress:
        """How far it is, with the present try."""
        self.told_at = now
        estimate = running.answer.total if running.answer is not None else 0
        return Progress(
            donor=running.donor.node_id,
            state=state,
            done=self._records + running.tally.records,
            total=self._records + max(estimate, running.tally.records),
            bytes=self._bytes + running.bytes,
            seconds=now - self.began_at,
        )

    def report(self, reason: str, dropped: int, plan_id: int | None, now: float) -> SyncReport:
        """The end; an empty ``reason`` = it went well. The last donor is named."""
        return SyncReport(
            ok=not reason,
            reason=reason,
            donor=self._donor,
            items=self._verified,
            bytes=self._bytes,
            seconds=now - self.began_at,
            dropped=dropped,
            sections=self._sections,
            quarantined=self.refused,
            plan_id=plan_id,
        )
