"""What the other nodes are told of a capability, and when its position is news.

A position grows with every write, so by itself it is no news: it is told with whatever else is, and
by nodes that are not OK, because S-28 needs it, at most once in `POSITION_INTERVAL_S`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from .because import Cause, because, reworded
from .capability_words import POSITION_INTERVAL_S
from .donors import Wants
from .fallback import LACKING
from .messages import MAX_TEXT_CHARS, CapabilityState, CapState


class Told:
    """Of one capability. Times are seconds of a monotonic clock."""

    def __init__(
        self, name: str, wants: Wants, position: Callable[[], int], generation: int
    ) -> None:
        """``generation``: see `CapabilityState`; it only grows."""
        versions = wants.version_min, wants.version_max
        self.published = CapabilityState(name, CapState.DISABLED, *versions, position())
        """What they are told."""
        self.position = position
        """Of the data as it is now: it moves without a word."""
        self.view = 0
        """The partition view that is followed."""
        self.weight = 0
        """See `CapabilityState.weight`."""
        self.generation = generation
        self.why = because("", Cause.NOT_ASKED)
        """Of the state."""
        self._at = -math.inf
        """When they were told something last."""

    def because(self, reason: str) -> None:
        """Why the state is what it is."""
        self.why = reworded(reason, reason[:MAX_TEXT_CHARS])

    def said(
        self, state: CapState, now: float, *, without_data: bool, lacking: Sequence[str] = ()
    ) -> CapabilityState:
        """What is to be published in this state."""
        said = msgspec.structs.replace(
            self.published,
            state=state,
            without_data=without_data,
            reason=str(self.why),
            view=self.view,
            generation=self.generation,
            weight=self.weight,
            lacking=list(lacking),
        )
        due = state in LACKING and now >= self._at + POSITION_INTERVAL_S
        if due or said != self.published:
            said = msgspec.structs.replace(said, position=self.position())
        return said

    def publish(self, said: CapabilityState, now: float) -> bool:
        """From now on they are told this; False = they are already."""
        news = said != self.published
        if news:
            self.published, self._at = said, now
        return news

    def deadline(self, state: CapState) -> float | None:
        """When the position is news; None = not by itself."""
        waits = state in LACKING and self.published.position != self.position()
        return self._at + POSITION_INTERVAL_S if waits else None
