"""The vows that the owner of a lease needs to go on without the database (B4, failsafe).

A *vow* is as good as a renewal: who gives it does not ask for the lease within ttl from then on.
Every other enabled node must give one, over its own link with the owner. It must know the same
nodes, and have the same settings: while these are being changed nobody goes on without the
database.

Rosters change meanwhile. So the row names the *electors*, the nodes that the owner knew when it
renewed. Nobody else is given a lease that ran out, and the owner needs a vow of all that may be
stored: those of the last renewal that was answered, and of each that was sent since.
"""

from __future__ import annotations

from .effects import SendTo
from .identity import ClusterId, NodeId
from .lease_words import LeaseSettings, LeaseView
from .messages import MAX_NUMBER
from .tag_messages import Vow, VowRequest
from .tag_words import digest_of_terms


class Consent:
    """Who has to let the owner go on, and who has."""

    def __init__(self, cluster_id: ClusterId, tag: str, me: NodeId) -> None:
        self.asked_at = 0.0
        """When this round began."""
        self._cluster_id = cluster_id
        self._tag = tag
        self._me = me
        self._round = 0
        self._number = 0
        self._vows: set[NodeId] = set()
        self._sent: frozenset[NodeId] = frozenset()
        """The electors of the request under way, or of the last one."""
        self._electors: frozenset[NodeId] = frozenset()
        """Everybody who may be stored as an elector of the lease I hold."""

    @property
    def electors(self) -> tuple[NodeId, ...]:
        """To be stored with the request under way, by id."""
        return tuple(sorted(self._sent))

    def sending(self, view: LeaseView) -> None:
        """A request to the database that stores electors is on its way."""
        self._sent = frozenset(view.members) | {self._me}
        self._electors |= self._sent

    def stored(self) -> None:
        """It was carried out."""
        self._electors = self._sent

    def ask(
        self, number: int, settings: LeaseSettings, view: LeaseView, now: float
    ) -> list[SendTo]:
        """Begin a round: the others are to let me go on under this number."""
        self._round, self._number = (self._round + 1) % MAX_NUMBER, number
        self.asked_at = now
        self._vows.clear()
        terms = terms_of(settings, view)
        request = VowRequest(self._cluster_id, self._tag, number, self._round, terms)
        return [SendTo(node, request) for node in view.members if node != self._me]

    def given(self, sender: NodeId, vow: Vow) -> bool:
        """Whether the vow is one of this round."""
        if (vow.number, vow.round) != (self._number, self._round):
            return False
        self._vows.add(sender)
        return True

    def complete(self, view: LeaseView) -> bool:
        """Everybody who could take the lease has vowed not to."""
        # Who is no member any more gives no vow, so then the lease ends.
        return self._vows >= (self._electors | set(view.members)) - {self._me}


def terms_of(settings: LeaseSettings, view: LeaseView) -> bytes:
    """What owner and giver of a vow must have in common."""
    return digest_of_terms(view.members, settings.ttl_s)
