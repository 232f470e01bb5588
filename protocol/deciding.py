"""Which decision an event tells of: the subject, and its state before and after (B14)."""

from __future__ import annotations

from collections.abc import Mapping

from .because import STORAGE, About
from .effects import Announce
from .events import Event

_EDGES: Mapping[Event, tuple[str, str]] = {
    Event.NODE_UP: ("unreachable", "reachable"),
    Event.NODE_DOWN: ("reachable", "unreachable"),
    Event.ROUTE_CHANGED: ("reachable", "reachable"),
}


def decided(announce: Announce) -> tuple[About, str | None, str | None] | None:
    """(subject, before, after); None: the event tells of no decision."""
    node = str(announce.node_id) if announce.node_id is not None else ""
    match announce.kind:
        case Event.NODE_UP | Event.NODE_DOWN | Event.ROUTE_CHANGED:
            return About("node", node), *_EDGES[announce.kind]
        case Event.LINK_CHANGED:
            return About("link", node), announce.before, announce.after
        case Event.JOIN_REFUSED:
            return About("join", node), None, None
        case Event.ROSTER_CHANGED:
            return (About("row", node) if node else STORAGE), None, None
        case Event.CAPABILITY_CHANGED:
            return About("cap", announce.capability or ""), announce.before, announce.after
        case Event.SYNC_FAILED:
            return About("sync", announce.capability or ""), None, None
        case Event.TAG_CHANGED:
            return About("tag", announce.tag or ""), announce.before, announce.after
        case Event.WRITE_REFUSED:
            return About("write", announce.tag or ""), None, None
        case _:
            return None
