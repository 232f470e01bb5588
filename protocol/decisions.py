"""The last decisions of one node, each with its rule and with the decision it followed from (B14).

Every change of state that rules give a cause for (`because`) is a `Decision`, kept per subject in
a ring. What a cause says it followed from is looked up when the decision is noted: the newest
decision about that, by number. So a chain of decisions leads from the present state to its root.

A decision that repeats the one before, a refusal at each attempt, is counted instead of kept twice.
"""

from __future__ import annotations

from collections import OrderedDict, deque

import msgspec

from .because import About, because
from .identity import ClusterId

RING_DECISIONS = 16
"""Kept per subject; the oldest goes first."""
MAX_SUBJECTS = 4096
"""Kept at all; the one that changed least recently goes first."""
MAX_CHAIN = 16
"""Longest chain that is told."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One change of state, or one refusal."""

    number: int
    """Its id: grows by one per decision of this process."""
    wall_s: float
    """Seconds since the epoch; for people."""
    cluster_id: int | None
    kind: str
    """As in `About`."""
    name: str
    before: str | None
    after: str | None
    """Of the subject; None where there is no state to change."""
    code: str
    """The cause, as in `because`."""
    rule: str
    """Label of the rule that decided."""
    text: str
    """The cause in words."""
    depends_on: str = ""
    """What it followed from, in words, known here or not: ``link 3``; ``link 2-3`` is one between
    two other nodes."""
    follows: int | None = None
    """Number of the decision that this one followed from."""
    count: int = 1
    """How often it came in a row."""
    last_wall_s: float | None = None
    """When it came last; None = it came once."""

    @property
    def subject(self) -> About:
        """What it is about."""
        return About(self.kind, self.name)


_Key = tuple[ClusterId | None, About]


class Decisions:
    """What one node decided. Belongs to the thread of its rules."""

    def __init__(self) -> None:
        self._number = 0
        self._rings: OrderedDict[_Key, deque[Decision]] = OrderedDict()
        self._by_number: dict[int, Decision] = {}

    def note(
        self,
        cluster: ClusterId | None,
        subject: About,
        cause: str,
        wall_s: float,
        *,
        before: str | None = None,
        after: str | None = None,
    ) -> Decision:
        """Keep what was decided about ``subject``."""
        said = because(cause)
        last = self.newest(cluster, subject)
        source = self.newest(cluster, said.about) if said.about is not None else None
        if last is not None and (last.after, last.code, last.text) == (after, said.code, str(said)):
            follows = source.number if source is not None else None
            again = msgspec.structs.replace(
                last, count=last.count + 1, last_wall_s=wall_s, follows=follows
            )
            self._by_number[last.number] = again
            self._rings[cluster, subject][-1] = again
            return again
        self._number += 1
        decision = Decision(
            number=self._number,
            wall_s=wall_s,
            cluster_id=cluster,
            kind=subject.kind,
            name=subject.name,
            before=before,
            after=after,
            code=said.code,
            rule=said.rule,
            text=str(said),
            depends_on=str(said.about) if said.about is not None else "",
            follows=source.number if source is not None else None,
        )
        self._keep((cluster, subject), decision)
        return decision

    def _keep(self, key: _Key, decision: Decision) -> None:
        ring = self._rings.setdefault(key, deque())
        self._rings.move_to_end(key)
        ring.append(decision)
        self._by_number[decision.number] = decision
        if len(ring) > RING_DECISIONS:
            del self._by_number[ring.popleft().number]
        if len(self._rings) > MAX_SUBJECTS:
            _, forgotten = self._rings.popitem(last=False)
            for old in forgotten:
                del self._by_number[old.number]

    def newest(self, cluster: ClusterId | None, subject: About) -> Decision | None:
        """The last decision about this, in this cluster or in none."""
        ring = self._rings.get((cluster, subject)) or self._rings.get((None, subject))
        return ring[-1] if ring else None

    def history(self, cluster: ClusterId | None, subject: About) -> list[Decision]:
        """The decisions about this, the oldest first."""
        return list(self._rings.get((cluster, subject)) or self._rings.get((None, subject)) or ())

    def chain(self, cluster: ClusterId | None, subject: About) -> list[Decision]:
        """From the last decision about this back to the first one that is known."""
        found: list[Decision] = []
        step = self.newest(cluster, subject)
        while step is not None and len(found) < MAX_CHAIN:
            if any(step.number == seen.number for seen in found):
                break
            found.append(step)
            source = self._by_number.get(step.follows) if step.follows is not None else None
            step = self._as_it_is(source) if source is not None else None
        return found

    def _as_it_is(self, source: Decision) -> Decision:
        """While its subject stays as it was, what was learned of it since counts instead."""
        cluster = ClusterId(source.cluster_id) if source.cluster_id is not None else None
        newest = self.newest(cluster, source.subject)
        return newest if newest is not None and newest.after == source.after else source
