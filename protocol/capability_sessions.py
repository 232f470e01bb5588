"""The sync sessions of a capability's machine, one at a time, and what they amount to.

There are three kinds: one for a wish, or the part of it that has no owner; those for sharing tags
with the nodes that have them (`tag_syncs`), after it or by themselves; and comparisons.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from .capability_base import CapabilityBase
from .capability_words import CancelJoining, Policy, StartSession, SyncWish
from .contract import SyncReport
from .donors import CapabilityView
from .events import Event
from .sync_words import Why
from .tag_syncs import Asked, Part


class CapabilitySessions(CapabilityBase):
    """Of `CapabilityRules`. Times are seconds of a monotonic clock."""

    def __init__(
        self,
        name: str,
        policy: Policy,
        view: CapabilityView,
        draw: Callable[[], float],
        position: Callable[[], int],
        starts: int,
    ) -> None:
        """See `CapabilityRules`."""
        super().__init__(name, policy, view, draw, position, starts)
        self._began_with = 0
        """Position when it was switched on: what it has of its own."""
        self._wish: SyncWish | None = None
        self._part: Part | None = None
        """The session under way is for these tags."""
        self._sum: SyncReport | None = None
        """Of the sync that somebody waits for and that goes on with tags."""
        self._arrived = 0
        """Records of tags that came by themselves since the last end was told of (K-6)."""

    def _descend(self, report: SyncReport) -> None:
        assert self._wish is not None
        if not self._wish.tags:
            had_data = (self._was_ok or self._began_with > 0) and not self.rounds.without_data
            self.rounds.succeeded(had_data=had_data, donor=report.donor)

    def _asked(self, wish: SyncWish) -> Asked:
        tags = frozenset(wish.tags) or self.tags.backups()
        return Asked(tags, wish.mirror, wish.dry_run, frozenset(wish.force))

    def _over_with_tags(self) -> None:
        """Nothing more can be done for the tags that were asked for."""
        assert self._sum is not None
        self.tags.give_up()
        failed = tuple(sorted(self.tags.failed.items()))
        report, self._sum = msgspec.structs.replace(self._sum, pending=failed), None
        if failed and (self._wish is None or self._wish.tags):
            report = msgspec.structs.replace(report, ok=False, reason=failed[0][1])
        self._satisfied(report)

    def _start(self) -> None:
        self._sessions += 1
        self._session = self._sessions
        if self._part is not None:
            self._effects.append(StartSession(self._session, SyncWish(part=self._part)))
            return
        assert self._wish is not None
        foreign = self.tags.foreign()
        self._effects.append(
            StartSession(self._session, msgspec.structs.replace(self._wish, foreign=foreign))
        )
        if not self._compares:
            self._announce(Event.SYNC_STARTED, "", self.rounds.started())

    def _clear_unasked(self) -> bool:
        """What nobody waits for gives way; False = there is a sync that somebody waits for, or
        without data, fetching what others have."""
        unasked = self._compares or (self._part is not None and self._sum is None)
        if unasked and self._session is not None:
            self._effects.append(CancelJoining(self._session, Why.SUPERSEDED))
            self._session = self._part = None
        return self._session is None and self._sum is None

    @property
    def _compares(self) -> bool:
        """The session under way is one that nobody asked for or waits for."""
        return self._wish is not None and self._wish.compare is not None

    def _satisfied(self, report: SyncReport) -> None:
        self._wish = None
        self.rounds.begin()
        self._end(report)
