"""A joiner's view of the sharing tags it asks for: which are gone, and what was proved of the rest.

See `sync_tenure` for the donor's side.
"""

from __future__ import annotations

from collections.abc import Sequence

from .contract import TagEvidence
from .sync_try import Try
from .sync_words import Wish
from .tag_words import TagHere


def gone(wish: Wish, tags: Sequence[TagHere]) -> list[str]:
    """The wished tags that must not be taken any more, ``tags`` being how they stand here now.

    Those that are active here (K-7), and those of which another owner is known (K-1).
    """
    here = {tag.tag: tag for tag in tags}
    lost = []
    for term in wish.terms:
        now = here.get(term.tag)
        if now is None or wish.unowned:
            continue  # what others have of it is added, at most (K-4, K-7)
        if now.active or now.epoch.owner != term.owner:
            lost.append(term.tag)
    return lost


def evidence_of(verified: Try, wish: Wish, now: float) -> tuple[TagEvidence, ...]:
    """What a verified session says of each tag that its donor served."""
    answer = verified.answer
    held = {tag: (count, digest) for tag, count, digest in answer.held} if answer else {}
    return tuple(
        TagEvidence(
            tag=term.tag,
            donor=verified.donor.node_id,
            epoch=term.number,
            count=held.get(term.tag, (0, b""))[0],
            digest=held.get(term.tag, (0, b""))[1],
            at_s=now,
            confirmed=not wish.unowned,
        )
        for term in wish.terms
        if verified.serves(term.tag)
    )
