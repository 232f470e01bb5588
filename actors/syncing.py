"""The sync sessions of one capability: its joiner, at most one, and a donor for each it serves.

A part of the capability actor. Which requests may be served, `protocol.sync_admission` says; when a
session is wanted, `protocol.capability` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..protocol.identity import NodeId
from ..protocol.sync_admission import Admission, Offer, StartDonor
from .donating import DonorActor
from .joining import JoinerActor, here
from .mail import EndSession, RoutedArrived

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..protocol.capability_words import StartSession
    from ..protocol.diffing import Differences
    from ..protocol.effects import Effect
    from ..protocol.messages import CapState, SyncId, SyncRequest
    from ..protocol.sync_words import Choose
    from .context import Context
    from .intake import Intake
    from .registration import Registration
    from .supervisor import Name
    from .view import View


class Syncing:
    """Runs in the turns of a capability actor, and starts and stops its children."""

    def __init__(self, context: Context, registration: Registration, intake: Intake) -> None:
        """``intake`` holds messages while a joiner runs."""
        cluster, name = registration.cluster, registration.name
        self.joiner: Name = ("joiner", cluster, name)
        self._context = context
        self._registration = registration
        self._intake = intake
        self._joining: int | None = None
        """Number of the session under way, as the rules count."""
        self._admission = Admission(
            here(context.views[cluster], name), context.config.cluster(cluster).max_donor_sessions
        )

    def names(self) -> list[Name]:
        """The actors of the sessions under way."""
        joining = [self.joiner] if self._joining is not None else []
        return [*joining, *map(self._donor, self._admission.running)]

    def end(self) -> None:
        """Sessions do not outlive their capability's actor."""
        for name in (self.joiner, *map(self._donor, self._admission.running)):
            self._context.supervisor.stop_child(name)

    def pass_on(self, message: Any) -> None:
        """A message of a session: to its actor, if there is one (S-20)."""
        session: SyncId = message.session
        mine = session.joiner == self._context.me
        name = self.joiner if mine else self._donor(session)
        arrived = RoutedArrived(NodeId(message.source), [message])
        if not self._context.supervisor.tell(name, arrived):
            self._context.drops["S-20"] += 1

    # As a joiner ------------------------------------------------------------------------------

    def start(
        self, start: StartSession, choose: Choose, differences: Differences | None = None
    ) -> None:
        """Begin a session of mine; see `JoinerActor` for ``differences``."""
        assert self._joining is None, "one session at a time"
        self._joining = start.session
        self._intake.holding = not self._registration.capability.versioned
        made = (self._context, self._registration, start.session, start.wish, choose, differences)
        self._context.supervisor.start_child(self.joiner, lambda: JoinerActor.start(*made))

    def over(self, session: int) -> None:
        """It has ended, or is not wanted any more."""
        if session != self._joining:
            return  # there may be another session by now
        self._context.supervisor.stop_child(self.joiner)
        self._joining = None
        self._registration.progress = None
        self._intake.holding = False
        self._intake.release()

    # As a donor -------------------------------------------------------------------------------

    def request(self, request: SyncRequest, state: CapState, view: View) -> Sequence[Effect]:
        """A joiner asks, while the capability is in this state here."""
        capability = self._registration.capability
        offer = Offer(
            state=state,
            version_min=capability.version_min,
            version_max=capability.version_max,
            joiner_life=view.incarnations.get(NodeId(request.source)),
        )
        return self._admission.request(request, offer)

    def serve(self, start: StartDonor) -> None:
        """Begin a session with a joiner."""
        name = self._donor(start.request.session)
        made = (self._context, name, self._registration, start.request, start.version)
        self._context.supervisor.start_child(name, lambda: DonorActor.start(*made))

    def stop_serving(self, reason: str, session: SyncId | None = None) -> None:
        """End a session with a joiner; None = all of them."""
        for running in self._admission.running if session is None else [session]:
            self._context.supervisor.tell(self._donor(running), EndSession(reason))

    def served(self, session: SyncId) -> None:
        """A session with a joiner has ended."""
        self._admission.ended(session)
        self._context.supervisor.stop_child(self._donor(session))

    def _donor(self, session: SyncId) -> Name:
        where = self._registration.cluster, self._registration.name
        return ("donor", *where, session.joiner, session.incarnation, session.counter)
