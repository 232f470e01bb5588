"""Which sharing tags a donor serves in a session: those that it has, and says so at the end (K-1).

Of a tag that somebody claimed records are served only when the request names it among its terms,
and this node has it, under an epoch not lower than the one in the term. A tag that nobody claimed
here or there has no owner: any donor serves it. A request may say that the tags have no owner that
can be reached, or that the joiner is it; then a donor serves those that it has not heard an owner
of, but for the joiner (K-4, K-7).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .messages import Section, SyncRequest, TagTerm
from .sync_pieces import digest_of
from .sync_sections import TagTotal
from .tag_words import TagHere

Moved = Sequence[tuple[str, int]]
"""(tag, the node that has it; 0 = nobody)"""


class Tenure:
    """The tags of one session of a donor."""

    def __init__(self, request: SyncRequest, tags: Sequence[TagHere]) -> None:
        self._joiner = request.source
        self._unowned = request.unowned
        self._terms = {term.tag: term for term in request.terms}
        self._here: dict[str, TagHere] = {}
        self.unserved: list[tuple[str, int]] = []
        """Of the terms, with the node that has it."""
        self.served = frozenset(self._terms)
        """Of the terms."""
        self.see(tags)

    def see(self, tags: Sequence[TagHere]) -> list[tuple[str, int]]:
        """How the claimed tags stand now; those that were served until now and are no longer."""
        self._here = {tag.tag: tag for tag in tags}
        lost = [name for name in sorted(self.served) if not self._has(self._terms[name])]
        moved = [(name, self._owner(name)) for name in lost]
        self.served -= set(lost)
        self.unserved += moved
        return moved

    def serves(self, tag: str) -> bool:
        """Records with this tag may go to the joiner."""
        return tag in self.served or (tag not in self._terms and tag not in self._here)

    def serves_any(self, tags: Iterable[str]) -> bool:
        """Something of this may."""
        return any(map(self.serves, tags))

    def _has(self, term: TagTerm) -> bool:
        here = self._here.get(term.tag)
        if here is not None and here.active:
            return here.epoch.rank >= rank_of_term(term)
        holder = here.holder if here is not None else None
        return self._unowned and (holder is None or holder.node_id == self._joiner)

    def _owner(self, tag: str) -> int:
        here = self._here.get(tag)
        return here.holder.node_id if here is not None and here.holder is not None else 0


def rank_of_term(term: TagTerm) -> tuple[int, int, int]:
    """As `Epoch.rank`."""
    return term.number, -term.priority, -term.owner


def totals_of(sections: Iterable[Section], tags: frozenset[str]) -> list[TagTotal]:
    """Records and digest of each of these tags, by name; of one without records, too."""
    counts = dict.fromkeys(sorted(tags), 0)
    sums = dict.fromkeys(counts, 0)
    for section in sections:
        if section.tag in counts:
            counts[section.tag] += section.count
            sums[section.tag] += int.from_bytes(section.digest, "little")
    return [(tag, counts[tag], digest_of(sums[tag])) for tag in counts]
