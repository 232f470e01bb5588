"""Which records of a tag two nodes do not have alike, told by their keys (B7).

A session like every other one compares the digests of sections and brings the records of those that
differ, but they are looked at and forgotten: nothing is taken, nothing is told. One section is kept
at a time, and the keys that are listed are limited; the counts are of all.

Both nodes go on meanwhile: what is written during the comparison, or is on its way, may be named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from .identity import NodeId
from .sync_pieces import Piece
from .sync_sections import SectionKey

DEFAULT_LISTED_KEYS = 100
MAX_LISTED_KEYS = 10_000
"""Per node: a reply with all of them fits every way out."""

KeyOf = Callable[[bytes], tuple[bytes, bool]]
"""See `KeyedCapability.key_of`."""


class Unlike(StrEnum):
    """How a record is unlike the one here."""

    MISSING = "missing"
    """It is here, and not there, or deleted there."""
    EXTRA = "extra"
    """It is there, and not here, or deleted here."""
    DIFFERENT = "different"
    """Both have it, with another value or version."""


class KeyDiff(msgspec.Struct, frozen=True):
    """One record."""

    key: Any
    """As the application knows it."""
    unlike: Unlike


class NodeDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What the records of a node are like, beside those here."""

    node_id: NodeId
    compared: bool
    reason: str = ""
    """Why they were not compared."""
    missing: int = 0
    extra: int = 0
    different: int = 0
    keys: tuple[KeyDiff, ...] = ()
    """At most as many as were asked for, of ``missing + extra + different``."""

    @property
    def alike(self) -> bool:
        """They were compared, and nothing differs."""
        return self.compared and not self.missing + self.extra + self.different


class Differences:
    """Of one session with one node."""

    def __init__(self, node_id: NodeId, limit: int = DEFAULT_LISTED_KEYS) -> None:
        """``limit``: keys that are listed."""
        self._node_id = node_id
        self._limit = limit
        self._section: SectionKey | None = None
        """Coming."""
        self._there: dict[bytes, tuple[bytes, bool]] = {}
        """Its records so far, by key, and whether each is a deletion."""
        self._counts: dict[SectionKey, tuple[int, int, int]] = {}
        self._listed: dict[SectionKey, list[KeyDiff]] = {}

    def take(
        self,
        pieces: Iterable[Piece],
        section_items: Callable[[str, int], Sequence[bytes]],
        key_of: KeyOf,
    ) -> None:
        """Records of the other node; ``section_items`` gives those here. Sections come whole, one
        after the other, and again when they were damaged on the way."""
        for piece in pieces:
            section = (piece.tag, piece.bucket)
            if section != self._section:
                self._section, self._there = section, {}
            self._there.update(_by_key(map(bytes, piece.records), key_of))
            if piece.closed is not None:
                self._compare(section, _by_key(section_items(*section), key_of))
                self._section, self._there = None, {}

    def _compare(self, section: SectionKey, here: dict[bytes, tuple[bytes, bool]]) -> None:
        counts = dict.fromkeys(Unlike, 0)
        self._listed.pop(section, None)
        room = self._limit - sum(map(len, self._listed.values()))
        listed: list[KeyDiff] = []
        for key in sorted(here.keys() | self._there.keys()):
            unlike = _unlike(here.get(key), self._there.get(key))
            if unlike is None:
                continue
            counts[unlike] += 1
            if len(listed) < room:
                listed.append(KeyDiff(_readable(key), unlike))
        self._listed[section] = listed
        self._counts[section] = (
            counts[Unlike.MISSING],
            counts[Unlike.EXTRA],
            counts[Unlike.DIFFERENT],
        )

    def result(self, reason: str = "") -> NodeDiff:
        """What there is to tell after the session; ``reason``: why it failed."""
        if reason:
            return NodeDiff(node_id=self._node_id, compared=False, reason=reason)
        sums = [sum(counts) for counts in zip(*self._counts.values(), strict=True)] or [0, 0, 0]
        return NodeDiff(
            node_id=self._node_id,
            compared=True,
            missing=sums[0],
            extra=sums[1],
            different=sums[2],
            keys=tuple(key for _, keys in sorted(self._listed.items()) for key in keys),
        )


def _by_key(items: Iterable[bytes], key_of: KeyOf) -> dict[bytes, tuple[bytes, bool]]:
    found = {}
    for item in items:
        key, deleted = key_of(item)
        found[key] = (item, deleted)
    return found


def _unlike(here: tuple[bytes, bool] | None, there: tuple[bytes, bool] | None) -> Unlike | None:
    has = here is not None and not here[1]
    if there is None or there[1]:
        return Unlike.MISSING if has else None
    if not has:
        return Unlike.EXTRA
    return Unlike.DIFFERENT if here != there else None


def _readable(key: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(key)
    except msgspec.DecodeError:
        return key
