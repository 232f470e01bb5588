"""What a joiner has and its donor does not: gathered section by section, for the mirror step.

The application is asked for the extra keys of a section when all its records have come and their
digest is right, so the records of one section only are kept. It answers in the order in which it
is asked and given chunks. Nothing is dropped for a doubt (S-26), so these are left out:

* sections that failed their verification, or never came though they were not known to be equal;
* sections with a record that the application refused: it may be a newer copy of one that is here;
* tags that the donor does not serve.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from .messages import Section
from .sync_pieces import Piece
from .sync_sections import SectionKey
from .sync_words import AskExtraKeys, TagExtras


class Extras:
    """The extra keys of one round with one donor."""

    def __init__(self, local: Sequence[Section], named: Sequence[Section]) -> None:
        """``local``: the sections that were here before; ``named``: those the donor was told of.

        Of a named section that is not sent, donor and joiner have the same; of one that was not
        named and is not sent, the donor has nothing.
        """
        self._local = local
        self._named = frozenset((section.tag, section.bucket) for section in named)
        self._open: list[msgspec.Raw] = []
        """Records of the section that is open."""
        self._chunks: deque[list[SectionKey]] = deque()
        """The sections in each chunk that the application has not taken yet."""
        self._doubtful: set[SectionKey] = set()
        self._asked: dict[SectionKey, Sequence[bytes] | None] = {}
        """The answers; None = not there yet."""
        self._missing = 0

    @property
    def waiting(self) -> bool:
        """An answer of the application is missing."""
        return self._missing > 0

    def came(self, session: int, pieces: Sequence[tuple[Piece, bool]]) -> list[AskExtraKeys]:
        """A chunk; of each piece, whether it closes a section that is right."""
        asks = []
        for piece, right in pieces:
            self._open += piece.records
            if right:
                asks.append(self._ask(session, (piece.tag, piece.bucket), self._open))
            if piece.closed is not None:
                self._open = []
        self._chunks.append([(piece.tag, piece.bucket) for piece, _ in pieces])
        return asks

    def taken(self, refused: int) -> None:
        """The application took the next chunk, but for so many records."""
        sections = self._chunks.popleft()
        if refused:
            self._doubtful.update(sections)

    def rest(self, session: int, serves: Callable[[str], bool]) -> list[AskExtraKeys]:
        """All has come: what the donor has nothing of is asked for too."""
        keys = [(section.tag, section.bucket) for section in self._local]
        unsaid = [key for key in keys if key not in self._named and key not in self._asked]
        return [self._ask(session, key, []) for key in unsaid if serves(key[0])]

    def answered(self, section: SectionKey, keys: Sequence[bytes]) -> bool:
        """The application's answer; False when nobody asked."""
        if self._asked.get(section, keys) is not None:
            return False
        self._asked[section] = keys
        self._missing -= 1
        return True

    def found(self, serves: Callable[[str], bool]) -> tuple[TagExtras, ...]:
        """The extra keys, by tag."""
        keys: dict[str, list[bytes]] = {}
        for section, extra in sorted(self._asked.items()):
            if extra and section not in self._doubtful and serves(section[0]):
                keys.setdefault(section[0], []).extend(extra)
        return tuple(
            TagExtras(tag, tuple(extra), _count(self._local, tag)) for tag, extra in keys.items()
        )

    def _ask(self, session: int, section: SectionKey, records: list[msgspec.Raw]) -> AskExtraKeys:
        self._asked[section] = None
        self._missing += 1
        return AskExtraKeys(session, *section, records)


def _count(sections: Iterable[Section], tag: str) -> int:
    return sum(section.count for section in sections if section.tag == tag)
