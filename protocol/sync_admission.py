"""Whom a node serves as a donor: requests are accepted once, or refused with a reason (S-21).

A joiner has one session with this capability here. Its sessions are numbered, growing within a life
of the joiner, so a request that is not above the last one heard of is late or repeated: it belongs
to the session that runs, or is refused again, or is dropped. A newer one ends the one that runs.
"""

from __future__ import annotations

import msgspec

from .effects import Count, Effect
from .messages import CapState, SyncAnswer, SyncId, SyncRequest
from .sync_words import Here, SendRouted, Why

MAX_DONOR_SESSIONS = 4
MAX_JOINERS = 1024
"""Joiners remembered, the newest; more nodes a cluster does not have."""


class StartDonor(Effect, frozen=True):
    """Accepted: begin a session, with data of this version."""

    request: SyncRequest
    version: int


class PassOn(Effect, frozen=True):
    """The request repeats that of a session that runs: let it answer."""

    request: SyncRequest


class AbortDonor(Effect, frozen=True):
    """End this session."""

    session: SyncId
    reason: str


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What the capability is here, when a request comes."""

    state: CapState
    version_min: int
    version_max: int
    joiner_life: int | None = None
    """The life of the joiner that this node reaches; None = none."""


class Admission:
    """The sessions of one capability in which this node is the donor."""

    def __init__(self, here: Here, max_sessions: int = MAX_DONOR_SESSIONS) -> None:
        self.here = here
        self.max_sessions = max_sessions
        self._heard: dict[int, tuple[SyncId, str]] = {}
        """Joiner to its newest session, and why that was refused; oldest first."""
        self._running: dict[int, SyncId] = {}

    @property
    def running(self) -> list[SyncId]:
        """The sessions that have not ended."""
        return list(self._running.values())

    def request(self, request: SyncRequest, offer: Offer) -> list[Effect]:
        """A joiner asks."""
        session, joiner = request.session, request.source
        if (session.joiner, session.incarnation) != (joiner, request.incarnation):
            return [Count("S-20")]  # in another node's name
        newest, refusal = self._heard.get(joiner, (None, ""))
        if newest is not None and offer.joiner_life == session.incarnation < newest.incarnation:
            newest = None  # its disk and its clock were set back (T-9)
        if newest is not None and _order(session) <= _order(newest):
            if session != newest:
                return [Count("S-20")]
            if refusal:
                return [self._refuse(request, refusal)]
            running = self._running.get(joiner) == session
            return [PassOn(request)] if running else [Count("S-20")]
        effects: list[Effect] = []
        superseded = self._running.pop(joiner, None)
        if superseded is not None:
            effects.append(AbortDonor(superseded, Why.SUPERSEDED))
        refusal = self._refusal(request, offer)
        self._remember(session, refusal)
        if refusal:
            return [*effects, self._refuse(request, refusal)]
        self._running[joiner] = session
        return [*effects, StartDonor(request, min(request.version_max, offer.version_max))]

    def ended(self, session: SyncId) -> None:
        """A session is over; also one that was superseded says so."""
        if self._running.get(session.joiner) == session:
            del self._running[session.joiner]

    def _refusal(self, request: SyncRequest, offer: Offer) -> str:
        if offer.state is CapState.DISABLED:
            return Why.DISABLED
        if offer.state is not CapState.OK:
            return Why.NOT_OK
        highest_minimum = max(request.version_min, offer.version_min)
        if highest_minimum > min(request.version_max, offer.version_max):
            return Why.VERSION
        return Why.BUSY if len(self._running) >= self.max_sessions else ""

    def _remember(self, session: SyncId, refusal: str) -> None:
        self._heard.pop(session.joiner, None)
        self._heard[session.joiner] = (session, refusal)
        if len(self._heard) > MAX_JOINERS:
            del self._heard[next(iter(self._heard))]

    def _refuse(self, request: SyncRequest, reason: str) -> SendRouted:
        head = self.here.head(request.source)
        return SendRouted(SyncAnswer(*head, request.session, reason, 0, 0, []))


def _order(session: SyncId) -> tuple[int, int]:
    return session.incarnation, session.counter
