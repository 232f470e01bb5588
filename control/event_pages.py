"""Events read from a node's ring, from where a reader stopped, so that it misses none and hears
none twice.

A place in them is ``<life>-<number>``: of another life of the node (its incarnation) or of nonsense
nothing is known, and the reader gets all that is kept.
"""

from __future__ import annotations

import re

import msgspec

from ..protocol.events import EventRecord
from .port import NodePort

_PLACE = re.compile(r"([0-9]{1,19})-([0-9]{1,19})")


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What came after a place."""

    events: list[EventRecord]
    """Oldest first."""
    lost: int
    """Events between that place and the first of these, which the node no longer has."""
    next: str
    """The place behind the last of them, for the next call."""


def place(life: int, number: int) -> str:
    """The place behind the event of that number."""
    return f"{life}-{number}"


def after(port: NodePort, *, after: str = "") -> Page:
    """Everything after a place; without one, everything that is kept."""
    return read(port, port.status().incarnation, after)


def read(port: NodePort, life: int, after: str) -> Page:
    """As `after`, for a caller that knows the node's incarnation."""
    match = _PLACE.fullmatch(after)
    same_life = match is not None and int(match[1]) == life
    seen = int(match[2]) if match and same_life else 0
    kept = list(port.events())
    fresh = [event for event in kept if event.sequence > seen]
    first = kept[0].sequence if kept else seen + 1
    last = kept[-1].sequence if kept else seen
    lost = max(first - 1 - seen, 0)
    return Page(events=fresh, lost=lost, next=place(life, max(seen, last) if same_life else last))


def newest(port: NodePort) -> str:
    """The place behind everything that happened."""
    page = after(port)
    return page.next
