"""Whom to ask for a sync, and when again: one round after the other (S-21).

In a round each donor is asked once, the best one first (S-22). When none is left there is a pause,
jittered and doubling from round to round, and then all are asked again. A donor that was not there
when the round failed, or that became OK after it, is asked without waiting.

A node that is OK without data (S-27) asks only those who have what it lacks: nodes with data, and
*strangers*, OK nodes that appeared after it had become OK. Without the strangers two groups of
nodes that began without data apart from each other would never unite.
"""

from __future__ import annotations

from collections.abc import Callable

from .damping import Backoff
from .donors import (
    CapabilityView,
    Life,
    Peer,
    Stint,
    Verdict,
    Wants,
    candidates,
    explain_donor,
    of_tag,
)
from .identity import NodeId
from .sync_words import Candidate

MAX_RETRY_PAUSE_S = 15.0
"""Longest pause between two rounds."""


class Rounds:
    """The donors of one capability. Times are seconds of a monotonic clock."""

    def __init__(self, wants: Wants, view: CapabilityView, draw: Callable[[], float]) -> None:
        """``draw`` gives numbers in [0, 1) for the jitter."""
        self.view = view
        self.retry_at: float | None = None
        """When the pause ends; None = there is none."""
        self.without_data = False
        """Descends from nobody's data, see above; set by the capability."""
        self.serving = False
        """The capability is OK; set by the capability."""
        self._wants = wants
        self._backoff = Backoff(cap_s=MAX_RETRY_PAUSE_S, draw=draw)
        self._strangers: frozenset[Life] = frozenset()
        self._asked: dict[NodeId, Peer] = {}
        """By the session under way, as they were then."""
        self._tried: dict[NodeId, tuple[Stint, str]] = {}
        """Those that failed in this round, with the reason; one entry per node bounds it."""

    def view_changed(self, view: CapabilityView) -> None:
        """What is known of the other nodes changed."""
        known = {peer.life for peer in self.view.peers if peer.hops} - self._strangers
        self.view = view
        if self.without_data:
            here = candidates(view, self._wants)
            self._strangers = frozenset(peer.life for peer in here if peer.life not in known)

    def begin(self) -> None:
        """Everybody may be asked, at once; the pause after the next failure is a short one."""
        self._tried.clear()
        self.retry_at = None
        self._backoff.fresh()
        self._backoff.pause_s()  # its first one is 0: this attempt

    def started(self) -> NodeId:
        """A session begins; the donor it will ask first."""
        self._asked.clear()
        return self.untried()[0].node_id

    def failed(self, reason: str, now: float) -> None:
        """The session has asked everybody, or cannot go on."""
        for peer in self.donors():
            self._tried[peer.node_id] = (peer.stint, reason)
        if self.retry_at is None:  # else it was begun during the pause, which goes on
            self.retry_at = now + self._backoff.pause_s()

    def succeeded(self, *, had_data: bool, donor: NodeId | None) -> None:
        """A sync of everything is complete: descent from the donor's data, or from one's own."""
        peer = self._asked.get(donor) if donor is not None else None
        self.without_data = not had_data and peer is not None and peer.said.without_data
        self._strangers = frozenset()

    def tick(self, now: float) -> None:
        """The pause may be over."""
        if self.retry_at is not None and now >= self.retry_at:
            self.retry_at = None
            self._tried.clear()

    def donors(self) -> list[Peer]:
        """Who could give what is lacking here, the best one first."""
        found = candidates(self.view, self._wants)
        if self.serving:
            found = [p for p in found if not p.said.without_data or p.life in self._strangers]
        return found

    def untried(self) -> list[Peer]:
        """Those of the donors that did not fail in this round."""
        tried = {stint for stint, _ in self._tried.values()}
        return [peer for peer in self.donors() if peer.stint not in tried]

    def comparable(self) -> list[Peer]:
        """Whose data can be compared with that of this node: nobody's unless it is OK."""
        return candidates(self.view, self._wants) if self.serving else []

    def able(self) -> list[Peer]:
        """Every node that could be a donor, whatever failed."""
        return candidates(self.view, self._wants)

    def find(self, node: NodeId, excluded: frozenset[NodeId]) -> Candidate | None:
        """This node, as long as it could be a donor and is not among these."""
        lives = [peer.life for peer in self.able() if peer.node_id == node]
        return Candidate(*lives[0]) if lives and node not in excluded else None

    def choose(self, excluded: frozenset[NodeId]) -> Candidate | None:
        """For the session under way: the best donor there is now without these (S-22)."""
        for peer in self.untried():
            if peer.node_id not in excluded:
                self._asked[peer.node_id] = peer
                return Candidate(*peer.life)
        return None

    def explain(self, tag: str = "") -> list[Verdict]:
        """Every other node: its place as a donor, or why it is none; for the records of a tag that
        somebody claimed, or for all that have none."""
        for here in self.view.tags:
            if here.tag == tag:
                return of_tag(explain_donor(self.view, self._wants), here)
        return explain_donor(self.view, self._wants, dict(self._tried.values()))
