"""The events of one node: numbered, kept in a ring, handed to subscribers, logged."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..protocol.because import About, because
from ..protocol.deciding import decided
from ..protocol.decisions import Decisions
from ..protocol.events import EventRecord
from ..protocol.status import EventCount

if TYPE_CHECKING:
    from ..protocol.effects import Announce
    from ..protocol.identity import ClusterId, NodeId

RING_EVENTS = 1000
"""Events kept for a subscriber that was away."""

logger = logging.getLogger("tagmesh.events")


class EventLog:
    """Belongs to the hub's thread. Subscribers are called there and must not block."""

    def __init__(self, wall: Callable[[], float], me: NodeId) -> None:
        self._wall = wall
        self._me = me
        self._sequence = 0
        self.ring: deque[EventRecord] = deque(maxlen=RING_EVENTS)
        self._counts: Counter[tuple[ClusterId | None, str, str]] = Counter()
        self.decisions = Decisions()
        """Why things are as they are (B14)."""
        self._subscribers: list[Callable[[EventRecord], None]] = []

    def subscribe(self, subscriber: Callable[[EventRecord], None]) -> None:
        """Hear every event from now on."""
        self._subscribers.append(subscriber)

    def counts(self) -> list[EventCount]:
        """How many events of each kind were published, by the code of their cause."""
        found = sorted(self._counts.items(), key=lambda item: (item[0][0] or 0, item[0][1:]))
        return [
            EventCount(cluster_id=cluster, kind=kind, cause=cause, count=count)
            for (cluster, kind, cause), count in found
        ]

    def publish(self, announce: Announce, cluster: ClusterId | None = None) -> None:
        """Number an event and hand it out."""
        self._sequence += 1
        self._counts[cluster, announce.kind.value, because(announce.cause).code] += 1
        record = EventRecord(
            sequence=self._sequence,
            wall_s=self._wall(),
            kind=announce.kind,
            cluster_id=cluster,
            node_id=announce.node_id,
            incarnation=announce.incarnation,
            before=announce.before,
            after=announce.after,
            cause=str(announce.cause),
            via=announce.via,
            capability=announce.capability,
            tag=announce.tag,
        )
        self.ring.append(record)
        self._decided(announce, cluster)
        logger.info("node %s: %s", self._me, record, extra={"event": record})
        for subscriber in self._subscribers:
            subscriber(record)

    def note(
        self,
        cluster: ClusterId | None,
        subject: About,
        cause: str,
        *,
        before: str | None = None,
        after: str | None = None,
    ) -> None:
        """Keep a decision that is no event; see `Decisions.note`."""
        self.decisions.note(cluster, subject, cause, self._wall(), before=before, after=after)

    def _decided(self, announce: Announce, cluster: ClusterId | None) -> None:
        found = decided(announce)
        if found is not None:
            subject, before, after = found
            self.note(cluster, subject, announce.cause, before=before, after=after)
