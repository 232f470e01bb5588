"""What the parts of a node report of themselves, in the groups of OpenSIPS's status reports.

Group ``core`` has the identifier ``main``; group ``clusterer`` has ``node_states``,
``sharing_tags`` and ``cap:<name>`` for each capability. A status above 0 means ready.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..protocol.events import Event, EventRecord
from ..protocol.status import CapabilityStatus, Status

MAX_REPORTS = 200
"""Kept for an identifier."""
_CAPABILITY = {
    "ok": (1, "synced"),
    "syncing": (-1, "sync in progress"),
    "pending": (-2, "sync pending"),
}
_NOT_SYNCED = (-3, "not synced")


class Report(NamedTuple):
    """Something that happened."""

    wall_s: float
    text: str


class Identifier(NamedTuple):
    """A part of the node."""

    name: str
    status: int
    details: str | None = None
    reports: Sequence[Report] = ()
    """The oldest first."""


def groups(status: Status, events: Iterable[EventRecord] = ()) -> dict[str, list[Identifier]]:
    """All identifiers, by group. ``events``: what their reports are made of."""
    happened = [(name, report) for record in events for name, report in _reports(record)]

    def reports(name: str) -> list[Report]:
        return [report for of, report in happened if of == name][-MAX_REPORTS:]

    capabilities = {f"cap:{c.name}": c for cluster in status.clusters for c in cluster.capabilities}
    return {
        "core": [Identifier("main", *_main(status))],
        "clusterer": [
            Identifier("node_states", 1, reports=reports("node_states")),
            Identifier("sharing_tags", 1, reports=reports("sharing_tags")),
            *(
                Identifier(name, *_standing(c), reports(name))
                for name, c in sorted(capabilities.items())
            ),
        ],
    }


def date(wall_s: float) -> str:
    """As OpenSIPS writes it."""
    return time.ctime(wall_s)


def _main(status: Status) -> tuple[int, str]:
    if status.ready:
        return 1, "running"
    return -1, "; ".join(status.waits_for) or "initializing"


def _standing(capability: CapabilityStatus) -> tuple[int, str]:
    return _CAPABILITY.get(capability.state, _NOT_SYNCED)


def _reports(record: EventRecord) -> list[tuple[str, Report]]:
    """(identifier, report) of an event, if it makes one; texts are OpenSIPS's where it has them."""
    where, text = "", ""
    match record.kind:
        case Event.NODE_UP | Event.NODE_DOWN:
            state = "UP" if record.kind is Event.NODE_UP else "DOWN"
            where = "node_states"
            text = f"Node [{record.node_id}], cluster [{record.cluster_id}] is {state}"
        case Event.TAG_CHANGED:
            where = "sharing_tags"
            text = (
                f"TAG <{record.tag}>, cluster {record.cluster_id}, became {record.after} "
                f"due to {record.cause}"
            )
        case Event.SYNC_STARTED:
            where, text = f"cap:{record.capability}", f"Sync started from node [{record.node_id}]"
        case Event.SYNC_DONE:
            where, text = f"cap:{record.capability}", f"Sync completed, {record.cause}"
        case Event.SYNC_FAILED:
            where, text = f"cap:{record.capability}", f"Sync failed: {record.cause}"
        case Event.SYNCED_WITHOUT_DATA:
            where, text = f"cap:{record.capability}", f"Synced without data: {record.cause}"
    return [(where, Report(record.wall_s, text))] if where else []
