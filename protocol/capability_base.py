"""What of a capability's machine is the same whatever happens: its words to others.

The state changes in one place, `_enter`. What an input brings is collected and comes out of
`_flush` at its end, first what peers and application hear of the state.
"""

from __future__ import annotations

from collections.abc import Callable

from .because import Because
from .capability_told import Told
from .capability_words import (
    Answer,
    CancelDonating,
    Policy,
    RequestAnswered,
    StateChanged,
    SyncOver,
    TellState,
)
from .contract import SyncReport
from .donors import CapabilityView
from .effects import Announce, Effect
from .events import Event
from .fallback import Fallback
from .identity import NodeId
from .messages import CapabilityState, CapState
from .rounds import Rounds
from .session_causes import failed
from .sync_words import Why
from .tag_syncs import TagSyncs
from .verifying import Verifying

DISABLED, OK = CapState.DISABLED, CapState.OK


class CapabilityBase:
    """Of `CapabilityRules`; begins DISABLED. Times are seconds of a monotonic clock."""

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
        self.policy = policy
        self.state = DISABLED
        self.deadline: float | None = None
        """When `tick` wants to be called; None = only a change around can change anything."""
        wants = policy.wants
        self.rounds = Rounds(wants, view, draw)
        self._told = Told(name, wants, position, starts << 32)
        self._was_ok = False
        """Since it was switched on."""
        self._session: int | None = None
        """The session under way."""
        self._sessions = starts << 32
        self._verifying = Verifying(policy.verify_interval_s, draw)
        self._fallback = Fallback(
            wants=wants,
            interval_s=policy.seed_fallback_interval_s,
            quorum_share=policy.quorum_share,
            newest_decides=policy.newest_decides,
        )
        self.tags = TagSyncs(
            auto=policy.auto_sync,
            needs_data=policy.startup_sync,
            newest=policy.orphan_sync == "newest",
            draw=draw,
        )
        self._effects: list[Effect] = []

    @property
    def published(self) -> CapabilityState:
        """What the other nodes are told."""
        return self._told.published

    def moved(self, now: float) -> list[Effect]:
        """The data has another position, see `Capability.position`."""
        return self._flush(now)

    def adopted(self, view: int, weight: int, now: float) -> list[Effect]:
        """This partition view is followed: what was lost by it, was let go (P-3)."""
        self._told.view, self._told.weight = view, weight
        return self._flush(now)

    def _end(self, report: SyncReport) -> None:
        """Tell the application, and everybody who listens to events."""
        self._effects.append(SyncOver(report))
        if report.ok:
            text = f"{report.items} records in {report.seconds:.3g} s"
            self._announce(Event.SYNC_DONE, text, report.donor)
        else:
            self._announce(Event.SYNC_FAILED, failed(report), report.donor)

    def _become_ok(self, reason: str) -> None:
        self._was_ok = True
        self._told.generation += 1
        self._enter(OK, reason)

    def _enter(self, state: CapState, reason: str) -> None:
        self.state = state
        self.rounds.serving = state is OK
        self._told.because(reason)

    @property
    def why(self) -> Because:
        """The cause of the state."""
        return self._told.why

    def _answer(self, answer: Answer) -> None:
        self._effects.append(RequestAnswered(answer))

    def _announce(self, kind: Event, cause: str, node: NodeId | None = None) -> None:
        name = self.published.name
        self._effects.append(Announce(kind=kind, node_id=node, cause=cause, capability=name))

    def _flush(self, now: float) -> list[Effect]:
        """The effects of one input: first what peers and application hear of the state."""
        effects, self._effects = self._effects, []
        before = self.published
        if self._told.publish(self._said(now), now):
            effects = [*self._changes(before), *effects]
        waits = [self.rounds.retry_at, self._fallback.deadline, self._told.deadline(self.state)]
        if self._session is None:
            waits += [self._verifying.deadline, self.tags.deadline]
        self.deadline = min((at for at in waits if at is not None), default=None)
        return effects

    def _said(self, now: float) -> CapabilityState:
        """What is to be published now."""
        without_data = self.state is OK and self.rounds.without_data
        lacking = self.tags.told
        return self._told.said(self.state, now, without_data=without_data, lacking=lacking)

    def _changes(self, before: CapabilityState) -> list[Effect]:
        after = self.published
        effects: list[Effect] = [StateChanged(after)]
        if after.state is before.state:
            return effects
        if before.state is OK:
            over = Why.DISABLED if after.state is DISABLED else Why.NOT_OK
            effects.append(CancelDonating(over))
        return [
            *effects,
            TellState(after.state, after.reason),
            Announce(
                kind=Event.CAPABILITY_CHANGED,
                before=before.state.name.lower(),
                after=after.state.name.lower(),
                cause=self._told.why,
                capability=after.name,
            ),
        ]
